package pipeline

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/wildtrain"
)

// Phases reach the sampler, what is frozen, batch norm included, and the optimiser.
func TestCurriculumPhases(t *testing.T) {
	s, err := Compose(config.Options{Overrides: []string{
		"data.curriculum.enabled=true", "data.curriculum.strategy=''", "data.curriculum.ratios=[0,1]", "data.curriculum.epochs=[1,1]",
		"data.curriculum.freeze=[10,0]", "data.curriculum.lr0s=[0.02,0.002]",
	}})
	require.NoError(t, err)
	small := tiny(t)
	small.Phases, small.Data.Curriculum, small.Optimizer = s.Phases, s.Data.Curriculum, s.Optimizer
	small.Loop.WarmupEpochs, small.Loop.NominalBatch = 0, 0
	var e Env
	seen := map[int]map[string][]float32{} // by finished epochs
	images := map[int]int64{}
	e.Callbacks = []wildtrain.Callback{wildtrain.CallbackFunc(func(_ context.Context, ev *wildtrain.Event) error {
		if ev.Kind != wildtrain.EpochStart && ev.Kind != wildtrain.EpochEnd {
			return nil
		}
		state := ev.Model.State()
		values := map[string][]float32{}
		for _, name := range []string{"model.3.conv.weight", "model.3.bn.running_mean", "model.12.cv1.conv.weight"} {
			info, _ := state.Info(name)
			raw := make([]byte, info.Bytes())
			if err := state.Read(name, raw); err != nil {
				return err
			}
			values[name] = floats(raw)
		}
		seen[ev.Progress.Epoch], images[ev.Progress.Epoch] = values, ev.Progress.Images
		return nil
	})}
	out, err := e.Train(context.Background(), small)
	require.NoError(t, err)
	for name, frozen := range map[string]bool{"model.3.conv.weight": true, "model.3.bn.running_mean": true, "model.12.cv1.conv.weight": false} {
		require.Equal(t, frozen, equal(seen[0][name], seen[1][name]), "%s in the first phase", name)
		require.False(t, equal(seen[1][name], seen[2][name]), "%s in the second phase", name)
	}
	rate := func(epoch int) float64 {
		for _, v := range out.History[epoch].Values {
			if v.Name == "lr/weights" {
				return v.Value
			}
		}
		return math.NaN()
	}
	require.InDelta(t, 0.02, rate(0), 1e-12)
	require.InDelta(t, 0.002, rate(1), 1e-12)
	require.Less(t, images[1], images[2]-images[1], "negatives join in the second phase")
}

func floats(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(uint32(raw[4*i]) | uint32(raw[4*i+1])<<8 | uint32(raw[4*i+2])<<16 | uint32(raw[4*i+3])<<24)
	}
	return out
}

func equal(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// A pretraining leaves a run of its own, and the training begins with its weights.
func TestPretraining(t *testing.T) {
	s := tiny(t)
	s.Loop.Epochs, s.Optimizer.LR = 1, 0 // what it begins with stays, but for batch norm's statistics
	s.Pretraining = Pretraining{Root: fixture, Format: "wildata", Epochs: 1, LR: 0.01, FinalLR: 0.1, Freeze: firstParts(2)}
	s.Loop.EMADecay = 0
	var e Env
	out, err := e.Train(context.Background(), s)
	require.NoError(t, err)
	before := filepath.Join(filepath.Dir(out.Dir), "run-pretraining")
	first, err := checkpoint.Open(filepath.Join(before, "checkpoints", "best"))
	require.NoError(t, err)
	defer first.Close()
	last, err := checkpoint.Open(filepath.Join(out.Dir, "checkpoints", "last"))
	require.NoError(t, err)
	defer last.Close()
	a, err := first.Float32("model.12.cv1.conv.weight")
	require.NoError(t, err)
	b, err := last.Float32("model.12.cv1.conv.weight")
	require.NoError(t, err)
	require.Equal(t, a, b)
}

// batch=-1 is chosen by the memory, and what was chosen is kept for a resumed run.
func TestAutomaticBatch(t *testing.T) {
	require.Equal(t, mostOnCPU, byRule(64<<30, 640, 2.6e6, false))
	require.Equal(t, 5, byRule(2048<<20, 640, 2.6e6, false))
	require.Equal(t, 11, byRule(2048<<20, 640, 2.6e6, true))
	require.Equal(t, 1, byRule(2048<<20, 1280, 57e6, false))
	s := tiny(t)
	s.Loop.Batch, s.Hardware.BatchMemory = AutoBatch, 0.3
	s.Files = map[string][]byte{overridesFile: []byte("- a=1\n")}
	var e Env
	require.NoError(t, e.fitBatch(context.Background(), &s))
	require.Equal(t, mostOnCPU, s.Loop.Batch, "64 px take little")
	require.Equal(t, "- a=1\n- training.batch=16\n", string(s.Files[overridesFile]))
	s.Loop.Batch, s.Files = AutoBatch, map[string][]byte{overridesFile: []byte("[]\n")}
	require.NoError(t, e.fitBatch(context.Background(), &s))
	require.Equal(t, "- training.batch=16\n", string(s.Files[overridesFile]))
	s.Loop.Batch = AutoBatch
	p, err := e.PlanTrain(context.Background(), s)
	require.NoError(t, err)
	require.Equal(t, AutoBatch, p.Batch)
}

// The recipe's keys arrive.
func TestRecipeIsConfigured(t *testing.T) {
	s, err := Compose(config.Options{Overrides: []string{
		"training.label_smoothing=0.1", "training.cls_pw=0.5", "training.time=2", "training.batch=-1", "training.batch_memory=0.4", "model.freeze=2",
		"pretraining.root=DATA", "pretraining.epochs=4", "pretraining.freeze=1", "training.nbs=32",
	}})
	require.NoError(t, err)
	require.Equal(t, 0.1, s.Model.Gains.Smoothing)
	require.Equal(t, 0.5, s.Model.ClassPower)
	require.Equal(t, 7200.0, s.Loop.MaxSeconds)
	require.Equal(t, AutoBatch, s.Loop.Batch)
	require.Equal(t, 0.4, s.Hardware.BatchMemory)
	require.Equal(t, []string{"model.0", "model.1"}, s.Model.Freeze)
	require.Equal(t, Pretraining{Root: "DATA", Format: "auto", Epochs: 4, LR: 1e-4, FinalLR: 0.1, Freeze: []string{"model.0"}}, s.Pretraining)
	require.Empty(t, s.Phases)
	_, err = Compose(config.Options{Overrides: []string{"data.curriculum.epochs=[1]", "data.curriculum.ratios=[1]", "data.curriculum.lr0s=[1,2]"}})
	require.True(t, err != nil && strings.Contains(err.Error(), "data.curriculum.lr0s"), "%v", err)
}
