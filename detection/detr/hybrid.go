package detr

import (
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// hybrid is RT-DETR's encoder: attention within the coarsest map, then
// convolutions that fuse the maps downwards and upwards (arXiv 2304.08069, §4.2).
type hybrid struct {
	width        int64
	input        []nn.Sequential
	attention    []*encoderLayer
	lateral      []nn.Sequential
	down, up     []*fusion // downwards from the coarsest, then upwards again
	downsampling []nn.Sequential
}

func newHybrid(b *nn.Builder, channels []int64, c Config) *hybrid {
	w, joins := c.EncoderHidden, len(channels)-1
	n := &hybrid{width: w}
	for i, in := range channels {
		at := b.Sub("input_proj").At(i)
		n.input = append(n.input, nn.Sequential{nn.NewConv2d(at.At(0), nn.Conv2dConfig{In: in, Out: w, Kernel: 1, NoBias: true}), newNorm(at.At(1), w, false)})
	}
	n.attention = list(b.Sub("encoder").At(0).Sub("layers"), c.EncoderLayers, func(b *nn.Builder) *encoderLayer {
		return newEncoderLayer(b, w, c.Heads, c.EncoderFeedForward, nn.GELU, c.Dropout)
	})
	inner := int64(float64(w) * c.Expansion)
	fuse := func(b *nn.Builder) *fusion { return newFusion(b, 2*w, inner, w) }
	n.lateral = list(b.Sub("lateral_convs"), joins, func(b *nn.Builder) nn.Sequential {
		return newConvNorm(b, nn.Conv2dConfig{In: w, Out: w, Kernel: 1}, false, nn.SiLU)
	})
	n.down = list(b.Sub("fpn_blocks"), joins, fuse)
	n.downsampling = list(b.Sub("downsample_convs"), joins, func(b *nn.Builder) nn.Sequential {
		return newConvNorm(b, nn.Conv2dConfig{In: w, Out: w, Kernel: 3, Stride: 2}, false, nn.SiLU)
	})
	n.up = list(b.Sub("pan_blocks"), joins, fuse)
	return n
}

// forward maps the backbone's maps to as many of the encoder's width.
func (n *hybrid) forward(maps []*torch.Tensor) []*torch.Tensor {
	feats := make([]*torch.Tensor, len(maps))
	for i, m := range maps {
		feats[i] = n.input[i].Forward(m)
	}
	top := len(feats) - 1
	shape := shapeOf(feats[top])
	if len(n.attention) > 0 {
		x := positions(feats[top])
		where := gridPosition(x.Scope(), shape, n.width)
		for _, l := range n.attention {
			x = l.forward(x, where, nil)
		}
		feats[top] = x.Transpose(1, 2).Reshape(-1, n.width, shape[0], shape[1])
	}
	double := nn.Upsample{Factor: 2}
	for i := top; i > 0; i-- {
		feats[i] = n.lateral[top-i].Forward(feats[i])
		feats[i-1] = n.down[top-i].Forward(torch.Cat([]*torch.Tensor{double.Forward(feats[i]), feats[i-1]}, 1))
	}
	for i := range top {
		feats[i+1] = n.up[i].Forward(torch.Cat([]*torch.Tensor{n.downsampling[i].Forward(feats[i]), feats[i+1]}, 1))
	}
	return feats
}

// fusion is a cross-stage block of RepVGG units (Ding et al. 2021): names conv1,
// conv2, bottlenecks.0, … and, where the width changes, conv3.
type fusion struct {
	deep, flat nn.Sequential
	last       nn.Module
}

// fusionUnits is how many units each block has.
const fusionUnits = 3

func newFusion(b *nn.Builder, in, inner, out int64) *fusion {
	conv := func(name string, in, out int64) nn.Sequential {
		return newConvNorm(b.Sub(name), nn.Conv2dConfig{In: in, Out: out, Kernel: 1}, false, nn.SiLU)
	}
	l := &fusion{deep: nn.Sequential{conv("conv1", in, inner)}, flat: conv("conv2", in, inner), last: nn.Identity}
	for i := range fusionUnits {
		l.deep = append(l.deep, newRepVGG(b.Sub("bottlenecks").At(i), inner))
	}
	if inner != out {
		l.last = conv("conv3", inner, out)
	}
	return l
}

// Forward implements nn.Module.
func (l *fusion) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor { return l.last.Forward(l.deep.Forward(x).Add(l.flat.Forward(x))) })
}

// newRepVGG is the sum of a 3×3 and a 1×1 convolution, activated: names conv1, conv2.
func newRepVGG(b *nn.Builder, width int64) nn.Module {
	wide := newConvNorm(b.Sub("conv1"), nn.Conv2dConfig{In: width, Out: width, Kernel: 3}, false, nil)
	narrow := newConvNorm(b.Sub("conv2"), nn.Conv2dConfig{In: width, Out: width, Kernel: 1}, false, nil)
	return nn.Func(func(x *torch.Tensor) *torch.Tensor {
		return x.Sub(func() *torch.Tensor { return wide.Forward(x).Add(narrow.Forward(x)).SiLU() })
	})
}
