package torch

// #include "shim.h"
import "C"

import (
	"math"

	"github.com/sugarme/gotch/libtch"
)

func unary(op string, t *Tensor, f func(*libtch.Ctensor, libtch.Ctensor)) *Tensor {
	return apply(op, func(out *ctensor) { f(out, t.c) }, t)
}

func binary(op string, t, o *Tensor, f func(*libtch.Ctensor, libtch.Ctensor, libtch.Ctensor)) *Tensor {
	return apply(op, func(out *ctensor) { f(out, t.c, o.raw()) }, t, o)
}

// Element-wise operations of two tensors broadcast as PyTorch's do.

// Add is t + o.
func (t *Tensor) Add(o *Tensor) *Tensor { return binary("add", t, o, libtch.AtgAdd) }

// Minus is t − o.
func (t *Tensor) Minus(o *Tensor) *Tensor { return binary("sub", t, o, libtch.AtgSub) }

// Mul is t · o.
func (t *Tensor) Mul(o *Tensor) *Tensor { return binary("mul", t, o, libtch.AtgMul) }

// Div is t / o.
func (t *Tensor) Div(o *Tensor) *Tensor { return binary("div", t, o, libtch.AtgDiv) }

// Maximum is the larger of both, element by element.
func (t *Tensor) Maximum(o *Tensor) *Tensor { return binary("maximum", t, o, libtch.AtgMaximum) }

// Minimum is the smaller of both, element by element.
func (t *Tensor) Minimum(o *Tensor) *Tensor { return binary("minimum", t, o, libtch.AtgMinimum) }

// Atan2 is the angle of the point (o, t).
func (t *Tensor) Atan2(o *Tensor) *Tensor { return binary("atan2", t, o, libtch.AtgAtan2) }

// And is the logical and.
func (t *Tensor) And(o *Tensor) *Tensor { return binary("logical_and", t, o, libtch.AtgLogicalAnd) }

// Greater is t > o as Bool.
func (t *Tensor) Greater(o *Tensor) *Tensor { return binary("gt", t, o, libtch.AtgGtTensor) }

// Equal is t = o as Bool.
func (t *Tensor) Equal(o *Tensor) *Tensor { return binary("eq", t, o, libtch.AtgEqTensor) }

// MatMul is the matrix product; leading dimensions are batches.
func (t *Tensor) MatMul(o *Tensor) *Tensor { return binary("matmul", t, o, libtch.AtgMatmul) }

// Neg is −t.
func (t *Tensor) Neg() *Tensor { return unary("neg", t, libtch.AtgNeg) }

// Abs is |t|.
func (t *Tensor) Abs() *Tensor { return unary("abs", t, libtch.AtgAbs) }

// Exp is eᵗ.
func (t *Tensor) Exp() *Tensor { return unary("exp", t, libtch.AtgExp) }

// Log is the natural logarithm.
func (t *Tensor) Log() *Tensor { return unary("log", t, libtch.AtgLog) }

// Sqrt is the square root.
func (t *Tensor) Sqrt() *Tensor { return unary("sqrt", t, libtch.AtgSqrt) }

// Square is t².
func (t *Tensor) Square() *Tensor { return unary("square", t, libtch.AtgSquare) }

// Atan is the arc tangent.
func (t *Tensor) Atan() *Tensor { return unary("atan", t, libtch.AtgAtan) }

// Floor rounds down.
func (t *Tensor) Floor() *Tensor { return unary("floor", t, libtch.AtgFloor) }

// Round rounds half to even.
func (t *Tensor) Round() *Tensor { return unary("round", t, libtch.AtgRound) }

// Sigmoid is 1/(1+e⁻ᵗ).
func (t *Tensor) Sigmoid() *Tensor { return unary("sigmoid", t, libtch.AtgSigmoid) }

// Tanh is the hyperbolic tangent.
func (t *Tensor) Tanh() *Tensor { return unary("tanh", t, libtch.AtgTanh) }

// SiLU is t·sigmoid(t).
func (t *Tensor) SiLU() *Tensor { return unary("silu", t, libtch.AtgSilu) }

// ReLU is max(t, 0).
func (t *Tensor) ReLU() *Tensor { return unary("relu", t, libtch.AtgRelu) }

// ReLU6 is min(max(t, 0), 6).
func (t *Tensor) ReLU6() *Tensor { return unary("relu6", t, libtch.AtgRelu6) }

// Mish is t·tanh(ln(1+eᵗ)).
func (t *Tensor) Mish() *Tensor { return unary("mish", t, libtch.AtgMish) }

// Softplus is ln(1+eᵗ).
func (t *Tensor) Softplus() *Tensor { return unary("softplus", t, libtch.AtgSoftplus) }

// HardSwish is t·relu6(t+3)/6.
func (t *Tensor) HardSwish() *Tensor { return unary("hardswish", t, libtch.AtgHardswish) }

// HardSigmoid is relu6(t+3)/6.
func (t *Tensor) HardSigmoid() *Tensor { return unary("hardsigmoid", t, libtch.AtgHardsigmoid) }

// GELU is t·Φ(t), with the error function.
func (t *Tensor) GELU() *Tensor {
	return apply("gelu", func(out *ctensor) { libtch.AtgGelu(out, t.c, "none") }, t)
}

// IsFinite is false where an element is NaN or infinite.
func (t *Tensor) IsFinite() *Tensor { return unary("isfinite", t, libtch.AtgIsfinite) }

// Detach is t without its history: gradients stop there.
func (t *Tensor) Detach() *Tensor { return unary("detach", t, libtch.AtgDetach) }

// Clone is a copy of its own; gradients flow through.
func (t *Tensor) Clone() *Tensor { return t.AddScalar(0) }

// the scalar operations of wt_scalar_op
const (
	opAdd = iota
	opMul
	opDiv
	opPow
	opRsub
	opGt
	opGe
	opLt
	opLe
	opEq
	opNe
	opLeakyReLU
	opRemainder
	opReciprocal
)

func (t *Tensor) scalar(name string, op int, v float64) *Tensor {
	in := []*Tensor{t}
	return runOf(in).shim(name, in, func(out *C.wt_tensor) *C.char {
		return C.wt_scalar_op(out, t.ptr(), C.int(op), C.double(v))
	})
}

// AddScalar is t + v.
func (t *Tensor) AddScalar(v float64) *Tensor { return t.scalar("add", opAdd, v) }

// MulScalar is t · v.
func (t *Tensor) MulScalar(v float64) *Tensor { return t.scalar("mul", opMul, v) }

// DivScalar is t / v.
func (t *Tensor) DivScalar(v float64) *Tensor { return t.scalar("div", opDiv, v) }

// PowScalar is t to the power of v.
func (t *Tensor) PowScalar(v float64) *Tensor { return t.scalar("pow", opPow, v) }

// ScalarMinus is v − t.
func (t *Tensor) ScalarMinus(v float64) *Tensor { return t.scalar("rsub", opRsub, v) }

// ScalarDiv is v / t.
func (t *Tensor) ScalarDiv(v float64) *Tensor { return t.scalar("reciprocal", opReciprocal, v) }

// GreaterScalar is t > v as Bool.
func (t *Tensor) GreaterScalar(v float64) *Tensor { return t.scalar("gt", opGt, v) }

// GreaterEqualScalar is t ≥ v as Bool.
func (t *Tensor) GreaterEqualScalar(v float64) *Tensor { return t.scalar("ge", opGe, v) }

// LessScalar is t < v as Bool.
func (t *Tensor) LessScalar(v float64) *Tensor { return t.scalar("lt", opLt, v) }

// LessEqualScalar is t ≤ v as Bool.
func (t *Tensor) LessEqualScalar(v float64) *Tensor { return t.scalar("le", opLe, v) }

// EqualScalar is t = v as Bool.
func (t *Tensor) EqualScalar(v float64) *Tensor { return t.scalar("eq", opEq, v) }

// NotEqualScalar is t ≠ v as Bool.
func (t *Tensor) NotEqualScalar(v float64) *Tensor { return t.scalar("ne", opNe, v) }

// LeakyReLU is t for t > 0, slope·t otherwise.
func (t *Tensor) LeakyReLU(slope float64) *Tensor { return t.scalar("leaky_relu", opLeakyReLU, slope) }

// Remainder is the modulus with the sign of v.
func (t *Tensor) Remainder(v float64) *Tensor { return t.scalar("remainder", opRemainder, v) }

// Clamp limits the elements to [lo, hi]; an infinite bound is none.
func (t *Tensor) Clamp(lo, hi float64) *Tensor {
	in := []*Tensor{t}
	return runOf(in).shim("clamp", in, func(out *C.wt_tensor) *C.char {
		return C.wt_clamp(out, t.ptr(), C.double(lo), boolInt(!math.IsInf(lo, -1)), C.double(hi), boolInt(!math.IsInf(hi, 1)))
	})
}

// Where takes elements of a where t is true, of b elsewhere.
func (t *Tensor) Where(a, b *Tensor) *Tensor {
	return apply("where", func(out *ctensor) { libtch.AtgWhereSelf(out, t.c, a.c, b.c) }, t, a, b)
}

// To converts the element type; the same tensor where it has it already.
func (t *Tensor) To(d DType) *Tensor { return t.to(d, t.Device(), 0) }

// ToDevice moves the tensor.
func (t *Tensor) ToDevice(dev Device) *Tensor { return t.to(keepDType, dev, 0) }

// Contiguous is the tensor in row-major layout.
func (t *Tensor) Contiguous() *Tensor { return t.to(keepDType, t.Device(), 1) }

// ToChannelsLast is a 4-d tensor in NHWC layout; others stay as they are.
func (t *Tensor) ToChannelsLast() *Tensor { return t.to(keepDType, t.Device(), 2) }

func (t *Tensor) to(d DType, dev Device, layout int) *Tensor {
	in := []*Tensor{t}
	return runOf(in).shim("to", in, func(out *C.wt_tensor) *C.char {
		return C.wt_to(out, t.ptr(), C.int(d), C.int(dev), C.int(layout))
	})
}
