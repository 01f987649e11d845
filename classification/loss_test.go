package classification

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

func golden(t *testing.T, name string) *checkpoint.File {
	t.Helper()
	f, err := checkpoint.Open("testdata/" + name)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func floats(t *testing.T, f *checkpoint.File, name string) []float32 {
	t.Helper()
	v, err := f.Float32(name)
	require.NoError(t, err)
	return v
}

// Values and gradients of every loss equal PyTorch's and torchvision's.
func TestLossesEqualPyTorch(t *testing.T) {
	f := golden(t, "losses.safetensors")
	var cases []string
	require.NoError(t, json.Unmarshal([]byte(f.Metadata()["cases"]), &cases))
	require.Len(t, cases, 48)
	var counts []int
	require.NoError(t, json.Unmarshal([]byte(f.Metadata()["counts"]), &counts))
	for _, name := range cases {
		t.Run(name, func(t *testing.T) {
			parts := strings.Split(name, "/")
			l := DefaultLoss()
			l.Kind, l.Weights, l.Counts, l.Beta = parts[1], parts[3], counts, 0.99
			l.Smoothing, _ = strconv.ParseFloat(parts[2], 64)
			multi := parts[0] == "multi"
			if !multi {
				l.Gamma = 1.5
			}
			require.NoError(t, l.validate(5, multi))
			loss, grad := lossOf(t, l, floats(t, f, "logits"), targetsOf(t, f, parts[0]), multi)
			require.InEpsilon(t, floats(t, f, name+"/loss")[0], loss, 1e-5)
			require.LessOrEqual(t, torchtest.Worst(grad, floats(t, f, name+"/grad")), 1e-5)
		})
	}
}

// targetsOf makes samples of the golden's targets and lets a model read them.
func targetsOf(t *testing.T, f *checkpoint.File, kind string) targets {
	const n, k = 12, 5
	m := &Classifier{cfg: Config{Classes: make([]string, k), MultiLabel: kind == "multi"}, background: -1}
	rows := map[string]string{"mixed": "mixed", "multi": "labels"}
	samples := make([]wildtrain.Sample, n)
	for i := range samples {
		if kind == "index" {
			class := int(floats(t, f, "index")[i])
			samples[i].Targets = []wildtrain.Target{{Class: class, Weight: 1}}
			continue
		}
		for c, w := range floats(t, f, rows[kind])[i*k : (i+1)*k] {
			if w > 0 {
				samples[i].Targets = append(samples[i].Targets, wildtrain.Target{Class: c, Weight: w})
			}
		}
	}
	got, err := m.read(samples)
	require.NoError(t, err)
	require.Equal(t, kind == "index", got.class != nil)
	return got
}

func lossOf(t *testing.T, l Loss, logits []float32, want targets, multi bool) (loss float64, grad []float32) {
	err := torch.Run(context.Background(), torch.CPU, torch.Training, func(s *torch.Scope) error {
		x := torch.Of(s, logits, 12, 5)
		if err := x.SetRequiresGrad(true); err != nil {
			return err
		}
		var weight *torch.Tensor
		if w := l.ClassWeights(); w != nil {
			weight = torch.Of(s, w, 5)
		}
		v := l.loss(x, want, weight, multi)
		if err := v.Backward(); err != nil {
			return err
		}
		loss, grad = v.Detach().Item(), s.Grad(x).Float32s(nil)
		return s.Err()
	})
	require.NoError(t, err)
	return loss, grad
}

func TestClassWeights(t *testing.T) {
	l := Loss{Weights: Balanced, Counts: []int{10, 30, 0, 20}}
	require.InDeltaSlice(t, []float32{2, 2.0 / 3, 0, 1}, l.ClassWeights(), 1e-6, "60/(3·n); a class without samples weighs nothing")
	l.Weights, l.Beta = ClassBalanced, 0
	require.InDeltaSlice(t, []float32{1, 1, 0, 1}, l.ClassWeights(), 1e-6, "β = 0 makes all samples equal to one")
	l.Weights = Unweighted
	require.Nil(t, l.ClassWeights())
}

func TestTargetsThatMakeNoSense(t *testing.T) {
	m := &Classifier{cfg: Config{Classes: []string{"a", "b"}}, background: -1}
	read := func(targets ...wildtrain.Target) error {
		_, err := m.read([]wildtrain.Sample{{ID: "x.jpg", Targets: targets}})
		return err
	}
	require.ErrorContains(t, read(), "sample x.jpg: the weights of its 0 classes sum to 0")
	require.ErrorContains(t, read(wildtrain.Target{Class: 2, Weight: 1}), "class 2 of 2")
	require.ErrorContains(t, read(wildtrain.Target{Class: 0, Weight: 1}, wildtrain.Target{Class: 1, Weight: 1}), "multi_label")
	require.NoError(t, read(wildtrain.Target{Class: 0, Weight: 0.25}, wildtrain.Target{Class: 1, Weight: 0.75}))
	m.background = 1
	got, err := m.read(make([]wildtrain.Sample, 2))
	require.NoError(t, err)
	require.Equal(t, []int64{1, 1}, got.class, "a picture without target is background")
}
