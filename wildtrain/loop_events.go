package wildtrain

import (
	"context"
	"errors"
	"fmt"
)

// emit tells all callbacks. ErrStop and ErrPruned are kept for the next point
// where the run can end in good order; any other error ends it now.
func (r *run) emit(ctx context.Context, e Event) error {
	e.Progress, e.Epochs, e.Model = r.progress, r.cfg.Epochs, r.model
	if e.Stage == "" {
		e.Batch, e.Batches = r.progress.Batch, r.schedule.batches
	}
	for _, c := range r.callbacks {
		err := c.Handle(ctx, &e)
		switch {
		case err == nil:
		case errors.Is(err, ErrPruned):
			r.stop, r.reason = ErrPruned, "pruned: "+err.Error()
		case errors.Is(err, ErrStop):
			if r.stop == nil {
				r.stop, r.reason = ErrStop, err.Error()
			}
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			r.wantsStop(ctx)
		default:
			return fmt.Errorf("wildtrain: callback on %s: %w", e.Kind, err)
		}
	}
	return nil
}

// warn tells callbacks and the log of something that does not end training.
func (r *run) warn(ctx context.Context, text string) error {
	r.log.WarnContext(ctx, text)
	return r.emit(ctx, Event{Kind: Warning, Text: text})
}

// report hands an epoch's values to the history, the loggers and the callbacks.
func (r *run) report(ctx context.Context, values []Value) error {
	n := r.progress.Epoch
	r.history = append(r.history, Epoch{Number: n, Values: values})
	for _, g := range r.loggers {
		if err := g.Log(ctx, int64(n), values...); err != nil {
			if err := r.warn(ctx, fmt.Sprintf("log epoch %d: %v", n, err)); err != nil {
				return err
			}
		}
	}
	return r.emit(ctx, Event{Kind: EpochEnd, Values: values})
}
