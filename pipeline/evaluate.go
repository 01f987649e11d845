package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

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
	classes := m.Describe().Classes
	unnamed := slices.Equal(classes, numbered(len(classes)))
	if s.Model.ImageSize = m.Describe().InputSize[0]; !unnamed {
		s.Data.Classes = classes
	}
	data, err := e.data(s)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	if names := wildtrain.Names(data.Classes()); unnamed && len(classes) == len(names) {
		classes = names
	}
	if err := sameClasses(classes, wildtrain.Names(data.Classes())); err != nil {
		return nil, err
	}
	stage := wildtrain.Stage(s.Evaluate.Split)
	if err := data.Setup(ctx, stage); err != nil { // before anything is written
		return nil, err
	}
	d, err := metric(s, classes)
	if err != nil {
		return nil, err
	}
	w := &predictionWriter{out: out, classes: classes}
	if err := w.open(); err != nil {
		return nil, err
	}
	worst := worstPictures{conf: s.Evaluate.Conf, iou: s.Evaluate.IoU}
	m.Postprocess(s.Evaluate.Postprocess)
	err = e.eachPrediction(ctx, m, data, stage, stage, func(p wildtrain.Prediction, sample wildtrain.Sample) error {
		if err := d.Update([]wildtrain.Prediction{p}, []wildtrain.Sample{sample}); err != nil {
			return err
		}
		worst.add(p, sample)
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
	in, err := report.Of(d)
	if err != nil {
		return nil, err
	}
	about := m.Describe()
	in.Title = fmt.Sprintf("%s on %s", about.Architecture, s.Evaluate.Split)
	in.Facts = []report.Fact{{Name: "Weights", Value: s.Model.Weights}, {Name: "Data", Value: s.Data.Root}, {Name: "Picture size", Value: fmt.Sprint(about.InputSize[0], " px")}}
	if in.Pictures, err = worst.pictures(picturePaths(data, wildtrain.Stage(s.Evaluate.Split))); err != nil {
		return nil, err
	}
	result.Report, err = report.Write(out, in)
	return result, err
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
