package detection

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/detection/internal/toy"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// besides is a small model that learns all three things besides, with an encoder.
func besides(cfg *YOLOConfig) {
	a := &cfg.Auxiliary
	a.Count, a.Area, a.TruePositive = 0.5, 0.25, 0.5
	a.Encoder, a.EncoderSize, a.MinArea = "mobilenet_v3_small", 32, 16
}

// The losses are Σ SmoothL1 of the answers, weighted, per unit of target score.
func TestAuxiliaryLossesByHand(t *testing.T) {
	m := small(t, func(c *YOLOConfig) { c.Auxiliary.Count, c.Auxiliary.Area = 0.5, 0.25 })
	for _, name := range []string{"auxiliary.count.2.weight", "auxiliary.area.2.weight"} {
		e, ok := m.Store().Lookup(name)
		require.True(t, ok)
		require.NoError(t, e.Tensor.Fill(0)) // every cell answers with what the head begins with
	}
	b := toy.Batch(1, 2, 64, 0)
	b.Samples[0].Objects = []wildtrain.Object{{Box: wildtrain.BoxXYWH(0, 0, 32, 32)}, {Box: wildtrain.BoxXYWH(48, 48, 64, 64)}, {Box: wildtrain.BoxXYWH(1, 1, 9, 9), Crowd: true}}
	err := torch.Run(t.Context(), torch.CPU, torch.Training, func(s *torch.Scope) error {
		x, err := m.input(s, b)
		require.NoError(t, err)
		maps := m.net.outputs(x, true, true, m.aux.rows()...).maps
		packed, err := m.aux.add(lossOutcome{torch.Of(s, []float32{6, 1, 2, 3}, 4), 4}, seen{images: x, maps: maps, samples: b.Samples})
		require.NoError(t, err)
		got := packed.Detach().Float64s(nil)
		// 8·8 cells of stride 8 with 5 objects in 80·80 of them: 0.05 of 2 and of 0
		count := 0.5 / 4 * ((2 - 0.05 - 0.5) + 0.05*0.05/2)
		// 0.05 where objects cover (32·32 + 16·16) of 64·64 px, and none
		area := 0.25 / 4 * (math.Pow(0.3125-0.05, 2)/2 + 0.05*0.05/2)
		require.InDeltaSlice(t, []float64{6 + count + area, 1, 2, 3, count, area}, got, 1e-5)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"count_loss", "area_loss"}, m.aux.names())
}

// Detections that are in doubt are judged by their best CIoU; where there are none, boxes are made up.
func TestJudgedBoxes(t *testing.T) {
	m := small(t, func(c *YOLOConfig) { c.Auxiliary.TruePositive, c.Auxiliary.MinArea = 1, 100 })
	j := m.aux.boxes
	rows := make([]float32, 2*7*4) // two pictures, four anchors, three classes
	for a, box := range [][7]float32{
		{20, 20, 20, 20, 0, 0.5, 0.2}, // in doubt: 10,10 to 30,30
		{20, 20, 20, 20, 0, 0.95, 0},  // sure
		{20, 20, 20, 20, 0.05, 0, 0},  // improbable
		{20, 20, 5, 5, 0.5, 0, 0},     // small
	} {
		for k, v := range box {
			rows[4*k+a] = v
		}
	}
	b := toy.Batch(1, 2, 64, 0)
	object := wildtrain.Object{Box: wildtrain.BoxXYWH(10, 10, 20, 10)}
	b.Samples[0].Objects, b.Samples[1].Objects = []wildtrain.Object{object, {Box: wildtrain.BoxXYWH(50, 50, 9, 9)}}, []wildtrain.Object{object}
	choose := func(s *torch.Scope, step int64) ([]float32, []float32) {
		v := seen{images: s.Zeros(torch.Float, 2, 3, 64, 64), samples: b.Samples, step: step,
			decoded: func() *torch.Tensor { return torch.Of(s, rows, 2, 7, 4) }}
		rois, overlaps := j.choose(v, truths(b.Samples))
		return rois.Float32s(nil), overlaps
	}
	torchtest.Run(t, torch.Training, func(s *torch.Scope) {
		rois, overlaps := choose(s, 3)
		require.Equal(t, []float32{0, 10, 10, 30, 30}, rois[:5])
		// IoU 1/2, centres 5 px apart in a hull of 20·20, and the shapes' term with v = 4/π²·(atan 2 − atan 1)²
		shape := 4 / (math.Pi * math.Pi) * math.Pow(math.Atan(2)-math.Atan(1), 2)
		require.InDelta(t, 0.5-25.0/800-shape*shape/(shape+0.5), overlaps[0], 1e-5)
		require.Len(t, overlaps, 1+judged)
		best := float32(0)
		for i, roi := 1, rois[5:]; len(roi) > 0; i, roi = i+1, roi[5:] {
			require.Equal(t, float32(1), roi[0])
			require.True(t, roi[1] >= 0 && roi[2] >= 0 && roi[3] <= 64 && roi[4] <= 64 && roi[1] < roi[3] && roi[2] < roi[4], "%v", roi[:5])
			require.GreaterOrEqual(t, overlaps[i], float32(0))
			best = max(best, overlaps[i])
		}
		require.Greater(t, best, float32(0.1), "some are beside the object")
		again, _ := choose(s, 3)
		require.Equal(t, rois, again)
		later, _ := choose(s, 4)
		require.NotEqual(t, rois[5:], later[5:])
	})
}

// The auxiliary losses alone teach their heads and the network; the encoder stays as it is.
func TestAuxiliaryGradients(t *testing.T) {
	m := small(t, func(c *YOLOConfig) {
		besides(c)
		c.Gains.Box, c.Gains.Cls, c.Gains.DFL = 0, 0, 0
	})
	encoder := m.aux.boxes.encoder.store
	before := map[string][]float32{}
	for _, e := range encoder.Entries() {
		before[e.Name] = e.Tensor.Float32s(nil)
	}
	opt, err := m.Optimizer(wildtrain.DefaultOptimizer("SGD"))
	require.NoError(t, err)
	defer opt.Close()
	losses, err := m.TrainStep(t.Context(), toy.Batch(1, 2, 64, 2), wildtrain.Step{Scale: 1})
	require.NoError(t, err)
	require.Equal(t, []string{"loss", "box_loss", "cls_loss", "dfl_loss", "count_loss", "area_loss", "fp_tp_loss"}, losses.Names())
	values, err := losses.Values()
	require.NoError(t, err)
	require.InDelta(t, values[0], values[4]+values[5]+values[6], 1e-5)
	err = torch.Run(t.Context(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		for _, e := range m.Store().Trainable() {
			taught := strings.HasPrefix(e.Name, checkpoint.Auxiliary) || e.Name == "model.0.conv.weight"
			if g := s.Grad(e.Tensor); taught {
				require.NotNil(t, g, e.Name)
				require.Greater(t, g.Mul(g).Sum().Item(), 0.0, e.Name)
			}
		}
		for _, e := range encoder.Entries() {
			require.Nil(t, s.Grad(e.Tensor), e.Name)
		}
		return nil
	})
	require.NoError(t, err)
	_, err = opt.Step(wildtrain.Clip{})
	require.NoError(t, err)
	require.NotEmpty(t, before)
	for _, e := range encoder.Entries() {
		require.Equal(t, before[e.Name], e.Tensor.Float32s(nil), e.Name)
	}
}

// steps trains m on three batches and returns the losses.
func steps(t *testing.T, m *YOLO) (all []float64) {
	opt, err := m.Optimizer(wildtrain.DefaultOptimizer("SGD"))
	require.NoError(t, err)
	defer opt.Close()
	for i := range 3 {
		losses, err := m.TrainStep(t.Context(), toy.Batch(i, 2, 64, 2), wildtrain.Step{Scale: 1, Number: int64(i)})
		require.NoError(t, err)
		toy.Finite(t, losses)
		values, err := losses.Values()
		require.NoError(t, err)
		all = append(all, values...)
		_, err = opt.Step(wildtrain.Clip{Norm: 10})
		require.NoError(t, err)
		opt.ZeroGrad()
	}
	return all
}

// Without weights nothing is built and nothing changes; with them the network begins as without.
func TestAuxiliaryOffIsNotThere(t *testing.T) {
	plain, off := small(t, nil), small(t, func(c *YOLOConfig) {
		besides(c)
		c.Auxiliary.Count, c.Auxiliary.Area, c.Auxiliary.TruePositive = 0, 0, 0
	})
	require.Equal(t, steps(t, plain), steps(t, off))
	found, err := wildtraintest.Diff(plain.State(), off.State())
	require.NoError(t, err)
	require.Empty(t, found)

	fresh, on := small(t, nil), small(t, besides)
	found, err = wildtraintest.Diff(fresh.State(), checkpoint.Inference(on.State()))
	require.NoError(t, err)
	require.Empty(t, found)
	require.Equal(t, fresh.Describe(), on.Describe())
	require.Equal(t, fresh.FusedParameters(), on.FusedParameters())
}

func TestAuxiliaryKeepsTheContract(t *testing.T) {
	wildtraintest.TestModel(t, wildtraintest.ModelCase{
		New: func() (wildtrain.Model, error) {
			cfg := DefaultYOLO("yolov8n", classNames(3))
			besides(&cfg)
			return NewYOLO(cfg)
		},
		Batch: func(number int) *wildtrain.Batch { return toy.Batch(number, 2, 64, 2) },
		LR:    1e-3, Steps: 25,
	})
	toy.Flat(t, small(t, besides), "SGD", 10, 6)
}

// The heads are in checkpoints and not in what is exported; either can be trained on, with heads or without.
func TestAuxiliaryWeights(t *testing.T) {
	m := small(t, besides)
	steps(t, m)
	whole := wildtrain.State(m.State())
	file := filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, checkpoint.Export(file, whole, nil))
	exported, err := checkpoint.Open(file)
	require.NoError(t, err)
	defer exported.Close()
	plain := small(t, nil)
	require.Equal(t, plain.State().Names(), exported.Names())
	for _, weights := range []wildtrain.State{whole, exported} {
		bare := small(t, func(c *YOLOConfig) { c.Weights = weights })
		found, err := wildtraintest.Diff(bare.State(), exported)
		require.NoError(t, err)
		require.Empty(t, found)
		again := small(t, func(c *YOLOConfig) {
			besides(c)
			c.Weights = weights
		})
		found, err = wildtraintest.Diff(again.State(), whole)
		require.NoError(t, err)
		require.Equal(t, weights == exported, found != "", "%s", found) // what the file lacks begins anew
	}
}

// What real data brings gives finite losses and gradients, in all families.
func TestAuxiliaryOfOddBatches(t *testing.T) {
	for _, arch := range []string{"yolo11n", "yolo12n", "yolo26n", "yolov8n-p2"} {
		cfg := DefaultYOLO(arch, classNames(3))
		besides(&cfg)
		cfg.Auxiliary.Encoder = ""
		m, err := NewYOLO(cfg)
		require.NoError(t, err)
		for name, objects := range toy.Odd() {
			b := toy.Batch(1, 2, 64, 0)
			b.Samples[0].Objects = objects
			losses, err := m.TrainStep(t.Context(), b, wildtrain.Step{Scale: 1})
			require.NoError(t, err, name)
			toy.Finite(t, losses)
		}
		opt, err := m.Optimizer(wildtrain.DefaultOptimizer("SGD"))
		require.NoError(t, err)
		report, err := opt.Step(wildtrain.Clip{Norm: 10})
		require.NoError(t, err)
		require.False(t, report.Skipped, "a gradient is not finite")
		require.NoError(t, opt.Close())
		require.NoError(t, m.Close())
	}
}

func TestBadAuxiliary(t *testing.T) {
	for want, change := range map[string]func(*Auxiliary){
		"count regressor: there is no row 22 before the head": func(a *Auxiliary) { a.CountRow = 22 },
		"p4: there is no row -2":                              func(a *Auxiliary) { a.P4Row = -2 },
		"weight -1 of an auxiliary loss":                      func(a *Auxiliary) { a.Area = -1 },
		"image encoder resnet19":                              func(a *Auxiliary) { a.Encoder = "resnet19" },
		"must be a multiple of 16":                            func(a *Auxiliary) { a.Encoder, a.EncoderSize = "vit_b_16", 40 },
	} {
		cfg := DefaultYOLO("yolov8n", classNames(3))
		besides(&cfg)
		change(&cfg.Auxiliary)
		_, err := NewYOLO(cfg)
		require.ErrorContains(t, err, want)
	}
}
