package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The verbs that stand on a trained classifier, one after the other.
func TestClassifierVerbs(t *testing.T) {
	const data = "../../testdata/wildata"
	dir := t.TempDir()
	must(t, "train", "task=classification", "model=mobilenet_v3_small", "data.root="+data, "data.format=roi", "data.workers=0", "training.imgsz=32",
		"training.epochs=1", "training.batch=64", "training.device=cpu", "runs="+dir, "experiment_name=e", "name=1", "tracking.enabled=false")
	weights := "weights=" + filepath.Join(dir, "e", "1")

	// Labels and preprocessing travel with every export.
	for _, name := range []string{"w.pt", "w.safetensors"} {
		out := filepath.Join(dir, name)
		must(t, "model", "convert", weights, "out="+out)
		info := object(t, "model", "info", "weights="+out)
		require.Equal(t, object(t, "model", "info", weights)["classes"], info["classes"], name)
		require.Equal(t, "mobilenet_v3_small", info["architecture"], name)
	}

	list := filepath.Join(dir, "varied.txt")
	found := object(t, "data", "select", weights, "data.root="+data, "data.datasets=[savanna-tiles]", "keep=0.3", "clusters=2,3", "out="+list)
	kept := found["kept"].([]any)
	require.InDelta(t, 0.3*found["pictures"].(float64), len(kept), 2)
	text, err := os.ReadFile(list)
	require.NoError(t, err)
	require.Len(t, strings.Fields(string(text)), len(kept))
	for _, path := range strings.Fields(string(text)) {
		require.FileExists(t, path)
	}
	// The list chooses what is trained on.
	plan := must(t, "train", "--dry-run", "model=yolov8n", "data.root="+data, "data.datasets=[savanna-tiles]", "data.sampler.only="+list, "training.device=cpu")
	require.Contains(t, plan, "yolov8n")

	must(t, "model", "explain", weights, "source="+kept[0].(string), "out="+filepath.Join(dir, "maps"))
	pictures, err := filepath.Glob(filepath.Join(dir, "maps", "*"))
	require.NoError(t, err)
	require.Len(t, pictures, 1)

	code, _, said := command("data", "select", weights, "data.root="+data, "keep=2", "out="+list)
	require.NotEqual(t, done, code)
	require.Contains(t, said, "keep")
}
