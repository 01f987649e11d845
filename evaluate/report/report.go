// Package report writes what package evaluate measured for people to read: one
// HTML page that needs nothing beside itself, PNG plots, Markdown, CSV and JSON.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/wildtrain"
)

// Fact is one line at the head of a report: the model, the split, the date.
type Fact struct{ Name, Value string }

// Picture is one example with what is in it and what was found. Boxes are in
// the pixels of Image.
type Picture struct {
	ID    string
	Note  string // "3 missed, 1 false", say
	Image wildtrain.Image
	Truth []wildtrain.Object
	Found []wildtrain.Object
}

// Input is what a report shows; what is empty is left out.
type Input struct {
	Title   string
	Facts   []Fact
	Classes []string // by class index, for the labels on pictures

	Detection *evaluate.Summary
	Intervals []evaluate.Estimate
	Counting  []evaluate.Counting
	Counts    []evaluate.PictureCount
	Errors    *evaluate.ErrorReport
	Grid      []evaluate.GridPoint // precision, recall and F1 over confidence, one IoU

	Classification *evaluate.ClassificationSummary

	Confusion *evaluate.Confusion
	Pictures  []Picture
}

// Of gathers everything that a finished evaluation of detections tells.
func Of(d *evaluate.Detection) (Input, error) {
	var in Input
	var err error
	if in.Detection, err = d.Summary(); err != nil {
		return in, err
	}
	cfg := d.Config()
	in.Classes = cfg.Classes
	in.Confusion = d.Confusion()
	if in.Intervals, err = d.Intervals(evaluate.Bootstrap{Resamples: 200, Level: 0.95, Seed: 1}); err != nil {
		return in, err
	}
	in.Counts = d.PictureCounts()
	if in.Counting, err = d.Counting(evaluate.DefaultCounting()); err != nil {
		return in, err
	}
	if in.Errors, err = d.Errors(evaluate.DefaultErrors()); err != nil {
		return in, err
	}
	confs := make([]float64, 101)
	for i := range confs {
		confs[i] = float64(i) / 100
	}
	in.Grid, err = d.Grid([]float64{cfg.IoU}, confs)
	return in, err
}

// OfClassification gathers everything that a finished evaluation of a classifier tells.
func OfClassification(c *evaluate.Classification) (Input, error) {
	s, err := c.Summary()
	if err != nil {
		return Input{}, err
	}
	return Input{Classification: s, Confusion: s.Confusion}, nil
}

// file is one file of a report.
type file struct {
	name string
	data []byte
}

// Write fills the folder with report.html, report.md, report.json, classes.csv,
// counts.csv (detections only) and plots/*.png, and returns the path of the page.
// Files of an earlier report are replaced one by one, each as a whole.
func Write(dir string, in Input) (string, error) {
	if in.Title == "" {
		in.Title = "Evaluation"
	}
	figures, err := plots(in)
	if err != nil {
		return "", fmt.Errorf("report: draw plots: %w", err)
	}
	files, err := texts(in)
	if err != nil {
		return "", err
	}
	html, err := page(in, figures)
	if err != nil {
		return "", fmt.Errorf("report: write page: %w", err)
	}
	for _, p := range figures {
		files = append(files, file{filepath.Join("plots", p.name+".png"), p.png})
	}
	files = append(files, file{"report.html", html}) // last: it tells that the rest is there
	for _, f := range files {
		if err := replace(filepath.Join(dir, f.name), f.data); err != nil {
			return "", fmt.Errorf("report: write %s: %w", f.name, err)
		}
	}
	return filepath.Join(dir, "report.html"), nil
}

// texts makes the files for programs.
func texts(in Input) ([]file, error) {
	b, err := json.MarshalIndent(struct {
		Title          string                          `json:"title"`
		Facts          []Fact                          `json:"facts,omitempty"`
		Detection      *evaluate.Summary               `json:"detection,omitempty"`
		Classification *evaluate.ClassificationSummary `json:"classification,omitempty"`
		Confusion      *evaluate.Confusion             `json:"confusion,omitempty"`
		Intervals      []evaluate.Estimate             `json:"intervals,omitempty"`
		Counting       []evaluate.Counting             `json:"counting,omitempty"`
		Errors         *evaluate.ErrorReport           `json:"errors,omitempty"`
		Grid           []evaluate.GridPoint            `json:"grid,omitempty"`
	}{in.Title, in.Facts, in.Detection, in.Classification, in.Confusion, in.Intervals, in.Counting, in.Errors, in.Grid}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report: write report.json: %w", err)
	}
	out := []file{{"report.json", append(b, '\n')}}
	classes, err := table(in).csv()
	if err != nil {
		return nil, fmt.Errorf("report: write classes.csv: %w", err)
	}
	out = append(out, file{"classes.csv", classes})
	if len(in.Counts) > 0 {
		counts, err := countTable(in).csv()
		if err != nil {
			return nil, fmt.Errorf("report: write counts.csv: %w", err)
		}
		out = append(out, file{"counts.csv", counts})
	}
	return append(out, file{"report.md", markdown(in)}), nil
}

// replace writes a file through a temporary one beside it.
func replace(name string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
