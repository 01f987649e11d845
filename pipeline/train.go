package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Trained is the outcome of Train.
type Trained struct {
	*wildtrain.Result
	Dir string // run folder
}

// Train trains a detector as s says and leaves a run folder with checkpoints,
// the metrics of every epoch and the final model. Where ctx is cancelled, "last"
// is saved before Train returns, and Settings.Resume goes on from there.
func (e *Env) Train(ctx context.Context, s Settings) (out *Trained, err error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	data, err := e.data(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	m, err := e.build(s, wildtrain.Names(data.Classes()))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if len(s.Model.Freeze) > 0 {
		if err := m.Freeze(s.Model.Freeze...); err != nil {
			return nil, err
		}
	}
	// what can be wrong with the data is found before a run folder is made
	if err := data.Setup(ctx, wildtrain.Train); err != nil {
		return nil, err
	}
	s.chooseOptimizer(len(data.Records(wildtrain.Train)), len(data.Classes()))
	run, err := e.runFolder(ctx, s)
	if err != nil {
		return nil, err
	}
	trainer, closers, err := e.trainer(s, run, data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closers()) }()
	result, err := trainer.Fit(ctx, m, data)
	out = &Trained{Result: result, Dir: run.Dir()}
	if err != nil {
		return out, err
	}
	return out, e.finish(s, run, m, data, result)
}

// data opens the data module for s.
func (e *Env) data(s Settings) (*datamodule.Detection, error) {
	cfg := s.Data
	cfg.Seed, cfg.ImageSize, cfg.Epochs, cfg.Batch = s.Seed, s.Model.ImageSize, s.Loop.Epochs, s.Loop.Batch
	cfg.Logger = e.log()
	return datamodule.NewDetection(cfg)
}

// runFolder opens the folder to resume in or makes a new one.
func (e *Env) runFolder(ctx context.Context, s Settings) (*checkpoint.Run, error) {
	if s.Resume != "" {
		return checkpoint.OpenRun(s.Resume)
	}
	run, err := checkpoint.CreateRun(s.Runs, s.Experiment, s.Name)
	if err != nil {
		return nil, err
	}
	for name, content := range s.Files {
		path := run.Path(filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("pipeline: train: %w", err)
		}
		err := checkpoint.WriteFile(path, func(w io.Writer) error { _, err := w.Write(content); return err })
		if err != nil {
			return nil, err
		}
	}
	extra := map[string]string{"libtorch": torch.Version(), "threads": strconv.Itoa(torch.Threads()), "device": s.Hardware.Device, "precision": s.Hardware.Precision}
	return run, run.WriteEnvironment(extra)
}

// trainer puts the loop together with its collaborators; closers ends them.
func (e *Env) trainer(s Settings, run *checkpoint.Run, data *datamodule.Detection) (*wildtrain.Loop, func() error, error) {
	csv, err := wildtrain.NewCSVLog(filepath.Join(run.Dir(), "metrics.csv"))
	if err != nil {
		return nil, nil, err
	}
	events, err := wildtrain.NewEventLog(filepath.Join(run.Dir(), "events.jsonl"))
	if err != nil {
		return nil, nil, err
	}
	closers := events.Close
	m, err := metric(s, wildtrain.Names(data.Classes()))
	if err != nil {
		return nil, nil, errors.Join(err, closers())
	}
	callbacks := []wildtrain.Callback{events}
	if e.Progress != nil {
		callbacks = append(callbacks, wildtrain.NewConsole(e.Progress, e.Terminal))
	}
	opts := []wildtrain.Option{
		wildtrain.WithOptimizer(s.Optimizer),
		wildtrain.WithMetrics(m),
		wildtrain.WithCallbacks(append(callbacks, e.Callbacks...)...),
		wildtrain.WithLoggers(append([]wildtrain.Logger{csv}, e.Loggers...)...),
		wildtrain.WithSaver(run), wildtrain.WithLogger(e.log()),
	}
	if s.Resume != "" {
		opts = append(opts, wildtrain.WithResume())
	}
	cfg := s.Loop
	cfg.Seed = s.Seed
	loop, err := wildtrain.NewTrainer(cfg, opts...)
	if err != nil {
		return nil, nil, errors.Join(err, closers())
	}
	return loop, closers, nil
}

func metric(s Settings, classes []string) (*evaluate.Detection, error) {
	cfg := evaluate.DefaultDetectionConfig(classes)
	cfg.IoU, cfg.Conf = s.Evaluate.IoU, s.Evaluate.Conf
	return evaluate.NewDetection(cfg)
}

// finish writes the final model: the best averaged weights with what is needed to use them.
func (e *Env) finish(s Settings, run *checkpoint.Run, m *detection.YOLO, data *datamodule.Detection, r *wildtrain.Result) error {
	best, err := checkpoint.Open(run.Dir())
	if err != nil {
		return err
	}
	defer best.Close()
	d := m.Describe()
	_, err = run.SaveModel(best, checkpoint.Card{
		Name: s.Experiment, Model: d, Classes: d.Classes, License: d.License, Metrics: r.Metrics, Data: s.Data.Root,
		Description:   fmt.Sprintf("%s trained for %d epochs, best %s %.4f", d.Architecture, r.Progress.Epoch, r.Monitor, r.Best),
		Preprocessing: checkpoint.Preprocessing{Height: d.InputSize[0], Width: d.InputSize[1], Resize: "letterbox", Fill: 114, Colour: "RGB", Scale: 1.0 / 255, Sampling: "bilinear"},
	})
	return err
}
