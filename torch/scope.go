package torch

// #include "shim.h"
import "C"

import (
	"context"
	"runtime"
	"sync/atomic"
)

// Mode says how a run computes.
type Mode struct {
	Grad          bool  // record operations for Backward
	Training      bool  // batch norm uses batch statistics, dropout drops
	Autocast      DType // BFloat16 or Half switches mixed precision on
	Mixed         bool  // Autocast is meant; false computes in the tensors' own types
	Interruptible bool  // ctx is checked at Sub, so that long inference can be cancelled
}

// The usual modes.
var (
	Training  = Mode{Grad: true, Training: true}
	Inference = Mode{}
)

// WithAutocast returns the mode in mixed precision of the given type; Float switches it off.
func (m Mode) WithAutocast(t DType) Mode {
	m.Mixed = t == BFloat16 || t == Half
	m.Autocast = t
	return m
}

// run is what all scopes of one Run share.
type run struct {
	ctx    context.Context
	device Device
	mode   Mode
	cur    *Scope      // innermost open scope: results go there
	err    error       // the first error; operations do nothing after it
	out    *[4]ctensor // where calls put results: an object without Go pointers, as cgo demands
}

// Scope owns tensors and frees them when it closes.
type Scope struct {
	r       *run // nil for a root scope
	device  Device
	tensors []*Tensor
	holes   int // freed entries of tensors
}

var handles atomic.Int64

// Handles is the number of live tensor handles of the process: the leak alarm
// of tests and long runs.
func Handles() int64 { return handles.Load() }

// NewRoot returns a scope for parameters and state. Its owner closes it.
func NewRoot(dev Device) *Scope { return &Scope{device: dev} }

// Run opens a scope on a locked OS thread in the given mode, calls fn and closes
// the scope, whatever happens. It returns fn's error, or else the first error of
// the scope's operations. Runs may nest; the mode of the outer one is restored.
func Run(ctx context.Context, dev Device, mode Mode, fn func(*Scope) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore, err := enter(dev, mode)
	if err != nil {
		return err
	}
	defer restore()
	r := &run{ctx: ctx, device: dev, mode: mode, out: new([4]ctensor)}
	s := &Scope{r: r, device: dev}
	r.cur = s
	defer s.Close()
	err = fn(s)
	if r.err != nil && (err == nil || err == errClosed) {
		return r.err
	}
	return err
}

// enter sets the thread's grad and autocast mode and returns how to go back.
func enter(dev Device, mode Mode) (restore func(), err error) {
	grad := C.wt_grad_mode(boolInt(mode.Grad))
	cuda := boolInt(dev.IsCUDA())
	var dtype C.int
	on := C.wt_autocast_get(cuda, &dtype)
	if mode.Mixed || on != 0 {
		want := dtype
		if mode.Mixed {
			want = C.int(mode.Autocast)
		}
		if err := shimError("autocast", C.wt_autocast_set(cuda, boolInt(mode.Mixed), want)); err != nil {
			C.wt_grad_mode(grad)
			return nil, err
		}
	}
	return func() {
		if mode.Mixed || on != 0 {
			C.wt_autocast_set(cuda, on, dtype)
			if on == 0 {
				C.wt_autocast_clear()
			}
		}
		C.wt_grad_mode(grad)
	}, nil
}

// Err is the first error of the run; nil for a root scope.
func (s *Scope) Err() error {
	if s.r == nil {
		return nil
	}
	return s.r.err
}

// Device is where the scope creates tensors.
func (s *Scope) Device() Device { return s.device }

// Mode is the mode of the run.
func (s *Scope) Mode() Mode {
	if s.r == nil {
		return Mode{}
	}
	return s.r.mode
}

// Context is the run's.
func (s *Scope) Context() context.Context {
	if s.r == nil {
		return context.Background()
	}
	return s.r.ctx
}

// Close frees the scope's tensors. A second Close does nothing.
func (s *Scope) Close() {
	ptrs := make([]C.wt_tensor, 0, len(s.tensors))
	for _, t := range s.tensors {
		if t != nil {
			if t.c != nil {
				ptrs = append(ptrs, t.ptr())
				t.c = nil
			}
			forget(t)
		}
	}
	s.tensors = nil
	if len(ptrs) > 0 {
		C.wt_free_all(&ptrs[0], C.int(len(ptrs)))
		handles.Add(-int64(len(ptrs)))
	}
}

// add makes the scope the owner of a handle.
func (s *Scope) add(c ctensor) *Tensor {
	t := &Tensor{c: c, s: s, at: int32(len(s.tensors))}
	s.tensors = append(s.tensors, t)
	if c != nil {
		handles.Add(1)
	}
	remember(t)
	return t
}

// drop takes t out of the scope without freeing it.
func (s *Scope) drop(t *Tensor) {
	if i := int(t.at); i < len(s.tensors) && s.tensors[i] == t {
		if i == len(s.tensors)-1 {
			s.tensors = s.tensors[:i]
			return
		}
		s.tensors[i] = nil
		s.holes++
		s.compact()
	}
}

// compact closes the holes of a long-lived scope once they are in the majority.
func (s *Scope) compact() {
	if s.holes < 64 || s.holes*2 < len(s.tensors) {
		return
	}
	kept := s.tensors[:0]
	for _, t := range s.tensors {
		if t != nil {
			t.at = int32(len(kept))
			kept = append(kept, t)
		}
	}
	clear(s.tensors[len(kept):])
	s.tensors, s.holes = kept, 0
}

// fail records the run's first error.
func (r *run) fail(op, message string) {
	if r.err == nil {
		r.err = newError(op, message)
	}
}

// Fail records an error of the run as a failed operation does, for what is
// composed of operations, and returns the invalid result.
func (s *Scope) Fail(op, message string) *Tensor {
	if s.r == nil {
		return s.add(nil)
	}
	s.r.fail(op, message)
	return s.r.cur.add(nil)
}

// Sub opens an inner scope for fn and closes it; the tensor that fn returns
// moves to the outer scope. Use it where PyTorch would free temporaries.
func (s *Scope) Sub(fn func(*Scope) *Tensor) *Tensor {
	if s.r == nil {
		return fn(s)
	}
	outer := s.r.cur
	inner := &Scope{r: s.r, device: s.device, tensors: s.r.buffer()}
	s.r.cur = inner
	defer inner.end(outer) // also when fn panics
	t := fn(inner)
	if t != nil && t.s == inner {
		inner.drop(t)
		outer.adopt(t)
	}
	return t
}

// end closes an inner scope and goes back to outer.
func (s *Scope) end(outer *Scope) {
	s.r.cur = outer
	s.Close()
	if s.r.mode.Interruptible && s.r.err == nil {
		s.r.err = s.r.ctx.Err()
	}
}

// buffer is a first piece for an inner scope's list: most hold a handful.
func (r *run) buffer() []*Tensor { return make([]*Tensor, 0, 8) }

// adopt makes s the owner of a tensor that no scope owns.
func (s *Scope) adopt(t *Tensor) {
	t.s = s
	t.at = int32(len(s.tensors))
	s.tensors = append(s.tensors, t)
}

// Keep moves t to the scope s, typically outwards or to a root scope.
func (s *Scope) Keep(t *Tensor) *Tensor {
	if t == nil || t.s == s {
		return t
	}
	if t.s != nil {
		t.s.drop(t)
	}
	s.adopt(t)
	return t
}

// Borrow returns a second handle of t that belongs to the run of s. Operations
// whose operands are all parameters need it, to know where results go.
func (s *Scope) Borrow(t *Tensor) *Tensor {
	if s.r == nil || (t.s != nil && t.s.r == s.r) {
		return t
	}
	return s.r.shim("borrow", []*Tensor{t}, func(out *C.wt_tensor) *C.char {
		return C.wt_alias(out, t.ptr())
	})
}

func boolInt(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
