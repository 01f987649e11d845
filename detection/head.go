package detection

import (
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/block"
)

// Head is the decoupled, anchor-free head of YOLOv8 and its successors. YOLO26 has
// it twice: with branches whose every anchor of an object learns, and with
// branches of which one does (YOLOv10, arXiv 2405.14458, §3.1).
type Head struct {
	Strides []int64
	Classes int64
	RegMax  int64
	Masks   int64 // coefficients of the mask of each anchor's object; 0 for heads that find boxes only
	many    *branches
	one     *branches     // nil for heads that need suppression
	bins    *torch.Tensor // 0, 1, …, regMax−1 as a kernel (1, regMax, 1, 1); nil for regMax 1
	proto   nn.Module     // from the finest level to the prototypes of masks; nil without
}

// branches are, per level, the box branch cv2, which gives regMax bins for each of
// the four edges (distances from the anchor point in cells, as distributions; for
// one bin the distance itself), and the class branch cv3, one logit per class; of
// segmentation heads also cv4, the coefficients of masks.
type branches struct{ cv2, cv3, cv4 []nn.Module }

// headConfig describes a head over levels of the given channels and strides.
type headConfig struct {
	channels, strides []int64
	classes, regMax   int64
	modern, endToEnd  bool
	masks, protos     int64 // coefficients of masks, 0 for none; channels in which their prototypes are made
}

// The constants of the head's first biases.
const (
	boxBias        = 2.0
	objectsPerSide = 640.0
)

// maxClassWidth bounds what a file may ask for.
const maxClassWidth = 4096

func newHead(b *nn.Builder, c headConfig) *Head {
	h := &Head{Strides: c.strides, Classes: c.classes, RegMax: c.regMax, Masks: c.masks}
	h.many = newBranches(b.Sub("cv2"), b.Sub("cv3"), c)
	if c.regMax > 1 {
		h.bins = b.Sub("dfl").Sub("conv").Constant("weight", arange, 1, c.regMax, 1, 1)
	}
	if c.endToEnd {
		h.one = newBranches(b.Twin("one2one_cv2", "cv2"), b.Twin("one2one_cv3", "cv3"), c)
	}
	if h.Masks > 0 {
		h.proto = newPrototypes(b.Sub("proto"), c)
		h.many.cv4 = newCoefficients(b.Sub("cv4"), c)
	}
	return h
}

// newBranches builds both branches. The class bias starts at the logit of about
// five objects in a 640 px image. The class branch of a new model is as wide as its
// number of classes asks; stored weights tell their own, so that those of a model
// with many classes serve one with few.
func newBranches(cv2, cv3 *nn.Builder, c headConfig) *branches {
	out := &branches{}
	c2 := max(16, c.channels[0]/4, 4*c.regMax)
	c3 := max(c.channels[0], min(c.classes, 100))
	for i, in := range c.channels {
		b := cv2.At(i)
		out.cv2 = append(out.cv2, nn.Sequential{
			block.NewConv(b.At(0), block.ConvConfig{In: in, Out: c2, Kernel: 3}),
			block.NewConv(b.At(1), block.ConvConfig{In: c2, Out: c2, Kernel: 3}),
			nn.NewConv2d(b.At(2), nn.Conv2dConfig{In: c2, Out: 4 * c.regMax, Kernel: 1, BiasInit: afterDefault(c2, boxBias)}),
		})
	}
	if stored, ok := cv3.At(0).At(2).Stored("weight"); ok && len(stored) == 4 && stored[1] > 0 && stored[1] <= maxClassWidth {
		c3 = stored[1]
	}
	for i, in := range c.channels {
		cells := objectsPerSide / float64(c.strides[i])
		last := nn.Conv2dConfig{In: c3, Out: c.classes, Kernel: 1, BiasInit: afterDefault(c3, math.Log(5/float64(c.classes)/(cells*cells)))}
		out.cv3 = append(out.cv3, classBranch(cv3.At(i), in, c3, last, c.modern))
	}
	return out
}

// classBranch is two 3×3 convolutions in YOLOv8, two pairs of a depthwise 3×3
// and a 1×1 one in YOLO11, and the output layer.
func classBranch(b *nn.Builder, in, width int64, out nn.Conv2dConfig, modern bool) nn.Sequential {
	if !modern {
		return nn.Sequential{
			block.NewConv(b.At(0), block.ConvConfig{In: in, Out: width, Kernel: 3}),
			block.NewConv(b.At(1), block.ConvConfig{In: width, Out: width, Kernel: 3}),
			nn.NewConv2d(b.At(2), out),
		}
	}
	pair := func(b *nn.Builder, in int64) nn.Sequential {
		return nn.Sequential{
			block.NewConv(b.At(0), block.ConvConfig{In: in, Out: in, Kernel: 3, Groups: in}),
			block.NewConv(b.At(1), block.ConvConfig{In: in, Out: width}),
		}
	}
	return nn.Sequential{pair(b.At(0), in), pair(b.At(1), width), nn.NewConv2d(b.At(2), out)}
}

// afterDefault draws the default initialisation first, so that the stream of
// random numbers is PyTorch's, and then sets the constant.
func afterDefault(fanIn int64, v float64) nn.Init {
	return func(t *torch.Tensor) error {
		if err := nn.BiasUniform(fanIn)(t); err != nil {
			return err
		}
		return t.Fill(v)
	}
}

// arange writes 0, 1, 2, … .
func arange(t *torch.Tensor) error {
	root := torch.NewRoot(t.Device())
	defer root.Close()
	v := make([]float32, t.Len())
	for i := range v {
		v[i] = float32(i)
	}
	return t.CopyFrom(torch.Of(root, v, t.Shape()...))
}

// forward maps the levels' features to (N, 4·regMax+nc+masks, h, w) each.
func (b *branches) forward(in []*torch.Tensor) []*torch.Tensor {
	out := make([]*torch.Tensor, len(in))
	for i, x := range in {
		out[i] = x.Sub(func() *torch.Tensor {
			parts := []*torch.Tensor{b.cv2[i].Forward(x), b.cv3[i].Forward(x)}
			if b.cv4 != nil {
				parts = append(parts, b.cv4[i].Forward(x))
			}
			return torch.Cat(parts, 1)
		})
	}
	return out
}

// grid is the size of each level's map.
type grid struct{ h, w, stride int64 }

func (h *Head) grids(levels []*torch.Tensor) []grid {
	g := make([]grid, len(levels))
	for i, l := range levels {
		g[i] = grid{l.Size(2), l.Size(3), h.Strides[i]}
	}
	return g
}

// anchors returns the anchor points of all levels, cell centres in cells, and
// the stride of each: (2, A) and (A), with A the number of cells.
func anchors(grids []grid) (points, strides []float32, count int64) {
	for _, g := range grids {
		count += g.h * g.w
	}
	points = make([]float32, 2*count)
	strides = make([]float32, count)
	i := int64(0)
	for _, g := range grids {
		for y := range g.h {
			for x := range g.w {
				points[i], points[count+i] = float32(x)+0.5, float32(y)+0.5
				strides[i] = float32(g.stride)
				i++
			}
		}
	}
	return points, strides, count
}

// decode turns raw levels into (N, 4+nc+masks, A): boxes as centre and size in
// input pixels, then class probabilities, then coefficients of masks as they are.
func (h *Head) decode(levels []*torch.Tensor) *torch.Tensor {
	s := levels[0].Scope()
	points, strides, count := anchors(h.grids(levels))
	return s.Sub(func(s *torch.Scope) *torch.Tensor {
		flat := make([]*torch.Tensor, len(levels))
		for i, l := range levels {
			flat[i] = l.To(torch.Float).Flatten(2, 3)
		}
		all := torch.Cat(flat, 2)
		n := all.Size(0)
		dist := h.expectation(all.Narrow(1, 0, 4*h.RegMax), n, count)
		center := torch.Of(s, points, 1, 2, count)
		lt, rb := dist.Narrow(1, 0, 2), dist.Narrow(1, 2, 2)
		x1y1, x2y2 := center.Minus(lt), center.Add(rb)
		stride := torch.Of(s, strides, 1, 1, count)
		xy := x1y1.Add(x2y2).MulScalar(0.5).Mul(stride)
		wh := x2y2.Minus(x1y1).Mul(stride)
		parts := []*torch.Tensor{xy, wh, all.Narrow(1, 4*h.RegMax, h.Classes).Sigmoid()}
		if h.Masks > 0 {
			parts = append(parts, all.Narrow(1, 4*h.RegMax+h.Classes, h.Masks))
		}
		return torch.Cat(parts, 1)
	})
}

// expectation is the mean of each edge's distribution: (N, 4·regMax, A) → (N, 4, A).
func (h *Head) expectation(bins *torch.Tensor, n, count int64) *torch.Tensor {
	if h.bins == nil {
		return bins
	}
	weights := bins.Scope().Borrow(h.bins).View(1, 1, h.RegMax, 1)
	return bins.View(n, 4, h.RegMax, count).Softmax(2).Mul(weights).Sum(2)
}
