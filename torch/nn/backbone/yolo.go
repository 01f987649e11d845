package backbone

import (
	"math"
	"strconv"

	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/block"
)

// yoloConfig is a classifier of the YOLO family: the backbone of the detector
// (as package detection describes it), a 1×1 convolution to 1280
// channels, the mean over positions.
type yoloConfig struct {
	modern               bool // the blocks of YOLO11, else those of YOLOv8
	depth, width, widest float64
}

// yoloFeatures is the width of the features of all sizes.
const yoloFeatures = 1280

func yolos() []Spec {
	var specs []Spec
	for _, f := range []struct {
		name, head string
		modern     bool
		sizes      map[string][3]float64
	}{
		{"yolov8", "model.9.linear", false, map[string][3]float64{
			"n": {0.33, 0.25, 1024}, "s": {0.33, 0.5, 1024}, "m": {0.67, 0.75, 1024}, "l": {1, 1, 1024}, "x": {1, 1.25, 1024}}},
		{"yolo11", "model.10.linear", true, map[string][3]float64{
			"n": {0.5, 0.25, 1024}, "s": {0.5, 0.5, 1024}, "m": {0.5, 1, 512}, "l": {1, 1, 512}, "x": {1, 1.5, 512}}},
	} {
		for _, size := range []string{"n", "s", "m", "l", "x"} {
			v := f.sizes[size]
			c := yoloConfig{modern: f.modern, depth: v[0], width: v[1], widest: v[2]}
			s := spec(Ultralytics, "yolo", f.name+size+"-cls", f.head, 224, c.build)
			s.Mean, s.Std = [3]float64{}, [3]float64{1, 1, 1} // pictures in 0..1 as they are
			specs = append(specs, s)
		}
	}
	return specs
}

func (c yoloConfig) channels(n float64) int64 {
	return nn.MakeDivisible(math.Min(n, c.widest)*c.width, 8)
}

func (c yoloConfig) repeats(n float64) int { return max(int(math.RoundToEven(n*c.depth)), 1) }

func (c yoloConfig) build(s *site) trunk {
	t, others := &chain{}, len(s.store.Modules())
	model := s.root.Sub("model")
	next := func() *nn.Builder {
		s.block()
		return model.Sub(strconv.Itoa(len(t.layers)))
	}
	in := int64(3)
	down := func(channels float64) {
		out := c.channels(channels)
		t.layers = append(t.layers, block.NewConv(next(), block.ConvConfig{In: in, Out: out, Kernel: 3, Stride: 2}))
		in = out
	}
	down(64)
	for i, channels := range []float64{128, 256, 512, 1024} {
		down(channels)
		t.layers = append(t.layers, c.stage(next(), i, &in))
		t.tap(s, in, 4<<i)
	}
	if c.modern {
		t.layers = append(t.layers, block.NewC2PSA(next(), in, c.repeats(2), 0.5))
	}
	t.layers = append(t.layers, block.NewConv(next().Sub("conv"), block.ConvConfig{In: in, Out: yoloFeatures}))
	s.net.Width = yoloFeatures
	for _, m := range s.store.Modules()[others:] {
		if l, ok := m.(*block.Conv); ok { // the classifiers keep PyTorch's settings, unlike the detectors
			l.Norm.Eps, l.Norm.Momentum = 1e-5, 0.1
		}
	}
	return t
}

// stage is the i-th of four: YOLOv8's have 3, 6, 6 and 3 bottlenecks; of YOLO11's
// the first two double the channels.
func (c yoloConfig) stage(b *nn.Builder, i int, in *int64) nn.Module {
	from := *in
	if !c.modern {
		return block.NewC2f(b, from, from, c.repeats([]float64{3, 6, 6, 3}[i]), true, 0.5)
	}
	expansion := 0.5
	if i < 2 {
		*in, expansion = c.channels([]float64{256, 512}[i]), 0.25
	}
	return block.NewC3k2(b, from, *in, c.repeats(2), i >= 2 || c.width >= 1, expansion)
}
