package pipeline

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/classification"
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/evaluate/report"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/wildtrain"
)

// classifier is the task of telling what a picture shows.
type classifier struct{}

func (classifier) canonical(architecture string) (string, error) {
	_, err := backbone.Lookup(architecture)
	return architecture, badSettings(err)
}

func (classifier) imageSize(architecture string) int {
	spec, err := backbone.Lookup(architecture)
	if err != nil {
		return 0 // build says what is wrong
	}
	return spec.InputSize
}

func (classifier) build(s Settings, classes []string, weights *checkpoint.File, c computing) (network, error) {
	cfg := classification.DefaultConfig(s.Model.Architecture, classes)
	if weights != nil {
		var err error
		if cfg, err = classification.FromFile(weights, s.Model.Architecture, classes); err != nil {
			return nil, err
		}
	}
	cfg.Device, cfg.Precision, cfg.ChannelsLast, cfg.Partial = c.device, c.precision, c.channelsLast, s.Model.Partial
	cfg.Loss, cfg.UnfreezeEvery = s.Model.Loss, s.Model.UnfreezeEvery
	if len(cfg.Loss.Counts) == 0 { // nothing is trained, and so nothing is counted
		cfg.Loss.Weights = classification.Unweighted
	}
	if s.Model.ImageSize > 0 {
		cfg.Input.Height, cfg.Input.Width = s.Model.ImageSize, s.Model.ImageSize
	}
	if training := len(s.Model.Loss.Counts) > 0; training || weights == nil || len(weights.Metadata()) == 0 {
		cfg.Input.Resize, cfg.Input.ResizeTo, cfg.Input.Sampling = resizes[s.Labels.Resize], s.Labels.ResizeTo, s.Labels.Interpolation
	}
	cfg.License = cmp.Or(s.Model.License, cfg.License)
	s.Model.Classifier.apply(&cfg)
	m, err := classification.New(cfg)
	if err != nil {
		return nil, err // not a nil *Classifier in an interface
	}
	return m, nil
}

// resizes are checkpoint.Preprocessing's names for those of datamodule.
var resizes = map[string]string{datamodule.CropToSize: "center_crop", datamodule.StretchToSize: "stretch", datamodule.FitToSize: "letterbox"}

// apply puts what was given in the place of what weights or architecture say.
func (c Classifier) apply(cfg *classification.Config) {
	if c.Head.Hidden > 0 {
		cfg.Head = c.Head
	}
	if c.Dropout != nil {
		cfg.Dropout = *c.Dropout
	}
	if c.StochasticDepth != nil {
		cfg.StochasticDepth = *c.StochasticDepth
	}
	if len(c.Mean) > 0 {
		cfg.Input.Mean = slices.Clone(c.Mean)
	}
	if len(c.Std) > 0 {
		cfg.Input.Std = slices.Clone(c.Std)
	}
	if len(c.Parents) > 0 {
		cfg.Parents = c.Parents
	}
	cfg.MultiLabel = cfg.MultiLabel || c.MultiLabel
	cfg.Background = cmp.Or(c.Background, cfg.Background)
}

// examples is a data module of pictures with classes.
type examples struct{ *datamodule.Classification }

func (d examples) count(stage wildtrain.Stage) int { return len(d.Examples(stage)) }

func (d examples) paths(stage wildtrain.Stage) map[string]string {
	out := map[string]string{}
	for _, e := range d.Examples(stage) {
		out[e.ID] = e.Record.Path
	}
	return out
}

func (classifier) data(s Settings, log *slog.Logger) (dataset, error) {
	cfg := s.Labels
	cfg.Seed, cfg.ImageSize, cfg.Batch, cfg.Logger = s.Seed, s.Model.ImageSize, s.Loop.Batch, log
	if cfg.Root == "" && len(cfg.Roots) == 0 { // as the detectors'
		cfg.Root, cfg.Roots, cfg.Source, cfg.Datasets = s.Data.Root, s.Data.Roots, s.Data.Source, s.Data.Datasets
	}
	if cfg.Root == "" && len(cfg.Roots) == 0 {
		return nil, errNoRoot
	}
	if s.Data.Decode == datamodule.DecodeFast {
		return nil, badSettings(errors.New("pipeline: data.decode=fast is for detection: a classifier's crops come from whole pictures"))
	}
	if err := cfg.Validate(); err != nil {
		return nil, badSettings(err)
	}
	d, err := datamodule.NewClassification(cfg)
	return examples{d}, err
}

// teach tells the model's loss how many examples of each class there are.
func (classifier) teach(s *Settings, d dataset) {
	s.Model.Loss.Counts = d.(examples).ClassCounts(wildtrain.Train)
}

func (classifier) pictures(s Settings, about wildtrain.Description, sources []string) (dataset, error) {
	cfg := s.Labels
	cfg.ImageSize, cfg.Cache, cfg.EvalBatch = about.InputSize[0], datamodule.CacheNone, max(cfg.EvalBatch, 1)
	d, err := datamodule.ClassificationImages(cfg, sources...)
	return examples{d}, err
}

func (classifier) metric(s Settings, classes []string) (wildtrain.Metric, error) {
	return classificationMetric(s, classes)
}

func classificationMetric(s Settings, classes []string) (*evaluate.Classification, error) {
	cfg := evaluate.DefaultClassification(classes)
	cfg.MultiLabel, cfg.Parents = s.Model.Classifier.MultiLabel, s.Model.Classifier.Parents
	return evaluate.NewClassification(cfg)
}

func (classifier) adopt(m network, s *Settings) {
	in := m.(*classification.Classifier).Config().Input
	for resize, name := range resizes {
		if name == in.Resize {
			s.Labels.Resize, s.Labels.ResizeTo = resize, in.ResizeTo
		}
	}
	s.Labels.Interpolation = cmp.Or(in.Sampling, s.Labels.Interpolation)
}

func (classifier) use(network, Settings, bool) error { return nil }

func (classifier) callbacks(m network) []wildtrain.Callback {
	return []wildtrain.Callback{m.(*classification.Classifier).Unfreezing()}
}

func (classifier) preprocessing(m network) checkpoint.Preprocessing {
	return m.(*classification.Classifier).Config().Input
}

// complete calibrates the finished model on the validation pictures, if asked to.
func (classifier) complete(ctx context.Context, s Settings, m network, best wildtrain.State, d dataset) error {
	if !s.Model.Calibrate {
		return nil
	}
	if _, err := checkpoint.Fill(m.State(), best, checkpoint.FillOptions{}); err != nil {
		return err
	}
	l, err := d.Loader(wildtrain.Val, wildtrain.Position{World: 1})
	if err != nil {
		return err
	}
	_, err = m.(*classification.Classifier).Calibrate(ctx, l)
	return err
}

func (classifier) examine(s Settings, m network, classes []string, out string) (examiner, error) {
	cfg := m.(*classification.Classifier).Config()
	s.Model.Classifier.MultiLabel, s.Model.Classifier.Parents = cfg.MultiLabel, cfg.Parents
	metric, err := classificationMetric(s, classes)
	if err != nil {
		return nil, err
	}
	w := newClassWriter(out, classes, false)
	return &classificationExam{s: s, about: m.Describe(), out: out, metric: metric, writer: w}, w.open()
}

// classificationExam measures classes and writes probabilities.
type classificationExam struct {
	s      Settings
	about  wildtrain.Description
	out    string
	metric *evaluate.Classification
	writer *classWriter
}

func (x *classificationExam) add(p wildtrain.Prediction, s wildtrain.Sample) error {
	return errors.Join(x.metric.Update([]wildtrain.Prediction{p}, []wildtrain.Sample{s}), x.writer.add(p, s))
}

func (x *classificationExam) close(map[string]string) (*Evaluated, error) {
	summary, err := x.metric.Summary()
	if err != nil {
		return nil, err
	}
	result := &Evaluated{Classification: summary}
	if x.out == "" {
		return result, nil
	}
	if err := x.writer.close(); err != nil {
		return nil, err
	}
	in, err := report.OfClassification(x.metric)
	if err != nil {
		return nil, err
	}
	in.Title, in.Facts = reportHead(x.s, x.about)
	result.Report, err = report.Write(x.out, in)
	return result, err
}

func (classifier) writer(out string, classes []string, drawn bool) writer {
	return newClassWriter(out, classes, drawn)
}
