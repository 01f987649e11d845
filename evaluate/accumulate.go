package evaluate

import (
	"cmp"
	"slices"
)

// curve is one class at one size class and detection limit.
type curve struct {
	defined   bool
	precision []float64 // thresholds × 101, interpolated
	scores    []float64 // of the detections at which those precisions are reached
	recall    []float64 // per threshold
}

// classCurves are the curves that the COCO numbers are read off.
type classCurves struct {
	areas  []curve // at the largest limit, one per area
	limits []curve // over all areas, one per limit
}

// byScore lists the detections of a class by falling score; equal scores keep
// the order of pictures.
func (c *classMatches) byScore() []int32 {
	order := make([]int32, len(c.score))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(c.score[b], c.score[a]) })
	return order
}

// curves computes every curve of a class.
func (c *classMatches) curves(thresholds int, limits []int) classCurves {
	order := c.byScore()
	most := limits[len(limits)-1]
	var out classCurves
	for a := range c.truths {
		out.areas = append(out.areas, c.accumulate(order, a, thresholds, most))
	}
	for _, l := range limits[:len(limits)-1] {
		out.limits = append(out.limits, c.accumulate(order, 0, thresholds, l))
	}
	out.limits = append(out.limits, out.areas[0])
	return out
}

// accumulate walks down the detections of which at most limit count per picture.
func (c *classMatches) accumulate(order []int32, area, thresholds, limit int) curve {
	positives := c.truths[area]
	if positives == 0 {
		return curve{}
	}
	kept := make([]int32, 0, len(order))
	for _, i := range order {
		if int(c.rank[i]) < limit {
			kept = append(kept, i)
		}
	}
	out := curve{
		defined:   true,
		precision: make([]float64, thresholds*len(recallPoints)),
		scores:    make([]float64, thresholds*len(recallPoints)),
		recall:    make([]float64, thresholds),
	}
	n := len(kept)
	rc, pr := make([]float64, n), make([]float64, n)
	for t := range thresholds {
		c.walk(kept, area, t, rc, pr)
		if n > 0 {
			out.recall[t] = rc[n-1]
		}
		for i := n - 1; i > 0; i-- {
			pr[i-1] = max(pr[i-1], pr[i])
		}
		at, i := t*len(recallPoints), 0
		for k, r := range recallPoints {
			for i < n && rc[i] < r {
				i++
			}
			if i == n {
				break
			}
			out.precision[at+k], out.scores[at+k] = pr[i], c.score[kept[i]]
		}
	}
	return out
}

// walk fills recall and precision after each of the detections.
func (c *classMatches) walk(kept []int32, area, t int, rc, pr []float64) {
	hit, skip := c.hit[area], c.skip[area]
	positives := float64(c.truths[area])
	var tp, fp float64
	for i, d := range kept {
		if skip[d]>>t&1 == 0 {
			if hit[d]>>t&1 == 1 {
				tp++
			} else {
				fp++
			}
		}
		rc[i], pr[i] = tp/positives, tp/(fp+tp+epsilon)
	}
}

// meanOver averages values, −1 where there is none.
func meanOver(values []float64) float64 {
	if len(values) == 0 {
		return -1
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// precisions lists the interpolated precisions of curves at the thresholds from
// first up to, not including, last.
func precisions(curves []curve, first, last int) []float64 {
	var out []float64
	for _, c := range curves {
		if c.defined {
			out = append(out, c.precision[first*len(recallPoints):last*len(recallPoints)]...)
		}
	}
	return out
}

func recalls(curves []curve) []float64 {
	var out []float64
	for _, c := range curves {
		if c.defined {
			out = append(out, c.recall...)
		}
	}
	return out
}
