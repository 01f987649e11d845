package pipeline

import (
	"image"
	"path/filepath"

	"github.com/wildtrain/sdk/internal/draw"
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

// cocoDetection is one entry of a COCO result file.
type cocoDetection struct {
	ImageID    int        `json:"image_id"`
	CategoryID int        `json:"category_id"`
	BBox       [4]float64 `json:"bbox"`
	Score      float64    `json:"score"`

	Segmentation *cocoRuns `json:"segmentation,omitempty"` // where the model finds masks
}

// cocoRuns is a mask in COCO's compressed form.
type cocoRuns struct {
	Size   [2]int `json:"size"` // height, width
	Counts string `json:"counts"`
}

func runsOf(m *wildtrain.Mask) *cocoRuns {
	if m == nil {
		return nil
	}
	return &cocoRuns{[2]int{m.Height, m.Width}, (*rle.Mask)(m).String()}
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

// detectionWriter gathers detections and writes them when all are there.
type detectionWriter struct {
	out        string
	pictures   bool
	classes    []string
	images     []cocoImage
	detections []cocoDetection
	names      pictureNames
}

func (w *detectionWriter) open() error {
	w.names = pictureNames{}
	return makeFolder(w.out, w.pictures)
}

func (w *detectionWriter) add(p wildtrain.Prediction, s wildtrain.Sample) error {
	if w.out == "" {
		return nil
	}
	id := len(w.images) + 1
	w.images = append(w.images, cocoImage{ID: id, FileName: p.ID, Width: s.Width, Height: s.Height})
	for _, o := range p.Objects {
		w.detections = append(w.detections, cocoDetection{
			ImageID: id, CategoryID: o.Class + 1, Score: round(o.Score, 6),
			BBox:         [4]float64{round(o.Box.X1, 3), round(o.Box.Y1, 3), round(o.Box.Width(), 3), round(o.Box.Height(), 3)},
			Segmentation: runsOf(o.Mask),
		})
	}
	if !w.pictures {
		return nil
	}
	return w.names.write(w.out, p.ID, func(canvas *image.RGBA) { draw.Objects(canvas, p.Objects, w.classes) })
}

func (w *detectionWriter) close() error {
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
