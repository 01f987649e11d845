package evaluate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

// DetectionWriter writes predictions as a COCO results list, one at a time, so
// that no list of all is kept. Close ends the list.
type DetectionWriter struct {
	w       *bufio.Writer
	images  func(id string) (any, error)
	classes []int
	n       int
}

// NewDetectionWriter begins a list. images gives for a picture's ID the image id
// of the annotation file, an int or a string; nil keeps the ID. classes holds
// the category id of every class index; nil keeps the indices.
func NewDetectionWriter(w io.Writer, images func(id string) (any, error), classes []int) *DetectionWriter {
	if images == nil {
		images = func(id string) (any, error) { return id, nil }
	}
	return &DetectionWriter{w: bufio.NewWriter(w), images: images, classes: classes}
}

// detectionEntry is one entry of the list, its keys in COCO's order.
type detectionEntry struct {
	ImageID      any           `json:"image_id"`
	CategoryID   int           `json:"category_id"`
	BBox         [4]float64    `json:"bbox"`
	Score        float64       `json:"score"`
	Segmentation *segmentation `json:"segmentation,omitempty"`
}

type segmentation struct {
	Size   [2]int `json:"size"`
	Counts string `json:"counts"`
}

// Write appends the detections of one picture.
func (d *DetectionWriter) Write(p wildtrain.Prediction) error {
	image, err := d.images(p.ID)
	if err != nil {
		return fmt.Errorf("evaluate: write detections of %s: %w", p.ID, err)
	}
	for i, o := range p.Objects {
		e, err := d.entry(image, o)
		if err != nil {
			return fmt.Errorf("evaluate: write detection %d of %s: %w", i, p.ID, err)
		}
		b, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("evaluate: write detection %d of %s: %w", i, p.ID, err)
		}
		open := byte(',')
		if d.n == 0 {
			open = '['
		}
		d.n++
		b = append([]byte{open, '\n'}, b...)
		if _, err := d.w.Write(b); err != nil {
			return fmt.Errorf("evaluate: write detections: %w", err)
		}
	}
	return nil
}

func (d *DetectionWriter) entry(image any, o wildtrain.Object) (detectionEntry, error) {
	e := detectionEntry{ImageID: image, CategoryID: o.Class, Score: o.Score}
	if !o.Box.Finite() || math.IsNaN(o.Score) {
		return e, fmt.Errorf("a box or score is not finite")
	}
	if d.classes != nil {
		if o.Class < 0 || o.Class >= len(d.classes) {
			return e, fmt.Errorf("class %d, there are %d", o.Class, len(d.classes))
		}
		e.CategoryID = d.classes[o.Class]
	}
	e.BBox = [4]float64{o.Box.X1, o.Box.Y1, o.Box.Width(), o.Box.Height()}
	if o.Mask != nil {
		m, err := rle.New(o.Mask.Height, o.Mask.Width, o.Mask.Runs)
		if err != nil {
			return e, err
		}
		e.Segmentation = &segmentation{[2]int{m.Height, m.Width}, m.String()}
	}
	return e, nil
}

// Close ends the list and flushes; the writer below stays open.
func (d *DetectionWriter) Close() error {
	end := "\n]\n"
	if d.n == 0 {
		end = "[]\n"
	}
	_, _ = d.w.WriteString(end) // Flush tells
	if err := d.w.Flush(); err != nil {
		return fmt.Errorf("evaluate: write detections: %w", err)
	}
	return nil
}
