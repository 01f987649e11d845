package detection

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/detection/internal/toy"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

func small(t *testing.T, change func(*YOLOConfig)) *YOLO {
	t.Helper()
	cfg := DefaultYOLO("yolov8n", classNames(3))
	if change != nil {
		change(&cfg)
	}
	require.NoError(t, torch.ManualSeed(3))
	m, err := NewYOLO(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

func TestYOLOKeepsTheContract(t *testing.T) {
	wildtraintest.TestModel(t, wildtraintest.ModelCase{
		New: func() (wildtrain.Model, error) {
			return NewYOLO(DefaultYOLO("yolov8n", classNames(3)))
		},
		Batch: func(number int) *wildtrain.Batch { return toy.Batch(number, 2, 64, 2) },
		LR:    1e-3, Steps: 25,
	})
}

func TestHandlesStayFlat(t *testing.T) { toy.Flat(t, small(t, nil), "SGD", 10, 6) }

// Batches that other trainers trip over: see wildtrain-and-wildata and torchvision's issues.
func TestOddBatchesTrain(t *testing.T) {
	m := small(t, nil)
	one := func(size int, objects ...wildtrain.Object) *wildtrain.Batch {
		b := toy.Batch(1, 1, size, 0)
		b.Samples[0].Objects = objects
		return b
	}
	many := make([]wildtrain.Object, 2000)
	for i := range many {
		many[i] = wildtrain.Object{Box: wildtrain.BoxXYWH(float64(i%60), float64(i/60), 9, 7), Class: i % 3}
	}
	smallest := one(32, wildtrain.Object{Box: wildtrain.BoxXYWH(3, 3, 20, 20)})
	smallest = wildtrain.NewBatch(smallest.Pixels, append(smallest.Samples, smallest.Samples[0]), nil) // batch norm wants two values
	smallest.Pixels.N, smallest.Pixels.U8 = 2, append(smallest.Pixels.U8, smallest.Pixels.U8...)
	cases := map[string]*wildtrain.Batch{"two thousand": one(64, many...), "smallest input": smallest}
	for name, objects := range toy.Odd() {
		cases[name] = one(64, objects...)
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			l, err := m.TrainStep(context.Background(), b, wildtrain.Step{Scale: 1})
			require.NoError(t, err)
			toy.Finite(t, l)
		})
	}
}

func TestBadInputIsTold(t *testing.T) {
	m := small(t, nil)
	ctx := context.Background()
	bad := toy.Batch(1, 1, 64, 1)
	bad.Samples[0].Objects[0].Class = 7
	_, err := m.TrainStep(ctx, bad, wildtrain.Step{Scale: 1})
	require.ErrorContains(t, err, "class 7")
	_, err = m.TrainStep(ctx, toy.Batch(1, 1, 60, 0), wildtrain.Step{Scale: 1})
	require.ErrorContains(t, err, "multiples of 32")
	grey := toy.Batch(1, 1, 64, 0)
	grey.Pixels.Channels = 1
	_, err = m.Predict(ctx, grey)
	require.ErrorContains(t, err, "3 channels")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = m.Predict(cancelled, toy.Batch(1, 1, 64, 0))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, m.Freeze("model.99"), "model.99")

	_, err = NewYOLO(DefaultYOLO("yolo99z", classNames(1)))
	require.ErrorContains(t, err, "yolov8n")
	cfg := DefaultYOLO("yolov8n", nil)
	cfg.Precision, cfg.Postprocess.IoU = torch.Half, 3
	_, err = NewYOLO(cfg)
	require.ErrorContains(t, err, "no classes")
	require.ErrorContains(t, err, "float16")
	require.ErrorContains(t, err, "overlap threshold")
}

func TestWeightsThatDoNotFit(t *testing.T) {
	m := small(t, nil)
	cfg := DefaultYOLO("yolov8n", classNames(80))
	cfg.Weights = m.State()
	_, err := NewYOLO(cfg)
	require.ErrorContains(t, err, "mis-shaped")
	require.ErrorContains(t, err, "model.22.cv3")
	cfg.Partial = true
	p, err := NewYOLO(cfg)
	require.NoError(t, err)
	defer p.Close()
	require.NotEmpty(t, p.Loaded().Misshaped)
	require.NotZero(t, p.Loaded().Loaded)
}

func TestFreezeKeepsPartsAndTheirStatistics(t *testing.T) {
	m := small(t, nil)
	require.NoError(t, m.Freeze("model.0", "model.1"))
	before, err := wildtraintest.Copy(m.State())
	require.NoError(t, err)
	opt, err := m.Optimizer(wildtrain.DefaultOptimizer("SGD"))
	require.NoError(t, err)
	defer opt.Close()
	_, err = m.TrainStep(context.Background(), toy.Batch(1, 2, 64, 2), wildtrain.Step{Scale: 1})
	require.NoError(t, err)
	_, err = opt.Step(wildtrain.Clip{})
	require.NoError(t, err)
	for _, name := range before.Names() {
		info, _ := before.Info(name)
		a, b := make([]byte, info.Bytes()), make([]byte, info.Bytes())
		require.NoError(t, before.Read(name, a))
		require.NoError(t, m.State().Read(name, b))
		frozen := name[:8] == "model.0." || name[:8] == "model.1."
		if frozen {
			require.Equal(t, a, b, name)
		}
	}
	name := "model.2.cv1.bn.running_mean"
	a, b := make([]byte, 128), make([]byte, 128)
	require.NoError(t, before.Read(name, a))
	require.NoError(t, m.State().Read(name, b))
	require.NotEqual(t, a, b, name)
}

// An architecture file of the user's own: a P2 head and an own scale.
func TestOwnArchitectureFile(t *testing.T) {
	dir := t.TempDir()
	text := `
nc: 3
scales: {t: [0.33, 0.125, 256]}
backbone:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 3, C2f, [128, True]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [-1, 1, SPPF, [256, 5]]
head:
  - [-1, 1, nn.Upsample, [None, 2, "nearest"]]
  - [[-1, 2], 1, Concat, [1]]
  - [-1, 3, C2f, [128]]
  - [[7, 4], 1, Detect, [nc]]
`
	path := filepath.Join(dir, "tiny-p2.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	m, err := NewYOLO(DefaultYOLO(path, classNames(3)))
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, []int64{4, 8}, m.Strides())
	require.Equal(t, 8, m.Describe().Stride)
	p, err := m.Predict(context.Background(), toy.Batch(1, 2, 64, 1))
	require.NoError(t, err)
	require.Len(t, p, 2)

	for broken, want := range map[string]string{
		"backbone: [[-1, 1, Conv, [64, 3, 2]]]\nhead: [[[5], 1, Detect, [nc]]]":                          "no earlier row 5",
		"backbone: [[-1, 1, Conv, [64, 3, 2]]]\nhead: [[-1, 1, Conw, [64]], [[0], 1, Detect, [nc]]]":     "unknown module",
		"backbone: [[-1, 1, Conv, [64, 3, 2]]]\nhead: []":                                                "must be one of Detect, Segment",
		"end2end: true\nbackbone: [[-1, 1, Conv, [64, 3, 2]]]\nhead: [[[0], 1, Segment, [nc, 32, 256]]]": "no one-to-one branches",
		"backbone: [[-1, 1, Conv, [64, 3, 2]]]\nhead: [[[0], 1, Segment, [nc, 0, 256]]]":                 "0 masks",
		"backbone: [[-1, 1, Conv, [64, 3, 2]]]\nhead: [[[0], 1, Segment, [nc, 32]]]":                     "channels is missing",
		"backbones: 3": "unknown key",
		"backbone: [[-1, 1, Conv, [x, 3, 2]]]\nhead: [[[0], 1, Detect, [nc]]]": "not a number",
	} {
		require.NoError(t, os.WriteFile(path, []byte(broken), 0o644))
		_, err := NewYOLO(DefaultYOLO(path, classNames(3)))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "tiny-p2.yaml")
	}
}

func TestBFloat16Trains(t *testing.T) {
	m := small(t, func(c *YOLOConfig) { c.Precision, c.ChannelsLast = torch.BFloat16, true })
	l, err := m.TrainStep(context.Background(), toy.Batch(1, 2, 64, 2), wildtrain.Step{Scale: 1})
	require.NoError(t, err)
	got, err := l.Values()
	require.NoError(t, err)
	exact := small(t, nil)
	l, err = exact.TrainStep(context.Background(), toy.Batch(1, 2, 64, 2), wildtrain.Step{Scale: 1})
	require.NoError(t, err)
	want, err := l.Values()
	require.NoError(t, err)
	require.InEpsilon(t, want[0], got[0], 0.1, "bfloat16 has 8 bits, and this loss of 64 px images divides by few target scores")
}

func TestSuppression(t *testing.T) {
	// one class, three boxes: the second overlaps the first, the third does not
	decoded := []float32{
		10, 11, 40, // cx
		10, 10, 40, // cy
		10, 10, 10, // w
		10, 10, 10, // h
		0.9, 0.8, 0.7,
		0.1, 0.85, 0.2,
	}
	p := Postprocess{Conf: 0.3, IoU: 0.5, MaxDet: 10, MaxBoxes: 100}
	got := objects(p.detections(decoded, 2, 3))
	require.Len(t, got, 3, "classes do not suppress each other")
	p.Agnostic = true
	require.Len(t, p.detections(decoded, 2, 3), 2)
	p = Postprocess{Conf: 0.15, IoU: 0.5, MaxDet: 10, MultiLabel: true}
	got = objects(p.detections(decoded, 2, 3))
	require.Len(t, got, 4, "the first class loses one, the second keeps both")
	p.MaxDet = 1
	got = objects(p.detections(decoded, 2, 3))
	require.Len(t, got, 1)
	require.InDelta(t, 0.9, got[0].Score, 1e-6)
	require.Equal(t, wildtrain.Box{X1: 5, Y1: 5, X2: 15, Y2: 15}, got[0].Box)
}
