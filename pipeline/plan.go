package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// Plan is what a run would do, found out without doing it: configuration, data
// and weights have been opened and fit together, nothing has been written.
type Plan struct {
	Architecture string   `json:"architecture"`
	Weights      string   `json:"weights"`    // file or run folder
	Pretrained   string   `json:"pretrained"` // published weights that would be fetched; "" for none
	Classes      []string `json:"classes"`
	ImageSize    int      `json:"image_size"`
	Train        int      `json:"train"` // pictures to train on
	Val          int      `json:"val"`   // pictures to validate, measure or look at
	Epochs       int      `json:"epochs"`
	Batch        int      `json:"batch"`
	Optimizer    string   `json:"optimizer"`
	Device       string   `json:"device"`
	Run          string   `json:"run"` // folder that would be made or gone on with; the name may get a number
}

// PlanTrain is Train up to the point where it would begin.
func (e *Env) PlanTrain(ctx context.Context, s Settings) (p *Plan, err error) {
	batch := s.Loop.Batch // AutoBatch is left open
	s.Loop.Batch = max(batch, 1)
	task, data, err := e.trainingData(ctx, &s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	p = &Plan{
		Weights: s.Model.Weights, Pretrained: s.Model.Pretrained, Classes: wildtrain.Names(data.Classes()), ImageSize: s.Model.ImageSize, Train: data.count(wildtrain.Train),
		Epochs: s.Loop.Epochs, Batch: batch, Device: s.Hardware.Device, Run: s.runPath(),
	}
	s.chooseOptimizer(p.Train, len(p.Classes))
	if p.Optimizer = s.Optimizer.Name; s.Loop.ValidateEvery > 0 {
		p.Val = data.count(wildtrain.Val)
	}
	if p.Architecture, err = task.canonical(s.Model.Architecture); err != nil || s.Model.Weights == "" {
		return p, err
	}
	_, err = os.Stat(s.Model.Weights)
	return p, err
}

// runPath is the folder of the run, as far as it can be told before it is made.
func (s Settings) runPath() string {
	switch {
	case s.Resume != "":
		return s.Resume
	case s.Dir != "":
		return s.Dir
	case s.Name != "":
		return filepath.Join(s.Runs, s.Experiment, s.Name)
	}
	return filepath.Join(s.Runs, s.Experiment, "TIME")
}

// PlanEvaluate is Evaluate up to the point where it would look at the first picture.
func (e *Env) PlanEvaluate(ctx context.Context, s Settings) (p *Plan, err error) {
	return e.planUse(s, func(m network, t task, p *Plan) error {
		data, classes, stage, err := e.evaluationData(ctx, t, &s, m.Describe())
		if err != nil {
			return err
		}
		p.Classes, p.Val = classes, data.count(stage)
		return data.Close()
	})
}

// PlanPredict is Predict up to the point where it would look at the first picture.
func (e *Env) PlanPredict(ctx context.Context, s Settings, sources []string) (p *Plan, err error) {
	return e.planUse(s, func(m network, t task, p *Plan) error {
		data, err := t.pictures(s, m.Describe(), sources)
		if err != nil {
			return err
		}
		err = data.Setup(ctx, wildtrain.Test)
		p.Val = data.count(wildtrain.Test)
		return errors.Join(err, data.Close())
	})
}

// planUse opens weights and plans with them.
func (e *Env) planUse(s Settings, plan func(network, task, *Plan) error) (p *Plan, err error) {
	m, t, err := e.open(&s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	about := m.Describe()
	p = &Plan{Architecture: about.Architecture, Weights: s.Model.Weights, Classes: about.Classes, ImageSize: about.InputSize[0], Batch: s.Data.EvalBatch, Device: s.Hardware.Device}
	return p, plan(m, t, p)
}

// trainingData opens what s trains on. What can be wrong with settings and data is
// found here, before anything is made.
func (e *Env) trainingData(ctx context.Context, s *Settings) (t task, data dataset, err error) {
	if err := errors.Join(s.Validate(), badSettings(s.Loop.Validate())); err != nil {
		return nil, nil, err
	}
	t = taskOf(s.Model.Architecture)
	if s.Model.ImageSize == 0 {
		s.Model.ImageSize = t.imageSize(s.Model.Architecture)
	}
	if data, err = t.data(*s, e.log()); err != nil {
		return nil, nil, err
	}
	classes := wildtrain.Names(data.Classes())
	err = checkClasses(s.Model.Classes, classes)
	if err == nil && s.Resume != "" {
		err = checkResume(t, s.Resume, s.Model.Architecture, classes)
		// what the run was begun with may be gone by now
		s.Model.Weights, s.Model.Partial = filepath.Join(s.Resume, "checkpoints", "last"), false
	}
	if err == nil {
		err = checkMonitor(t, *s, classes)
	}
	if err == nil {
		err = setup(ctx, *s, data)
	}
	if err != nil {
		return nil, nil, errors.Join(err, data.Close())
	}
	return t, data, nil
}

// checkMonitor finds a training.monitor that no validation gives. The names of
// losses are known to the model alone.
func checkMonitor(t task, s Settings, classes []string) error {
	name := s.Loop.Monitor
	if name == "" || strings.HasPrefix(name, "train/") {
		return nil
	}
	if s.Loop.ValidateEvery == 0 {
		return badSettings(fmt.Errorf("pipeline: training.monitor is %q, but there is no validation (training.val=false)", name))
	}
	if strings.HasPrefix(name, "val/") {
		return nil
	}
	m, err := t.metric(s, classes)
	if err != nil {
		return err
	}
	values, err := m.Compute()
	if err != nil {
		return nil // it cannot tell without data
	}
	var names []string
	for _, v := range values {
		if v.Name == name {
			return nil
		}
		if !strings.Contains(v.Name, "/") { // not those of single classes
			names = append(names, v.Name)
		}
	}
	return badSettings(fmt.Errorf("pipeline: training.monitor is %q, which no metric gives; there are %s", name, strings.Join(names, ", ")))
}
