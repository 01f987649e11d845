package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

const fixture = "../testdata/wildata"

// tiny is a run of seconds on the shipped data.
func tiny(t *testing.T) Settings {
	t.Helper()
	s := DefaultSettings()
	s.Runs, s.Experiment, s.Name = filepath.Join(t.TempDir(), "runs"), "test", "run"
	s.Model.Architecture, s.Model.ImageSize = "yolov8n", 64
	s.Data.Root, s.Data.Datasets, s.Data.Workers, s.Data.Cache = fixture, []string{"savanna"}, 1, "ram"
	s.Loop.Epochs, s.Loop.Batch = 2, 16
	s.Hardware.Device, s.Hardware.Threads = "cpu", 1
	return s
}

func weightsOf(t *testing.T, dir string) wildtrain.State {
	t.Helper()
	f, err := checkpoint.Open(filepath.Join(dir, "checkpoints", "last"))
	require.NoError(t, err)
	defer f.Close()
	c, err := wildtraintest.Copy(f)
	require.NoError(t, err)
	return c
}

func sameState(t *testing.T, a, b wildtrain.State) {
	t.Helper()
	diff, err := wildtraintest.Diff(a, b)
	require.NoError(t, err)
	require.Empty(t, diff)
}

// Whatever the number of workers, and whether interrupted or not, the weights
// are equal to the bit.
func TestTrainingIsReproducible(t *testing.T) {
	ctx := context.Background()
	var e Env
	s := tiny(t)
	whole, err := e.Train(ctx, s)
	require.NoError(t, err)
	want := weightsOf(t, whole.Dir)
	for _, workers := range []int{0, 4} {
		s.Data.Workers = workers
		again, err := e.Train(ctx, s)
		require.NoError(t, err)
		require.NotEqual(t, whole.Dir, again.Dir, "a run folder is never used twice")
		require.Equal(t, losses(whole.History), losses(again.History))
		sameState(t, want, weightsOf(t, again.Dir))
	}

	// stopped at an epoch boundary, and in the middle of an epoch by Ctrl-C
	stop, cancel := context.WithCancel(ctx)
	e.Callbacks = []wildtrain.Callback{wildtrain.CallbackFunc(func(_ context.Context, ev *wildtrain.Event) error {
		if ev.Kind == wildtrain.StepEnd && ev.Progress.Epoch == 1 && ev.Progress.Batch == 2 {
			cancel()
		}
		if ev.Kind == wildtrain.EpochEnd && ev.Progress.Epoch == 1 && s.Name == "boundary" {
			return wildtrain.ErrStop
		}
		return nil
	})}
	s.Name = "boundary"
	part, err := e.Train(ctx, s)
	require.NoError(t, err)
	require.NotEmpty(t, part.Stopped)
	s.Name = "cut"
	cut, err := e.Train(stop, s)
	require.ErrorIs(t, err, context.Canceled)
	e.Callbacks = nil
	for _, dir := range []string{part.Dir, cut.Dir} {
		s.Resume = dir
		resumed, err := e.Train(ctx, s)
		require.NoError(t, err)
		require.Equal(t, 2, resumed.Progress.Epoch)
		sameState(t, want, weightsOf(t, dir))
	}
}

func losses(h []wildtrain.Epoch) (out []float64) {
	for _, e := range h {
		for _, v := range e.Values {
			if v.Name == "train/loss" {
				out = append(out, v.Value)
			}
		}
	}
	return out
}

func TestTrainEvaluatePredict(t *testing.T) {
	ctx := context.Background()
	var e Env
	s := tiny(t)
	s.Loop.Epochs = 1
	s.Files = map[string][]byte{".hydra/config.yaml": []byte("seed: 42\n")}
	trained, err := e.Train(ctx, s)
	require.NoError(t, err)
	for _, name := range []string{"metrics.csv", "events.jsonl", "environment.json", ".hydra/config.yaml", "checkpoints/last", "checkpoints/best", "model/model.safetensors", "model/card.json"} {
		_, err := os.Stat(filepath.Join(trained.Dir, name))
		require.NoError(t, err, name)
	}

	s.Model.Weights, s.Model.Architecture = trained.Dir, ""
	out := filepath.Join(t.TempDir(), "evaluation")
	got, err := e.Evaluate(ctx, s, out)
	require.NoError(t, err)
	require.Equal(t, 20, got.Pictures())
	require.Equal(t, trained.Metrics[0].Value, got.Values()[0].Value, "AP of the best epoch, which is the only one")
	_, err = os.Stat(filepath.Join(out, "evaluation.json"))
	require.NoError(t, err)

	s.Predict.Conf = 0
	pictures := filepath.Join(t.TempDir(), "predictions")
	found, err := e.Predict(ctx, s, PredictOptions{Sources: []string{filepath.Join(fixture, "datasets/savanna/images/test/flight09_000[12].jpg")}, Out: pictures, Pictures: true})
	require.NoError(t, err)
	require.Len(t, found, 2)
	var dets []cocoDetection
	data, err := os.ReadFile(filepath.Join(pictures, "predictions.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &dets))
	require.Len(t, dets, len(found[0].Objects)+len(found[1].Objects))
	f, err := os.Open(filepath.Join(pictures, "pictures", "flight09_0001.png"))
	require.NoError(t, err)
	defer f.Close()
	im, err := png.Decode(f)
	require.NoError(t, err)
	require.Equal(t, 800, im.Bounds().Dx())
}

func TestForwardAndConvert(t *testing.T) {
	ctx := context.Background()
	var e Env
	dir := t.TempDir()
	golden, err := checkpoint.Open("../parity/testdata/forward/yolo11n-nc3.safetensors")
	require.NoError(t, err)
	defer golden.Close()
	var shape []int64
	require.NoError(t, json.Unmarshal([]byte(golden.Metadata()["images"]), &shape))

	s := tiny(t)
	s.Model.Architecture, s.Model.Classes = "yolo11n", numbered(3)
	m, _, err := e.open(&s)
	require.NoError(t, err)
	require.NoError(t, m.Store().Load(rule.State{Like: m.State(), Rule: rule.Spread}).Err())
	weights := filepath.Join(dir, "w.safetensors")
	require.NoError(t, checkpoint.Export(weights, m.State(), nil))
	require.NoError(t, m.Close())
	err = torch.Run(ctx, torch.CPU, torch.Inference, func(sc *torch.Scope) error {
		x := torch.Of(sc, rule.Values("images", int(shape[0]*shape[1]*shape[2]*shape[3]), 0.5, 0.5), shape...)
		return checkpoint.Export(filepath.Join(dir, "in.safetensors"), torch.State{"images": x}, nil)
	})
	require.NoError(t, err)
	n, err := e.Convert(weights, filepath.Join(dir, "w.pt"))
	require.NoError(t, err)
	require.Equal(t, 499, n)

	s.Model.Classes = nil // seen from the head
	for _, w := range []string{weights, filepath.Join(dir, "w.pt")} {
		s.Model.Weights = w
		out := filepath.Join(dir, "out.safetensors")
		require.NoError(t, e.Forward(ctx, s, filepath.Join(dir, "in.safetensors"), out))
		f, err := checkpoint.Open(out)
		require.NoError(t, err)
		for _, name := range golden.Names() {
			want, err := golden.Float32(name)
			require.NoError(t, err)
			got, err := f.Float32(name)
			require.NoError(t, err)
			require.Len(t, got, len(want))
			scale := float32(0)
			for _, v := range want {
				scale = max(scale, max(v, -v))
			}
			for i := range want {
				require.InDelta(t, want[i], got[i], 1e-4*float64(scale), name)
			}
		}
		require.NoError(t, f.Close())
	}
}

func TestBadRunsAreToldBeforeAnythingIsWritten(t *testing.T) {
	ctx := context.Background()
	var e Env
	for name, c := range map[string]struct {
		change func(*Settings)
		want   string
	}{
		"no such root": {func(s *Settings) { s.Data.Root = "nowhere" }, "nowhere"},
		"model":        {func(s *Settings) { s.Model.Architecture = "yolo11z" }, "yolo11n"},
		"precision":    {func(s *Settings) { s.Hardware.Precision = "fp8" }, "fp8"},
		"device":       {func(s *Settings) { s.Hardware.Device = "cuda:7" }, "cuda:7"},
		"weights":      {func(s *Settings) { s.Model.Weights = "nowhere.pt" }, "nowhere.pt"},
		"frozen part":  {func(s *Settings) { s.Model.Freeze = []string{"model.77"} }, "model.77"},
		"optimiser":    {func(s *Settings) { s.Optimizer.Name = "SGDD" }, "SGDD"},
	} {
		t.Run(name, func(t *testing.T) {
			s := tiny(t)
			c.change(&s)
			_, err := e.Train(ctx, s)
			require.ErrorContains(t, err, c.want)
			_, err = os.Stat(s.Runs)
			require.True(t, errors.Is(err, os.ErrNotExist), "nothing is written")
		})
	}
}
