package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/wildtrain/sdk/checkpoint"
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
	s.look(s.Predict)
	m, t, err := e.open(&s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := t.use(m, s, true); err != nil {
		return nil, err
	}
	about := m.Describe()
	data, err := t.pictures(s, about, o.Sources)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	// what can be wrong with the pictures' headers is found before anything is written
	if err := data.Setup(ctx, wildtrain.Test); err != nil {
		return nil, err
	}
	w := t.writer(o.Out, about.Classes, o.Pictures)
	if err := w.open(); err != nil {
		return nil, err
	}
	err = e.eachPicture(ctx, m, data, wildtrain.Test, "predict", s.Predict, func(p wildtrain.Prediction, sample wildtrain.Sample) error {
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

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// writeJSON replaces a file as a whole.
func writeJSON(path string, v any) error {
	return checkpoint.WriteFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(v) })
}

// makeFolder makes the folder that predictions go to, unless there is none.
func makeFolder(out string, pictures bool) error {
	if out == "" {
		return nil
	}
	if pictures {
		out = filepath.Join(out, "pictures")
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return fmt.Errorf("pipeline: predict: %w", err)
	}
	return nil
}

// pictureNames gives written pictures their names.
type pictureNames map[string]bool

// of is the base name, with a number where several folders have one of the same name.
func (n pictureNames) of(id string) string {
	base := filepath.Base(filepath.FromSlash(id))
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := base
	for i := 2; n[name]; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	n[name] = true
	return name + ".png"
}

// write puts a picture, with something painted on it, into the folder "pictures" of out.
func (n pictureNames) write(out, id string, paint func(*image.RGBA)) error {
	im, err := imageio.DecodeFile(filepath.FromSlash(id), imageio.Options{MaxPixels: imageio.DefaultMaxPixels})
	if err != nil {
		return err
	}
	canvas := draw.Canvas(im)
	paint(canvas)
	return checkpoint.WriteFile(filepath.Join(out, "pictures", n.of(id)), func(w io.Writer) error { return draw.WritePNG(w, canvas) })
}
