package backbone

import (
	"strings"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// normLayer builds the normalisation of a number of channels.
type normLayer func(b *nn.Builder, channels int64) nn.Module

// descend walks down a dotted path.
func descend(b *nn.Builder, path string) *nn.Builder {
	for name := range strings.SplitSeq(path, ".") {
		b = b.Sub(name)
	}
	return b
}

// convNorm is a convolution, its normalisation and an activation, after which
// only the result is left in memory.
type convNorm struct {
	conv *nn.Conv2d
	norm nn.Module
	act  nn.Module // nil for none
}

// newConvNorm builds a convolution without bias at one place and its
// normalisation at another; padding keeps the size at stride 1.
func newConvNorm(conv, norm *nn.Builder, c nn.Conv2dConfig, layer normLayer, act nn.Module) *convNorm {
	c.Padding, c.NoBias = (c.Kernel-1)/2, true
	return &convNorm{conv: nn.NewConv2d(conv, c), norm: layer(norm, c.Out), act: act}
}

// Forward implements nn.Module.
func (l *convNorm) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		x = l.norm.Forward(l.conv.Forward(x))
		if l.act != nil {
			x = l.act.Forward(x)
		}
		return x
	})
}

// kaimingFanOut is He's normal initialisation of a convolution by fan-out.
func kaimingFanOut(c nn.Conv2dConfig) nn.Conv2dConfig {
	c.WeightInit = nn.KaimingNormalFanOut(c.Out * c.Kernel * c.Kernel)
	return c
}

// linear builds a linear layer with other than PyTorch's initialisation; nil
// stands for that.
func linear(b *nn.Builder, in, out int64, weight, bias nn.Init) *nn.Linear {
	if weight == nil {
		weight = nn.KaimingUniform(in)
	}
	if bias == nil {
		bias = nn.BiasUniform(in)
	}
	return &nn.Linear{
		Weight: b.Parameter("weight", wildtrain.Weights, weight, out, in),
		Bias:   b.Parameter("bias", wildtrain.Biases, bias, out),
	}
}

// globalPool is the mean over the positions of (N, C, H, W): (N, C).
func globalPool(x *torch.Tensor) *torch.Tensor { return x.AdaptiveAvgPool2d(1, 1).Flatten(1, -1) }

// convolutional is the part of a trunk that all networks of (N, C, H, W) share:
// stages in a row, each of whose results is a map.
type convolutional struct {
	stem   nn.Module
	stages []nn.Module
}

func (t *convolutional) body(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		x = t.stem.Forward(x)
		for _, stage := range t.stages {
			x = stage.Forward(x)
		}
		return x
	})
}

func (t *convolutional) maps(x *torch.Tensor) []*torch.Tensor {
	var out []*torch.Tensor
	x = t.stem.Forward(x)
	for _, stage := range t.stages {
		x = stage.Forward(x)
		out = append(out, x)
	}
	return out
}

func (t *convolutional) pool(x *torch.Tensor) *torch.Tensor { return globalPool(x) }

func (t *convolutional) grid(x *torch.Tensor, _, _ int64) *torch.Tensor { return x }
