package checkpoint_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/wildtrain"
)

// The file is the peer's own (parity/official.py): a whole module, which is read
// without executing anything, and which tells classes, architecture and licence.
func TestOfficialModule(t *testing.T) {
	f, err := checkpoint.Open("testdata/official.pt")
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, []string{"zebra", "buffalo", "elephant"}, f.Classes())
	architecture, license := f.Origin()
	require.Equal(t, "yolov8n-mini", architecture)
	require.Equal(t, "AGPL-3.0", license)
	data, err := os.ReadFile("testdata/official.json")
	require.NoError(t, err)
	var want struct{ Sums map[string]float64 }
	require.NoError(t, json.Unmarshal(data, &want))
	require.Len(t, f.Names(), len(want.Sums))
	for name, sum := range want.Sums {
		info, ok := f.Info(name)
		require.True(t, ok, name)
		if info.DType == wildtrain.Int64 {
			continue
		}
		require.Equal(t, wildtrain.Float16, info.DType, name)
		values, err := f.Float32(name)
		require.NoError(t, err)
		var got float64
		for _, v := range values {
			got += float64(v)
		}
		require.InDelta(t, sum, got, 1e-9, name)
	}
}

// A state dict alone tells no architecture.
func TestStateDictHasNoOrigin(t *testing.T) {
	f, err := checkpoint.Open("testdata/official.pt")
	require.NoError(t, err)
	defer f.Close()
	path := filepath.Join(t.TempDir(), "plain.pt")
	require.NoError(t, checkpoint.Export(path, f, nil))
	plain, err := checkpoint.Open(path)
	require.NoError(t, err)
	defer plain.Close()
	architecture, license := plain.Origin()
	require.Empty(t, architecture+license)
	require.Equal(t, f.Names(), plain.Names(), "the keys stay")
}
