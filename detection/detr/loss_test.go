package detr

import (
	"context"
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

// lossTargets are TARGETS of parity/detr_forward.py.
var lossTargets = [][]target{
	{{1, [4]float64{.3, .4, .25, .3}}, {4, [4]float64{.7, .6, .2, .5}}, {0, [4]float64{.52, .5, .9, .06}}},
	{{2, [4]float64{.45, .55, .6, .7}}},
}

// asSamples are targets as objects of pictures of h×w px.
func asSamples(ts [][]target, h, w int) []wildtrain.Sample {
	out := make([]wildtrain.Sample, len(ts))
	for i := range ts {
		out[i] = wildtrain.Sample{ID: fmt.Sprint(i), Width: w, Height: h, Place: wildtrain.Identity}
		for _, t := range ts[i] {
			b := wildtrain.BoxCXCYWH(t.box[0]*float64(w), t.box[1]*float64(h), t.box[2]*float64(w), t.box[3]*float64(h))
			out[i].Objects = append(out[i].Objects, wildtrain.Object{Box: b, Class: t.class})
		}
	}
	return out
}

// byRule are answers of three layers to two pictures.
func byRule(s *torch.Scope, kind string, width int64) []answers {
	tensor := func(part string, i int, n int64, centre, half float64) *torch.Tensor {
		return torch.Of(s, rule.Values(fmt.Sprintf("%s.%s%d", kind, part, i), int(40*n), centre, half), 2, 20, n)
	}
	var out []answers
	for i := range 3 {
		out = append(out, answers{logits: tensor("logits", i, width, 0, 3), boxes: tensor("boxes", i, 4, 0.5, 0.45)})
	}
	return out
}

func relative(t *testing.T, want, got []float64, tol float64) {
	t.Helper()
	require.Len(t, got, len(want)+1)
	sum := 0.0
	for i, w := range want {
		require.LessOrEqual(t, math.Abs(got[i+1]-w), tol*math.Abs(w), "%s: %g, want %g", lossNames[i+1], got[i+1], w)
		sum += w
	}
	require.LessOrEqual(t, math.Abs(got[0]-sum), tol*math.Abs(sum), "%s: %g, want %g", lossNames[0], got[0], sum)
}

func floats64(t *testing.T, f *checkpoint.File, name string) []float64 {
	t.Helper()
	v, err := checkpoint.Float32(f, name)
	require.NoError(t, err)
	out := make([]float64, len(v))
	for i := range v {
		out[i] = float64(v[i])
	}
	return out
}

func TestSetLossEqualsTransformers(t *testing.T) {
	f, err := checkpoint.Open(filepath.Join(goldens, "loss.safetensors"))
	require.NoError(t, err)
	defer f.Close()
	for _, c := range []struct {
		kind   string
		family Family
		width  int64
		class  float64 // the library's weight of the class loss, where it is not the authors'
	}{{"detr", DETR, classes + 1, 1}, {"deformable", Deformable, classes, 1}} {
		for name, ts := range map[string][][]target{"some": lossTargets, "none": {nil, nil}} {
			t.Run(c.kind+" "+name, func(t *testing.T) {
				err := torch.Run(context.Background(), torch.CPU, torch.Training, func(s *torch.Scope) error {
					l := defaultLoss(c.family)
					l.Class, l.Match.Class = c.class, 1
					packed, err := l.loss(outputs{layers: byRule(s, c.kind, c.width)}, ts, nil)
					if err != nil {
						return err
					}
					relative(t, floats64(t, f, c.kind+"."+name), packed.Float64s(nil), 1e-4)
					return s.Err()
				})
				require.NoError(t, err)
			})
		}
	}
}

// ruledDraws are the numbers that parity/detr_forward.py gives the peer.
func ruledDraws(count int) draws {
	half := func(name string, n int) []float32 {
		h := rule.Hash(name)
		out := make([]float32, n)
		for i := range out {
			out[i] = float32((rule.Unit(h, i) + 1) / 2)
		}
		return out
	}
	return draws{replace: half("dn.replace", count), class: half("dn.class", count), sign: half("dn.sign", 4*count), part: half("dn.part", 4*count)}
}

// Denoising queries, query selection, auxiliary losses and matching in one: RT-DETR
// in training, with the peer's noise.
func TestTrainingLossEqualsTransformers(t *testing.T) {
	for _, name := range []string{"rtdetr-r18", "rtdetr-r50"} {
		for part, ts := range map[string][][]target{"train": lossTargets, "empty": {nil, nil}} {
			t.Run(name+" "+part, func(t *testing.T) {
				g := openGolden(t, name)
				m := peerModel(t, name, g.weights)
				err := torch.Run(context.Background(), torch.CPU, torch.Training, func(s *torch.Scope) error {
					packed, _, err := m.losses(s, wildtrain.NewBatch(pixels("images", 2, 96, 128), asSamples(ts, 96, 128), nil), ruledDraws)
					if err != nil {
						return err
					}
					relative(t, floats64(t, g.File, part+".parts"), packed.Float64s(nil), 1e-4)
					return s.Err()
				})
				require.NoError(t, err)
			})
		}
	}
}

func TestPostprocessEqualsTransformers(t *testing.T) {
	f, err := checkpoint.Open(filepath.Join(goldens, "postprocess.safetensors"))
	require.NoError(t, err)
	defer f.Close()
	for _, c := range []struct {
		name  string
		kind  Kind
		width int64
		most  int
	}{{"detr", CrossEntropy, classes + 1, 0}, {"deformable", Focal, classes, 100}, {"rtdetr", Varifocal, classes, 40}} {
		t.Run(c.name, func(t *testing.T) {
			err := torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
				a := answers{
					logits: torch.Of(s, rule.Values("post."+c.name+".logits", int(80*c.width), 0, 4), 2, 40, c.width),
					boxes:  torch.Of(s, rule.Values("post."+c.name+".boxes", 320, 0.5, 0.45), 2, 40, 4),
				}
				got, err := Postprocess{Conf: 0.3, MaxDet: c.most}.detections(c.kind, a)
				if err != nil {
					return err
				}
				for i, picture := range []size{{480, 640}, {333, 500}} {
					want := peerDetections(t, f, fmt.Sprintf("%s.%d.", c.name, i))
					require.Greater(t, len(want), 5)
					have := listed(got[i].scores, got[i].labels, got[i].scaled(picture[0], picture[1]))
					require.Len(t, have, len(want))
					for _, d := range have {
						require.Contains(t, want, d)
					}
				}
				return s.Err()
			})
			require.NoError(t, err)
		})
	}
}

// detected is one detection, its score in steps of 2⁻²², where two versions of
// libtorch agree on sigmoid and softmax.
type detected struct {
	score int
	label int64
	box   [4]float32
}

func listed(scores []float32, labels []int64, boxes []float32) []detected {
	var out []detected
	for i := range scores {
		out = append(out, detected{int(math.Round(float64(scores[i]) * (1 << 22))), labels[i], [4]float32(boxes[4*i : 4*i+4])})
	}
	return out
}

func peerDetections(t *testing.T, f *checkpoint.File, prefix string) []detected {
	t.Helper()
	read := func(name string) []float32 {
		v, err := checkpoint.Float32(f, prefix+name)
		require.NoError(t, err)
		return v
	}
	var labels []int64
	for _, l := range read("labels") {
		labels = append(labels, int64(l))
	}
	return listed(read("scores"), labels, read("boxes"))
}
