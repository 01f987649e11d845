package evaluate

// ROCPoint is a place on the ROC curve of one class against the rest.
type ROCPoint struct {
	Threshold         float64 `json:"threshold"`
	FalsePositiveRate float64 `json:"fpr"`
	TruePositiveRate  float64 `json:"tpr"`
}

// maxROC bounds the points of one curve: more are not seen.
const maxROC = 200

// roc is the curve from (0, 0) to (1, 1), thinned out to maxROC points; nil
// unless there are both positives and negatives.
func (r ranking) roc() []ROCPoint {
	negatives := len(r.list) - r.positives
	if r.positives == 0 || negatives == 0 {
		return nil
	}
	var out []ROCPoint
	seen := 0
	r.steps(func(score float64, tp, fp int) {
		last := tp == r.positives && fp == negatives
		if (tp+fp-seen)*maxROC < len(r.list) && !last {
			return
		}
		seen = tp + fp
		out = append(out, ROCPoint{score, float64(fp) / float64(negatives), float64(tp) / float64(r.positives)})
	})
	return out
}
