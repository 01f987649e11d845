package pyramid_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/detection/internal/toy"
	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// batch makes two grey pictures of 64×96 px with the given objects in the first.
func batch(objects ...wildtrain.Object) *wildtrain.Batch {
	const n, h, w = 2, 64, 96
	p := wildtrain.Pixels{N: n, Height: h, Width: w, Channels: 3, U8: make([]uint8, n*h*w*3)}
	for i := range p.U8 {
		p.U8[i] = uint8(i * 7)
	}
	s := make([]wildtrain.Sample, n)
	for i, id := range []string{"first", "second"} {
		s[i] = wildtrain.Sample{ID: id, Width: w, Height: h, Place: wildtrain.Identity}
	}
	s[0].Objects = objects
	return wildtrain.NewBatch(p, s, nil)
}

func object(x1, y1, x2, y2 float64) wildtrain.Object {
	return wildtrain.Object{Box: wildtrain.Box{X1: x1, Y1: y1, X2: x2, Y2: y2}, Class: 1}
}

// small detectors of every kind.
var kinds = []string{"fasterrcnn_resnet18_fpn", "cascade-rcnn_r18_fpn", "retinanet_resnet18_fpn", "fcos_resnet18_fpn"}

func same(*pyramid.Config) {}

// Images without boxes, empty boxes, crowds, boxes beyond the picture and a
// crowded picture give finite losses and gradients.
func TestOddTargetsStayFinite(t *testing.T) {
	crowd := object(2, 2, 60, 60)
	crowd.Crowd = true
	var many []wildtrain.Object
	for i := range 200 {
		x, y := float64(i%20)*4, float64(i/20)*6
		many = append(many, object(x, y, x+5, y+7))
	}
	for _, name := range kinds {
		m := build(t, name, 3, same)
		opt, err := m.Optimizer(wildtrain.DefaultOptimizer("SGD"))
		require.NoError(t, err)
		defer opt.Close()
		for what, objects := range map[string][]wildtrain.Object{
			"none": nil, "empty": {object(5, 5, 5, 20), object(9, 9, 9, 9)}, "crowd": {crowd}, "beyond": {object(-50, -50, 500, 400)}, "many": many,
		} {
			l, err := m.TrainStep(t.Context(), batch(objects...), wildtrain.Step{Scale: 1})
			require.NoError(t, err, "%s: %s", name, what)
			toy.Finite(t, l)
			report, err := opt.Step(wildtrain.Clip{Norm: 1})
			require.NoError(t, err)
			require.False(t, report.Skipped, "%s: %s: a gradient is not finite", name, what)
			opt.ZeroGrad()
		}
	}
}

func TestBadTargetsAreErrors(t *testing.T) {
	m := build(t, "fasterrcnn_resnet18_fpn", 3, same)
	nan := object(1, 1, math.NaN(), 5)
	_, err := m.TrainStep(t.Context(), batch(nan), wildtrain.Step{Scale: 1})
	require.ErrorContains(t, err, "first: box")
	strange := object(1, 1, 5, 5)
	strange.Class = 3
	_, err = m.TrainStep(t.Context(), batch(strange), wildtrain.Step{Scale: 1})
	require.ErrorContains(t, err, "first: class 3 of 3")
	masked := build(t, "maskrcnn_resnet18_fpn", 3, same)
	_, err = masked.TrainStep(t.Context(), batch(object(1, 1, 5, 5)), wildtrain.Step{Scale: 1})
	require.ErrorContains(t, err, "data.masks=true")
}

// With objectness or scores that nothing reaches there is nothing to find, and
// nothing breaks.
func TestNothingFound(t *testing.T) {
	for _, name := range append(kinds, "maskrcnn_resnet18_fpn") {
		m := build(t, name, 3, same)
		m.Postprocess(detection.Postprocess{Conf: 1, IoU: 0.5, MaxDet: 100})
		p, err := m.Predict(t.Context(), batch())
		require.NoError(t, err, name)
		require.Len(t, p, 2)
		require.Empty(t, p[0].Objects)
	}
}

// Pictures of different sizes are resized by the model, and what it finds is in
// their own pixels.
func TestPicturesOfTheirOwnSize(t *testing.T) {
	m := build(t, "fasterrcnn_resnet18_fpn", 3, func(c *pyramid.Config) { c.Transform.MinSize, c.Transform.MaxSize = 64, 96 })
	m.Postprocess(detection.Postprocess{Conf: 0, IoU: 0.9, MaxDet: 300})
	images := []wildtrain.Image{{Height: 40, Width: 120, Channels: 3, U8: make([]uint8, 40*120*3)}, {Height: 90, Width: 30, Channels: 3, U8: make([]uint8, 90*30*3)}}
	samples := []wildtrain.Sample{{ID: "wide", Width: 120, Height: 40, Place: wildtrain.Identity}, {ID: "high", Width: 30, Height: 90, Place: wildtrain.Identity}}
	p, err := m.Predict(t.Context(), wildtrain.NewBatch(wildtrain.Pixels{Images: images}, samples, nil))
	require.NoError(t, err)
	for i, one := range p {
		require.NotEmpty(t, one.Objects)
		right, bottom := 0.0, 0.0
		for _, o := range one.Objects {
			right, bottom = max(right, o.Box.X2), max(bottom, o.Box.Y2)
		}
		require.Greater(t, right, 0.75*float64(samples[i].Width), "%s: boxes are in the picture's own pixels", one.ID)
		require.Greater(t, bottom, 0.75*float64(samples[i].Height), one.ID)
	}
}

// Masks come as runs in the original picture, within their boxes, also where the
// batch shows it smaller.
func TestMasksAreInTheOriginal(t *testing.T) {
	m := build(t, "maskrcnn_resnet18_fpn", 3, same)
	m.Postprocess(detection.Postprocess{Conf: 0, IoU: 0.9, MaxDet: 10})
	b := batch()
	for i := range b.Samples { // of 192×128 px, shown at half the size
		b.Samples[i].Width, b.Samples[i].Height, b.Samples[i].Place = 192, 128, wildtrain.Scaling(0.5, 0.5)
	}
	p, err := m.Predict(t.Context(), b)
	require.NoError(t, err)
	require.NotEmpty(t, p[0].Objects)
	for _, o := range p[0].Objects {
		require.NotNil(t, o.Mask)
		require.Equal(t, []int{128, 192}, []int{o.Mask.Height, o.Mask.Width})
		x, y, w, h := (*rle.Mask)(o.Mask).Box()
		const soft = 8 // the mask's edge may lie a cell outside of its box
		require.True(t, w == 0 || float64(x) > o.Box.X1-soft && float64(y) > o.Box.Y1-soft && float64(x+w) < o.Box.X2+soft && float64(y+h) < o.Box.Y2+soft)
	}
}

// The stages that pretrained backbones keep do not train, whatever else is frozen.
func TestFrozenStages(t *testing.T) {
	m := build(t, "fasterrcnn_resnet18_fpn", 3, func(c *pyramid.Config) { c.FrozenStages = 1 })
	require.NoError(t, m.Freeze("rpn"))
	for _, e := range m.Store().Entries() {
		frozen := strings.HasPrefix(e.Name, "rpn.") || strings.HasPrefix(e.Name, "backbone.body.conv1") || strings.HasPrefix(e.Name, "backbone.body.bn1") || strings.HasPrefix(e.Name, "backbone.body.layer1.")
		require.Equal(t, !e.Buffer && !frozen, e.Trains(), e.Name)
	}
}

// The choice of boxes is part of what a resumed run restores.
func TestRandomState(t *testing.T) {
	m := build(t, "fasterrcnn_resnet18_fpn", 3, func(c *pyramid.Config) { c.Norm = pyramid.NormFrozen })
	state, err := m.RandomState()
	require.NoError(t, err)
	learn := func() []float64 {
		l, err := m.TrainStep(t.Context(), batch(object(10, 10, 50, 50)), wildtrain.Step{Scale: 1})
		require.NoError(t, err)
		v, err := l.Values()
		require.NoError(t, err)
		return v
	}
	a, b := learn(), learn()
	require.NotEqual(t, a, b, "other boxes are chosen")
	require.NoError(t, m.SetRandomState(state))
	require.Equal(t, a, learn())
}

// Settings that cannot work are told together.
func TestBadSettings(t *testing.T) {
	c := pyramid.Default("x", nil, pyramid.Neck{Body: "resnet18", Levels: []int{0}})
	c.Transform.MaxSize, c.Transform.Std[1], c.Score, c.Detections, c.FrozenStages = 1, 0, 2, 0, 7
	err := c.Validate()
	for _, want := range []string{"no classes", "sizes 800 to 1", "standard deviation", "least score 2", "0 detections", "7 frozen stages"} {
		require.ErrorContains(t, err, want)
	}
}

// state holds tensors of 1, 2, 3, … under names.
func state(t *testing.T, tensors map[string][]int64) wildtrain.State {
	t.Helper()
	s := torch.NewRoot(torch.CPU)
	t.Cleanup(s.Close)
	out := torch.State{}
	for name, shape := range tensors {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		data := make([]float32, n)
		for i := range data {
			data[i] = float32(i + 1)
		}
		out[name] = torch.Of(s, data, shape...)
	}
	return out
}

// Weights of a classifier, of old torchvision and of MMDetection fit, in part.
func TestOtherProgramsKeys(t *testing.T) {
	weights := func(name string, tensors map[string][]int64) *pyramid.Detector {
		return build(t, name, 2, func(c *pyramid.Config) { c.Weights, c.Partial = state(t, tensors), true })
	}
	read := func(m *pyramid.Detector, name string) []float32 {
		e, ok := m.Store().Lookup(name)
		require.True(t, ok, name)
		return e.Tensor.Float32s(nil)
	}
	m := weights("fasterrcnn_resnet18_fpn", map[string][]int64{"bn1.weight": {64}, "bn1.num_batches_tracked": {}, "fc.weight": {1000, 512}})
	require.Equal(t, float32(7), read(m, "backbone.body.bn1.weight")[6])
	require.Empty(t, m.Loaded().Unexpected)
	require.NotContains(t, m.State().Names(), "backbone.body.bn1.num_batches_tracked", "a bare backbone is frozen")

	m = weights("fasterrcnn_mobilenet_v3_large_320_fpn", map[string][]int64{"features.0.1.weight": {16}, "classifier.0.weight": {1280, 960}})
	require.Equal(t, float32(3), read(m, "backbone.body.0.1.weight")[2])
	require.Empty(t, m.Loaded().Unexpected)

	m = weights("maskrcnn_resnet18_fpn", map[string][]int64{"backbone.fpn.inner_blocks.1.bias": {256}, "rpn.head.conv.bias": {256}, "roi_heads.mask_head.mask_fcn3.bias": {256}})
	require.Equal(t, 3, m.Loaded().Loaded)
	require.Equal(t, float32(5), read(m, "rpn.head.conv.0.0.bias")[4])

	m = weights("mask-rcnn_r18_fpn", map[string][]int64{
		"neck.lateral_convs.0.conv.bias": {256}, "neck.lateral_convs.3.conv.bias": {256}, "neck.fpn_convs.3.conv.bias": {256},
		"roi_head.bbox_head.fc_cls.bias": {3}, "roi_head.bbox_head.fc_reg.bias": {8}, "roi_head.mask_head.conv_logits.bias": {2},
		"roi_head.bbox_head.shared_fcs.1.bias": {1024}, "rpn_head.rpn_reg.bias": {12}, "backbone.bn1.bias": {64},
	})
	require.Empty(t, m.Loaded().Unexpected)
	require.Equal(t, 9, m.Loaded().Loaded)
	require.Equal(t, []float32{3, 1, 2}, read(m, "roi_heads.box_predictor.cls_score.bias"), "the background is last there, first here")
	require.Equal(t, []float32{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, read(m, "roi_heads.box_predictor.bbox_pred.bias"))
	require.Equal(t, []float32{0, 1, 2}, read(m, "roi_heads.mask_predictor.mask_fcn_logits.bias"))

	m = weights("retinanet_r18_fpn", map[string][]int64{"neck.fpn_convs.3.conv.bias": {256}, "neck.fpn_convs.0.conv.bias": {256}, "bbox_head.retina_cls.bias": {18}, "bbox_head.reg_convs.2.conv.bias": {256}})
	require.Equal(t, 4, m.Loaded().Loaded)
	require.Equal(t, float32(2), read(m, "backbone.fpn.extra_blocks.p6.bias")[1])

	m = weights("retinanet_resnet18_fpn", map[string][]int64{"head.classification_head.conv.4.bias": {256}, "backbone.body.bn1.bias": {64}})
	require.Equal(t, 2, m.Loaded().Loaded)
	require.Equal(t, float32(2), read(m, "head.classification_head.conv.2.0.bias")[1])
}

// torchvision's first weights for COCO want an eps of 0, others 1e-5.
func TestNormEps(t *testing.T) {
	eps := func(name string, classes int, tensors map[string][]int64) float64 {
		m := build(t, name, classes, func(c *pyramid.Config) {
			if tensors != nil {
				c.Weights, c.Partial = state(t, tensors), true
			}
		})
		return m.NormEps()
	}
	frozen := map[string][]int64{"backbone.body.bn1.weight": {64}}
	require.Zero(t, eps("fasterrcnn_resnet50_fpn", 90, frozen))
	require.InDelta(t, 1e-5, eps("fasterrcnn_resnet50_fpn", 3, frozen), 1e-12)
	require.InDelta(t, 1e-5, eps("fasterrcnn_resnet50_fpn", 90, map[string][]int64{"bn1.weight": {64}}), 1e-12, "a backbone's own weights")
	require.InDelta(t, 1e-5, eps("fasterrcnn_resnet18_fpn", 90, nil), 1e-12)
}

func TestDescribe(t *testing.T) {
	m := build(t, "fasterrcnn_resnet18_fpn", 3, same)
	d := m.Describe()
	require.Equal(t, "detection", d.Task)
	require.Equal(t, 32, d.Stride)
	require.Equal(t, []int64{4, 8, 16, 32, 64}, m.Strides())
}
