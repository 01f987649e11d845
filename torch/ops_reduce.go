package torch

// #include "shim.h"
import "C"

import (
	"github.com/sugarme/gotch/libtch"
)

// the reductions of wt_reduce
const (
	reduceSum = iota
	reduceMean
	reduceMax
	reduceMin
	reduceNorm
	reduceStd
	reduceVar
	reduceLogSumExp
)

func (t *Tensor) reduce(name string, op int, keep bool, dims []int64) *Tensor {
	in := []*Tensor{t}
	return runOf(in).shim(name, in, func(out *C.wt_tensor) *C.char {
		return C.wt_reduce(out, t.ptr(), C.int(op), shapePtr(dims), C.int(len(dims)), boolInt(keep))
	})
}

// Sum over all elements, or over the given dimensions, which vanish.
func (t *Tensor) Sum(dims ...int64) *Tensor { return t.reduce("sum", reduceSum, false, dims) }

// SumKeep sums over the given dimensions, which stay with length 1.
func (t *Tensor) SumKeep(dims ...int64) *Tensor { return t.reduce("sum", reduceSum, true, dims) }

// Mean over all elements, or over the given dimensions, which vanish.
func (t *Tensor) Mean(dims ...int64) *Tensor { return t.reduce("mean", reduceMean, false, dims) }

// MeanKeep is Mean over dimensions that stay with length 1.
func (t *Tensor) MeanKeep(dims ...int64) *Tensor { return t.reduce("mean", reduceMean, true, dims) }

// Max over all elements, or over the given dimensions (amax).
func (t *Tensor) Max(dims ...int64) *Tensor { return t.reduce("amax", reduceMax, false, dims) }

// MaxKeep is Max over dimensions that stay with length 1.
func (t *Tensor) MaxKeep(dims ...int64) *Tensor { return t.reduce("amax", reduceMax, true, dims) }

// Min over all elements, or over the given dimensions (amin).
func (t *Tensor) Min(dims ...int64) *Tensor { return t.reduce("amin", reduceMin, false, dims) }

// Norm is the L2 norm over all elements, or over the given dimensions.
func (t *Tensor) Norm(dims ...int64) *Tensor { return t.reduce("norm", reduceNorm, false, dims) }

// Std is the unbiased standard deviation.
func (t *Tensor) Std(dims ...int64) *Tensor { return t.reduce("std", reduceStd, false, dims) }

// Var is the unbiased variance.
func (t *Tensor) Var(dims ...int64) *Tensor { return t.reduce("var", reduceVar, false, dims) }

// LogSumExp is ln Σ eᵗ over the given dimensions.
func (t *Tensor) LogSumExp(dims ...int64) *Tensor {
	return t.reduce("logsumexp", reduceLogSumExp, false, dims)
}

// MaxDim returns the largest values along dim and their indices (Int64).
func (t *Tensor) MaxDim(dim int64, keep bool) (values, indices *Tensor) {
	ts := applyMany("max", 2, func(out *ctensor) { libtch.AtgMaxDim(out, t.c, dim, int32(boolInt(keep))) }, t)
	return ts[0], ts[1]
}

// ArgMax returns the index of the largest value along dim.
func (t *Tensor) ArgMax(dim int64) *Tensor {
	return apply("argmax", func(out *ctensor) { libtch.AtgArgmax(out, t.c, dim, 0, 0) }, t)
}

// TopK returns the k largest values along dim in falling order, and their indices.
func (t *Tensor) TopK(k, dim int64) (values, indices *Tensor) {
	ts := applyMany("topk", 2, func(out *ctensor) { libtch.AtgTopk(out, t.c, k, dim, 1, 1) }, t)
	return ts[0], ts[1]
}

// Sort returns the values along dim in order, and their indices.
func (t *Tensor) Sort(dim int64, descending bool) (values, indices *Tensor) {
	ts := applyMany("sort", 2, func(out *ctensor) { libtch.AtgSort(out, t.c, dim, int32(boolInt(descending))) }, t)
	return ts[0], ts[1]
}

// Softmax along dim.
func (t *Tensor) Softmax(dim int64) *Tensor { return t.softmax("softmax", dim, 0) }

// LogSoftmax along dim.
func (t *Tensor) LogSoftmax(dim int64) *Tensor { return t.softmax("log_softmax", dim, 1) }

func (t *Tensor) softmax(name string, dim int64, log C.int) *Tensor {
	in := []*Tensor{t}
	return runOf(in).shim(name, in, func(out *C.wt_tensor) *C.char {
		return C.wt_softmax(out, t.ptr(), C.int64_t(dim), log)
	})
}

// CumSum is the running sum along dim.
func (t *Tensor) CumSum(dim int64) *Tensor {
	d := t.DType()
	return apply("cumsum", func(out *ctensor) { libtch.AtgCumsum(out, t.c, dim, int32(d)) }, t)
}
