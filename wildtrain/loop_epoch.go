package wildtrain

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// trainEpoch trains on the present epoch's batches, from where it stands to its
// end, or to the end of an accumulation window when the run is to stop.
func (r *run) trainEpoch(ctx context.Context) error {
	p := &r.progress
	loader, err := r.data.Loader(Train, Position{Epoch: p.Epoch, Batch: p.Batch, World: 1})
	if err != nil {
		return fmt.Errorf("wildtrain: load epoch %d: %w", p.Epoch+1, err)
	}
	switch r.schedule.batches = loader.Len(); {
	case r.schedule.batches == 0:
		return fmt.Errorf("wildtrain: load epoch %d: %w", p.Epoch+1, ErrEmpty)
	case p.Batch > r.schedule.batches:
		return fmt.Errorf("wildtrain: resume epoch %d: the checkpoint stands after batch %d, the epoch has %d: the data has changed", p.Epoch+1, p.Batch, r.schedule.batches)
	}
	if err := r.emit(ctx, Event{Kind: EpochStart}); err != nil || r.wantsStop(ctx) {
		return err
	}
	if m, ok := r.model.(Scheduled); ok {
		m.Schedule(p.Epoch, r.cfg.Epochs)
	}
	r.tick()
	r.rate = rate{begun: p.Seconds}
	// A step once begun ends, and a window once begun is filled: batches that
	// are accumulated but not stepped could not be brought back.
	work := context.WithoutCancel(ctx)
	for b, err := range loader.Batches(work) {
		if err != nil {
			return fmt.Errorf("wildtrain: load epoch %d, batch %d: %w", p.Epoch+1, p.Batch+1, err)
		}
		if err := r.step(work, b); err != nil {
			return err
		}
		if p.Accumulated > 0 {
			continue
		}
		if r.wantsStop(ctx) {
			return nil
		}
		if r.cfg.SaveSeconds > 0 && p.Seconds-r.savedAt >= r.cfg.SaveSeconds && p.Batch < r.schedule.batches {
			if err := r.save(ctx, "last"); err != nil {
				return err
			}
		}
	}
	if p.Batch != r.schedule.batches {
		return fmt.Errorf("wildtrain: load epoch %d: the loader ended after %d of %d batches", p.Epoch+1, p.Batch, r.schedule.batches)
	}
	return nil
}

// iteration counts the batches since the run's beginning.
func (r *run) iteration() int { return r.progress.Epoch*r.schedule.batches + r.progress.Batch }

// step trains on one batch, and steps the optimiser at the end of a window.
func (r *run) step(ctx context.Context, b *Batch) error {
	defer b.Release()
	p, images, samples := &r.progress, b.Len(), b.Samples
	if p.Accumulated == 0 {
		r.window = r.schedule.window(r.iteration(), r.schedule.batches-p.Batch)
	}
	r.stepped = nil
	last := p.Accumulated+1 == r.window
	losses, err := r.model.TrainStep(ctx, b, Step{Scale: r.schedule.scale(r.window), Sync: last, Number: p.Step})
	if err != nil {
		return fmt.Errorf("wildtrain: train epoch %d, batch %d (%s): %w", p.Epoch+1, p.Batch+1, sampleList(samples), err)
	}
	r.unsaved = true
	r.pending = append(r.pending, pending{p.Batch + 1, samples, losses})
	iteration := r.iteration()
	p.Batch++
	p.Accumulated++
	p.Images += int64(images)
	if last {
		if err := r.optimize(ctx, iteration); err != nil {
			return err
		}
		if err := r.drain(ctx); err != nil {
			return err
		}
	}
	r.tick()
	r.rate.images += images
	r.rate.seconds = p.Seconds - r.rate.begun
	return r.emit(ctx, Event{Kind: StepEnd, Images: images, Losses: losses, Report: r.stepped, Samples: samples})
}

// optimize steps the optimiser and folds the new weights into the average.
func (r *run) optimize(ctx context.Context, iteration int) error {
	p := &r.progress
	for _, g := range r.base {
		lr, momentum := r.schedule.group(g, iteration, p.Epoch)
		if err := r.optimizer.SetGroup(g.Name, lr, momentum, g.Decay); err != nil {
			return fmt.Errorf("wildtrain: set optimizer group %q: %w", g.Name, err)
		}
	}
	report, err := r.optimizer.Step(Clip{Norm: r.cfg.ClipNorm, Value: r.cfg.ClipValue})
	if err != nil {
		return fmt.Errorf("wildtrain: step optimizer in epoch %d, batch %d: %w", p.Epoch+1, p.Batch, err)
	}
	r.stepped = &report
	r.optimizer.ZeroGrad()
	p.Accumulated = 0
	if report.Skipped {
		p.Skipped++
		if r.skipped++; r.skipped > r.cfg.SkippedSteps {
			return fmt.Errorf("wildtrain: step optimizer in epoch %d, batch %d: %d steps in a row: %w", p.Epoch+1, p.Batch, r.skipped, ErrNonFinite)
		}
		return nil
	}
	r.skipped = 0
	p.Step++
	if a := r.averager(); a != nil {
		p.Averages++
		if err := a.Average(r.schedule.average(p.Averages)); err != nil {
			return fmt.Errorf("wildtrain: average weights: %w", err)
		}
	}
	return nil
}

// pending is the loss of a batch that nobody has waited for yet.
type pending struct {
	batch   int // within the epoch, from 1
	samples []Sample
	losses  Losses
}

// drain reads the losses of a window. It comes after the optimiser's step, which
// waits for the device anyway and changes nothing where gradients are not finite.
func (r *run) drain(ctx context.Context) error {
	p := &r.progress
	for _, q := range r.pending {
		names := q.losses.Names()
		values, err := q.losses.Values()
		if err != nil {
			return fmt.Errorf("wildtrain: read loss of epoch %d, batch %d: %w", p.Epoch+1, q.batch, err)
		}
		if len(values) != len(names) || len(values) == 0 {
			return fmt.Errorf("wildtrain: read loss of epoch %d, batch %d: %d values for the names %q", p.Epoch+1, q.batch, len(values), names)
		}
		if slices.ContainsFunc(values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
			text := fmt.Sprintf("epoch %d, batch %d (%s): %s", p.Epoch+1, q.batch, sampleList(q.samples), lossList(names, values))
			if r.nonFinite++; r.nonFinite > r.cfg.NonFinite {
				return fmt.Errorf("wildtrain: train %s: %w", text, ErrNonFinite)
			}
			if err := r.warn(ctx, "the loss is not finite in "+text); err != nil {
				return err
			}
			continue
		}
		r.nonFinite = 0
		if !slices.Equal(p.LossNames, names) {
			p.LossNames, p.LossSum, p.LossCount = slices.Clone(names), make([]float64, len(names)), 0
		}
		for i, v := range values {
			p.LossSum[i] += v
		}
		p.LossCount++
	}
	r.pending = r.pending[:0]
	return nil
}

// trainValues are the mean losses of the epoch.
func (r *run) trainValues() []Value {
	p := r.progress
	if p.LossCount == 0 {
		return nil
	}
	values := make([]Value, len(p.LossNames))
	for i, name := range p.LossNames {
		values[i] = Value{"train/" + name, p.LossSum[i] / float64(p.LossCount)}
	}
	return values
}

// endEpoch counts the epoch as finished and returns its learning rates and the
// time so far.
func (r *run) endEpoch() []Value {
	r.tick()
	p := &r.progress
	var values []Value
	for _, g := range r.base {
		lr, _ := r.schedule.group(g, r.iteration()-1, p.Epoch)
		values = append(values, Value{"lr/" + g.Name, lr})
	}
	values = append(values, Value{"time/seconds", p.Seconds})
	if r.rate.seconds > 0 {
		values = append(values, Value{"time/images_per_second", float64(r.rate.images) / r.rate.seconds})
	}
	p.Epoch++
	p.Batch = 0
	p.LossNames, p.LossSum, p.LossCount = nil, nil, 0
	r.unsaved = true
	return values
}

// rate measures how fast an epoch trains, loading included, validation not.
type rate struct {
	begun, seconds float64 // of Progress.Seconds
	images         int
}

// tick counts the time since the last tick.
func (r *run) tick() {
	now := time.Now()
	r.progress.Seconds += now.Sub(r.mark).Seconds()
	r.mark = now
}

// sampleList names the samples of a batch.
func sampleList(samples []Sample) string {
	ids := make([]string, len(samples))
	for i, s := range samples {
		ids[i] = s.ID
	}
	return "samples " + shortList(ids)
}

func lossList(names []string, values []float64) string {
	text := ""
	for i, n := range names {
		text += fmt.Sprintf("%s=%v ", n, values[i])
	}
	return text[:len(text)-1]
}
