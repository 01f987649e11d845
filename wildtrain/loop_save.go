package wildtrain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// judge compares the epoch's monitored value with the best so far.
func (r *run) judge(values []Value, validated bool) (best bool, err error) {
	if r.validates && !validated {
		return false, nil
	}
	p := &r.progress
	if p.Monitor == "" {
		p.Monitor = r.chooseMonitor(values)
	}
	i := slices.IndexFunc(values, func(v Value) bool { return v.Name == p.Monitor })
	switch {
	case p.Monitor == "":
		return false, nil // nothing to go by: no loss was finite
	case i < 0:
		var names []string
		for _, v := range values {
			names = append(names, v.Name)
		}
		return false, fmt.Errorf("wildtrain: monitor %q: no such value in epoch %d; there are %s", p.Monitor, p.Epoch, shortList(names))
	}
	v := values[i].Value
	better := v > p.Best
	if r.cfg.lowerIsBetter(p.Monitor) {
		better = v < p.Best
	}
	if better = (better || p.BestEpoch < 0) && !math.IsNaN(v) && !math.IsInf(v, 0); better {
		p.Best, p.BestEpoch = v, p.Epoch
	}
	p.SinceBest = p.Epoch - max(p.BestEpoch, 0)
	return better, nil
}

// chooseMonitor takes Config.Monitor, or else the first metric, the validation
// loss or the training loss, in this order.
func (r *run) chooseMonitor(values []Value) string {
	switch {
	case r.cfg.Monitor != "":
		return r.cfg.Monitor
	case len(r.latest) > 0:
		return r.latest[0].Name
	case len(values) > 0 && strings.HasPrefix(values[0].Name, "train/"):
		return values[0].Name
	}
	return ""
}

// saveEpoch writes the checkpoints of a finished epoch. "last" comes at the end:
// a run that dies in between is resumed from the one before and writes the
// others again.
func (r *run) saveEpoch(ctx context.Context, best bool) error {
	if best {
		if err := r.save(ctx, "best"); err != nil {
			return err
		}
	}
	if n := r.progress.Epoch; r.cfg.SavePeriod > 0 && n%r.cfg.SavePeriod == 0 {
		if err := r.save(ctx, fmt.Sprintf("epoch%04d", n)); err != nil {
			return err
		}
	}
	return r.save(ctx, "last")
}

// save writes one checkpoint; a cancelled context does not keep it from that.
func (r *run) save(ctx context.Context, which string) error {
	if r.saver == nil {
		return nil
	}
	s, err := r.snapshot(which)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	path, err := r.saver.Save(ctx, s)
	if err != nil {
		return fmt.Errorf("wildtrain: save %s: %w", which, err)
	}
	if r.paths == nil {
		r.paths = map[string]string{}
	}
	r.paths[which] = path
	if which == "last" {
		r.unsaved, r.savedAt = false, r.progress.Seconds
	}
	return r.emit(ctx, Event{Kind: Saved, Path: path, Text: which})
}

func (r *run) snapshot(which string) (*Snapshot, error) {
	s := &Snapshot{
		Which: which, Progress: r.progress, Describe: r.model.Describe(), Metrics: r.latest,
		Model: r.model.State(), Optimizer: r.optimizer.State(), Groups: r.optimizer.Groups(),
	}
	if a := r.averager(); a != nil {
		s.Averaged = a.Averaged()
	}
	if m, ok := r.model.(Randomizer); ok {
		var err error
		if s.Random, err = m.RandomState(); err != nil {
			return nil, fmt.Errorf("wildtrain: save %s: read random state: %w", which, err)
		}
	}
	return s, nil
}

// load brings a saved run back.
func (r *run) load(ctx context.Context) error {
	if !r.resume {
		return nil
	}
	s, err := r.snapshot("last")
	if err != nil {
		return err
	}
	if err := r.saver.(Resumer).Load(ctx, "last", s); err != nil {
		return fmt.Errorf("wildtrain: resume: %w", err)
	}
	if m, ok := r.model.(Randomizer); ok && len(s.Random) > 0 {
		if err := m.SetRandomState(s.Random); err != nil {
			return fmt.Errorf("wildtrain: resume: set random state: %w", err)
		}
	}
	p := &r.progress
	*p, r.latest = s.Progress, s.Metrics
	if p.Accumulated != 0 {
		return errors.New("wildtrain: resume: the checkpoint was written within an accumulation window")
	}
	if a := r.averager(); a != nil && p.Averages == 0 && p.Step > 0 { // it was off: it begins with the weights of now
		if err := a.Average(0); err != nil {
			return fmt.Errorf("wildtrain: resume: begin average: %w", err)
		}
	}
	if p.Seed != r.cfg.Seed {
		r.early = append(r.early, fmt.Sprintf("the run was begun with seed %d; %d is not used", p.Seed, r.cfg.Seed))
	}
	if r.cfg.Monitor != "" && p.Monitor != "" && p.Monitor != r.cfg.Monitor {
		r.early = append(r.early, fmt.Sprintf("%q is monitored now instead of %q: the best epoch so far is forgotten", r.cfg.Monitor, p.Monitor))
		p.Monitor, p.Best, p.BestEpoch, p.SinceBest = "", 0, -1, 0
	}
	return nil
}
