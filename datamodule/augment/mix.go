package augment

import (
	"math"

	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

// Join says what a second sample adds to a first one.
type Join struct {
	MixUp     bool
	Ratio     float64 // share of the first sample in a mixup
	CutMix    bool
	Cut       Cut     // the part that comes from the second sample
	CopyPaste float64 // share of the second sample's objects that are pasted in
	Seed      uint64  // for the choice of objects
}

// Any tells whether a second sample is needed.
func (j Join) Any() bool { return j.MixUp || j.CutMix || j.CopyPaste > 0 }

// Cut is a rectangle in shares of a picture's sides.
type Cut struct{ X, Y, Width, Height float64 }

// drawJoin follows the papers and the field's detectors: mixup with Beta(32, 32)
// (Zhang et al. 2018), cutmix with Beta(1, 1) (Yun et al. 2019).
func drawJoin(r *Rand, c Config) Join {
	j := Join{MixUp: r.Bernoulli(c.MixUp), CopyPaste: c.CopyPaste}
	j.CutMix = r.Bernoulli(c.CutMix) && !j.MixUp
	j.Cut, j.Seed = DrawCut(r, 1), r.Uint64()
	j.Ratio = r.Beta(32, 32)
	return j
}

// DrawCut draws a rectangle for cutmix: its area is 1 − Beta(alpha, alpha) of the
// picture, its centre anywhere; what sticks out is cut off. alpha is at least 1.
func DrawCut(r *Rand, alpha float64) Cut {
	side := math.Sqrt(1 - r.Beta(alpha, alpha))
	x, y := r.Float64(), r.Float64()
	x0, y0 := max(x-side/2, 0), max(y-side/2, 0)
	return Cut{x0, y0, min(x+side/2, 1) - x0, min(y+side/2, 1) - y0}
}

// pixels is the cut on a picture, on whole pixels.
func (c Cut) pixels(width, height int) (x0, y0, x1, y1 int) {
	at := func(v float64, n int) int { return min(int(math.Round(v*float64(n))), n) }
	return at(c.X, width), at(c.Y, height), at(c.X+c.Width, width), at(c.Y+c.Height, height)
}

// Share is the part of a width×height picture that the cut covers.
func (c Cut) Share(width, height int) float64 {
	x0, y0, x1, y1 := c.pixels(width, height)
	return float64((x1-x0)*(y1-y0)) / float64(width*height)
}

// Paste copies the cut's pixels of src into dst, which is as large.
func (c Cut) Paste(dst, src wildtrain.Image) {
	x0, y0, x1, y1 := c.pixels(dst.Width, dst.Height)
	for y := y0; y < y1; y++ {
		a, b := (y*dst.Width+x0)*3, (y*dst.Width+x1)*3
		copy(dst.U8[a:b], src.U8[a:b])
	}
}

// Apply joins the second sample to the first one in dst and returns all objects
// that are to be seen then. Neither list is changed.
func (j Join) Apply(dst, second wildtrain.Image, first, more []wildtrain.Object, l Limits) []wildtrain.Object {
	if j.CopyPaste > 0 {
		first = j.copyPaste(dst, second, first, more, l)
	}
	switch {
	case j.MixUp:
		Blend(dst.U8, second.U8, j.Ratio)
		return append(first[:len(first):len(first)], more...)
	case j.CutMix:
		return j.cutMix(dst, second, first, more, l)
	}
	return first
}

func (j Join) cutMix(dst, second wildtrain.Image, first, more []wildtrain.Object, l Limits) []wildtrain.Object {
	j.Cut.Paste(dst, second)
	x0, y0, x1, y1 := j.Cut.pixels(dst.Width, dst.Height)
	cut := wildtrain.Box{X1: float64(x0), Y1: float64(y0), X2: float64(x1), Y2: float64(y1)}
	out := l.uncover(first, cut, nil)
	for _, o := range more {
		seen := o.Box.Intersect(cut)
		if !l.keep(o.Box, seen) {
			continue
		}
		if o.Mask != nil {
			if o.Mask = within(o.Mask, cut); o.Mask == nil {
				continue
			}
			seen = tighten(seen, o.Mask)
			o.Area = float64(area(o.Mask))
		} else {
			o.Area *= seen.Area() / o.Box.Area()
		}
		o.Box = seen
		out = append(out, o)
	}
	return out
}

// within keeps the pixels of a mask inside a rectangle.
func within(m *wildtrain.Mask, b wildtrain.Box) *wildtrain.Mask {
	w, h := float64(m.Width), float64(m.Height)
	for _, outside := range []wildtrain.Box{{X2: b.X1, Y2: h}, {X1: b.X2, X2: w, Y2: h}, {X2: w, Y2: b.Y1}, {Y1: b.Y2, X2: w, Y2: h}} {
		if m != nil {
			m = without(m, outside, nil)
		}
	}
	return m
}

// copyPaste puts objects of the second picture in (Ghiasi et al. 2021), by their
// masks or, where there are none, with all of their boxes. Those that would cover
// three tenths of what is there already are left out.
func (j Join) copyPaste(dst, second wildtrain.Image, first, more []wildtrain.Object, l Limits) []wildtrain.Object {
	const mostCovered = 0.3
	r := NewRand(j.Seed)
	order := r.Perm(len(more))
	out := first
	for _, k := range order[:int(math.Round(j.CopyPaste*float64(len(more))))] {
		o := more[k]
		free := !o.Crowd
		for _, there := range first {
			free = free && there.Box.Intersect(o.Box).Area() < mostCovered*there.Box.Area()
		}
		if !free {
			continue
		}
		pasteObject(dst, second, o)
		out = append(l.uncover(out, o.Box, o.Mask), o)
	}
	return out
}

func pasteObject(dst, src wildtrain.Image, o wildtrain.Object) {
	var set []byte
	if o.Mask != nil {
		set = (*rle.Mask)(o.Mask).Decode()
	}
	b := o.Box.Clip(dst.Width, dst.Height)
	for y := int(b.Y1); y < min(int(math.Ceil(b.Y2)), dst.Height); y++ {
		for x := int(b.X1); x < min(int(math.Ceil(b.X2)), dst.Width); x++ {
			if at := y*dst.Width + x; set == nil || set[at] != 0 {
				copy(dst.U8[3*at:3*at+3], src.U8[3*at:3*at+3])
			}
		}
	}
}

// Blend mixes a second sample into dst: ratio of dst, the rest of other.
func Blend(dst, other []byte, ratio float64) {
	a := int32(math.Round(ratio * 256))
	b := 256 - a
	other = other[:len(dst)]
	for i, v := range dst {
		dst[i] = uint8((int32(v)*a + int32(other[i])*b + 128) >> 8)
	}
}
