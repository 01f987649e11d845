package detection

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/detection/internal/toy"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

// suppressGolden is what testdata/suppress.py writes.
type suppressGolden struct {
	Boxes, Whole     [][4]float64
	Scores           []float64
	Classes          []int
	Hard             []int
	HardAgnostic     []int `json:"hard agnostic"`
	Linear, Gaussian [][2]float64
	GaussianAgnostic [][2]float64 `json:"gaussian agnostic"`
	Merged           map[string][][6]float64
}

func readSuppress(t *testing.T) suppressGolden {
	t.Helper()
	data, err := os.ReadFile("testdata/suppress.json")
	require.NoError(t, err)
	var g suppressGolden
	require.NoError(t, json.Unmarshal(data, &g))
	return g
}

// decodedOf writes boxes as a network's decoded output: a column each.
func decodedOf(boxes [][4]float64, scores []float64, classes []int, known int) []float32 {
	n := len(boxes)
	out := make([]float32, (4+known)*n)
	for i, b := range boxes {
		for k, v := range [4]float64{(b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]} {
			out[k*n+i] = float32(v)
		}
		out[(4+classes[i])*n+i] = float32(scores[i])
	}
	return out
}

// Every way of suppression keeps what its peer keeps, with its scores.
func TestSuppressionIsThePeers(t *testing.T) {
	g := readSuppress(t)
	whole := func(kept []int) (out [][2]float64) {
		for _, i := range kept {
			out = append(out, [2]float64{float64(i), g.Scores[i]})
		}
		return out
	}
	for name, c := range map[string]struct {
		method   Suppression
		agnostic bool
		want     [][2]float64
	}{
		"hard": {Hard, false, whole(g.Hard)}, "hard agnostic": {Hard, true, whole(g.HardAgnostic)},
		"linear": {Linear, false, g.Linear}, "gaussian": {Gaussian, false, g.Gaussian}, "gaussian agnostic": {Gaussian, true, g.GaussianAgnostic},
	} {
		t.Run(name, func(t *testing.T) {
			p := PredictPostprocess()
			p.Conf, p.IoU, p.Suppression, p.Agnostic = 0.05, 0.5, c.method, c.agnostic
			if c.method == Hard {
				p.Conf = 0
			}
			got := objects(p.detections(decodedOf(g.Boxes, g.Scores, g.Classes, 3), 3, len(g.Boxes)))
			require.Len(t, got, len(c.want))
			require.Less(t, len(got), len(g.Boxes), "something is suppressed")
			for k, w := range c.want {
				i := int(w[0])
				require.InDelta(t, w[1], got[k].Score, 1e-5, "place %d", k)
				require.Equal(t, g.Classes[i], got[k].Class)
				require.InDelta(t, g.Boxes[i][0], got[k].Box.X1, 1e-3)
				require.InDelta(t, g.Boxes[i][3], got[k].Box.Y2, 1e-3)
			}
			p.MaxDet = 7
			first := objects(p.detections(decodedOf(g.Boxes, g.Scores, g.Classes, 3), 3, len(g.Boxes)))
			require.Equal(t, got[:7], first)
		})
	}
}

func TestMergingIsThePeers(t *testing.T) {
	g := readSuppress(t)
	require.Len(t, g.Merged, 8)
	counts := map[int]bool{}
	for _, name := range slices.Sorted(maps.Keys(g.Merged)) {
		t.Run(name, func(t *testing.T) {
			how := strings.Fields(name)
			m := Merging{Method: MergeMethod(how[0]), Overlap: Overlap(how[1]), Threshold: 0.5, Agnostic: how[2] == "agnostic"}
			require.NoError(t, m.Validate())
			var all []Part
			for i, b := range g.Whole {
				all = append(all, Part{wildtrain.Object{Box: wildtrain.Box{X1: b[0], Y1: b[1], X2: b[2], Y2: b[3]}, Score: g.Scores[i], Class: g.Classes[i]}, true})
			}
			got, err := m.Merge(all)
			require.NoError(t, err)
			counts[len(got)] = true
			require.Len(t, got, len(g.Merged[name]))
			for k, w := range g.Merged[name] {
				require.InDelta(t, w[4], got[k].Score, 1e-6)
				require.Equal(t, wildtrain.Box{X1: w[0], Y1: w[1], X2: w[2], Y2: w[3]}, got[k].Box, "place %d", k)
				require.Equal(t, int(w[5]), got[k].Class)
			}
		})
	}
	require.Greater(t, len(counts), 2, "the settings make a difference")
}

// Masks of the parts of an animal become one.
func TestMergedMasksAreUnited(t *testing.T) {
	left := &wildtrain.Mask{Height: 2, Width: 4, Runs: []uint32{0, 4, 4}}
	right := &wildtrain.Mask{Height: 2, Width: 4, Runs: []uint32{2, 4, 2}}
	m := DefaultMerging()
	m.Threshold = 0.2
	parts := []Part{
		{wildtrain.Object{Box: wildtrain.Box{X2: 2, Y2: 2}, Score: 0.5, Mask: left}, false},
		{wildtrain.Object{Box: wildtrain.Box{X1: 1, X2: 3, Y2: 2}, Score: 0.9, Mask: right}, false},
	}
	got, err := m.Merge(slices.Clone(parts))
	require.NoError(t, err)
	require.Equal(t, []wildtrain.Object{parts[1].Object}, got, "both were seen whole: the better one stays")
	parts[0].Cut = true
	got, err = m.Merge(parts)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, &wildtrain.Mask{Height: 2, Width: 4, Runs: []uint32{0, 6, 2}}, got[0].Mask)
	require.Equal(t, 0.9, got[0].Score)
}

// A picture of one animal that was cut at any border of two tiles comes out whole.
func TestCutAnimalsComeOutWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := wildtrain.Box{X1: 100, Y1: 100, X2: 100 + rapid.Float64Range(20, 90).Draw(t, "w"), Y2: 140}
		border := rapid.Float64Range(whole.X1+2, whole.X2-2).Draw(t, "border")
		overlap := rapid.Float64Range(whole.Width(), 128).Draw(t, "overlap")
		var parts []Part
		for _, tile := range []wildtrain.Box{{X1: border - 640, Y2: 640, X2: border}, {X1: border - overlap, Y2: 640, X2: border + 640}} {
			if part := whole.Intersect(tile); part.Width() > 0 {
				parts = append(parts, Part{wildtrain.Object{Box: part, Score: part.Area() / whole.Area()}, part != whole})
			}
		}
		got, err := DefaultMerging().Merge(parts)
		if err != nil || len(got) != 1 || got[0].Box != whole {
			t.Fatalf("parts %v became %v, %v", parts, got, err)
		}
	})
}

func TestPostprocessSettingsAreChecked(t *testing.T) {
	p := PredictPostprocess()
	require.NoError(t, p.Validate())
	p.IoU, p.Overlap, p.Suppression = 1.5, "giou", "softer"
	err := p.Validate()
	for _, part := range []string{"overlap threshold 1.5", `"giou"`, `"softer"`} {
		require.ErrorContains(t, err, part)
	}
	p = PredictPostprocess()
	p.Suppression, p.Sigma = Gaussian, 0
	require.ErrorContains(t, p.Validate(), "sigma")
	require.ErrorContains(t, Merging{Method: "nms", Overlap: IoU, Threshold: math.NaN()}.Validate(), "threshold of merging")
}

// Scaled and mirrored views give the peer's output, anchor by anchor.
func TestAugmentedIsThePeers(t *testing.T) {
	golden, err := checkpoint.Open(goldens + "/augmented.safetensors")
	require.NoError(t, err)
	defer golden.Close()
	want, err := golden.Float32("decoded")
	require.NoError(t, err)
	info, _ := golden.Info("decoded")
	m := ruled(t, "yolov8n", 3, rule.Spread, nil)
	m.cfg.Postprocess.Augment = true
	err = torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		x := torch.Of(s, rule.Values("images", 2*3*96*128, 0.5, 0.5), 2, 3, 96, 128)
		got := m.decoded(x, m.net.forward(x))
		require.Equal(t, info.Shape, got.Shape())
		require.Less(t, torchtest.Worst(got.Float32s(nil), want), 1e-4)
		return s.Err()
	})
	require.NoError(t, err)
}

func TestAugmentedPredictionsLieInThePicture(t *testing.T) {
	m := small(t, nil)
	p := EvaluatePostprocess()
	p.Augment, p.Conf = true, 0
	m.Postprocess(p)
	b := toy.Batch(1, 2, 64, 2)
	found, err := m.Predict(context.Background(), b)
	require.NoError(t, err)
	require.Len(t, found, 2)
	for _, f := range found {
		require.NotEmpty(t, f.Objects)
		for _, o := range f.Objects {
			require.Equal(t, o.Box, o.Box.Clip(64, 64))
		}
	}
}
