package detr

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/detection/internal/toy"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// toyNames is one architecture per family, with a small transformer.
var toyNames = []string{"detr", "deformable-two-stage", "rtdetr-r18"}

func toyConfig(t *testing.T, name string) Config {
	c := smallConfig(t, name)
	c.FrozenNorm = new(bool)
	return c
}

func small(t *testing.T, name string, change func(*Config)) *Model {
	t.Helper()
	c := toyConfig(t, name)
	if change != nil {
		change(&c)
	}
	require.NoError(t, torch.ManualSeed(3))
	m, err := New(c)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

func TestModelsKeepTheContract(t *testing.T) {
	for _, name := range toyNames {
		t.Run(name, func(t *testing.T) {
			wildtraintest.TestModel(t, wildtraintest.ModelCase{
				New: func() (wildtrain.Model, error) {
					if err := torch.ManualSeed(3); err != nil {
						return nil, err
					}
					c := toyConfig(t, name)
					if name == "detr" {
						c.Dropout = 0.1
					}
					return New(c)
				},
				Batch: func(number int) *wildtrain.Batch { return toy.Batch(number, 2, 64, 2) },
				LR:    2e-3, Steps: 40, Random: name != "deformable-two-stage", // dropout and denoising queries are drawn anew in every step
			})
		})
	}
}

func TestHandlesStayFlat(t *testing.T) {
	for _, name := range toyNames {
		toy.Flat(t, small(t, name, nil), "AdamW", 0.1, 4)
	}
}

// Batches that other trainers trip over.
func TestOddBatchesTrain(t *testing.T) {
	one := func(size int, objects ...wildtrain.Object) *wildtrain.Batch {
		b := toy.Batch(1, 2, size, 0)
		b.Samples[0].Objects = objects
		return b
	}
	many := make([]wildtrain.Object, 500)
	for i := range many {
		many[i] = wildtrain.Object{Box: wildtrain.BoxXYWH(float64(i%55), float64(i/10), 9, 7), Class: i % 3}
	}
	for _, name := range toyNames {
		m := small(t, name, nil)
		cases := map[string]*wildtrain.Batch{
			"more than queries": one(64, many...), "smallest input": one(32, wildtrain.Object{Box: wildtrain.BoxXYWH(3, 3, 20, 20)}),
		}
		for what, objects := range toy.Odd() {
			cases[what] = one(64, objects...)
		}
		for what, b := range cases {
			t.Run(name+" "+what, func(t *testing.T) {
				l, err := m.TrainStep(context.Background(), b, wildtrain.Step{Scale: 1})
				require.NoError(t, err)
				toy.Finite(t, l)
				for _, e := range m.Store().Trainable() {
					require.NoError(t, torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
						if g := s.Grad(e.Tensor); g != nil {
							require.Equal(t, 1.0, g.IsFinite().To(torch.Float).Min().Item(), e.Name)
						}
						return s.Err()
					}))
				}
			})
		}
	}
}

// Pictures of different sizes in one batch answer as each alone does, where the
// convolutions' border does not reach: the same boxes up to what padding does.
func TestPaddedPicturesArePlacedAlone(t *testing.T) {
	m := small(t, "detr", nil)
	a, b := toy.Batch(1, 1, 64, 1), toy.Batch(2, 1, 96, 1)
	image := func(b *wildtrain.Batch) wildtrain.Image {
		return wildtrain.Image{Height: b.Pixels.Height, Width: b.Pixels.Width, Channels: 3, U8: b.Pixels.U8}
	}
	both := wildtrain.NewBatch(wildtrain.Pixels{Images: []wildtrain.Image{image(a), image(b)}}, append(a.Samples, b.Samples...), nil)
	samples := both.Samples
	p, err := m.Predict(context.Background(), both)
	require.NoError(t, err)
	require.Len(t, p, 2)
	alone, err := m.Predict(context.Background(), b)
	require.NoError(t, err)
	require.Len(t, p[1].Objects, len(alone[0].Objects))
	for i, o := range alone[0].Objects { // the larger picture is not padded at all
		require.InDelta(t, o.Box.X1, p[1].Objects[i].Box.X1, 1e-2)
		require.InDelta(t, o.Score, p[1].Objects[i].Score, 1e-4)
	}
	for _, o := range p[0].Objects {
		require.LessOrEqual(t, o.Box.X2, 64.0)
	}
	l, err := m.TrainStep(context.Background(), wildtrain.NewBatch(wildtrain.Pixels{Images: []wildtrain.Image{image(a), image(b)}}, samples, nil), wildtrain.Step{Scale: 1})
	require.NoError(t, err)
	v, err := l.Values()
	require.NoError(t, err)
	require.False(t, math.IsNaN(v[0]))
}

func TestBadInputIsTold(t *testing.T) {
	ctx := context.Background()
	m := small(t, "rtdetr-r18", nil)
	bad := toy.Batch(1, 2, 64, 1)
	bad.Samples[1].Objects[0].Class = 7
	_, err := m.TrainStep(ctx, bad, wildtrain.Step{Scale: 1})
	require.ErrorContains(t, err, "class 7")
	_, err = m.TrainStep(ctx, toy.Batch(1, 1, 60, 0), wildtrain.Step{Scale: 1})
	require.ErrorContains(t, err, "multiples of 32")
	grey := toy.Batch(1, 1, 64, 0)
	grey.Pixels.Channels = 1
	_, err = m.Predict(ctx, grey)
	require.ErrorContains(t, err, "3 channels")
	b := toy.Batch(1, 1, 64, 0)
	_, err = m.Predict(ctx, wildtrain.NewBatch(wildtrain.Pixels{Images: []wildtrain.Image{{Height: 64, Width: 64, Channels: 3, U8: b.Pixels.U8}}}, b.Samples, nil))
	require.ErrorContains(t, err, "one size")
	require.ErrorContains(t, m.Freeze("backbone.77"), "backbone.77")

	_, err = Default("detr_resnet77", classNames(1))
	require.ErrorContains(t, err, "detr_resnet50")
	c := toyConfig(t, "deformable")
	c.Classes, c.Hidden, c.TwoStage, c.Queries, c.Postprocess.Conf, c.Loss.Kind = nil, 62, true, 0, 2, "hinge"
	_, err = New(c)
	for _, want := range []string{"no classes", "4 heads", "two stages", "0 queries", "threshold 2", "hinge"} {
		require.ErrorContains(t, err, want)
	}
	c = toyConfig(t, "rtdetr-r18")
	c.Weights = small(t, "detr", nil).State()
	_, err = New(c)
	require.ErrorContains(t, err, "missing")
}

func TestNames(t *testing.T) {
	for spelled, want := range map[string]string{
		"detr_resnet50": "detr_resnet50", "facebook/detr-resnet-50": "detr_resnet50", "detr_r50_8xb2-150e_coco": "detr_resnet50",
		"SenseTime/deformable-detr": "deformable_detr_resnet50", "deformable-detr-refine-twostage_r50_16xb2-50e_coco": "deformable_detr_resnet50_two_stage",
		"SenseTime/deformable-detr-with-box-refine": "deformable_detr_resnet50_refine",
		"PekingU/rtdetr_r18vd":                      "rtdetr_r18vd", "RTDETR_R50VD": "rtdetr_r50vd", "rtdetr_r50vd_6x_coco": "rtdetr_r50vd",
	} {
		got, err := Lookup(spelled)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := Lookup("yolov8n")
	require.Error(t, err)
}

func TestFrozenStagesDoNotTrain(t *testing.T) {
	for name, want := range map[string]string{"detr": "backbone.0.body.layer2.0.conv1.weight", "rtdetr-r18": "backbone.res_layers.1.blocks.0.branch2a.conv.weight"} {
		m := small(t, name, func(c *Config) { c.FrozenStages = 1 })
		require.NoError(t, m.Freeze("backbone"))
		require.Empty(t, backboneTrains(m))
		require.NoError(t, m.Freeze())
		trains := backboneTrains(m)
		require.Contains(t, trains, want)
		require.NotContains(t, trains, "backbone.0.body.layer1.0.conv1.weight")
		require.NotContains(t, trains, "backbone.conv1.conv1_1.conv.weight")
		require.NotContains(t, trains, "backbone.res_layers.0.blocks.0.branch2a.conv.weight")
	}
}

func backboneTrains(m *Model) []string {
	var out []string
	for _, e := range m.Store().Trainable() {
		if e.Name[:min(9, len(e.Name))] == "backbone." {
			out = append(out, e.Name)
		}
	}
	return out
}

func TestTheBackboneLearnsSlower(t *testing.T) {
	m := small(t, "deformable", nil)
	cfg := wildtrain.DefaultOptimizer("AdamW")
	cfg.LR = 1e-4
	o, err := m.Optimizer(cfg)
	require.NoError(t, err)
	defer o.Close()
	rates := map[string]float64{}
	for _, g := range o.Groups() {
		rates[g.Name] = g.LR
	}
	require.InDelta(t, 1e-4, rates["weights"], 1e-12)
	require.InDelta(t, 1e-5, rates["weights.1"], 1e-12)
}

func TestBFloat16Trains(t *testing.T) {
	for _, name := range toyNames {
		loss := func(change func(*Config)) float64 {
			l, err := small(t, name, change).TrainStep(context.Background(), toy.Batch(1, 2, 64, 2), wildtrain.Step{Scale: 1})
			require.NoError(t, err)
			v, err := l.Values()
			require.NoError(t, err)
			return v[0]
		}
		got := loss(func(c *Config) { c.Precision, c.Denoising.Queries = torch.BFloat16, 0 })
		require.InEpsilon(t, loss(func(c *Config) { c.Denoising.Queries = 0 }), got, 0.15, name)
	}
}
