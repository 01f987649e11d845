package tune

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/wildtrain/sdk/tune/internal/pyjson"
)

// Options says how a study searches.
type Options struct {
	Directions  []Direction // one for each objective; none is one to minimise
	MetricNames []string    // of the objectives, for readers; optional
	Sampler     Sampler     // nil takes NewTPE(0)
	Pruner      Pruner      // nil prunes nothing
	PruneBy     int         // objective that reported values belong to, with several objectives
	Existing    bool        // go on with a study of that name where there is one

	// Window makes results independent of the number of workers, up to Window of
	// them: trial n sees only trials below n+1−Window, and waits for them.
	// 0 shows what is there.
	Window int

	Grace  time.Duration // trials without a heartbeat for so long are dead; 0 is 60 s
	Beat   time.Duration // how often workers beat; 0 is a tenth of Grace
	Retry  int           // how often a dead trial is tried again; 0 only marks it failed
	Logger *slog.Logger  // nil is slog's default
}

const (
	metricNamesKey = "study:metric_names"
	pruneByKey     = "wildtrain:prune_by"
	fixedKey       = "fixed_params"
)

// Study hands out trials of one study of a storage. It is safe for concurrent use.
type Study struct {
	record  StudyRecord
	storage Storage
	options Options

	mu      sync.Mutex // guards the sampler and the pruner
	stopped chan struct{}
	stop    sync.Once
}

// Create makes a study, or opens it where Options.Existing allows that; its
// directions are then those it was made with.
func Create(ctx context.Context, storage Storage, name string, o Options) (*Study, error) {
	if len(o.Directions) == 0 {
		o.Directions = []Direction{Minimize}
	}
	if o.Sampler == nil {
		o.Sampler = NewTPE(0)
	}
	if o.Grace == 0 {
		o.Grace = time.Minute
	}
	if o.Beat == 0 {
		o.Beat = o.Grace / 10
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	record, err := storage.CreateStudy(ctx, name, o.Directions)
	fresh := err == nil
	if errors.Is(err, ErrExists) && o.Existing {
		record, err = storage.Study(ctx, name)
		if err == nil && !slices.Equal(record.Directions, o.Directions) {
			err = fmt.Errorf("tune: study %s has the directions %v, not %v", name, record.Directions, o.Directions)
		}
	}
	if err != nil {
		return nil, err
	}
	if o.PruneBy < 0 || o.PruneBy >= len(o.Directions) {
		return nil, fmt.Errorf("tune: study %s: there is no objective %d to prune by", name, o.PruneBy)
	}
	s := &Study{record: record, storage: storage, options: o, stopped: make(chan struct{})}
	if fresh {
		err = s.describe(ctx)
	}
	return s, err
}

// describe writes what readers want to know of a new study.
func (s *Study) describe(ctx context.Context) error {
	if len(s.options.MetricNames) > 0 {
		text, err := pyjson.Marshal(s.options.MetricNames, false)
		if err == nil {
			err = s.storage.SetStudyAttr(ctx, s.record.ID, true, metricNamesKey, text)
		}
		if err != nil {
			return err
		}
	}
	if len(s.record.Directions) > 1 && s.options.PruneBy > 0 {
		return s.storage.SetStudyAttr(ctx, s.record.ID, false, pruneByKey, fmt.Sprint(s.options.PruneBy))
	}
	return nil
}

// Name is the study's name.
func (s *Study) Name() string { return s.record.Name }

// Directions are those of the objectives.
func (s *Study) Directions() []Direction { return slices.Clone(s.record.Directions) }

// Stop ends Optimize: no further trial begins.
func (s *Study) Stop() { s.stop.Do(func() { close(s.stopped) }) }

// View shows the study as it is.
func (s *Study) View(ctx context.Context) (*View, error) {
	trials, err := s.storage.Trials(ctx, s.record.ID)
	if err != nil {
		return nil, err
	}
	return &View{Study: s.record.Name, Directions: s.record.Directions, Trials: trials}, nil
}

// Best is the complete, feasible trial with the best value; ErrNotFound where
// there is none. With several objectives see View.Pareto.
func (s *Study) Best(ctx context.Context) (*Trial, error) {
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	if t := v.Best(); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: study %s has no complete trial", ErrNotFound, s.record.Name)
}

// Enqueue adds a trial that will run with the given values, before any sampled
// one. What it does not fix is sampled. attrs become user attributes.
func (s *Study) Enqueue(ctx context.Context, params map[string]any, attrs map[string]string) error {
	fixed := map[string]any{}
	for name, v := range params {
		x, err := scalar(v)
		if err != nil {
			return fmt.Errorf("tune: enqueue %s: %w", name, err)
		}
		fixed[name] = x
	}
	text, err := pyjson.Marshal(fixed, false)
	if err != nil {
		return err
	}
	t := &Trial{State: Waiting, UserAttrs: attrs, SystemAttrs: map[string]string{fixedKey: text}}
	_, err = s.storage.CreateTrial(ctx, s.record.ID, t)
	return err
}

// Add records a trial that was made elsewhere.
func (s *Study) Add(ctx context.Context, t *Trial) error {
	if t.State == Complete && len(t.Values) != len(s.record.Directions) {
		return fmt.Errorf("tune: add trial: %d values for %d objectives", len(t.Values), len(s.record.Directions))
	}
	_, err := s.storage.CreateTrial(ctx, s.record.ID, t)
	return err
}

// Ask begins a trial: the oldest waiting one, else a new one. Dead trials of
// other workers are marked before.
func (s *Study) Ask(ctx context.Context) (*Live, error) {
	if err := s.bury(ctx); err != nil {
		return nil, err
	}
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	return s.ask(ctx, v)
}

// ask begins a trial on a fresh view of the study.
func (s *Study) ask(ctx context.Context, v *View) (*Live, error) {
	t, err := s.claim(ctx, v)
	if err != nil {
		return nil, err
	}
	if t == nil {
		t, err = s.storage.CreateTrial(ctx, s.record.ID, &Trial{State: Running, Start: time.Now().UTC()})
		if err != nil {
			return nil, err
		}
	}
	return s.begin(ctx, t)
}

// claim takes the oldest waiting trial, nil where there is none.
func (s *Study) claim(ctx context.Context, v *View) (*Trial, error) {
	for _, t := range v.Trials {
		if t.State != Waiting {
			continue
		}
		mine, err := s.storage.Claim(ctx, t.ID)
		if err != nil {
			return nil, err
		}
		if mine {
			t = t.Clone()
			t.Apply(Change{Kind: SetState, State: Running, Time: time.Now().UTC()})
			return t, nil
		}
	}
	return nil, nil
}

func (s *Study) begin(ctx context.Context, t *Trial) (*Live, error) {
	live := &Live{study: s, trial: t}
	fixed, _ := pyjson.Parse(t.SystemAttrs[fixedKey]) // absent or foreign: nothing is fixed
	live.fixed, _ = fixed.(map[string]any)
	live.startBeating(ctx)
	starter, ok := s.options.Sampler.(Starter)
	if !ok {
		return live, nil
	}
	err := live.sample(ctx, func(d *Draft) error { return starter.Start(ctx, d) })
	return live, err
}

// seen is what a trial's sampler and pruner may look at.
func (s *Study) seen(ctx context.Context, t *Trial) (*View, error) {
	for {
		v, err := s.View(ctx)
		if err != nil || s.options.Window == 0 {
			return v, err
		}
		end := min(max(t.Number+1-s.options.Window, 0), len(v.Trials))
		v.Trials = v.Trials[:end]
		if !slices.ContainsFunc(v.Trials, func(o *Trial) bool { return !o.State.Finished() }) {
			return v, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
		if err := s.bury(ctx); err != nil {
			return nil, err
		}
	}
}

// Tell ends a trial. A state of Complete wants a finite or infinite value for
// each objective: otherwise the trial is marked failed, as in Optuna. A pruned
// trial takes its last reported value.
func (s *Study) Tell(ctx context.Context, t *Live, state State, values ...float64) error {
	if !state.Finished() {
		return fmt.Errorf("tune: tell trial %d: %v is no final state", t.trial.Number, state)
	}
	switch state {
	case Complete:
		if why := s.unfit(values); why != "" {
			s.options.Logger.Warn("trial failed", "trial", t.trial.Number, "why", why)
			state, values = Failed, nil
		}
	case Pruned:
		values = nil
		if last, ok := t.trial.LastStep(); ok && len(s.record.Directions) == 1 && !math.IsNaN(t.trial.Reports[last]) {
			values = []float64{t.trial.Reports[last]}
		}
	default:
		values = nil
	}
	t.stopBeating()
	return t.change(ctx, true, Change{Kind: SetState, State: state, Values: values, Time: time.Now().UTC()})
}

func (s *Study) unfit(values []float64) string {
	if len(values) != len(s.record.Directions) {
		return fmt.Sprintf("%d values for %d objectives", len(values), len(s.record.Directions))
	}
	if slices.ContainsFunc(values, math.IsNaN) {
		return "the value is NaN"
	}
	return ""
}
