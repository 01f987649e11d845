// Package augment changes training pictures and their boxes together.
//
// What happens to a sample is drawn first (Draw, from a stream of the sample's
// own) and then done (Compose), so results never depend on the order of work,
// and a test can do a known change. Parameter names, meanings and defaults are
// those that YOLO trainings are configured with; a value of zero switches its
// change off.
package augment

import (
	"errors"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// Pad is the grey of what no picture covers.
const Pad = 114

// Config says how far training pictures may be changed. Zero means zero: take
// Default and change it. Probabilities are per sample.
type Config struct {
	Mosaic      float64 `yaml:"mosaic"`       // probability of putting four pictures together
	CloseMosaic int     `yaml:"close_mosaic"` // the last so many epochs go without mosaic and mixup
	MixUp       float64 `yaml:"mixup"`        // probability of blending with a second sample

	Warp        float64 `yaml:"warp"`        // probability of the geometric change below
	Degrees     float64 `yaml:"degrees"`     // rotation, ± degrees
	Translate   float64 `yaml:"translate"`   // shift, ± share of the side
	Scale       float64 `yaml:"scale"`       // zoom by 1 ± this
	Shear       float64 `yaml:"shear"`       // ± degrees, each axis
	Perspective float64 `yaml:"perspective"` // ± coefficient per pixel, up to 0.001

	HSV  float64 `yaml:"hsv"`   // probability of the colour change below
	HSVH float64 `yaml:"hsv_h"` // hue, ± share of the full circle
	HSVS float64 `yaml:"hsv_s"` // saturation, times 1 ± this
	HSVV float64 `yaml:"hsv_v"` // brightness, times 1 ± this

	FlipLR float64 `yaml:"fliplr"` // probability of mirroring left to right
	FlipUD float64 `yaml:"flipud"` // probability of turning upside down

	MinSide    float64 `yaml:"min_side"`    // boxes with a side of this many pixels or fewer afterwards are dropped
	MinVisible float64 `yaml:"min_visible"` // boxes of which this share or less is still in the picture are dropped
	MaxAspect  float64 `yaml:"max_aspect"`  // boxes this many times longer than wide (or more) are dropped; 0: none
}

// Default returns the usual settings of YOLO trainings from scratch.
func Default() Config {
	return Config{
		Mosaic: 1, CloseMosaic: 10,
		Warp: 1, Translate: 0.1, Scale: 0.5,
		HSV: 1, HSVH: 0.015, HSVS: 0.7, HSVV: 0.4,
		FlipLR:  0.5,
		MinSide: 2, MinVisible: 0.1, MaxAspect: 100,
	}
}

// Validate reports every value out of its range.
func (c Config) Validate() error {
	var errs []error
	in := func(name string, v, low, high float64) {
		if !(v >= low && v <= high) {
			errs = append(errs, fmt.Errorf("augment: %s is %v, must be between %v and %v", name, v, low, high))
		}
	}
	for _, p := range []struct {
		name string
		v    float64
	}{{"mosaic", c.Mosaic}, {"mixup", c.MixUp}, {"warp", c.Warp}, {"hsv", c.HSV}, {"fliplr", c.FlipLR}, {"flipud", c.FlipUD},
		{"translate", c.Translate}, {"hsv_h", c.HSVH}, {"hsv_s", c.HSVS}, {"hsv_v", c.HSVV}, {"min_visible", c.MinVisible}} {
		in(p.name, p.v, 0, 1)
	}
	in("scale", c.Scale, 0, 0.99)
	in("degrees", c.Degrees, 0, 180)
	in("shear", c.Shear, 0, 89)
	in("perspective", c.Perspective, 0, 0.01)
	in("min_side", c.MinSide, 0, math.MaxInt32)
	in("max_aspect", c.MaxAspect, 0, math.Inf(1))
	if c.CloseMosaic < 0 {
		errs = append(errs, fmt.Errorf("augment: close_mosaic is %d, must not be negative", c.CloseMosaic))
	}
	return errors.Join(errs...)
}

// Params are the changes drawn for one sample.
type Params struct {
	Mosaic  bool
	CenterX int // where the four pictures of a mosaic meet, on a canvas of twice the size
	CenterY int
	Warp    resample.Homography // from the canvas to the sample
	MixUp   bool
	Ratio   float64 // share of this sample in a mixup
	Hue     float64 // added, in turns of the circle
	Sat     float64 // factor
	Val     float64 // factor
	FlipLR  bool
	FlipUD  bool
}

// Draw chooses the changes of one sample of size×size pixels. The number of
// draws does not depend on the configuration. closed switches mosaic and mixup off.
func Draw(r *xrand.Rand, c Config, size int, closed bool) Params {
	p := Params{Sat: 1, Val: 1}
	p.Mosaic = r.Bernoulli(c.Mosaic) && !closed
	p.CenterX, p.CenterY = size/2+r.IntN(size+1), size/2+r.IntN(size+1)
	canvas := float64(size)
	if p.Mosaic {
		canvas *= 2
	}
	warp := r.Bernoulli(c.Warp)
	h := drawWarp(r, c, float64(size), canvas)
	if warp {
		p.Warp = h
	} else {
		shift := (float64(size) - canvas) / 2
		p.Warp = resample.FromAffine(wildtrain.Translation(shift, shift))
	}
	hsv := r.Bernoulli(c.HSV)
	dh, ds, dv := r.Uniform(-c.HSVH, c.HSVH), r.Uniform(-c.HSVS, c.HSVS), r.Uniform(-c.HSVV, c.HSVV)
	if hsv {
		p.Hue, p.Sat, p.Val = dh, 1+ds, 1+dv
	}
	p.FlipLR, p.FlipUD = r.Bernoulli(c.FlipLR), r.Bernoulli(c.FlipUD)
	p.MixUp = r.Bernoulli(c.MixUp) && !closed
	p.Ratio = r.Beta(32, 32)
	return p
}

// drawWarp composes: centre of the canvas to the origin, perspective, rotation
// and zoom, shear, and a place near the middle of the sample.
func drawWarp(r *xrand.Rand, c Config, size, canvas float64) resample.Homography {
	px, py := r.Uniform(-c.Perspective, c.Perspective), r.Uniform(-c.Perspective, c.Perspective)
	angle := r.Uniform(-c.Degrees, c.Degrees) * math.Pi / 180
	zoom := r.Uniform(1-c.Scale, 1+c.Scale)
	sx := math.Tan(r.Uniform(-c.Shear, c.Shear) * math.Pi / 180)
	sy := math.Tan(r.Uniform(-c.Shear, c.Shear) * math.Pi / 180)
	tx, ty := size*r.Uniform(0.5-c.Translate, 0.5+c.Translate), size*r.Uniform(0.5-c.Translate, 0.5+c.Translate)
	sin, cos := math.Sincos(angle)
	return resample.FromAffine(wildtrain.Translation(-canvas/2, -canvas/2)).
		Then(resample.Homography{1, 0, 0, 0, 1, 0, px, py, 1}).
		Then(resample.FromAffine(wildtrain.Affine{A: zoom * cos, B: zoom * sin, D: -zoom * sin, E: zoom * cos})).
		Then(resample.FromAffine(wildtrain.Affine{A: 1, B: sx, D: sy, E: 1})).
		Then(resample.FromAffine(wildtrain.Translation(tx, ty)))
}
