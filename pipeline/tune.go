package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/journal"
	"github.com/wildtrain/sdk/tune/rdb"
	"github.com/wildtrain/sdk/wildtrain"
)

// Tuning says what to search and how. Make it with ComposeTuning.
type Tuning struct {
	Study   string // its name; a study of that name in the storage goes on
	Storage string // "sqlite:///FILE", "journal:///FILE", "memory"; "" is study.db in Dir

	Runs, Experiment string // trials train in RUNS/EXPERIMENT/STUDY/trial-NUMBER
	Seed             uint64
	Epochs           int // of a whole trial

	Space      tune.Space
	Metrics    []string // values of the loop that trials are judged by, best epoch
	Directions []tune.Direction
	Sampler    string
	Pruner     string // judges the first metric, each epoch

	Trials  int // finished ones in all, resumed study included
	Timeout time.Duration
	Plateau int // stop when so many trials in a row brought nothing better; 0 is off
	Retry   int // how often a trial whose worker died goes on from its checkpoint

	// Jobs processes run trials at the same time where it is above 1. Command is
	// the command line of one: a program that does the same Tune with one job.
	Jobs    int
	Command []string
	Worker  bool // runs trials for another process, which tracks the study

	options  config.Options
	files    bool // tune.space is declared in a file
	tracking Tracking
	parent   string // the study's run in tracking
}

// Tuned is the outcome of Tune.
type Tuned struct {
	View *tune.View
	Best []*tune.Trial // one for a single metric, the Pareto front for several
	Dir  string        // folder of the study
}

// runAttr is the user attribute that holds a trial's run folder.
const runAttr = "run"

// Dir is the folder of the study: its trials, and its store unless that is elsewhere.
func (t *Tuning) Dir() string { return filepath.Join(t.Runs, t.Experiment, t.Study) }

// Tune searches: each trial is a Train with its values in the configuration. It
// tells notify of every trial that finishes while it runs. A study that exists
// goes on. When ctx ends, the trials under way are saved and marked, and what
// there is is returned with ctx's error.
func (e *Env) Tune(ctx context.Context, t *Tuning, notify func(*tune.Trial)) (*Tuned, error) {
	if err := os.MkdirAll(t.Dir(), 0o755); err != nil {
		return nil, fmt.Errorf("pipeline: tune: %w", err)
	}
	storage, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	defer storage.Close()
	study, err := e.study(ctx, t, storage)
	if err != nil {
		return nil, err
	}
	tracked, err := e.trackStudy(ctx, t, storage)
	if err != nil {
		return nil, err
	}
	notify = tracked.watch(ctx, notify)
	if t.Jobs > 1 && len(t.Command) > 0 {
		err = e.workers(ctx, t, study, notify)
	} else {
		err = e.search(ctx, t, study, notify)
	}
	view, viewErr := study.View(context.WithoutCancel(ctx))
	if viewErr != nil {
		tracked.end(nil, errors.Join(err, viewErr))
		return nil, errors.Join(err, viewErr)
	}
	out := &Tuned{View: view, Dir: t.Dir(), Best: best(view)}
	tracked.end(out.Best, err)
	if err == nil && len(out.Best) == 0 {
		err = fmt.Errorf("pipeline: tune: study %s has no finished trial", t.Study)
	}
	return out, err
}

func best(v *tune.View) []*tune.Trial {
	if len(v.Directions) > 1 {
		return v.Pareto()
	}
	if t := v.Best(); t != nil {
		return []*tune.Trial{t}
	}
	return nil
}

// OpenStudies opens the storage that a tune.storage names: memory, a journal's
// file, or the address of a database as rdb.OpenURL takes it.
func OpenStudies(ctx context.Context, storage string) (tune.Storage, error) {
	if storage == "memory" {
		return tune.NewMemory(), nil
	}
	if file, ok := strings.CutPrefix(storage, "journal:///"); ok {
		return journal.Open(file)
	}
	if scheme, _, ok := strings.Cut(storage, "://"); ok && scheme != "journal" {
		return rdb.OpenURL(ctx, storage)
	}
	return nil, badSettings(fmt.Errorf("pipeline: tune.storage is %q, must be sqlite:///FILE, postgresql://…, mysql://…, journal:///FILE or memory", storage))
}

func (t *Tuning) open(ctx context.Context) (tune.Storage, error) {
	if t.Storage == "" {
		return OpenStudies(ctx, "sqlite:///"+filepath.Join(t.Dir(), "study.db"))
	}
	if t.Storage == "memory" && t.Jobs > 1 {
		return nil, badSettings(errors.New("pipeline: tune.storage=memory cannot be shared by several processes"))
	}
	return OpenStudies(ctx, t.Storage)
}

func (e *Env) study(ctx context.Context, t *Tuning, s tune.Storage) (*tune.Study, error) {
	sampler, err := tune.NewSampler(t.Sampler, t.Seed, t.Space)
	if err != nil {
		return nil, badSettings(err)
	}
	pruner, err := tune.NewPruner(t.Pruner, int64(t.Epochs))
	if err != nil {
		return nil, badSettings(err)
	}
	study, err := tune.Create(ctx, s, t.Study, tune.Options{
		Directions: t.Directions, MetricNames: t.Metrics, Sampler: sampler, Pruner: pruner, Existing: true, Retry: t.Retry, Logger: e.log(),
	})
	if err != nil {
		return nil, err
	}
	// trials that a killed process of this machine left are not waited for
	return study, study.Bury(ctx, func(tr *tune.Trial) bool { return deadHere(tr.UserAttrs[workerAttr]) })
}

// search runs trials in this process, one after another.
func (e *Env) search(ctx context.Context, t *Tuning, study *tune.Study, notify func(*tune.Trial)) error {
	var fatal error
	failures := 0
	plan := tune.Plan{Trials: t.Trials, Timeout: t.Timeout, Plateau: t.Plateau, Keep: true, Notify: func(tr *tune.Trial) {
		if failures++; tr.State != tune.Failed {
			failures = 0
		}
		if notify != nil {
			notify(tr)
		}
	}}
	err := study.Optimize(ctx, plan, func(ctx context.Context, l *tune.Live) ([]float64, error) {
		values, err := e.trial(ctx, t, l)
		const most = 3 // in a row: it is not the values
		if err != nil && !errors.Is(err, wildtrain.ErrPruned) && ctx.Err() == nil && (errors.Is(err, ErrSettings) || failures+1 >= most) {
			fatal = err
			study.Stop()
		}
		return values, err
	})
	return errors.Join(fatal, err)
}

// trial is the objective.
func (e *Env) trial(ctx context.Context, t *Tuning, l *tune.Live) ([]float64, error) {
	if err := l.SetUserAttr(ctx, workerAttr, workerName()); err != nil {
		return nil, err
	}
	values, err := l.SuggestAll(ctx, t.Space)
	if err != nil {
		return nil, err
	}
	s, err := t.settings(l, values)
	if err != nil {
		return nil, err
	}
	dir := s.Dir
	if s.Resume != "" {
		dir = s.Resume
	}
	if err := l.SetUserAttr(ctx, runAttr, dir); err != nil {
		return nil, err
	}
	watch := &watcher{tuning: t, live: l}
	env := *e
	env.Callbacks = append(slices.Clone(e.Callbacks), watch)
	if _, err := env.Train(ctx, s); err != nil {
		return nil, err
	}
	return watch.best, nil
}

// settings composes a trial's training: that of an earlier try goes on where it
// has left a checkpoint.
func (t *Tuning) settings(l *tune.Live, values map[string]any) (Settings, error) {
	o := t.options
	o.Overrides = t.overrides(values)
	s, err := Compose(o)
	if err != nil {
		return s, err
	}
	s.Tracking = t.ofTrial(s.Tracking, l.Number())
	if run, err := strconv.Unquote(l.UserAttrs()[runAttr]); err == nil && exists(filepath.Join(run, "checkpoints", "last")) {
		s.Resume = run
		return s, nil
	}
	s.Dir = filepath.Join(t.Dir(), fmt.Sprintf("trial-%04d", l.Number()))
	for n, first := 2, s.Dir; exists(s.Dir); n++ { // of a study whose store is gone
		s.Dir = fmt.Sprintf("%s-%d", first, n)
	}
	return s, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// watcher reports epochs to the pruner and remembers the best values.
type watcher struct {
	tuning *Tuning
	live   *tune.Live
	best   []float64
}

// Handle implements wildtrain.Callback.
func (w *watcher) Handle(_ context.Context, ev *wildtrain.Event) error {
	switch ev.Kind {
	case wildtrain.EpochEnd:
		return w.epoch(ev.Progress, ev.Values)
	case wildtrain.FitEnd:
		// a resumed training tells of its earlier epochs only here
		for _, epoch := range ev.Result.History {
			if err := w.take(ev.Progress.Monitor, epoch.Values); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *watcher) epoch(p wildtrain.Progress, values []wildtrain.Value) error {
	if err := w.take(p.Monitor, values); err != nil {
		return err
	}
	first, _ := w.value(w.tuning.Metrics[0], p.Monitor, values)
	return w.live.Report(int64(p.Epoch), first)
}

// take keeps the best of each metric.
func (w *watcher) take(monitor string, values []wildtrain.Value) error {
	if w.best == nil {
		w.best = make([]float64, len(w.tuning.Metrics))
		for i := range w.best {
			w.best[i] = math.NaN()
		}
	}
	for i, name := range w.tuning.Metrics {
		v, ok := w.value(name, monitor, values)
		if !ok {
			return badSettings(fmt.Errorf("pipeline: tune.metric: training has no value %q; it has %s", name, names(values)))
		}
		better := v > w.best[i]
		if w.tuning.Directions[i] == tune.Minimize {
			better = v < w.best[i]
		}
		if better || math.IsNaN(w.best[i]) {
			w.best[i] = v
		}
	}
	return nil
}

// value finds a metric; where the default is not measured, as for classifiers,
// what chooses the best epoch stands for it.
func (w *watcher) value(name, monitor string, values []wildtrain.Value) (float64, bool) {
	for _, n := range []string{name, scores[name]} {
		for _, v := range values {
			if v.Name == n && n != "" {
				return v.Value, true
			}
		}
	}
	if name == defaultScore && monitor != "" && monitor != defaultScore {
		for _, v := range values {
			if v.Name == monitor {
				return v.Value, true
			}
		}
	}
	return math.NaN(), false
}

func names(values []wildtrain.Value) string {
	var out []string
	for _, v := range values {
		out = append(out, v.Name)
	}
	return strings.Join(out, ", ")
}

// workerAttr is the user attribute that tells which process runs a trial.
const workerAttr = "worker"

// workerName is this process: host and number.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// deadHere tells whether a worker, as JSON text, was a process of this machine
// that is gone. Of other machines the heartbeat tells.
func deadHere(attr string) bool {
	worker, err := strconv.Unquote(attr)
	host, number, ok := strings.Cut(worker, ":")
	own, hostErr := os.Hostname()
	pid, pidErr := strconv.Atoi(number)
	if err != nil || !ok || hostErr != nil || host != own || pidErr != nil || pid == os.Getpid() {
		return false
	}
	p, err := os.FindProcess(pid)
	return err != nil || errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// workers runs trials in processes of their own and watches the study.
func (e *Env) workers(ctx context.Context, t *Tuning, study *tune.Study, notify func(*tune.Trial)) error {
	var group sync.WaitGroup
	errs := make([]error, t.Jobs)
	given := ctx
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for i := range errs {
		group.Go(func() {
			errs[i] = t.worker(ctx, i)
			if errs[i] != nil {
				stop()
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		group.Wait()
		close(ended)
	}()
	seen := map[int]bool{}
	look := func(tell bool) {
		v, err := study.View(context.WithoutCancel(ctx))
		if err != nil {
			e.log().Warn("study cannot be read", slog.Any("error", err))
			return
		}
		for _, tr := range v.In(tune.Complete, tune.Pruned, tune.Failed) {
			if !seen[tr.Number] && tell && notify != nil {
				notify(tr)
			}
			seen[tr.Number] = true
		}
	}
	look(false)
	for {
		select {
		case <-ended:
			look(true)
			return errors.Join(append(errs, given.Err())...)
		case <-time.After(500 * time.Millisecond):
			look(true)
		}
	}
}

// worker runs one process to its end. Its messages go to worker-N.log in the
// study's folder; its standard input stays open as long as this process lives.
func (t *Tuning) worker(ctx context.Context, i int) error {
	name := filepath.Join(t.Dir(), fmt.Sprintf("worker-%d.log", i))
	log, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("pipeline: tune: %w", err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, t.Command[0], t.Command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it saves, then ends
	cmd.WaitDelay = time.Minute
	life, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("pipeline: tune: start worker: %w", err)
	}
	defer life.Close()
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("pipeline: tune: worker %d: %w: %s", i, err, lastLine(name))
	}
	return nil
}

func lastLine(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
