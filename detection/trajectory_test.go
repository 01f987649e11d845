package detection

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

// trajectory is the golden of parity/yolo_trajectory.py.
type trajectory struct {
	file    *checkpoint.File
	batch   int // pictures in a batch
	size    int // their side
	runs    map[string]trajectoryRun
	colours [][]float32
}

// trajectoryRun is one training of the peer's.
type trajectoryRun struct {
	Model  string
	LR     float64
	Steps  int
	Biases map[string]float64
}

const trajectoryBatches = 4

func openTrajectory(t *testing.T, dir string) *trajectory {
	t.Helper()
	f, err := checkpoint.Open(filepath.Join(dir, "trajectory.safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	tr := &trajectory{file: f}
	for key, v := range map[string]any{"batch": &tr.batch, "size": &tr.size, "runs": &tr.runs, "colours": &tr.colours} {
		require.NoError(t, json.Unmarshal([]byte(f.Metadata()[key]), v), key)
	}
	return tr
}

// pictures are noise with each object painted over in the colour of its class.
func (tr *trajectory) pictures(t *testing.T, k int) ([]float32, []wildtrain.Sample) {
	size, n := tr.size, tr.batch
	pixels := rule.Values(fmt.Sprintf("trajectory.%d.images", k), n*3*size*size, 0.5, 0.5)
	rows, err := tr.file.Float32(fmt.Sprintf("objects%d", k))
	require.NoError(t, err)
	samples := make([]wildtrain.Sample, n)
	for r := rows; len(r) >= 6; r = r[6:] {
		image, class := int(r[0]), int(r[1])
		for c := range 3 {
			for y := int(r[3]); y < int(r[5]); y++ {
				for x := int(r[2]); x < int(r[4]); x++ {
					pixels[((image*3+c)*size+y)*size+x] = tr.colours[class][c]
				}
			}
		}
		box := wildtrain.Box{X1: float64(r[2]), Y1: float64(r[3]), X2: float64(r[4]), Y2: float64(r[5])}
		samples[image].Objects = append(samples[image].Objects, wildtrain.Object{Class: class, Box: box, Mask: boxMask(box, size)})
	}
	return pixels, samples
}

// Training from random weights is chaotic at the usual rate: the peer does not
// reproduce itself there. So the long runs have a small rate and the runs with a
// large one are short; parity/README.md tells the peer's own noise.
func TestTrajectoryEqualsPeer(t *testing.T) {
	tr := openTrajectory(t, goldens)
	require.Len(t, tr.runs, 7)
	for label, run := range tr.runs {
		t.Run(label, func(t *testing.T) {
			if testing.Short() {
				run.Steps = min(run.Steps, 8)
			}
			tr.follow(t, label, run, ruled(t, run.Model, 3, rule.Initial(run.Biases), nil))
		})
	}
}

// follow trains m as the peer did and compares the losses of all steps, and the
// stored tensors in the end. It returns the largest deviations of the first loss
// and its parts, of all losses and of the tensors, and demands 1e-3 of the latter two.
func (tr *trajectory) follow(t *testing.T, label string, run trajectoryRun, m *YOLO) (first, losses, tensors float64) {
	want, err := tr.file.Float32(label + "/losses")
	require.NoError(t, err)
	cfg := wildtrain.DefaultOptimizer("SGD")
	cfg.LR = run.LR
	opt, err := m.Optimizer(cfg)
	require.NoError(t, err)
	defer opt.Close()
	for step := range run.Steps {
		parts := tr.step(t, m, step)
		_, err = opt.Step(wildtrain.Clip{})
		require.NoError(t, err)
		opt.ZeroGrad()
		total, n := 0.0, len(parts)-1
		for k, w := range want[n*step : n*(step+1)] {
			if total += float64(w); step == 0 && m.net.head.one == nil { // with both branches the parts told are those of one
				first = max(first, math.Abs(parts[k+1]-float64(w))/float64(w))
			}
		}
		d := math.Abs(parts[0]-total) / total
		if losses = max(losses, d); step == 0 {
			first = max(first, d)
		}
		require.LessOrEqual(t, d, 1e-3, "step %d: loss %g, want %g", step, parts[0], total)
	}
	if testing.Short() {
		return first, losses, 0
	}
	for _, name := range tr.file.Names() {
		tensor, ok := strings.CutPrefix(name, label+"/")
		if !ok || tensor == "losses" {
			continue
		}
		w, err := tr.file.Float32(name)
		require.NoError(t, err)
		got, err := checkpoint.Float32(m.State(), tensor)
		require.NoError(t, err)
		d := torchtest.Worst(got, w)
		tensors = max(tensors, d)
		require.LessOrEqual(t, d, 1e-3, "%s after the last step", tensor)
	}
	return first, losses, tensors
}

// step makes the gradients of one step and returns the parts of the loss of its
// batch, summed over the pictures.
func (tr *trajectory) step(t *testing.T, m *YOLO, step int) (parts []float64) {
	pixels, samples := tr.pictures(t, step%trajectoryBatches)
	n := float64(tr.batch)
	err := torch.Run(context.Background(), torch.CPU, torch.Training, func(s *torch.Scope) error {
		x := torch.Of(s, pixels, int64(tr.batch), 3, int64(tr.size), int64(tr.size))
		found, err := m.loss(m.net.outputs(x, true, true), samples)
		if err != nil {
			return err
		}
		parts, err = m.Backward(found.packed, n)
		return err
	})
	require.NoError(t, err)
	for i := range parts {
		parts[i] *= n
	}
	return parts
}
