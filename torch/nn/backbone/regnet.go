package backbone

import (
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch/nn"
)

// regConfig is a RegNetY (Radosavovic et al. 2020): block widths grow linearly
// from w0 by wa and are rounded to powers of wm.
type regConfig struct {
	depth      int
	w0, wa, wm float64
	groupWidth int64
	nearest    bool // stage widths go to the nearest multiple of the group's, as the paper and timm have it
}

func regNets() []Spec {
	var specs []Spec
	for _, r := range []struct {
		torchvision, timm string
		regConfig
	}{
		{"", "002", regConfig{depth: 13, w0: 24, wa: 36.44, wm: 2.49, groupWidth: 8}},
		{"400mf", "004", regConfig{depth: 16, w0: 48, wa: 27.89, wm: 2.09, groupWidth: 8}},
		{"", "006", regConfig{depth: 15, w0: 48, wa: 32.54, wm: 2.32, groupWidth: 16}},
		{"800mf", "008", regConfig{depth: 14, w0: 56, wa: 38.84, wm: 2.4, groupWidth: 16}},
		{"1_6gf", "016", regConfig{depth: 27, w0: 48, wa: 20.71, wm: 2.65, groupWidth: 24}},
		{"3_2gf", "032", regConfig{depth: 21, w0: 80, wa: 42.63, wm: 2.66, groupWidth: 24}},
		{"", "040", regConfig{depth: 22, w0: 96, wa: 31.41, wm: 2.24, groupWidth: 64}},
		{"", "064", regConfig{depth: 25, w0: 112, wa: 33.22, wm: 2.27, groupWidth: 72}},
		{"8gf", "080", regConfig{depth: 17, w0: 192, wa: 76.82, wm: 2.19, groupWidth: 56}},
		{"", "120", regConfig{depth: 19, w0: 168, wa: 73.36, wm: 2.37, groupWidth: 112}},
		{"16gf", "160", regConfig{depth: 18, w0: 200, wa: 106.23, wm: 2.48, groupWidth: 112}},
		{"32gf", "320", regConfig{depth: 20, w0: 232, wa: 115.89, wm: 2.53, groupWidth: 232}},
	} {
		if r.torchvision != "" {
			specs = append(specs, spec(Torchvision, "regnet", "regnet_y_"+r.torchvision, "fc", 224, r.build))
		}
		if r.timm == "008" || r.timm == "080" { // where both ways of rounding differ
			specs = append(specs, spec(Timm, "regnet", "regnety_"+r.timm+"_tv", "head.fc", 224, r.build))
		}
		r.nearest = true
		specs = append(specs, spec(Timm, "regnet", "regnety_"+r.timm, "head.fc", 224, r.build))
	}
	return specs
}

// stages returns the widths of the stages and how many blocks they have
// (equations 2 to 4 of the paper).
func (c regConfig) stages() (widths []int64, depths []int) {
	for i := range c.depth {
		power := math.RoundToEven(math.Log((c.w0+c.wa*float64(i))/c.w0) / math.Log(c.wm))
		w := int64(math.RoundToEven(c.w0*math.Pow(c.wm, power)/8)) * 8
		if n := len(widths); n == 0 || widths[n-1] != w {
			widths, depths = append(widths, w), append(depths, 0)
		}
		depths[len(depths)-1]++
	}
	for i, w := range widths {
		group := min(c.groupWidth, w)
		if c.nearest {
			widths[i] = int64(math.RoundToEven(float64(w)/float64(group))) * group
		} else {
			widths[i] = makeDivisible(float64(w), group)
		}
	}
	return widths, depths
}

// regKeys says where a library keeps the parts of a RegNet.
type regKeys struct {
	stem, block         string // of stage and block, from 1 and from base
	base                int
	parts               [3]string
	squeeze, projection string
	conv, norm          string // below a part
	init                func(nn.Conv2dConfig) nn.Conv2dConfig
	last                float64 // what the weights of a block's last norm begin with
}

var regTorchvision = regKeys{
	stem: "stem", block: "trunk_output.block%d.block%[1]d-%d", parts: [3]string{"f.a", "f.b", "f.c"}, squeeze: "f.se",
	projection: "proj", conv: "0", norm: "1", init: regInit, last: 1,
}

var regTimm = regKeys{
	stem: "stem", block: "s%d.b%d", base: 1, parts: [3]string{"conv1", "conv2", "conv3"}, squeeze: "se",
	projection: "downsample", conv: "conv", norm: "bn", init: kaimingGroupFanOut,
}

func (c regConfig) build(s *site) trunk {
	keys := regTorchvision
	if s.Library == Timm {
		keys = regTimm
	}
	norm := s.norm(1e-5, 0.1)
	in, stride := int64(32), int64(4)
	t := &chain{layers: []nn.Module{keys.part(descend(s.root, keys.stem), nn.Conv2dConfig{In: 3, Out: in, Kernel: 3, Stride: 2}, norm, nn.ReLU)}}
	widths, depths := c.stages()
	for i, width := range widths {
		var stage nn.Sequential
		for j := range depths[i] {
			s.block()
			b := descend(s.root, fmt.Sprintf(keys.block, i+1, j+keys.base))
			stage = append(stage, keys.bottleneck(b, in, width, min(c.groupWidth, width), int64(2-min(j, 1)), norm, s.normFrom(1e-5, 0.1, keys.last)))
			in = width
		}
		t.layers = append(t.layers, stage)
		t.tap(s, width, stride<<i)
	}
	s.net.Width = in
	s.headWeight, s.headBias = nn.NormalInit(0, 0.01), nn.Fill(0)
	return t
}

func (k regKeys) part(b *nn.Builder, c nn.Conv2dConfig, norm normLayer, act nn.Module) nn.Module {
	return newConvNorm(b.Sub(k.conv), b.Sub(k.norm), k.init(c), norm, act)
}

// regInit is kaimingFanOut with PyTorch's own biases, which torchvision leaves
// to squeeze and excitation here.
func regInit(c nn.Conv2dConfig) nn.Conv2dConfig {
	c = kaimingFanOut(c)
	c.BiasInit = nil
	return c
}

// bottleneck builds 1×1, grouped 3×3, squeeze and excitation, 1×1 beside the
// identity or a projection; the last 1×1 has a norm of its own.
func (k regKeys) bottleneck(b *nn.Builder, in, width, group, stride int64, norm, last normLayer) *residual {
	l := &residual{out: width}
	if in != width || stride != 1 {
		l.shortcut = k.part(descend(b, k.projection), nn.Conv2dConfig{In: in, Out: width, Kernel: 1, Stride: stride}, norm, nil)
	}
	squeeze := squeezeConfig{reduce: "fc1", expand: "fc2", init: k.init, act: nn.ReLU, gate: nn.Sigmoid}
	l.chain = nn.Sequential{
		k.part(descend(b, k.parts[0]), nn.Conv2dConfig{In: in, Out: width, Kernel: 1}, norm, nn.ReLU),
		k.part(descend(b, k.parts[1]), nn.Conv2dConfig{In: width, Out: width, Kernel: 3, Stride: stride, Groups: width / group}, norm, nn.ReLU),
		squeeze.build(descend(b, k.squeeze), width, int64(math.RoundToEven(float64(in)/4))),
		k.part(descend(b, k.parts[2]), nn.Conv2dConfig{In: width, Out: width, Kernel: 1}, last, nil),
	}
	return l
}
