// Package interop exchanges tensors with gotch's package ts, for programs that
// have gotch code already.
//
// Ownership: a conversion never moves a tensor. It makes a second handle of the
// same tensor (data, gradient and history are shared), and each side frees its
// own handle: ours with its Scope, gotch's with Drop or by its finalizer. The
// data lives until both are gone.
//
// Calls into gotch belong on one OS thread (its errors and its gradient mode are
// the thread's): make them inside torch.Run, whose thread is locked. gotch's
// NoGrad leaves gradients switched on; use a torch.Run with torch.Inference.
//
// Importing this package imports gotch itself, which makes its cache folder at
// start.
package interop

import (
	"errors"
	"fmt"
	"runtime"
	"sort"
	"strings"

	"github.com/sugarme/gotch/libtch"
	"github.com/sugarme/gotch/nn"
	"github.com/sugarme/gotch/ts"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

var errInvalid = errors.New("the tensor is freed or empty")

// FromGotch returns a handle of x that belongs to s.
func FromGotch(s *torch.Scope, x *ts.Tensor) (*torch.Tensor, error) {
	if x == nil || x.Ctensor() == nil {
		return nil, fmt.Errorf("interop: from gotch: %w", errInvalid)
	}
	t := s.FromHandle(x.Ctensor())
	runtime.KeepAlive(x) // its finalizer would free the handle
	return t, s.Err()
}

// ToGotch returns a handle of t that belongs to gotch: Drop it.
func ToGotch(t *torch.Tensor) (*ts.Tensor, error) {
	if !t.Valid() {
		return nil, fmt.Errorf("interop: to gotch: %w", errInvalid)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := libtch.AtShallowClone(libtch.Ctensor(t.Handle()))
	if err := ts.TorchErr(); err != nil {
		return nil, fmt.Errorf("interop: to gotch: %w", err)
	}
	return ts.New(c), nil
}

// VarStore is a wildtrain.State over the variables of a gotch VarStore, which
// must outlive it. With it, our nn.Store loads from gotch, a checkpoint saves
// it, and Fill goes the other way.
type VarStore struct {
	torch.State
	root *torch.Scope
}

// Variables opens the variables of vs, parameters and buffers. Close it.
func Variables(vs *nn.VarStore) (*VarStore, error) {
	v := &VarStore{State: torch.State{}, root: torch.NewRoot(torch.CPU)}
	vars := vs.Variables()
	for name := range vars {
		x := vars[name]
		t, err := FromGotch(v.root, &x)
		if err != nil {
			v.root.Close()
			return nil, fmt.Errorf("interop: variable %s: %w", name, err)
		}
		v.State[name] = t
	}
	runtime.KeepAlive(vs)
	return v, nil
}

// Fill overwrites every variable with the value of its name in src, converting
// nothing: types and shapes must be equal. It reports all names that do not fit,
// and then changes nothing.
func (v *VarStore) Fill(src wildtrain.State) error {
	var bad []string
	for name := range v.State {
		want, _ := v.Info(name)
		have, ok := src.Info(name)
		switch {
		case !ok:
			bad = append(bad, name+" is missing")
		case have.DType != want.DType || fmt.Sprint(have.Shape) != fmt.Sprint(want.Shape):
			bad = append(bad, fmt.Sprintf("%s is %v %v, not %v %v", name, have.DType, have.Shape, want.DType, want.Shape))
		}
	}
	if len(bad) > 0 {
		sort.Strings(bad)
		return fmt.Errorf("interop: fill variables: %s", strings.Join(bad, "; "))
	}
	for _, name := range v.Names() {
		info, _ := v.Info(name)
		raw := make([]byte, info.Bytes())
		if err := src.Read(name, raw); err != nil {
			return fmt.Errorf("interop: fill variable %s: %w", name, err)
		}
		if err := v.Write(name, raw); err != nil {
			return fmt.Errorf("interop: fill variable %s: %w", name, err)
		}
	}
	return nil
}

// Close frees the handles; the variables stay gotch's.
func (v *VarStore) Close() error {
	v.root.Close()
	v.State = nil
	return nil
}
