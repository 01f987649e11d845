package pyramid

import (
	"fmt"
	"strconv"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
)

// Channels of all maps of the pyramid.
const Channels = 256

// Net makes the maps of a pyramid: keys body.…, fpn.inner_blocks.{i}.0,
// fpn.layer_blocks.{i}.0, fpn.extra_blocks.p6 and p7.
type Net struct {
	neck         Neck
	body         *backbone.Net
	inner, layer []nn.Module
	extra        [2]*nn.Conv2d
}

// kaiming is He's uniform initialisation for linear activations, of the given fan-in.
func kaiming(fanIn int64) nn.Init { return nn.XavierUniform(fanIn, fanIn) }

// Block builds a convolution that keeps the size, as torchvision's
// Conv2dNormActivation: with a normalisation it has no bias.
func Block(b *nn.Builder, c nn.Conv2dConfig, norm func(*nn.Builder, int64) nn.Module, act nn.Module) nn.Sequential {
	c.Padding, c.NoBias = (c.Kernel-1)/2, norm != nil
	l := nn.Sequential{nn.NewConv2d(b.At(0), c)}
	if norm != nil {
		l = append(l, norm(b.At(1), c.Out))
	}
	if act != nil {
		l = append(l, act)
	}
	return l
}

// BatchNorm builds batch norm with PyTorch's defaults.
func BatchNorm(b *nn.Builder, channels int64) nn.Module {
	return nn.NewBatchNorm2d(b, channels, 1e-5, 0.1)
}

func newNet(b *nn.Builder, c Config) (*Net, error) {
	spec, err := backbone.Lookup(c.Neck.Body)
	if err != nil {
		return nil, fmt.Errorf("detection: %w", err)
	}
	spec.MapsOnly, spec.FrozenNorm = true, c.Norm == NormFrozen
	n := &Net{neck: c.Neck}
	if n.body, err = spec.Build(b.Sub("body"), 0); err != nil {
		return nil, fmt.Errorf("detection: %w", err)
	}
	for _, m := range b.Store().Modules() {
		switch l := m.(type) {
		case *nn.BatchNorm2d:
			l.Eps, l.Momentum = c.NormEps, 0.1 // whatever the backbone has as a classifier
		case *nn.FrozenBatchNorm2d:
			l.Eps = c.NormEps
		}
	}
	fpn := b.Sub("fpn")
	var norm func(*nn.Builder, int64) nn.Module
	if c.Neck.Norm {
		norm = BatchNorm
	}
	for i, level := range c.Neck.Levels {
		if level >= len(n.body.Channels) {
			return nil, fmt.Errorf("detection: %s has %d maps, none of number %d", c.Neck.Body, len(n.body.Channels), level)
		}
		in := n.body.Channels[level]
		lateral := nn.Conv2dConfig{In: in, Out: Channels, Kernel: 1, WeightInit: kaiming(in), BiasInit: nn.Fill(0)}
		n.inner = append(n.inner, Block(fpn.Sub("inner_blocks").At(i), lateral, norm, nil))
	}
	for i := range c.Neck.Levels {
		smooth := nn.Conv2dConfig{In: Channels, Out: Channels, Kernel: 3, WeightInit: kaiming(9 * Channels), BiasInit: nn.Fill(0)}
		n.layer = append(n.layer, Block(fpn.Sub("layer_blocks").At(i), smooth, norm, nil))
	}
	if c.Neck.Extra != Pool {
		in := int64(Channels)
		if c.Neck.Extra == P6P7ofC {
			in = n.body.Channels[c.Neck.Levels[len(c.Neck.Levels)-1]]
		}
		for i := range n.extra {
			n.extra[i] = nn.NewConv2d(fpn.Sub("extra_blocks").Sub("p"+strconv.Itoa(6+i)), nn.Conv2dConfig{
				In: in, Out: Channels, Kernel: 3, Stride: 2, Padding: 1, WeightInit: kaiming(9 * in), BiasInit: nn.Fill(0),
			})
			in = Channels
		}
	}
	return n, nil
}

// Strides are the cell sizes of all levels in px.
func (n *Net) Strides() []int64 {
	var out []int64
	for _, l := range n.neck.Levels {
		out = append(out, n.body.Strides[l])
	}
	last := out[len(out)-1]
	if out = append(out, 2*last); n.neck.Extra != Pool {
		out = append(out, 4*last)
	}
	return out
}

// forward maps pictures to the levels of the pyramid, finest first.
func (n *Net) forward(x *torch.Tensor) []*torch.Tensor {
	maps := n.body.Maps(x)
	from := make([]*torch.Tensor, len(n.neck.Levels))
	for i, l := range n.neck.Levels {
		from[i] = maps[l]
	}
	out := make([]*torch.Tensor, len(from))
	var above *torch.Tensor
	for i := len(from) - 1; i >= 0; i-- {
		lateral := n.inner[i].Forward(from[i])
		if above != nil {
			lateral = lateral.Add(above.Interpolate(lateral.Size(2), lateral.Size(3), torch.InterpolateOptions{}))
		}
		above = lateral
		out[i] = n.layer[i].Forward(lateral)
	}
	last := out[len(out)-1]
	if n.neck.Extra == Pool {
		return append(out, last.MaxPool2d(1, 2, 0))
	}
	if n.neck.Extra == P6P7ofC {
		last = from[len(from)-1]
	}
	p6 := n.extra[0].Forward(last)
	p7 := p6
	if !n.neck.Plain {
		p7 = p6.ReLU()
	}
	return append(out, p6, n.extra[1].Forward(p7))
}

// stages are what the backbone's families call their stages, the stem first.
var stages = map[string][][]string{
	"resnet":    {{"conv1", "bn1"}, {"layer1"}, {"layer2"}, {"layer3"}, {"layer4"}},
	"mobilenet": {{"0", "1"}, {"2", "3"}, {"4", "5", "6"}, {"7", "8", "9", "10", "11", "12"}, {"13", "14", "15", "16"}},
}

// frozen are the keys of the backbone's stem and of its first so many stages;
// none for a negative number.
func (n *Net) frozen(count int) []string {
	var out []string
	for _, stage := range stages[n.body.Family][:count+1] {
		for _, part := range stage {
			out = append(out, "backbone.body."+part)
		}
	}
	return out
}
