package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/evaluate/report"
	"github.com/wildtrain/sdk/wildtrain"
)

// Evaluated is the outcome of Evaluate.
type Evaluated struct {
	*evaluate.Summary
	Split   string `json:"split"`
	Weights string `json:"weights"`
	Report  string `json:"report,omitempty"` // path of the HTML page
}

// Evaluate measures the model of s.Model.Weights on a split, in original
// coordinates. Into out, unless it is empty, it writes evaluation.json, a report
// (report.html with plots and tables beside it) and predictions in COCO's form.
// The data's classes are matched to the model's by name, or by number where
// the model has no names.
func (e *Env) Evaluate(ctx context.Context, s Settings, out string) (result *Evaluated, err error) {
	if s.Model.Weights == "" {
		return nil, errors.New("pipeline: evaluate: no weights: name a run folder or a file (weights=…)")
	}
	m, err := e.open(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.Fuse(); err != nil {
		return nil, err
	}
	data, classes, stage, err := e.evaluationData(ctx, &s, m.Describe())
	if err != nil {
		return nil, err
	}
	defer data.Close()
	d, err := metric(s, classes)
	if err != nil {
		return nil, err
	}
	w := &predictionWriter{out: out, classes: classes}
	if err := w.open(); err != nil {
		return nil, err
	}
	seen := seenPictures{}
	m.Postprocess(s.Evaluate.Postprocess)
	err = e.eachPrediction(ctx, m, data, stage, wildtrain.Stage(s.Evaluate.Split), func(p wildtrain.Prediction, sample wildtrain.Sample) error {
		if err := d.Update([]wildtrain.Prediction{p}, []wildtrain.Sample{sample}); err != nil {
			return err
		}
		seen.add(p, sample, s.Evaluate.Conf)
		return w.add(p, sample)
	})
	if err != nil {
		return nil, err
	}
	summary, err := d.Summary()
	if err != nil {
		return nil, err
	}
	result = &Evaluated{Summary: summary, Split: s.Evaluate.Split, Weights: s.Model.Weights}
	if out == "" {
		return result, nil
	}
	if err := w.close(); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(out, "evaluation.json"), result); err != nil {
		return nil, err
	}
	result.Report, err = writeReport(out, s, m.Describe(), d, seen, picturePaths(data, stage))
	return result, err
}

// evaluationData opens the split to measure on, with the model's classes, before
// anything is written. It returns the classes and the stage that the split is loaded as.
func (e *Env) evaluationData(ctx context.Context, s *Settings, about wildtrain.Description) (data *datamodule.Detection, classes []string, stage wildtrain.Stage, err error) {
	classes, stage = about.Classes, wildtrain.Stage(s.Evaluate.Split)
	unnamed := slices.Equal(classes, numbered(len(classes)))
	if s.Model.ImageSize = about.InputSize[0]; !unnamed {
		s.Data.Classes = classes
	}
	if stage == wildtrain.Train { // as it is annotated, not as training changes it
		s.Data.ValSplit, stage = s.Data.TrainSplit, wildtrain.Val
	}
	if data, err = e.data(*s); err != nil {
		return nil, nil, "", err
	}
	names := wildtrain.Names(data.Classes())
	if unnamed && len(classes) == len(names) {
		classes = names
	}
	if err = sameClasses(classes, names); err == nil {
		err = data.Setup(ctx, stage)
	}
	if err != nil {
		return nil, nil, "", errors.Join(err, data.Close())
	}
	return data, classes, stage, nil
}

// writeReport writes the page with plots and tables and returns its path.
func writeReport(out string, s Settings, about wildtrain.Description, d *evaluate.Detection, seen seenPictures, paths map[string]string) (string, error) {
	in, err := report.Of(d)
	if err != nil {
		return "", err
	}
	in.Title = fmt.Sprintf("%s on %s", about.Architecture, s.Evaluate.Split)
	in.Facts = []report.Fact{{Name: "Weights", Value: s.Model.Weights}, {Name: "Data", Value: s.Data.Root}, {Name: "Picture size", Value: fmt.Sprint(about.InputSize[0], " px")}}
	if in.Pictures, err = seen.worst(d.PictureOutcomes(), paths); err != nil {
		return "", err
	}
	return report.Write(out, in)
}

// sameClasses tells what is wrong between the classes of a model and of data.
func sameClasses(model, data []string) error {
	if len(model) != len(data) {
		return fmt.Errorf("pipeline: the model knows %d classes %q, the data has %d %q", len(model), model, len(data), data)
	}
	for i := range model {
		if model[i] != data[i] {
			return fmt.Errorf("pipeline: class %d is %q for the model and %q in the data", i, model[i], data[i])
		}
	}
	return nil
}
