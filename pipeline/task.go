package pipeline

import (
	"context"
	"errors"
	"log/slog"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/wildtrain"
)

// network is a model of this SDK: wildtrain's contracts, and what using stored
// weights asks for besides.
type network interface {
	wildtrain.Model
	wildtrain.Freezer
	Store() *nn.Store
	Loaded() nn.LoadReport
	// Forward runs the raw network on images (N, 3, H, W), exactly what the
	// first layer gets, and names its outputs.
	Forward(s *torch.Scope, images *torch.Tensor) (map[string]*torch.Tensor, error)
}

// dataset is a data module that also tells what pictures a stage has.
type dataset interface {
	wildtrain.DataModule
	count(stage wildtrain.Stage) int
	paths(stage wildtrain.Stage) map[string]string // where pictures lie, by ID
}

// task is what detecting and classifying do differently. Training, resuming,
// checkpoints and configuration are the same for both.
type task interface {
	// canonical is the full name of an architecture of this task.
	canonical(architecture string) (string, error)
	// imageSize is the side in px that an architecture is meant for.
	imageSize(architecture string) int
	build(s Settings, classes []string, weights *checkpoint.File, c computing) (network, error)
	data(s Settings, log *slog.Logger) (dataset, error)
	// pictures opens files, folders and patterns without annotations.
	pictures(s Settings, about wildtrain.Description, sources []string) (dataset, error)
	// teach puts into the settings what the model is to know of the training data.
	teach(s *Settings, d dataset)
	// callbacks are those that the model itself needs in training.
	callbacks(m network) []wildtrain.Callback
	// complete does to the trained model what is left to do when the best weights are known.
	complete(ctx context.Context, s Settings, m network, best wildtrain.State, d dataset) error
	metric(s Settings, classes []string) (wildtrain.Metric, error)
	examine(s Settings, m network, classes []string, out string) (examiner, error)
	// adopt puts into the settings how the model wants its pictures.
	adopt(m network, s *Settings)
	// use sets the model up for evaluation, or for looking at pictures.
	use(m network, s Settings, looking bool) error
	preprocessing(m network) checkpoint.Preprocessing
	// writer writes what is found in pictures into a folder.
	writer(out string, classes []string, drawn bool) writer
}

// taskOf is the task of an architecture.
func taskOf(architecture string) task {
	if _, err := backbone.Lookup(architecture); err == nil {
		return classifier{}
	}
	return detector{}
}

var errNoRoot = badSettings(errors.New("pipeline: data.root is missing: name the folder of the data (data.root=FOLDER)"))

// examiner gathers one evaluation.
type examiner interface {
	add(p wildtrain.Prediction, s wildtrain.Sample) error
	// close computes the numbers and, where there is a folder to write to,
	// writes everything; paths tells where pictures lie.
	close(paths map[string]string) (*Evaluated, error)
}

// writer writes predictions: each as it comes, the lists at the end.
type writer interface {
	open() error
	add(p wildtrain.Prediction, s wildtrain.Sample) error
	close() error
}

// computing says where and how to compute.
type computing struct {
	device       torch.Device
	precision    torch.DType
	channelsLast bool
}

// eachPrediction runs m over one stage and shows, under a name, how far it is.
func (e *Env) eachPrediction(ctx context.Context, m wildtrain.Model, data wildtrain.DataModule, stage, name wildtrain.Stage, each func(wildtrain.Prediction, wildtrain.Sample) error) error {
	if err := data.Setup(ctx, stage); err != nil {
		return err
	}
	l, err := data.Loader(stage, wildtrain.Position{World: 1})
	if err != nil {
		return err
	}
	show := func(wildtrain.Event) {}
	if c := e.console(); c != nil {
		show = func(ev wildtrain.Event) { _ = c.Handle(ctx, &ev) } // it never fails
	}
	show(wildtrain.Event{Kind: wildtrain.ValidateStart, Stage: name})
	images, batches := 0, 0
	defer func() {
		show(wildtrain.Event{Kind: wildtrain.ValidateEnd, Stage: name, Values: []wildtrain.Value{{Name: "images", Value: float64(images)}}})
	}()
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return err
		}
		samples := b.Samples
		ps, err := m.Predict(ctx, b)
		b.Release()
		if err != nil {
			return err
		}
		for i := range ps {
			if err := each(ps[i], samples[i]); err != nil {
				return err
			}
		}
		images, batches = images+len(samples), batches+1
		show(wildtrain.Event{Kind: wildtrain.ValidateStep, Stage: name, Batch: batches, Batches: l.Len(), Images: len(samples)})
	}
	return nil
}
