package datamodule

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// How the highest difficulty rises over training.
const (
	CurriculumLinear      = "linear"
	CurriculumExponential = "exponential" // 1 − e^(−3·progress) of the way
	CurriculumStep        = "step"        // in Steps equal steps
)

// CurriculumConfig leads training from easy samples to hard ones, and through
// phases of more or fewer negatives. It changes what the sampler holds; all of
// it goes by the epoch, so that a resumed run goes on where it was.
type CurriculumConfig struct {
	Enabled bool `yaml:"enabled"`

	Strategy string  `yaml:"strategy"`         // CurriculumLinear, CurriculumExponential or CurriculumStep; "": difficulty does not matter
	Start    float64 `yaml:"start_difficulty"` // the highest difficulty at first
	End      float64 `yaml:"end_difficulty"`   // and at last
	Margin   float64 `yaml:"margin"`           // samples so much harder are taken, too
	Warmup   int     `yaml:"warmup_epochs"`    // epochs at Start before it rises
	Over     int     `yaml:"over_epochs"`      // epochs that it rises over; 0: to the end of training
	Steps    int     `yaml:"steps"`            // of CurriculumStep

	// A sample's difficulty is the weighted mean of three: its boxes are small
	// (mean area against AreaSide², 0 from there on), few (against Count), and
	// cover little of the picture (1 below 1 %, 0 above 50 %). Without objects: ½.
	AreaWeight     float64 `yaml:"area_weight"`
	CountWeight    float64 `yaml:"count_weight"`
	CoverageWeight float64 `yaml:"coverage_weight"`
	AreaSide       float64 `yaml:"area_side"` // pixels
	Count          int     `yaml:"count"`

	Ratios []float64 `yaml:"ratios"` // negatives for each positive, phase by phase, in the place of sampler.negative_ratio
	Epochs []int     `yaml:"epochs"` // of each phase; the last ratio stays
}

// DefaultCurriculum is off; enabled, it rises in a straight line.
func DefaultCurriculum() CurriculumConfig {
	return CurriculumConfig{
		Strategy: CurriculumLinear, End: 1, Margin: 0.1, Steps: 4,
		AreaWeight: 0.4, CountWeight: 0.3, CoverageWeight: 0.3, AreaSide: 200, Count: 10,
	}
}

// Validate reports every problem of the configuration at once.
func (c CurriculumConfig) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("datamodule: curriculum: "+format, args...))
		}
	}
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	bad(slices.Contains([]string{"", CurriculumLinear, CurriculumExponential, CurriculumStep}, c.Strategy), "strategy is %q, must be linear, exponential, step or empty", c.Strategy)
	bad(share(c.Start) && share(c.End) && c.Start <= c.End, "start_difficulty is %v and end_difficulty %v, must rise in 0…1", c.Start, c.End)
	bad(share(c.Margin), "margin is %v, must lie in 0…1", c.Margin)
	bad(c.Warmup >= 0, "warmup_epochs is %d, must not be negative", c.Warmup)
	bad(c.Over >= 0, "over_epochs is %d, must not be negative", c.Over)
	bad(c.Steps > 0, "steps is %d, must be positive", c.Steps)
	bad(c.Count > 0, "count is %d, must be positive", c.Count)
	bad(c.AreaSide > 0 && c.AreaSide < 1e9, "area_side is %v, must be positive", c.AreaSide)
	sum := c.AreaWeight + c.CountWeight + c.CoverageWeight
	bad(share(c.AreaWeight) && share(c.CountWeight) && share(c.CoverageWeight) && sum > 0, "area_weight, count_weight and coverage_weight are %v, %v and %v, must lie in 0…1 and not all be 0", c.AreaWeight, c.CountWeight, c.CoverageWeight)
	bad(len(c.Ratios) == len(c.Epochs), "ratios has %d phases and epochs has %d: they must be as many", len(c.Ratios), len(c.Epochs))
	for _, r := range c.Ratios {
		bad(r >= 0 && r <= 1e6, "ratios holds %v, must not be negative", r)
	}
	for _, n := range c.Epochs {
		bad(n > 0, "epochs holds %d, must be positive", n)
	}
	return errors.Join(errs...)
}

// Difficulty is the highest difficulty of an epoch of a training that long.
func (c CurriculumConfig) Difficulty(epoch, epochs int) float64 {
	over := c.Over
	if over == 0 {
		over = epochs - c.Warmup
	}
	if epoch < c.Warmup {
		return c.Start
	}
	// The last epoch of the rise stands at its end.
	p := 1.0
	if over > 1 {
		p = min(float64(epoch-c.Warmup)/float64(over-1), 1)
	}
	switch c.Strategy {
	case CurriculumExponential:
		p = 1 - math.Exp(-3*p)
	case CurriculumStep:
		p = math.Floor(p*float64(c.Steps)) / float64(c.Steps)
	}
	return c.Start + (c.End-c.Start)*p
}

// ratio is the negatives for each positive in an epoch; ok is false without phases.
func (c CurriculumConfig) ratio(epoch int) (r float64, ok bool) {
	if !c.Enabled || len(c.Ratios) == 0 {
		return 0, false
	}
	for i, n := range c.Epochs {
		if epoch < n {
			return c.Ratios[i], true
		}
		epoch -= n
	}
	return c.Ratios[len(c.Ratios)-1], true
}

// choose keeps the samples that are easy enough for an epoch, all where none is.
func (c CurriculumConfig) choose(pool []int, level []float64, epoch, epochs int) []int {
	if level == nil {
		return pool
	}
	most := c.Difficulty(epoch, epochs) + c.Margin
	chosen := filter(pool, func(i int) bool { return level[i] <= most })
	if len(chosen) == 0 {
		return pool
	}
	return chosen
}

// difficultyOf rates a picture of the given size by its boxes.
func (c CurriculumConfig) difficultyOf(objects []wildtrain.Object, width, height int) float64 {
	sum, n := 0.0, 0
	for _, o := range objects {
		if !o.Crowd {
			sum += o.Box.Clip(width, height).Area()
			n++
		}
	}
	if n == 0 {
		return 0.5
	}
	area := 1 - min(1, sum/float64(n)/(c.AreaSide*c.AreaSide))
	count := 1 - min(1, float64(n)/float64(c.Count))
	const little, much = 0.01, 0.5
	share := sum / float64(width*height)
	coverage := min(max((much-share)/(much-little), 0), 1)
	return (c.AreaWeight*area + c.CountWeight*count + c.CoverageWeight*coverage) / (c.AreaWeight + c.CountWeight + c.CoverageWeight)
}
