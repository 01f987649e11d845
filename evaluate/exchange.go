package evaluate

import (
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// ExchangePicture is one picture's predictions on the way to an annotation tool.
type ExchangePicture struct {
	Image         string // path or address by which the tool knows it
	Width, Height int    // px
	Objects       []wildtrain.Object
}

// LabelStudioConfig names what a labelling project calls its parts.
type LabelStudioConfig struct {
	ModelVersion string
	FromName     string // of the RectangleLabels tag
	ToName       string // of the Image tag
	DataKey      string // under which a task holds its image
}

// DefaultLabelStudio returns the names of Label Studio's object detection template.
func DefaultLabelStudio() LabelStudioConfig {
	return LabelStudioConfig{ModelVersion: "wildtrain", FromName: "label", ToName: "image", DataKey: "image"}
}

// share is a box in shares of the picture's size.
func (p ExchangePicture) share(b wildtrain.Box) (x, y, w, h float64, err error) {
	if p.Width <= 0 || p.Height <= 0 || !b.Finite() {
		return 0, 0, 0, 0, fmt.Errorf("a box is not finite or the size %d×%d is none", p.Width, p.Height)
	}
	b = b.Clip(p.Width, p.Height)
	fx, fy := float64(p.Width), float64(p.Height)
	return b.X1 / fx, b.Y1 / fy, max(b.Width(), 0) / fx, max(b.Height(), 0) / fy, nil
}

func nameOf(classes []string, class int) (string, error) {
	if class < 0 || class >= len(classes) {
		return "", fmt.Errorf("class %d, there are %d", class, len(classes))
	}
	return classes[class], nil
}

// WriteLabelStudio writes tasks with predictions, as Label Studio imports them:
// boxes in percent of the picture.
func WriteLabelStudio(w io.Writer, pictures []ExchangePicture, classes []string, cfg LabelStudioConfig) error {
	type object map[string]any
	tasks := make([]object, 0, len(pictures))
	for i, p := range pictures {
		results := make([]object, 0, len(p.Objects))
		total := 0.0
		for k, o := range p.Objects {
			name, err := nameOf(classes, o.Class)
			if err != nil {
				return fmt.Errorf("evaluate: write Label Studio: %s: object %d: %w", p.Image, k, err)
			}
			x, y, width, height, err := p.share(o.Box)
			if err != nil {
				return fmt.Errorf("evaluate: write Label Studio: %s: object %d: %w", p.Image, k, err)
			}
			total += o.Score
			results = append(results, object{
				"id": fmt.Sprintf("p%d_%d", i, k), "type": "rectanglelabels", "from_name": cfg.FromName, "to_name": cfg.ToName,
				"original_width": p.Width, "original_height": p.Height, "image_rotation": 0, "score": o.Score,
				"value": object{"x": 100 * x, "y": 100 * y, "width": 100 * width, "height": 100 * height, "rotation": 0, "rectanglelabels": []string{name}},
			})
		}
		score := 0.0
		if len(results) > 0 {
			score = total / float64(len(results))
		}
		tasks = append(tasks, object{
			"data":        object{cfg.DataKey: p.Image},
			"predictions": []object{{"model_version": cfg.ModelVersion, "score": score, "result": results}},
		})
	}
	return writeIndented(w, tasks)
}

// WriteFiftyOne writes the labels.json of FiftyOne's image detection dataset:
// per picture, called by its name without ending, boxes in shares of its size.
func WriteFiftyOne(w io.Writer, pictures []ExchangePicture, classes []string) error {
	type detection struct {
		Label      string     `json:"label"`
		Box        [4]float64 `json:"bounding_box"`
		Confidence float64    `json:"confidence"`
	}
	out := struct {
		Classes []string               `json:"classes"`
		Labels  map[string][]detection `json:"labels"`
	}{classes, map[string][]detection{}}
	for _, p := range pictures {
		key := strings.TrimSuffix(path.Base(p.Image), path.Ext(p.Image))
		if _, twice := out.Labels[key]; twice {
			return fmt.Errorf("evaluate: write FiftyOne: two pictures are called %q", key)
		}
		list := make([]detection, 0, len(p.Objects))
		for k, o := range p.Objects {
			name, err := nameOf(classes, o.Class)
			if err != nil {
				return fmt.Errorf("evaluate: write FiftyOne: %s: object %d: %w", p.Image, k, err)
			}
			x, y, width, height, err := p.share(o.Box)
			if err != nil {
				return fmt.Errorf("evaluate: write FiftyOne: %s: object %d: %w", p.Image, k, err)
			}
			list = append(list, detection{name, [4]float64{x, y, width, height}, o.Score})
		}
		out.Labels[key] = list
	}
	return writeIndented(w, out)
}

func writeIndented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("evaluate: write predictions: %w", err)
	}
	return nil
}
