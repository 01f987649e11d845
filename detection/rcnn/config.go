package rcnn

import (
	"errors"
	"fmt"

	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch/vision"
)

// Config says what to build. Take Default and change it.
type Config struct {
	pyramid.Config
	RPN    RPN
	Pool   vision.Pooling // of regions for the box heads; for masks with twice the side
	Stages []Stage        // one, or several one after the other (Cai and Vasconcelos 2018, arXiv 1712.00726)
	Mask   bool           // learn masks too (He et al. 2017, arXiv 1703.06870)
	Deep   bool           // heads of four convolutions with batch norm (torchvision's second form)
}

// RPN are the settings of the region proposal network.
type RPN struct {
	Anchors vision.Anchors
	Convs   int // 3×3 convolutions before the outputs
	Matcher vision.Matcher
	Sampler vision.Sampler
	Train   Proposals
	Test    Proposals
	Score   float64 // least objectness of a proposal
	Beta    float64 // of the smooth L1 loss; 0 for L1
}

// Proposals are how many boxes the RPN passes on.
type Proposals struct {
	Before, After int     // per level before, per picture after suppression
	NMS           float64 // overlap above which the weaker of two boxes of a level goes
}

// Stage are the settings of one box head.
type Stage struct {
	Coder    vision.Coder
	Matcher  vision.Matcher
	Sampler  vision.Sampler
	Agnostic bool    // one box per region instead of one per class
	Beta     float64 // of the smooth L1 loss; 0 for L1
	Weight   float64 // of its losses
}

// smoothness is torchvision's beta of the smooth L1 loss.
const smoothness = 1.0 / 9

func defaultRPN() RPN {
	return RPN{
		Anchors: vision.Anchors{Sizes: [][]float64{{32}, {64}, {128}, {256}, {512}}, Ratios: []float64{0.5, 1, 2}}, Convs: 1,
		Matcher: vision.Matcher{High: 0.7, Low: 0.3, LowQuality: true}, Sampler: vision.Sampler{Count: 256, Positive: 0.5},
		Train: Proposals{2000, 2000, 0.7}, Test: Proposals{1000, 1000, 0.7}, Beta: smoothness,
	}
}

func defaultStage() Stage {
	return Stage{
		Coder: vision.Coder{X: 10, Y: 10, W: 5, H: 5}, Matcher: vision.Matcher{High: 0.5, Low: 0.5},
		Sampler: vision.Sampler{Count: 512, Positive: 0.25}, Beta: smoothness, Weight: 1,
	}
}

// cascade are the stages of Cascade R-CNN: stricter overlaps, finer coding,
// smaller weights.
func cascade() []Stage {
	out := make([]Stage, 3)
	for i := range out {
		s := defaultStage()
		iou := []float64{0.5, 0.6, 0.7}[i]
		xy, wh := []float64{0.1, 0.05, 0.033}[i], []float64{0.2, 0.1, 0.067}[i]
		s.Coder = vision.Coder{X: 1 / xy, Y: 1 / xy, W: 1 / wh, H: 1 / wh}
		s.Matcher = vision.Matcher{High: iou, Low: iou}
		s.Agnostic, s.Beta, s.Weight = true, 1, []float64{1, 0.5, 0.25}[i]
		out[i] = s
	}
	return out
}

// Validate reports every problem of the settings at once.
func (c Config) Validate() error {
	errs := []error{c.Config.Validate()}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("detection: "+format, args...))
		}
	}
	share := func(name string, m vision.Matcher, s vision.Sampler) {
		check(m.Low >= 0 && m.Low <= m.High && m.High <= 1, "%s: overlaps %g and %g: want 0 ≤ background ≤ object ≤ 1", name, m.Low, m.High)
		check(s.Count > 0 && s.Positive > 0 && s.Positive <= 1, "%s: %d samples, %g of them objects: want some, a share above 0", name, s.Count, s.Positive)
	}
	share("RPN", c.RPN.Matcher, c.RPN.Sampler)
	check(c.RPN.Convs > 0, "RPN: no convolutions")
	for _, p := range []Proposals{c.RPN.Train, c.RPN.Test} {
		check(p.Before > 0 && p.After > 0, "RPN: %d and %d proposals, must be positive", p.Before, p.After)
		check(p.NMS >= 0 && p.NMS <= 1, "RPN: IoU threshold %g is not in 0..1", p.NMS)
	}
	check(c.Pool.Size > 0, "regions of %d cells", c.Pool.Size)
	check(len(c.Stages) > 0, "no box head")
	for i, s := range c.Stages {
		share(fmt.Sprintf("stage %d", i), s.Matcher, s.Sampler)
		check(s.Coder.X > 0 && s.Coder.Y > 0 && s.Coder.W > 0 && s.Coder.H > 0, "stage %d: weights of the box coding %v must be positive", i, s.Coder)
	}
	return errors.Join(errs...)
}
