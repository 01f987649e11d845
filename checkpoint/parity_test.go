//go:build parity

package checkpoint

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

// peer runs testdata/parity.py with the Python that WILDTRAIN_PEER names.
func peer(t *testing.T, verb, dir string) map[string]map[string]digest {
	t.Helper()
	python := os.Getenv("WILDTRAIN_PEER")
	require.NotEmpty(t, python, "WILDTRAIN_PEER names the peers' Python: make parity sets it")
	script, err := filepath.Abs("testdata/parity.py")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), python, "-W", "ignore", script, verb, dir)
	cmd.Dir, cmd.Stderr = t.TempDir(), os.Stderr
	text, err := cmd.Output()
	require.NoError(t, err)
	_, text, found := bytes.Cut(text, []byte("PARITY "))
	require.True(t, found)
	var raw map[string]map[string][3]any
	require.NoError(t, json.Unmarshal(text, &raw))
	out := map[string]map[string]digest{}
	for file, tensors := range raw {
		out[file] = map[string]digest{}
		for name, d := range tensors {
			shape := []int64{}
			for _, n := range d[1].([]any) {
				shape = append(shape, int64(n.(float64)))
			}
			out[file][name] = digest{d[0].(string), shape, d[2].(string)}
		}
	}
	return out
}

// TestParityPythonOpensWhatWeWrite needs torch.load(weights_only=True), with
// and without mmap, and safetensors.
func TestParityPythonOpensWhatWeWrite(t *testing.T) {
	dir := t.TempDir()
	source, err := Open("testdata/dtypes.pt")
	require.NoError(t, err)
	defer source.Close()
	want := digests(t, source)
	for _, name := range []string{"w.pt", "w.pth", "w.safetensors"} {
		require.NoError(t, Export(filepath.Join(dir, name), source, map[string]string{"k": "v"}))
	}
	require.NoError(t, WriteFile(filepath.Join(dir, "nested.pt"), func(w io.Writer) error {
		return WriteTorch(w, source, "model", map[string]any{"epoch": 7, "note": "ü", "lr": 0.5, "done": true, "big": int64(1) << 40}, map[string]string{"k": "v"})
	}))
	r, err := CreateRun(t.TempDir(), "parity", "")
	require.NoError(t, err)
	path, err := r.Save(t.Context(), &wildtrain.Snapshot{Which: "last", Model: source})
	require.NoError(t, err)
	require.NoError(t, os.Rename(filepath.Join(path, modelFile), filepath.Join(dir, "saved.safetensors")))
	got := peer(t, "check", dir)
	require.Len(t, got, 5)
	for file, tensors := range got {
		assert.Equal(t, want, tensors, file)
		t.Logf("%s: %d tensors equal", file, len(tensors))
	}
}

// TestParityReadsModelZoos reads what Ultralytics and torchvision write.
func TestParityReadsModelZoos(t *testing.T) {
	dir := t.TempDir()
	for file, want := range peer(t, "make", dir) {
		f, err := Open(filepath.Join(dir, file))
		if !assert.NoError(t, err) {
			continue
		}
		assert.Equal(t, want, digests(t, f), file)
		t.Logf("%s: %d tensors equal, chosen %q of %s", file, len(want), f.Chosen(), f.Format())
		require.NoError(t, f.Close())
	}
}
