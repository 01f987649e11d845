package pipeline

import (
	"context"
	"errors"
	"os"

	"github.com/wildtrain/sdk/wildtrain"
)

// Plan is what a run would do, found out without doing it: configuration, data
// and weights have been opened and fit together, nothing has been written.
type Plan struct {
	Architecture string   `json:"architecture"`
	Weights      string   `json:"weights"` // "" for random ones or published ones still to be fetched
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
	task, data, err := e.trainingData(ctx, &s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	if s.Model.Weights != "" {
		if _, err := os.Stat(s.Model.Weights); err != nil {
			return nil, err
		}
	}
	classes := wildtrain.Names(data.Classes())
	s.chooseOptimizer(data.count(wildtrain.Train), len(classes))
	p = &Plan{
		Weights: s.Model.Weights, Classes: classes, ImageSize: s.Model.ImageSize, Train: data.count(wildtrain.Train),
		Epochs: s.Loop.Epochs, Batch: s.Loop.Batch, Optimizer: s.Optimizer.Name, Device: s.Hardware.Device, Run: s.runName(),
	}
	if s.Loop.ValidateEvery > 0 {
		p.Val = data.count(wildtrain.Val)
	}
	p.Architecture, err = task.canonical(s.Model.Architecture)
	return p, err
}
