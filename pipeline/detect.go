package pipeline

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/detection/base"
	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/evaluate/report"
	"github.com/wildtrain/sdk/wildtrain"
)

// detector is the task of finding objects.
type detector struct{}

func (detector) canonical(architecture string) (string, error) {
	f, err := familyOf(architecture)
	if err != nil {
		return "", err
	}
	return f.canonical(architecture)
}

// imageSize is 0 for a name that no family knows: build tells.
func (detector) imageSize(architecture string) int {
	f, err := familyOf(architecture)
	if err != nil {
		return 0
	}
	return f.imageSize(architecture)
}

func (detector) build(s Settings, classes []string, weights *checkpoint.File, c computing) (network, error) {
	f, err := familyOf(s.Model.Architecture)
	if err != nil {
		return nil, err
	}
	if weights == nil {
		return f.build(s, classes, nil, "", c)
	}
	return f.build(s, classes, weights, cmp.Or(s.Model.License, describe(weights).License), c)
}

// detector is what every family of detectors is told.
func (s Settings) detector(classes []string, weights wildtrain.State, license string, c computing) base.Config {
	return base.Config{
		Architecture: s.Model.Architecture, Classes: classes, InputSize: s.Model.ImageSize,
		Device: c.device, Precision: c.precision, ChannelsLast: c.channelsLast,
		Weights: weights, Partial: s.Model.Partial, License: license,
	}
}

// detections is a data module of annotated or plain pictures.
type detections struct{ *datamodule.Detection }

func (d detections) count(stage wildtrain.Stage) int { return len(d.Records(stage)) }

func (d detections) paths(stage wildtrain.Stage) map[string]string {
	out := map[string]string{}
	for _, r := range d.Records(stage) {
		out[r.ID] = r.Path
	}
	return out
}

func (detector) data(s Settings, log *slog.Logger) (dataset, error) {
	cfg := s.Data
	cfg.Seed, cfg.ImageSize, cfg.Epochs, cfg.Batch = s.Seed, s.Model.ImageSize, s.Loop.Epochs, s.Loop.Batch
	cfg.Logger = log
	cfg.Masks = cfg.Masks || s.Evaluate.IoUType == evaluate.Masks || learnsMasks(s.Model.Architecture)
	if cfg.Root == "" && len(cfg.Roots) == 0 {
		return nil, errNoRoot
	}
	if err := cfg.Validate(); err != nil {
		return nil, badSettings(err)
	}
	d, err := datamodule.NewDetection(cfg)
	return detections{d}, err
}

func (detector) pictures(s Settings, about wildtrain.Description, sources []string) (dataset, error) {
	cfg := s.Data
	cfg.ImageSize, cfg.Stride, cfg.Cache = about.InputSize[0], about.Stride, datamodule.CacheNone
	cfg.EvalBatch = max(cfg.EvalBatch, 1)
	d, err := datamodule.Images(cfg, sources...)
	return detections{d}, err
}

func (detector) metric(s Settings, classes []string) (wildtrain.Metric, error) {
	m, err := detectionMetric(s, classes)
	if err == nil && s.Evaluate.Letterbox {
		return letterboxed{m}, nil
	}
	return m, err
}

func detectionMetric(s Settings, classes []string) (*evaluate.Detection, error) {
	cfg := evaluate.DefaultDetectionConfig(classes)
	cfg.IoU, cfg.Conf, cfg.IoUType = s.Evaluate.IoU, s.Evaluate.Conf, s.Evaluate.IoUType
	return evaluate.NewDetection(cfg)
}

func (detector) adopt(network, *Settings) {}

func (detector) use(m network, s Settings, looking bool) error {
	l := m.(locator)
	if l.Postprocess(s.Evaluate.Postprocess); looking {
		l.Postprocess(s.Predict.Postprocess)
	}
	if f, ok := m.(fuser); ok {
		return f.Fuse()
	}
	return nil
}

func (detector) teach(s *Settings, d dataset) {
	counts := make([]int, len(d.Classes()))
	for _, r := range d.(detections).Records(wildtrain.Train) {
		for _, o := range r.Objects {
			counts[o.Class]++
		}
	}
	s.Model.Gains.Classes = detection.InverseFrequency(counts, s.Model.ClassPower)
}

func (detector) callbacks(network) []wildtrain.Callback { return nil }

func (detector) complete(context.Context, Settings, network, wildtrain.State, dataset) error {
	return nil
}

func (detector) preprocessing(m network) checkpoint.Preprocessing {
	about := m.Describe()
	return checkpoint.Preprocessing{Height: about.InputSize[0], Width: about.InputSize[1], Resize: "letterbox", Fill: 114, Colour: "RGB", Scale: 1.0 / 255, Sampling: "bilinear"}
}

func (detector) examine(s Settings, m network, classes []string, out string) (examiner, error) {
	metric, err := detectionMetric(s, classes)
	if err != nil {
		return nil, err
	}
	w := &detectionWriter{out: out, classes: classes}
	return &detectionExam{s: s, about: m.Describe(), out: out, metric: metric, writer: w}, w.open()
}

// detectionExam measures detections and writes them down.
type detectionExam struct {
	s      Settings
	about  wildtrain.Description
	out    string
	metric *evaluate.Detection
	writer *detectionWriter
}

func (x *detectionExam) add(p wildtrain.Prediction, s wildtrain.Sample) error {
	measured, truth := p, s
	if x.s.Evaluate.Letterbox {
		measured, truth = asSeen(p, s)
	}
	if err := x.metric.Update([]wildtrain.Prediction{measured}, []wildtrain.Sample{truth}); err != nil {
		return err
	}
	return x.writer.add(p, s)
}

func (x *detectionExam) close(paths map[string]string) (*Evaluated, error) {
	summary, err := x.metric.Summary()
	if err != nil {
		return nil, err
	}
	result := &Evaluated{Detection: summary}
	if x.out == "" {
		return result, nil
	}
	if err := x.writer.close(); err != nil {
		return nil, err
	}
	o := report.DefaultOptions()
	if !x.s.Evaluate.Letterbox { // else boxes do not fit the pictures
		o.File = func(p evaluate.Picture) string { return paths[p.ID] }
	}
	in, err := o.Of(x.metric)
	if err != nil {
		return nil, err
	}
	in.Title, in.Facts = reportHead(x.s, x.about)
	result.Report, err = report.Write(x.out, in)
	return result, err
}

func (detector) writer(out string, classes []string, drawn bool) writer {
	return &detectionWriter{out: out, classes: classes, pictures: drawn}
}
