package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/internal/draw"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// PredictOptions say what to look at and where to write.
type PredictOptions struct {
	Sources  []string                           // files, folders, glob patterns
	Out      string                             // folder for predictions.json, images.json and annotated pictures; "" writes nothing
	Pictures bool                               // write annotated pictures too
	Each     func(p wildtrain.Prediction) error // called for every picture, in the loader's order; may be nil
}

// Predict runs the model of s.Model.Weights over pictures and returns what it
// found, in original coordinates. Into Out it writes predictions.json (COCO
// detections), images.json (COCO images and categories, which explain the ids)
// and, if asked for, a copy of each picture with its boxes.
func (e *Env) Predict(ctx context.Context, s Settings, o PredictOptions) (found []wildtrain.Prediction, err error) {
	if len(o.Sources) == 0 {
		o.Sources = s.Sources
	}
	if len(o.Sources) == 0 {
		return nil, errors.New("pipeline: predict: no source: name a file, a folder or a pattern")
	}
	m, err := e.open(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	m.Postprocess(s.Predict)
	if err := m.Fuse(); err != nil {
		return nil, err
	}
	d := m.Describe()
	cfg := s.Data
	cfg.ImageSize, cfg.Stride, cfg.Cache = d.InputSize[0], d.Stride, datamodule.CacheNone
	cfg.EvalBatch = max(cfg.EvalBatch, 1)
	data, err := datamodule.Images(cfg, o.Sources...)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	// what can be wrong with the pictures' headers is found before anything is written
	if err := data.Setup(ctx, wildtrain.Test); err != nil {
		return nil, err
	}
	w := &predictionWriter{out: o.Out, pictures: o.Pictures, classes: d.Classes}
	if err := w.open(); err != nil {
		return nil, err
	}
	err = e.eachPrediction(ctx, m, data, wildtrain.Test, "predict", func(p wildtrain.Prediction, sample wildtrain.Sample) error {
		found = append(found, p)
		if err := w.add(p, sample); err != nil {
			return err
		}
		if o.Each != nil {
			return o.Each(p)
		}
		return nil
	})
	if err != nil {
		return found, err
	}
	return found, w.close()
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

// cocoDetection is one entry of a COCO result file.
type cocoDetection struct {
	ImageID    int        `json:"image_id"`
	CategoryID int        `json:"category_id"`
	BBox       [4]float64 `json:"bbox"`
	Score      float64    `json:"score"`
}

type cocoImage struct {
	ID       int    `json:"id"`
	FileName string `json:"file_name"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
}

type cocoCategory struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// predictionWriter gathers predictions and writes them when all are there.
type predictionWriter struct {
	out        string
	pictures   bool
	classes    []string
	images     []cocoImage
	detections []cocoDetection
	names      map[string]bool // of pictures written
}

func (w *predictionWriter) open() error {
	w.names = map[string]bool{}
	if w.out == "" {
		return nil
	}
	dir := w.out
	if w.pictures {
		dir = filepath.Join(w.out, "pictures")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("pipeline: predict: %w", err)
	}
	return nil
}

func (w *predictionWriter) add(p wildtrain.Prediction, s wildtrain.Sample) error {
	if w.out == "" {
		return nil
	}
	id := len(w.images) + 1
	w.images = append(w.images, cocoImage{ID: id, FileName: p.ID, Width: s.Width, Height: s.Height})
	for _, o := range p.Objects {
		w.detections = append(w.detections, cocoDetection{
			ImageID: id, CategoryID: o.Class + 1, Score: round(o.Score, 6),
			BBox: [4]float64{round(o.Box.X1, 3), round(o.Box.Y1, 3), round(o.Box.Width(), 3), round(o.Box.Height(), 3)},
		})
	}
	if !w.pictures {
		return nil
	}
	im, err := imageio.DecodeFile(filepath.FromSlash(p.ID), imageio.Options{MaxPixels: imageio.DefaultMaxPixels})
	if err != nil {
		return err
	}
	canvas := draw.Canvas(im)
	draw.Objects(canvas, p.Objects, w.classes)
	return checkpoint.WriteFile(filepath.Join(w.out, "pictures", w.pictureName(p.ID)), func(out io.Writer) error { return draw.WritePNG(out, canvas) })
}

// pictureName is the base name, with a number where several folders have one of the same name.
func (w *predictionWriter) pictureName(id string) string {
	base := filepath.Base(filepath.FromSlash(id))
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := base
	for n := 2; w.names[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	w.names[name] = true
	return name + ".png"
}

func (w *predictionWriter) close() error {
	if w.out == "" {
		return nil
	}
	if w.detections == nil {
		w.detections = []cocoDetection{}
	}
	categories := make([]cocoCategory, len(w.classes))
	for i, c := range w.classes {
		categories[i] = cocoCategory{ID: i + 1, Name: c}
	}
	if err := writeJSON(filepath.Join(w.out, "predictions.json"), w.detections); err != nil {
		return err
	}
	return writeJSON(filepath.Join(w.out, "images.json"), map[string]any{"images": w.images, "categories": categories, "annotations": []int{}})
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// writeJSON replaces a file as a whole.
func writeJSON(path string, v any) error {
	return checkpoint.WriteFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(v) })
}
