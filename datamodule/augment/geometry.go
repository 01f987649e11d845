package augment

import (
	"math"

	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/wildtrain"
)

var flips = []maker{
	{"RandomHorizontalFlip", 0.5, func(*params) Transform { return Flip{Horizontal: true} }},
	{"RandomVerticalFlip", 0.5, func(*params) Transform { return Flip{Vertical: true} }},
	{"RandomRotate90", 0.5, func(*params) Transform { return Quarter{} }},
}

var warps = []maker{
	{"RandomRotation", 1, func(p *params) Transform {
		t := Affine{Degrees: p.span("degrees", [2]float64{}, -360, 360, around), Scale: exactly(1), Filter: p.warping(), Fill: p.grey(0)}
		if _, ok := p.given["degrees"]; !ok {
			p.fail("degrees", "must be given")
		}
		t.Counter, t.Expand = true, p.flag("expand", false)
		return t
	}},
	{"RandomAffine", 1, func(p *params) Transform {
		t := Affine{Degrees: p.span("degrees", [2]float64{}, -360, 360, around), Scale: p.span("scale", exactly(1), 1e-3, 1e3, exactly), Filter: p.warping(), Fill: p.grey(0)}
		switch l := p.list("translate", 0, 0); len(l) {
		case 2:
			t.Translate = [2]float64{p.within("translate", l[0], 0, 1), p.within("translate", l[1], 0, 1)}
		default:
			p.fail("translate", "has %d numbers, must have two: shares of width and height", len(l))
		}
		switch l := p.list("shear", 0); len(l) {
		case 1:
			t.ShearX = around(l[0])
		case 2:
			t.ShearX = [2]float64{l[0], l[1]}
		case 4:
			t.ShearX, t.ShearY = [2]float64{l[0], l[1]}, [2]float64{l[2], l[3]}
		default:
			p.fail("shear", "has %d numbers, must have one, two or four", len(l))
		}
		for _, v := range []float64{t.ShearX[0], t.ShearX[1], t.ShearY[0], t.ShearY[1]} {
			p.within("shear", v, -89, 89)
		}
		return t
	}},
	{"RandomPerspective", 0.5, func(p *params) Transform {
		f := p.interpolation(resample.Bilinear)
		if f != resample.Nearest && f != resample.Bilinear {
			p.fail("interpolation", "is %v, must be nearest or bilinear", f)
		}
		return Perspective{p.share("distortion_scale", 0.5), f, p.grey(0)}
	}},
}

// Flip mirrors a picture.
type Flip struct{ Horizontal, Vertical bool }

// Apply implements Transform.
func (t Flip) Apply(s *Sample, _ *Rand) error {
	w, h := float64(s.Image.Width), float64(s.Image.Height)
	s.Pixels()
	m := wildtrain.Identity
	if t.Horizontal {
		mirror(s.Image)
		m = m.Then(wildtrain.Affine{A: -1, C: w, E: 1})
	}
	if t.Vertical {
		turnOver(s.Image)
		m = m.Then(wildtrain.Affine{A: 1, E: -1, F: h})
	}
	s.move(resample.FromAffine(m), s.Image.Width, s.Image.Height)
	return nil
}

// Quarter turns a picture by a random number of right angles.
type Quarter struct{}

// Apply implements Transform.
func (Quarter) Apply(s *Sample, r *Rand) error {
	for range r.IntN(4) {
		w, h := s.Image.Width, s.Image.Height
		dst, src := s.Canvas(h, w), s.Image
		for y := range w { // counter-clockwise: row y is the column w−1−y
			for x := range h {
				copy(dst.U8[(y*h+x)*3:(y*h+x)*3+3], src.U8[(x*w+w-1-y)*3:])
			}
		}
		s.Replace(dst)
		s.move(resample.FromAffine(wildtrain.Affine{B: 1, D: -1, F: float64(w)}), w, h)
	}
	return nil
}

// Affine turns, shears, zooms and shifts a picture about its middle, with
// torchvision's order and signs.
type Affine struct {
	Degrees        [2]float64 // clockwise
	Translate      [2]float64 // ± shares of width and height, rounded to pixels
	Scale          [2]float64
	ShearX, ShearY [2]float64 // degrees
	Filter         resample.Filter
	Fill           byte
	Counter        bool // angles count counter-clockwise, as RandomRotation's
	Expand         bool // the picture becomes as large as what is turned
}

// Apply implements Transform.
func (t Affine) Apply(s *Sample, r *Rand) error {
	w, h := s.Image.Width, s.Image.Height
	draw := func(span [2]float64) float64 { return r.Uniform(span[0], span[1]) }
	angle := draw(t.Degrees)
	tx := math.RoundToEven(draw(around(t.Translate[0] * float64(w))))
	ty := math.RoundToEven(draw(around(t.Translate[1] * float64(h))))
	scale, shearX, shearY := draw(t.Scale), draw(t.ShearX), draw(t.ShearY)
	if t.Counter {
		angle = -angle
	}
	m := turned(float64(w), float64(h), angle, scale, shearX, shearY)
	if t.Expand {
		b := m.Box(wildtrain.Box{X2: float64(w), Y2: float64(h)})
		w, h = int(math.Ceil(b.Width()-1e-9)), int(math.Ceil(b.Height()-1e-9))
		tx, ty = float64(w-s.Image.Width)/2, float64(h-s.Image.Height)/2
	}
	return s.warp(resample.FromAffine(m.Then(wildtrain.Translation(tx, ty))), w, h, t.Filter, t.Fill)
}

// turned is the map about the middle of a picture: shear in y, shear in x,
// rotation (clockwise to the eye) and zoom.
func turned(width, height, angle, scale, shearX, shearY float64) wildtrain.Affine {
	rot, sx, sy := angle*math.Pi/180, shearX*math.Pi/180, shearY*math.Pi/180
	m := wildtrain.Affine{
		A: scale * math.Cos(rot-sy) / math.Cos(sy), B: scale * (-math.Cos(rot-sy)*math.Tan(sx)/math.Cos(sy) - math.Sin(rot)),
		D: scale * math.Sin(rot-sy) / math.Cos(sy), E: scale * (-math.Sin(rot-sy)*math.Tan(sx)/math.Cos(sy) + math.Cos(rot)),
	}
	return wildtrain.Translation(-width/2, -height/2).Then(m).Then(wildtrain.Translation(width/2, height/2))
}

// Perspective moves each corner of a picture inwards by up to half the
// distortion times the side.
type Perspective struct {
	Distortion float64
	Filter     resample.Filter
	Fill       byte
}

// Apply implements Transform.
func (t Perspective) Apply(s *Sample, r *Rand) error {
	w, h := s.Image.Width, s.Image.Height
	dx, dy := int(t.Distortion*float64(w/2)), int(t.Distortion*float64(h/2))
	in := func(n int) float64 { return float64(r.IntN(n + 1)) }
	fw, fh := float64(w), float64(h)
	m, ok := resample.Quad(fw, fh, [4][2]float64{
		{in(dx), in(dy)}, {fw - in(dx), in(dy)}, {fw - in(dx), fh - in(dy)}, {in(dx), fh - in(dy)},
	})
	if !ok {
		return nil // corners that meet: nothing would be left of the picture
	}
	return s.warp(m, w, h, t.Filter, t.Fill)
}
