// Package report writes what package evaluate measured for people to read: one
// HTML page that needs nothing beside itself, PNG plots, Markdown, CSV and JSON.
package report

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/internal/imageio"
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
	Level     float64 // of all intervals; 0.95 where 0
	Counting  []evaluate.Counting
	Counts    []evaluate.PictureCount
	Errors    *evaluate.ErrorReport
	Grid      []evaluate.GridPoint // precision, recall and F1 over confidence, the IoU of the curves first

	Classification *evaluate.ClassificationSummary

	Confusion *evaluate.Confusion
	Pictures  []Picture

	detections *evaluate.Detection // what is written for other programs
	answers    *evaluate.Classification
}

// Options say what is gathered beside the numbers themselves.
type Options struct {
	Bootstrap evaluate.Bootstrap // of the intervals
	CountBins []int              // upper ends of the herd sizes
	Errors    evaluate.ErrorConfig
	Worst     int // pictures shown, those with the most mistakes first
	// File tells where a picture lies; nil shows no pictures.
	File func(evaluate.Picture) string
}

// DefaultOptions returns 200 resamples, the default herd sizes and 12 pictures.
func DefaultOptions() Options {
	b := evaluate.DefaultBootstrap()
	b.Resamples = 200
	return Options{Bootstrap: b, CountBins: evaluate.DefaultCounting().Bins, Errors: evaluate.DefaultErrors(), Worst: 12}
}

// Of gathers what a finished evaluation of detections tells, with DefaultOptions.
func Of(d *evaluate.Detection) (Input, error) { return DefaultOptions().Of(d) }

// OfClassification gathers what a finished evaluation of a classifier tells,
// with DefaultOptions.
func OfClassification(c *evaluate.Classification) (Input, error) {
	return DefaultOptions().OfClassification(c)
}

// Of gathers everything that a finished evaluation of detections tells.
func (o Options) Of(d *evaluate.Detection) (Input, error) {
	in := Input{detections: d, Level: o.Bootstrap.Level}
	var err error
	if in.Detection, err = d.Summary(); err != nil {
		return in, err
	}
	for _, c := range in.Detection.Classes {
		in.Classes = append(in.Classes, c.Name)
	}
	in.Confusion = d.Confusion()
	if in.Intervals, err = d.Intervals(o.Bootstrap); err != nil {
		return in, err
	}
	in.Counts = d.PictureCounts()
	if n := groups(in.Counts); n > 0 && n < fewGroups {
		in.Detection.Warnings = append(in.Detection.Warnings, fmt.Sprintf("the pictures are of %d groups only: intervals over so few are rough", n))
	}
	if in.Counting, err = d.Counting(evaluate.CountingConfig{Bins: o.CountBins, Bootstrap: o.Bootstrap}); err != nil {
		return in, err
	}
	if in.Errors, err = d.Errors(o.Errors); err != nil {
		return in, err
	}
	if in.Grid, err = grids(d); err != nil {
		return in, err
	}
	in.Pictures, err = o.worst(d)
	return in, err
}

// fewGroups is how many it takes for a bootstrap over them to mean something.
const fewGroups = 10

// groups counts the groups of pictures, 0 if there are none.
func groups(pictures []evaluate.PictureCount) int {
	seen := map[string]bool{}
	for _, p := range pictures {
		if p.Group != "" {
			seen[p.Group] = true
		}
	}
	return len(seen)
}

// grids measures the configured IoU first, then the thresholds of AP, over
// confidences from 0 to 1.
func grids(d *evaluate.Detection) ([]evaluate.GridPoint, error) {
	cfg := d.Config()
	ious := []float64{cfg.IoU}
	for _, t := range cfg.Thresholds {
		if math.Abs(t-cfg.IoU) > 1e-9 {
			ious = append(ious, t)
		}
	}
	confs := make([]float64, 101)
	for i := range confs {
		confs[i] = float64(i) / 100
	}
	return d.Grid(ious, confs)
}

// worst decodes the pictures with the most mistakes.
func (o Options) worst(d *evaluate.Detection) ([]Picture, error) {
	if o.File == nil || o.Worst <= 0 {
		return nil, nil
	}
	pictures := map[string]evaluate.Picture{}
	for _, p := range d.Pictures() {
		pictures[p.ID] = p
	}
	var out []Picture
	for _, w := range d.PictureOutcomes() {
		if len(out) == o.Worst || w.FP+w.FN == 0 {
			break
		}
		p := pictures[w.ID]
		im, err := imageio.DecodeFile(o.File(p), imageio.Options{MaxPixels: imageio.DefaultMaxPixels})
		if err != nil {
			return nil, fmt.Errorf("report: show %s: %w", w.ID, err)
		}
		name := w.ID
		if w.File != "" {
			name = w.File
		}
		out = append(out, Picture{ID: name, Note: fmt.Sprintf("%d missed, %d false", w.FN, w.FP), Image: im, Truth: p.Truth, Found: p.Found})
	}
	return out, nil
}

// OfClassification gathers everything that a finished evaluation of a classifier tells.
func (o Options) OfClassification(c *evaluate.Classification) (Input, error) {
	s, err := c.Summary()
	if err != nil {
		return Input{}, err
	}
	in := Input{Classification: s, Confusion: s.Confusion, Level: o.Bootstrap.Level, answers: c}
	in.Intervals, err = c.Intervals(o.Bootstrap)
	return in, err
}

// file is one file of a report.
type file struct {
	name string
	data []byte
}

// Write fills the folder with report.html, report.md, report.json, classes.csv
// and plots/*.png, and returns the path of the page. An Input that was gathered
// from an evaluation has more: counts.csv (detections only); predictions/ for
// COCO's tools or as CSV, and for FiftyOne and Label Studio; and evaluation.gz,
// from which evaluate.OpenSaved reads all of it back. Files of an earlier report are
// replaced one by one, each as a whole.
func Write(dir string, in Input) (string, error) {
	if in.Title == "" {
		in.Title = "Evaluation"
	}
	if in.Level == 0 {
		in.Level = evaluate.DefaultBootstrap().Level
	}
	figures, err := plots(in)
	if err != nil {
		return "", fmt.Errorf("report: draw plots: %w", err)
	}
	others, err := in.exchange()
	if err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	files, err := texts(in)
	if err != nil {
		return "", err
	}
	html, err := page(in, figures)
	if err != nil {
		return "", fmt.Errorf("report: write page: %w", err)
	}
	files = append(files, others...)
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
