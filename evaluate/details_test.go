package evaluate

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/wildtrain"
)

type errorProblem struct {
	cocoProblem
	AP     float64
	Counts map[ErrorType]int
	Delta  map[ErrorType]float64
}

func (p errorProblem) check(t *testing.T, i int) {
	t.Helper()
	d, err := NewDetection(DefaultDetectionConfig(classNames(p.Classes)))
	require.NoError(t, err)
	preds, samples := p.samples()
	require.NoError(t, d.Update(preds, samples))
	r, err := d.Errors(DefaultErrors())
	require.NoError(t, err)
	require.InDelta(t, p.AP, r.AP, 1e-9, "problem %d", i)
	for _, e := range r.Errors {
		require.Equal(t, p.Counts[e.Type], e.Count, "problem %d, %s", i, e.Type)
		require.InDelta(t, p.Delta[e.Type], e.DeltaAP, 1e-9, "problem %d, %s", i, e.Type)
	}
}

func TestErrorTypesEqualTheDefinition(t *testing.T) {
	var problems []errorProblem
	readGolden(t, "testdata/errors.json.gz", &problems)
	for i, p := range problems {
		p.check(t, i)
	}
}

// scene is two pictures of two classes with one mistake of each sort.
func scene(t *testing.T) *Detection {
	t.Helper()
	d, err := NewDetection(DefaultDetectionConfig([]string{"impala", "zebra"}))
	require.NoError(t, err)
	at := func(x float64, class int, score float64) wildtrain.Object {
		return wildtrain.Object{Box: wildtrain.BoxXYWH(x, 0, 10, 10), Class: class, Score: score}
	}
	crowd := at(900, 0, 0)
	crowd.Crowd = true
	require.NoError(t, d.Update(
		[]wildtrain.Prediction{
			{Objects: []wildtrain.Object{at(0, 0, .9), at(100, 1, .8), at(300, 1, .7), at(400, 0, .1), at(900, 0, .9)}},
			{Objects: []wildtrain.Object{at(0, 1, .9), at(50, 1, .6)}},
			{},
		},
		[]wildtrain.Sample{
			{ID: "1", Truth: []wildtrain.Object{at(0, 0, 0), at(100, 0, 0), at(200, 0, 0), at(400, 0, 0), crowd}},
			{ID: "2", Truth: []wildtrain.Object{at(0, 1, 0)}},
			{ID: "3"},
		}))
	return d
}

func TestConfusionHasABackground(t *testing.T) {
	c := scene(t).Confusion()
	require.Equal(t, []string{"impala", "zebra", "background"}, c.Classes)
	require.Equal(t, [][]int{
		{1, 1, 2}, // one found, one taken for a zebra, two missed (one of them by its score)
		{0, 1, 0},
		{0, 2, 0}, // zebras seen where nothing is; the impala on the crowd is excused
	}, c.Counts)
}

func TestCounting(t *testing.T) {
	d := scene(t)
	require.Equal(t, []PictureCount{
		{ID: "1", Truth: []int{4, 0}, Found: []int{1, 2}},
		{ID: "2", Truth: []int{0, 1}, Found: []int{0, 2}},
		{ID: "3", Truth: []int{0, 0}, Found: []int{0, 0}},
	}, d.PictureCounts())
	all, err := d.Counting(DefaultCounting())
	require.NoError(t, err)
	require.Len(t, all, 3)
	require.Equal(t, "all", all[0].Class)
	// errors −1, 1, 0 of true 4, 1, 0
	require.InDelta(t, 2.0/3, all[0].MAE, 1e-12)
	require.InDelta(t, 0.816496580927726, all[0].RMSE, 1e-12)
	require.InDelta(t, 0, all[0].Bias, 1e-12)
	require.InDelta(t, 1-2/(26.0/3), all[0].R2, 1e-12)
	require.Equal(t, Counts{TP: 2}, all[0].Presence)
	require.Equal(t, 1, all[0].BothAbsent)
	require.Equal(t, []CountBin{{0, 0, 1, 0, 0}, {1, 1, 1, 1, 1}, {2, 5, 1, 1, -1}, {6, 20, 0, -1, -1}, {21, -1, 0, -1, -1}}, all[0].Bins)
	require.InDelta(t, -1, all[1].Bias, 1e-12)
	require.Equal(t, Counts{TP: 1, FP: 1}, all[2].Presence, "a zebra is seen where none is")
	require.GreaterOrEqual(t, all[0].MAEInterval.High, all[0].MAE)
	require.LessOrEqual(t, all[0].MAEInterval.Low, all[0].MAE)
	again, err := d.Counting(DefaultCounting())
	require.NoError(t, err)
	require.Equal(t, all, again)
}

func TestGroupsWidenIntervals(t *testing.T) {
	d, err := NewDetection(DefaultDetectionConfig([]string{"a"}))
	require.NoError(t, err)
	for i := range 100 { // all pictures of a flight are alike
		p := wildtrain.Prediction{}
		for k := range i / 10 {
			p.Objects = append(p.Objects, wildtrain.Object{Box: wildtrain.BoxXYWH(float64(k)*20, 0, 10, 10), Score: 1})
		}
		require.NoError(t, d.Update([]wildtrain.Prediction{p}, []wildtrain.Sample{{ID: fmt.Sprintf("%d_%d", i/10, i)}}))
	}
	single, err := d.Counting(DefaultCounting())
	require.NoError(t, err)
	d.SetGroups(func(id, _ string) string { return id[:1] })
	flights, err := d.Counting(DefaultCounting())
	require.NoError(t, err)
	width := func(c Counting) float64 { return c.BiasInterval.High - c.BiasInterval.Low }
	require.Greater(t, width(flights[0]), 2*width(single[0]))
}

func TestGridAgreesWithTheSummary(t *testing.T) {
	d := scene(t)
	s, err := d.Summary()
	require.NoError(t, err)
	g, err := d.Grid([]float64{0.5, 0.9}, []float64{0.05, 0.25, 0.95})
	require.NoError(t, err)
	require.Len(t, g, 6)
	p, _ := s.Values.Get("precision")
	require.InDelta(t, p, g[1].Precision, 0)
	require.Equal(t, Counts{TP: 3, FP: 3, FN: 2}, g[0].Counts)
	require.Equal(t, Counts{FN: 5}, g[2].Counts)
	require.InDelta(t, -1, g[2].Precision, 0)
	require.InDelta(t, 0.1, s.Classes[0].BestConf, 0)
}

func TestSingleClassIsARealSwitch(t *testing.T) {
	d := scene(t)
	d.cfg.SingleClass = "animal"
	s, err := d.Summary()
	require.NoError(t, err)
	require.Len(t, s.Classes, 1)
	require.Equal(t, "animal", s.Classes[0].Name)
	require.Equal(t, 5, s.Classes[0].Truths)
	require.InDelta(t, 3.0/5, s.Classes[0].Recall, 1e-12, "the impala taken for a zebra is found")
}

func TestRanksMergeExactly(t *testing.T) {
	problems := cocoProblems(t)
	rapid.Check(t, func(t *rapid.T) {
		p := problems[rapid.IntRange(0, len(problems)-1).Draw(t, "problem")]
		preds, samples := p.samples()
		make1 := func() *Detection {
			d, err := NewDetection(DefaultDetectionConfig(classNames(p.Classes)))
			require.NoError(t, err)
			return d
		}
		whole, ranks := make1(), []*Detection{make1(), make1(), make1()}
		require.NoError(t, whole.Update(preds, samples))
		for i := range samples {
			r := ranks[rapid.IntRange(0, 2).Draw(t, "rank")]
			require.NoError(t, r.Update(preds[i:i+1], samples[i:i+1]))
		}
		if ranks[2].Update(preds[:1], samples[:1]) == nil {
			t.Log("a repeated picture counts once")
		}
		for _, r := range ranks[1:] {
			b, err := r.Marshal()
			require.NoError(t, err)
			require.NoError(t, ranks[0].Merge(b))
		}
		want, _ := whole.Compute()
		got, err := ranks[0].Compute()
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
	other, err := NewDetection(DefaultDetectionConfig([]string{"x"}))
	require.NoError(t, err)
	require.ErrorContains(t, other.Merge([]byte(`{"Classes":["y"]}`)), "differ")
	require.ErrorContains(t, other.Merge([]byte(`{"Classes":["x"],"Pictures":[{"ID":"a","Truth":[{"Class":3}]}]}`)), "class 3")
}

func TestResultsDoNotDependOnWorkers(t *testing.T) {
	for _, p := range cocoProblems(t) {
		var want []wildtrain.Value
		for _, workers := range []int{1, 2, 7} {
			cfg := DefaultDetectionConfig(classNames(p.Classes))
			cfg.Workers = workers
			d, err := NewDetection(cfg)
			require.NoError(t, err)
			preds, samples := p.samples()
			require.NoError(t, d.Update(preds, samples))
			got, err := d.Compute()
			require.NoError(t, err)
			if want == nil {
				want = got
			}
			require.Equal(t, want, got)
		}
	}
}
