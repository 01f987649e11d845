//go:build parity

package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Models that are trained here load in Python by alias, stage, version, the
// newest version and run, and give our predictions. WILDTRAIN_MLFLOW_PEERS is the
// folder that parity/mlflow-setup.sh made.
func TestParityTrainedModels(t *testing.T) {
	peers := os.Getenv("WILDTRAIN_MLFLOW_PEERS")
	if peers == "" {
		t.Skip("WILDTRAIN_MLFLOW_PEERS is not set: see parity/mlflow-setup.sh")
	}
	for name, make := range map[string]func(*testing.T) Settings{"yolo": tiny, "resnet": tinyClassifier} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			var e Env
			script, err := filepath.Abs("../parity/mlflow_peer.py")
			require.NoError(t, err)
			s, store := trackedSettings(t, make(t), "kudus")
			s.Loop.Epochs = 2
			trained, err := e.Train(ctx, s)
			require.NoError(t, err)
			_, err = mlflow.Promote(ctx, store, "kudus", "1", mlflow.Promotion{Stage: "Production"})
			require.NoError(t, err)
			v, err := store.ModelVersion(ctx, "kudus", "1")
			require.NoError(t, err)

			const n, side = 2, 64
			pixels := []uint8{}
			for i := range n * side * side * 3 {
				pixels = append(pixels, uint8(uint32(i)*2654435761>>24))
			}
			want := ours(t, &e, trained.Dir, pixels, n, side)
			uris := []string{"models:/kudus@champion", "models:/kudus/Production", "models:/kudus/1", "models:/kudus/latest", "models:/" + v.ModelID, "runs:/" + v.RunID + "/" + "kudus"}
			got := python(t, filepath.Join(peers, "3.17", "bin", "python"), script, pixels, n, side, uris...)
			require.Len(t, got, len(uris))
			for uri, y := range got {
				require.Len(t, y, len(want), uri)
				far := 0.0
				for i := range y {
					far = max(far, math.Abs(y[i]-float64(want[i])))
				}
				t.Logf("%s: %d numbers, at most %.2g apart, of %.3g", uri, len(y), far, slices.Max(want))
				require.LessOrEqual(t, far, 1e-4*max(1, float64(slices.Max(want))), uri)
			}
		})
	}
}

// ours are the decoded output of a detector, the probabilities of a classifier.
func ours(t *testing.T, e *Env, weights string, pixels []uint8, n, side int) (out []float32) {
	t.Helper()
	s := DefaultSettings()
	s.Model.Weights, s.Model.Architecture, s.Hardware.Device = weights, "", "cpu"
	m, _, err := e.open(&s)
	require.NoError(t, err)
	defer m.Close()
	if m.Describe().Task == "classification" {
		b := &wildtrain.Batch{Pixels: wildtrain.Pixels{U8: pixels, N: n, Height: side, Width: side, Channels: 3}, Samples: []wildtrain.Sample{{ID: "a"}, {ID: "b"}}}
		ps, err := m.Predict(t.Context(), b)
		require.NoError(t, err)
		for _, p := range ps {
			out = append(out, p.Probs...)
		}
		return out
	}
	require.NoError(t, torch.Run(t.Context(), torch.CPU, torch.Inference, func(sc *torch.Scope) error {
		y, err := m.Forward(sc, sc.Images8(pixels, n, side, side, 3, 1.0/255, false))
		if err == nil {
			out = y["decoded"].Float32s(nil)
		}
		return err
	}))
	return out
}

// python is what mlflow.pyfunc makes of the same pictures as float32 (N, 3, H, W).
func python(t *testing.T, python, script string, pixels []uint8, n, side int, uris ...string) (out map[string][]float64) {
	t.Helper()
	values := []float32{}
	for i := range n {
		for c := range 3 {
			for p := range side * side {
				values = append(values, float32(pixels[(i*side*side+p)*3+c])/255)
			}
		}
	}
	input, err := json.Marshal(map[string]any{"shape": []int{n, 3, side, side}, "values": values})
	require.NoError(t, err)
	c := exec.Command(python, append([]string{script, "apply", mlflow.DefaultURI}, uris...)...)
	c.Stdin = bytes.NewReader(input)
	c.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "GIT_PYTHON_REFRESH=quiet", "MLFLOW_DISABLE_TELEMETRY=true")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	text, err := c.Output()
	require.NoError(t, err, stderr.String())
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &out))
	return out
}
