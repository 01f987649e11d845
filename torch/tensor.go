package torch

// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// ctensor is libtch's handle.
type ctensor = libtch.Ctensor

// Tensor is a handle of a libtorch tensor, owned by one Scope.
type Tensor struct {
	c  ctensor // nil after Free, and for the outcome of a failed operation
	s  *Scope
	at int32 // index in the owner's list
}

// maxDims is more than any tensor here has.
const maxDims = 8

func (t *Tensor) ptr() C.wt_tensor {
	if t == nil {
		return nil
	}
	return C.wt_tensor(unsafe.Pointer(t.c))
}

// raw is the handle as libtch takes it, nil for an absent optional operand.
func (t *Tensor) raw() ctensor {
	if t == nil {
		return nil
	}
	return t.c
}

// runOf is the run to which the result of an operation on in belongs.
func runOf(in []*Tensor) *run {
	for _, t := range in {
		if t != nil && t.s != nil && t.s.r != nil {
			return t.s.r
		}
	}
	panic("torch: operation on tensors outside a Run: use Scope.Borrow")
}

// ready reports whether an operation may be made; a freed operand is an error.
func (r *run) ready(op string, in []*Tensor) bool {
	if r.err != nil {
		return false
	}
	for _, t := range in {
		if t != nil && t.c == nil {
			r.fail(op, errClosed.Error())
			return false
		}
	}
	return true
}

// apply makes one operation of libtch with one result.
func apply(op string, call func(out *ctensor), in ...*Tensor) *Tensor {
	r := runOf(in)
	t := r.cur.add(nil)
	if !r.ready(op, in) {
		return t
	}
	r.out[0] = nil
	call(&r.out[0])
	if t.c = r.out[0]; t.c == nil {
		r.fail(op, lastMessage())
		return t
	}
	handles.Add(1)
	return t
}

// applyMany makes one operation of libtch with n results.
func applyMany(op string, n int, call func(out *ctensor), in ...*Tensor) []*Tensor {
	r := runOf(in)
	ts := make([]*Tensor, n)
	ok := r.ready(op, in)
	if ok {
		*r.out = [4]ctensor{}
		call(&r.out[0])
		if r.out[0] == nil {
			r.fail(op, lastMessage())
			ok = false
		}
	}
	for i := range ts {
		if ok {
			ts[i] = r.cur.add(r.out[i])
		} else {
			ts[i] = r.cur.add(nil)
		}
	}
	return ts
}

// shim makes one operation of the shim with one result.
func (r *run) shim(op string, in []*Tensor, call func(out *C.wt_tensor) *C.char) *Tensor {
	t := r.cur.add(nil)
	if !r.ready(op, in) {
		return t
	}
	r.out[0] = nil
	if text := shimMessage(call((*C.wt_tensor)(unsafe.Pointer(&r.out[0])))); text != "" {
		r.fail(op, text)
		return t
	}
	if t.c = r.out[0]; t.c != nil {
		handles.Add(1)
	}
	return t
}

// do makes an operation of the shim without result. Outside a run its error is returned only.
func do(op string, in []*Tensor, call func() *C.char) error {
	var r *run
	for _, t := range in {
		if t != nil && t.s != nil && t.s.r != nil {
			r = t.s.r
		}
	}
	if r != nil && !r.ready(op, in) {
		return r.err
	}
	for _, t := range in {
		if t != nil && t.c == nil {
			return newError(op, errClosed.Error())
		}
	}
	text := shimMessage(call())
	if text == "" {
		return nil
	}
	if r != nil {
		r.fail(op, text)
		return r.err
	}
	return newError(op, text)
}

// Scope returns the scope into which operations on t put their results.
func (t *Tensor) Scope() *Scope {
	if t.s != nil && t.s.r != nil {
		return t.s.r.cur
	}
	return t.s
}

// Training reports whether the run that t belongs to is in training mode.
func (t *Tensor) Training() bool {
	return t.s != nil && t.s.r != nil && t.s.r.mode.Training
}

// Sub calls fn in an inner scope of t's run; see Scope.Sub.
func (t *Tensor) Sub(fn func() *Tensor) *Tensor {
	return t.Scope().Sub(func(*Scope) *Tensor { return fn() })
}

// Free frees the handle before its scope closes.
func (t *Tensor) Free() {
	if t == nil || t.c == nil {
		return
	}
	p := t.ptr()
	C.wt_free_all(&p, 1)
	handles.Add(-1)
	t.c = nil
	forget(t)
	if t.s != nil {
		t.s.drop(t)
	}
}

// Valid reports whether the tensor holds a value: false after Free or a failed operation.
func (t *Tensor) Valid() bool { return t != nil && t.c != nil }

// Shape returns the sizes of all dimensions, nil for a scalar or an invalid tensor.
func (t *Tensor) Shape() []int64 {
	if !t.Valid() {
		return nil
	}
	var dims [maxDims]int64
	n := C.wt_shape(t.ptr(), (*C.int64_t)(&dims[0]), maxDims)
	return append([]int64(nil), dims[:n]...)
}

// Dim is the number of dimensions.
func (t *Tensor) Dim() int {
	if !t.Valid() {
		return 0
	}
	return int(C.wt_shape(t.ptr(), nil, 0))
}

// Size is the length of dimension i; a negative i counts from the last. 0 where there is none.
func (t *Tensor) Size(i int) int64 {
	shape := t.Shape()
	if i < 0 {
		i += len(shape)
	}
	if i < 0 || i >= len(shape) {
		return 0
	}
	return shape[i]
}

// Len is the number of elements.
func (t *Tensor) Len() int64 {
	if !t.Valid() {
		return 0
	}
	return int64(C.wt_numel(t.ptr()))
}

// DType is the element type, Float for an invalid tensor.
func (t *Tensor) DType() DType {
	if !t.Valid() {
		return Float
	}
	return DType(C.wt_dtype(t.ptr()))
}

// Device is where the data is.
func (t *Tensor) Device() Device {
	if !t.Valid() {
		return CPU
	}
	return Device(C.wt_device(t.ptr()))
}

// ChannelsLast reports whether a 4-d tensor lies in memory as NHWC.
func (t *Tensor) ChannelsLast() bool { return t.Valid() && C.wt_is_channels_last(t.ptr()) != 0 }

// RequiresGrad reports whether gradients flow to t.
func (t *Tensor) RequiresGrad() bool { return t.Valid() && C.wt_requires_grad(t.ptr()) != 0 }

// SetRequiresGrad switches gradients of a leaf on or off.
func (t *Tensor) SetRequiresGrad(on bool) error {
	return do("requires_grad", []*Tensor{t}, func() *C.char { return C.wt_set_requires_grad(t.ptr(), boolInt(on)) })
}

// Item returns the only element as a float64; it waits for the device.
func (t *Tensor) Item() float64 {
	var v C.double
	if do("item", []*Tensor{t}, func() *C.char { return C.wt_item(t.ptr(), &v) }) != nil {
		return 0
	}
	return float64(v)
}

// Float32s copies the elements in row-major order into dst, which is made if it
// is too small; nil where the tensor is invalid. It waits for the device.
func (t *Tensor) Float32s(dst []float32) []float32 { return readAs(t, dst, Float) }

// Float64s is Float32s in double precision.
func (t *Tensor) Float64s(dst []float64) []float64 { return readAs(t, dst, Double) }

// Int64s is Float32s for integers.
func (t *Tensor) Int64s(dst []int64) []int64 { return readAs(t, dst, Int64) }

// Bytes copies the elements as uint8 values.
func (t *Tensor) Bytes(dst []uint8) []uint8 { return readAs(t, dst, Uint8) }

func readAs[T any](t *Tensor, dst []T, as DType) []T {
	n := int(t.Len())
	if cap(dst) < n {
		dst = make([]T, n)
	}
	dst = dst[:n]
	var p unsafe.Pointer
	if n > 0 {
		p = unsafe.Pointer(&dst[0])
	}
	if do("read", []*Tensor{t}, func() *C.char { return C.wt_read_as(t.ptr(), p, C.int64_t(n), C.int(as)) }) != nil {
		return nil
	}
	return dst
}

// Read copies the raw bytes in row-major order; len(dst) must fit exactly.
func (t *Tensor) Read(dst []byte) error {
	var p unsafe.Pointer
	if len(dst) > 0 {
		p = unsafe.Pointer(&dst[0])
	}
	return do("read", []*Tensor{t}, func() *C.char { return C.wt_read(t.ptr(), p, C.size_t(len(dst))) })
}

// Write overwrites the elements in place from raw bytes in row-major order.
func (t *Tensor) Write(src []byte) error {
	var p unsafe.Pointer
	if len(src) > 0 {
		p = unsafe.Pointer(&src[0])
	}
	return do("write", []*Tensor{t}, func() *C.char { return C.wt_write(t.ptr(), p, C.size_t(len(src))) })
}

// CopyFrom overwrites the elements in place, converting type and layout.
func (t *Tensor) CopyFrom(src *Tensor) error {
	return do("copy", []*Tensor{t, src}, func() *C.char { return C.wt_copy(t.ptr(), src.ptr()) })
}

// Fill sets all elements.
func (t *Tensor) Fill(v float64) error {
	return do("fill", []*Tensor{t}, func() *C.char { return C.wt_fill(t.ptr(), C.double(v)) })
}

// AddAssign adds alpha·o in place, without gradient; alpha must be whole for integers.
func (t *Tensor) AddAssign(o *Tensor, alpha float64) error {
	return do("add_", []*Tensor{t, o}, func() *C.char { return C.wt_addmul(t.ptr(), o.ptr(), C.double(alpha)) })
}

// Scale multiplies in place, without gradient.
func (t *Tensor) Scale(v float64) error {
	return do("mul_", []*Tensor{t}, func() *C.char { return C.wt_scale(t.ptr(), C.double(v)) })
}

// SetData gives t the storage, shape and layout of src, keeping its identity as a parameter.
func (t *Tensor) SetData(src *Tensor) error {
	return do("set_data", []*Tensor{t, src}, func() *C.char { return C.wt_set_data(t.ptr(), src.ptr()) })
}

// Uniform fills t in place with numbers from [lo, hi).
func (t *Tensor) Uniform(lo, hi float64) error {
	return do("uniform_", []*Tensor{t}, func() *C.char { return C.wt_uniform(t.ptr(), C.double(lo), C.double(hi)) })
}

// Normal fills t in place with normally distributed numbers.
func (t *Tensor) Normal(mean, std float64) error {
	return do("normal_", []*Tensor{t}, func() *C.char { return C.wt_normal(t.ptr(), C.double(mean), C.double(std)) })
}

// TruncNormal fills t in place with a normal distribution cut to [a, b].
func (t *Tensor) TruncNormal(mean, std, a, b float64) error {
	return do("trunc_normal_", []*Tensor{t}, func() *C.char {
		return C.wt_trunc_normal(t.ptr(), C.double(mean), C.double(std), C.double(a), C.double(b))
	})
}

// String describes the tensor without its elements.
func (t *Tensor) String() string {
	if !t.Valid() {
		return "tensor(invalid)"
	}
	return fmt.Sprintf("tensor(%v, %v, %v)", t.Shape(), t.DType(), t.Device())
}
