package backbone

import (
	"fmt"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// convNeXtConfig is a ConvNeXt (Liu et al. 2022).
type convNeXtConfig struct {
	depths [4]int
	width  int64 // of the first stage; it doubles from stage to stage
}

func convNeXts() []Spec {
	var specs []Spec
	for _, v := range []struct {
		name string
		drop float64
		convNeXtConfig
	}{
		{"tiny", 0.1, convNeXtConfig{[4]int{3, 3, 9, 3}, 96}},
		{"small", 0.4, convNeXtConfig{[4]int{3, 3, 27, 3}, 96}},
		{"base", 0.5, convNeXtConfig{[4]int{3, 3, 27, 3}, 128}},
		{"large", 0.5, convNeXtConfig{[4]int{3, 3, 27, 3}, 192}},
	} {
		s := spec(Torchvision, "convnext", "convnext_"+v.name, "classifier.2", 224, v.build)
		s.StochasticDepth = v.drop
		specs = append(specs, s, spec(Timm, "convnext", "convnext_"+v.name, "head.fc", 224, v.build))
	}
	return specs
}

// convNeXtKeys says where a library keeps the parts.
type convNeXtKeys struct {
	stem, stemNorm     string
	down, downNorm     string // of a stage after the first, from 1
	block              string // of stage and block
	depthwise, norm    string
	expand, project    string
	scale              string
	scaleShape         []int64 // after the channels
	tail               string
	stages, downStages func(i int) int // the number by which a key has stage i, from 0
}

var convNeXtTorchvision = convNeXtKeys{
	stem: "features.0.0", stemNorm: "features.0.1", downNorm: "features.%d.0", down: "features.%d.1", block: "features.%d.%d",
	depthwise: "block.0", norm: "block.2", expand: "block.3", project: "block.5", scale: "layer_scale", scaleShape: []int64{1, 1}, tail: "classifier.0",
	stages: func(i int) int { return 2*i + 1 }, downStages: func(i int) int { return 2 * i },
}

var convNeXtTimm = convNeXtKeys{
	stem: "stem.0", stemNorm: "stem.1", downNorm: "stages.%d.downsample.0", down: "stages.%d.downsample.1", block: "stages.%d.blocks.%d",
	depthwise: "conv_dw", norm: "norm", expand: "mlp.fc1", project: "mlp.fc2", scale: "gamma", tail: "head.norm",
	stages: func(i int) int { return i }, downStages: func(i int) int { return i },
}

func (c convNeXtConfig) build(s *site) trunk {
	keys := convNeXtTorchvision
	if s.Library == Timm {
		keys = convNeXtTimm
	}
	width, stride := c.width, int64(4)
	t := &chain{layers: []nn.Module{nn.Sequential{
		patchConv(descend(s.root, keys.stem), 3, width, 4), newChannelNorm(descend(s.root, keys.stemNorm), width),
	}}}
	index, total := 0, c.depths[0]+c.depths[1]+c.depths[2]+c.depths[3]
	for i, depth := range c.depths {
		var stage nn.Sequential
		if i > 0 {
			s.block()
			at := keys.downStages(i)
			stage = append(stage, newChannelNorm(descend(s.root, fmt.Sprintf(keys.downNorm, at)), width),
				patchConv(descend(s.root, fmt.Sprintf(keys.down, at)), width, 2*width, 2))
			width *= 2
		}
		for j := range depth {
			if i == 0 || j > 0 { // a stage's first block goes with the downsampling before it
				s.block()
			}
			stage = append(stage, keys.build(descend(s.root, fmt.Sprintf(keys.block, keys.stages(i), j)), width, s.drop(index, total)))
			index++
		}
		t.layers = append(t.layers, stage)
		t.tap(s, width, stride<<i)
	}
	t.tail = nn.NewLayerNorm(descend(s.root, keys.tail), width, 1e-6)
	s.net.Width = width
	s.headWeight, s.headBias = nn.TruncNormal(0.02), nn.Fill(0)
	return t
}

// patchConv is a convolution of k×k at stride k.
func patchConv(b *nn.Builder, in, out, k int64) *nn.Conv2d {
	return nn.NewConv2d(b, nn.Conv2dConfig{In: in, Out: out, Kernel: k, Stride: k, WeightInit: nn.TruncNormal(0.02), BiasInit: nn.Fill(0)})
}

// channelNorm is layer normalisation over the channels of (N, C, H, W).
type channelNorm struct{ *nn.LayerNorm }

func newChannelNorm(b *nn.Builder, channels int64) channelNorm {
	return channelNorm{nn.NewLayerNorm(b, channels, 1e-6)}
}

// Forward implements nn.Module.
func (l channelNorm) Forward(x *torch.Tensor) *torch.Tensor {
	return channelsToFirst(l.LayerNorm.Forward(channelsToLast(x)))
}

// convNeXtBlock is a depthwise 7×7 convolution and a two-layer perceptron over
// the channels, scaled by channel, with a residual.
type convNeXtBlock struct {
	body  nn.Sequential
	scale *torch.Tensor
	drop  *dropPath
}

func (k convNeXtKeys) build(b *nn.Builder, width int64, drop float64) *convNeXtBlock {
	dense := func(name string, in, out int64) *nn.Linear {
		return nn.NewLinearFrom(descend(b, name), in, out, nn.TruncNormal(0.02), nn.Fill(0))
	}
	l := &convNeXtBlock{
		scale: b.Parameter(k.scale, wildtrain.Norms, nn.Fill(1e-6), append([]int64{width}, k.scaleShape...)...),
		body: nn.Sequential{
			nn.NewConv2d(descend(b, k.depthwise), nn.Conv2dConfig{
				In: width, Out: width, Kernel: 7, Padding: 3, Groups: width, WeightInit: nn.TruncNormal(0.02), BiasInit: nn.Fill(0),
			}),
			nn.Func(channelsToLast), nn.NewLayerNorm(descend(b, k.norm), width, 1e-6),
			dense(k.expand, width, 4*width), nn.GELU, dense(k.project, 4*width, width), nn.Func(channelsToFirst),
		},
	}
	l.drop = newDropPath(b.Store(), drop)
	return l
}

// Forward implements nn.Module.
func (l *convNeXtBlock) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		y := l.body.Forward(x)
		return l.drop.Forward(y.Mul(x.Scope().Borrow(l.scale).View(-1, 1, 1))).Add(x)
	})
}
