package detection

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/detection/internal/toy"
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

func openSegment(t *testing.T) *checkpoint.File {
	t.Helper()
	golden, err := checkpoint.Open(filepath.Join(goldens, "segment.safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { golden.Close() })
	return golden
}

// segmentBatch is a batch of parity/yolo_segment.py.
type segmentBatch struct {
	lossBatch
	Number int
}

// leaf makes a tensor by the rule whose gradient is wanted.
func leaf(t *testing.T, s *torch.Scope, name string, centre, half float64, shape ...int64) *torch.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	x := torch.Of(s, rule.Values(name, int(n), centre, half), shape...)
	require.NoError(t, x.SetRequiresGrad(true))
	return x
}

// outlines gives the objects of lossSamples their masks: the ellipse in each box,
// on a grid of 4 px.
func (b segmentBatch) outlines(rows []float32, samples []wildtrain.Sample) {
	next := make([]int, len(samples))
	for ; len(rows) >= 6; rows = rows[6:] {
		image := int(rows[0])
		cx, cy, w, h := float64(rows[2]), float64(rows[3]), float64(rows[4]), float64(rows[5])
		samples[image].Objects[next[image]].Mask = maskWhere(b.Width, b.Height, func(x, y int) bool {
			dx := ((float64(x/4)+0.5)/float64(b.Width/4) - cx) / (w / 2)
			dy := ((float64(y/4)+0.5)/float64(b.Height/4) - cy) / (h / 2)
			return float64(dx*dx)+float64(dy*dy) < 1
		})
		next[image]++
	}
}

func maskWhere(width, height int, set func(x, y int) bool) *wildtrain.Mask {
	var w rle.Writer
	for x := range width {
		for y := range height {
			if set(x, y) {
				w.Add(x*height+y, x*height+y+1)
			}
		}
	}
	return (*wildtrain.Mask)(w.Mask(height, width))
}

// boxMask fills a box of a picture of size px.
func boxMask(b wildtrain.Box, size int) *wildtrain.Mask {
	b = b.Clip(size, size)
	return maskWhere(size, size, func(x, y int) bool {
		return float64(x) >= b.X1 && float64(x) < b.X2 && float64(y) >= b.Y1 && float64(y) < b.Y2
	})
}

func TestMaskLossEqualsPeer(t *testing.T) {
	golden := openSegment(t)
	var batches []segmentBatch
	require.NoError(t, json.Unmarshal([]byte(golden.Metadata()["batches"]), &batches))
	require.Len(t, batches, 10)
	floats := numbers(t, golden)
	for _, b := range batches {
		t.Run(fmt.Sprintf("%d %s", b.Number, b.Name), func(t *testing.T) {
			err := torch.Run(context.Background(), torch.CPU, torch.Training, func(s *torch.Scope) error {
				levels := lossLevels(s, b.Number, b.lossBatch)
				leaves := map[string]*torch.Tensor{"protos": leaf(t, s, fmt.Sprintf("segment.%d.protos", b.Number), 0.2, 1, int64(b.Batch), 32, int64(b.Height/4), int64(b.Width/4))}
				for i, l := range levels {
					key := fmt.Sprintf("coefficients%d", i)
					leaves[key] = leaf(t, s, fmt.Sprintf("segment.%d.%s", b.Number, key), 0, 0.5, int64(b.Batch), 32, l.Size(2), l.Size(3))
					levels[i] = torch.Cat([]*torch.Tensor{l, leaves[key]}, 1)
				}
				rows := floats("%d.targets", b.Number)
				samples := lossSamples(rows, b.lossBatch)
				b.outlines(rows, samples)
				head := lossHead(s, b.Classes)
				head.Masks = 32
				found, err := head.loss(levels, leaves["protos"], samples, DefaultAssigner(), DefaultLossGains())
				if err != nil {
					return err
				}
				if err := found.packed.Select(0, 0).MulScalar(float64(b.Batch)).Backward(); err != nil {
					return err
				}
				parts := found.packed.Detach().MulScalar(float64(b.Batch)).Float32s(nil)
				for i, w := range floats("%d.parts", b.Number) {
					relative(t, w, parts[i+1], 1e-4, head.lossNames()[i+1])
				}
				for key, x := range leaves {
					sameGradient(t, s.Grad(x).Float32s(nil), fmt.Sprintf("%d.%s.", b.Number, key), floats)
				}
				return s.Err()
			})
			require.NoError(t, err)
		})
	}
}

// sameGradient compares a gradient with entries and the norm stored under a prefix.
func sameGradient(t *testing.T, grad []float32, at string, floats func(format string, args ...any) []float32) {
	t.Helper()
	values, scale, sum := floats("%svalue", at), 0.0, 0.0
	for _, v := range values {
		scale = max(scale, math.Abs(float64(v)))
	}
	for i, k := range floats("%sindex", at) {
		require.LessOrEqual(t, math.Abs(float64(grad[int(k)]-values[i])), 1e-3*scale, "%s, entry %d", at, int(k))
	}
	for _, g := range grad {
		sum += float64(g) * float64(g)
	}
	relative(t, floats("%snorm", at)[0], float32(math.Sqrt(sum)), 1e-3, at+"norm")
}

// bits are the pixels of a golden, by rows.
func bits(t *testing.T, golden *checkpoint.File, name string) []byte {
	t.Helper()
	packed, err := golden.Bytes(name)
	require.NoError(t, err)
	out := make([]byte, 0, 8*len(packed))
	for _, b := range packed {
		for k := 7; k >= 0; k-- {
			out = append(out, b>>k&1)
		}
	}
	return out
}

// The peer's masks, in its input and in the picture that lies in it, letterboxed
// at half its size. Beside the borders the peer repeats the last pixel inside the
// picture where here the border is seen.
func TestMasksEqualPeer(t *testing.T) {
	golden := openSegment(t)
	boxes, err := golden.Float32("masks.boxes")
	require.NoError(t, err)
	const count, height, width = 6, 160, 192
	k := &sketch{values: rule.Values("masks.protos", 32*height/4*width/4, 0.1, 1), count: 32, height: height / 4, width: width / 4, cell: 4}
	flat := rule.Values("masks.coefficients", count*32, 0, 1)
	var found []wildtrain.Object
	var coefficients [][]float32
	for i := range count {
		b := boxes[4*i:]
		found = append(found, wildtrain.Object{Box: wildtrain.Box{X1: float64(b[0]), Y1: float64(b[1]), X2: float64(b[2]), Y2: float64(b[3])}})
		coefficients = append(coefficients, flat[32*i:32*i+32])
	}
	differing := func(sample wildtrain.Sample, name string, except func(y int) bool) (differ, set int) {
		require.NoError(t, k.masks(0, found, coefficients, &sample))
		want := bits(t, golden, name)
		for i, o := range found {
			got := (*rle.Mask)(o.Mask).Decode()
			for at, v := range got {
				if v != want[i*len(got)+at] && !except(at/o.Mask.Width) {
					differ++
				}
				set += int(v)
			}
		}
		return differ, set
	}
	none := func(int) bool { return false }
	for _, s := range []wildtrain.Sample{{Place: wildtrain.Identity, Width: width, Height: height}, {Place: wildtrain.Affine{A: 9, E: 9}}} {
		differ, set := differing(s, "masks.input", none)
		require.Zero(t, differ)
		require.Greater(t, set, 1000)
	}
	half := wildtrain.Sample{Place: wildtrain.Affine{A: 0.5, E: 0.5, F: 16}, Width: 2 * width, Height: 256}
	const margin = 4 // half a pixel of the prototypes
	differ, set := differing(half, "masks.original", func(y int) bool { return y < margin || y >= 256-margin })
	require.Zero(t, differ)
	all, _ := differing(half, "masks.original", none)
	t.Logf("%d of %d pixels differ from the peer's, all beside the borders", all, set)

	require.ErrorContains(t, k.masks(0, found, coefficients, &wildtrain.Sample{ID: "turned", Place: wildtrain.Affine{B: 1, D: 1}, Width: 9, Height: 9}), "turned")
}

// OpenCV's reduction is ours.
func TestMasksAreReducedAsThePeers(t *testing.T) {
	golden := openSegment(t)
	full := bits(t, golden, "reduced.full")
	m := maskWhere(96, 64, func(x, y int) bool { return full[y*96+x] == 1 })
	got := make([]byte, 16*24)
	for _, at := range reduce(m, 4) {
		got[at] = 1
	}
	require.Equal(t, bits(t, golden, "reduced.quarter"), got)
}

// Whole runs between two cells are written at once: they are the pixels that each
// pixel's own logit tells.
func TestMaskRunsAreThePixels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := &sketch{count: 2, height: rapid.IntRange(1, 5).Draw(t, "cells high"), width: rapid.IntRange(1, 5).Draw(t, "cells wide"), cell: 4}
		k.values = rapid.SliceOfN(rapid.Float32Range(-1, 1), 2*k.height*k.width, 2*k.height*k.width).Draw(t, "prototypes")
		c := []float32{rapid.Float32Range(-1, 1).Draw(t, "c0"), rapid.Float32Range(-1, 1).Draw(t, "c1")}
		real := rapid.Float64Range(-10, 40)
		place := wildtrain.Affine{A: rapid.Float64Range(0.2, 3).Draw(t, "a"), C: real.Draw(t, "c"), E: rapid.Float64Range(0.2, 3).Draw(t, "e"), F: real.Draw(t, "f")}
		box := wildtrain.Box{X1: real.Draw(t, "x1"), Y1: real.Draw(t, "y1"), X2: real.Draw(t, "x2"), Y2: real.Draw(t, "y2")}
		const width, height = 13, 11
		at := func(p int, scale, shift float64, cells int) (lo, hi int, share float32) {
			u := min(max((scale*(float64(p)+0.5)+shift)/4-0.5, 0), float64(cells-1))
			lo = int(u)
			return lo, min(lo+1, cells-1), float32(u - float64(lo))
		}
		logit := func(y, x int) float32 { return c[0]*k.values[y*k.width+x] + c[1]*k.values[(k.height+y)*k.width+x] }
		want := maskWhere(width, height, func(x, y int) bool {
			if float64(x) < box.X1 || float64(x) >= box.X2 || float64(y) < box.Y1 || float64(y) >= box.Y2 {
				return false
			}
			l, r, sx := at(x, place.A, place.C, k.width)
			top, bottom, sy := at(y, place.E, place.F, k.height)
			upper := logit(top, l)*(1-sx) + logit(top, r)*sx
			lower := logit(bottom, l)*(1-sx) + logit(bottom, r)*sx
			return upper*(1-sy)+lower*sy > 0
		})
		require.Equal(t, want, k.draw(0, c, box, place, width, height))
	})
}

// outlined fills the boxes of a toy batch's objects.
func outlined(b *wildtrain.Batch) *wildtrain.Batch {
	for i := range b.Samples {
		for _, objects := range [][]wildtrain.Object{b.Samples[i].Objects, b.Samples[i].Truth} {
			for k := range objects {
				objects[k].Mask = boxMask(objects[k].Box, b.Pixels.Width)
			}
		}
	}
	return b
}

func TestSegmentationOfOddBatches(t *testing.T) {
	ctx := context.Background()
	m := small(t, func(c *YOLOConfig) { c.Architecture, c.Postprocess.Conf = "yolov8n-seg", 0 })
	require.True(t, m.Masks())
	for name, objects := range toy.Odd() {
		b := toy.Batch(1, 2, 64, 1)
		b.Samples[0].Objects = objects
		l, found, err := m.Evaluate(ctx, outlined(b))
		require.NoError(t, err, name)
		toy.Finite(t, l)
		for _, p := range found {
			require.NotEmpty(t, p.Objects, name)
			for _, o := range p.Objects {
				_, err := rle.New(64, 64, o.Mask.Runs)
				require.NoError(t, err)
			}
		}
		b = toy.Batch(1, 2, 64, 1)
		b.Samples[0].Objects = objects
		l, err = m.TrainStep(ctx, outlined(b), wildtrain.Step{Scale: 1})
		require.NoError(t, err, name)
		toy.Finite(t, l)
	}
	_, err := m.TrainStep(ctx, toy.Batch(1, 1, 64, 1), wildtrain.Step{Scale: 1})
	require.ErrorContains(t, err, "data.masks=true")
	bad := outlined(toy.Batch(1, 1, 64, 1))
	bad.Samples[0].Objects[0].Mask = boxMask(wildtrain.Box{X2: 9, Y2: 9}, 32)
	_, err = m.TrainStep(ctx, bad, wildtrain.Step{Scale: 1})
	require.ErrorContains(t, err, "a mask of 32×32 px in an image of 64×64")
	p := EvaluatePostprocess()
	p.Augment = true
	m.Postprocess(p)
	_, err = m.Predict(ctx, toy.Batch(1, 1, 64, 1))
	require.ErrorContains(t, err, "test-time augmentation")
}

// Ten steps of SGD follow the peer's.
func TestSegmentationTrajectoryEqualsPeer(t *testing.T) {
	for _, arch := range []string{"yolov8n-seg", "yolo11n-seg"} {
		t.Run(arch, func(t *testing.T) {
			tr := openTrajectory(t, filepath.Join(goldens, "segment", arch))
			run := tr.runs["live"]
			first, losses, tensors := tr.follow(t, "live", run, ruled(t, arch, 3, rule.Initial(run.Biases), nil))
			t.Logf("first loss %.1e, losses %.1e, tensors %.1e", first, losses, tensors)
			require.LessOrEqual(t, first, 1e-4)
		})
	}
}
