package torch

// #include "shim.h"
import "C"

import (
	"fmt"
	"math"
	"unsafe"
)

// make a tensor in s, which may be a root scope.
func (s *Scope) create(op string, call func(out *C.wt_tensor) *C.char) *Tensor {
	if s.r != nil {
		return s.r.shim(op, nil, call)
	}
	var c C.wt_tensor
	if text := shimMessage(call(&c)); text != "" {
		panic(newError(op, text)) // a root scope makes plain tensors only: out of memory
	}
	return s.add(c2p(c))
}

func (s *Scope) full(v float64, d DType, shape []int64) *Tensor {
	return s.create("full", func(out *C.wt_tensor) *C.char {
		return C.wt_create(out, shapePtr(shape), C.int(len(shape)), C.int(d), C.int(s.device), C.double(v), 0)
	})
}

func shapePtr(shape []int64) *C.int64_t {
	if len(shape) == 0 {
		return nil
	}
	return (*C.int64_t)(&shape[0])
}

// Empty makes a tensor of undefined content.
func (s *Scope) Empty(d DType, shape ...int64) *Tensor { return s.full(math.NaN(), d, shape) }

// Zeros makes a tensor of zeros.
func (s *Scope) Zeros(d DType, shape ...int64) *Tensor { return s.full(0, d, shape) }

// Ones makes a tensor of ones.
func (s *Scope) Ones(d DType, shape ...int64) *Tensor { return s.full(1, d, shape) }

// Full makes a tensor of one value.
func (s *Scope) Full(v float64, d DType, shape ...int64) *Tensor { return s.full(v, d, shape) }

// Number is an element type that crosses between Go and libtorch.
type Number interface {
	~float32 | ~float64 | ~int64 | ~int32 | ~uint8 | ~bool
}

func dtypeOf[T Number]() DType {
	var v T
	switch any(v).(type) {
	case float32:
		return Float
	case float64:
		return Double
	case int64:
		return Int64
	case int32:
		return Int32
	case bool:
		return Bool
	}
	return Uint8
}

// Of makes a tensor of a copy of data in row-major order. The shape's product
// must be len(data).
func Of[T Number](s *Scope, data []T, shape ...int64) *Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	if n != int64(len(data)) {
		if s.r != nil {
			s.r.fail("of", fmt.Sprintf("shape %v does not hold %d elements", shape, len(data)))
			return s.r.cur.add(nil)
		}
		panic(fmt.Sprintf("torch: of: shape %v does not hold %d elements", shape, len(data)))
	}
	var p unsafe.Pointer
	if len(data) > 0 {
		p = unsafe.Pointer(&data[0])
	}
	d := dtypeOf[T]()
	return s.create("of", func(out *C.wt_tensor) *C.char {
		return C.wt_from_data(out, p, shapePtr(shape), C.int(len(shape)), C.int(d), C.int(s.device))
	})
}

// Arange makes start, start+step, … below end.
func (s *Scope) Arange(start, end, step float64, d DType) *Tensor {
	return s.create("arange", func(out *C.wt_tensor) *C.char {
		return C.wt_arange(out, C.double(start), C.double(end), C.double(step), C.int(d), C.int(s.device))
	})
}

// Images8 copies an NHWC block of bytes to the device as a float32 (N, C, H, W)
// tensor, multiplied by scale; channelsLast keeps the NHWC layout in memory.
func (s *Scope) Images8(data []uint8, n, h, w, c int, scale float64, channelsLast bool) *Tensor {
	if len(data) != n*h*w*c || len(data) == 0 {
		return s.badImages(len(data), n, h, w, c)
	}
	return s.images(unsafe.Pointer(&data[0]), 8, n, h, w, c, scale, channelsLast)
}

// Images16 is Images8 for 16-bit pixels.
func (s *Scope) Images16(data []uint16, n, h, w, c int, scale float64, channelsLast bool) *Tensor {
	if len(data) != n*h*w*c || len(data) == 0 {
		return s.badImages(len(data), n, h, w, c)
	}
	return s.images(unsafe.Pointer(&data[0]), 16, n, h, w, c, scale, channelsLast)
}

func (s *Scope) badImages(have, n, h, w, c int) *Tensor {
	s.r.fail("images", fmt.Sprintf("%d×%d×%d×%d pixels in a block of %d", n, h, w, c, have))
	return s.r.cur.add(nil)
}

func (s *Scope) images(p unsafe.Pointer, bits, n, h, w, c int, scale float64, channelsLast bool) *Tensor {
	return s.create("images", func(out *C.wt_tensor) *C.char {
		return C.wt_images(out, p, C.int(bits), C.int64_t(n), C.int64_t(h), C.int64_t(w), C.int64_t(c), C.int(s.device), boolInt(channelsLast), C.double(scale))
	})
}
