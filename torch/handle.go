package torch

// #include "shim.h"
import "C"

import "unsafe"

// Handle is the at::Tensor* behind t, for code that calls libtorch itself. It is
// valid until t is freed; the caller must not free it.
func (t *Tensor) Handle() unsafe.Pointer { return unsafe.Pointer(t.ptr()) }

// FromHandle makes a second handle, in s, of the tensor behind an at::Tensor*.
// Both share data, gradient and history; the given one stays its owner's.
func (s *Scope) FromHandle(p unsafe.Pointer) *Tensor {
	return s.create("from_handle", func(out *C.wt_tensor) *C.char { return C.wt_alias(out, C.wt_tensor(p)) })
}
