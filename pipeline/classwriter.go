package pipeline

import (
	"encoding/csv"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"strconv"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/classification"
	"github.com/wildtrain/sdk/internal/draw"
	"github.com/wildtrain/sdk/wildtrain"
)

// shownClasses is how many classes predictions.json names of each picture.
const shownClasses = 5

// classWriter gathers the classes of pictures: predictions.csv with the label and
// one probability column per class, as `wildtrain evaluate classification` reads
// it, and predictions.json with the likeliest classes of each.
type classWriter struct {
	out      string
	pictures bool
	classes  []string
	rows     [][]string
	list     []pictureClasses
	names    pictureNames
}

type pictureClasses struct {
	ID        string                  `json:"id"`
	Label     string                  `json:"label"`
	Classes   []classification.Ranked `json:"classes"`
	Embedding []float32               `json:"embedding,omitempty"`
}

func newClassWriter(out string, classes []string, pictures bool) *classWriter {
	return &classWriter{out: out, classes: classes, pictures: pictures, names: pictureNames{}}
}

func (w *classWriter) open() error { return makeFolder(w.out, w.pictures) }

func (w *classWriter) add(p wildtrain.Prediction, _ wildtrain.Sample) error {
	if w.out == "" {
		return nil
	}
	top := classification.TopK(w.classes, p.Probs, shownClasses)
	found := pictureClasses{ID: p.ID, Classes: top, Embedding: p.Embedding}
	if len(top) > 0 {
		found.Label = top[0].Name
	}
	w.list = append(w.list, found)
	row := []string{p.ID, found.Label}
	for _, v := range p.Probs {
		row = append(row, strconv.FormatFloat(float64(v), 'g', -1, 32))
	}
	w.rows = append(w.rows, row)
	if !w.pictures {
		return nil
	}
	return w.names.write(w.out, p.ID, func(canvas *image.RGBA) {
		if len(top) > 0 {
			draw.Label(canvas, 0, 0, fmt.Sprintf("%s %.2f", top[0].Name, top[0].Prob), draw.Color(0), max(1, canvas.Bounds().Dx()/400))
		}
	})
}

func (w *classWriter) close() error {
	if w.out == "" {
		return nil
	}
	if w.list == nil {
		w.list = []pictureClasses{}
	}
	err := checkpoint.WriteFile(filepath.Join(w.out, "predictions.csv"), func(out io.Writer) error {
		c := csv.NewWriter(out)
		head := append([]string{"id", "label"}, w.classes...)
		if err := c.WriteAll(append([][]string{head}, w.rows...)); err != nil {
			return err
		}
		return c.Error()
	})
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(w.out, "predictions.json"), w.list)
}
