package tune

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/wildtrain/sdk/tune/internal/pyjson"
	"github.com/wildtrain/sdk/wildtrain"
)

// Live is a running trial: what the objective asks for values and tells its
// progress. It implements wildtrain.Suggester. Writes to the storage are grouped:
// they are made together within a few milliseconds, at the latest with the next
// report or with the end of the trial.
type Live struct {
	study *Study
	fixed map[string]any

	mu       sync.Mutex
	trial    *Trial // own copy, pending changes included
	drawn    bool   // relative is there
	calls    int    // of the sampler
	relative map[string]Param
	pending  []Change
	flush    *time.Timer
	lost     error // of a flush in the background

	beatStop context.CancelFunc
	beatDone chan struct{}
}

var _ wildtrain.Suggester = (*Live)(nil)

// flushAfter groups the parameters that an objective asks for one after another.
const flushAfter = 5 * time.Millisecond

// Number is the trial's number within the study.
func (l *Live) Number() int { return l.trial.Number }

// Params lists the values suggested so far.
func (l *Live) Params() map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trial.External()
}

// UserAttrs are the trial's user attributes, JSON text by key: those of an
// enqueued trial, of a dead one that is tried again, and what was set since.
func (l *Live) UserAttrs() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.trial.UserAttrs)
}

// Float suggests a real number in [low, high].
func (l *Live) Float(name string, low, high float64, log bool) (float64, error) {
	return l.float(name, low, high, log, 0)
}

// Step suggests one of low, low+step, … up to high.
func (l *Live) Step(name string, low, high, step float64) (float64, error) {
	return l.float(name, low, high, false, step)
}

func (l *Live) float(name string, low, high float64, log bool, step float64) (float64, error) {
	d, err := NewFloat(low, high, log, step)
	if err != nil {
		return 0, fmt.Errorf("tune: suggest %s: %w", name, err)
	}
	v, err := l.Suggest(context.Background(), name, d)
	f, _ := v.(float64)
	return f, err
}

// Int suggests an integer from low to high.
func (l *Live) Int(name string, low, high int64, log bool) (int64, error) {
	d, err := NewInt(low, high, log, 1)
	if err != nil {
		return 0, fmt.Errorf("tune: suggest %s: %w", name, err)
	}
	v, err := l.Suggest(context.Background(), name, d)
	i, _ := v.(int64)
	return i, err
}

// Categorical suggests one of the choices.
func (l *Live) Categorical(name string, choices ...any) (any, error) {
	d, err := NewCategorical(choices...)
	if err != nil {
		return nil, fmt.Errorf("tune: suggest %s: %w", name, err)
	}
	return l.Suggest(context.Background(), name, d)
}

// Suggest suggests a value of any distribution. In this order: what this trial
// has already, what was enqueued, the only value, what is sampled together with
// others, what is sampled alone.
func (l *Live) Suggest(ctx context.Context, name string, d Distribution) (any, error) {
	if p, ok := l.trial.Params[name]; ok {
		if err := Compatible(name, p.Dist, d); err != nil {
			return nil, err
		}
		return p.Dist.External(p.Value), nil
	}
	v, err := l.value(ctx, name, d)
	if err != nil {
		return nil, fmt.Errorf("tune: suggest %s: %w", name, err)
	}
	err = l.change(ctx, false, Change{Kind: SetParam, Key: name, Value: v, Dist: d})
	return d.External(v), err
}

// value finds the internal value for a parameter that is not there yet.
func (l *Live) value(ctx context.Context, name string, d Distribution) (float64, error) {
	if v, ok := l.fixed[name]; ok {
		f, err := d.Internal(v)
		if err == nil && !d.Contains(f) {
			l.study.options.Logger.Warn("enqueued value is out of range", "trial", l.trial.Number, "parameter", name, "value", v)
		}
		return f, err
	}
	if d.Single() {
		return single(d), nil
	}
	if !l.drawn {
		err := l.sample(ctx, func(draft *Draft) (err error) {
			l.relative, err = l.study.options.Sampler.Relative(ctx, draft)
			l.drawn = err == nil
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if p, ok := l.relative[name]; ok {
		if err := Compatible(name, p.Dist, d); err != nil || d.Contains(p.Value) {
			return p.Value, err
		}
	}
	var out float64
	err := l.sample(ctx, func(draft *Draft) (err error) {
		out, err = l.study.options.Sampler.Independent(ctx, draft, name, d)
		return err
	})
	return out, err
}

func single(d Distribution) float64 {
	switch x := d.(type) {
	case Float:
		return x.Low
	case Int:
		return float64(x.Low)
	}
	return 0
}

// sample calls f with what the sampler may see, one trial of the study at a time.
func (l *Live) sample(ctx context.Context, f func(*Draft) error) error {
	s := l.study
	v, err := s.seen(ctx, l.trial)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if own, ok := s.options.Sampler.(interface{ streamFor(number, call int) }); ok {
		own.streamFor(l.trial.Number, l.calls)
		l.calls++
	}
	if fl, ok := s.options.Pruner.(Filterer); ok {
		v = fl.Filter(v, l.trial)
	}
	var changes []Change
	err = f(&Draft{View: v, Trial: l.trial.Clone(), set: func(key, json string) {
		changes = append(changes, Change{Kind: SetSystemAttr, Key: key, JSON: json})
	}})
	if err == nil && len(changes) > 0 {
		err = l.change(ctx, false, changes...)
	}
	return err
}

// Report tells an intermediate value; the first one of a step counts. It returns
// wildtrain.ErrPruned where the pruner finds the trial hopeless: the objective
// then returns that error, and Optimize marks the trial.
func (l *Live) Report(step int64, value float64) error {
	ctx := context.Background()
	if step < 0 {
		return fmt.Errorf("tune: report step %d: steps begin at 0", step)
	}
	if err := l.change(ctx, true, Change{Kind: SetReport, Step: step, Value: value}); err != nil {
		return err
	}
	prune, err := l.ShouldPrune(ctx)
	if err == nil && prune {
		err = wildtrain.ErrPruned
	}
	return err
}

// ShouldPrune asks the pruner.
func (l *Live) ShouldPrune(ctx context.Context) (bool, error) {
	s := l.study
	if s.options.Pruner == nil {
		return false, nil
	}
	v, err := s.seen(ctx, l.trial)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var changes []Change
	prune, err := s.options.Pruner.Prune(v.by(s.options.PruneBy), l.trial, func(key, json string) {
		changes = append(changes, Change{Kind: SetSystemAttr, Key: key, JSON: json})
	})
	if err == nil && len(changes) > 0 {
		err = l.change(ctx, true, changes...)
	}
	return prune, err
}

// by is a view with one objective alone.
func (v *View) by(objective int) *View {
	if len(v.Directions) == 1 {
		return v
	}
	out := &View{Study: v.Study, Directions: v.Directions[objective : objective+1], Trials: make([]*Trial, len(v.Trials))}
	for i, t := range v.Trials {
		c := *t
		if len(t.Values) > objective {
			c.Values = t.Values[objective : objective+1]
		}
		out.Trials[i] = &c
	}
	return out
}

// SetConstraint tells a constraint's value: above 0 the trial is infeasible.
func (l *Live) SetConstraint(ctx context.Context, name string, value float64) error {
	if value != value {
		return fmt.Errorf("tune: constraint %s of trial %d is NaN", name, l.trial.Number)
	}
	return l.change(ctx, false, Change{Kind: SetSystemAttr, Key: constraintKey + ":" + name, JSON: pyjson.Float(value)})
}

// SetUserAttr keeps a JSON value (nil, bool, number, string, list or map of
// these) with the trial.
func (l *Live) SetUserAttr(ctx context.Context, key string, value any) error {
	text, err := pyjson.Marshal(value, false)
	if err != nil {
		return fmt.Errorf("tune: attribute %s: %w", key, err)
	}
	return l.change(ctx, true, Change{Kind: SetUserAttr, Key: key, JSON: text})
}

// change makes changes, at once where now is set, else soon.
func (l *Live) change(ctx context.Context, now bool, changes ...Change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trial.Apply(changes...)
	l.pending = append(l.pending, changes...)
	if now || l.lost != nil {
		return l.write(ctx)
	}
	if l.flush == nil {
		l.flush = time.AfterFunc(flushAfter, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.lost = l.write(context.WithoutCancel(ctx))
		})
	}
	return nil
}

// write brings pending changes to the storage. The lock is held.
func (l *Live) write(ctx context.Context) error {
	if l.flush != nil {
		l.flush.Stop()
		l.flush = nil
	}
	if len(l.pending) == 0 {
		return nil
	}
	err := l.study.storage.Update(ctx, l.trial.ID, l.pending...)
	if err == nil {
		l.pending, l.lost = nil, nil
	}
	return err
}
