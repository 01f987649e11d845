package vision

import (
	"math"

	"github.com/wildtrain/sdk/torch"
)

// Pooling reads regions of pictures from a pyramid of feature maps, each from the
// level that fits its size (Lin et al. 2017, arXiv 1612.03144, equation 1).
type Pooling struct {
	Size     int64 // side of the result
	Sampling int64 // see torch.RoIAlignOptions
	Aligned  bool
}

// Scales are the cells per pixel of maps of pictures that are height px high
// without their padding, rounded to powers of two.
func Scales(maps []*torch.Tensor, height int64) []float64 {
	out := make([]float64, len(maps))
	for i, m := range maps {
		out[i] = math.Exp2(math.RoundToEven(math.Log2(float64(m.Size(2)) / float64(height))))
	}
	return out
}

// Pool reads regions (K, 4; corners in px) of the pictures with the given indices
// from maps (N, C, h, w) with their scales: (K, C, Size, Size).
func (p Pooling) Pool(maps []*torch.Tensor, scales []float64, regions *torch.Tensor, pictures []int64) *torch.Tensor {
	return regions.Sub(func() *torch.Tensor {
		s := regions.Scope()
		index := torch.Of(s, pictures, int64(len(pictures)), 1).To(torch.Float)
		rois := torch.Cat([]*torch.Tensor{index, regions.Detach().To(torch.Float)}, 1)
		levels := p.levels(regions, scales)
		read := func(level int, rois *torch.Tensor) *torch.Tensor {
			return maps[level].RoIAlign(rois, torch.RoIAlignOptions{
				Scale: scales[level], Height: p.Size, Width: p.Size, Sampling: p.Sampling, Aligned: p.Aligned,
			})
		}
		var parts []*torch.Tensor
		place := make([]int64, len(pictures))
		done := int64(0)
		for level := range maps {
			var at []int64
			for i, l := range levels {
				if l == level {
					place[i] = done
					at, done = append(at, int64(i)), done+1
				}
			}
			if len(at) > 0 {
				parts = append(parts, read(level, rois.IndexSelect(0, torch.Of(s, at, int64(len(at))))))
			}
		}
		if len(parts) == 0 {
			return read(0, rois)
		}
		return torch.Cat(parts, 0).IndexSelect(0, torch.Of(s, place, int64(len(place))))
	})
}

// levels tells for each region which map it is read from: a region of 224 px
// stands on level 4, one of half the side a level lower.
func (p Pooling) levels(regions *torch.Tensor, scales []float64) []int {
	const canonicalSide, canonicalLevel, eps = 224, 4, 1e-6
	lowest := int(-math.Log2(scales[0]))
	highest := int(-math.Log2(scales[len(scales)-1]))
	areas := Area(regions).Float32s(nil)
	out := make([]int, len(areas))
	for i, a := range areas {
		side := float64(float32(math.Sqrt(float64(a))))
		level := float64(lowest) // also of an area that is no number
		if l := math.Floor(canonicalLevel + math.Log2(side/canonicalSide) + eps); l > level {
			level = math.Min(l, float64(highest))
		}
		out[i] = int(level) - lowest
	}
	return out
}
