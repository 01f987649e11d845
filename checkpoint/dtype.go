package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/wildtrain"
)

// dtypeNames holds, for every stored type, its name in safetensors and the
// storage class of PyTorch.
var dtypeNames = [...]struct{ safetensors, storage string }{
	wildtrain.Float32:  {"F32", "FloatStorage"},
	wildtrain.Float64:  {"F64", "DoubleStorage"},
	wildtrain.Float16:  {"F16", "HalfStorage"},
	wildtrain.BFloat16: {"BF16", "BFloat16Storage"},
	wildtrain.Int64:    {"I64", "LongStorage"},
	wildtrain.Int32:    {"I32", "IntStorage"},
	wildtrain.Int16:    {"I16", "ShortStorage"},
	wildtrain.Int8:     {"I8", "CharStorage"},
	wildtrain.Uint8:    {"U8", "ByteStorage"},
	wildtrain.Bool:     {"BOOL", "BoolStorage"},
}

func dtypeOfSafetensors(name string) (wildtrain.DType, bool) {
	for i, n := range dtypeNames {
		if n.safetensors == name {
			return wildtrain.DType(i), true
		}
	}
	return 0, false
}

func dtypeOfStorage(name string) (wildtrain.DType, bool) {
	for i, n := range dtypeNames {
		if n.storage == name {
			return wildtrain.DType(i), true
		}
	}
	return 0, false
}

// dtypeOfTorch finds the type by PyTorch's name ("float32", "bfloat16", "bool").
func dtypeOfTorch(name string) (wildtrain.DType, bool) {
	for i := range dtypeNames {
		if wildtrain.DType(i).String() == name {
			return wildtrain.DType(i), true
		}
	}
	return 0, false
}

func isFloat(d wildtrain.DType) bool {
	return d == wildtrain.Float32 || d == wildtrain.Float64 || d == wildtrain.Float16 || d == wildtrain.BFloat16
}

// byteSize is the size of a tensor's data, or an error where the shape is
// negative or the product overflows.
func byteSize(info wildtrain.Info) (int64, error) {
	size := int64(info.DType.Size())
	if size == 0 {
		return 0, fmt.Errorf("type %v is unknown", info.DType)
	}
	empty := false
	for _, d := range info.Shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", info.Shape)
		}
		empty = empty || d == 0
	}
	if empty {
		return 0, nil
	}
	for _, d := range info.Shape {
		if size > math.MaxInt64/d {
			return 0, fmt.Errorf("shape %v overflows", info.Shape)
		}
		size *= d
	}
	return size, nil
}

// HalfToFloat32 converts an IEEE 754 binary16 number, exactly.
func HalfToFloat32(h uint16) float32 {
	sign, exp, frac := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exp == 0x1f: // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
	v := float32(frac) * (1.0 / (1 << 24)) // subnormal
	return math.Float32frombits(sign | math.Float32bits(v))
}

// BFloat16ToFloat32 converts a bfloat16 number, exactly.
func BFloat16ToFloat32(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// Float32ToBFloat16 rounds to the nearest bfloat16, ties to even, as PyTorch does.
func Float32ToBFloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	if f != f {
		return 0x7fc0
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// Float32ToHalf rounds to the nearest binary16, ties to even; what is too large becomes infinite.
func Float32ToHalf(f float32) uint16 {
	bits := math.Float32bits(f)
	sign, rest := uint16(bits>>16&0x8000), bits&0x7fffffff
	switch {
	case rest > 0x7f800000: // NaN
		return sign | 0x7e00
	case rest >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00
	case rest >= 0x38800000: // normal
		return sign | uint16((rest-0x38000000+0xfff+rest>>13&1)>>13)
	}
	// Subnormal: counting in units of 2⁻²⁴ is exact in float64.
	units := math.RoundToEven(math.Abs(float64(f)) * (1 << 24))
	return sign | uint16(units)
}

// floatAt reads element i of raw data of any type as float64.
func floatAt(d wildtrain.DType, b []byte, i int) float64 {
	le := binary.LittleEndian
	switch d {
	case wildtrain.Float32:
		return float64(math.Float32frombits(le.Uint32(b[4*i:])))
	case wildtrain.Float64:
		return math.Float64frombits(le.Uint64(b[8*i:]))
	case wildtrain.Float16:
		return float64(HalfToFloat32(le.Uint16(b[2*i:])))
	case wildtrain.BFloat16:
		return float64(BFloat16ToFloat32(le.Uint16(b[2*i:])))
	case wildtrain.Int64:
		return float64(int64(le.Uint64(b[8*i:])))
	case wildtrain.Int32:
		return float64(int32(le.Uint32(b[4*i:])))
	case wildtrain.Int16:
		return float64(int16(le.Uint16(b[2*i:])))
	case wildtrain.Int8:
		return float64(int8(b[i]))
	}
	return float64(b[i])
}

// convert writes src, of type from, into dst as type to. Both are
// floating-point types; double to half goes through single, as PyTorch does on CPU.
func convert(dst []byte, to wildtrain.DType, src []byte, from wildtrain.DType) {
	le := binary.LittleEndian
	for i := range len(src) / from.Size() {
		v := floatAt(from, src, i)
		switch to {
		case wildtrain.Float32:
			le.PutUint32(dst[4*i:], math.Float32bits(float32(v)))
		case wildtrain.Float64:
			le.PutUint64(dst[8*i:], math.Float64bits(v))
		case wildtrain.Float16:
			le.PutUint16(dst[2*i:], Float32ToHalf(float32(v)))
		case wildtrain.BFloat16:
			le.PutUint16(dst[2*i:], Float32ToBFloat16(float32(v)))
		}
	}
}
