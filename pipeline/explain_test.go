package pipeline

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/classification"
)

const roi = "../testdata/wildata/framework_formats/roi/savanna"

// untrained writes the weights of a classifier of the fixture's classes.
func untrained(t *testing.T) string {
	t.Helper()
	cfg := classification.DefaultConfig("resnet18", []string{"Waterbuck", "background", "elephant", "giraffe", "impala", "termite mound", "zebra"})
	cfg.Input.Height, cfg.Input.Width = 32, 32
	m, err := classification.New(cfg)
	require.NoError(t, err)
	defer m.Close()
	meta, err := checkpoint.Describe(m.Describe())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "untrained.safetensors")
	require.NoError(t, checkpoint.Export(path, m.State(), meta))
	return path
}

func TestExplainWritesMaps(t *testing.T) {
	pictures, err := filepath.Glob(roi + "/images/val/*")
	require.NoError(t, err)
	require.NotEmpty(t, pictures)
	s, out := DefaultSettings(), t.TempDir()
	s.Model.Architecture, s.Model.Weights = "", untrained(t)
	for _, method := range []string{GradCAM, Occlusion} {
		o := ExplainOptions{Sources: pictures[:2], Out: filepath.Join(out, method), Method: method, Class: "zebra"}
		done, err := new(Env).Explain(t.Context(), s, o)
		require.NoError(t, err)
		require.Len(t, done, 2)
		for _, d := range done {
			require.Equal(t, "zebra", d.Class)
			f, err := os.Open(d.File)
			require.NoError(t, err)
			picture, err := png.Decode(f)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			require.Equal(t, 32, picture.Bounds().Dx())
		}
		o.Class = "okapi"
		_, err = new(Env).Explain(t.Context(), s, o)
		require.ErrorContains(t, err, `"okapi" is no class of the model`)
		o.Method = "guess"
		_, err = new(Env).Explain(t.Context(), s, o)
		require.ErrorContains(t, err, "want gradcam or occlusion")
	}
	s.Model.Weights, s.Model.Architecture, s.Model.Classes = "", "yolo11n", []string{"a"}
	_, err = new(Env).Explain(t.Context(), s, ExplainOptions{Method: GradCAM})
	require.ErrorContains(t, err, "yolo11n is no classifier")
}

// Crops of the fixture differ so plainly that an untrained network's features
// already tell most of them apart.
func TestProbeMeasuresFeatures(t *testing.T) {
	s := DefaultSettings()
	s.Model.Architecture, s.Model.Weights = "", untrained(t)
	s.Labels.Root, s.Labels.Source, s.Labels.Datasets, s.Labels.ImageSize = "../testdata/wildata", "roi", []string{"savanna"}, 32
	p, err := new(Env).Probe(t.Context(), s, 1, 20)
	require.NoError(t, err)
	require.Equal(t, 435, p.Train)
	require.Equal(t, 136, p.Pictures)
	require.Greater(t, p.Linear, 0.5)
	require.Greater(t, p.Neighbours, 0.4)
}
