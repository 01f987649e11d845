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

// Evaluated is the outcome of Evaluate: of a detector or of a classifier.
type Evaluated struct {
	Task    string `json:"task"`
	Split   string `json:"split"`
	Weights string `json:"weights"`
	Report  string `json:"report,omitempty"` // path of the HTML page

	Detection      *evaluate.Summary               `json:"detection,omitempty"`
	Classification *evaluate.ClassificationSummary `json:"classification,omitempty"`
}

// Values are the numbers of the evaluation, by name.
func (e *Evaluated) Values() evaluate.Values {
	if e.Detection != nil {
		return e.Detection.Values
	}
	return e.Classification.Values
}

// Pictures is how many pictures were looked at.
func (e *Evaluated) Pictures() int {
	if e.Detection != nil {
		return e.Detection.Pictures
	}
	return e.Classification.Pictures
}

// Evaluate measures the model of s.Model.Weights on a split, detections in
// original coordinates. Into out, unless it is empty, it writes evaluation.json,
// a report (report.html with plots and tables beside it) and the predictions.
// The data's classes are matched to the model's by name, or by number where
// the model has no names.
func (e *Env) Evaluate(ctx context.Context, s Settings, out string) (result *Evaluated, err error) {
	if s.Model.Weights == "" {
		return nil, errors.New("pipeline: evaluate: no weights: name a run folder or a file (weights=…)")
	}
	s.look(s.Evaluate.Looking)
	m, t, err := e.open(&s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := t.use(m, s, false); err != nil {
		return nil, err
	}
	about := m.Describe()
	data, classes, stage, err := e.evaluationData(ctx, t, &s, about)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	exam, err := t.examine(s, m, classes, out)
	if err != nil {
		return nil, err
	}
	if err := e.eachPicture(ctx, m, data, stage, wildtrain.Stage(s.Evaluate.Split), s.Evaluate.Looking, exam.add); err != nil {
		return nil, err
	}
	if result, err = exam.close(data.paths(stage)); err != nil {
		return nil, err
	}
	result.Task, result.Split, result.Weights = about.Task, s.Evaluate.Split, s.Model.Weights
	if out == "" {
		return result, nil
	}
	return result, writeJSON(filepath.Join(out, "evaluation.json"), result)
}

// evaluationData opens the split to measure on, with the model's classes, before
// anything is written. It returns the classes and the stage that the split is loaded as.
func (e *Env) evaluationData(ctx context.Context, t task, s *Settings, about wildtrain.Description) (data dataset, classes []string, stage wildtrain.Stage, err error) {
	classes, stage = about.Classes, s.unaugmented(wildtrain.Stage(s.Evaluate.Split))
	unnamed := slices.Equal(classes, numbered(len(classes)))
	if s.Model.ImageSize = about.InputSize[0]; !unnamed {
		if s.Data.SingleClass == "" { // else the names in the files are others than the model's
			s.Data.Classes = classes
		}
		if s.Labels.SingleClass == "" {
			s.Labels.Classes = classes
		}
	}
	if data, err = t.data(*s, e.log()); err != nil {
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

// unaugmented is the stage as which a split is loaded as it is annotated: the
// training split takes validation's place, since training changes its pictures.
func (s *Settings) unaugmented(stage wildtrain.Stage) wildtrain.Stage {
	if stage != wildtrain.Train {
		return stage
	}
	s.Data.ValSplit, s.Labels.ValSplit = s.Data.TrainSplit, s.Labels.TrainSplit
	return wildtrain.Val
}

// reportHead is the title of a report's page and what stands below it.
func reportHead(s Settings, about wildtrain.Description) (string, []report.Fact) {
	return fmt.Sprintf("%s on %s", about.Architecture, s.Evaluate.Split), []report.Fact{
		{Name: "Weights", Value: s.Model.Weights}, {Name: "Data", Value: s.Data.Root}, {Name: "Picture size", Value: fmt.Sprint(about.InputSize[0], " px")},
	}
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
