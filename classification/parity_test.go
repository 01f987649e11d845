//go:build parity

package classification

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

// A checkpoint of the Python WildTrain answers here what it answers there.
func TestParityLightning(t *testing.T) {
	python := os.Getenv("WILDTRAIN_PEER")
	if python == "" {
		t.Fatal("WILDTRAIN_PEER names no Python: run make parity")
	}
	dir := t.TempDir()
	text, err := exec.Command(python, "../parity/lightning.py", dir).CombinedOutput()
	require.NoError(t, err, string(text))
	f, err := checkpoint.Open(filepath.Join(dir, "model.ckpt"))
	require.NoError(t, err)
	defer f.Close()
	cfg, err := FromFile(f, "", nil)
	require.NoError(t, err)
	m, err := New(cfg)
	require.NoError(t, err)
	defer m.Close()
	answers, err := checkpoint.Open(filepath.Join(dir, "answers.safetensors"))
	require.NoError(t, err)
	defer answers.Close()
	px, err := answers.Bytes("pixels")
	require.NoError(t, err)
	b := wildtrain.NewBatch(wildtrain.Pixels{N: 4, Height: 64, Width: 64, Channels: 3, U8: slices.Clone(px)}, make([]wildtrain.Sample, 4), nil)
	found, err := m.Predict(t.Context(), b)
	require.NoError(t, err)
	var got []float32
	for _, p := range found {
		got = append(got, p.Probs...)
	}
	d := torchtest.Worst(got, floats(t, answers, "probs"))
	t.Logf("probabilities: %.2g", d)
	require.LessOrEqual(t, d, 1e-4)
}
