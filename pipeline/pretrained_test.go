package pipeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
)

// Published weights are fetched once and begin a model of other classes: the body
// is theirs, the head is new.
func TestPretrained(t *testing.T) {
	data, err := os.ReadFile(untrained(t))
	require.NoError(t, err)
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data)
	}))
	defer server.Close()
	folder := t.TempDir()
	t.Setenv("WILDTRAIN_WEIGHTS", folder)
	sum := sha256.Sum256(data)
	var shown bytes.Buffer
	e := Env{Progress: &shown}
	for range 2 {
		s := DefaultSettings()
		s.Model.Architecture, s.Model.ImageSize = "resnet18", 32
		s.Model.Pretrained = server.URL + "/body.safetensors#sha256=" + hex.EncodeToString(sum[:])
		require.NoError(t, e.pretrained(t.Context(), &s))
		require.Equal(t, filepath.Join(folder, "body.safetensors"), s.Model.Weights)
		m, err := e.build(classifier{}, s, []string{"zebra", "kudu"})
		require.NoError(t, err)
		require.Equal(t, []string{"fc.weight[kudu]", "fc.bias[kudu]"}, m.Loaded().Missing, "zebra is known")
		f, err := checkpoint.Open(s.Model.Weights)
		require.NoError(t, err)
		want, err := f.Float32("layer4.1.conv2.weight")
		require.NoError(t, err)
		got, err := checkpoint.Float32(m.State(), "layer4.1.conv2.weight")
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NoError(t, f.Close())
		require.NoError(t, m.Close())
	}
	require.Equal(t, 1, requests)
	require.Contains(t, shown.String(), "fetching weights: 44.8 of 44.8 MB")
	require.FileExists(t, filepath.Join(folder, "body.safetensors.license.json"))

	s := DefaultSettings()
	s.Model.Architecture, s.Model.Pretrained = "yolo11n", "true"
	require.ErrorContains(t, e.pretrained(t.Context(), &s), "model.accept_license=AGPL-3.0")
	s.Model.Pretrained = ""
	require.NoError(t, e.pretrained(t.Context(), &s))
	require.Empty(t, s.Model.Weights)
}
