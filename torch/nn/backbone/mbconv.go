package backbone

import (
	"strconv"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// mbConv describes an inverted residual block: expansion, depthwise
// convolution, squeeze and excitation, projection (Sandler et al. 2018, Howard et
// al. 2019, Tan and Le 2019). Fused, one k×k convolution stands for expansion
// and depthwise convolution (Tan and Le 2021).
type mbConv struct {
	in, expanded, out, kernel, stride int64
	squeezed                          int64 // channels inside squeeze and excitation; 0 for none
	fused                             bool
	act                               nn.Module
}

// mbStyle is what the blocks of one network have in common: whose keys they
// have, and how they are initialised and padded.
type mbStyle struct {
	timm    bool
	same    bool // TensorFlow's padding
	norm    normLayer
	squeeze squeezeConfig
}

// init is the library's initialisation of convolutions.
func (m mbStyle) init(c nn.Conv2dConfig) nn.Conv2dConfig {
	if m.timm {
		return kaimingGroupFanOut(c)
	}
	return kaimingFanOut(c)
}

// conv builds a convolution and batch norm at two places.
func (m mbStyle) conv(conv, norm *nn.Builder, c nn.Conv2dConfig, act nn.Module) nn.Module {
	l := newConvNorm(conv, norm, m.init(c), m.norm, act)
	if m.same && c.Stride > 1 {
		l[0].(*nn.Conv2d).Options.Padding = [2]int64{}
		return append(nn.Sequential{samePadding{c.Kernel, c.Stride}}, l...)
	}
	return l
}

// samePadding pads as TensorFlow does before a convolution: such that the
// result's side is the input's divided by the stride, rounded up, with the odd
// pixel right and below.
type samePadding struct{ kernel, stride int64 }

// Forward implements nn.Module.
func (l samePadding) Forward(x *torch.Tensor) *torch.Tensor {
	around := func(size int64) (before, after int64) {
		total := max(((size+l.stride-1)/l.stride-1)*l.stride+l.kernel-size, 0)
		return total / 2, total - total/2
	}
	top, bottom := around(x.Size(2))
	left, right := around(x.Size(3))
	return x.Pad(0, left, right, top, bottom)
}

// inverted is a block at work.
type inverted struct {
	body nn.Sequential
	skip bool
	drop *dropPath
}

// Forward implements nn.Module.
func (l *inverted) Forward(x *torch.Tensor) *torch.Tensor {
	if !l.skip {
		return l.body.Forward(x)
	}
	return x.Sub(func() *torch.Tensor { return l.drop.Forward(l.body.Forward(x)).Add(x) })
}

// block builds a block; drop is its stochastic depth.
func (m mbStyle) block(b *nn.Builder, c mbConv, drop float64) *inverted {
	l := &inverted{skip: c.stride == 1 && c.in == c.out, body: m.parts(b, c)}
	l.drop = newDropPath(b.Store(), drop)
	return l
}

// parts builds what lies beside the residual. torchvision numbers the parts
// under "block", timm names the convolutions by what they do and numbers the norms.
func (m mbStyle) parts(b *nn.Builder, c mbConv) nn.Sequential {
	var body nn.Sequential
	norms := 0
	conv := func(name string, cfg nn.Conv2dConfig, act nn.Module) {
		norms++
		part := b.Sub("block").At(len(body))
		at, norm := part.At(0), part.At(1)
		if m.timm {
			at, norm = b.Sub(name), b.Sub("bn"+strconv.Itoa(norms))
		}
		body = append(body, m.conv(at, norm, cfg, act))
	}
	expands := c.expanded != c.in
	switch {
	case c.fused && !expands:
		conv("conv", nn.Conv2dConfig{In: c.in, Out: c.out, Kernel: c.kernel, Stride: c.stride}, c.act)
		return body
	case c.fused:
		conv("conv_exp", nn.Conv2dConfig{In: c.in, Out: c.expanded, Kernel: c.kernel, Stride: c.stride}, c.act)
		conv("conv_pwl", nn.Conv2dConfig{In: c.expanded, Out: c.out, Kernel: 1}, nil)
		return body
	}
	project := "conv_pw"
	if expands {
		conv("conv_pw", nn.Conv2dConfig{In: c.in, Out: c.expanded, Kernel: 1}, c.act)
		project = "conv_pwl"
	}
	conv("conv_dw", nn.Conv2dConfig{In: c.expanded, Out: c.expanded, Kernel: c.kernel, Stride: c.stride, Groups: c.expanded}, c.act)
	if c.squeezed > 0 {
		part := b.Sub("block").At(len(body))
		if m.timm {
			part = b.Sub("se")
		}
		body = append(body, m.squeeze.build(part, c.expanded, c.squeezed))
	}
	conv(project, nn.Conv2dConfig{In: c.expanded, Out: c.out, Kernel: 1}, nil)
	return body
}

// mbStyle returns the keys and settings of a network of the given batch norm.
func (s *site) mbStyle(eps, momentum float64, act, gate nn.Module) mbStyle {
	m := mbStyle{timm: s.Library == Timm, norm: s.norm(eps, momentum)}
	m.squeeze = squeezeConfig{reduce: "fc1", expand: "fc2", init: m.init, act: act, gate: gate}
	if m.timm {
		m.squeeze.reduce, m.squeeze.expand = "conv_reduce", "conv_expand"
	}
	return m
}
