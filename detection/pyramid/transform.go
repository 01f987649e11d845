package pyramid

import (
	"errors"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// divisor: sides of what the backbone gets are multiples of it.
const divisor = 32

// Transform brings pictures into the form that the backbone wants: normalised,
// of a certain size, filled up with zeros at the right and the lower edge.
type Transform struct {
	MinSize, MaxSize int        // px: a picture's shorter side becomes MinSize, unless the longer one would exceed MaxSize
	Mean, Std        [3]float64 // RGB in 0..1
}

// DefaultTransform is torchvision's: 800 px, at most 1333, ImageNet's statistics.
func DefaultTransform() Transform {
	return Transform{MinSize: 800, MaxSize: 1333, Mean: [3]float64{0.485, 0.456, 0.406}, Std: [3]float64{0.229, 0.224, 0.225}}
}

func (t Transform) validate() error {
	var errs []error
	if t.MinSize < 1 || t.MaxSize < t.MinSize || t.MaxSize > 1<<14 {
		errs = append(errs, fmt.Errorf("detection: sizes %d to %d px: want 1 ≤ least ≤ most ≤ 16384", t.MinSize, t.MaxSize))
	}
	for i, s := range t.Std {
		if !(s > 0) || math.IsNaN(t.Mean[i]) {
			errs = append(errs, fmt.Errorf("detection: mean %v and standard deviation %v must be numbers, the latter positive", t.Mean, t.Std))
			break
		}
	}
	return errors.Join(errs...)
}

// Size is height and width of a picture in px.
type Size struct{ Height, Width int64 }

// target is the size to which a picture is brought.
func (t Transform) target(s Size) Size {
	short, long := float64(min(s.Height, s.Width)), float64(max(s.Height, s.Width))
	scale := math.Min(float64(t.MinSize)/short, float64(t.MaxSize)/long)
	side := func(n int64) int64 { return max(int64(math.Floor(float64(n)*scale)), 1) }
	return Size{side(s.Height), side(s.Width)}
}

// Images are pictures as the network gets them.
type Images struct {
	Pixels *torch.Tensor // (N, 3, H, W), normalised and filled up
	Sizes  []Size        // of each without the filling
	Given  []Size        // of each before it was resized
}

// Height is that of the highest picture, filling left out.
func (im *Images) Height() int64 {
	var h int64
	for _, s := range im.Sizes {
		h = max(h, s.Height)
	}
	return h
}

// apply resizes pictures (3, H, W) in 0..1, each on its own, or takes them as they are.
func (t Transform) apply(s *torch.Scope, pictures []*torch.Tensor, resize bool) *Images {
	im := &Images{}
	mean, std := torch.Of(s, t.Mean[:], 3, 1, 1).To(torch.Float), torch.Of(s, t.Std[:], 3, 1, 1).To(torch.Float)
	parts := make([]*torch.Tensor, len(pictures))
	var most Size
	for i, p := range pictures {
		size := Size{p.Size(1), p.Size(2)}
		im.Given = append(im.Given, size)
		x := p.Minus(mean).Div(std).Unsqueeze(0)
		if resize {
			size = t.target(size)
			x = x.Interpolate(size.Height, size.Width, torch.InterpolateOptions{Mode: torch.Bilinear})
		}
		im.Sizes, parts[i] = append(im.Sizes, size), x
		most = Size{max(most.Height, size.Height), max(most.Width, size.Width)}
	}
	full := func(n int64) int64 { return (n + divisor - 1) / divisor * divisor }
	for i, size := range im.Sizes {
		parts[i] = parts[i].Pad(0, 0, full(most.Width)-size.Width, 0, full(most.Height)-size.Height)
	}
	im.Pixels = torch.Cat(parts, 0)
	return im
}

// restore maps corners in a resized picture back to the picture as it was given.
func (im *Images) restore(i int, boxes []float32) {
	from, to := im.Sizes[i], im.Given[i]
	x, y := float32(to.Width)/float32(from.Width), float32(to.Height)/float32(from.Height)
	for k := range boxes {
		if k%2 == 0 {
			boxes[k] *= x
		} else {
			boxes[k] *= y
		}
	}
}

// input puts a batch on the device. Pictures of one size have been brought to it
// by the data module and stay so; those of different sizes are resized here.
func (m *Detector) input(s *torch.Scope, b *wildtrain.Batch) (*Images, error) {
	defer b.Release()
	if len(b.Pixels.Images) == 0 {
		x, err := m.Input(s, b)
		if err != nil {
			return nil, err
		}
		return m.cfg.Transform.apply(s, rows(x), false), s.Err()
	}
	if len(b.Pixels.Images) != len(b.Samples) {
		return nil, fmt.Errorf("detection: %d pictures for %d samples", len(b.Pixels.Images), len(b.Samples))
	}
	pictures := make([]*torch.Tensor, len(b.Pixels.Images))
	for i, p := range b.Pixels.Images {
		one := wildtrain.NewBatch(wildtrain.Pixels{N: 1, Height: p.Height, Width: p.Width, Channels: p.Channels, U8: p.U8, U16: p.U16}, b.Samples[i:i+1], nil)
		x, err := m.Input(s, one)
		if err != nil {
			return nil, err
		}
		pictures[i] = x.Squeeze(0)
	}
	return m.cfg.Transform.apply(s, pictures, true), s.Err()
}

// rows are the pictures of (N, 3, H, W).
func rows(x *torch.Tensor) []*torch.Tensor {
	out := make([]*torch.Tensor, x.Size(0))
	for i := range out {
		out[i] = x.Select(0, int64(i))
	}
	return out
}
