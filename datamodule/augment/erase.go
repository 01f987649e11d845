package augment

import (
	"math"

	"github.com/wildtrain/sdk/wildtrain"
)

var erasers = []maker{
	{"RandomErasing", 0.5, func(p *params) Transform {
		scale := p.span("scale", [2]float64{0.02, 0.33}, 0, 1, exactly)
		ratio := p.span("ratio", [2]float64{0.3, 3.3}, 1e-3, 1e3, exactly)
		value := 0
		if s, ok := p.given["value"].(string); ok {
			p.known["value"] = true
			if value = -1; s != "random" {
				p.fail("value", "is %q, must be a level or \"random\"", s)
			}
		} else {
			value = p.whole("value", 0, 0, 255)
		}
		p.flag("inplace", false)
		return Erasing{scale[0], scale[1], ratio[0], ratio[1], value}
	}},
	{"Cutout", 1, func(p *params) Transform {
		return Cutout{p.whole("holes", 1, 1, 1000), p.whole("size", 16, 1, 1<<15), byte(p.whole("fill", 0, 0, 255))}
	}},
}

// Erasing covers a random rectangle (Zhong et al. 2020), by torchvision's rule.
// Objects of which too little is left are dropped.
type Erasing struct {
	MinScale, MaxScale float64 // share of the area
	MinRatio, MaxRatio float64 // height over width
	Value              int     // level; −1: noise
}

// Apply implements Transform.
func (t Erasing) Apply(s *Sample, r *Rand) error {
	w, h := s.Image.Width, s.Image.Height
	for range 10 {
		area := float64(w*h) * r.Uniform(t.MinScale, t.MaxScale)
		aspect := math.Exp(r.Uniform(math.Log(t.MinRatio), math.Log(t.MaxRatio)))
		eh, ew := int(math.RoundToEven(math.Sqrt(area*aspect))), int(math.RoundToEven(math.Sqrt(area/aspect)))
		if eh >= h || ew >= w {
			continue
		}
		y, x := r.IntN(h-eh+1), r.IntN(w-ew+1)
		s.cover(x, y, ew, eh, t.Value, r)
		return nil
	}
	return nil
}

// Cutout covers squares around random centres (DeVries and Taylor 2017).
type Cutout struct {
	Holes, Size int
	Fill        byte
}

// Apply implements Transform.
func (t Cutout) Apply(s *Sample, r *Rand) error {
	for range t.Holes {
		x, y := r.IntN(s.Image.Width)-t.Size/2, r.IntN(s.Image.Height)-t.Size/2
		x0, y0 := max(x, 0), max(y, 0)
		s.cover(x0, y0, min(x+t.Size, s.Image.Width)-x0, min(y+t.Size, s.Image.Height)-y0, int(t.Fill), r)
	}
	return nil
}

// cover fills a rectangle with a level, or noise for −1.
func (s *Sample) cover(x, y, width, height, level int, r *Rand) {
	pix := s.Pixels()
	for v := y; v < y+height; v++ {
		row := pix[(v*s.Image.Width+x)*3:][:width*3]
		if level >= 0 {
			fill(row, byte(level))
			continue
		}
		for i := range row {
			row[i] = byte(r.Uint64())
		}
	}
	hole := wildtrain.BoxXYWH(float64(x), float64(y), float64(width), float64(height))
	s.Objects = s.limits.uncover(s.Objects, hole, nil)
}
