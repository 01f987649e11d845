package pipeline

import (
	"context"
	"fmt"

	"github.com/wildtrain/sdk/datamodule"
)

// Pretraining is a training on other data that comes before the training itself,
// which begins with its best weights.
type Pretraining struct {
	Root    string // of the other data; "" for none
	Format  datamodule.Source
	Epochs  int
	LR      float64
	FinalLR float64  // as a share of LR
	Freeze  []string // name prefixes of parts that do not train
}

// pretrain trains on the other data in a run folder of its own and puts what was
// learnt into the settings. Where it is interrupted the error names the folder,
// which train resume= goes on with.
func (e *Env) pretrain(ctx context.Context, s *Settings) error {
	p := s.Pretraining
	if s.Pretraining.Root = ""; p.Root == "" || s.Resume != "" {
		return nil
	}
	first := *s
	first.Phases, first.Files = nil, nil
	if first.Name = "pretraining"; s.Name != "" {
		first.Name = s.Name + "-pretraining"
	}
	if s.Dir != "" {
		first.Dir = s.Dir + "-pretraining"
	}
	for _, c := range []*datamodule.Common{&first.Data.Common, &first.Labels.Common} {
		c.Root, c.Roots, c.Source, c.Datasets = p.Root, nil, p.Format, nil
		c.Epochs, c.Curriculum.Enabled = p.Epochs, false
	}
	first.Loop.Epochs, first.Loop.FinalLR, first.Optimizer.LR, first.Model.Freeze = p.Epochs, p.FinalLR, p.LR, p.Freeze
	first.Model.Classes, first.Tracking.Register, first.Tracking.Alias = nil, "", ""
	e.log().Info("pretraining", "data", p.Root, "epochs", p.Epochs)
	done, err := e.Train(ctx, first)
	if err != nil {
		if done != nil {
			return fmt.Errorf("pipeline: pretraining in %s: %w", done.Dir, err)
		}
		return fmt.Errorf("pipeline: pretraining: %w", err)
	}
	// classes may be others: then the head begins anew
	s.Model.Weights, s.Model.Partial, s.Model.Pretrained = done.Dir, true, ""
	return nil
}
