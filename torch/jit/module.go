package jit

// #include <stdlib.h>
// #include "shim_jit.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/wildtrain/sdk/torch"
)

// Module is a TorchScript file that was loaded. It is used by one goroutine at a time.
type Module struct{ m C.wt_module }

// Load reads a file that Save or torch.jit.save wrote, for evaluation.
func Load(path string, dev torch.Device) (*Module, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	m := &Module{}
	if err := failure(C.wt_module_load(&m.m, name, C.int(dev))); err != nil {
		return nil, fmt.Errorf("jit: load %s: %w", path, err)
	}
	return m, nil
}

// Forward computes the file's function of one tensor that gives one; the result
// belongs to s.
func (m *Module) Forward(s *torch.Scope, x *torch.Tensor) (*torch.Tensor, error) {
	var out C.wt_tensor
	if err := failure(C.wt_module_forward(&out, m.m, C.wt_tensor(x.Handle()))); err != nil {
		return nil, fmt.Errorf("jit: forward: %w", err)
	}
	y := s.FromHandle(unsafe.Pointer(out))
	C.wt_free_all(&out, 1)
	return y, s.Err()
}

// Close frees the module.
func (m *Module) Close() error {
	C.wt_module_free(m.m)
	m.m = nil
	return nil
}
