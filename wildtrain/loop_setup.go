package wildtrain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// setup opens the data, makes the optimiser and brings a saved run back.
func (r *run) setup(ctx context.Context) error {
	if err := r.data.Setup(ctx, Train); err != nil {
		return fmt.Errorf("wildtrain: set up training data: %w", err)
	}
	if err := r.setupValidation(ctx); err != nil {
		return err
	}
	if err := r.checkClasses(); err != nil {
		return err
	}
	r.schedule = schedule{Config: r.cfg, fixedBetas: hasBetas(r.Loop.optimizer.Name)}
	chosen := r.Loop.optimizer
	chosen.WeightDecay = r.schedule.decay(chosen.WeightDecay)
	var err error
	if r.optimizer, err = r.model.Optimizer(chosen); err != nil {
		return fmt.Errorf("wildtrain: make optimizer: %w", err)
	}
	r.base = slices.Clone(r.optimizer.Groups())
	r.optimizer.ZeroGrad()
	if a := r.averager(); a != nil { // the average begins as a copy, whatever the model did before
		if err := a.Average(0); err != nil {
			return fmt.Errorf("wildtrain: begin average: %w", err)
		}
	}
	if err := r.load(ctx); err != nil {
		return err
	}
	if err := r.checkMonitor(); err != nil {
		return err
	}
	r.mark, r.savedAt = time.Now(), r.progress.Seconds
	if err := r.emit(ctx, Event{Kind: FitStart}); err != nil {
		return err
	}
	for _, text := range r.early {
		if err := r.warn(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) setupValidation(ctx context.Context) error {
	if r.cfg.ValidateEvery == 0 {
		return nil
	}
	switch err := r.data.Setup(ctx, Val); {
	case err == nil:
		r.validates = true
	case errors.Is(err, ErrNoSplit):
		r.early = append(r.early, fmt.Sprintf("no validation: %v", err))
	default:
		return fmt.Errorf("wildtrain: set up validation data: %w", err)
	}
	return nil
}

// checkClasses holds the model's class list against the data's.
func (r *run) checkClasses() error {
	have, want := r.model.Describe().Classes, Names(r.data.Classes())
	if len(have) == 0 || len(want) == 0 || slices.Equal(have, want) {
		return nil
	}
	if len(have) != len(want) {
		return fmt.Errorf("wildtrain: the model knows %d classes, the data has %d: %s and %s", len(have), len(want), shortList(have), shortList(want))
	}
	r.early = append(r.early, fmt.Sprintf("the model's classes are named %s, the data's %s", shortList(have), shortList(want)))
	return nil
}

// checkMonitor finds a monitored value that can never come before an epoch is
// spent on it. Metrics tell their names by computing over nothing.
func (r *run) checkMonitor() error {
	name := r.cfg.Monitor
	if name == "" || strings.HasPrefix(name, "train/") {
		return nil
	}
	if !r.validates {
		return fmt.Errorf("wildtrain: config: Monitor is %q, but there is no validation", name)
	}
	_, evaluates := r.model.(Evaluator)
	if strings.HasPrefix(name, "val/") && evaluates {
		return nil // the names of the losses are known after the first batch
	}
	var names []string
	for _, m := range r.metrics {
		m.Reset()
		values, err := m.Compute()
		if err != nil {
			return nil // it cannot tell without data
		}
		for _, v := range values {
			names = append(names, v.Name)
		}
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("wildtrain: config: Monitor is %q, which no metric gives; there are %s", name, shortList(names))
	}
	return nil
}

// averager is the model's moving average, nil where there is none or it is off.
func (r *run) averager() Averager {
	a, ok := r.model.(Averager)
	if !ok || r.cfg.EMADecay == 0 {
		return nil
	}
	return a
}

// finished tells whether the run ends before the next epoch, and keeps the reason.
func (r *run) finished(ctx context.Context) bool {
	p := r.progress
	switch {
	case p.Epoch >= r.cfg.Epochs || r.wantsStop(ctx):
		return true
	case r.cfg.Patience > 0 && p.SinceBest >= r.cfg.Patience && p.Batch == 0:
		r.reason = fmt.Sprintf("no better %s for %d epochs", p.Monitor, p.SinceBest)
		return true
	}
	return false
}

// wantsStop tells whether a callback, the context or the clock wants an early end.
func (r *run) wantsStop(ctx context.Context) bool {
	switch {
	case r.stop != nil:
	case ctx.Err() != nil:
		r.stop, r.reason = ctx.Err(), "cancelled"
	case r.cfg.MaxSeconds > 0 && r.progress.Seconds >= r.cfg.MaxSeconds:
		r.stop, r.reason = ErrStop, fmt.Sprintf("time limit of %v s reached", r.cfg.MaxSeconds)
	}
	return r.stop != nil
}

// halt ends the run in good order and returns what Fit is to return.
func (r *run) halt(ctx context.Context) error {
	if r.progress.Epoch < r.cfg.Epochs && ctx.Err() != nil {
		r.wantsStop(ctx)
	}
	if r.unsaved {
		if err := r.save(ctx, "last"); err != nil {
			return err
		}
	}
	r.halted = true
	if r.stop == nil || errors.Is(r.stop, ErrStop) {
		return nil
	}
	return fmt.Errorf("wildtrain: fit: %s in epoch %d after batch %d: %w", r.reason, r.progress.Epoch+1, r.progress.Batch, r.stop)
}

func (r *run) result() *Result {
	p := r.progress
	return &Result{
		Progress: p, Best: p.Best, Monitor: p.Monitor, Metrics: r.latest, History: r.history,
		Stopped: r.reason, BestPath: r.paths["best"], LastPath: r.paths["last"],
	}
}

// shortList writes the first names of a list.
func shortList(names []string) string {
	const most = 8
	if len(names) > most {
		return fmt.Sprintf("%q and %d more", names[:most], len(names)-most)
	}
	return fmt.Sprintf("%q", names)
}
