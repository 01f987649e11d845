package evaluate

import (
	"fmt"
	"slices"
)

// GridPoint is precision, recall and F1 over all objects at one IoU and one least score.
type GridPoint struct {
	IoU  float64 `json:"IoU"`
	Conf float64 `json:"confidence"`
	Counts
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"F1"`
}

// Grid counts outcomes at every pair of an IoU threshold and a least score, both
// rising, IoUs outermost.
func (d *Detection) Grid(ious, confs []float64) ([]GridPoint, error) {
	cfg := d.cfg
	cfg.Thresholds = ious
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if !finite(confs...) || !slices.IsSorted(confs) {
		return nil, fmt.Errorf("evaluate: grid: confidences %v: want rising numbers", confs)
	}
	counts := make([][]Counts, len(ious))
	for t := range counts {
		counts[t] = make([]Counts, len(confs))
	}
	for _, m := range newMatcher(cfg).run(d.sorted(), len(cfg.classNames())) {
		for t := range ious {
			m.steps(t, confs, counts[t])
		}
	}
	out := make([]GridPoint, 0, len(ious)*len(confs))
	for t, iou := range ious {
		for k, conf := range confs {
			n := counts[t][k]
			out = append(out, GridPoint{iou, conf, n, n.Precision(), n.Recall(), n.F1()})
		}
	}
	return out, nil
}

// steps adds what count gives for each of the rising least scores, in one walk.
func (c *classMatches) steps(t int, confs []float64, into []Counts) {
	here := make([]Counts, len(confs)+1) // outcomes of detections that only the first k scores let in
	for d, score := range c.score {
		k, _ := slices.BinarySearchFunc(confs, score, func(conf, score float64) int {
			if conf <= score { // a score that is just reached counts
				return -1
			}
			return 1
		})
		switch {
		case c.skip[0][d]>>t&1 == 1:
		case c.hit[0][d]>>t&1 == 1:
			here[k].TP++
		default:
			here[k].FP++
		}
	}
	for k := len(confs) - 1; k >= 0; k-- {
		here[k].TP += here[k+1].TP
		here[k].FP += here[k+1].FP
		n := Counts{here[k+1].TP, here[k+1].FP, c.truths[0] - here[k+1].TP}
		into[k] = into[k].plus(n)
	}
}
