package wildtraintest

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/wildtrain/sdk/wildtrain"
)

// TestMetric checks a Metric: Reset forgets, computing twice or over nothing
// does no harm, it does not matter how pictures are cut into batches, and the
// halves of a Merger join to the whole. Data returns predictions and samples of
// at least four pictures, new ones in every call.
func TestMetric(t *testing.T, f func() wildtrain.Metric, data func() ([]wildtrain.Prediction, []wildtrain.Sample)) {
	t.Helper()
	runChecks(t, metricChecks(f, data))
}

type metricData func() ([]wildtrain.Prediction, []wildtrain.Sample)

func metricChecks(f func() wildtrain.Metric, data metricData) []check {
	checks := []check{
		{"it has a name, and values with different names", func(context.Context) error {
			m := f()
			if m.Name() == "" {
				return fmt.Errorf("Name is empty")
			}
			values, err := measure(m, data, -1)
			if err != nil {
				return err
			}
			if len(values) == 0 {
				return fmt.Errorf("no values")
			}
			seen := map[string]bool{}
			for _, v := range values {
				if v.Name == "" || seen[v.Name] {
					return fmt.Errorf("value %q has no name or comes twice", v.Name)
				}
				seen[v.Name] = true
			}
			return nil
		}},
		{"computing over nothing does no harm", func(context.Context) error {
			m := f()
			m.Reset()
			_, _ = m.Compute() // an error is allowed, a panic is not
			return sameValues(m, f(), data)
		}},
		{"Reset forgets", func(context.Context) error {
			m := f()
			m.Reset()
			p, s := data()
			if err := m.Update(p[:1], s[:1]); err != nil { // a part: the whole again might not show
				return err
			}
			return sameValues(m, f(), data)
		}},
		{"computing twice gives the same", func(context.Context) error {
			m := f()
			first, err := measure(m, data, -1)
			if err != nil {
				return err
			}
			second, err := m.Compute()
			return valuesDiffer(first, second, err)
		}},
		{"cutting into batches does not matter", func(context.Context) error {
			want, err := measure(f(), data, -1)
			if err != nil {
				return err
			}
			got, err := measure(f(), data, 1)
			return valuesDiffer(got, want, err)
		}},
		{"lists of different lengths are an error", func(context.Context) error {
			m := f()
			m.Reset()
			p, s := data()
			if m.Update(p[1:], s) == nil || m.Update(p, s[1:]) == nil {
				return fmt.Errorf("Update of %d predictions and %d samples is no error", len(p)-1, len(s))
			}
			return nil
		}},
	}
	if _, ok := f().(wildtrain.Merger); ok {
		checks = append(checks, check{"merged halves are the whole", func(context.Context) error { return mergeHalves(f, data) }})
	}
	return checks
}

// measure computes over the data after a Reset, cut after the first picture
// where cut is 1.
func measure(m wildtrain.Metric, data metricData, cut int) ([]wildtrain.Value, error) {
	m.Reset()
	p, s := data()
	if len(p) < 4 || len(p) != len(s) {
		return nil, fmt.Errorf("give the suite at least 4 pictures, not %d and %d", len(p), len(s))
	}
	if cut > 0 {
		if err := m.Update(p[:cut], s[:cut]); err != nil {
			return nil, err
		}
		p, s = p[cut:], s[cut:]
	}
	if err := m.Update(p, s); err != nil {
		return nil, err
	}
	return m.Compute()
}

func sameValues(used, fresh wildtrain.Metric, data metricData) error {
	want, err := measure(fresh, data, -1)
	if err != nil {
		return err
	}
	got, err := measure(used, data, -1)
	return valuesDiffer(got, want, err)
}

func valuesDiffer(got, want []wildtrain.Value, err error) error {
	if err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d values, want %d", len(got), len(want))
	}
	for i := range got {
		a, b := got[i].Value, want[i].Value
		if got[i].Name != want[i].Name || a != b && !(math.IsNaN(a) && math.IsNaN(b)) && math.Abs(a-b) > 1e-12*max(math.Abs(a), math.Abs(b)) {
			return fmt.Errorf("%v, want %v", got[i], want[i])
		}
	}
	return nil
}

func mergeHalves(f func() wildtrain.Metric, data metricData) error {
	want, err := measure(f(), data, -1)
	if err != nil {
		return err
	}
	p, s := data()
	half := len(p) / 2
	whole, rest := f(), f()
	whole.Reset()
	rest.Reset()
	if err := whole.Update(p[:half], s[:half]); err != nil {
		return err
	}
	if err := rest.Update(p[half:], s[half:]); err != nil {
		return err
	}
	b, err := rest.(wildtrain.Merger).Marshal()
	if err != nil {
		return err
	}
	if err := whole.(wildtrain.Merger).Merge(b); err != nil {
		return err
	}
	got, err := whole.Compute()
	if err := valuesDiffer(got, want, err); err != nil {
		return err
	}
	if whole.(wildtrain.Merger).Merge([]byte("\x00no state")) == nil {
		return fmt.Errorf("merging what is no state is no error")
	}
	return nil
}
