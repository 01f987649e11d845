package vision

import (
	"slices"

	"github.com/wildtrain/sdk/torch"
)

// What a box is matched to if not to an object.
const (
	Background = -1 // overlaps no object enough
	Between    = -2 // neither object nor background: it teaches nothing
)

// Matcher assigns boxes to the objects that they overlap most.
type Matcher struct {
	High       float64 // least IoU with the object
	Low        float64 // below it the box is background
	LowQuality bool    // every object gets the boxes that overlap it most, if only a little …
	Least      float64 // … but at least by so much
}

// Match returns for each of found (N, 4) the index of one of objects (M, 4),
// Background or Between.
func (m Matcher) Match(objects, found *torch.Tensor) ([]int64, error) {
	n := int(found.Size(0))
	out := make([]int64, n)
	if objects.Size(0) == 0 || n == 0 {
		for i := range out {
			out[i] = Background
		}
		return out, found.Scope().Err()
	}
	var best []float32
	var claimed []uint8
	found.Sub(func() *torch.Tensor {
		quality := Pairwise(plainIoU, objects, found)
		top, at := quality.MaxDim(0, false)
		best, out = top.Float32s(best), at.Int64s(out)
		if m.LowQuality {
			most := quality.MaxKeep(1)
			enough := most.GreaterScalar(0).And(most.GreaterEqualScalar(m.Least))
			claimed = quality.Equal(most).And(enough).To(torch.Float).Max(0).Bytes(nil)
		}
		return nil
	})
	if err := found.Scope().Err(); err != nil {
		return nil, err
	}
	high, low := float32(m.High), float32(m.Low)
	for i, q := range best {
		switch {
		case claimed != nil && claimed[i] != 0:
		case q < low:
			out[i] = Background
		case q < high:
			out[i] = Between
		}
	}
	return out, nil
}

// plainIoU is IoU without the term that keeps losses finite: thresholds want the
// exact quotient. Two empty boxes have none in common.
func plainIoU(a, b *torch.Tensor) *torch.Tensor {
	p := newPair(a, b)
	const tiny = 1e-12
	return p.inter.Div(p.union.Clamp(tiny, inf))
}

// Sampler picks the boxes that a two-stage detector learns from.
type Sampler struct {
	Count    int     // boxes per picture
	Positive float64 // share of them that may be objects
}

// Sample picks among matches: indices of boxes with an object and of background,
// in rising order. choose(n, k) returns k of 0…n−1 at random.
func (s Sampler) Sample(matches []int64, choose func(n, k int) []int) (objects, background []int64) {
	for i, m := range matches {
		switch {
		case m >= 0:
			objects = append(objects, int64(i))
		case m == Background:
			background = append(background, int64(i))
		}
	}
	pick := func(from []int64, most int) []int64 {
		if len(from) <= most {
			return from
		}
		out := make([]int64, most)
		for i, j := range choose(len(from), most) {
			out[i] = from[j]
		}
		slices.Sort(out)
		return out
	}
	objects = pick(objects, int(float64(s.Count)*s.Positive))
	return objects, pick(background, s.Count-len(objects))
}
