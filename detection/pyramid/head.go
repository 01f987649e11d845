package pyramid

import (
	"fmt"
	"math"

	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Head turns the maps of a pyramid into losses and detections.
type Head interface {
	// Loss returns the parts of the loss as one tensor (k), the total first, for the
	// names of Losses. choose(n, k) returns k of 0…n−1 at random.
	Loss(maps []*torch.Tensor, im *Images, targets []Target, choose func(n, k int) []int) (*torch.Tensor, error)
	Losses() []string
	// FirstLabel is torchvision's number of class 0: 1 where 0 is the background.
	FirstLabel() int64
	// Detect returns what the head gives, by name and level, and what is found.
	Detect(maps []*torch.Tensor, im *Images) (raw map[string]*torch.Tensor, found []Found, err error)
}

// Pack puts the sum of the parts of a loss before them: what Head.Loss returns.
func Pack(parts ...*torch.Tensor) *torch.Tensor {
	total := parts[0]
	for _, p := range parts[1:] {
		total = total.Add(p)
	}
	return torch.Stack(append([]*torch.Tensor{total}, parts...), 0)
}

// Target is what there is to find in one picture.
type Target struct {
	Boxes  *torch.Tensor // (M, 4) corners in px of the resized picture
	Labels []int64       // class of each
	Masks  *torch.Tensor // (M, H, W) of 0 and 1, on the resized picture; nil where there are none
}

// Found are the detections in one picture, by falling score.
type Found struct {
	Boxes  []float32 // four corners each, in px of the resized picture
	Scores []float32
	Labels []int64       // classes, from 0
	Masks  *torch.Tensor // (K, m, m): probabilities within the box; nil without
}

// targets reads the objects of samples. Crowds and empty boxes teach nothing.
func targets(s *torch.Scope, im *Images, samples []wildtrain.Sample, classes int, masks bool) ([]Target, error) {
	out := make([]Target, len(samples))
	for i := range samples {
		size, given := im.Sizes[i], im.Given[i]
		x, y := float32(size.Width)/float32(given.Width), float32(size.Height)/float32(given.Height)
		var data []float32
		var shapes []*wildtrain.Mask
		for _, o := range samples[i].Objects {
			switch {
			case o.Class < 0 || o.Class >= classes:
				return nil, fmt.Errorf("detection: %s: class %d of %d", samples[i].ID, o.Class, classes)
			case !o.Box.Finite():
				return nil, fmt.Errorf("detection: %s: box %v is not finite", samples[i].ID, o.Box)
			case o.Crowd || o.Box.Area() == 0:
				continue
			case masks && o.Mask == nil:
				return nil, fmt.Errorf("detection: %s: an object has no mask: masks are learnt from data with outlines (data.masks=true)", samples[i].ID)
			}
			data = append(data, float32(o.Box.X1)*x, float32(o.Box.Y1)*y, float32(o.Box.X2)*x, float32(o.Box.Y2)*y)
			out[i].Labels, shapes = append(out[i].Labels, int64(o.Class)), append(shapes, o.Mask)
		}
		out[i].Boxes = torch.Of(s, data, int64(len(out[i].Labels)), 4)
		if masks && len(shapes) > 0 {
			var err error
			if out[i].Masks, err = maskTensor(s, shapes, given, size); err != nil {
				return nil, fmt.Errorf("detection: %s: %w", samples[i].ID, err)
			}
		}
	}
	return out, s.Err()
}

// maskTensor is (M, H, W) of masks of a picture, brought to its new size by the
// nearest pixel.
func maskTensor(s *torch.Scope, masks []*wildtrain.Mask, given, size Size) (*torch.Tensor, error) {
	var data []uint8
	for _, m := range masks {
		if int64(m.Height) != given.Height || int64(m.Width) != given.Width {
			return nil, fmt.Errorf("a mask of %d×%d px in a picture of %d×%d", m.Width, m.Height, given.Width, given.Height)
		}
		data = append(data, (*rle.Mask)(m).Decode()...)
	}
	x := torch.Of(s, data, 1, int64(len(masks)), given.Height, given.Width).To(torch.Float)
	if given != size {
		x = x.Interpolate(size.Height, size.Width, torch.InterpolateOptions{})
	}
	return x.Squeeze(0), nil
}

// paste puts a mask (m, m) of probabilities into a picture at a box: (H, W), zero
// elsewhere. A row of zeros around the mask keeps its edge soft, as torchvision's
// paste_masks_in_image.
func paste(mask *torch.Tensor, box []float32, size Size) *torch.Tensor {
	return mask.Sub(func() *torch.Tensor {
		m := mask.Size(0)
		grow := float32(float64(m+2) / float64(m))
		span := func(lo, hi float32) (from, to int64) {
			half, middle := (hi-lo)*0.5*grow, (hi+lo)*0.5
			return int64(middle - half), int64(middle + half)
		}
		x0, x1 := span(box[0], box[2])
		y0, y1 := span(box[1], box[3])
		w, h := max(x1-x0+1, 1), max(y1-y0+1, 1)
		grown := mask.Pad(0, 1, 1, 1, 1).Unsqueeze(0).Unsqueeze(0).Interpolate(h, w, torch.InterpolateOptions{Mode: torch.Bilinear})
		// a negative filling cuts what lies beyond the picture
		return grown.Pad(0, x0, size.Width-x0-w, y0, size.Height-y0-h).Squeeze(0).Squeeze(0)
	})
}

// binary is the mask of a pasted one: where its probability is at least a half.
func binary(pasted *torch.Tensor) (*wildtrain.Mask, error) {
	const likely = 0.5
	pixels := pasted.GreaterEqualScalar(likely).Bytes(nil)
	if err := pasted.Scope().Err(); err != nil {
		return nil, err
	}
	m, err := rle.Encode(int(pasted.Size(0)), int(pasted.Size(1)), pixels)
	if err != nil {
		return nil, err
	}
	return (*wildtrain.Mask)(m), nil
}

// finite reports whether all corners are numbers.
func finite(box []float32) bool {
	for _, v := range box {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}
