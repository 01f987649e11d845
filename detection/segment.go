package detection

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/block"
	"github.com/wildtrain/sdk/wildtrain"
)

// A segmentation head (YOLACT, Bolya et al. 2019, arXiv 1904.02689, §3) makes
// prototypes for the whole image, at twice the resolution of the finest level, and
// for each anchor coefficients: the logits of its object's mask are the sum of the
// prototypes weighted by them, within the object's box.

// segment reads the arguments of Segment: classes, masks, channels of the prototypes.
func (r *rowArgs) segment(c *headConfig) {
	const most = 1 << 10
	if c.masks = r.int(1, 32); c.masks < 1 || c.masks > most {
		r.err = r.a.errorf(r.row, "%d masks: want 1 to %d", c.masks, most)
	}
	if c.protos = r.channels(2); c.strides[0]%2 != 0 && r.err == nil {
		r.err = r.a.errorf(r.row, "the finest level has stride %d: prototypes need an even one", c.strides[0])
	}
}

// newPrototypes builds the branch from the finest level to the prototypes: names
// cv1, upsample, cv2, cv3.
func newPrototypes(b *nn.Builder, c headConfig) nn.Module {
	return nn.Sequential{
		block.NewConv(b.Sub("cv1"), block.ConvConfig{In: c.channels[0], Out: c.protos, Kernel: 3}),
		nn.NewConvTranspose2d(b.Sub("upsample"), nn.Conv2dConfig{In: c.protos, Out: c.protos, Kernel: 2, Stride: 2}),
		block.NewConv(b.Sub("cv2"), block.ConvConfig{In: c.protos, Out: c.protos, Kernel: 3}),
		block.NewConv(b.Sub("cv3"), block.ConvConfig{In: c.protos, Out: c.masks}),
	}
}

// newCoefficients builds each level's branch of coefficients.
func newCoefficients(b *nn.Builder, c headConfig) []nn.Module {
	width := max(c.channels[0]/4, c.masks)
	var out []nn.Module
	for i, in := range c.channels {
		b := b.At(i)
		out = append(out, nn.Sequential{
			block.NewConv(b.At(0), block.ConvConfig{In: in, Out: width, Kernel: 3}),
			block.NewConv(b.At(1), block.ConvConfig{In: width, Out: width, Kernel: 3}),
			nn.NewConv2d(b.At(2), nn.Conv2dConfig{In: width, Out: c.masks, Kernel: 1}),
		})
	}
	return out
}

// maskLoss is the binary cross entropy of the positives' masks: of each the sum
// over the pixels of its object's box, divided by the size of the prototypes and by
// the share of the image that the box has; the mean over the positives (YOLACT,
// §3.2). Coefficients are those of the cells (M, masks). An object's pixels count
// for it alone, where several objects have them for the smallest.
//
// Only pixels inside boxes are computed: the cost grows with the objects.
func maskLoss(protos, coefficients *torch.Tensor, pos []positive, ts []truth, finest grid) (*torch.Tensor, error) {
	s := protos.Scope()
	h, w := int(protos.Size(2)), int(protos.Size(3))
	owner, err := owners(ts, int(protos.Size(0)), h, w, int(finest.stride)/2)
	if err != nil {
		return nil, err
	}
	cells := make([][]int64, len(ts)) // of the positives of each object
	for _, p := range pos {
		cells[p.truth] = append(cells[p.truth], int64(p.cell))
	}
	var l maskLesson
	for i, t := range ts {
		r := t.inPrototypes(h, w, finest)
		if own := r.pixels(int(t.image)*h*w, w); len(own) > 0 && len(cells[i]) > 0 {
			l.add(own, cells[i], owner, int32(i), 1/(float32(h*w)*r.share))
		}
	}
	if len(l.target) == 0 {
		return untouched(protos, coefficients), s.Err()
	}
	pixels := protos.To(torch.Float).Permute(0, 2, 3, 1).Reshape(-1, protos.Size(1)).
		IndexSelect(0, torch.Of(s, l.pixels, int64(len(l.pixels)))).Split(0, l.perPixels...)
	weights := coefficients.IndexSelect(0, torch.Of(s, l.cells, int64(len(l.cells)))).Split(0, l.perCells...)
	logits := make([]*torch.Tensor, len(pixels))
	for i := range pixels {
		logits[i] = weights[i].MatMul(pixels[i].Transpose(0, 1)).Flatten(0, 1)
	}
	n := int64(len(l.target))
	sum := torch.Cat(logits, 0).To(torch.Float).BCEWithLogits(torch.Of(s, l.target, n), torch.Of(s, l.weight, n), nil, torch.Sum)
	return sum.MulScalar(1 / float64(len(pos))), s.Err()
}

// maskLesson is what masks learn, one object after the other.
type maskLesson struct {
	pixels, cells       []int64 // of the object: pixels of all prototypes, its positives
	perPixels, perCells []int64 // how many of each object
	target, weight      []float32
}

// add lets the positives of object i learn its pixels.
func (l *maskLesson) add(pixels, cells []int64, owner []int32, i int32, weight float32) {
	l.pixels, l.cells = append(l.pixels, pixels...), append(l.cells, cells...)
	l.perPixels, l.perCells = append(l.perPixels, int64(len(pixels))), append(l.perCells, int64(len(cells)))
	for range cells {
		for _, at := range pixels {
			var mine float32
			if owner[at] == i {
				mine = 1
			}
			l.target, l.weight = append(l.target, mine), append(l.weight, weight)
		}
	}
}

// owners tells to which object each pixel of the prototypes of all images belongs,
// −1 for none: smaller masks lie over larger ones. A prototype has one pixel for
// ratio × ratio of the image, which is of the object if at least two of the four in
// the middle are.
func owners(ts []truth, images, h, w, ratio int) ([]int32, error) {
	out := make([]int32, images*h*w)
	for i := range out {
		out[i] = -1
	}
	reduced := make([][]int, len(ts))
	order := make([]int, len(ts))
	for i, t := range ts {
		if t.mask.Height != h*ratio || t.mask.Width != w*ratio {
			return nil, fmt.Errorf("detection: loss: a mask of %d×%d px in an image of %d×%d", t.mask.Width, t.mask.Height, w*ratio, h*ratio)
		}
		order[i], reduced[i] = i, reduce(t.mask, ratio)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(reduced[b]), len(reduced[a])) })
	for _, i := range order {
		for _, at := range reduced[i] {
			out[int(ts[i].image)*h*w+at] = int32(i)
		}
	}
	return out, nil
}

// reduce lists the pixels, numbered by rows, of a mask brought to a ratio-th of its
// sides: bilinear interpolation between the two middle pixels of either side.
func reduce(m *wildtrain.Mask, ratio int) []int {
	const enough = 2 // of the four
	w := m.Width / ratio
	count := make([]uint8, m.Height/ratio*w)
	var out []int
	end := 0
	for i, n := range m.Runs {
		end += int(n)
		for p := end - int(n); i%2 == 1 && p < end; { // column by column
			x, y := p/m.Height, p%m.Height
			below := min(m.Height, y+end-p)
			for p += below - y; middle(x, ratio) && y < below; y++ {
				if k := y/ratio*w + x/ratio; middle(y, ratio) {
					if count[k]++; count[k] == enough {
						out = append(out, k)
					}
				}
			}
		}
	}
	return out
}

// middle reports whether a pixel is one of the two in the middle of its ratio.
func middle(p, ratio int) bool {
	p %= ratio
	return p == ratio/2 || p == ratio/2-1
}

// region is a box on the prototypes, in whole pixels.
type region struct {
	x0, y0, x1, y1 int
	share          float32 // of the image's area that the box has
}

// inPrototypes is the region of the object's box: pixels whose number is not below
// the lower edge but below the upper one. It is computed as shares of the image, so
// that rounding is the peer's.
func (t truth) inPrototypes(h, w int, finest grid) region {
	shareX := func(v float32) float32 { return v / float32(finest.w*finest.stride) }
	shareY := func(v float32) float32 { return v / float32(finest.h*finest.stride) }
	edge := func(share float32, n int) int {
		return min(max(int(math.Ceil(float64(share*float32(n)))), 0), n)
	}
	x0, y0, x1, y1 := shareX(t.box[0]), shareY(t.box[1]), shareX(t.box[2]), shareY(t.box[3])
	return region{x0: edge(x0, w), y0: edge(y0, h), x1: edge(x1, w), y1: edge(y1, h), share: (x1 - x0) * (y1 - y0)}
}

// pixels numbers the region's pixels by rows of the given length, from first on.
func (r region) pixels(first, length int) []int64 {
	var out []int64
	for y := r.y0; y < r.y1; y++ {
		for x := r.x0; x < r.x1; x++ {
			out = append(out, int64(first+y*length+x))
		}
	}
	return out
}
