package vision_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/torch/vision"
)

type roiGoldens struct {
	Map, Rois torchtest.Golden
	Align     []struct {
		Aligned   bool
		Sampling  int64
		Out, Grad torchtest.Golden
	}
	Levels struct {
		Boxes []torchtest.Golden
		Out   torchtest.Golden
	}
	Anchors, Octaves torchtest.Golden
	Coder            struct{ A, B, Encoded, Codes, Decoded torchtest.Golden }
	Linear           struct{ Encoded, Decoded torchtest.Golden }
	Match            struct {
		Truth, Found torchtest.Golden
		Low, Plain   []int64
	}
	Batched300, Batched1100 struct {
		Boxes, Scores, Classes torchtest.Golden
		Keep                   []int64
	}
}

func loadRoI(t testing.TB) (g roiGoldens) {
	torchtest.Load(t, "roi.json", &g)
	return g
}

// waves are cos(0), cos(1), …
func waves(s *torch.Scope, shape ...int64) *torch.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(math.Cos(float64(i)))
	}
	return torch.Of(s, data, shape...)
}

func TestRoIAlignEqualsTorchvision(t *testing.T) {
	g := loadRoI(t)
	for _, c := range g.Align {
		for _, d := range []torch.DType{torch.Double, torch.Float} {
			t.Run(fmt.Sprintf("aligned %v, sampling %d, %v", c.Aligned, c.Sampling, d), func(t *testing.T) {
				torchtest.Run(t, torch.Training, func(s *torch.Scope) {
					x := g.Map.Tensor(s, d)
					require.NoError(t, x.SetRequiresGrad(true))
					y := x.RoIAlign(g.Rois.Tensor(s, d), torch.RoIAlignOptions{Scale: 0.25, Height: 3, Width: 2, Sampling: c.Sampling, Aligned: c.Aligned})
					torchtest.Near(t, "out", y, c.Out, 1e-6)
					require.NoError(t, y.Mul(waves(s, y.Shape()...).To(d)).Sum().Backward())
					torchtest.Near(t, "gradient", s.Grad(x), c.Grad, 1e-6)
				})
			})
		}
	}
}

func TestRoIAlignGradCheck(t *testing.T) {
	x := make([]float64, 2*2*5*6)
	for i := range x {
		x[i] = math.Sin(float64(3 * i))
	}
	for _, o := range []torch.RoIAlignOptions{
		{Scale: 0.5, Height: 2, Width: 3, Aligned: true}, {Scale: 0.5, Height: 2, Width: 3}, {Scale: 1, Height: 2, Width: 2, Sampling: 2}, {Scale: 1, Height: 2, Width: 2, Sampling: 2, Aligned: true},
	} {
		torchtest.GradCheck(t, func(x *torch.Tensor) *torch.Tensor {
			rois := torch.Of(x.Scope(), []float64{0, 1.2, 0.7, 8.1, 9.3, 1, -3, 2, 4, 20, 1, 2, 2, 2, 2}, 3, 5)
			return x.View(2, 2, 5, 6).RoIAlign(rois, o).Square()
		}, x, 1e-6)
	}
}

func TestRoIAlignRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		rois  []float32
		shape []int64
		want  string
	}{
		"of no picture": {[]float32{2, 0, 0, 1, 1}, []int64{1, 5}, "not among the 2"},
		"four numbers":  {[]float32{0, 0, 1, 1}, []int64{1, 4}, "(K, 5)"},
	} {
		t.Run(name, func(t *testing.T) {
			err := torch.Run(t.Context(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
				s.Zeros(torch.Float, 2, 1, 4, 4).RoIAlign(torch.Of(s, c.rois, c.shape...), torch.RoIAlignOptions{Scale: 1, Height: 1, Width: 1})
				return s.Err()
			})
			require.ErrorContains(t, err, c.want)
		})
	}
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		none := s.Zeros(torch.Float, 2, 1, 4, 4).RoIAlign(s.Zeros(torch.Float, 0, 5), torch.RoIAlignOptions{Scale: 1, Height: 2, Width: 2})
		require.Equal(t, []int64{0, 1, 2, 2}, none.Shape())
	})
}

func TestPoolingEqualsTorchvision(t *testing.T) {
	g := loadRoI(t)
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		maps := make([]*torch.Tensor, 4)
		for i := range maps {
			maps[i] = waves(s, 2, 3, 64>>i, 96>>i)
		}
		var parts []*torch.Tensor
		var pictures []int64
		for i, b := range g.Levels.Boxes {
			parts = append(parts, b.Tensor(s, torch.Float))
			for range b.Shape[0] {
				pictures = append(pictures, int64(i))
			}
		}
		p := vision.Pooling{Size: 2, Sampling: 2}
		got := p.Pool(maps, vision.Scales(maps, 256), torch.Cat(parts, 0), pictures)
		torchtest.Near(t, "regions", got, g.Levels.Out, 1e-5)
		require.Equal(t, []int64{0, 3, 2, 2}, p.Pool(maps, vision.Scales(maps, 256), s.Zeros(torch.Float, 0, 4), nil).Shape())
	})
}

func TestAnchorsEqualTorchvision(t *testing.T) {
	g := loadRoI(t)
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		maps := []*torch.Tensor{s.Zeros(torch.Float, 1, 1, 8, 12), s.Zeros(torch.Float, 1, 1, 4, 6)}
		a := vision.Anchors{Sizes: [][]float64{{32}, {64}}, Ratios: []float64{0.5, 1, 2}}
		grid, err := a.Grid(64, 96, maps)
		require.NoError(t, err)
		torchtest.Near(t, "one size per level", torch.Cat(grid, 0), g.Anchors, 0)
		require.Equal(t, int64(3), a.PerCell())
		a.Sizes = [][]float64{{32, 40, 50}}
		grid, err = a.Grid(64, 96, maps[1:])
		require.NoError(t, err)
		torchtest.Near(t, "three sizes", grid[0], g.Octaves, 0)
		_, err = a.Grid(64, 96, maps)
		require.ErrorContains(t, err, "1 levels, 2 maps")
	})
}

func TestCodingEqualsTorchvision(t *testing.T) {
	g := loadRoI(t)
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		a, b, codes := g.Coder.A.Tensor(s, torch.Float), g.Coder.B.Tensor(s, torch.Float), g.Coder.Codes.Tensor(s, torch.Float)
		c := vision.Coder{X: 10, Y: 10, W: 5, H: 5}
		torchtest.Near(t, "encode", c.Encode(a, b), g.Coder.Encoded, 1e-6)
		torchtest.Near(t, "decode", c.Decode(codes, b).Squeeze(1), g.Coder.Decoded, 1e-6)
		torchtest.Near(t, "distances", vision.Distances(b, a), g.Linear.Encoded, 1e-6)
		torchtest.Near(t, "from distances", vision.FromDistances(codes.Abs(), a), g.Linear.Decoded, 1e-6)
	})
}

func TestMatchingEqualsTorchvision(t *testing.T) {
	g := loadRoI(t)
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		truth, found := g.Match.Truth.Tensor(s, torch.Float), g.Match.Found.Tensor(s, torch.Float)
		got, err := vision.Matcher{High: 0.7, Low: 0.3, LowQuality: true}.Match(truth, found)
		require.NoError(t, err)
		require.Equal(t, g.Match.Low, got)
		got, err = vision.Matcher{High: 0.5, Low: 0.5}.Match(truth, found)
		require.NoError(t, err)
		require.Equal(t, g.Match.Plain, got)

		// without objects all is background; an object that nothing overlaps claims nothing
		got, err = vision.Matcher{High: 0.5, Low: 0.5}.Match(s.Zeros(torch.Float, 0, 4), found.Narrow(0, 0, 2))
		require.NoError(t, err)
		require.Equal(t, []int64{vision.Background, vision.Background}, got)
		far := torch.Of(s, []float32{900, 900, 910, 910}, 1, 4)
		got, err = vision.Matcher{High: 0.7, Low: 0.3, LowQuality: true}.Match(far, found.Narrow(0, 0, 2))
		require.NoError(t, err)
		require.Equal(t, []int64{vision.Background, vision.Background}, got)
	})
}

func TestSampler(t *testing.T) {
	matches := []int64{3, vision.Background, vision.Between, 0, vision.Background, 1, 2}
	last := func(n, k int) []int {
		out := make([]int, k)
		for i := range out {
			out[i] = n - 1 - i
		}
		return out
	}
	objects, background := vision.Sampler{Count: 4, Positive: 0.5}.Sample(matches, last)
	require.Equal(t, []int64{5, 6}, objects)
	require.Equal(t, []int64{1, 4}, background)
	objects, background = vision.Sampler{Count: 5, Positive: 1}.Sample(matches, last)
	require.Equal(t, []int64{0, 3, 5, 6}, objects, "too few objects leave room for background")
	require.Equal(t, []int64{4}, background)
}

func TestBatchedNMSEqualsTorchvision(t *testing.T) {
	g := loadRoI(t)
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		few, many := g.Batched300, g.Batched1100
		got := vision.BatchedNMS(few.Boxes.Tensor(s, torch.Float), few.Scores.Tensor(s, torch.Float), few.Classes.Tensor(s, torch.Int64), 0.5, 0)
		require.Equal(t, few.Keep, got.Int64s(nil))
		got = vision.BatchedNMS(many.Boxes.Tensor(s, torch.Float), many.Scores.Tensor(s, torch.Float), many.Classes.Tensor(s, torch.Int64), 0.5, 20)
		require.Equal(t, many.Keep[:20], got.Int64s(nil))
	})
}
