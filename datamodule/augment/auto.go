package augment

import (
	"math"

	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/wildtrain"
)

var automatics = []maker{
	{"RandAugment", 1, func(p *params) Transform {
		bins := p.whole("num_magnitude_bins", 31, 2, 1000)
		return RandAugment{p.whole("num_ops", 2, 0, 100), p.whole("magnitude", 9, 0, bins-1), bins, p.warping(), p.grey(0)}
	}},
	{"TrivialAugmentWide", 1, trivial},
	{"TrivialAugment", 1, trivial},
	{"AutoAugment", 1, func(p *params) Transform {
		policy := p.text("policy", "imagenet")
		if policies[policy] == nil {
			p.fail("policy", "is %q, must be \"imagenet\", \"cifar10\" or \"svhn\"", policy)
		}
		return AutoAugment{policy, p.warping(), p.grey(0)}
	}},
}

func trivial(p *params) Transform {
	return TrivialAugment{p.whole("num_magnitude_bins", 31, 2, 1000), p.warping(), p.grey(0)}
}

// automatic are the policies with their usual settings, by Config.Auto.
var automatic = map[string]Transform{
	"randaugment":    RandAugment{2, 9, 31, resample.Bilinear, Pad},
	"trivialaugment": TrivialAugment{31, resample.Bilinear, Pad},
	"autoaugment":    AutoAugment{"imagenet", resample.Bilinear, Pad},
}

// op is an operation that a policy chooses from.
type op int

const (
	identity op = iota
	shearX
	shearY
	translateX
	translateY
	rotate
	brighten
	saturate
	contrastOp
	sharpen
	posterizeOp
	solarizeOp
	autocontrastOp
	equalizeOp
	invertOp
)

// ranges are how far operations go at the end of their scale: shears as tangent,
// translations in pixels, or shares of the side where below 1, rotation in
// degrees, colours as ± factors, bits lost.
type ranges struct{ shear, translate, rotate, colour, bits float64 }

var (
	usual = ranges{0.3, 150. / 331, 30, 0.9, 4}
	wide  = ranges{0.99, 32, 135, 0.99, 6}
)

// RandAugment applies a number of random operations at one strength (Cubuk et
// al. 2020), as torchvision does.
type RandAugment struct {
	Ops, Magnitude, Bins int
	Filter               resample.Filter
	Fill                 byte
}

// Apply implements Transform.
func (t RandAugment) Apply(s *Sample, r *Rand) error {
	for range t.Ops {
		o := op(r.IntN(int(equalizeOp) + 1))
		if err := s.operate(o, float64(t.Magnitude)/float64(t.Bins-1), usual, r, t.Filter, t.Fill); err != nil {
			return err
		}
	}
	return nil
}

// TrivialAugment applies one random operation at a random strength of wide
// ranges (Müller and Hutter 2021), as torchvision does.
type TrivialAugment struct {
	Bins   int
	Filter resample.Filter
	Fill   byte
}

// Apply implements Transform.
func (t TrivialAugment) Apply(s *Sample, r *Rand) error {
	o := op(r.IntN(int(equalizeOp) + 1))
	return s.operate(o, float64(r.IntN(t.Bins))/float64(t.Bins-1), wide, r, t.Filter, t.Fill)
}

// AutoAugment applies a random pair of operations of a learnt policy.
type AutoAugment struct {
	Policy string // "imagenet", "cifar10" or "svhn"
	Filter resample.Filter
	Fill   byte
}

// Apply implements Transform.
func (t AutoAugment) Apply(s *Sample, r *Rand) error {
	list := policies[t.Policy]
	for _, st := range list[r.IntN(len(list))] {
		if !r.Bernoulli(st.p) {
			continue
		}
		if err := s.operate(st.op, float64(st.level)/9, usual, r, t.Filter, t.Fill); err != nil {
			return err
		}
	}
	return nil
}

// operate does one operation at a level of its range, 0 to 1; those that have
// two directions draw one.
func (s *Sample) operate(o op, level float64, g ranges, r *Rand, f resample.Filter, grey byte) error {
	sign := 1.0
	if r.Bernoulli(0.5) {
		sign = -1
	}
	w, h := s.Image.Width, s.Image.Height
	warp := func(m wildtrain.Affine) error { return s.warp(resample.FromAffine(m), w, h, f, grey) }
	shift := func(side int) float64 {
		if g.translate < 1 {
			return math.Trunc(sign * level * g.translate * float64(side))
		}
		return math.Trunc(sign * level * g.translate)
	}
	factor := 1 + sign*level*g.colour
	switch o {
	case shearX:
		return warp(wildtrain.Affine{A: 1, B: -sign * level * g.shear, E: 1})
	case shearY:
		return warp(wildtrain.Affine{A: 1, D: -sign * level * g.shear, E: 1})
	case translateX:
		return warp(wildtrain.Translation(shift(w), 0))
	case translateY:
		return warp(wildtrain.Translation(0, shift(h)))
	case rotate:
		return warp(turned(float64(w), float64(h), sign*level*g.rotate, 1, 0, 0))
	case brighten:
		brightness(s.Pixels(), factor)
	case saturate:
		saturation(s.Pixels(), factor)
	case contrastOp:
		contrast(s.Pixels(), factor)
	case sharpen:
		return Sharpness(factor).Apply(s, r)
	case posterizeOp:
		return Levels(posterize(8-int(math.RoundToEven(level*g.bits)))).Apply(s, r)
	case solarizeOp:
		return Levels(solarize(255*(1-level))).Apply(s, r)
	case autocontrastOp:
		return Autocontrast{}.Apply(s, r)
	case equalizeOp:
		return Equalize{}.Apply(s, r)
	case invertOp:
		return Levels(invert).Apply(s, r)
	}
	return nil
}
