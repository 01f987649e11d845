package evaluate

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

type classProblem struct {
	Classes   int
	Multi     bool
	Truth     [][]int
	Probs     [][]float64
	Values    map[string]float64
	Rows      [][6]float64
	Confusion [][]int
}

func (p classProblem) check(t *testing.T, i int) {
	t.Helper()
	cfg := DefaultClassification(classNames(p.Classes))
	cfg.MultiLabel, cfg.TopK = p.Multi, []int{1, 2}
	c, err := NewClassification(cfg)
	require.NoError(t, err)
	answers := make([]answer, len(p.Probs)) // as from a file: float64
	for k := range answers {
		answers[k] = answer{ID: fmt.Sprint(k), Truth: p.Truth[k], Probs: p.Probs[k]}
	}
	require.NoError(t, c.add(answers))
	s, err := c.Summary()
	require.NoError(t, err)
	for name, want := range p.Values {
		got, ok := s.Values.Get(name)
		require.True(t, ok, name)
		require.InDelta(t, want, got, 1e-9, "problem %d, %s", i, name)
	}
	for k, row := range s.Classes {
		want := p.Rows[k]
		require.InDelta(t, want[0], row.Support, 0)
		for x, got := range []float64{row.Precision, row.Recall, row.F1, row.AUROC, row.AP} {
			if got == -1 && x < 3 {
				require.Zero(t, want[x+1], "what nobody showed or said is undefined here and 0 there")
				continue
			}
			require.InDelta(t, want[x+1], got, 1e-9, "problem %d, class %d, column %d", i, k, x)
		}
	}
	if !p.Multi {
		require.Equal(t, p.Confusion, s.Confusion.Counts)
		top1, _ := s.Values.Get("top1_accuracy")
		require.InDelta(t, p.Values["accuracy"], top1, 1e-12)
	}
}

func TestClassificationEqualsScikitLearn(t *testing.T) {
	var problems []classProblem
	readGolden(t, "testdata/classification.json.gz", &problems)
	for i, p := range problems {
		p.check(t, i)
	}
}

func classData() ([]wildtrain.Prediction, []wildtrain.Sample) {
	preds, samples := make([]wildtrain.Prediction, 9), make([]wildtrain.Sample, 9)
	for i := range preds {
		id := fmt.Sprint("p", i)
		preds[i] = wildtrain.Prediction{ID: id, Probs: []float32{float32(i) / 10, 0.3, 0.7 - float32(i)/10}}
		samples[i] = wildtrain.Sample{ID: id, Targets: []wildtrain.Target{{Class: i % 3, Weight: 1}}}
	}
	return preds, samples
}

func newClasses(t *testing.T) *Classification {
	t.Helper()
	c, err := NewClassification(DefaultClassification(classNames(3)))
	require.NoError(t, err)
	return c
}

func TestClassificationKeepsTheContract(t *testing.T) {
	wildtraintest.TestMetric(t, func() wildtrain.Metric { return newClasses(t) }, classData)
}

func TestClassificationMergesExactly(t *testing.T) {
	preds, samples := classData()
	whole, a, b := newClasses(t), newClasses(t), newClasses(t)
	require.NoError(t, whole.Update(preds, samples))
	require.NoError(t, b.Update(preds[:5], samples[:5]))
	require.NoError(t, a.Update(preds[4:], samples[4:])) // one picture on both ranks
	state, err := b.Marshal()
	require.NoError(t, err)
	require.NoError(t, a.Merge(state))
	want, _ := whole.Compute()
	got, err := a.Compute()
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.ErrorContains(t, a.Merge([]byte(`{"Classes":["x"]}`)), "differ")
}

func TestHierarchy(t *testing.T) {
	cfg := DefaultClassification([]string{"impala", "kudu", "zebra"})
	cfg.Parents = map[string]string{"impala": "antelope", "kudu": "antelope", "antelope": "ungulate", "zebra": "ungulate"}
	c, err := NewClassification(cfg)
	require.NoError(t, err)
	require.NoError(t, c.add([]answer{
		{ID: "1", Truth: []int{0}, Said: 1}, // the right family: 2 of 3 and 3
		{ID: "2", Truth: []int{2}, Said: 0}, // the right order: 1 of 3 said, of 2 true
		{ID: "3", Truth: []int{1}, Said: 1},
	}))
	s, err := c.Summary()
	require.NoError(t, err)
	for name, want := range map[string]float64{
		"hierarchical_precision": 6.0 / 9, "hierarchical_recall": 6.0 / 8, "hierarchical_F1": 12.0 / 17,
		"level1_accuracy": 2.0 / 3, "level2_accuracy": 1, "accuracy": 1.0 / 3,
	} {
		got, ok := s.Values.Get(name)
		require.True(t, ok, name)
		require.InDelta(t, want, got, 1e-12, name)
	}
	cfg.Parents["ungulate"] = "antelope"
	_, err = NewClassification(cfg)
	require.ErrorContains(t, err, "circle")
}

func TestBadClassification(t *testing.T) {
	c := newClasses(t)
	ok := wildtrain.Sample{ID: "a", Targets: []wildtrain.Target{{Class: 1, Weight: 1}}}
	update := func(probs []float32, s wildtrain.Sample) error {
		return c.Update([]wildtrain.Prediction{{Probs: probs}}, []wildtrain.Sample{s})
	}
	require.ErrorContains(t, update([]float32{1, 0}, ok), "2 probabilities for 3 classes")
	require.ErrorContains(t, update([]float32{1, 0, 0}, wildtrain.Sample{ID: "b"}), "0 classes, want one")
	require.ErrorContains(t, update([]float32{1, 0, 0}, wildtrain.Sample{Targets: []wildtrain.Target{{Class: 3, Weight: 1}}}), "class 3")
	require.NoError(t, update([]float32{1, 0, 0}, ok))
	require.ErrorContains(t, update([]float32{1, 0, 0}, ok), "twice")
	_, err := NewClassification(ClassificationConfig{TopK: []int{0}, Thresholds: map[string]float64{"x": 1}})
	for _, want := range []string{"no classes", "0 bins", "top-0", `"x"`} {
		require.ErrorContains(t, err, want)
	}
}

// The area under the curve that is drawn is the area that is told.
func TestROCHasItsArea(t *testing.T) {
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
		s, err := c.Summary()
		require.NoError(t, err)
		for k, row := range s.Classes {
			area, x, y := 0.0, 0.0, 0.0
			for _, r := range row.ROC {
				area += (r.FalsePositiveRate - x) * (r.TruePositiveRate + y) / 2
				x, y = r.FalsePositiveRate, r.TruePositiveRate
			}
			if want := p.Rows[k][4]; want >= 0 { // scikit-learn's
				require.InDelta(t, want, area, 1e-9, "problem %d, class %d", i, k)
				require.InDelta(t, 2, x+y, 0, "it ends in the corner")
			} else {
				require.Nil(t, row.ROC)
			}
		}
	}
}
