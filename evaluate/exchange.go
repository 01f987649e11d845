package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

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

// ErrNoSize tells that boxes cannot be written in shares of a picture's size.
var ErrNoSize = errors.New("the size of the picture is not known")

// share is a box in shares of the picture's size.
func (p *Picture) share(b wildtrain.Box) (x, y, w, h float64, err error) {
	if p.Width <= 0 || p.Height <= 0 {
		return 0, 0, 0, 0, ErrNoSize
	}
	if !b.Finite() {
		return 0, 0, 0, 0, fmt.Errorf("box %v is not finite", b)
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

// WriteLabelStudio writes what was found as tasks with predictions, as Label
// Studio imports them: boxes in percent of the picture.
func WriteLabelStudio(w io.Writer, pictures []Picture, classes []string, cfg LabelStudioConfig) error {
	type object map[string]any
	tasks := make([]object, 0, len(pictures))
	for i, p := range pictures {
		results := make([]object, 0, len(p.Found))
		total := 0.0
		for k, o := range p.Found {
			name, err := nameOf(classes, o.Class)
			if err != nil {
				return fmt.Errorf("evaluate: write Label Studio: %s: object %d: %w", p.name(), k, err)
			}
			x, y, width, height, err := p.share(o.Box)
			if err != nil {
				return fmt.Errorf("evaluate: write Label Studio: %s: object %d: %w", p.name(), k, err)
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
			"data":        object{cfg.DataKey: p.name()},
			"predictions": []object{{"model_version": cfg.ModelVersion, "score": score, "result": results}},
		})
	}
	return writeIndented(w, tasks)
}

// fiftyOneKeys are the names by which FiftyOne knows pictures: their files
// without ending, without folders where that is still unique. Crops, FILE#NUMBER,
// keep their number.
func fiftyOneKeys(files []string) ([]string, error) {
	bare := func(name string) string {
		file, crop, ok := strings.Cut(name, "#")
		if file = strings.TrimSuffix(file, path.Ext(file)); ok {
			return file + "#" + crop
		}
		return file
	}
	unique := func(of func(string) string) (out []string, twice string) {
		seen := map[string]bool{}
		for _, f := range files {
			key := of(f)
			if seen[key] {
				return nil, key
			}
			seen[key] = true
			out = append(out, key)
		}
		return out, ""
	}
	if out, twice := unique(func(f string) string { return bare(path.Base(f)) }); twice == "" {
		return out, nil
	}
	out, twice := unique(bare)
	if twice != "" {
		return nil, fmt.Errorf("evaluate: write FiftyOne: two pictures are called %q", twice)
	}
	return out, nil
}

// WriteFiftyOne writes what was found as the labels.json of FiftyOne's image
// detection dataset: classes by their place in the list, boxes in shares of the
// picture's size.
func WriteFiftyOne(w io.Writer, pictures []Picture, classes []string) error {
	type detection struct {
		Label      int        `json:"label"`
		Box        [4]float64 `json:"bounding_box"`
		Confidence float64    `json:"confidence"`
	}
	out := struct {
		Classes []string               `json:"classes"`
		Labels  map[string][]detection `json:"labels"`
	}{classes, map[string][]detection{}}
	names := make([]string, len(pictures))
	for i := range pictures {
		names[i] = pictures[i].name()
	}
	keys, err := fiftyOneKeys(names)
	if err != nil {
		return err
	}
	for i, p := range pictures {
		list := make([]detection, 0, len(p.Found))
		for k, o := range p.Found {
			if _, err := nameOf(classes, o.Class); err != nil {
				return fmt.Errorf("evaluate: write FiftyOne: %s: object %d: %w", p.name(), k, err)
			}
			x, y, width, height, err := p.share(o.Box)
			if err != nil {
				return fmt.Errorf("evaluate: write FiftyOne: %s: object %d: %w", p.name(), k, err)
			}
			list = append(list, detection{o.Class, [4]float64{x, y, width, height}, o.Score})
		}
		out.Labels[keys[i]] = list
	}
	return writeIndented(w, out)
}

// WriteDetections writes everything that was found, whatever its score, as a
// COCO results list. Categories are numbered from 1 in the order of classes.
func (d *Detection) WriteDetections(w io.Writer) error {
	numbers := make([]int, len(d.cfg.classNames()))
	for i := range numbers {
		numbers[i] = i + 1
	}
	out := NewDetectionWriter(w, func(id string) (any, error) { return imageID(id), nil }, numbers)
	for _, p := range d.sorted() {
		found := wildtrain.Prediction{ID: p.id}
		for k := range p.found {
			found.Objects = append(found.Objects, p.found[k].object())
		}
		if err := out.Write(found); err != nil {
			return err
		}
	}
	return out.Close()
}

// imageID is a whole number where the ID is the text of one.
func imageID(id string) any {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && strconv.FormatInt(n, 10) == id {
		return n
	}
	return id
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
