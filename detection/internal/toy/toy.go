// Package toy holds what the tests of all detectors share: batches that can be
// learnt, batches that other trainers trip over, and what is asked of a loss.
package toy

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

// Batch paints a bright square per object, whose class is its colour (three), on
// the noise of n pictures with sides of size px. A number gives the same each time.
func Batch(number, n, size, objects int) *wildtrain.Batch {
	r := rand.New(rand.NewPCG(uint64(number), 7))
	px := make([]uint8, n*size*size*3)
	for i := range px {
		px[i] = uint8(100 + r.IntN(20))
	}
	samples := make([]wildtrain.Sample, n)
	for i := range samples {
		s := &samples[i]
		*s = wildtrain.Sample{ID: fmt.Sprint(number, "/", i), Width: size, Height: size, Place: wildtrain.Identity}
		for range objects {
			side := 16 + r.IntN(size/3)
			x, y, class := r.IntN(size-side), r.IntN(size-side), r.IntN(3)
			for dy := range side {
				for dx := range side {
					px[((i*size+y+dy)*size+x+dx)*3+class] = 250
				}
			}
			o := wildtrain.Object{Box: wildtrain.BoxXYWH(float64(x), float64(y), float64(side), float64(side)), Class: class}
			s.Objects, s.Truth = append(s.Objects, o), append(s.Truth, o)
		}
	}
	return wildtrain.NewBatch(wildtrain.Pixels{N: n, Height: size, Width: size, Channels: 3, U8: px}, samples, nil)
}

// Odd are objects of pictures of 64 px that real data brings, by what is odd about them.
func Odd() map[string][]wildtrain.Object {
	return map[string][]wildtrain.Object{
		"no object":         nil,
		"one pixel":         {{Box: wildtrain.BoxXYWH(30, 30, 1, 1)}},
		"empty box":         {{Box: wildtrain.BoxXYWH(30, 30, 0, 5)}},
		"inverted box":      {{Box: wildtrain.Box{X1: 40, Y1: 40, X2: 20, Y2: 20}}},
		"NaN":               {{Box: wildtrain.Box{X1: math.NaN(), X2: 20, Y2: 20}}},
		"whole image":       {{Box: wildtrain.BoxXYWH(0, 0, 64, 64), Class: 2}},
		"outside":           {{Box: wildtrain.BoxXYWH(-50, -50, 20, 20)}},
		"larger than image": {{Box: wildtrain.BoxXYWH(-500, -500, 2000, 2000)}},
		"crowd only":        {{Box: wildtrain.BoxXYWH(10, 10, 20, 20), Crowd: true}},
	}
}

// Model is what detectors are.
type Model interface {
	wildtrain.Model
	wildtrain.Evaluator
	wildtrain.Averager
}

// Flat fails the test where steps of training, averaging and evaluating leave
// handles of tensors behind.
func Flat(t testing.TB, m Model, optimizer string, clip float64, steps int) {
	t.Helper()
	ctx := context.Background()
	opt, err := m.Optimizer(wildtrain.DefaultOptimizer(optimizer))
	must(t, err)
	defer opt.Close()
	torchtest.Flat(t, steps, func(step int) {
		_, err := m.TrainStep(ctx, Batch(step, 2, 64, 3), wildtrain.Step{Scale: 1})
		must(t, err)
		_, err = opt.Step(wildtrain.Clip{Norm: clip})
		must(t, err)
		opt.ZeroGrad()
		must(t, m.Average(0.9))
		_, _, err = m.Evaluate(ctx, Batch(step, 2, 64, 3))
		must(t, err)
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Finite fails the test where a part of a loss is no number.
func Finite(t testing.TB, l wildtrain.Losses) {
	t.Helper()
	values, err := l.Values()
	must(t, err)
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatalf("%s is %g", l.Names()[i], v)
		}
	}
}
