package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/classification"
	"github.com/wildtrain/sdk/wildtrain"
)

// Probed tells how well the features of a network separate classes that it need
// not know: the accuracies of two simple classifiers on the frozen features.
type Probed struct {
	Train      int     `json:"train"`      // pictures learnt from
	Pictures   int     `json:"pictures"`   // pictures measured on
	Linear     float64 `json:"linear"`     // logistic regression
	Neighbours float64 `json:"neighbours"` // vote of the nearest neighbours
}

// Probe measures the features of the network of s.Model.Weights: it learns from
// the training split, as it is annotated, and measures on s.Evaluate.Split. c is
// the inverse strength of the regression's penalty, k the number of neighbours.
func (e *Env) Probe(ctx context.Context, s Settings, c float64, k int) (out Probed, err error) {
	m, t, err := e.openClassifier(&s)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if s.Model.ImageSize == 0 {
		s.Model.ImageSize = m.Describe().InputSize[0]
	}
	learn := s
	stage := learn.unaugmented(wildtrain.Train)
	train, classes, err := e.features(ctx, m, t, learn, stage)
	if err != nil {
		return out, err
	}
	stage = s.unaugmented(wildtrain.Stage(s.Evaluate.Split))
	test, others, err := e.features(ctx, m, t, s, stage)
	if err != nil {
		return out, err
	}
	if len(test.IDs) == 0 {
		return out, fmt.Errorf("pipeline: probe: %w", wildtrain.ErrEmpty)
	}
	if !slices.Equal(classes, others) {
		return out, fmt.Errorf("pipeline: probe: the splits have different classes: %q and %q", classes, others)
	}
	p, err := classification.FitProbe(ctx, train, len(classes), c)
	if err != nil {
		return out, err
	}
	linear, err := p.Probs(test)
	if err != nil {
		return out, err
	}
	near, err := classification.NearestNeighbours(ctx, train, test, len(classes), k, 0.07)
	if err != nil {
		return out, err
	}
	return Probed{Train: len(train.IDs), Pictures: len(test.IDs), Linear: right(linear, test.Class), Neighbours: right(near, test.Class)}, nil
}

// features are those of one stage's pictures, with the data's classes.
func (e *Env) features(ctx context.Context, m *classification.Classifier, t task, s Settings, stage wildtrain.Stage) (f *classification.Features, classes []string, err error) {
	data, err := t.data(s, e.log())
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	if err := data.Setup(ctx, stage); err != nil {
		return nil, nil, err
	}
	l, err := data.Loader(stage, wildtrain.Position{World: 1})
	if err != nil {
		return nil, nil, err
	}
	f, err = m.Features(ctx, l)
	return f, wildtrain.Names(data.Classes()), err
}

// right is the share of rows whose largest entry is at the class.
func right(probs [][]float32, class []int) float64 {
	n := 0
	for i, row := range probs {
		if row[class[i]] == slices.Max(row) {
			n++
		}
	}
	return float64(n) / float64(len(probs))
}
