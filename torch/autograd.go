package torch

// #include "shim.h"
import "C"

// Backward adds the gradients of the scalar t to all leaves that require them.
func (t *Tensor) Backward() error {
	return do("backward", []*Tensor{t}, func() *C.char { return C.wt_backward(t.ptr()) })
}

// Grad returns a handle of t's gradient in the scope s, nil where there is none.
func (s *Scope) Grad(t *Tensor) *Tensor {
	var c C.wt_tensor
	if do("grad", []*Tensor{t}, func() *C.char { return C.wt_grad(&c, t.ptr()) }) != nil || c == nil {
		return nil
	}
	return s.add(c2p(c))
}

// ZeroGrads drops the gradients of ts.
func ZeroGrads(ts []*Tensor) error {
	if len(ts) == 0 {
		return nil
	}
	ptrs := ptrsOf(ts)
	return do("zero_grad", ts, func() *C.char { return C.wt_zero_grads(&ptrs[0], C.int(len(ptrs)), 1) })
}
