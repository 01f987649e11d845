package pipeline

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/wildtrain"
)

// wholeWay trains, resumes, evaluates, predicts and describes a detector.
func wholeWay(t *testing.T, s Settings) ModelInfo {
	t.Helper()
	ctx := context.Background()
	var e Env
	s.Loop.Epochs, s.Loop.NominalBatch = 1, 0
	out, err := e.Train(ctx, s)
	require.NoError(t, err)
	require.Equal(t, 1, out.Progress.Epoch)

	again := s
	again.Resume, again.Loop.Epochs = out.Dir, 2
	out, err = e.Train(ctx, again)
	require.NoError(t, err)
	require.Equal(t, 2, out.Progress.Epoch)

	use := DefaultSettings()
	use.Model = Model{Weights: out.Dir, Pyramid: s.Model.Pyramid}
	use.Data, use.Hardware = s.Data, s.Hardware
	info, err := e.Info(use)
	require.NoError(t, err)
	require.Equal(t, s.Model.Architecture, info.Architecture)
	result, err := e.Evaluate(ctx, use, filepath.Join(t.TempDir(), "evaluation"))
	require.NoError(t, err)
	require.NotZero(t, result.Pictures())
	found, err := e.Predict(ctx, use, PredictOptions{Sources: []string{filepath.Join(fixture, "datasets", "savanna", "images", "val")}, Out: t.TempDir()})
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return info
}

// A Faster R-CNN goes the whole way as a YOLO does. Only its name is another one.
func TestFasterRCNNGoesTheWholeWay(t *testing.T) {
	s := tiny(t)
	s.Model.Architecture, s.Loop.ValidateEvery = "fasterrcnn_resnet18_fpn", 0
	few := 16 // regions that teach: the box head's layers take the time
	s.Model.Pyramid.RCNN.Count = &few
	s.Model.Pyramid.Test.After = &few
	require.Equal(t, []int64{4, 8, 16, 32, 64}, wholeWay(t, s).Strides)
}

// MMDetection's recipe and names reach the model.
func TestMMDetectionsNames(t *testing.T) {
	s, err := Compose(config.Options{Name: "detection/faster_rcnn", Overrides: []string{
		"data.root=x", "training.batch=4", "training.schedule=2x", "model.frozen_stages=-1", "model.norm=train", "model.test_cfg.rcnn.score_thr=0.1", "model.train_cfg.rcnn.sampler.num=64",
	}})
	require.NoError(t, err)
	require.Equal(t, 24, s.Loop.Epochs)
	require.Equal(t, wildtrain.Steps, s.Loop.Schedule)
	require.Equal(t, []int{16, 22}, s.Loop.Milestones)
	require.InDelta(t, 0.02*4/16, s.Optimizer.LR, 1e-12)
	require.InDelta(t, 0.1, s.Evaluate.Postprocess.Conf, 0)
	require.Equal(t, 64, *s.Model.Pyramid.RCNN.Count)
	require.InDelta(t, 0.3, *s.Model.Pyramid.RPN.Least, 0)
	require.Equal(t, -1, *s.Model.Pyramid.FrozenStages)
	require.Equal(t, "resnet50", backboneOf(s.Model.Architecture))
	require.False(t, learnsMasks(s.Model.Architecture))
	for _, name := range []string{"detection/mask_rcnn", "detection/cascade_rcnn", "detection/retinanet"} {
		_, err := Compose(config.Options{Name: name, Overrides: []string{"data.root=x"}})
		require.NoError(t, err, name)
	}
}
