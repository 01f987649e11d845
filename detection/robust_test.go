package detection

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/wildtrain"
)

// noise is a batch of n pictures with the same objects each.
func noise(n, height, width int, objects []wildtrain.Object) *wildtrain.Batch {
	b := &wildtrain.Batch{Pixels: wildtrain.Pixels{N: n, Height: height, Width: width, Channels: 3, U8: make([]uint8, n*height*width*3)}}
	hash := rule.Hash("noise")
	for i := range b.Pixels.U8 {
		b.Pixels.U8[i] = uint8(rule.Word(hash, i))
	}
	for i := range n {
		b.Samples = append(b.Samples, wildtrain.Sample{
			ID: fmt.Sprint(i), Width: width, Height: height, Place: wildtrain.Identity,
			Objects: append([]wildtrain.Object(nil), objects...),
		})
	}
	return b
}

// many are count small objects all over a picture, of all classes.
func many(count, classes int, height, width, side float64) []wildtrain.Object {
	hash := rule.Hash("many")
	out := make([]wildtrain.Object, count)
	for i := range out {
		x := (rule.Unit(hash, 2*i) + 1) / 2 * (width - side)
		y := (rule.Unit(hash, 2*i+1) + 1) / 2 * (height - side)
		out[i] = wildtrain.Object{Class: i % classes, Box: wildtrain.Box{X1: x, Y1: y, X2: x + side, Y2: y + side}}
	}
	return out
}

// What real data brings must neither crash nor make NaN, in all families: three
// steps of training and an evaluation each.
func TestAwkwardBatches(t *testing.T) {
	for _, c := range []struct {
		name          string
		classes, n    int
		height, width int
		objects       []wildtrain.Object
		nothing       bool
	}{
		{name: "no object at all", classes: 3, n: 2, height: 64, width: 64, nothing: true},
		{name: "one-pixel boxes", classes: 3, n: 2, height: 64, width: 64, objects: many(5, 3, 64, 64, 1)},
		{name: "a box without area", classes: 3, n: 1, height: 64, width: 64, nothing: true,
			objects: []wildtrain.Object{{Box: wildtrain.Box{X1: 9, Y1: 9, X2: 9, Y2: 30}}}},
		{name: "2,000 objects", classes: 3, n: 1, height: 128, width: 128, objects: many(2000, 3, 128, 128, 6)},
		{name: "one picture of one class", classes: 1, n: 1, height: 64, width: 64, objects: many(2, 1, 64, 64, 20)},
		{name: "1,000 classes", classes: 1000, n: 1, height: 64, width: 64, objects: many(3, 1000, 64, 64, 20)},
		{name: "not square", classes: 3, n: 2, height: 32, width: 160, objects: many(4, 3, 32, 160, 12)},
		{name: "the whole picture", classes: 3, n: 1, height: 64, width: 96,
			objects: []wildtrain.Object{{Class: 2, Box: wildtrain.Box{X2: 96, Y2: 64}}}},
	} {
		for _, arch := range []string{"yolov8n", "yolo11n", "yolo12n", "yolo26n"} {
			t.Run(arch+" "+c.name, func(t *testing.T) {
				m, err := NewYOLO(DefaultYOLO(arch, classNames(c.classes)))
				require.NoError(t, err)
				defer m.Close()
				opt, err := m.Optimizer(wildtrain.DefaultOptimizer("SGD"))
				require.NoError(t, err)
				defer opt.Close()
				for range 3 {
					losses, err := m.TrainStep(context.Background(), noise(c.n, c.height, c.width, c.objects), wildtrain.Step{Scale: 1})
					require.NoError(t, err)
					finiteLosses(t, losses, c.nothing)
					report, err := opt.Step(wildtrain.Clip{Norm: 10})
					require.NoError(t, err)
					require.False(t, report.Skipped, "a gradient is not finite")
					opt.ZeroGrad()
				}
				losses, found, err := m.Evaluate(context.Background(), noise(c.n, c.height, c.width, c.objects))
				require.NoError(t, err)
				finiteLosses(t, losses, c.nothing)
				require.Len(t, found, c.n)
				for _, p := range found {
					require.LessOrEqual(t, len(p.Objects), m.cfg.Postprocess.MaxDet)
					for _, o := range p.Objects {
						require.True(t, o.Box.Finite() && o.Box.Area() > 0 && o.Class < c.classes, "%+v", o)
					}
				}
			})
		}
	}
}

// finiteLosses checks that every part is a number, and that without objects only
// the classes learn.
func finiteLosses(t *testing.T, l wildtrain.Losses, nothing bool) {
	t.Helper()
	require.Len(t, l.Names(), 4)
	values, err := l.Values()
	require.NoError(t, err)
	for i, v := range values {
		require.False(t, math.IsNaN(v) || math.IsInf(v, 0), "%s is %v", l.Names()[i], v)
		if nothing && l.Names()[i] != "loss" && l.Names()[i] != "cls_loss" {
			require.Zero(t, v, l.Names()[i])
		}
	}
	require.Greater(t, values[0], 0.0)
}

// Sides that the network cannot halve often enough are refused in words.
func TestSidesMustBeMultiplesOfTheStride(t *testing.T) {
	for arch, stride := range map[string]int{"yolo26n": 32, "yolov8n-p6": 64} {
		m, err := NewYOLO(DefaultYOLO(arch, classNames(2)))
		require.NoError(t, err)
		defer m.Close()
		_, err = m.Predict(context.Background(), noise(1, stride, stride+8, nil))
		require.ErrorContains(t, err, fmt.Sprintf("multiples of %d", stride))
	}
}

// The end-to-end answer comes without suppression and is bounded; a model that
// has no such head says so.
func TestAnswerWithoutSuppression(t *testing.T) {
	cfg := DefaultYOLO("yolo26n", classNames(3))
	cfg.Postprocess.Suppression, cfg.Postprocess.MaxDet, cfg.Postprocess.Conf = None, 7, 0
	m := ruled(t, "yolo26n", 3, rule.Spread, nil)
	m.Postprocess(cfg.Postprocess)
	found, err := m.Predict(context.Background(), noise(2, 64, 96, nil))
	require.NoError(t, err)
	for _, p := range found {
		require.NotEmpty(t, p.Objects)
		require.LessOrEqual(t, len(p.Objects), 7)
		for i := 1; i < len(p.Objects); i++ {
			require.GreaterOrEqual(t, p.Objects[i-1].Score, p.Objects[i].Score)
		}
	}
	old := ruled(t, "yolo11n", 3, rule.Spread, nil)
	old.Postprocess(cfg.Postprocess)
	_, err = old.Predict(context.Background(), noise(1, 64, 64, nil))
	require.ErrorContains(t, err, "yolo11n has no head")
}

// YOLO26's class branches have three times the rate under its own optimiser.
func TestMuSGDIsFasterInTheClassBranches(t *testing.T) {
	m, err := NewYOLO(DefaultYOLO("yolo26n", classNames(3)))
	require.NoError(t, err)
	defer m.Close()
	o, err := m.Optimizer(wildtrain.DefaultOptimizer("MuSGD"))
	require.NoError(t, err)
	defer o.Close()
	want := map[string]int{"weights": 96, "weights.cls": 30, "norms": 90, "norms.cls": 24, "biases": 96, "biases.cls": 30} // the peer's
	for _, g := range o.Groups() {
		require.Equal(t, want[g.Name], g.Parameters, g.Name)
		rate := 0.01
		if strings.HasSuffix(g.Name, ".cls") {
			rate = 0.03
		}
		require.InDelta(t, rate, g.LR, 1e-12, g.Name)
		delete(want, g.Name)
	}
	require.Empty(t, want)
}
