package pipeline

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/classification"
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/evaluate"
)

// tinyClassifier is a run of seconds on the crops around the shipped boxes.
func tinyClassifier(t *testing.T) Settings {
	t.Helper()
	s := tiny(t)
	s.Model.Architecture = "resnet18"
	s.Labels.Root, s.Labels.Datasets, s.Labels.Workers, s.Labels.Cache = fixture, []string{"savanna"}, 1, datamodule.CacheRAM
	s.Labels.Source = datamodule.WilData
	return s
}

func TestTrainEvaluatePredictClassifier(t *testing.T) {
	ctx := context.Background()
	var e Env
	s := tinyClassifier(t)
	s.Loop.Epochs = 1
	s.Model.Calibrate, s.Model.Loss.Weights = true, classification.Balanced
	s.Labels.Resize = datamodule.FitToSize // the model tells later that it wants its pictures so
	trained, err := e.Train(ctx, s)
	require.NoError(t, err)
	require.Equal(t, "accuracy", trained.Metrics[0].Name)

	s.Model.Weights, s.Model.Architecture, s.Model.Calibrate, s.Model.Loss = filepath.Join(trained.Dir, "model"), "", false, classification.DefaultLoss()
	s.Labels.Resize = datamodule.CropToSize
	out := filepath.Join(t.TempDir(), "evaluation")
	got, err := e.Evaluate(ctx, s, out)
	require.NoError(t, err)
	require.Equal(t, "classification", got.Task)
	require.Equal(t, trained.Metrics[0].Value, got.Values()[0].Value, "calibrating changes no accuracy")
	for _, name := range []string{"evaluation.json", "report.html", "predictions.csv"} {
		require.FileExists(t, filepath.Join(out, name))
	}

	// the stored table is what the evaluation of files reads
	truth := filepath.Join(t.TempDir(), "truth.csv")
	require.NoError(t, os.WriteFile(truth, truthOf(t, s), 0o644))
	again, err := evaluate.ClassificationFiles(truth, filepath.Join(out, "predictions.csv"), evaluate.DefaultClassification(nil))
	require.NoError(t, err)
	require.InDelta(t, got.Values()[0].Value, again.Values[0].Value, 1e-12)

	pictures := filepath.Join(t.TempDir(), "predictions")
	found, err := e.Predict(ctx, s, PredictOptions{Sources: []string{filepath.Join(fixture, "datasets/savanna/images/test/flight09_000[12].jpg")}, Out: pictures, Pictures: true})
	require.NoError(t, err)
	require.Len(t, found, 2)
	sum := float32(0)
	for _, p := range found[0].Probs {
		sum += p
	}
	require.InDelta(t, 1, sum, 1e-5)
	var list []pictureClasses
	data, err := os.ReadFile(filepath.Join(pictures, "predictions.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &list))
	require.Len(t, list, 2)
	require.Equal(t, list[0].Label, list[0].Classes[0].Name)
	require.FileExists(t, filepath.Join(pictures, "pictures", "flight09_0001.png"))
}

// truthOf is a table of the validation examples' classes.
func truthOf(t *testing.T, s Settings) []byte {
	t.Helper()
	s.Loop.Batch = 16
	d, err := classifier{}.data(s, nil)
	require.NoError(t, err)
	defer d.Close()
	require.NoError(t, d.Setup(context.Background(), "val"))
	out := []byte("id,label\n")
	for _, e := range d.(examples).Examples("val") {
		out = append(out, e.ID+","+d.Classes()[e.Targets[0].Class].Name+"\n"...)
	}
	return out
}

// A classifier's training is as reproducible as a detector's.
func TestClassifierTrainingIsReproducible(t *testing.T) {
	ctx := context.Background()
	var e Env
	s := tinyClassifier(t)
	whole, err := e.Train(ctx, s)
	require.NoError(t, err)
	s.Labels.Workers = 3
	again, err := e.Train(ctx, s)
	require.NoError(t, err)
	require.Equal(t, losses(whole.History), losses(again.History))
	sameState(t, weightsOf(t, whole.Dir), weightsOf(t, again.Dir))
}

func TestTaskMustFit(t *testing.T) {
	require.ErrorIs(t, checkTask("classification", "yolo11n"), ErrSettings)
	require.ErrorIs(t, checkTask("detection", "resnet18"), ErrSettings)
	require.NoError(t, checkTask("", "resnet18"))
	require.NoError(t, checkTask("classification", "resnet18"))
}
