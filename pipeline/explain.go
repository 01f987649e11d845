package pipeline

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"slices"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/classification"
	"github.com/wildtrain/sdk/internal/draw"
	"github.com/wildtrain/sdk/wildtrain"
)

// The ways to explain what a classifier sees.
const (
	GradCAM   = "gradcam"
	Occlusion = "occlusion"
)

// ExplainOptions say what to look at, how, and where to write.
type ExplainOptions struct {
	Sources []string // files, folders, glob patterns
	Out     string   // folder for the pictures
	Method  string   // GradCAM or Occlusion
	Class   string   // what is to be explained; "" takes the likeliest class of each picture
	Window  int      // side in px of Occlusion's squares, which are half as far apart; 0: a quarter of the picture's
}

// Explained is one picture that was written.
type Explained struct {
	ID    string  `json:"id"`
	Class string  `json:"class"`
	Prob  float64 `json:"prob"`
	File  string  `json:"file"`
}

// Explain writes, for every picture, what the classifier of s.Model.Weights sees
// with a map of what mattered for a class laid over it.
func (e *Env) Explain(ctx context.Context, s Settings, o ExplainOptions) (done []Explained, err error) {
	if o.Method != GradCAM && o.Method != Occlusion {
		return nil, badSettings(fmt.Errorf("pipeline: explain: method %q: want %s or %s", o.Method, GradCAM, Occlusion))
	}
	m, t, err := e.openClassifier(&s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	about := m.Describe()
	x := explanation{m: m, o: o, classes: about.Classes, class: -1, names: pictureNames{}}
	if o.Class != "" {
		if x.class = slices.Index(about.Classes, o.Class); x.class < 0 {
			return nil, badSettings(fmt.Errorf("pipeline: explain: %q is no class of the model, which knows %q", o.Class, about.Classes))
		}
	}
	data, err := t.pictures(s, about, o.Sources)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	if err := data.Setup(ctx, wildtrain.Test); err != nil {
		return nil, err
	}
	l, err := data.Loader(wildtrain.Test, wildtrain.Position{World: 1})
	if err != nil {
		return nil, err
	}
	if err := makeFolder(o.Out, false); err != nil {
		return nil, err
	}
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return done, err
		}
		written, err := x.batch(ctx, b)
		if done = append(done, written...); err != nil {
			return done, err
		}
	}
	return done, nil
}

// openClassifier is open for what only classifiers can do.
func (e *Env) openClassifier(s *Settings) (*classification.Classifier, task, error) {
	m, t, err := e.open(s)
	if err != nil {
		return nil, nil, err
	}
	c, ok := m.(*classification.Classifier)
	if !ok {
		err := badSettings(fmt.Errorf("pipeline: %s is no classifier", m.Describe().Architecture))
		return nil, nil, errors.Join(err, m.Close())
	}
	return c, t, nil
}

// explanation explains batch by batch.
type explanation struct {
	m       *classification.Classifier
	o       ExplainOptions
	classes []string
	class   int // −1: the likeliest
	names   pictureNames
}

func (x *explanation) batch(ctx context.Context, b *wildtrain.Batch) ([]Explained, error) {
	p, samples := b.Pixels, b.Samples
	p.U8 = slices.Clone(p.U8) // the batch's own goes back to the loader
	b.Release()
	again := func() *wildtrain.Batch { return wildtrain.NewBatch(p, samples, nil) }
	found, err := x.m.Predict(ctx, again())
	if err != nil {
		return nil, err
	}
	var classes []int
	if x.class >= 0 {
		classes = slices.Repeat([]int{x.class}, len(samples))
	}
	var heat []classification.Heat
	if x.o.Method == GradCAM {
		heat, err = x.m.GradCAM(ctx, again(), classes)
	} else {
		window := x.o.Window
		if window == 0 {
			window = max(min(p.Height, p.Width)/4, 1)
		}
		heat, err = x.m.Occlusion(ctx, again(), classes, window, max(window/2, 1))
	}
	if err != nil {
		return nil, err
	}
	var done []Explained
	size := p.Height * p.Width * p.Channels
	for i, h := range heat {
		d := Explained{ID: samples[i].ID, Class: x.classes[h.Class], Prob: float64(found[i].Probs[h.Class]), File: filepath.Join(x.o.Out, x.names.of(samples[i].ID))}
		im := wildtrain.Image{Height: p.Height, Width: p.Width, Channels: p.Channels, U8: p.U8[i*size : (i+1)*size]}
		picture, err := h.Picture(im, d.Class, d.Prob)
		if err != nil {
			return done, err
		}
		if err := writePicture(d.File, picture); err != nil {
			return done, fmt.Errorf("pipeline: explain: %w", err)
		}
		done = append(done, d)
	}
	return done, nil
}

func writePicture(path string, picture *image.RGBA) error {
	return checkpoint.WriteFile(path, func(w io.Writer) error { return draw.WritePNG(w, picture) })
}
