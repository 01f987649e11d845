package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// ClassificationConfig says what is measured. Take DefaultClassification and change it.
type ClassificationConfig struct {
	Classes    []string
	MultiLabel bool  // a picture has any number of classes
	TopK       []int // top-k accuracies
	Bins       int   // of the reliability diagram
	// Threshold is the probability from which a class counts: as predicted, with
	// multi-label data; as answered, in coverage and selective accuracy, with others.
	Threshold float64
	// Thresholds are such probabilities for classes by name, before Threshold.
	Thresholds map[string]float64
	// Parents names for classes and groups the group above them: species,
	// family, order. Empty switches hierarchical numbers off.
	Parents map[string]string
}

// DefaultClassification returns top-1 and top-5, 15 bins and threshold 0.5.
func DefaultClassification(classes []string) ClassificationConfig {
	return ClassificationConfig{Classes: classes, TopK: []int{1, 5}, Bins: 15, Threshold: 0.5}
}

// Validate reports every problem at once.
func (c ClassificationConfig) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("evaluate: check config: "+format, args...))
		}
	}
	check(len(c.Classes) > 0, "no classes")
	check(c.Bins > 0 && c.Bins <= 10_000, "%d bins, want 1 to 10000", c.Bins)
	for _, k := range c.TopK {
		check(k > 0, "top-%d accuracy", k)
	}
	for name := range c.Thresholds {
		check(slices.Contains(c.Classes, name), "threshold of %q, which is no class", name)
	}
	for name := range c.Parents {
		at, steps := name, 0
		for at != "" && steps <= len(c.Parents) {
			at, steps = c.Parents[at], steps+1
		}
		check(at == "", "the parents of %q go round in a circle", name)
	}
	return errors.Join(errs...)
}

// answer is what one picture shows and what was said of it.
type answer struct {
	ID    string
	Truth []int // one class; any number for multi-label
	Said  int   // the class with the highest probability, or the one stated
	Probs []float64
	Group string `json:",omitempty"` // of pictures that are not independent
	// Stated keeps Said as it is, whatever the probabilities.
	Stated bool `json:",omitempty"`
}

// Classification is a wildtrain.Metric for classifiers. Its values, where
// scikit-learn has them, equal scikit-learn's with zero_division = 0.
type Classification struct {
	cfg     ClassificationConfig
	answers []answer
	seen    map[string]bool
}

var (
	_ wildtrain.Metric = (*Classification)(nil)
	_ wildtrain.Merger = (*Classification)(nil)
)

// NewClassification makes the metric.
func NewClassification(cfg ClassificationConfig) (*Classification, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Classification{cfg: cfg, seen: map[string]bool{}}, nil
}

// Name implements wildtrain.Metric.
func (c *Classification) Name() string { return "classification" }

// Reset implements wildtrain.Metric.
func (c *Classification) Reset() { c.answers, c.seen = nil, map[string]bool{} }

// Update implements wildtrain.Metric: it compares Prediction.Probs with
// Sample.Targets, of which the one with the largest weight counts, or all with
// multi-label data.
func (c *Classification) Update(predictions []wildtrain.Prediction, samples []wildtrain.Sample) error {
	if len(predictions) != len(samples) {
		return fmt.Errorf("evaluate: update: %d predictions for %d samples", len(predictions), len(samples))
	}
	var fresh []answer
	for i, s := range samples {
		p := predictions[i]
		if p.ID != "" && p.ID != s.ID {
			return fmt.Errorf("evaluate: update: prediction of %q stands beside sample %q", p.ID, s.ID)
		}
		a := answer{ID: s.ID, Probs: make([]float64, len(p.Probs))}
		for k, v := range p.Probs {
			a.Probs[k] = float64(v)
		}
		a.Truth = c.truth(s.Targets)
		fresh = append(fresh, a)
	}
	return c.add(fresh)
}

func (c *Classification) truth(targets []wildtrain.Target) []int {
	var out []int
	var heaviest float32
	for _, t := range targets {
		switch {
		case c.cfg.MultiLabel && t.Weight > 0:
			out = append(out, t.Class)
		case !c.cfg.MultiLabel && t.Weight > heaviest:
			out, heaviest = []int{t.Class}, t.Weight
		}
	}
	return out
}

// add takes all answers or none.
func (c *Classification) add(fresh []answer) error {
	here := map[string]bool{}
	for i := range fresh {
		a := &fresh[i]
		if c.seen[a.ID] || here[a.ID] {
			return fmt.Errorf("evaluate: update: picture %q comes twice", a.ID)
		}
		here[a.ID] = true
		if err := c.check(a); err != nil {
			return fmt.Errorf("evaluate: update %s: %w", a.ID, err)
		}
	}
	for id := range here {
		c.seen[id] = true
	}
	c.answers = append(c.answers, fresh...)
	return nil
}

// check completes an answer: without probabilities, Said must be given.
func (c *Classification) check(a *answer) error {
	n := len(c.cfg.Classes)
	if !c.cfg.MultiLabel && len(a.Truth) != 1 {
		return fmt.Errorf("it has %d classes, want one", len(a.Truth))
	}
	for _, t := range a.Truth {
		if t < 0 || t >= n {
			return fmt.Errorf("class %d, there are %d", t, n)
		}
	}
	if a.Said < 0 || a.Said >= n {
		return fmt.Errorf("predicted class %d, there are %d", a.Said, n)
	}
	if a.Probs == nil && !c.cfg.MultiLabel {
		return nil
	}
	if len(a.Probs) != n {
		return fmt.Errorf("%d probabilities for %d classes", len(a.Probs), n)
	}
	if !finite(a.Probs...) {
		return errors.New("a probability is not finite")
	}
	if a.Stated {
		return nil
	}
	a.Said = 0
	for k, v := range a.Probs {
		if v > a.Probs[a.Said] {
			a.Said = k
		}
	}
	return nil
}

// Marshal implements wildtrain.Merger.
func (c *Classification) Marshal() ([]byte, error) {
	b, err := json.Marshal(struct {
		Classes []string
		Answers []answer
	}{c.cfg.Classes, c.answers})
	if err != nil {
		return nil, fmt.Errorf("evaluate: marshal classification: %w", err)
	}
	return b, nil
}

// Merge implements wildtrain.Merger. A picture that both sides have counts once.
func (c *Classification) Merge(b []byte) error {
	var s struct {
		Classes []string
		Answers []answer
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("evaluate: merge classification: %w", err)
	}
	if !slices.Equal(s.Classes, c.cfg.Classes) {
		return fmt.Errorf("evaluate: merge classification: classes %q and %q differ", c.cfg.Classes, s.Classes)
	}
	return c.add(slices.DeleteFunc(s.Answers, func(a answer) bool { return c.seen[a.ID] }))
}

// SetGroups names for every picture the group to which it belongs, a flight or
// a camera: intervals are drawn over groups.
func (c *Classification) SetGroups(group func(id string) string) {
	for i := range c.answers {
		c.answers[i].Group = group(c.answers[i].ID)
	}
}

// sorted gives the answers in the order of IDs, so that sums do not depend on
// loaders and ranks.
func (c *Classification) sorted() []answer {
	out := slices.Clone(c.answers)
	slices.SortStableFunc(out, func(a, b answer) int { return compareIDs(a.ID, b.ID) })
	return out
}

// Compute implements wildtrain.Metric.
func (c *Classification) Compute() ([]wildtrain.Value, error) {
	s, err := c.Summary()
	if err != nil {
		return nil, err
	}
	return s.Values, nil
}
