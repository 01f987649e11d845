package detr

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Postprocess says which answers become detections. Nothing suppresses anything.
type Postprocess struct {
	Conf   float64 // probability that a detection must exceed
	MaxDet int     // most detections per image; 0 for as many as there are queries
}

func (p Postprocess) validate() error {
	var errs []error
	if !(p.Conf >= 0 && p.Conf <= 1) {
		errs = append(errs, fmt.Errorf("detr: confidence threshold %g is not in 0..1", p.Conf))
	}
	if p.MaxDet < 0 {
		errs = append(errs, fmt.Errorf("detr: at most %d detections", p.MaxDet))
	}
	return errors.Join(errs...)
}

// found is the detections of one picture, by falling score.
type found struct {
	boxes  []float32 // corners, 4 numbers each, 0..1 across the picture
	scores []float32
	labels []int64
}

// detections picks what counts of answers to a batch. With a "no object" class
// each query gives its best other class, else the best pairs of query and class
// of the picture are taken, so that a query may give several.
func (p Postprocess) detections(kind Kind, a answers) ([]found, error) {
	n, queries, classes := int(a.logits.Size(0)), int(a.logits.Size(1)), int(a.logits.Size(2))
	var probable *torch.Tensor
	if kind == CrossEntropy {
		probable = a.logits.Softmax(2)
	} else {
		probable = a.logits.Sigmoid()
	}
	scores, boxes := probable.Float32s(nil), a.boxes.Float32s(nil)
	if err := a.logits.Scope().Err(); err != nil {
		return nil, err
	}
	limit := queries
	if p.MaxDet > 0 {
		limit = p.MaxDet
	}
	out := make([]found, n)
	for i := range out {
		at := i * queries
		s := scores[at*classes : (at+queries)*classes]
		var best []int // places in s
		if kind == CrossEntropy {
			best = bestOfRows(s, classes)
		} else {
			best = make([]int, len(s))
			for k := range best {
				best[k] = k
			}
		}
		out[i] = p.pick(s, best, classes, limit, boxes[at*4:(at+queries)*4])
	}
	return out, nil
}

// bestOfRows is the place of the largest value of each row, its last left out.
func bestOfRows(s []float32, width int) []int {
	var out []int
	for r := 0; r < len(s); r += width {
		at := r
		for k := r + 1; k < r+width-1; k++ {
			if s[k] > s[at] {
				at = k
			}
		}
		out = append(out, at)
	}
	return out
}

// pick takes the best of the given places, at most limit that exceed the threshold.
func (p Postprocess) pick(s []float32, places []int, classes, limit int, boxes []float32) found {
	places = slices.DeleteFunc(places, func(k int) bool { return !(s[k] > float32(p.Conf)) })
	slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(s[b], s[a]) })
	var f found
	for _, k := range places[:min(limit, len(places))] {
		b := boxes[4*(k/classes):]
		w, h := 0.5*b[2], 0.5*b[3]
		f.boxes = append(f.boxes, b[0]-w, b[1]-h, b[0]+w, b[1]+h)
		f.scores, f.labels = append(f.scores, s[k]), append(f.labels, int64(k%classes))
	}
	return f
}

// scaled is the boxes in pixels of a picture.
func (f found) scaled(height, width int64) []float32 {
	out := make([]float32, len(f.boxes))
	side := [2]float32{float32(width), float32(height)}
	for i, v := range f.boxes {
		out[i] = v * side[i%2]
	}
	return out
}

// objects is the detections in pixels of a picture.
func (f found) objects(height, width int64) []wildtrain.Object {
	boxes := f.scaled(height, width)
	out := make([]wildtrain.Object, len(f.scores))
	for i := range out {
		b := boxes[4*i : 4*i+4]
		out[i] = wildtrain.Object{
			Box:   wildtrain.Box{X1: float64(b[0]), Y1: float64(b[1]), X2: float64(b[2]), Y2: float64(b[3])},
			Class: int(f.labels[i]), Score: float64(f.scores[i]),
		}
	}
	return out
}
