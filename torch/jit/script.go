package jit

// #cgo CFLAGS: -I${SRCDIR}/../internal/shim
// #include <stdlib.h>
// #include "shim_jit.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"github.com/wildtrain/sdk/torch"
	_ "github.com/wildtrain/sdk/torch/internal/shim" // the functions of shim_jit.h
	"github.com/wildtrain/sdk/torch/nn"
)

// Script is what is written of a model: its tensors by name, and the function
// that maps pictures (N, 3, H, W) in 0..1 to one tensor whose first dimension is
// N. The tensors must be on the CPU; those that the function does not use are
// left out.
type Script struct {
	Tensors []*nn.Entry
	Forward func(images *torch.Tensor) (*torch.Tensor, error)
}

// Scripter is a model that can be written as TorchScript. A kind of model of which
// some cannot gives an error that satisfies errors.Is(err, ErrNone) for those.
type Scripter interface {
	Script() (Script, error)
}

// ErrNone tells that there is no TorchScript of a model.
var ErrNone = errors.New("it cannot be written as TorchScript: what it computes is more than one tensor of plain operations")

// Written tells of a file that Save has written.
type Written struct {
	Input, Output []int64 // shapes; −1 stands for any number of pictures
	Torch         string  // version of the libtorch that wrote it
}

// AnyBatch reports whether the file takes any number of pictures, else it takes one.
func (w Written) AnyBatch() bool { return w.Input[0] < 0 }

// Save records the function on pictures of height × width, writes it to path and
// holds what the file computes against what the function computes. Where it
// fails, path is as before.
func (s Script) Save(ctx context.Context, path string, height, width int64) (w Written, err error) {
	if w, err = s.replace(ctx, path, height, width); err != nil {
		return w, fmt.Errorf("jit: save %s: %w", path, err)
	}
	return w, nil
}

func (s Script) replace(ctx context.Context, path string, height, width int64) (w Written, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return w, err
	}
	any, err := s.write(ctx, f.Name(), height, width)
	if err == nil {
		w, err = s.check(ctx, f.Name(), any, height, width)
	}
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return w, err
}

// write reports whether the file takes any number of pictures.
func (s Script) write(ctx context.Context, path string, height, width int64) (any bool, err error) {
	one, err := s.record(ctx, 1, height, width)
	if err != nil {
		return false, err
	}
	defer C.wt_graph_free(one)
	two, err := s.record(ctx, 2, height, width)
	if err != nil {
		return false, err
	}
	defer C.wt_graph_free(two)
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	names, buffers := s.names()
	defer func() {
		for _, n := range names {
			C.free(unsafe.Pointer(n))
		}
	}()
	var dynamic C.int
	handles := s.handles()
	err = failure(C.wt_script_save(name, one, two, first(handles), first(names), first(buffers), C.int(len(names)), &dynamic))
	return dynamic != 0, err
}

// tolerance is how far what a file computes may be from what the model computes,
// as a part of the largest number: libtorch runs both by other kernels.
const tolerance = 1e-4

// check runs file and function on the same pictures: on a number of them that
// was not recorded, where it is free.
func (s Script) check(ctx context.Context, path string, any bool, height, width int64) (w Written, err error) {
	m, err := Load(path, torch.CPU)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	n, batch := int64(1), int64(1)
	if any {
		n, batch = 3, -1
	}
	err = torch.Run(ctx, torch.CPU, torch.Inference, func(sc *torch.Scope) error {
		images := torch.Of(sc, noise(n*3*height*width), n, 3, height, width)
		want, err := s.Forward(images)
		if err != nil {
			return err
		}
		got, err := m.Forward(sc, images)
		if err := errors.Join(err, sc.Err()); err != nil {
			return err
		}
		shape := want.Shape()
		if !slices.Equal(got.Shape(), shape) || len(shape) == 0 || shape[0] != n {
			return fmt.Errorf("of %d pictures the file makes %v, the model %v", n, got.Shape(), shape)
		}
		largest, far := want.Abs().Max().Item(), got.Minus(want).Abs().Max().Item()
		if !(far <= tolerance*largest) { // NaN is not
			return fmt.Errorf("the file's numbers differ from the model's by %g of %g", far, largest)
		}
		w = Written{Input: []int64{batch, 3, height, width}, Output: append([]int64{batch}, shape[1:]...), Torch: torch.Version()}
		return sc.Err()
	})
	return w, err
}

// noise is n numbers in 0..1 without a pattern, the same each time (Knuth's
// multiplicative hash of their places).
func noise(n int64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(uint32(i)*2654435761>>8) / (1 << 24)
	}
	return out
}

// record lets the function compute n pictures, which hold numbers that no
// shortcut is taken for.
func (s Script) record(ctx context.Context, n, height, width int64) (g C.wt_graph, err error) {
	err = torch.Run(ctx, torch.CPU, torch.Inference, func(sc *torch.Scope) error {
		images := sc.Full(0.5, torch.Float, n, 3, height, width)
		handles := s.handles()
		if err := failure(C.wt_trace_begin(C.wt_tensor(images.Handle()), first(handles), C.int(len(handles)))); err != nil {
			return err
		}
		defer C.wt_trace_drop()
		y, err := s.Forward(images)
		if err := errors.Join(err, sc.Err()); err != nil {
			return err
		}
		return failure(C.wt_trace_end(&g, C.wt_tensor(y.Handle())))
	})
	return g, err
}

func (s Script) handles() []C.wt_tensor {
	out := make([]C.wt_tensor, len(s.Tensors))
	for i, e := range s.Tensors {
		out[i] = C.wt_tensor(e.Tensor.Handle())
	}
	return out
}

// names are C strings, which the caller frees; buffers marks those of buffers.
func (s Script) names() (names []*C.char, buffers []C.uchar) {
	names, buffers = make([]*C.char, len(s.Tensors)), make([]C.uchar, len(s.Tensors))
	for i, e := range s.Tensors {
		names[i] = C.CString(e.Name)
		if e.Buffer {
			buffers[i] = 1
		}
	}
	return names, buffers
}

// first is how C takes a list.
func first[T any](list []T) *T { return unsafe.SliceData(list) }

// failure is a message of the shim, which it frees, as an error.
func failure(message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return errors.New(C.GoString(message))
}
