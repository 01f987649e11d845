package detection

import (
	"cmp"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// Postprocess says which boxes of the raw output become detections.
type Postprocess struct {
	Conf       float64 // least class probability
	IoU        float64 // non-maximum suppression: overlap above which the weaker box goes
	MaxDet     int     // most detections per image
	MultiLabel bool    // a box may be reported once per class above Conf, else for its best class
	Agnostic   bool    // boxes of different classes suppress each other
	MaxBoxes   int     // most candidates, by score, that enter suppression
}

// PredictPostprocess returns the settings for looking at pictures.
func PredictPostprocess() Postprocess {
	return Postprocess{Conf: 0.25, IoU: 0.7, MaxDet: 300, MaxBoxes: 30000}
}

// EvaluatePostprocess returns the settings for measuring average precision,
// which needs the unlikely boxes too.
func EvaluatePostprocess() Postprocess {
	return Postprocess{Conf: 0.001, IoU: 0.7, MaxDet: 300, MaxBoxes: 30000, MultiLabel: true}
}

// candidate is a box before suppression.
type candidate struct {
	box   [4]float32
	area  float32
	score float32
	class int32
}

// select picks detections from the decoded output of one image, which holds
// 4+classes rows of count values: centre, size, class probabilities.
func (p Postprocess) detections(decoded []float32, classes, count int) []wildtrain.Object {
	found := p.candidates(decoded, classes, count)
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	if p.MaxBoxes > 0 && len(found) > p.MaxBoxes {
		found = found[:p.MaxBoxes]
	}
	kept := p.suppress(found)
	out := make([]wildtrain.Object, len(kept))
	for i, c := range kept {
		out[i] = wildtrain.Object{
			Box:   wildtrain.Box{X1: float64(c.box[0]), Y1: float64(c.box[1]), X2: float64(c.box[2]), Y2: float64(c.box[3])},
			Class: int(c.class), Score: float64(c.score),
		}
	}
	return out
}

func (p Postprocess) candidates(decoded []float32, classes, count int) []candidate {
	conf := float32(p.Conf)
	var out []candidate
	add := func(a int, class int32, score float32) {
		cx, cy, w, h := decoded[a], decoded[count+a], decoded[2*count+a], decoded[3*count+a]
		c := candidate{box: [4]float32{cx - w/2, cy - h/2, cx + w/2, cy + h/2}, area: w * h, score: score, class: class}
		if w > 0 && h > 0 {
			out = append(out, c)
		}
	}
	if p.MultiLabel {
		for k := range classes {
			for a, s := range decoded[(4+k)*count : (5+k)*count] {
				if s > conf {
					add(a, int32(k), s)
				}
			}
		}
		return out
	}
	best := make([]float32, count)
	class := make([]int32, count)
	for k := range classes {
		for a, s := range decoded[(4+k)*count : (5+k)*count] {
			if s > best[a] {
				best[a], class[a] = s, int32(k)
			}
		}
	}
	for a, s := range best {
		if s > conf {
			add(a, class[a], s)
		}
	}
	return out
}

// suppress is greedy non-maximum suppression over candidates by falling score;
// it ends at MaxDet kept boxes, so its cost is bounded by MaxDet·candidates.
func (p Postprocess) suppress(found []candidate) []candidate {
	limit := float32(p.IoU)
	var kept []candidate
next:
	for _, c := range found {
		for i := range kept {
			if k := &kept[i]; (p.Agnostic || k.class == c.class) && overlap(k, &c) > limit {
				continue next
			}
		}
		kept = append(kept, c)
		if p.MaxDet > 0 && len(kept) == p.MaxDet {
			break
		}
	}
	return kept
}

func overlap(a, b *candidate) float32 {
	w := min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
	h := min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	inter := w * h
	return inter / (a.area + b.area - inter)
}

// place maps detections from batch to original coordinates and clips them there.
func place(objects []wildtrain.Object, s *wildtrain.Sample) ([]wildtrain.Object, error) {
	back, err := s.Place.Inverse()
	if err != nil {
		return nil, err
	}
	kept := objects[:0]
	for _, o := range objects {
		o.Box = back.Box(o.Box)
		if s.Width > 0 && s.Height > 0 {
			o.Box = o.Box.Clip(s.Width, s.Height)
		}
		if o.Box.Area() > 0 {
			kept = append(kept, o)
		}
	}
	return kept, nil
}
