package pipeline

import (
	"context"
	"errors"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// Parts are what a trainer works with: the data, a model for its classes and the
// metric of its task.
type Parts struct {
	Data   wildtrain.DataModule
	Model  wildtrain.Model
	Metric wildtrain.Metric
	Loop   wildtrain.Config // the settings' loop, as this model has to be trained

	Callbacks []wildtrain.Callback // that the model needs in training
}

// Close closes model and data.
func (p *Parts) Close() error { return errors.Join(p.Model.Close(), p.Data.Close()) }

// Parts makes the parts that s describes, for programs with a trainer of their
// own; whether they detect or classify follows from s.Model.Architecture. The
// training data is opened and checked. Close them in the end.
func (e *Env) Parts(ctx context.Context, s Settings) (*Parts, error) {
	s.Resume = ""
	t, data, m, err := e.parts(ctx, &s)
	if err != nil {
		return nil, err
	}
	metric, err := t.metric(s, wildtrain.Names(data.Classes()))
	if err != nil {
		return nil, errors.Join(err, m.Close(), data.Close())
	}
	return &Parts{data, m, metric, s.loop(m), append(t.callbacks(m), s.freezing(m))}, nil
}

// parts opens the data and makes the model that is to learn it.
func (e *Env) parts(ctx context.Context, s *Settings) (t task, data dataset, m network, err error) {
	if err = e.fitBatch(ctx, s); err != nil {
		return nil, nil, nil, err
	}
	if t, data, err = e.trainingData(ctx, s); err != nil {
		return nil, nil, nil, err
	}
	if m, err = e.learner(ctx, t, s, data); err != nil {
		return nil, nil, nil, errors.Join(err, data.Close())
	}
	return t, data, m, nil
}

func (e *Env) learner(ctx context.Context, t task, s *Settings, data dataset) (network, error) {
	t.teach(s, data)
	if err := e.pretrained(ctx, s); err != nil {
		return nil, err
	}
	s.Model.scratch = s.Model.Weights == ""
	m, err := e.build(t, *s, wildtrain.Names(data.Classes()))
	if err != nil {
		return nil, err
	}
	if len(s.Model.Freeze) > 0 && !s.freezesByPhase() {
		if err := m.Freeze(s.Model.Freeze...); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	e.adaptOptimizer(s)
	s.chooseOptimizer(data.count(wildtrain.Train), len(data.Classes()))
	return m, nil
}

// adaptOptimizer resolves the optimiser "auto", and that of the shipped
// configuration, which is made for YOLO, where the family has one of its own.
func (e *Env) adaptOptimizer(s *Settings) {
	f, err := familyOf(s.Model.Architecture)
	if err != nil || f.auto == nil || !strings.EqualFold(s.Optimizer.Name, "auto") && s.Optimizer != wildtrain.DefaultOptimizer("SGD") {
		return
	}
	f.auto(s)
	e.log().Info("no optimiser is chosen: the architecture's own is taken", "architecture", s.Model.Architecture, "optimizer", s.Optimizer.Name, "lr0", s.Optimizer.LR, "clip", s.Loop.ClipNorm)
}
