package torch

import "github.com/wildtrain/sdk/wildtrain"

// DType is the element type of a tensor, numbered as libtorch's ScalarType.
type DType int32

// The element types in use.
const (
	Uint8    DType = 0
	Int8     DType = 1
	Int16    DType = 2
	Int32    DType = 3
	Int64    DType = 4
	Half     DType = 5
	Float    DType = 6
	Double   DType = 7
	Bool     DType = 11
	BFloat16 DType = 15
)

// keepDType asks an operation to keep its operand's type.
const keepDType DType = -1

var stored = map[DType]wildtrain.DType{
	Uint8: wildtrain.Uint8, Int8: wildtrain.Int8, Int16: wildtrain.Int16, Int32: wildtrain.Int32, Int64: wildtrain.Int64,
	Half: wildtrain.Float16, Float: wildtrain.Float32, Double: wildtrain.Float64, Bool: wildtrain.Bool, BFloat16: wildtrain.BFloat16,
}

// Stored returns the type under which a State describes tensors of this type.
func (d DType) Stored() wildtrain.DType { return stored[d] }

// FromStored is the inverse of Stored.
func FromStored(d wildtrain.DType) DType {
	for t, s := range stored {
		if s == d {
			return t
		}
	}
	return Float
}

// Size is the number of bytes of one element.
func (d DType) Size() int { return d.Stored().Size() }

// Floating reports whether the type is a floating-point one.
func (d DType) Floating() bool {
	return d == Float || d == Half || d == BFloat16 || d == Double
}

// String returns PyTorch's name of the type.
func (d DType) String() string { return d.Stored().String() }
