package classification

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// trajectoryRun is one training of parity/classifier_trajectory.py.
type trajectoryRun struct {
	Architecture        string
	Steps               int
	Optimizer           string
	LR, Momentum, Decay float64
	Mean, Std           []float64
}

// With the same initial weights and batches, 50 steps lose what PyTorch's lose,
// step by step: ResNet-18 and ViT-S on the fixture's crops, all classes with
// balanced weights and wildlife against background.
func TestTrajectoryEqualsPyTorch(t *testing.T) {
	f, err := checkpoint.Open("../parity/testdata/classifier_trajectory.safetensors")
	require.NoError(t, err)
	defer f.Close()
	var runs map[string]trajectoryRun
	require.NoError(t, json.Unmarshal([]byte(f.Metadata()["runs"]), &runs))
	require.Len(t, runs, 3)
	for name, run := range runs {
		for _, kind := range []string{"multi", "single"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				if testing.Short() {
					run.Steps = min(run.Steps, 8)
				}
				run.follow(t, f, name, kind)
			})
		}
	}
}

func (run trajectoryRun) follow(t *testing.T, f *checkpoint.File, name, kind string) {
	var cfg Config
	background := 6
	if kind == "multi" {
		var classes []string
		require.NoError(t, json.Unmarshal([]byte(f.Metadata()["classes"]), &classes))
		cfg = DefaultConfig(run.Architecture, classes)
		cfg.Loss.Weights = Balanced
		require.NoError(t, json.Unmarshal([]byte(f.Metadata()["counts"]), &cfg.Loss.Counts))
		require.Equal(t, "background", classes[background])
	} else {
		cfg = DefaultConfig(run.Architecture, []string{"background", "wildlife"})
	}
	cfg.Loss.Smoothing = 0.1
	require.Equal(t, run.Mean, cfg.Input.Mean)
	require.Equal(t, run.Std, cfg.Input.Std)
	cfg.Input.Height, cfg.Input.Width = 48, 48
	m, err := New(cfg)
	require.NoError(t, err)
	defer m.Close()
	require.NoError(t, m.store.Load(rule.State{Like: m.State(), Rule: rule.Initial(nil)}).Err())
	opt := wildtrain.DefaultOptimizer(run.Optimizer)
	opt.LR, opt.Momentum, opt.WeightDecay, opt.Nesterov = run.LR, run.Momentum, run.Decay, false
	o, err := m.Optimizer(opt)
	require.NoError(t, err)
	defer o.Close()

	pixels, err := f.Bytes("pixels")
	require.NoError(t, err)
	labels, want := floats(t, f, "labels"), floats(t, f, name+"/"+kind)
	bar := 1e-3
	if strings.HasPrefix(torch.Version(), "2.1.") { // other kernels than those of the release that PyTorch's side ran on
		bar = 2e-3
	}
	const batch, size = 8, 48 * 48 * 3
	for step := range run.Steps {
		first := step * batch % len(labels)
		samples := make([]wildtrain.Sample, batch)
		for i := range samples {
			class := int(labels[first+i])
			if kind == "single" {
				class = map[bool]int{true: 0, false: 1}[class == background]
			}
			samples[i].Targets = []wildtrain.Target{{Class: class, Weight: 1}}
		}
		px := wildtrain.Pixels{N: batch, Height: 48, Width: 48, Channels: 3, U8: pixels[first*size : (first+batch)*size]}
		losses, err := m.TrainStep(context.Background(), wildtrain.NewBatch(px, samples, nil), wildtrain.Step{Scale: 1})
		require.NoError(t, err)
		got, err := losses.Values()
		require.NoError(t, err)
		off := math.Abs(got[0]-float64(want[step])) / float64(want[step])
		require.LessOrEqual(t, off, bar, "step %d: loss %g, want %g", step, got[0], want[step])
		_, err = o.Step(wildtrain.Clip{})
		require.NoError(t, err)
		o.ZeroGrad()
	}
}
