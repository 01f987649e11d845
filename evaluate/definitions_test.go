package evaluate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

func measured(t *testing.T, p cocoProblem, cfg DetectionConfig) *Detection {
	t.Helper()
	cfg.Classes = classNames(p.Classes)
	d, err := NewDetection(cfg)
	require.NoError(t, err)
	preds, samples := p.samples()
	require.NoError(t, d.Update(preds, samples))
	return d
}

// Every point of the grid is what the summary tells at that IoU and score, and
// so are the means over classes.
func TestGridAndMeansEqualTheDefinition(t *testing.T) {
	ious, confs := []float64{0.3, 0.5, 0.75}, []float64{0, 0.25, 0.5, 0.9, 1}
	for i, p := range cocoProblems(t)[:12] {
		grid, err := measured(t, p, DefaultDetectionConfig(nil)).Grid(ious, confs)
		require.NoError(t, err)
		for _, g := range grid {
			cfg := DefaultDetectionConfig(nil)
			cfg.IoU, cfg.Conf = g.IoU, g.Conf
			s, err := measured(t, p, cfg).Summary()
			require.NoError(t, err)
			var macro, weighted, classes, support float64
			for _, c := range s.Classes {
				if c.Truths+c.Found > 0 {
					f1 := max(c.F1, 0)
					macro, classes = macro+f1, classes+1
					weighted, support = weighted+f1*float64(c.Truths), support+float64(c.Truths)
				}
			}
			for name, want := range map[string]float64{"precision": g.Precision, "recall": g.Recall, "F1": g.F1, "F1_macro": per(macro, classes), "F1_weighted": per(weighted, support)} {
				got, ok := s.Values.Get(name)
				require.True(t, ok)
				require.InDelta(t, want, got, 1e-12, "problem %d, IoU %g, confidence %g, %s", i, g.IoU, g.Conf, name)
			}
		}
	}
}

// A least score of a class is that of a summary by itself.
func TestLeastScoresOfClasses(t *testing.T) {
	for _, p := range cocoProblems(t)[:12] {
		cfg := DefaultDetectionConfig(nil)
		cfg.Confs = map[string]float64{}
		for k, name := range classNames(p.Classes) {
			cfg.Confs[name] = float64(k) / 5
		}
		d := measured(t, p, cfg)
		s, err := d.Summary()
		require.NoError(t, err)
		counts := d.PictureCounts()
		for k, c := range s.Classes {
			alone := DefaultDetectionConfig(nil)
			alone.Conf = float64(k) / 5
			e := measured(t, p, alone)
			want, err := e.Summary()
			require.NoError(t, err)
			require.Equal(t, want.Classes[k], c)
			for i, q := range e.PictureCounts() {
				require.Equal(t, q.Found[k], counts[i].Found[k])
			}
		}
		for _, q := range d.Pictures() {
			for _, o := range q.Found {
				require.GreaterOrEqual(t, o.Score, float64(o.Class)/5)
			}
		}
	}
	_, err := NewDetection(DetectionConfig{Classes: []string{"a"}, Confs: map[string]float64{"b": 1}})
	require.ErrorContains(t, err, `least score of "b"`)
}

// Intervals of counting errors are percentiles of the errors of resamples,
// computed here from the pictures that were drawn.
func TestCountIntervalsEqualTheDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	table := make([]PictureCount, 40)
	groups := make([]string, len(table))
	for i := range table {
		groups[i] = fmt.Sprint("flight", i/6)
		table[i] = PictureCount{Truth: []int{r.IntN(5), r.IntN(2)}, Found: []int{r.IntN(6), r.IntN(2)}}
	}
	sample, err := Bootstrap{Resamples: 300, Level: 0.9, Seed: 4}.draws(groups)
	require.NoError(t, err)
	got := countIntervals(table, 2, sample)
	for c := -1; c < 2; c++ {
		var want [4][]float64
		for k := range 300 {
			var truth, found []float64
			for i, w := range sample.weights(k) {
				for range int(w) {
					a, b := sum(table[i].Truth), sum(table[i].Found)
					if c >= 0 {
						a, b = table[i].Truth[c], table[i].Found[c]
					}
					truth, found = append(truth, float64(a)), append(found, float64(b))
				}
			}
			e := countErrors(truth, found, nil)
			for n, v := range []float64{e.MAE, e.RMSE, e.Bias, e.R2} {
				want[n] = append(want[n], v)
			}
		}
		for n := range want {
			w := percentiles(want[n], 0.9)
			require.InDelta(t, w.Low, got[4*(c+1)+n].Low, 1e-9)
			require.InDelta(t, w.High, got[4*(c+1)+n].High, 1e-9)
		}
	}
}

// Statistics of resamples are those of the summary where nothing is resampled,
// and intervals widen where pictures of a flight are alike.
func TestClassificationIntervals(t *testing.T) {
	var problems []classProblem
	readGolden(t, "testdata/classification.json.gz", &problems)
	for i, p := range problems {
		cfg := DefaultClassification(classNames(p.Classes))
		cfg.MultiLabel = p.Multi
		c, err := NewClassification(cfg)
		require.NoError(t, err)
		for k := range p.Probs {
			require.NoError(t, c.add([]answer{{ID: fmt.Sprint(k), Truth: p.Truth[k], Probs: p.Probs[k]}}))
		}
		all, err := c.Intervals(Bootstrap{})
		require.NoError(t, err)
		for _, e := range all {
			require.InDelta(t, p.Values[e.Name], e.Value, 1e-9, "problem %d, %s", i, e.Name)
			require.Equal(t, Interval{-1, -1}, e.Interval)
		}
	}
	c := newClasses(t)
	for i := range 120 {
		require.NoError(t, c.add([]answer{{ID: fmt.Sprint(i), Truth: []int{i % 3}, Said: i % 3 * (i / 20 % 2)}}))
	}
	width := func() float64 {
		all, err := c.Intervals(DefaultBootstrap())
		require.NoError(t, err)
		return all[0].Interval.High - all[0].Interval.Low
	}
	single := width()
	c.SetGroups(func(id string) string { // flights of twenty, right or wrong together
		var n int
		_, err := fmt.Sscan(id, &n)
		require.NoError(t, err)
		return fmt.Sprint(n / 20)
	})
	require.Greater(t, width(), 1.5*single)
}

// Pictures give back what was put in.
func TestPicturesReadBack(t *testing.T) {
	d := scene(t)
	d.SetGroups(func(id, _ string) string { return "flight" + id })
	all := d.Pictures()
	require.Len(t, all, 3)
	require.Equal(t, "flight2", all[1].Group)
	require.Len(t, all[0].Truth, 5)
	require.True(t, slices.ContainsFunc(all[0].Truth, func(o wildtrain.Object) bool { return o.Crowd }))
	require.Len(t, all[0].Found, 4, "one is below the least score")
	require.InDelta(t, 10, all[0].Found[0].Box.Width(), 0)
	require.InDelta(t, 100, all[0].Found[0].Area, 0)
}
