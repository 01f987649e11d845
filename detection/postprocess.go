package detection

import (
	"cmp"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// Postprocess says which boxes of the raw output become detections.
type Postprocess struct {
	Conf        float64     // least class probability
	IoU         float64     // overlap above which the weaker box is suppressed
	Overlap     Overlap     // how that is measured
	Suppression Suppression // what becomes of the weaker box
	Sigma       float64     // of Gaussian suppression
	MaxDet      int         // most detections per image
	MultiLabel  bool        // a box may be reported once per class above Conf, else for its best class
	Agnostic    bool        // boxes of different classes suppress each other
	MaxBoxes    int         // most candidates, by score, that enter suppression
	Augment     bool        // look at each image several times, scaled and mirrored
	Unclipped   bool        // boxes may leave the picture, as raw outputs do
}

// PredictPostprocess returns the settings for looking at pictures.
func PredictPostprocess() Postprocess {
	return Postprocess{Conf: 0.25, IoU: 0.7, Overlap: IoU, Suppression: Hard, Sigma: 0.5, MaxDet: 300, MaxBoxes: 30000}
}

// EvaluatePostprocess returns the settings for measuring average precision,
// which needs the unlikely boxes too.
func EvaluatePostprocess() Postprocess {
	p := PredictPostprocess()
	p.Conf, p.MultiLabel = 0.001, true
	return p
}

// detections picks detections from the decoded output of one image, which holds
// 4+classes rows of count values: centre, size, class probabilities; rows that
// follow do not matter.
func (p Postprocess) detections(decoded []float32, classes, count int) []candidate {
	if p.Suppression == None {
		return slices.DeleteFunc(best(decoded, classes, count, p.MaxDet), func(c candidate) bool { return !(c.score > float32(p.Conf)) })
	}
	found := p.candidates(decoded, classes, count)
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	if p.MaxBoxes > 0 && len(found) > p.MaxBoxes {
		found = found[:p.MaxBoxes]
	}
	return p.suppress(found)
}

func objects(kept []candidate) []wildtrain.Object {
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
		if decoded[2*count+a] > 0 && decoded[3*count+a] > 0 {
			out = append(out, boxAt(decoded, count, a, class, score))
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

// boxAt is the candidate of one anchor and class.
func boxAt(decoded []float32, count, anchor int, class int32, score float32) candidate {
	cx, cy, w, h := decoded[anchor], decoded[count+anchor], decoded[2*count+anchor], decoded[3*count+anchor]
	return candidate{box: [4]float32{cx - w/2, cy - h/2, cx + w/2, cy + h/2}, area: w * h, score: score, class: class, anchor: int32(anchor)}
}
