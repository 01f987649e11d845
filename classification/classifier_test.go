package classification

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

var colours = []string{"red", "green", "blue"}

// colourBatch paints a square of the class's colour on noise.
func colourBatch(number, n, size int) *wildtrain.Batch {
	r := rand.New(rand.NewPCG(uint64(number), 7))
	px := make([]uint8, n*size*size*3)
	for i := range px {
		px[i] = uint8(90 + r.IntN(40))
	}
	samples := make([]wildtrain.Sample, n)
	for i := range samples {
		class := (i + number) % len(colours)
		x, y := r.IntN(size/2), r.IntN(size/2)
		for dy := range size / 2 {
			for dx := range size / 2 {
				px[((i*size+y+dy)*size+x+dx)*3+class] = 250
			}
		}
		samples[i] = wildtrain.Sample{ID: fmt.Sprint(number, "/", i), Width: size, Height: size, Place: wildtrain.Identity, Targets: []wildtrain.Target{{Class: class, Weight: 1}}}
	}
	return wildtrain.NewBatch(wildtrain.Pixels{N: n, Height: size, Width: size, Channels: 3, U8: px}, samples, nil)
}

func small(t *testing.T, architecture string, change func(*Config)) *Classifier {
	t.Helper()
	cfg := DefaultConfig(architecture, colours)
	cfg.Input.Height, cfg.Input.Width = 32, 32
	if change != nil {
		change(&cfg)
	}
	require.NoError(t, torch.ManualSeed(3))
	m, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

// batches is a Loader.
type batches struct {
	n    int
	make func(number int) *wildtrain.Batch
}

func (b batches) Len() int { return b.n }

func (b batches) Batches(context.Context) iter.Seq2[*wildtrain.Batch, error] {
	return func(yield func(*wildtrain.Batch, error) bool) {
		for i := range b.n {
			if !yield(b.make(i), nil) {
				return
			}
		}
	}
}

func TestClassifierKeepsTheContract(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"resnet18": func(*Config) {},
		"mlp head with dropout": func(c *Config) {
			c.Head = Head{Hidden: 16, Layers: 3, Dropout: 0.1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig("resnet18", colours)
			cfg.Input.Height, cfg.Input.Width = 32, 32
			change(&cfg)
			wildtraintest.TestModel(t, wildtraintest.ModelCase{
				New:    func() (wildtrain.Model, error) { return New(cfg) },
				Batch:  func(number int) *wildtrain.Batch { return colourBatch(number, 4, 32) },
				LR:     0.01,
				Steps:  15,
				Random: cfg.Head.Dropout > 0,
			})
		})
	}
}

// train makes a model that knows its colours.
func train(t *testing.T, m *Classifier, steps int) {
	t.Helper()
	cfg := wildtrain.DefaultOptimizer("AdamW")
	cfg.LR, cfg.Momentum = 1e-3, 0.9
	o, err := m.Optimizer(cfg)
	require.NoError(t, err)
	defer o.Close()
	for i := range steps {
		_, err := m.TrainStep(context.Background(), colourBatch(i, 12, 32), wildtrain.Step{Scale: 1})
		require.NoError(t, err)
		_, err = o.Step(wildtrain.Clip{})
		require.NoError(t, err)
		o.ZeroGrad()
	}
}

func accuracy(t *testing.T, m *Classifier) float64 {
	t.Helper()
	right, all := 0, 0
	for i := range 4 {
		b := colourBatch(100+i, 12, 32)
		samples := b.Samples
		found, err := m.Predict(context.Background(), b)
		require.NoError(t, err)
		for k, p := range found {
			if all++; likeliest(p.Probs) == samples[k].Targets[0].Class {
				right++
			}
		}
	}
	return float64(right) / float64(all)
}

// What was trained is the same model after saving: classes, statistics, head,
// hierarchy and temperature are in the file.
func TestSavesCarryEverything(t *testing.T) {
	m := small(t, "resnet18", func(c *Config) {
		c.Head = Head{Hidden: 8, Layers: 2, Dropout: 0.2}
		c.Input.Mean, c.Input.Std = []float64{0.4, 0.5, 0.6}, []float64{0.2, 0.3, 0.4}
		c.Input.Resize, c.Temperature, c.Background = "center_crop", 1.7, "blue"
		c.Parents = map[string]string{"red": "warm", "green": "cold"}
	})
	train(t, m, 20)
	require.GreaterOrEqual(t, accuracy(t, m), 0.9)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	meta, err := checkpoint.Describe(m.Describe())
	require.NoError(t, err)
	require.NoError(t, checkpoint.Export(path, m.State(), meta))

	f, err := checkpoint.Open(path)
	require.NoError(t, err)
	defer f.Close()
	cfg, err := FromFile(f, "", nil)
	require.NoError(t, err)
	again, err := New(cfg)
	require.NoError(t, err)
	defer again.Close()
	require.True(t, again.Loaded().Complete())
	require.JSONEq(t, string(m.Describe().Options), string(again.Describe().Options))
	require.Equal(t, m.Describe().Classes, again.Describe().Classes)
	want, err := m.Predict(context.Background(), colourBatch(7, 4, 32))
	require.NoError(t, err)
	got, err := again.Predict(context.Background(), colourBatch(7, 4, 32))
	require.NoError(t, err)
	require.Equal(t, want, got)

	// Onwards to other classes: rows go by name.
	cfg, err = FromFile(f, "", []string{"green", "zebra", "red"})
	require.NoError(t, err)
	require.Equal(t, 1.0, cfg.Temperature)
	_, err = New(cfg)
	require.ErrorContains(t, err, "mlp.1.weight[zebra]")
	cfg.Partial = true
	other, err := New(cfg)
	require.NoError(t, err)
	defer other.Close()
	require.Equal(t, []string{"mlp.1.weight[zebra]", "mlp.1.bias[zebra]"}, other.Loaded().Missing)
	old, err := checkpoint.Float32(m.State(), "mlp.1.weight")
	require.NoError(t, err)
	rows, err := checkpoint.Float32(other.State(), "mlp.1.weight")
	require.NoError(t, err)
	require.Equal(t, old[8:16], rows[:8], "green")
	require.Equal(t, old[:8], rows[16:], "red")
}

// Files of torchvision name neither classes nor architecture, and their head may
// have another size.
func TestForeignFiles(t *testing.T) {
	m := small(t, "resnet18", nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "foreign.pth")
	require.NoError(t, checkpoint.Export(path, m.State(), nil))
	f, err := checkpoint.Open(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = FromFile(f, "", nil)
	require.ErrorContains(t, err, path+": the file does not say what model it is")
	cfg, err := FromFile(f, "resnet18", nil)
	require.NoError(t, err)
	require.Equal(t, []string{"class0", "class1", "class2"}, cfg.Classes)
	other, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, other.Close())

	cfg, err = FromFile(f, "resnet18", []string{"a", "b"})
	require.NoError(t, err)
	_, err = New(cfg)
	require.ErrorContains(t, err, "fc.weight: model [2 512], source [3 512]")
	cfg.Partial = true
	other, err = New(cfg)
	require.NoError(t, err)
	require.Len(t, other.Loaded().Misshaped, 2)
	require.NoError(t, other.Close())

	// A detector's file is refused by name.
	yolo := filepath.Join(dir, "yolo.safetensors")
	meta, err := checkpoint.Describe(wildtrain.Description{Task: "detection", Architecture: "yolo11n"})
	require.NoError(t, err)
	require.NoError(t, checkpoint.Export(yolo, m.State(), meta))
	g, err := checkpoint.Open(yolo)
	require.NoError(t, err)
	defer g.Close()
	_, err = FromFile(g, "", nil)
	require.ErrorContains(t, err, "weights for detection (yolo11n)")
}

// Input is normalised once: the network sees what Forward is given here.
func TestNormalisedOnce(t *testing.T) {
	m := small(t, "resnet18", func(c *Config) { c.Temperature = 2 })
	b := colourBatch(1, 2, 32)
	px := slices.Clone(b.Pixels.U8)
	found, err := m.Predict(context.Background(), b)
	require.NoError(t, err)
	x := make([]float32, len(px))
	for i := range px {
		n, at, c := i/(32*32*3), i/3%(32*32), i%3
		x[(n*3+c)*32*32+at] = float32((float64(px[i])/255 - m.cfg.Input.Mean[c]) / m.cfg.Input.Std[c])
	}
	err = torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		out, err := m.Forward(s, torch.Of(s, x, 2, 3, 32, 32))
		if err != nil {
			return err
		}
		require.Equal(t, []int64{2, 3}, out["logits"].Shape())
		require.Equal(t, []int64{2, 512}, out["features"].Shape())
		require.Len(t, out, 2)
		want := out["logits"].DivScalar(2).Softmax(1).Float32s(nil)
		require.LessOrEqual(t, torchtest.Worst(slices.Concat(found[0].Probs, found[1].Probs), want), 1e-5)
		return nil
	})
	require.NoError(t, err)
}

func TestMultiLabel(t *testing.T) {
	m := small(t, "resnet18", func(c *Config) { c.MultiLabel = true })
	many := func(number int) *wildtrain.Batch {
		b := colourBatch(number, 6, 32)
		for i := range b.Samples { // the class, and "blue" with it where it is "red"
			if b.Samples[i].Targets[0].Class == 0 {
				b.Samples[i].Targets = append(b.Samples[i].Targets, wildtrain.Target{Class: 2, Weight: 1})
			}
			if i == 5 {
				b.Samples[i].Targets = nil
			}
		}
		return b
	}
	losses, found, err := m.Evaluate(context.Background(), many(0))
	require.NoError(t, err)
	v, err := losses.Values()
	require.NoError(t, err)
	require.Greater(t, v[0], 0.0)
	for _, p := range found {
		for _, q := range p.Probs {
			require.True(t, q > 0 && q < 1)
		}
	}
	_, err = m.TrainStep(context.Background(), many(1), wildtrain.Step{Scale: 1})
	require.NoError(t, err)
}

func TestFeatureExtractor(t *testing.T) {
	m := small(t, "resnet18", func(c *Config) { c.Classes = nil })
	found, err := m.Embed(context.Background(), colourBatch(0, 2, 32))
	require.NoError(t, err)
	require.Len(t, found[0].Embedding, 512)
	require.Nil(t, found[0].Probs)
	_, err = m.Predict(context.Background(), colourBatch(0, 2, 32))
	require.ErrorIs(t, err, errNoClasses)
	_, err = m.TrainStep(context.Background(), colourBatch(0, 2, 32), wildtrain.Step{Scale: 1})
	require.ErrorIs(t, err, errNoClasses)
}

func TestBatchesThatDoNotFit(t *testing.T) {
	m := small(t, "timm/vit_tiny_patch16_224", nil)
	_, err := m.Predict(context.Background(), colourBatch(0, 2, 40))
	require.ErrorContains(t, err, "multiples of 16")
	_, err = m.Predict(context.Background(), colourBatch(0, 2, 48))
	require.NoError(t, err, "position embeddings are resampled")
	b := colourBatch(0, 2, 32)
	b.Pixels.Channels = 4
	_, err = m.Predict(context.Background(), b)
	require.ErrorContains(t, err, "want 3 channels, the batch has 4")
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"no such architecture":               func(c *Config) { c.Architecture = "resnet19" },
		`two classes named "red"`:            func(c *Config) { c.Classes = []string{"red", "red"} },
		"input size 0×32":                    func(c *Config) { c.Input.Width = 0 },
		"deviation 0 must be above 0":        func(c *Config) { c.Input.Std[1] = 0 },
		"0 layers in the head":               func(c *Config) { c.Head.Hidden = 8 },
		`the background "sky" is no class`:   func(c *Config) { c.Background = "sky" },
		"temperature 0":                      func(c *Config) { c.Temperature = 0 },
		"cross entropy knows one class":      func(c *Config) { c.MultiLabel, c.Loss.Kind = true, CrossEntropy },
		"2 sample counts for 3 classes":      func(c *Config) { c.Loss.Weights, c.Loss.Counts = Balanced, []int{1, 2} },
		`kind "hinge"`:                       func(c *Config) { c.Loss.Kind = "hinge" },
		"smoothing 1 is not in 0..1":         func(c *Config) { c.Loss.Smoothing = 1 },
		"precision float16 needs a CUDA":     func(c *Config) { c.Precision = torch.Half },
		"the parents of \"red\" go round":    func(c *Config) { c.Parents = map[string]string{"red": "warm", "warm": "red"} },
		"parents of cyan, which are neither": func(c *Config) { c.Parents = map[string]string{"cyan": "cold"} },
	} {
		cfg := DefaultConfig("resnet18", colours)
		cfg.Input.Height, cfg.Input.Width = 32, 32
		change(&cfg)
		_, err := New(cfg)
		require.ErrorContains(t, err, want)
	}
}

func TestOptionsAreSmall(t *testing.T) {
	var raw map[string]any
	require.NoError(t, json.Unmarshal(small(t, "resnet18", nil).Describe().Options, &raw))
	require.ElementsMatch(t, []string{"input", "temperature"}, slices.Collect(maps.Keys(raw)))
}
