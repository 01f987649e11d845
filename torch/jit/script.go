package jit

// #cgo CFLAGS: -I${SRCDIR}/../internal/shim
// #include <stdlib.h>
// #include "shim_jit.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
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

// Scripter is a model that can be written as TorchScript.
type Scripter interface {
	Script() (Script, error)
}

// Written tells of a file that Save has written.
type Written struct {
	Height, Width int64
	AnyBatch      bool // it takes any number of pictures, else one
}

// Save records the function on pictures of height × width and writes it to path.
func (s Script) Save(ctx context.Context, path string, height, width int64) (w Written, err error) {
	if w, err = s.save(ctx, path, height, width); err != nil {
		return w, fmt.Errorf("jit: save %s: %w", path, err)
	}
	return w, nil
}

func (s Script) save(ctx context.Context, path string, height, width int64) (Written, error) {
	one, err := s.record(ctx, 1, height, width)
	if err != nil {
		return Written{}, err
	}
	defer C.wt_graph_free(one)
	two, err := s.record(ctx, 2, height, width)
	if err != nil {
		return Written{}, err
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
	return Written{Height: height, Width: width, AnyBatch: dynamic != 0}, err
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
