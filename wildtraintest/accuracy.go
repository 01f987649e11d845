package wildtraintest

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// Accuracy is a Metric and a Merger: the share of pictures whose most probable
// class is their heaviest target.
type Accuracy struct{ Right, All int }

// Name implements wildtrain.Metric.
func (a *Accuracy) Name() string { return "accuracy" }

// Reset implements wildtrain.Metric.
func (a *Accuracy) Reset() { *a = Accuracy{} }

// Update implements wildtrain.Metric.
func (a *Accuracy) Update(predictions []wildtrain.Prediction, samples []wildtrain.Sample) error {
	if len(predictions) != len(samples) {
		return fmt.Errorf("wildtraintest: accuracy: %d predictions for %d samples", len(predictions), len(samples))
	}
	for i, p := range predictions {
		if len(p.Probs) == 0 || len(samples[i].Targets) == 0 {
			return fmt.Errorf("wildtraintest: accuracy: sample %q has no probabilities or no target", samples[i].ID)
		}
		want := slices.MaxFunc(samples[i].Targets, func(a, b wildtrain.Target) int {
			return int(1e6 * (a.Weight - b.Weight))
		}).Class
		if slices.Index(p.Probs, slices.Max(p.Probs)) == want {
			a.Right++
		}
		a.All++
	}
	return nil
}

// Compute implements wildtrain.Metric.
func (a *Accuracy) Compute() ([]wildtrain.Value, error) {
	return []wildtrain.Value{{Name: "accuracy", Value: float64(a.Right) / max(float64(a.All), 1)}}, nil
}

// Marshal implements wildtrain.Merger.
func (a *Accuracy) Marshal() ([]byte, error) { return json.Marshal(a) }

// Merge implements wildtrain.Merger.
func (a *Accuracy) Merge(b []byte) error {
	var other Accuracy
	if err := json.Unmarshal(b, &other); err != nil {
		return fmt.Errorf("wildtraintest: accuracy: merge: %w", err)
	}
	a.Right += other.Right
	a.All += other.All
	return nil
}
