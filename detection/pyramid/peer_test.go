package pyramid_test

import (
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
	"github.com/wildtrain/sdk/detection/dense"
	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/detection/rcnn"
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

const goldens = "../../parity/testdata/detectors"

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "class" + strconv.Itoa(i)
	}
	return out
}

// build makes a detector of either package.
func build(t testing.TB, name string, classes int, change func(*pyramid.Config)) *pyramid.Detector {
	t.Helper()
	var m *pyramid.Detector
	if _, ok := rcnn.Canonical(name); ok {
		c, err := rcnn.Default(name, names(classes))
		require.NoError(t, err)
		change(&c.Config)
		m, err = rcnn.New(c)
		require.NoError(t, err)
	} else {
		c, err := dense.Default(name, names(classes))
		require.NoError(t, err)
		change(&c.Config)
		m, err = dense.New(c)
		require.NoError(t, err)
	}
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// detector is the rule of parity/detectors.py.
func detector(name string, shape []int64) (centre, half float64) {
	ends := func(suffixes ...string) bool {
		return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
	}
	switch {
	case strings.HasPrefix(name, "backbone.body.") && ends(".bn2.weight", ".bn3.weight", ".3.1.weight"):
		return 0.25, 0.125
	case ends("bbox_pred.weight", "bbox_reg.weight", "bbox_ctrness.weight"):
		fan := int64(1)
		for _, d := range shape[1:] {
			fan *= d
		}
		return 0, 0.1 * math.Sqrt(3/float64(fan))
	case ends("bbox_pred.bias", "bbox_reg.bias"):
		return 0, 0.1
	}
	return rule.Spread(name, shape)
}

// about is what the goldens' metadata say.
type about struct {
	Model     string                `json:"model"`
	Classes   int                   `json:"classes"`
	Images    []int64               `json:"images"`
	MinSize   int                   `json:"min_size"`
	MaxSize   int                   `json:"max_size"`
	Losses    map[string]float64    `json:"losses"`
	Gradients map[string][2]float64 `json:"gradients"`
}

func (a about) images(s *torch.Scope) *torch.Tensor {
	n := 1
	for _, d := range a.Images {
		n *= int(d)
	}
	return torch.Of(s, rule.Values("images", n, 0.5, 0.5), a.Images...)
}

// samples are the objects of parity/detectors.py.
func (a about) samples(t *testing.T) []wildtrain.Sample {
	boxes := [][][4]float64{{{6, 5, 50, 40}, {30, 20, 80, 60}, {4, 30, 20, 58}}, {{20, 8, 60, 50}}, {}}
	labels := [][]int{{0, 2, 1}, {2}, {}}
	out := make([]wildtrain.Sample, a.Images[0])
	h, w := int(a.Images[2]), int(a.Images[3])
	for i := range out {
		out[i] = wildtrain.Sample{ID: strconv.Itoa(i), Height: h, Width: w, Place: wildtrain.Identity}
		for k, b := range boxes[i%3] {
			pixels := make([]byte, h*w)
			for y := int(b[1]); y < int(b[3]); y++ {
				for x := int(b[0]); x < int(b[2]); x++ {
					if y >= int(b[1]+b[3])/2 || x >= int(b[0]+b[2])/2 {
						pixels[y*w+x] = 1
					}
				}
			}
			m, err := rle.Encode(h, w, pixels)
			require.NoError(t, err)
			out[i].Objects = append(out[i].Objects, wildtrain.Object{
				Box: wildtrain.Box{X1: b[0], Y1: b[1], X2: b[2], Y2: b[3]}, Class: labels[i%3][k], Mask: (*wildtrain.Mask)(m),
			})
		}
	}
	return out
}

func eachGolden(t *testing.T, fn func(t *testing.T, a about, golden *checkpoint.File, m *pyramid.Detector)) {
	files, err := filepath.Glob(filepath.Join(goldens, "*.safetensors"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		golden, err := checkpoint.Open(file)
		require.NoError(t, err)
		var a about
		require.NoError(t, json.Unmarshal([]byte(golden.Metadata()["about"]), &a))
		t.Run(a.Model, func(t *testing.T) {
			m := build(t, a.Model, a.Classes, func(c *pyramid.Config) {
				c.Transform.MinSize, c.Transform.MaxSize = a.MinSize, a.MaxSize
			})
			require.NoError(t, m.Store().Load(rule.State{Like: m.State(), Rule: detector}).Err())
			fn(t, a, golden, m)
		})
		require.NoError(t, golden.Close())
	}
}

// Raw outputs, detections, losses and gradients are torchvision's.
func TestEqualsTorchvision(t *testing.T) {
	eachGolden(t, func(t *testing.T, a about, golden *checkpoint.File, m *pyramid.Detector) {
		t.Run("forward", func(t *testing.T) { forward(t, a, golden, m) })
		t.Run("loss", func(t *testing.T) { loss(t, a, m) })
	})
}

func forward(t *testing.T, a about, golden *checkpoint.File, m *pyramid.Detector) {
	err := torch.Run(t.Context(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		out, err := m.Forward(s, a.images(s))
		if err != nil {
			return err
		}
		for _, name := range golden.Names() {
			if strings.Contains(name, ".") {
				continue
			}
			require.Contains(t, out, name)
			info, _ := golden.Info(name)
			require.Equal(t, info.Shape, out[name].Shape(), name)
			want, err := golden.Float32(name)
			require.NoError(t, err)
			require.Less(t, torchtest.Worst(out[name].Float32s(nil), want), 1e-4, name)
		}
		for i := range a.Images[0] {
			compare(t, fmt.Sprint(i), out, golden)
		}
		return s.Err()
	})
	require.NoError(t, err)
}

// compare pairs detections: every one of the peer's, but those whose score is tied
// with the last, has one of ours of the same label, score and place.
func compare(t *testing.T, picture string, out map[string]*torch.Tensor, golden *checkpoint.File) {
	t.Helper()
	read := func(name string) []float32 {
		v, err := golden.Float32(picture + "." + name)
		require.NoError(t, err)
		return v
	}
	boxes, scores := read("boxes"), read("scores")
	raw, err := golden.Bytes(picture + ".labels")
	require.NoError(t, err)
	ours, ourScores, labels := out[picture+".boxes"].Float32s(nil), out[picture+".scores"].Float32s(nil), out[picture+".labels"].Int64s(nil)
	require.InDelta(t, len(scores), len(ourScores), 2, picture)
	box := func(b []float32, i int) wildtrain.Box {
		return wildtrain.Box{X1: float64(b[4*i]), Y1: float64(b[4*i+1]), X2: float64(b[4*i+2]), Y2: float64(b[4*i+3])}
	}
	const band = 1e-4
	for i, score := range scores {
		if score < scores[len(scores)-1]+band {
			break
		}
		found := slices.ContainsFunc(seq(len(ourScores)), func(k int) bool {
			return labels[k] == int64(raw[8*i]) && math.Abs(float64(ourScores[k]-score)) < band &&
				(box(ours, k).IoU(box(boxes, i)) > 0.999 || near(ours[4*k:4*k+4], boxes[4*i:4*i+4])) // FCOS' may be as good as empty
		})
		require.True(t, found, "%s: detection %d of score %v", picture, i, score)
	}
	if masks, ok := out[picture+".masks"]; ok {
		want := read("masks") // of the first two
		require.Less(t, torchtest.Worst(masks.Narrow(0, 0, 2).Float32s(nil), want), 1e-3)
	}
}

// near tells boxes whose corners differ by a hundredth of a pixel at most.
func near(a, b []float32) bool {
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 0.01 {
			return false
		}
	}
	return true
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func loss(t *testing.T, a about, m *pyramid.Detector) {
	parts, err := m.Learn(a.images, a.samples(t))
	require.NoError(t, err)
	keys := m.Losses()
	require.Len(t, keys, len(a.Losses)+1)
	total := 0.0
	for i, k := range keys[1:] {
		require.InEpsilon(t, a.Losses[k], parts[i+1], 1e-4, k)
		total += a.Losses[k]
	}
	require.InEpsilon(t, total, parts[0], 1e-4)
	err = torch.Run(t.Context(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		for name, want := range a.Gradients {
			e, ok := m.Store().Lookup(name)
			require.True(t, ok, name)
			g := s.Grad(e.Tensor)
			if g == nil {
				require.Zero(t, want[1], name)
				continue
			}
			var dot, norm float64
			values := g.Float32s(nil)
			for i, p := range rule.Values(name, len(values), 0, 1) {
				dot, norm = dot+float64(values[i])*float64(p), norm+float64(values[i])*float64(values[i])
			}
			norm = math.Sqrt(norm)
			require.InDelta(t, want[1], norm, 1e-3*want[1]+1e-9, "norm of the gradient of %s", name)
			require.InDelta(t, want[0], dot, 2e-3*want[1]+1e-9, "gradient of %s", name)
		}
		return s.Err()
	})
	require.NoError(t, err)
}

func TestKeysAndParametersEqualTorchvision(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(goldens, "parameters.json"))
	require.NoError(t, err)
	var listing struct{ Parameters map[string]int64 }
	require.NoError(t, json.Unmarshal(raw, &listing))
	require.NotEmpty(t, listing.Parameters)
	for name, want := range listing.Parameters {
		classes := 91
		if strings.HasPrefix(name, "faster") || strings.HasPrefix(name, "mask") {
			classes--
		}
		m := build(t, name, classes, func(*pyramid.Config) {})
		require.Equal(t, want, m.Describe().Parameters, name)
		list, err := os.ReadFile(filepath.Join(goldens, name+".keys.txt"))
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		var have strings.Builder
		for _, key := range m.State().Names() {
			info, _ := m.State().Info(key)
			fmt.Fprintf(&have, "%s %s\n", key, strings.ReplaceAll(fmt.Sprint(info.Shape), " ", ", "))
		}
		require.Equal(t, string(list), have.String(), name)
	}
}
