package detection

import (
	"math"

	"github.com/wildtrain/sdk/torch"
)

// view is one look at the images of a batch in test-time augmentation.
type view struct {
	scale float64
	flip  bool // mirrored left to right
	first int  // the levels from here on …
	omit  int  // … but for so many last ones count
}

// views are the looks: as it is, a little smaller and mirrored, and smaller
// still. The first one leaves the coarsest level, of the largest objects, to the
// smaller ones; the last one leaves the finest level to the others.
var views = []view{{scale: 1, omit: 1}, {scale: 0.83, flip: true}, {scale: 0.67, first: 1}}

// padValue fills images up to a multiple of the stride: ImageNet's mean grey.
const padValue = 0.447

// decoded is the decoded output (N, 4+nc, A) for images (N, 3, H, W) whose levels
// are known: of the one view, or of all views one behind the other.
func (m *YOLO) decoded(images *torch.Tensor, levels []*torch.Tensor) *torch.Tensor {
	if !m.cfg.Postprocess.Augment {
		return m.net.head.decode(levels)
	}
	parts := make([]*torch.Tensor, len(views))
	for i, v := range views {
		parts[i] = images.Sub(func() *torch.Tensor {
			seen := levels
			if v.scale != 1 || v.flip {
				seen = m.net.forward(v.look(images, m.net.stride()))
			}
			return v.restore(v.choose(m.net.head.decode(seen), seen), images.Size(3))
		})
	}
	return torch.Cat(parts, 2)
}

// look makes the view's images: mirrored, scaled down to whole pixels and filled
// up at the right and the lower edge.
func (v view) look(images *torch.Tensor, stride int64) *torch.Tensor {
	if v.flip {
		images = images.Flip(3)
	}
	side := func(n int64) (scaled, full int64) {
		x := float64(n) * v.scale
		return int64(x), int64(math.Ceil(x/float64(stride))) * stride
	}
	h, fullH := side(images.Size(2))
	w, fullW := side(images.Size(3))
	scaled := images.Interpolate(h, w, torch.InterpolateOptions{Mode: torch.Bilinear})
	return scaled.Pad(padValue, 0, fullW-w, 0, fullH-h)
}

// choose takes the anchors of the levels that count.
func (v view) choose(decoded *torch.Tensor, levels []*torch.Tensor) *torch.Tensor {
	from, to := int64(0), int64(0)
	for i, l := range levels {
		cells := l.Size(2) * l.Size(3)
		if i < v.first {
			from += cells
		}
		if i < len(levels)-v.omit {
			to += cells
		}
	}
	return decoded.Narrow(2, from, max(to-from, 0))
}

// restore maps boxes (centre and size, the first four rows) back to images of a width.
func (v view) restore(decoded *torch.Tensor, width int64) *torch.Tensor {
	if v.scale == 1 && !v.flip {
		return decoded
	}
	boxes := decoded.Narrow(1, 0, 4).MulScalar(1 / v.scale)
	x := boxes.Narrow(1, 0, 1)
	if v.flip {
		x = x.ScalarMinus(float64(width))
	}
	return torch.Cat([]*torch.Tensor{x, boxes.Narrow(1, 1, 3), decoded.Narrow(1, 4, decoded.Size(1)-4)}, 1)
}
