package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Trained is the outcome of Train.
type Trained struct {
	*wildtrain.Result
	Dir string // run folder
}

// Train trains a model as s says and leaves a run folder with checkpoints,
// the metrics of every epoch and the final model. Where ctx is cancelled, "last"
// is saved before Train returns, and Settings.Resume goes on from there.
func (e *Env) Train(ctx context.Context, s Settings) (out *Trained, err error) {
	torch.RetainMemory()
	if err := e.pretrain(ctx, &s); err != nil {
		return nil, err
	}
	t, data, m, err := e.parts(ctx, &s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close(), data.Close()) }()
	return e.fit(ctx, t, s, m, data)
}

// fit trains in a run folder. A new one is taken away again where training
// cannot even begin.
func (e *Env) fit(ctx context.Context, t task, s Settings, m network, data dataset) (out *Trained, err error) {
	run, err := e.runFolder(s)
	if err != nil {
		return nil, err
	}
	begun := s.Resume != ""
	defer func() {
		if !begun {
			out, err = nil, errors.Join(err, os.RemoveAll(run.Dir()))
		}
	}()
	begin := wildtrain.CallbackFunc(func(_ context.Context, ev *wildtrain.Event) error {
		if ev.Kind != wildtrain.FitStart {
			return nil
		}
		begun = true
		return writeFiles(run, s.Files) // a resumed run goes on under these settings
	})
	e, tracked, err := e.track(ctx, s, run, data)
	if err != nil {
		return nil, err
	}
	defer func() { tracked.end(out, err) }()
	trainer, closers, err := e.trainer(t, s, run, m, data, append(t.callbacks(m), s.freezing(m), begin))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closers()) }()
	result, err := trainer.Fit(ctx, m, data)
	out = &Trained{Result: result, Dir: run.Dir()}
	if err != nil {
		return out, err
	}
	return out, finish(ctx, t, s, run, m, data, result)
}

// setup opens the splits that s trains and validates on.
func setup(ctx context.Context, s Settings, data dataset) error {
	if err := data.Setup(ctx, wildtrain.Train); err != nil {
		return err
	}
	if s.Loop.ValidateEvery == 0 {
		return nil
	}
	err := data.Setup(ctx, wildtrain.Val)
	if errors.Is(err, wildtrain.ErrNoSplit) {
		return fmt.Errorf("%w (training.val=false trains without)", err)
	}
	return err
}

// checkClasses holds classes that settings give a model against the data's.
func checkClasses(given, data []string) error {
	if len(given) == 0 || len(given) == len(data) && (slices.Equal(given, data) || slices.Equal(given, numbered(len(data)))) {
		return nil
	}
	return badSettings(fmt.Errorf("pipeline: model.classes or model.names say %d classes %q, the data has %d %q", len(given), given, len(data), data))
}

// checkResume holds architecture and classes against those that a run was begun with.
func checkResume(t task, dir, architecture string, classes []string) error {
	name, err := t.canonical(architecture)
	if err != nil {
		return err
	}
	last, err := checkpoint.Open(filepath.Join(dir, "checkpoints", "last"))
	if err != nil {
		return err
	}
	defer last.Close()
	before, ok := last.Description()
	switch {
	case !ok:
		return nil // the loop finds out whether the tensors fit
	case before.Architecture != name:
		return badSettings(fmt.Errorf("pipeline: resume %s: it trains %s, the settings say %s", dir, before.Architecture, name))
	case !slices.Equal(before.Classes, classes):
		return badSettings(fmt.Errorf("pipeline: resume %s: it learns %q, the data has %q now", dir, before.Classes, classes))
	}
	return nil
}

// runFolder opens the folder to resume in or makes a new one.
func (e *Env) runFolder(s Settings) (*checkpoint.Run, error) {
	if s.Resume != "" {
		return checkpoint.OpenRun(s.Resume)
	}
	run, err := createRun(s)
	if err != nil {
		return nil, err
	}
	extra := map[string]string{"libtorch": torch.Version(), "threads": strconv.Itoa(torch.Threads()), "device": s.Hardware.Device, "precision": s.Hardware.Precision}
	if err := errors.Join(writeFiles(run, s.Files), run.WriteEnvironment(extra)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(run.Dir()))
	}
	return run, nil
}

// createRun makes the folder that s names.
func createRun(s Settings) (*checkpoint.Run, error) {
	if s.Dir == "" {
		return checkpoint.CreateRun(s.Runs, s.Experiment, s.Name)
	}
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return nil, err
	}
	parent := filepath.Dir(dir)
	return checkpoint.CreateRun(filepath.Dir(parent), filepath.Base(parent), filepath.Base(dir))
}

// writeFiles writes files into a run's folder, by relative name.
func writeFiles(run *checkpoint.Run, files map[string][]byte) error {
	for name, content := range files {
		path := run.Path(filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("pipeline: train: %w", err)
		}
		err := checkpoint.WriteFile(path, func(w io.Writer) error { _, err := w.Write(content); return err })
		if err != nil {
			return err
		}
	}
	return nil
}

// trainer puts the loop together with its collaborators; closers ends them.
func (e *Env) trainer(t task, s Settings, run *checkpoint.Run, model network, data dataset, first []wildtrain.Callback) (*wildtrain.Loop, func() error, error) {
	csv, err := wildtrain.NewCSVLog(filepath.Join(run.Dir(), "metrics.csv"))
	if err != nil {
		return nil, nil, err
	}
	events, err := wildtrain.NewEventLog(filepath.Join(run.Dir(), "events.jsonl"))
	if err != nil {
		return nil, nil, err
	}
	closers := events.Close
	m, err := t.metric(s, wildtrain.Names(data.Classes()))
	if err != nil {
		return nil, nil, errors.Join(err, closers())
	}
	callbacks, log := append(first, events), e.log()
	if c := e.console(); c != nil {
		callbacks = append(callbacks, c)
		log = slog.New(slog.DiscardHandler) // the console shows the loop's warnings
	}
	opts := []wildtrain.Option{
		wildtrain.WithOptimizer(s.Optimizer),
		wildtrain.WithMetrics(m),
		wildtrain.WithCallbacks(append(callbacks, e.Callbacks...)...),
		wildtrain.WithLoggers(append([]wildtrain.Logger{csv}, e.Loggers...)...),
		wildtrain.WithSaver(run), wildtrain.WithLogger(log),
	}
	if s.Resume != "" {
		opts = append(opts, wildtrain.WithResume())
	}
	loop, err := wildtrain.NewTrainer(s.loop(model), opts...)
	if err != nil {
		return nil, nil, errors.Join(err, closers())
	}
	return loop, closers, nil
}

// loop is how a model is trained: how the gradients of several batches come
// together is the model's matter.
func (s Settings) loop(m wildtrain.Model) wildtrain.Config {
	cfg := s.Loop
	cfg.Seed, cfg.AverageAccumulated, cfg.Phases = s.Seed, !sumsLoss(m), s.schedule()
	return cfg
}

// finish writes the final model: the best averaged weights with what is needed to use them.
func finish(ctx context.Context, t task, s Settings, run *checkpoint.Run, m network, data dataset, r *wildtrain.Result) error {
	best, err := checkpoint.Open(run.Dir())
	if err != nil {
		return err
	}
	defer best.Close()
	if err := t.complete(ctx, s, m, best, data); err != nil {
		return err
	}
	d := m.Describe()
	_, err = run.SaveModel(best, checkpoint.Card{
		Name: s.Experiment, Model: d, Classes: d.Classes, License: d.License, Metrics: r.Metrics, Data: s.Data.Root,
		Description:   fmt.Sprintf("%s trained for %d epochs, best %s %.4f", d.Architecture, r.Progress.Epoch, r.Monitor, r.Best),
		Preprocessing: t.preprocessing(m),
	})
	return err
}
