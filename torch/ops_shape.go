package torch

// #include "shim.h"
import "C"

import (
	"github.com/sugarme/gotch/libtch"
)

// dims gives libtch a slice whose first element exists, also for a scalar's shape.
func dims(shape []int64) []int64 {
	if len(shape) == 0 {
		return make([]int64, 0, 1)[:1]
	}
	return shape
}

// View is the same data in another shape; −1 stands for what is left over.
func (t *Tensor) View(shape ...int64) *Tensor {
	return apply("view", func(out *ctensor) { libtch.AtgView(out, t.c, dims(shape), len(shape)) }, t)
}

// Reshape is View where possible, else a copy.
func (t *Tensor) Reshape(shape ...int64) *Tensor {
	return apply("reshape", func(out *ctensor) { libtch.AtgReshape(out, t.c, dims(shape), len(shape)) }, t)
}

// Flatten joins the dimensions from start to end, both included.
func (t *Tensor) Flatten(start, end int64) *Tensor {
	return apply("flatten", func(out *ctensor) { libtch.AtgFlatten(out, t.c, start, end) }, t)
}

// Permute reorders the dimensions.
func (t *Tensor) Permute(order ...int64) *Tensor {
	return apply("permute", func(out *ctensor) { libtch.AtgPermute(out, t.c, dims(order), len(order)) }, t)
}

// Transpose swaps two dimensions.
func (t *Tensor) Transpose(a, b int64) *Tensor {
	return apply("transpose", func(out *ctensor) { libtch.AtgTranspose(out, t.c, a, b) }, t)
}

// Unsqueeze adds a dimension of length 1.
func (t *Tensor) Unsqueeze(dim int64) *Tensor {
	return apply("unsqueeze", func(out *ctensor) { libtch.AtgUnsqueeze(out, t.c, dim) }, t)
}

// Squeeze removes a dimension of length 1.
func (t *Tensor) Squeeze(dim int64) *Tensor {
	return apply("squeeze", func(out *ctensor) { libtch.AtgSqueezeDim(out, t.c, dim) }, t)
}

// Expand repeats dimensions of length 1 without copying; −1 keeps a dimension.
func (t *Tensor) Expand(shape ...int64) *Tensor {
	return apply("expand", func(out *ctensor) { libtch.AtgExpand(out, t.c, dims(shape), len(shape), 0) }, t)
}

// Repeat copies the tensor along its dimensions.
func (t *Tensor) Repeat(times ...int64) *Tensor {
	return apply("repeat", func(out *ctensor) { libtch.AtgRepeat(out, t.c, dims(times), len(times)) }, t)
}

// Narrow is the part [start, start+length) along dim.
func (t *Tensor) Narrow(dim, start, length int64) *Tensor {
	return apply("narrow", func(out *ctensor) { libtch.AtgNarrow(out, t.c, dim, start, length) }, t)
}

// Select is the entry at index along dim, which vanishes.
func (t *Tensor) Select(dim, index int64) *Tensor {
	return apply("select", func(out *ctensor) { libtch.AtgSelect(out, t.c, dim, index) }, t)
}

// Flip reverses the given dimensions.
func (t *Tensor) Flip(which ...int64) *Tensor {
	return apply("flip", func(out *ctensor) { libtch.AtgFlip(out, t.c, dims(which), len(which)) }, t)
}

// Roll shifts along the given dimensions; what leaves at one end comes in at the other.
func (t *Tensor) Roll(shifts, which []int64) *Tensor {
	return apply("roll", func(out *ctensor) {
		libtch.AtgRoll(out, t.c, dims(shifts), len(shifts), dims(which), len(which))
	}, t)
}

// Split cuts t along dim into pieces of the given sizes.
func (t *Tensor) Split(dim int64, sizes ...int64) []*Tensor {
	out := make([]*Tensor, len(sizes))
	at := int64(0)
	for i, n := range sizes {
		out[i] = t.Narrow(dim, at, n)
		at += n
	}
	return out
}

// Chunk cuts t along dim into n equal pieces; the length must divide.
func (t *Tensor) Chunk(n, dim int64) []*Tensor {
	size := t.Size(int(dim))
	if n <= 0 || size%n != 0 {
		runOf([]*Tensor{t}).fail("chunk", "length does not divide")
	}
	sizes := make([]int64, n)
	for i := range sizes {
		sizes[i] = size / max(n, 1)
	}
	return t.Split(dim, sizes...)
}

func handlesOf(ts []*Tensor) []ctensor {
	out := make([]ctensor, max(len(ts), 1))
	for i, t := range ts {
		out[i] = t.raw()
	}
	return out
}

// Cat joins tensors along dim.
func Cat(ts []*Tensor, dim int64) *Tensor {
	return apply("cat", func(out *ctensor) { libtch.AtgCat(out, handlesOf(ts), len(ts), dim) }, ts...)
}

// Stack joins tensors along a new dimension.
func Stack(ts []*Tensor, dim int64) *Tensor {
	return apply("stack", func(out *ctensor) { libtch.AtgStack(out, handlesOf(ts), len(ts), dim) }, ts...)
}

// IndexSelect takes the entries of the given indices (Int64) along dim.
func (t *Tensor) IndexSelect(dim int64, index *Tensor) *Tensor {
	return apply("index_select", func(out *ctensor) { libtch.AtgIndexSelect(out, t.c, dim, index.c) }, t, index)
}

// Gather takes one entry along dim for every element of index.
func (t *Tensor) Gather(dim int64, index *Tensor) *Tensor {
	return apply("gather", func(out *ctensor) { libtch.AtgGather(out, t.c, dim, index.c, 0) }, t, index)
}

// Index is t[i, j, …] with one Int64 or Bool tensor per leading dimension.
func (t *Tensor) Index(indices ...*Tensor) *Tensor {
	return apply("index", func(out *ctensor) { libtch.AtgIndex(out, t.c, handlesOf(indices), len(indices)) },
		append([]*Tensor{t}, indices...)...)
}

// IndexPut is a copy of t with t[i, j, …] set to values, or increased by them.
func (t *Tensor) IndexPut(values *Tensor, accumulate bool, indices ...*Tensor) *Tensor {
	return apply("index_put", func(out *ctensor) {
		libtch.AtgIndexPut(out, t.c, handlesOf(indices), len(indices), values.c, int32(boolInt(accumulate)))
	}, append([]*Tensor{t, values}, indices...)...)
}

// Scatter is a copy of t with src written at index along dim.
func (t *Tensor) Scatter(dim int64, index, src *Tensor) *Tensor {
	return apply("scatter", func(out *ctensor) { libtch.AtgScatter(out, t.c, dim, index.c, src.c) }, t, index, src)
}

// ScatterAdd is a copy of t with src added at index along dim.
func (t *Tensor) ScatterAdd(dim int64, index, src *Tensor) *Tensor {
	return apply("scatter_add", func(out *ctensor) { libtch.AtgScatterAdd(out, t.c, dim, index.c, src.c) }, t, index, src)
}

// MaskedSelect takes the elements where mask is true, in one dimension.
func (t *Tensor) MaskedSelect(mask *Tensor) *Tensor {
	return apply("masked_select", func(out *ctensor) { libtch.AtgMaskedSelect(out, t.c, mask.c) }, t, mask)
}

// NonZero returns the indices of all elements that are not zero, (count, dims), Int64.
func (t *Tensor) NonZero() *Tensor { return unary("nonzero", t, libtch.AtgNonzero) }

// OneHot is 1 at the class of each element in a new last dimension, Int64.
func (t *Tensor) OneHot(classes int64) *Tensor {
	return apply("one_hot", func(out *ctensor) { libtch.AtgOneHot(out, t.c, classes) }, t)
}

// Pad adds v around the last dimensions: left, right, top, bottom, …; negative cuts.
func (t *Tensor) Pad(v float64, pad ...int64) *Tensor {
	in := []*Tensor{t}
	return runOf(in).shim("pad", in, func(out *C.wt_tensor) *C.char {
		return C.wt_pad(out, t.ptr(), shapePtr(pad), C.int(len(pad)), C.double(v))
	})
}
