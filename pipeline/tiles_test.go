package pipeline

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// untrainedDetector writes the weights of a small detector of one class.
func untrainedDetector(t *testing.T, s *Settings) {
	t.Helper()
	var e Env
	require.NoError(t, torch.ManualSeed(5))
	s.Model.Classes = []string{"animal"}
	m, _, err := e.open(s)
	require.NoError(t, err)
	defer m.Close()
	s.Model.Weights = filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, checkpoint.Export(s.Model.Weights, m.State(), nil))
}

const picture = fixture + "/datasets/savanna/images/test/flight09_0001.jpg"

// A picture that fits into a tile is looked at as ever; a larger one part by part,
// with boxes in the whole picture's coordinates.
func TestTiledPrediction(t *testing.T) {
	ctx := context.Background()
	var e Env
	s := tiny(t)
	untrainedDetector(t, &s)
	s.Predict.Conf, s.Predict.MaxDet, s.Data.Rect = 0, 20, false
	whole, err := e.Predict(ctx, s, PredictOptions{Sources: []string{picture}})
	require.NoError(t, err)

	s.Predict.Windows = datamodule.WindowConfig{Size: 1024, Overlap: 0.2}
	s.Predict.Merging = detection.Merging{Method: detection.MergeNMS, Overlap: detection.IoU, Threshold: 1}
	fits, err := e.Predict(ctx, s, PredictOptions{Sources: []string{picture}})
	require.NoError(t, err)
	require.Equal(t, whole, fits)

	s.Predict.Windows.Size = 128
	out := t.TempDir()
	tiled, err := e.Predict(ctx, s, PredictOptions{Sources: []string{filepath.Dir(picture)}, Out: out})
	require.NoError(t, err)
	require.Greater(t, len(tiled), 2)
	seen := map[string]bool{}
	for _, p := range tiled {
		require.False(t, seen[p.ID], "a picture is told of once")
		seen[p.ID] = true
		require.Greater(t, len(p.Objects), 20, "of many tiles")
		right := 0.0
		for i, o := range p.Objects {
			right = max(right, o.Box.X2)
			require.True(t, i == 0 || p.Objects[i-1].Score >= o.Score, "by falling score")
		}
		require.Greater(t, right, 640.0, "boxes lie in the whole picture")
	}
	s.Predict.Merging = detection.DefaultMerging()
	merged, err := e.Predict(ctx, s, PredictOptions{Sources: []string{picture}})
	require.NoError(t, err)
	require.Less(t, len(merged[0].Objects), len(tiled[0].Objects))
}

// Half precision is close to float32, where the processor has it, and else is it.
func TestHalfPrecisionPrediction(t *testing.T) {
	ctx := context.Background()
	var e Env
	s := tiny(t)
	untrainedDetector(t, &s)
	s.Predict.Conf, s.Predict.MaxDet, s.Predict.IoU = 0, 1, 0.99
	full, err := e.Predict(ctx, s, PredictOptions{Sources: []string{picture}})
	require.NoError(t, err)
	s.Predict.Half = true
	half, err := e.Predict(ctx, s, PredictOptions{Sources: []string{picture}})
	require.NoError(t, err)
	require.InDelta(t, full[0].Objects[0].Score, half[0].Objects[0].Score, 0.02*full[0].Objects[0].Score)
	if torch.CPUHasBFloat16() {
		require.NotEqual(t, full, half)
	} else {
		require.Equal(t, full, half)
	}
}

func TestPartsAreJoinedByPicture(t *testing.T) {
	var got []wildtrain.Prediction
	j := joiner{merging: detection.DefaultMerging(), size: 8, scale: 1, each: func(p wildtrain.Prediction, s wildtrain.Sample) error {
		require.Equal(t, p.ID, s.ID)
		got = append(got, p)
		return nil
	}}
	require.NoError(t, j.flush(), "nothing came")
	for _, part := range []struct {
		id  string
		box wildtrain.Box
	}{{"a", wildtrain.Box{X2: 10, Y2: 10}}, {"a", wildtrain.Box{X1: 2, X2: 14, Y2: 10}}, {"b", wildtrain.Box{X2: 10, Y2: 10}}} {
		p := wildtrain.Prediction{ID: part.id, Objects: []wildtrain.Object{{Box: part.box, Score: 0.5}}}
		require.NoError(t, j.add(p, wildtrain.Sample{ID: part.id, Width: 16, Height: 10, Place: wildtrain.Identity}))
	}
	require.Len(t, got, 1)
	require.NoError(t, j.flush())
	require.Len(t, got, 2)
	require.Equal(t, []wildtrain.Object{{Box: wildtrain.Box{X2: 14, Y2: 10}, Score: 0.5}}, got[0].Objects)
	require.Equal(t, "b", got[1].ID)
}

// A box is cut where it touches a border between windows, not where the picture
// ends, and never in the view of the whole picture.
func TestCutBoxes(t *testing.T) {
	j := joiner{size: 640, scale: 1}
	s := wildtrain.Sample{Width: 1000, Height: 640, Place: wildtrain.Translation(-360, 0)}
	inf := math.Inf(1)
	require.Equal(t, wildtrain.Box{X1: 362, Y1: -inf, X2: inf, Y2: inf}, j.inside(s))
	s.Place = wildtrain.Identity
	require.Equal(t, wildtrain.Box{X1: -inf, Y1: -inf, X2: 638, Y2: inf}, j.inside(s))
	s.Place = wildtrain.Scaling(0.64, 0.64)
	require.Equal(t, wildtrain.Box{X1: -inf, Y1: -inf, X2: inf, Y2: inf}, j.inside(s))
}

// Sizes of objects are those of the model's input with letterboxed coordinates:
// what is large in the picture is small there.
func TestLetterboxedCoordinates(t *testing.T) {
	s := tiny(t)
	sample := wildtrain.Sample{ID: "a", Width: 800, Height: 600, Place: wildtrain.Scaling(0.08, 0.08).Then(wildtrain.Translation(0, 8))}
	sample.Truth = []wildtrain.Object{{Box: wildtrain.BoxXYWH(100, 100, 200, 200)}}
	found := wildtrain.Prediction{ID: "a", Objects: []wildtrain.Object{{Box: wildtrain.BoxXYWH(100, 100, 200, 190), Score: 0.9}}}
	values := func(letterbox bool) map[string]float64 {
		s.Evaluate.Letterbox = letterbox
		m, err := detector{}.metric(s, []string{"animal"})
		require.NoError(t, err)
		require.NoError(t, m.Update([]wildtrain.Prediction{found}, []wildtrain.Sample{sample}))
		list, err := m.Compute()
		require.NoError(t, err)
		out := map[string]float64{}
		for _, v := range list {
			out[v.Name] = v.Value
		}
		return out
	}
	original, seen := values(false), values(true)
	require.InDelta(t, original["AP"], seen["AP"], 1e-9)
	require.InDelta(t, 0.9, original["AP"], 0.11)
	p, moved := asSeen(found, sample)
	require.Equal(t, [2]int{64, 64}, [2]int{moved.Width, moved.Height})
	require.InDelta(t, 16, p.Objects[0].Box.Y1, 1e-9)
	require.InDelta(t, 256, moved.Truth[0].Box.Area(), 1e-9)
}

// Every key of how pictures are looked at arrives.
func TestLookingIsConfigured(t *testing.T) {
	s, err := Compose(config.Options{Overrides: []string{
		"predict.nms=Gaussian", "predict.sigma=0.3", "predict.overlap_metric=IOS", "predict.agnostic_nms=true", "predict.augment=true", "predict.half=true",
		"predict.tile=512", "predict.overlap=0.25", "predict.whole=true", "predict.merge=nms", "predict.merge_metric=iou", "predict.merge_threshold=0.4",
		"evaluation.coordinates=letterbox", "evaluation.multi_label=false", "evaluation.iou=0.6",
	}})
	require.NoError(t, err)
	want := Looking{Postprocess: detection.PredictPostprocess(), Half: true, Windows: datamodule.WindowConfig{Size: 512, Overlap: 0.25, Whole: true}}
	want.Suppression, want.Sigma, want.Overlap, want.Agnostic, want.Augment = detection.Gaussian, 0.3, detection.IoS, true, true
	want.Merging = detection.Merging{Method: detection.MergeNMS, Overlap: detection.IoU, Threshold: 0.4, Agnostic: true}
	require.Equal(t, want, s.Predict)
	require.NoError(t, s.Predict.Validate())
	require.True(t, s.Evaluate.Letterbox && s.Evaluate.Unclipped && !s.Evaluate.MultiLabel)
	require.Equal(t, 0.6, s.Evaluate.Postprocess.IoU)

	s, err = Compose(config.Options{})
	require.NoError(t, err)
	d := DefaultSettings()
	require.Equal(t, d.Predict.Postprocess, s.Predict.Postprocess)
	require.Equal(t, d.Evaluate.Postprocess, s.Evaluate.Postprocess)
	require.Equal(t, d.Predict.Merging, s.Predict.Merging)

	_, err = Compose(config.Options{Overrides: []string{"evaluation.coordinates=letterbox", "evaluation.tile=640"}})
	require.ErrorContains(t, err, "evaluation.coordinates")
}
