package torch

// #include "shim_attention.h"
import "C"

// DeformableAttention is multi-scale deformable attention (Zhu et al. 2021,
// arXiv 2010.04159, equation 3): the sum, over levels and points, of values that
// are sampled bilinearly at given places, zero outside, times their weights.
//
// value (N, S, heads, d) holds the positions of all levels, one level after the
// other and row by row; shapes are height and width of each level; locations
// (N, Q, heads, levels, points, 2) are x and y, 0..1 across a level; weights are
// (N, Q, heads, levels, points). The result is (N, Q, heads·d), float32 also in
// mixed precision. Gradients flow to value, locations and weights.
func DeformableAttention(value *Tensor, shapes [][2]int64, locations, weights *Tensor) *Tensor {
	if value.Device().IsCUDA() {
		return deformableByGrid(value, shapes, locations, weights)
	}
	flat := make([]int64, 0, 2*len(shapes))
	for _, s := range shapes {
		flat = append(flat, s[0], s[1])
	}
	in := []*Tensor{value, locations, weights}
	return runOf(in).shim("deformable_attention", in, func(out *C.wt_tensor) *C.char {
		return C.wt_deformable_attention(out, value.ptr(), shapePtr(flat), C.int(len(shapes)), locations.ptr(), weights.ptr())
	})
}

// deformableByGrid is DeformableAttention composed of one grid sampling per level.
func deformableByGrid(value *Tensor, shapes [][2]int64, locations, weights *Tensor) *Tensor {
	v, l := value.Shape(), locations.Shape()
	if len(v) != 4 || len(l) != 6 || l[3] != int64(len(shapes)) {
		return value.Scope().Fail("deformable_attention", "values must be (N, S, heads, d), locations (N, Q, heads, levels, points, 2)")
	}
	n, heads, d, q, points := v[0], v[2], v[3], l[1], l[4]
	return value.Sub(func() *Tensor {
		if value.DType() != Double {
			value, locations, weights = value.To(Float), locations.To(Float), weights.To(Float)
		}
		grids := locations.MulScalar(2).AddScalar(-1).Transpose(1, 2) // (N, heads, Q, levels, points, 2)
		sampled := make([]*Tensor, len(shapes))
		start := int64(0)
		for i, s := range shapes {
			level := value.Narrow(1, start, s[0]*s[1]).Permute(0, 2, 3, 1).Reshape(n*heads, d, s[0], s[1])
			sampled[i] = level.GridSample(grids.Select(3, int64(i)).Reshape(n*heads, q, points, 2), false)
			start += s[0] * s[1]
		}
		// (N·heads, d, Q, levels·points)
		all := Stack(sampled, 3).Reshape(n*heads, d, q, l[3]*points)
		share := weights.Transpose(1, 2).Reshape(n*heads, 1, q, l[3]*points)
		return all.Mul(share).Sum(3).View(n, heads*d, q).Transpose(1, 2)
	})
}
