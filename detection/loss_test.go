package detection

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// lossBatch describes one batch of the peer's loss goldens: parity/README.md.
type lossBatch struct {
	Name                          string
	Classes, Batch, Height, Width int
	Slope                         float64
}

// lossHead is a head without a network: the loss needs only its geometry.
func lossHead(s *torch.Scope, classes int) *Head {
	h := &Head{Strides: []int64{8, 16, 32}, Classes: int64(classes), RegMax: 16}
	h.bins = s.Arange(0, 16, 1, torch.Float).View(1, 16, 1, 1)
	return h
}

// lossLevels makes the raw outputs by the rule.
func lossLevels(s *torch.Scope, number int, b lossBatch) []*torch.Tensor {
	var out []*torch.Tensor
	for i, stride := range []int{8, 16, 32} {
		h, w := b.Height/stride, b.Width/stride
		channels := 64 + b.Classes
		hash := rule.Hash(fmt.Sprintf("loss.%d.level%d", number, i))
		v := make([]float32, b.Batch*channels*h*w)
		for k := range v {
			centre, half := -2.0, 4.0
			if c := k / (h * w) % channels; c < 64 {
				centre, half = -b.Slope*float64(c%16), 3
			}
			v[k] = float32(centre + float64(half*rule.Unit(hash, k)))
		}
		t := torch.Of(s, v, int64(b.Batch), int64(channels), int64(h), int64(w))
		if t.SetRequiresGrad(true) == nil {
			out = append(out, t)
		}
	}
	return out
}

// lossSamples turns rows of image, class, cx, cy, w, h (fractions) into samples,
// in single precision as the peer does.
func lossSamples(rows []float32, b lossBatch) []wildtrain.Sample {
	samples := make([]wildtrain.Sample, b.Batch)
	w, h := float32(b.Width), float32(b.Height)
	for r := rows; len(r) >= 6; r = r[6:] {
		cx, cy, bw, bh := r[2]*w, r[3]*h, r[4]*w, r[5]*h
		s := &samples[int(r[0])]
		s.Objects = append(s.Objects, wildtrain.Object{Class: int(r[1]), Box: wildtrain.Box{
			X1: float64(cx - bw/2), Y1: float64(cy - bh/2), X2: float64(cx + bw/2), Y2: float64(cy + bh/2),
		}})
	}
	return samples
}

func TestLossEqualsPeer(t *testing.T) {
	golden, err := checkpoint.Open(filepath.Join(goldens, "loss.safetensors"))
	require.NoError(t, err)
	defer golden.Close()
	var batches []lossBatch
	require.NoError(t, json.Unmarshal([]byte(golden.Metadata()["batches"]), &batches))
	require.Len(t, batches, 20)
	floats := numbers(t, golden)
	for number, b := range batches {
		t.Run(fmt.Sprintf("%d %s", number, b.Name), func(t *testing.T) {
			err := torch.Run(context.Background(), torch.CPU, torch.Training, func(s *torch.Scope) error {
				levels := lossLevels(s, number, b)
				samples := lossSamples(floats("%d.targets", number), b)
				found, err := lossHead(s, b.Classes).loss(levels, nil, samples, DefaultAssigner(), DefaultLossGains())
				if err != nil {
					return err
				}
				if err := found.packed.Select(0, 0).MulScalar(float64(b.Batch)).Backward(); err != nil {
					return err
				}
				parts := found.packed.Detach().MulScalar(float64(b.Batch)).Float32s(nil)
				want := floats("%d.parts", number)
				var sum float32
				for i, w := range want {
					relative(t, w, parts[i+1], 1e-4, lossNames[i+1])
					sum += w
				}
				relative(t, sum, parts[0], 1e-4, "loss")
				for i, l := range levels {
					compareGradient(t, s.Grad(l).Float32s(nil), fmt.Sprintf("%d.grad%d.", number, i), i, 64, b, floats)
				}
				return s.Err()
			})
			require.NoError(t, err)
		})
	}
}

// numbers reads the numbers of a golden by their names.
func numbers(t *testing.T, golden *checkpoint.File) func(format string, args ...any) []float32 {
	return func(format string, args ...any) []float32 {
		v, err := golden.Float32(fmt.Sprintf(format, args...))
		require.NoError(t, err)
		return v
	}
}

func relative(t *testing.T, want, got float32, tol float64, what string) {
	t.Helper()
	require.LessOrEqual(t, math.Abs(float64(got-want)), tol*math.Abs(float64(want)), "%s: %g, want %g", what, got, want)
}

// compareGradient compares a level's gradient, whose first channels are the box's,
// with entries and norms stored under a prefix.
func compareGradient(t *testing.T, grad []float32, at string, level, boxes int, b lossBatch, floats func(format string, args ...any) []float32) {
	t.Helper()
	values := floats("%svalue", at)
	scale := 0.0
	for _, v := range values {
		scale = max(scale, math.Abs(float64(v)))
	}
	for i, k := range floats("%sindex", at) {
		require.LessOrEqual(t, math.Abs(float64(grad[int(k)]-values[i])), 1e-3*scale, "%s, entry %d", at, int(k))
	}
	cells := (b.Height >> (3 + level)) * (b.Width >> (3 + level))
	var box, cls float64
	for k, g := range grad {
		if k/cells%(boxes+b.Classes) < boxes {
			box += float64(g) * float64(g)
		} else {
			cls += float64(g) * float64(g)
		}
	}
	norms := floats("%snorms", at)
	relative(t, norms[0], float32(math.Sqrt(box)), 1e-3, "norm of the box gradient")
	relative(t, norms[1], float32(math.Sqrt(cls)), 1e-3, "norm of the class gradient")
}
