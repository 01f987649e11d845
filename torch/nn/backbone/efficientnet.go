package backbone

import (
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// efficientStage is a row of the papers' tables: expansion, kernel, stride,
// channels, blocks.
type efficientStage struct {
	expand, kernel, stride, out int64
	depth                       int
	fused                       bool
}

// efficientConfig is an EfficientNet (Tan and Le 2019) or EfficientNetV2 (Tan
// and Le 2021).
type efficientConfig struct {
	stem, last    int64
	stages        []efficientStage
	width, depth  float64 // multipliers
	eps, momentum float64 // of batch norm
	same          bool    // TensorFlow's padding
}

// efficientB0 is the baseline that the larger ones scale.
var efficientB0 = efficientConfig{stem: 32, last: 1280, stages: []efficientStage{
	{1, 3, 1, 16, 1, false}, {6, 3, 2, 24, 2, false}, {6, 5, 2, 40, 2, false}, {6, 3, 2, 80, 3, false},
	{6, 5, 1, 112, 3, false}, {6, 5, 2, 192, 4, false}, {6, 3, 1, 320, 1, false},
}, width: 1, depth: 1, eps: 1e-5, momentum: 0.1}

// efficientV2 are EfficientNetV2's sizes.
var efficientV2 = map[string]efficientConfig{
	"s": {stem: 24, last: 1280, stages: []efficientStage{
		{1, 3, 1, 24, 2, true}, {4, 3, 2, 48, 4, true}, {4, 3, 2, 64, 4, true},
		{4, 3, 2, 128, 6, false}, {6, 3, 1, 160, 9, false}, {6, 3, 2, 256, 15, false},
	}, width: 1, depth: 1, eps: 1e-3, momentum: 0.1},
	"m": {stem: 24, last: 1280, stages: []efficientStage{
		{1, 3, 1, 24, 3, true}, {4, 3, 2, 48, 5, true}, {4, 3, 2, 80, 5, true},
		{4, 3, 2, 160, 7, false}, {6, 3, 1, 176, 14, false}, {6, 3, 2, 304, 18, false}, {6, 3, 1, 512, 5, false},
	}, width: 1, depth: 1, eps: 1e-3, momentum: 0.1},
	"l": {stem: 32, last: 1280, stages: []efficientStage{
		{1, 3, 1, 32, 4, true}, {4, 3, 2, 64, 7, true}, {4, 3, 2, 96, 7, true},
		{4, 3, 2, 192, 10, false}, {6, 3, 1, 224, 19, false}, {6, 3, 2, 384, 25, false}, {6, 3, 1, 640, 7, false},
	}, width: 1, depth: 1, eps: 1e-3, momentum: 0.1},
}

func efficientNets() []Spec {
	var specs []Spec
	for i, v := range []struct {
		width, depth, dropout  float64
		size, timmSize, tfSize int
		timmStats              [2][3]float64
	}{
		{1.0, 1.0, 0.2, 224, 224, 224, imageNet}, {1.0, 1.1, 0.2, 240, 240, 240, halves},
		{1.1, 1.2, 0.3, 288, 256, 260, imageNet}, {1.2, 1.4, 0.3, 300, 288, 300, imageNet},
		{1.4, 1.8, 0.4, 380, 320, 380, imageNet}, {1.6, 2.2, 0.4, 456, 448, 456, imageNet},
		{1.8, 2.6, 0.5, 528, 528, 528, imageNet}, {2.0, 3.1, 0.5, 600, 600, 600, imageNet},
	} {
		c := efficientB0
		c.width, c.depth = v.width, v.depth
		timm, tf := c, c
		if i >= 5 {
			c.eps, c.momentum = 1e-3, 0.01
		}
		tf.eps, tf.same = 1e-3, true
		s := spec(Torchvision, "efficientnet", fmt.Sprintf("efficientnet_b%d", i), "classifier.1", v.size, c.build)
		s.Dropout, s.StochasticDepth = v.dropout, 0.2
		t := spec(Timm, "efficientnet", s.Name, "classifier", v.timmSize, timm.build)
		t.Mean, t.Std = v.timmStats[0], v.timmStats[1]
		specs = append(specs, s, t, spec(Timm, "efficientnet", "tf_"+s.Name, "classifier", v.tfSize, tf.build))
	}
	for _, v := range []struct {
		name                   string
		dropout                float64
		size, timmSize, tfSize int
		stats                  [2][3]float64
	}{{"s", 0.2, 384, 288, 300, imageNet}, {"m", 0.3, 480, 320, 384, imageNet}, {"l", 0.4, 480, 384, 384, halves}} {
		c := efficientV2[v.name]
		timm, tf := c, c
		timm.eps = 1e-5
		tf.same = true
		s := spec(Torchvision, "efficientnet", "efficientnet_v2_"+v.name, "classifier.1", v.size, c.build)
		s.Dropout, s.StochasticDepth, s.Mean, s.Std = v.dropout, 0.2, v.stats[0], v.stats[1]
		t := spec(Timm, "efficientnet", "tf_efficientnetv2_"+v.name, "classifier", v.tfSize, tf.build)
		t.Mean, t.Std = halves[0], halves[1]
		specs = append(specs, s, t, spec(Timm, "efficientnet", "efficientnetv2_"+v.name, "classifier", v.timmSize, timm.build))
	}
	return specs
}

// channels scales a width.
func (c efficientConfig) channels(n int64) int64 { return makeDivisible(float64(n)*c.width, 8) }

func (c efficientConfig) build(s *site) trunk {
	style := s.mbStyle(c.eps, c.momentum, nn.SiLU, nn.Sigmoid)
	style.same = c.same
	depths, total := make([]int, len(c.stages)), 0
	for i, st := range c.stages {
		depths[i] = int(math.Ceil(float64(st.depth) * c.depth))
		total += depths[i]
	}
	ends := func(torchvision int, conv, norm string) (*nn.Builder, *nn.Builder) {
		if style.timm {
			return s.root.Sub(conv), s.root.Sub(norm)
		}
		b := s.root.Sub("features").At(torchvision)
		return b.At(0), b.At(1)
	}
	in, stride, index := c.channels(c.stem), int64(2), 0
	conv, norm := ends(0, "conv_stem", "bn1")
	t := &chain{layers: []nn.Module{style.conv(conv, norm, nn.Conv2dConfig{In: 3, Out: in, Kernel: 3, Stride: 2}, nn.SiLU)}}
	for i, st := range c.stages {
		b := s.root.Sub("features").At(i + 1)
		if style.timm {
			b = s.root.Sub("blocks").At(i)
		}
		var stage nn.Sequential
		for j := range depths[i] {
			s.block()
			block := c.block(st, in, j == 0)
			stage = append(stage, style.block(b.At(j), block, s.StochasticDepth*float64(index)/float64(total)))
			in = block.out
			index++
		}
		t.layers = append(t.layers, stage)
		if stride *= st.stride; stride > 2 && (i+1 == len(c.stages) || c.stages[i+1].stride == 2) {
			t.tap(s, in, stride) // the last stage of its stride
		}
	}
	s.net.Width = c.channels(c.last)
	conv, norm = ends(len(c.stages)+1, "conv_head", "bn2")
	t.layers = append(t.layers, style.conv(conv, norm, nn.Conv2dConfig{In: in, Out: s.net.Width, Kernel: 1}, nn.SiLU))
	s.headWeight, s.headBias = uniformFanOut, nn.Fill(0)
	return t
}

// block describes a block of a stage; the first one strides.
func (c efficientConfig) block(st efficientStage, in int64, first bool) mbConv {
	b := mbConv{in: in, expanded: makeDivisible(float64(in*st.expand), 8), out: c.channels(st.out), kernel: st.kernel, stride: 1, fused: st.fused, act: nn.SiLU}
	if first {
		b.stride = st.stride
	}
	if !st.fused {
		b.squeezed = max(1, in/4)
	}
	return b
}

// uniformFanOut is uniform in ±1/√out for a weight (out, in).
func uniformFanOut(t *torch.Tensor) error {
	bound := 1 / math.Sqrt(float64(t.Size(0)))
	return t.Uniform(-bound, bound)
}
