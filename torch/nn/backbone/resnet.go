package backbone

import (
	"strconv"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// resnetConfig is a ResNet (He et al. 2016, with the stride in the 3×3
// convolution), ResNeXt (Xie et al. 2017) or wide ResNet (Zagoruyko and Komodakis 2016).
type resnetConfig struct {
	depths     [4]int
	bottleneck bool
	groups     int64
	groupWidth int64 // channels per group where the stage has 64
}

func resnets() []Spec {
	var specs []Spec
	for _, r := range []struct {
		name string
		resnetConfig
	}{
		{"resnet18", resnetConfig{[4]int{2, 2, 2, 2}, false, 1, 64}},
		{"resnet34", resnetConfig{[4]int{3, 4, 6, 3}, false, 1, 64}},
		{"resnet50", resnetConfig{[4]int{3, 4, 6, 3}, true, 1, 64}},
		{"resnet101", resnetConfig{[4]int{3, 4, 23, 3}, true, 1, 64}},
		{"resnet152", resnetConfig{[4]int{3, 8, 36, 3}, true, 1, 64}},
		{"resnext50_32x4d", resnetConfig{[4]int{3, 4, 6, 3}, true, 32, 4}},
		{"resnext101_32x8d", resnetConfig{[4]int{3, 4, 23, 3}, true, 32, 8}},
		{"resnext101_64x4d", resnetConfig{[4]int{3, 4, 23, 3}, true, 64, 4}},
		{"wide_resnet50_2", resnetConfig{[4]int{3, 4, 6, 3}, true, 1, 128}},
		{"wide_resnet101_2", resnetConfig{[4]int{3, 4, 23, 3}, true, 1, 128}},
	} {
		s := spec(Torchvision, "resnet", r.name, "fc", 224, r.build)
		s.shared = true
		specs = append(specs, s)
	}
	return specs
}

func (c resnetConfig) build(s *site) trunk {
	norm := s.norm(1e-5, 0.1)
	t := &chain{layers: []nn.Module{
		newConvNorm(s.root.Sub("conv1"), s.root.Sub("bn1"), kaimingFanOut(nn.Conv2dConfig{In: 3, Out: 64, Kernel: 7, Stride: 2}), norm, nn.ReLU),
		nn.MaxPool2d{Kernel: 3, Stride: 2, Padding: 1},
	}}
	in := int64(64)
	for i, depth := range c.depths {
		b := s.root.Sub("layer" + strconv.Itoa(i+1))
		planes, stride := int64(64)<<i, int64(2)
		if i == 0 {
			stride = 1
		}
		var stage nn.Sequential
		for j := range depth {
			s.block()
			block := c.residual(b.At(j), in, planes, stride, norm)
			stage, in, stride = append(stage, block), block.out, 1
		}
		t.layers = append(t.layers, stage)
		t.tap(s, in, 4<<i)
	}
	s.net.Width = in
	return t
}

// residual is a chain of convolutions beside the identity or a projection:
// names conv1, bn1, …, downsample.0, downsample.1.
type residual struct {
	chain    nn.Sequential
	shortcut nn.Module // nil for the identity
	out      int64
}

// residual builds two 3×3 convolutions or, as a bottleneck, 1×1, 3×3, 1×1.
func (c resnetConfig) residual(b *nn.Builder, in, planes, stride int64, norm normLayer) *residual {
	l := &residual{out: planes}
	conv := func(in, out, kernel, stride, groups int64, act nn.Module) {
		i := strconv.Itoa(len(l.chain) + 1)
		l.chain = append(l.chain, newConvNorm(b.Sub("conv"+i), b.Sub("bn"+i),
			kaimingFanOut(nn.Conv2dConfig{In: in, Out: out, Kernel: kernel, Stride: stride, Groups: groups}), norm, act))
	}
	if c.bottleneck {
		l.out = 4 * planes
		width := planes * c.groupWidth / 64 * c.groups
		conv(in, width, 1, 1, 1, nn.ReLU)
		conv(width, width, 3, stride, c.groups, nn.ReLU)
		conv(width, l.out, 1, 1, 1, nil)
	} else {
		conv(in, planes, 3, stride, 1, nn.ReLU)
		conv(planes, planes, 3, 1, 1, nil)
	}
	if stride != 1 || in != l.out {
		d := b.Sub("downsample")
		l.shortcut = newConvNorm(d.At(0), d.At(1), kaimingFanOut(nn.Conv2dConfig{In: in, Out: l.out, Kernel: 1, Stride: stride}), norm, nil)
	}
	return l
}

// Forward implements nn.Module.
func (l *residual) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		y := l.chain.Forward(x)
		if l.shortcut != nil {
			x = l.shortcut.Forward(x)
		}
		return y.Add(x).ReLU()
	})
}
