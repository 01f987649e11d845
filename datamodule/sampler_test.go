package datamodule

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

// crowd makes a population: labels of each sample, by class index.
func crowd(classes []string, labels ...[]int) population {
	return population{
		n: len(labels), classes: classes,
		labels:     func(i int, into []int) []int { return append(into, labels[i]...) },
		negative:   func(i int) bool { return len(labels[i]) == 0 },
		difficulty: func(i int) float64 { return float64(i) / float64(len(labels)) },
		names:      func(i int) []string { return []string{fmt.Sprintf("set/%d.jpg", i), fmt.Sprintf("/data/%d.jpg", i)} },
	}
}

// herd has 60 samples of class a, 20 of b, 10 of c, 5 of d and 50 negatives.
func herd() population {
	var labels [][]int
	for class, n := range []int{60, 20, 10, 5} {
		for range n {
			labels = append(labels, []int{class})
		}
	}
	for range 50 {
		labels = append(labels, nil)
	}
	return crowd([]string{"a", "b", "c", "d"}, labels...)
}

func sampled(t *testing.T, p population, change func(*Config)) *sampler {
	t.Helper()
	c := Config{Common: Common{Sampler: DefaultSampler(), Curriculum: DefaultCurriculum(), Seed: 7}}
	change(&c)
	require.NoError(t, c.Sampler.Validate())
	require.NoError(t, c.Curriculum.Validate())
	s, err := newSampler(p, c)
	require.NoError(t, err)
	return s
}

// tally counts an order by class, negatives last.
func tally(p population, order []int) []int { return p.count(order) }

func TestShuffleHoldsEverySampleOnce(t *testing.T) {
	p := herd()
	s := sampled(t, p, func(*Config) {})
	one, again, two := s.order(3, 10), s.order(3, 10), s.order(4, 10)
	assert.Equal(t, one, again, "by seed and epoch only")
	assert.NotEqual(t, one, two)
	slices.Sort(one)
	assert.Equal(t, s.pool, one)
	assert.Equal(t, s.pool, sampled(t, p, func(c *Config) { c.Sampler.Order = OrderSequential }).order(0, 10))
}

func TestRebalance(t *testing.T) {
	p := herd()
	// Without the extremes the mean of 60, 20, 10, 5 is 15; with them 23; the least is 5.
	for _, tt := range []struct {
		name    string
		method  string
		exclude bool
		want    []int
	}{
		{"mean without extremes", RebalanceMean, true, []int{15, 15, 10, 5, 50}},
		{"mean", RebalanceMean, false, []int{23, 20, 10, 5, 50}},
		{"min", RebalanceMin, true, []int{5, 5, 5, 5, 50}},
	} {
		s := sampled(t, p, func(c *Config) { c.Sampler.Rebalance, c.Sampler.ExcludeExtremes = tt.method, tt.exclude })
		assert.Equal(t, tt.want, tally(p, s.order(0, 10)), tt.name)
		seen := map[int]bool{}
		for epoch := range 200 {
			for _, i := range s.order(epoch, 200) {
				seen[i] = true
			}
		}
		assert.Len(t, seen, p.n, "%s: what one epoch leaves out another one holds", tt.name)
	}
	two := crowd([]string{"a", "b"}, []int{0}, []int{0}, []int{0}, []int{1})
	assert.Equal(t, []int{2, 1, 0}, tally(two, sampled(t, two, func(c *Config) { c.Sampler.Rebalance = RebalanceMean }).order(0, 1)), "of two classes neither is extreme")
	// A picture with both counts for the rarer class.
	both := crowd([]string{"a", "b"}, []int{0}, []int{0, 0, 1}, []int{0}, []int{0})
	got := sampled(t, both, func(c *Config) { c.Sampler.Rebalance = RebalanceMin }).order(0, 1)
	assert.Len(t, got, 2)
	assert.Contains(t, got, 1)
}

func TestNegativeRatio(t *testing.T) {
	p := herd()
	for ratio, want := range map[float64]int{-1: 50, 0: 0, 0.1: 9, 0.25: 23, 5: 50} {
		s := sampled(t, p, func(c *Config) { c.Sampler.NegativeRatio = ratio })
		assert.Equal(t, []int{60, 20, 10, 5, want}, tally(p, s.order(0, 10)), ratio)
	}
}

func TestBalanced(t *testing.T) {
	p := herd()
	s := sampled(t, p, func(c *Config) { c.Sampler.Order, c.Sampler.Samples = OrderBalanced, 500 })
	order := s.order(0, 10)
	assert.Equal(t, []int{100, 100, 100, 100, 100}, tally(p, order))
	times := map[int]int{}
	for _, i := range order {
		times[i]++
	}
	assert.Equal(t, 20, times[92], "each of the five of class d")
	assert.LessOrEqual(t, times[0], 2, "sixty of class a take turns")
	assert.Len(t, sampled(t, p, func(c *Config) { c.Sampler.Order = OrderBalanced }).order(0, 10), p.n)
}

func TestWeighted(t *testing.T) {
	p := herd()
	s := sampled(t, p, func(c *Config) {
		c.Sampler.Order, c.Sampler.Samples = OrderWeighted, 100000
		c.Sampler.Weights = map[string]float64{"a": 0, "d": 12, NegativeName: 0.2}
	})
	// b, c, d and negatives weigh 20, 10, 60 and 10.
	got := tally(p, s.order(0, 10))
	for class, want := range []float64{0, 20000, 10000, 60000, 10000} {
		assert.InDelta(t, want, float64(got[class]), 5*math.Sqrt(want)+1e-9, "class %d", class)
	}
	_, err := newSampler(p, Config{Common: Common{Sampler: SamplerConfig{Weights: map[string]float64{"zebra": 1}}}})
	assert.ErrorContains(t, err, `there is no class "zebra"`)
}

func TestRepeat(t *testing.T) {
	p := herd()
	assert.Equal(t, []int{180, 60, 30, 15, 150}, tally(p, sampled(t, p, func(c *Config) { c.Sampler.Repeat = 3 }).order(0, 10)))
	// √(t/f): class d has f = 5/145 and wants its samples √(0.5·145/5) = 3.8 times on the average.
	s := sampled(t, p, func(c *Config) { c.Sampler.RepeatThreshold = 0.5 })
	sum := 0
	for epoch := range 200 {
		sum += tally(p, s.order(epoch, 200))[3]
	}
	assert.InDelta(t, 5*math.Sqrt(0.5*145/5), float64(sum)/200, 0.2)
}

func TestLists(t *testing.T) {
	p := herd()
	list := filepath.Join(t.TempDir(), "list.txt")
	require.NoError(t, os.WriteFile(list, []byte("\ufeffset/3.jpg\r\n# seen twice\n/data/140.jpg\n\nset/140.jpg\n"), 0o644))
	s := sampled(t, p, func(c *Config) { c.Sampler.Only = list })
	assert.ElementsMatch(t, []int{3, 140}, s.order(0, 1))
	s = sampled(t, p, func(c *Config) {
		c.Sampler.HardNegatives, c.Sampler.HardRepeat, c.Sampler.NegativeRatio = list, 4, 0
	})
	times := map[int]int{}
	for _, i := range s.order(0, 1) {
		times[i]++
	}
	assert.Equal(t, map[int]int{3: 4, 140: 4}, map[int]int{3: times[3], 140: times[140]})
	assert.Len(t, times, 96, "the other negatives are left out")
	require.NoError(t, os.WriteFile(list, []byte("set/3.jpg\nset/999.jpg\n"), 0o644))
	_, err := newSampler(p, Config{Common: Common{Sampler: SamplerConfig{Only: list}}})
	assert.ErrorContains(t, err, `list.txt:2: there is no picture "set/999.jpg"`)
}

func TestCurriculumReachesTheSampler(t *testing.T) {
	p := herd()
	s := sampled(t, p, func(c *Config) { c.Curriculum.Enabled, c.Curriculum.Margin = true, 0 })
	before := 0
	for epoch := range 11 {
		got := s.order(epoch, 11)
		for _, i := range got {
			assert.LessOrEqual(t, p.difficulty(i), float64(epoch)/10+1e-9)
		}
		assert.Greater(t, len(got), before)
		before = len(got)
	}
	assert.Equal(t, p.n, before, "all in the last epoch")
	off := sampled(t, p, func(*Config) {})
	assert.Len(t, off.order(0, 11), p.n)
}

func TestCurriculumStrategies(t *testing.T) {
	c := DefaultCurriculum()
	c.Start, c.End, c.Warmup = 0.2, 0.8, 2
	at := func(strategy string, epoch int) float64 {
		c.Strategy = strategy
		return c.Difficulty(epoch, 13)
	}
	for _, s := range []string{CurriculumLinear, CurriculumExponential, CurriculumStep} {
		assert.Equal(t, 0.2, at(s, 0))
		assert.Equal(t, 0.2, at(s, 2))
	}
	assert.InDelta(t, 0.5, at(CurriculumLinear, 7), 1e-12)
	assert.InDelta(t, 0.8, at(CurriculumLinear, 12), 1e-12)
	assert.InDelta(t, 0.2+0.6*(1-math.Exp(-1.5)), at(CurriculumExponential, 7), 1e-12)
	assert.InDelta(t, 0.5, at(CurriculumStep, 9), 1e-12, "seven tenths are in the third of four steps")
	c.Over = 5
	assert.InDelta(t, 0.8, at(CurriculumLinear, 6), 1e-12)
}

func TestNegativePhases(t *testing.T) {
	p := herd()
	s := sampled(t, p, func(c *Config) {
		c.Curriculum.Enabled, c.Curriculum.Strategy = true, ""
		c.Curriculum.Ratios, c.Curriculum.Epochs = []float64{0, 0.1, 5}, []int{2, 1, 1}
	})
	for epoch, want := range []int{0, 0, 9, 50, 50} {
		assert.Equal(t, want, tally(p, s.order(epoch, 5))[4], "epoch %d", epoch)
	}
}

// The values of the reference's formula on its assumed frame of 800×800.
func TestDifficultyOfPictures(t *testing.T) {
	c := DefaultCurriculum()
	boxes := func(n int, side float64) []wildtrain.Object {
		var out []wildtrain.Object
		for range n {
			out = append(out, wildtrain.Object{Box: wildtrain.BoxXYWH(0, 0, side, side)})
		}
		return out
	}
	assert.Equal(t, 0.5, c.difficultyOf(nil, 800, 800))
	// One box of 100×100: area 1−0.25, count 0.9, coverage (0.5−1/64)/0.49.
	assert.InDelta(t, 0.4*0.75+0.3*0.9+0.3*(0.5-1./64)/0.49, c.difficultyOf(boxes(1, 100), 800, 800), 1e-12)
	assert.InDelta(t, 0.4*(1-0.01)+0.3*0.9+0.3, c.difficultyOf(boxes(1, 20), 800, 800), 1e-12)
	assert.Zero(t, c.difficultyOf(boxes(10, 200), 800, 800))
	assert.Equal(t, 0.5, c.difficultyOf([]wildtrain.Object{{Box: wildtrain.BoxXYWH(0, 0, 9, 9), Crowd: true}}, 800, 800))
}

func TestSamplerConfigNamesEveryProblem(t *testing.T) {
	require.NoError(t, DefaultSampler().Validate())
	require.NoError(t, DefaultCurriculum().Validate())
	s := SamplerConfig{NegativeRatio: -2, Rebalance: "max", Order: "random", RepeatThreshold: math.NaN(), Samples: -1, Weights: map[string]float64{"a": -1}}
	err := s.Validate()
	for _, key := range []string{"negative_ratio is -2", `rebalance is "max"`, `order is "random"`, "repeat is 0", "repeat_threshold is NaN", "hard_repeat is 0", "samples is -1", `weight of "a" is -1`, "weights are given"} {
		assert.ErrorContains(t, err, key)
	}
	c := CurriculumConfig{Strategy: "cosine", Start: 1, Ratios: []float64{-1, 2}, Epochs: []int{0}}
	err = c.Validate()
	for _, key := range []string{`strategy is "cosine"`, "start_difficulty is 1", "steps is 0", "not all be 0", "ratios has 2 phases and epochs has 1", "ratios holds -1", "epochs holds 0"} {
		assert.ErrorContains(t, err, key)
	}
}
