package wildtrain

import (
	"context"
	"fmt"
	"runtime"
)

// Validate runs m as it is (no moving average) over d's validation split and
// returns the values of all metrics, and the validation losses as "val/…" where
// m is an Evaluator.
func (l *Loop) Validate(ctx context.Context, m Model, d DataModule) ([]Value, error) {
	return l.evaluate(ctx, m, d, Val)
}

// Test is Validate on the test split; losses are named "test/…".
func (l *Loop) Test(ctx context.Context, m Model, d DataModule) ([]Value, error) {
	return l.evaluate(ctx, m, d, Test)
}

func (l *Loop) evaluate(ctx context.Context, m Model, d DataModule, stage Stage) (values []Value, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := &run{Loop: l, model: m, data: d}
	err = guard("evaluate "+string(stage), func() error {
		if err := d.Setup(ctx, stage); err != nil {
			return fmt.Errorf("wildtrain: set up %s data: %w", stage, err)
		}
		if err := r.checkClasses(); err != nil {
			return err
		}
		for _, text := range r.early {
			if err := r.warn(ctx, text); err != nil {
				return err
			}
		}
		values, err = r.evaluate(ctx, stage)
		return err
	})
	return values, err
}

// validateEpoch validates with the averaged weights where it is time to. Nil
// values tell that it was not.
func (r *run) validateEpoch(ctx context.Context) (values []Value, err error) {
	number := r.progress.Epoch + 1
	if !r.validates || number%r.cfg.ValidateEvery != 0 && number != r.cfg.Epochs {
		return nil, nil
	}
	validate := func() error {
		values, err = r.evaluate(ctx, Val)
		return err
	}
	if a := r.averager(); a != nil {
		err = a.WithAverage(validate)
	} else {
		err = validate()
	}
	if err == nil {
		r.latest = values
	}
	return values, err
}

// evaluate runs the model over a stage. The values are never nil.
func (r *run) evaluate(ctx context.Context, stage Stage) ([]Value, error) {
	loader, err := r.data.Loader(stage, Position{World: 1})
	if err != nil {
		return nil, fmt.Errorf("wildtrain: load %s: %w", stage, err)
	}
	for _, m := range r.metrics {
		m.Reset()
	}
	if err := r.emit(ctx, Event{Kind: ValidateStart, Stage: stage, Batches: loader.Len()}); err != nil {
		return nil, err
	}
	n, losses := 0, meanLosses{}
	for b, err := range loader.Batches(ctx) {
		if err != nil {
			return nil, fmt.Errorf("wildtrain: load %s, batch %d: %w", stage, n+1, err)
		}
		n++
		e := Event{Kind: ValidateStep, Stage: stage, Batch: n, Batches: loader.Len()}
		if err := r.evaluateBatch(ctx, b, &losses, e); err != nil {
			return nil, fmt.Errorf("wildtrain: evaluate %s, batch %d: %w", stage, n, err)
		}
	}
	if n == 0 {
		return nil, fmt.Errorf("wildtrain: evaluate %s: %w", stage, ErrEmpty)
	}
	values := []Value{}
	for _, m := range r.metrics {
		v, err := m.Compute()
		if err != nil {
			return nil, fmt.Errorf("wildtrain: compute %s: %w", m.Name(), err)
		}
		values = append(values, v...)
	}
	values = append(values, losses.values(string(stage)+"/")...)
	return values, r.emit(ctx, Event{Kind: ValidateEnd, Stage: stage, Values: values})
}

func (r *run) evaluateBatch(ctx context.Context, b *Batch, sum *meanLosses, e Event) error {
	defer b.Release()
	e.Images, e.Samples = b.Len(), b.Samples
	var err error
	if ev, ok := r.model.(Evaluator); ok {
		e.Losses, e.Predictions, err = ev.Evaluate(ctx, b)
		if err == nil {
			err = sum.add(e.Losses)
		}
	} else {
		e.Predictions, err = r.model.Predict(ctx, b)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", sampleList(e.Samples), err)
	}
	if len(e.Predictions) != len(e.Samples) {
		return fmt.Errorf("the model gave %d predictions for %d samples", len(e.Predictions), len(e.Samples))
	}
	for _, m := range r.metrics {
		if err := m.Update(e.Predictions, e.Samples); err != nil {
			return fmt.Errorf("update %s: %w", m.Name(), err)
		}
	}
	return r.emit(ctx, e)
}

// meanLosses averages losses over batches.
type meanLosses struct {
	names []string
	sums  []float64
	count int
}

func (l *meanLosses) add(losses Losses) error {
	if losses == nil {
		return nil
	}
	values, err := losses.Values()
	if err != nil {
		return fmt.Errorf("read loss: %w", err)
	}
	if l.names == nil {
		l.names, l.sums = losses.Names(), make([]float64, len(values))
	}
	if len(values) != len(l.sums) || len(l.names) != len(l.sums) {
		return fmt.Errorf("read loss: %d values for the names %q", len(values), l.names)
	}
	for i, v := range values {
		l.sums[i] += v
	}
	l.count++
	return nil
}

func (l *meanLosses) values(prefix string) []Value {
	values := make([]Value, len(l.names))
	for i, n := range l.names {
		values[i] = Value{prefix + n, l.sums[i] / float64(l.count)}
	}
	return values
}
