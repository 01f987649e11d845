package backbone

import (
	"fmt"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// mobileConfig is a MobileNetV3 (Howard et al. 2019): tables 1 and 2 of the
// paper, with the stages by which timm numbers the blocks.
type mobileConfig struct {
	stages        [][]mobileBlock
	last, width   int64 // channels of the last convolution and of the layer before the head
	eps, momentum float64
	same          bool // TensorFlow's padding
}

// mobileBlock is one row: kernel, expanded and output channels, squeeze and
// excitation, h-swish instead of ReLU, stride.
type mobileBlock struct {
	kernel, expanded, out int64
	squeeze, swish        bool
	stride                int64
}

var mobileV3 = map[string]mobileConfig{
	"large": {last: 960, width: 1280, stages: [][]mobileBlock{
		{{3, 16, 16, false, false, 1}},
		{{3, 64, 24, false, false, 2}, {3, 72, 24, false, false, 1}},
		{{5, 72, 40, true, false, 2}, {5, 120, 40, true, false, 1}, {5, 120, 40, true, false, 1}},
		{{3, 240, 80, false, true, 2}, {3, 200, 80, false, true, 1}, {3, 184, 80, false, true, 1}, {3, 184, 80, false, true, 1}},
		{{3, 480, 112, true, true, 1}, {3, 672, 112, true, true, 1}},
		{{5, 672, 160, true, true, 2}, {5, 960, 160, true, true, 1}, {5, 960, 160, true, true, 1}},
	}},
	"small": {last: 576, width: 1024, stages: [][]mobileBlock{
		{{3, 16, 16, true, false, 2}},
		{{3, 72, 24, false, false, 2}, {3, 88, 24, false, false, 1}},
		{{5, 96, 40, true, true, 2}, {5, 240, 40, true, true, 1}, {5, 240, 40, true, true, 1}},
		{{5, 120, 48, true, true, 1}, {5, 144, 48, true, true, 1}},
		{{5, 288, 96, true, true, 2}, {5, 576, 96, true, true, 1}, {5, 576, 96, true, true, 1}},
	}},
}

func mobileNets() []Spec {
	var specs []Spec
	for _, size := range []string{"small", "large"} {
		tv, timm, tf := mobileV3[size], mobileV3[size], mobileV3[size]
		tv.eps, tv.momentum = 1e-3, 0.01
		timm.eps, timm.momentum = 1e-5, 0.1
		tf.eps, tf.momentum, tf.same = 1e-3, 0.1, true
		s := spec(Torchvision, "mobilenet", "mobilenet_v3_"+size, "classifier.3", 224, tv.build)
		s.Dropout = 0.2
		t := spec(Timm, "mobilenet", fmt.Sprintf("tf_mobilenetv3_%s_100", size), "classifier", 224, tf.build)
		t.Mean, t.Std = halves[0], halves[1]
		specs = append(specs, s, t, spec(Timm, "mobilenet", fmt.Sprintf("mobilenetv3_%s_100", size), "classifier", 224, timm.build))
	}
	return specs
}

func (c mobileConfig) build(s *site) trunk {
	style := s.mbStyle(c.eps, c.momentum, nn.ReLU, nn.HardSigmoid)
	style.same = c.same
	features := s.root.Sub("features")
	if s.MapsOnly {
		features = s.root // as torchvision's detectors have it
	}
	conv, norm := features.At(0).At(0), features.At(0).At(1)
	if style.timm {
		conv, norm = s.root.Sub("conv_stem"), s.root.Sub("bn1")
	}
	in, stride := int64(16), int64(2)
	t := &chain{layers: []nn.Module{style.conv(conv, norm, nn.Conv2dConfig{In: 3, Out: in, Kernel: 3, Stride: 2}, nn.HardSwish)}}
	t.tap(s, in, stride)
	for i, stage := range c.stages {
		for j, row := range stage {
			s.block()
			b := features.At(len(t.layers))
			if style.timm {
				b = s.root.Sub("blocks").At(i).At(j)
			}
			t.layers = append(t.layers, style.block(b, row.block(in), 0))
			in = row.out
			if stride *= row.stride; row.stride > 1 {
				t.tap(s, in, stride)
			}
		}
	}
	b := features.At(len(t.layers))
	conv, norm = b.At(0), b.At(1)
	if style.timm {
		b = s.root.Sub("blocks").At(len(c.stages)).At(0)
		conv, norm = b.Sub("conv"), b.Sub("bn1")
	}
	t.layers = append(t.layers, style.conv(conv, norm, nn.Conv2dConfig{In: in, Out: c.last, Kernel: 1}, nn.HardSwish))
	t.tap(s, c.last, stride)
	if s.net.Width = c.last; !s.MapsOnly {
		t.tail = c.tail(s)
	}
	return t
}

// block describes a row for the given input.
func (r mobileBlock) block(in int64) mbConv {
	b := mbConv{in: in, expanded: r.expanded, out: r.out, kernel: r.kernel, stride: r.stride, act: nn.ReLU}
	if r.swish {
		b.act = nn.HardSwish
	}
	if r.squeeze {
		b.squeezed = makeDivisible(float64(r.expanded/4), 8)
	}
	return b
}

// tail is the layer behind the pooling, by which the features get their width.
// timm makes it a 1×1 convolution.
func (c mobileConfig) tail(s *site) nn.Module {
	s.net.Width = c.width
	if s.Library == Timm {
		s.headWeight, s.headBias = uniformFanOut, nn.Fill(0)
		conv := nn.NewConv2d(s.root.Sub("conv_head"), kaimingFanOut(nn.Conv2dConfig{In: c.last, Out: c.width, Kernel: 1}))
		return nn.Func(func(x *torch.Tensor) *torch.Tensor {
			return conv.Forward(x.Unsqueeze(2).Unsqueeze(3)).HardSwish().Flatten(1, -1)
		})
	}
	s.headWeight, s.headBias = nn.NormalInit(0, 0.01), nn.Fill(0)
	return nn.Sequential{nn.NewLinearFrom(descend(s.root, "classifier.0"), c.last, c.width, s.headWeight, s.headBias), nn.HardSwish}
}
