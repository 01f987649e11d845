package tune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"github.com/wildtrain/sdk/wildtrain"
)

// Plan says when Optimize ends.
type Plan struct {
	Trials  int           // finished trials of the study, all workers together; 0 is no bound
	Timeout time.Duration // no trial begins after it; 0 is none
	Plateau int           // stop when so many trials in a row brought nothing better; 0 is off
	Jobs    int           // trials at a time in this process; below 2 is one
	// Keep goes on after an objective's error: its trial is marked failed.
	// Without it the first error ends Optimize.
	Keep bool
	// Notify is told of every finished trial, from one goroutine at a time.
	Notify func(t *Trial)
}

// Func runs one trial and returns its values, or wildtrain.ErrPruned.
type Func func(ctx context.Context, t *Live) ([]float64, error)

// Optimize runs trials until the plan is done, Stop is called or ctx ends. A
// trial that ctx interrupts is marked failed, and ctx's error is returned.
func (s *Study) Optimize(ctx context.Context, p Plan, f Func) error {
	if p.Timeout > 0 {
		timer := time.AfterFunc(p.Timeout, s.Stop)
		defer timer.Stop()
	}
	r := &optimizing{study: s, plan: p, run: f}
	var wait sync.WaitGroup
	for range max(p.Jobs, 1) {
		wait.Go(func() { r.work(ctx) })
	}
	wait.Wait()
	return errors.Join(r.err, ctx.Err())
}

// optimizing is an Optimize under way.
type optimizing struct {
	study *Study
	plan  Plan
	run   Func

	mu  sync.Mutex // guards what follows, and asking
	err error
}

func (r *optimizing) work(ctx context.Context) {
	for {
		t, err := r.next(ctx)
		if err != nil || t == nil {
			r.fail(err)
			return
		}
		err = r.one(ctx, t)
		if err != nil {
			r.fail(err)
			return
		}
	}
}

func (r *optimizing) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
}

// next begins a trial, nil where the plan is done.
func (r *optimizing) next(ctx context.Context) (*Live, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.study.stopped:
		return nil, nil
	case <-ctx.Done():
		return nil, nil
	default:
	}
	if r.err != nil {
		return nil, nil
	}
	if err := r.study.bury(ctx); err != nil { // dead ones must not count as running
		return nil, err
	}
	v, err := r.study.View(ctx)
	if err != nil || !r.more(v) {
		return nil, err
	}
	t, err := r.study.ask(ctx, v)
	if err != nil || r.plan.Trials <= 0 || t.Number() < r.plan.Trials {
		return t, err
	}
	// another process may have begun the last one at the same moment: the later
	// number gives way before anything is done
	v, err = r.study.View(ctx)
	if err != nil {
		return nil, err
	}
	before := 0
	for _, o := range v.In(Complete, Pruned, Running) {
		if o.Number < t.Number() {
			before++
		}
	}
	if before >= r.plan.Trials {
		return nil, r.study.Tell(ctx, t, Failed)
	}
	return t, nil
}

// more looks at the whole study, so that several workers and a later run share
// one plan. Failed trials do not count towards it.
func (r *optimizing) more(v *View) bool {
	if e, ok := r.study.options.Sampler.(Ender); ok && !e.More(v) {
		return false
	}
	done := len(v.In(Complete, Pruned))
	if r.plan.Trials > 0 {
		taken := done + len(v.In(Running))
		if taken >= r.plan.Trials {
			return false
		}
	}
	return r.plan.Plateau <= 0 || !plateau(v, r.plan.Plateau)
}

// plateau tells whether the last n finished trials brought nothing better.
func plateau(v *View, n int) bool {
	if len(v.Directions) != 1 {
		return false
	}
	best, since := math.Inf(1), 0
	for _, t := range v.In(Complete, Pruned) {
		since++
		if t.State == Complete && t.Violation() <= 0 && v.loss(t, 0) < best {
			best, since = v.loss(t, 0), 0
		}
	}
	return since >= n
}

// one runs the objective and tells how it went.
func (r *optimizing) one(ctx context.Context, t *Live) error {
	values, err := r.guarded(ctx, t)
	state, s := Complete, r.study
	switch {
	case errors.Is(err, wildtrain.ErrPruned):
		state, err = Pruned, nil
	case err != nil:
		state = Failed
		s.options.Logger.Warn("trial failed", "trial", t.Number(), "error", err)
	}
	// a trial that ctx interrupts is marked all the same
	if told := s.Tell(context.WithoutCancel(ctx), t, state, values...); told != nil {
		return errors.Join(err, told)
	}
	if r.plan.Notify != nil {
		r.mu.Lock()
		r.plan.Notify(t.trial)
		r.mu.Unlock()
	}
	if err != nil && (ctx.Err() != nil || r.plan.Keep) {
		return nil
	}
	return err
}

// guarded turns a panic of the objective into an error: the trial must not stay
// running in the storage.
func (r *optimizing) guarded(ctx context.Context, t *Live) (values []float64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("tune: trial %d: panic: %v\n%s", t.Number(), p, debug.Stack())
		}
	}()
	return r.run(ctx, t)
}

// Tuner is a Study with a Plan, as wildtrain.Tuner.
type Tuner struct {
	Study *Study
	Plan  Plan
}

var _ wildtrain.Tuner = (*Tuner)(nil)

// Optimize implements wildtrain.Tuner.
func (t *Tuner) Optimize(ctx context.Context, o wildtrain.Objective) (*wildtrain.Study, error) {
	err := t.Study.Optimize(ctx, t.Plan, func(ctx context.Context, l *Live) ([]float64, error) { return o(ctx, l) })
	v, viewErr := t.Study.View(context.WithoutCancel(ctx))
	if viewErr != nil {
		return nil, errors.Join(err, viewErr)
	}
	out := &wildtrain.Study{Name: t.Study.Name()}
	for _, trial := range v.Trials {
		out.Trials = append(out.Trials, outcome(trial))
	}
	best := v.Pareto()
	if len(v.Directions) == 1 {
		best = nil
		if b := v.Best(); b != nil {
			best = []*Trial{b}
		}
	}
	for _, trial := range best {
		out.Best = append(out.Best, outcome(trial))
	}
	return out, err
}

func outcome(t *Trial) wildtrain.Trial {
	words := map[State]string{Complete: "complete", Pruned: "pruned", Failed: "failed", Running: "running", Waiting: "waiting"}
	return wildtrain.Trial{Number: t.Number, Params: t.External(), Values: t.Values, State: words[t.State]}
}
