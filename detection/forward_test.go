package detection

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
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

// worst is the largest |a−b|/max|b| of two outputs.
func worst(a, b []float32) float64 {
	var diff, scale float64
	for i := range b {
		diff = max(diff, math.Abs(float64(a[i])-float64(b[i])))
		scale = max(scale, math.Abs(float64(b[i])))
	}
	return diff / scale
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
	require.Len(t, deviation, 5)
	return deviation
}

// deviations compares all outputs with stored ones, each by its own scale; of
// "decoded" pixels and probabilities count apart, as pixels would drown the others.
func deviations(out map[string]*torch.Tensor, golden *checkpoint.File) (map[string]float64, error) {
	deviation := map[string]float64{}
	for name, x := range out {
		want, err := golden.Float32(name)
		if err != nil {
			return nil, err
		}
		got := x.Float32s(nil)
		if len(got) != len(want) {
			return nil, fmt.Errorf("%s: %d values, want %d", name, len(got), len(want))
		}
		if name != "decoded" {
			deviation[name] = worst(got, want)
			continue
		}
		s := x.Shape()
		for img := range s[0] {
			at, cut, end := img*s[1]*s[2], img*s[1]*s[2]+4*s[2], (img+1)*s[1]*s[2]
			deviation["boxes"] = max(deviation["boxes"], worst(got[at:cut], want[at:cut]))
			deviation["scores"] = max(deviation["scores"], worst(got[cut:end], want[cut:end]))
		}
	}
	return deviation, nil
}

func TestForwardEqualsPeer(t *testing.T) {
	for _, arch := range []string{"yolov8n", "yolo11n"} {
		for _, classes := range []int{3, 80} {
			t.Run(fmt.Sprintf("%s-nc%d", arch, classes), func(t *testing.T) {
				file := filepath.Join(goldens, "forward", fmt.Sprintf("%s-nc%d.safetensors", arch, classes))
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

// The key lists and counts are read off the peer.
func TestArchitecturesHoldThePeersTensors(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(goldens, "parameters.json"))
	require.NoError(t, err)
	var counts struct {
		Parameters map[string]struct{ NC80, NC3 int64 }
	}
	require.NoError(t, json.Unmarshal(data, &counts))
	fused := map[string]int64{ // references, table of the peer's fused counts
		"yolov8n": 3151904, "yolov8s": 11156544, "yolov8m": 25886080, "yolov8l": 43668288, "yolov8x": 68200608,
		"yolo11n": 2616248, "yolo11s": 9443760, "yolo11m": 20091712, "yolo11l": 25340992, "yolo11x": 56919424,
	}
	for _, arch := range Architectures() {
		keys, err := os.ReadFile(filepath.Join(goldens, "keys", arch+".txt"))
		require.NoError(t, err)
		m, err := NewYOLO(DefaultYOLO(arch, classNames(80)))
		require.NoError(t, err)
		require.Equal(t, counts.Parameters[arch].NC80, m.Describe().Parameters, arch)
		require.Equal(t, fused[arch], m.FusedParameters(), arch)
		require.Equal(t, strings.TrimSpace(string(keys)), keyList(m), arch)
		require.NoError(t, m.Close())

		few, err := NewYOLO(DefaultYOLO(arch, classNames(3)))
		require.NoError(t, err)
		require.Equal(t, counts.Parameters[arch].NC3, few.Describe().Parameters, arch)
		require.NoError(t, few.Close())
	}
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
	return strings.Join(lines, "\n")
}
