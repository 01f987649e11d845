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
// Default and change it. Probabilities are per sample. Changes are made in the
// order of the fields, then those of a list of transforms (see Parse), if any.
type Config struct {
	Mosaic      float64 `yaml:"mosaic"`       // probability of putting four pictures together
	Mosaic9     float64 `yaml:"mosaic9"`      // probability of putting nine pictures together, where it isn't four
	CloseMosaic int     `yaml:"close_mosaic"` // the last so many epochs go without what joins several pictures

	Warp        float64 `yaml:"warp"`        // probability of the geometric change below
	Degrees     float64 `yaml:"degrees"`     // rotation, ± degrees
	Translate   float64 `yaml:"translate"`   // shift, ± share of the side
	Scale       float64 `yaml:"scale"`       // zoom by 1 ± this
	Shear       float64 `yaml:"shear"`       // ± degrees, each axis
	Perspective float64 `yaml:"perspective"` // ± coefficient per pixel, up to 0.001

	FlipLR float64 `yaml:"fliplr"` // probability of mirroring left to right
	FlipUD float64 `yaml:"flipud"` // probability of turning upside down

	HSV  float64 `yaml:"hsv"`   // probability of the colour change below
	HSVH float64 `yaml:"hsv_h"` // hue, ± share of the full circle
	HSVS float64 `yaml:"hsv_s"` // saturation, times 1 ± this
	HSVV float64 `yaml:"hsv_v"` // brightness, times 1 ± this

	CopyPaste float64 `yaml:"copy_paste"` // share of a second picture's objects that are pasted in
	MixUp     float64 `yaml:"mixup"`      // probability of blending with a second sample
	CutMix    float64 `yaml:"cutmix"`     // probability of putting a part of a second sample in, where it isn't mixed

	Auto string `yaml:"auto_augment"` // "", "randaugment", "trivialaugment" or "autoaugment"

	Grey    float64 `yaml:"grey"`    // probability of losing all colour
	Blur    float64 `yaml:"blur"`    // probability of a mean over 3 to 7 pixels
	Noise   float64 `yaml:"noise"`   // probability of Gaussian noise
	JPEG    float64 `yaml:"jpeg"`    // probability of JPEG's losses
	CLAHE   float64 `yaml:"clahe"`   // probability of levelling contrast by parts
	Erasing float64 `yaml:"erasing"` // probability of covering a part with noise

	MultiScale float64 `yaml:"multi_scale"` // the side of each batch, times 1 ± this

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

// Limits are those for objects after a change.
func (c Config) Limits() Limits { return Limits{c.MinSide, c.MinVisible, c.MaxAspect} }

// Joins tells whether samples may be made of several pictures.
func (c Config) Joins() bool { return c.Mosaic+c.Mosaic9+c.MixUp+c.CutMix+c.CopyPaste > 0 }

// Chain lists the changes that are transforms, with their usual settings.
func (c Config) Chain() Chain {
	var out Chain
	if t, ok := automatic[c.Auto]; ok {
		out = append(out, t)
	}
	for _, s := range []struct {
		p float64
		t Transform
	}{
		{c.Grey, Grey{}}, {c.Blur, BoxBlur{3, 7}}, {c.Noise, Noise{0.02, 0.1}}, {c.JPEG, JPEG{40, 95}},
		{c.CLAHE, CLAHE{1, 4, 8}}, {c.Erasing, Erasing{0.02, 0.33, 0.3, 3.3, -1}},
	} {
		if s.p > 0 {
			out = append(out, maybe{s.p, s.t})
		}
	}
	return out
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
	}{{"mosaic", c.Mosaic}, {"mosaic9", c.Mosaic9}, {"mixup", c.MixUp}, {"cutmix", c.CutMix}, {"copy_paste", c.CopyPaste},
		{"warp", c.Warp}, {"hsv", c.HSV}, {"fliplr", c.FlipLR}, {"flipud", c.FlipUD},
		{"grey", c.Grey}, {"blur", c.Blur}, {"noise", c.Noise}, {"jpeg", c.JPEG}, {"clahe", c.CLAHE}, {"erasing", c.Erasing},
		{"translate", c.Translate}, {"hsv_h", c.HSVH}, {"hsv_s", c.HSVS}, {"hsv_v", c.HSVV}, {"min_visible", c.MinVisible}} {
		in(p.name, p.v, 0, 1)
	}
	in("scale", c.Scale, 0, 0.99)
	in("degrees", c.Degrees, 0, 180)
	in("shear", c.Shear, 0, 89)
	in("perspective", c.Perspective, 0, 0.01)
	in("multi_scale", c.MultiScale, 0, 0.9)
	in("min_side", c.MinSide, 0, math.MaxInt32)
	in("max_aspect", c.MaxAspect, 0, math.Inf(1))
	if c.CloseMosaic < 0 {
		errs = append(errs, fmt.Errorf("augment: close_mosaic is %d, must not be negative", c.CloseMosaic))
	}
	if _, ok := automatic[c.Auto]; !ok && c.Auto != "" {
		errs = append(errs, fmt.Errorf("augment: auto_augment is %q, must be \"randaugment\", \"trivialaugment\", \"autoaugment\" or empty", c.Auto))
	}
	return errors.Join(errs...)
}

// Params are the changes drawn for one sample.
type Params struct {
	Size    int  // side of the sample that they are drawn for; 0: that of the sample
	Mosaic  bool // four tiles
	Mosaic9 bool // nine
	CenterX int  // where the four pictures of a mosaic meet, or the middle one of nine lies, on a canvas of several sizes
	CenterY int
	Warp    resample.Homography // from the canvas to the sample, without flips
	Hue     float64             // added, in turns of the circle
	Sat     float64             // factor
	Val     float64             // factor
	FlipLR  bool
	FlipUD  bool
	Join    Join // with a second sample
}

// Tiles is how many pictures Compose needs.
func (p Params) Tiles() int {
	switch {
	case p.Mosaic:
		return 4
	case p.Mosaic9:
		return 9
	}
	return 1
}

// canvas is the side of what tiles are put together on.
func (p Params) canvas() int {
	switch {
	case p.Mosaic:
		return 2 * p.Size
	case p.Mosaic9:
		return 3 * p.Size
	}
	return p.Size
}

// warp is the whole map from the canvas to a sample of a side of size.
func (p Params) warp(size int) resample.Homography {
	h, s := p.Warp, float64(p.Size)
	if p.FlipLR {
		h = h.Then(resample.FromAffine(wildtrain.Affine{A: -1, C: s, E: 1}))
	}
	if p.FlipUD {
		h = h.Then(resample.FromAffine(wildtrain.Affine{A: 1, E: -1, F: s}))
	}
	if size != p.Size {
		h = h.Then(resample.FromAffine(wildtrain.Scaling(float64(size)/s, float64(size)/s)))
	}
	return h
}

// Draw chooses the changes of one sample of size×size pixels. The number of
// draws does not depend on the configuration. closed switches off what joins
// several pictures.
func Draw(r *Rand, c Config, size int, closed bool) Params {
	p := Params{Size: size, Sat: 1, Val: 1}
	p.Mosaic = r.Bernoulli(c.Mosaic) && !closed
	p.Mosaic9 = r.Bernoulli(c.Mosaic9) && !closed && !p.Mosaic
	p.CenterX, p.CenterY = size/2+r.IntN(size+1), size/2+r.IntN(size+1)
	canvas := float64(p.canvas())
	warp := r.Bernoulli(c.Warp)
	zoom := 1.0
	if p.Mosaic9 { // as much of nine is seen as of four
		zoom = 2. / 3
		p.CenterX, p.CenterY = p.CenterX+size/2, p.CenterY+size/2
	}
	h := drawWarp(r, c, float64(size), canvas, zoom)
	if p.Warp = h; !warp {
		p.Warp = resample.FromAffine(wildtrain.Affine{A: zoom, C: (float64(size) - canvas*zoom) / 2, E: zoom, F: (float64(size) - canvas*zoom) / 2})
	}
	hsv := r.Bernoulli(c.HSV)
	dh, ds, dv := r.Uniform(-c.HSVH, c.HSVH), r.Uniform(-c.HSVS, c.HSVS), r.Uniform(-c.HSVV, c.HSVV)
	if hsv {
		p.Hue, p.Sat, p.Val = dh, 1+ds, 1+dv
	}
	p.FlipLR, p.FlipUD = r.Bernoulli(c.FlipLR), r.Bernoulli(c.FlipUD)
	join := drawJoin(xrand.New(r.Uint64()), c)
	if !closed {
		p.Join = join
	}
	return p
}

// drawWarp composes: centre of the canvas to the origin, perspective, rotation
// and zoom, shear, and a place near the middle of the sample.
func drawWarp(r *Rand, c Config, size, canvas, base float64) resample.Homography {
	px, py := r.Uniform(-c.Perspective, c.Perspective), r.Uniform(-c.Perspective, c.Perspective)
	angle := r.Uniform(-c.Degrees, c.Degrees) * math.Pi / 180
	zoom := base * r.Uniform(1-c.Scale, 1+c.Scale)
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
