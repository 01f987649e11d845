package detection

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
)

const goldens = "../parity/testdata"

func classNames(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "class" + strconv.Itoa(i)
	}
	return out
}

// ruled builds a model whose weights both sides of the parity tests compute.
func ruled(t *testing.T, arch string, classes int, weights rule.Weights, alias func(string) string) *YOLO {
	t.Helper()
	cfg := DefaultYOLO(arch, classNames(classes))
	cfg.ChannelsLast = false // as the peer computes; NHWC kernels of batch norm round more coarsely
	m, err := NewYOLO(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	report := m.Store().Load(rule.State{Like: m.State(), Rule: weights, Alias: alias})
	require.NoError(t, report.Err())
	return m
}

// forwardDeviation runs m on the golden's input and compares all outputs.
func forwardDeviation(t *testing.T, m *YOLO, file string) map[string]float64 {
	t.Helper()
	golden, err := checkpoint.Open(file)
	require.NoError(t, err)
	defer golden.Close()
	var shape []int64
	require.NoError(t, json.Unmarshal([]byte(golden.Metadata()["images"]), &shape))
	n := shape[0] * shape[1] * shape[2] * shape[3]
	var deviation map[string]float64
	err = torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		out, err := m.Forward(s, torch.Of(s, rule.Values("images", int(n), 0.5, 0.5), shape...))
		if err == nil {
			deviation, err = deviations(out, golden)
		}
		return err
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(deviation), 5)
	return deviation
}

// deviations compares all outputs with stored ones, each by its own scale; of
// "decoded" pixels and probabilities count apart, as pixels would drown the others.
func deviations(out map[string]*torch.Tensor, golden *checkpoint.File) (map[string]float64, error) {
	deviation := map[string]float64{}
	if len(out) != len(golden.Names()) {
		return nil, fmt.Errorf("%d outputs, want %q", len(out), golden.Names())
	}
	for name, x := range out {
		want, err := golden.Float32(name)
		if err != nil {
			return nil, err
		}
		got := x.Float32s(nil)
		if len(got) != len(want) {
			return nil, fmt.Errorf("%s: %d values, want %d", name, len(got), len(want))
		}
		if name == "detections" {
			deviation[name] = unordered(got, want)
			continue
		}
		if name != "decoded" {
			deviation[name] = torchtest.Worst(got, want)
			continue
		}
		s := x.Shape()
		for img := range s[0] {
			at, cut, end := img*s[1]*s[2], img*s[1]*s[2]+4*s[2], (img+1)*s[1]*s[2]
			deviation["boxes"] = max(deviation["boxes"], torchtest.Worst(got[at:cut], want[at:cut]))
			deviation["scores"] = max(deviation["scores"], torchtest.Worst(got[cut:end], want[cut:end]))
		}
	}
	return deviation, nil
}

// unordered compares detections (corners, probability, class) with the most alike
// of the others: equal probabilities may stand in either order.
func unordered(a, b []float32) float64 {
	scale := 0.0
	for i, v := range b {
		if i%6 < 4 {
			scale = max(scale, math.Abs(float64(v)))
		}
	}
	far := func(x, y []float32) float64 {
		if x[5] != y[5] {
			return math.Inf(1)
		}
		d := math.Abs(float64(x[4] - y[4]))
		for k := range 4 {
			d = max(d, math.Abs(float64(x[k]-y[k]))/scale)
		}
		return d
	}
	furthest := 0.0
	for _, pair := range [][2][]float32{{a, b}, {b, a}} {
		for x := range slices.Chunk(pair[0], 6) {
			nearest := math.Inf(1)
			for y := range slices.Chunk(pair[1], 6) {
				nearest = min(nearest, far(x, y))
			}
			furthest = max(furthest, nearest)
		}
	}
	return furthest
}

func TestForwardEqualsPeer(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(goldens, "forward", "*.safetensors"))
	require.NoError(t, err)
	require.Len(t, files, 13)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".safetensors")
		t.Run(name, func(t *testing.T) {
			arch, count, _ := strings.Cut(name, "-nc")
			classes, err := strconv.Atoi(count)
			require.NoError(t, err)
			m := ruled(t, arch, classes, rule.Spread, nil)
			for name, d := range forwardDeviation(t, m, file) {
				require.LessOrEqual(t, d, 1e-4, name)
			}
			require.NoError(t, m.Fuse())
			for name, d := range forwardDeviation(t, m, file) {
				require.LessOrEqual(t, d, 1e-4, "fused %s", name)
			}
		})
	}
}

// A test of parity that cannot fail is none: exchanging two layers must show.
func TestForwardSeesSwappedLayers(t *testing.T) {
	swap := func(name string) string {
		switch {
		case strings.HasPrefix(name, "model.15.m.0.cv1."):
			return strings.Replace(name, "cv1", "cv2", 1)
		case strings.HasPrefix(name, "model.15.m.0.cv2."):
			return strings.Replace(name, "cv2", "cv1", 1)
		}
		return name
	}
	m := ruled(t, "yolov8n", 3, rule.Spread, swap)
	d := forwardDeviation(t, m, filepath.Join(goldens, "forward", "yolov8n-nc3.safetensors"))
	require.Greater(t, d["level0"], 1e-3) // ten times what parity allows
	require.Greater(t, d["level2"], 1e-3)
}

// The key lists and counts are read off the peer. Sizes n, and l of YOLO12, which
// has tensors of its own; all others with the tag parity.
func TestArchitecturesHoldThePeersTensors(t *testing.T) {
	for _, arch := range Architectures() {
		if strings.Contains(arch, "n") || arch == "yolo12l" {
			holdsThePeersTensors(t, arch)
		}
	}
}

// holdsThePeersTensors compares names, types, shapes and counts.
func holdsThePeersTensors(t *testing.T, arch string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(goldens, "parameters.json"))
	require.NoError(t, err)
	var counts struct {
		Parameters map[string]struct {
			NC80, NC3, Fused int64
			Keys             int
			Digest           string `json:"keys_sha256"`
		}
	}
	require.NoError(t, json.Unmarshal(data, &counts))
	want, ok := counts.Parameters[arch]
	require.True(t, ok, arch)
	m, err := NewYOLO(DefaultYOLO(arch, classNames(80)))
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, want.NC80, m.Describe().Parameters, arch)
	require.Equal(t, want.Fused, m.FusedParameters(), arch)
	list := keyList(m)
	if keys, err := os.ReadFile(filepath.Join(goldens, "keys", arch+".txt")); err == nil {
		require.Equal(t, string(keys), list, arch)
	}
	require.Equal(t, want.Keys, strings.Count(list, "\n"), arch)
	require.Equal(t, want.Digest, fmt.Sprintf("%x", sha256.Sum256([]byte(list))), arch)

	few, err := NewYOLO(DefaultYOLO(arch, classNames(3)))
	require.NoError(t, err)
	defer few.Close()
	require.Equal(t, want.NC3, few.Describe().Parameters, arch)
}

func keyList(m *YOLO) string {
	var lines []string
	st := m.State()
	for _, name := range st.Names() {
		info, _ := st.Info(name)
		shape := "scalar"
		if len(info.Shape) > 0 {
			var dims []string
			for _, d := range info.Shape {
				dims = append(dims, strconv.FormatInt(d, 10))
			}
			shape = strings.Join(dims, "x")
		}
		lines = append(lines, fmt.Sprintf("%s %v %s", name, info.DType, shape))
	}
	return strings.Join(lines, "\n") + "\n"
}
