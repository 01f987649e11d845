package pipeline

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/torch/jit"
)

// trackedSettings makes s record into a store of its own, in a folder of its own.
func trackedSettings(t *testing.T, s Settings, model string) (Settings, mlflow.Store) {
	t.Helper()
	t.Setenv("WILDTRAIN_MLFLOW_SPOOL", t.TempDir())
	data, err := filepath.Abs(fixture)
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	s.Data.Root, s.Labels.Root = data, data
	s.Tracking = Tracking{Enabled: true, URI: mlflow.DefaultURI, Artifacts: true, Register: model, Alias: "champion"}
	store, err := mlflow.Open(t.Context(), s.Tracking.URI)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return s, store
}

// download is the MLmodel file of a version whose files are whole.
func download(t *testing.T, store mlflow.Store, uri string) *mlflow.MLmodel {
	t.Helper()
	_, m, err := mlflow.Download(t.Context(), store, uri, filepath.Join(t.TempDir(), "model"))
	require.NoError(t, err)
	return m
}

// A training that is a part of another run ends as a run with files, metrics and
// a version of the registered model that Python can load.
func TestTrackedTraining(t *testing.T) {
	ctx := context.Background()
	var e Env
	s, store := trackedSettings(t, tiny(t), "kudus")
	s.Loop.Epochs = 1
	study, err := store.CreateExperiment(ctx, mlflow.NewExperiment{Name: s.Experiment})
	require.NoError(t, err)
	parent, err := store.CreateRun(ctx, mlflow.NewRun{ExperimentID: study, Name: "study"})
	require.NoError(t, err)
	s.Tracking.Parent = parent.Info.ID
	trained, err := e.Train(ctx, s)
	require.NoError(t, err)

	v, err := store.ModelVersionByAlias(ctx, "kudus", "champion")
	require.NoError(t, err)
	run, err := store.Run(ctx, v.RunID)
	require.NoError(t, err)
	require.Equal(t, mlflow.Finished, run.Info.Status)
	require.Equal(t, parent.Info.ID, run.Data.Tag("mlflow.parentRunId"))
	require.Equal(t, study, run.Info.ExperimentID)

	m := download(t, store, "models:/kudus@champion")
	require.Contains(t, m.Flavors, "pytorch")
	require.Equal(t, "mlflow.pytorch", m.Flavors["python_function"]["loader_module"])
	require.JSONEq(t, `[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3, 64, 64]}}]`, m.Signature.Inputs)
	require.JSONEq(t, `[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 10, 84]}}]`, m.Signature.Outputs)

	// weights of a run that was not recorded get their TorchScript when they are registered
	require.NoError(t, os.Remove(filepath.Join(trained.Dir, "model", mlflow.TorchScriptFile)))
	_, err = e.Register(ctx, Registration{Weights: trained.Dir, Name: "kudus", URI: s.Tracking.URI, Stage: "Staging"})
	require.NoError(t, err)
	m = download(t, store, "models:/kudus/Staging")
	require.Contains(t, m.Flavors, "pytorch")
	require.NoFileExists(t, filepath.Join(trained.Dir, "model", mlflow.TorchScriptFile), "registering changes no run")
}

func TestExport(t *testing.T) {
	ctx := context.Background()
	var e Env
	s := tinyClassifier(t)
	s.Loop.Epochs = 1
	trained, err := e.Train(ctx, s)
	require.NoError(t, err)
	s.Model.Weights, s.Model.Architecture, s.Model.ImageSize = trained.Dir, "", 96
	x, err := e.Export(ctx, s, TorchScript, "")
	require.NoError(t, err)
	path := filepath.Join(trained.Dir, "model", mlflow.TorchScriptFile)
	require.Equal(t, &Exported{Path: path, Format: TorchScript, Input: []int64{-1, 3, 96, 96}, Output: []int64{-1, 7}}, x)
	m, err := jit.Load(path, -1)
	require.NoError(t, err)
	require.NoError(t, m.Close())
	_, err = e.Export(ctx, s, "onnx", "")
	require.ErrorContains(t, err, `"onnx"`)
}
