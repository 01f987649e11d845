package backbone

import (
	"slices"
	"strings"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
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

// newConvNorm builds a convolution without bias at one place, its normalisation
// at another and an activation, nil for none; padding keeps the size at stride 1.
func newConvNorm(conv, norm *nn.Builder, c nn.Conv2dConfig, layer normLayer, act nn.Module) nn.Sequential {
	c.Padding, c.NoBias = (c.Kernel-1)/2, true
	l := nn.Sequential{nn.NewConv2d(conv, c), layer(norm, c.Out)}
	if act != nil {
		l = append(l, act)
	}
	return l
}

// kaimingFanOut is He's normal initialisation of a convolution by fan-out, all
// groups together, as torchvision's networks have it.
func kaimingFanOut(c nn.Conv2dConfig) nn.Conv2dConfig {
	c.WeightInit, c.BiasInit = nn.KaimingNormalFanOut(c.Out*c.Kernel*c.Kernel), nn.Fill(0)
	return c
}

// kaimingGroupFanOut is kaimingFanOut by the fan-out of one group, as timm's
// networks have it.
func kaimingGroupFanOut(c nn.Conv2dConfig) nn.Conv2dConfig {
	c.WeightInit, c.BiasInit = nn.KaimingNormalFanOut(c.Out*c.Kernel*c.Kernel/max(c.Groups, 1)), nn.Fill(0)
	return c
}

// channelsToLast sees (N, C, H, W) as (N, H, W, C).
func channelsToLast(x *torch.Tensor) *torch.Tensor { return x.Permute(0, 2, 3, 1) }

// channelsToFirst sees (N, H, W, C) as (N, C, H, W).
func channelsToFirst(x *torch.Tensor) *torch.Tensor { return x.Permute(0, 3, 1, 2) }

// globalPool is the mean over the positions of (N, C, H, W): (N, C).
func globalPool(x *torch.Tensor) *torch.Tensor { return x.AdaptiveAvgPool2d(1, 1).Flatten(1, -1) }

// squeezeExcite weighs the channels by a small network over their means (Hu et al. 2018).
type squeezeExcite struct {
	reduce, expand *nn.Conv2d
	act, gate      nn.Module
}

// squeezeConfig describes a squeezeExcite: the names of its two layers and
// their activations.
type squeezeConfig struct {
	reduce, expand string
	init           func(nn.Conv2dConfig) nn.Conv2dConfig
	act, gate      nn.Module
}

func (c squeezeConfig) build(b *nn.Builder, channels, squeezed int64) *squeezeExcite {
	return &squeezeExcite{
		reduce: nn.NewConv2d(b.Sub(c.reduce), c.init(nn.Conv2dConfig{In: channels, Out: squeezed, Kernel: 1})),
		expand: nn.NewConv2d(b.Sub(c.expand), c.init(nn.Conv2dConfig{In: squeezed, Out: channels, Kernel: 1})),
		act:    c.act, gate: c.gate,
	}
}

// Forward implements nn.Module.
func (l *squeezeExcite) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		weight := l.act.Forward(l.reduce.Forward(x.AdaptiveAvgPool2d(1, 1)))
		return x.Mul(l.gate.Forward(l.expand.Forward(weight)))
	})
}

// chain is the trunk of the networks that are layers in a row over (N, C, H, W).
type chain struct {
	layers []nn.Module
	taps   []int     // layers whose results are maps
	tail   nn.Module // of (N, C) after the mean over positions; nil for none
}

// tap notes that the last layer's result is a map.
func (t *chain) tap(s *site, channels, stride int64) {
	t.taps = append(t.taps, len(t.layers)-1)
	s.net.Channels, s.net.Strides = append(s.net.Channels, channels), append(s.net.Strides, stride)
}

func (t *chain) body(x *torch.Tensor) *torch.Tensor { return nn.Sequential(t.layers).Forward(x) }

func (t *chain) maps(x *torch.Tensor) []*torch.Tensor {
	var out []*torch.Tensor
	from := 0
	for _, tap := range t.taps {
		x = nn.Sequential(t.layers[from : tap+1]).Forward(x)
		out = append(out, x)
		from = tap + 1
	}
	return out
}

func (t *chain) pool(x *torch.Tensor) *torch.Tensor {
	x = globalPool(x)
	if t.tail != nil {
		x = t.tail.Forward(x)
	}
	return x
}

func (t *chain) grid(x *torch.Tensor, _, _ int64) *torch.Tensor { return x }

// dropPath is stochastic depth that rests while its block is frozen, as all of
// a frozen part evaluates.
type dropPath struct {
	nn.DropPath
	store *nn.Store
	part  string // a parameter of the block
}

// newDropPath makes the stochastic depth of the branch that was built last.
func newDropPath(store *nn.Store, rate float64) *dropPath {
	l := &dropPath{DropPath: nn.DropPath{P: rate}, store: store}
	for _, e := range slices.Backward(store.Entries()) {
		if !e.Buffer {
			l.part = e.Name
			break
		}
	}
	return l
}

// Forward implements nn.Module.
func (l *dropPath) Forward(x *torch.Tensor) *torch.Tensor {
	if l.store.Frozen(l.part) {
		return x
	}
	return l.DropPath.Forward(x)
}

// makeDivisible rounds v to a multiple of divisor, but never down by more than a tenth.
func makeDivisible(v float64, divisor int64) int64 {
	n := max(divisor, int64(v+float64(divisor)/2)/divisor*divisor)
	if float64(n) < 0.9*v {
		n += divisor
	}
	return n
}
