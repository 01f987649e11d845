package classification

import (
	"context"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Calibration is what Calibrate found: mean negative log-likelihoods of the
// pictures' classes before and after.
type Calibration struct {
	Temperature float64 `json:"temperature"`
	Before      float64 `json:"nll_before"`
	After       float64 `json:"nll_after"`
	Pictures    int     `json:"pictures"`
}

// Calibrate sets the temperature at which the labelled pictures of a loader,
// which should be validation data, are likeliest. Ranks and accuracy do not
// change by it; the temperature travels with every later save.
func (m *Classifier) Calibrate(ctx context.Context, l wildtrain.Loader) (Calibration, error) {
	if len(m.cfg.Classes) == 0 {
		return Calibration{}, errNoClasses
	}
	var logits, shares []float64
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return Calibration{}, err
		}
		x, t, err := m.logitsOf(ctx, b)
		if err != nil {
			return Calibration{}, err
		}
		logits, shares = append(logits, x...), append(shares, t...)
	}
	c := Calibration{Pictures: len(logits) / len(m.cfg.Classes)}
	if c.Pictures == 0 {
		return c, fmt.Errorf("classification: calibrate: %w", wildtrain.ErrEmpty)
	}
	likelihood := softmaxLikelihood
	if m.cfg.MultiLabel {
		likelihood = sigmoidLikelihood
	}
	at := func(beta float64) (loss, slope, curve float64) {
		n := len(m.cfg.Classes)
		for i := 0; i < len(logits); i += n {
			l, s, c := likelihood(logits[i:i+n], shares[i:i+n], beta)
			loss, slope, curve = loss+l, slope+s, curve+c
		}
		return loss / float64(c.Pictures), slope / float64(c.Pictures), curve / float64(c.Pictures)
	}
	beta := lowest(at)
	c.Before, _, _ = at(1 / m.cfg.Temperature)
	c.After, _, _ = at(beta)
	c.Temperature = 1 / beta
	m.cfg.Temperature = c.Temperature
	return c, nil
}

// logitsOf returns logits and target shares of a batch, row by row.
func (m *Classifier) logitsOf(ctx context.Context, b *wildtrain.Batch) (logits, shares []float64, err error) {
	defer b.Release()
	t, err := m.read(b.Samples)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range t.share {
		shares = append(shares, float64(v))
	}
	err = torch.Run(ctx, m.cfg.Device, torch.Inference.WithAutocast(m.cfg.Precision), func(s *torch.Scope) error {
		x, err := m.input(s, b)
		if err != nil {
			return err
		}
		logits = m.logits(m.net.Features(x)).To(torch.Double).Float64s(nil)
		return s.Err()
	})
	return logits, shares, err
}

// softmaxLikelihood is −Σ t·ln softmax(β·x) with its derivatives by β.
func softmaxLikelihood(x, t []float64, beta float64) (loss, slope, curve float64) {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	var sum, mean, square, said, weight float64
	for i, v := range x {
		e := math.Exp(beta * (v - top))
		sum, mean, square = sum+e, mean+e*(v-top), square+e*(v-top)*(v-top)
		said, weight = said+t[i]*(v-top), weight+t[i]
	}
	mean, square = mean/sum, square/sum
	return weight*math.Log(sum) - beta*said, weight*mean - said, weight * (square - mean*mean)
}

// sigmoidLikelihood is the binary cross entropy of sigmoid(β·x), summed over classes.
func sigmoidLikelihood(x, t []float64, beta float64) (loss, slope, curve float64) {
	for i, v := range x {
		z := beta * v
		p := 1 / (1 + math.Exp(-z))
		loss += max(z, 0) - z*t[i] + math.Log1p(math.Exp(-math.Abs(z)))
		slope += (p - t[i]) * v
		curve += p * (1 - p) * v * v
	}
	return loss, slope, curve
}

// lowest finds the minimum of a function convex in β = 1/T by Newton's method,
// kept inside an interval that the slope's sign narrows. Where everything is
// classified right there is none: the interval's end is taken.
func lowest(at func(beta float64) (loss, slope, curve float64)) float64 {
	low, high := 1e-3, 1e3
	beta := 1.0
	for range 200 {
		_, slope, curve := at(beta)
		if slope > 0 {
			high = beta
		} else {
			low = beta
		}
		next := beta - slope/curve
		if !(next > low && next < high) {
			next = math.Sqrt(low * high)
		}
		if math.Abs(next-beta) <= 1e-10*beta {
			return next
		}
		beta = next
	}
	return beta
}
