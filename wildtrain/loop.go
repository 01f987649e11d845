package wildtrain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"
)

// Loop is the training loop: it implements Trainer. One Loop may run several
// trainings, one after the other.
type Loop struct {
	cfg       Config
	optimizer OptimizerConfig
	metrics   []Metric
	callbacks []Callback
	loggers   []Logger
	saver     Saver
	resume    bool
	log       *slog.Logger
}

var _ Trainer = (*Loop)(nil)

// Option gives a Loop a collaborator.
type Option func(*Loop)

// WithOptimizer chooses the optimiser; SGD with its defaults otherwise.
func WithOptimizer(c OptimizerConfig) Option { return func(l *Loop) { l.optimizer = c } }

// WithMetrics adds metrics for validation and test. The first value of the
// first one tells the best epoch unless Config.Monitor names another.
func WithMetrics(m ...Metric) Option { return func(l *Loop) { l.metrics = append(l.metrics, m...) } }

// WithCallbacks adds callbacks; they are called in the order given.
func WithCallbacks(c ...Callback) Option {
	return func(l *Loop) { l.callbacks = append(l.callbacks, c...) }
}

// WithLoggers adds loggers. They get every epoch's values, with the epoch (from
// 1) as the step. A logger that fails is a Warning; training goes on.
func WithLoggers(g ...Logger) Option { return func(l *Loop) { l.loggers = append(l.loggers, g...) } }

// WithSaver says where checkpoints go; none are kept otherwise.
func WithSaver(s Saver) Option { return func(l *Loop) { l.saver = s } }

// WithResume goes on from the saver's "last" checkpoint, which must exist; the
// saver must be a Resumer.
func WithResume() Option { return func(l *Loop) { l.resume = true } }

// WithLogger says where warnings go besides the callbacks; slog.Default otherwise.
func WithLogger(g *slog.Logger) Option { return func(l *Loop) { l.log = g } }

// NewTrainer makes a training loop. It fails on settings that cannot work.
func NewTrainer(cfg Config, opts ...Option) (*Loop, error) {
	l := &Loop{cfg: cfg, optimizer: DefaultOptimizer("SGD"), log: slog.Default()}
	for _, o := range opts {
		o(l)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if _, ok := l.saver.(Resumer); l.resume && !ok {
		return nil, fmt.Errorf("wildtrain: config: WithResume needs a Saver that is a Resumer, not %T", l.saver)
	}
	return l, nil
}

// Fit trains m on d. It returns a Result wherever training ended in good order:
// at its end, early (Result.Stopped says why), pruned (the error is ErrPruned)
// or cancelled. On cancellation the accumulation window under way is finished,
// "last" is saved and the error satisfies errors.Is(err, ctx.Err()): resuming
// gives the same weights as a run without interruption. After any other error
// "last" stays as it was. A panic of a collaborator becomes an error.
//
// The model is left with its raw weights; averaged and best ones are in the
// checkpoints. Fit holds its OS thread from begin to end, as libtorch's worker
// teams belong to the calling thread.
func (l *Loop) Fit(ctx context.Context, m Model, d DataModule) (*Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := &run{Loop: l, model: m, data: d, progress: Progress{BestEpoch: -1, Seed: l.cfg.Seed}}
	err := guard("fit", func() error { return r.fit(ctx) })
	if r.optimizer != nil {
		err = errors.Join(err, r.optimizer.Close())
	}
	res := r.result()
	end := guard("end fit", func() error {
		return r.emit(context.WithoutCancel(ctx), Event{Kind: FitEnd, Result: res, Err: err})
	})
	if err = errors.Join(err, end); err != nil && !r.halted {
		return nil, err
	}
	return res, err
}

// guard makes an error of a panic.
func guard(verb string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("wildtrain: %s: panic: %v\n%s", verb, p, debug.Stack())
		}
	}()
	return fn()
}

// run is one training under way.
type run struct {
	*Loop
	model     Model
	data      DataModule
	optimizer Optimizer
	schedule  schedule
	base      []Group // as the optimiser was made
	validates bool    // there is a validation split

	progress Progress
	latest   []Value // of the last validation
	history  []Epoch
	paths    map[string]string // of checkpoints, by Snapshot.Which
	unsaved  bool              // there is progress that "last" lacks
	early    []string          // warnings from before FitStart
	savedAt  float64           // progress.Seconds of "last"
	mark     time.Time         // up to which progress.Seconds counts

	window    int       // batches in the accumulation window
	stepped   *Report   // of the optimiser's step after the last batch, nil where there was none
	rate      rate      // of the present epoch's training
	pending   []pending // losses not read yet
	nonFinite int       // in a row
	skipped   int       // in a row

	stop   error  // why to end early: ErrStop, ErrPruned or the context's error
	reason string // the same in words
	halted bool   // the run has ended early in good order
}

// fit is the order of a training. What it decides from is in r.progress, so a
// resumed run takes the same path.
func (r *run) fit(ctx context.Context) error {
	if err := r.setup(ctx); err != nil {
		return err
	}
	for !r.finished(ctx) {
		if err := r.trainEpoch(ctx); err != nil { // batches, accumulation, optimiser, average
			return err
		}
		if r.progress.Batch < r.schedule.batches {
			return r.halt(ctx) // in the middle of the epoch
		}
		values := r.trainValues()
		validated, err := r.validateEpoch(ctx) // with the averaged weights
		if err != nil && ctx.Err() != nil {
			return r.halt(ctx) // a resumed run begins with this validation
		} else if err != nil {
			return err
		}
		values = append(values, validated...)
		values = append(values, r.endEpoch()...) // learning rates go on with the epoch's number
		best, err := r.judge(values, validated != nil)
		if err != nil {
			return err
		}
		if err := r.saveEpoch(ctx, best); err != nil {
			return err
		}
		if err := r.report(ctx, values); err != nil { // loggers, EpochEnd
			return err
		}
	}
	return r.halt(ctx)
}
