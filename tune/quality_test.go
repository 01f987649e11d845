package tune

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// bestOf is the best value of a sampler on a function of floats x0 … x(d−1).
func bestOf(t *testing.T, s Sampler, trials, d int, low, high float64, f func([]float64) float64) float64 {
	t.Helper()
	study, err := Create(context.Background(), NewMemory(), "q", Options{Sampler: s})
	require.NoError(t, err)
	names := []string{"x0", "x1", "x2", "x3", "x4", "x5"}
	err = study.Optimize(context.Background(), Plan{Trials: trials}, func(ctx context.Context, l *Live) ([]float64, error) {
		x := make([]float64, d)
		for i := range x {
			var err error
			if x[i], err = l.Float(names[i], low, high, false); err != nil {
				return nil, err
			}
		}
		return []float64{f(x)}, nil
	})
	require.NoError(t, err)
	best, err := study.Best(context.Background())
	require.NoError(t, err)
	return best.Values[0]
}

func sphere(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return sum
}

func TestSamplersBeatRandom(t *testing.T) {
	for _, c := range []struct {
		name   string
		make   func(seed uint64) Sampler
		trials int
		most   float64 // of what random search reaches
	}{
		{"tpe", func(seed uint64) Sampler { return NewTPE(seed) }, 150, 0.3},
		{"cmaes", func(seed uint64) Sampler { return NewCMAES(seed) }, 300, 1e-4},
		{"separable cmaes", func(seed uint64) Sampler { s := NewCMAES(seed); s.Separable = true; return s }, 300, 1e-4},
		{"nsga2", func(seed uint64) Sampler { return NewNSGA2(seed) }, 300, 0.5},
		{"gp", func(seed uint64) Sampler { s := NewGP(seed); s.Candidates = 256; return s }, 40, 0.01},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours, random := 0.0, 0.0
			for seed := range uint64(3) {
				ours += bestOf(t, c.make(seed), c.trials, 4, -5, 5, sphere)
				random += bestOf(t, NewRandom(seed), c.trials, 4, -5, 5, sphere)
			}
			t.Logf("%.3g of %.3g", ours/3, random/3)
			require.Less(t, ours, c.most*random)
		})
	}
}

func TestSobolPoints(t *testing.T) {
	// the first points of the unscrambled sequence in two and three dimensions,
	// in Gray code order: Joe and Kuo's own program
	s := newSobol(3, nil)
	want := [][]float64{{0, 0, 0}, {0.5, 0.5, 0.5}, {0.75, 0.25, 0.25}, {0.25, 0.75, 0.75}, {0.375, 0.375, 0.625}, {0.875, 0.875, 0.125}, {0.625, 0.125, 0.875}, {0.125, 0.625, 0.375}}
	for i, w := range want {
		require.Equal(t, w, s.point(uint32(i)))
	}
	// scrambled, every interval of length 1/256 holds one of 256 points
	scrambled := newSobol(sobolDimensions, newStream(3))
	for d := range sobolDimensions {
		seen := map[int]bool{}
		for i := range uint32(256) {
			seen[int(scrambled.point(i)[d]*256)] = true
		}
		require.Len(t, seen, 256, "dimension %d", d)
	}
}

func TestGridAndBruteForce(t *testing.T) {
	ctx := context.Background()
	space := Space{Params: []SpaceParam{{Name: "a", Dist: Int{1, 3, false, 1}}, {Name: "b", Dist: Categorical{[]any{"x", "y"}}}}}
	grid, err := GridOf(space, 1)
	require.NoError(t, err)
	for name, s := range map[string]Sampler{"grid": grid, "brute force": NewBruteForce(1)} {
		study, err := Create(ctx, NewMemory(), name, Options{Sampler: s})
		require.NoError(t, err)
		seen := map[[2]any]bool{}
		err = study.Optimize(ctx, Plan{Trials: 100}, func(ctx context.Context, l *Live) ([]float64, error) {
			v, err := l.SuggestAll(ctx, space)
			seen[[2]any{v["a"], v["b"]}] = true
			return []float64{0}, err
		})
		require.NoError(t, err)
		v, err := study.View(ctx)
		require.NoError(t, err)
		require.Len(t, seen, 6, name)
		require.Len(t, v.Trials, 6, name)
	}
	_, err = GridOf(Space{Params: []SpaceParam{{Name: "c", Dist: Float{0, 1, false, 0}}}}, 1)
	require.ErrorContains(t, err, "without steps")
}
