package augment

import (
	"math"
	"sort"

	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

// Limits say which objects are dropped after a change of geometry. The zero
// value drops what has left the picture only.
type Limits struct {
	MinSide    float64 // boxes with a side of this many pixels or fewer
	MinVisible float64 // boxes of which this share or less is still in the picture
	MaxAspect  float64 // boxes this many times longer than wide, or more; 0: none
}

// keep decides on an object: whole is its moved box, seen what is left of it in the picture.
func (l Limits) keep(whole, seen wildtrain.Box) bool {
	w, h := seen.Width(), seen.Height()
	if !seen.Finite() || w <= l.MinSide || h <= l.MinSide || w <= 0 || h <= 0 {
		return false
	}
	if l.MaxAspect > 0 && max(w/h, h/w) >= l.MaxAspect {
		return false
	}
	return seen.Area() > l.MinVisible*whole.Area()
}

// journey is the way of objects from a tile over a canvas into a sample.
type journey struct {
	masks            wildtrain.Affine    // from the masks' pixels to the tile's
	at               wildtrain.Affine    // from the tile to the canvas
	warp             resample.Homography // from the canvas to the sample
	canvasW, canvasH int                 // what lies outside is lost
	width, height    int                 // of the sample
	limits           Limits
}

// all moves objects and drops those of which too little is left.
func (j journey) all(objects []wildtrain.Object) []wildtrain.Object {
	var out []wildtrain.Object
	for _, o := range objects {
		if o, ok := j.one(o); ok {
			out = append(out, o)
		}
	}
	return out
}

func (j journey) one(o wildtrain.Object) (wildtrain.Object, bool) {
	onCanvas := j.at.Box(o.Box)
	whole, ok := mapBox(onCanvas, j.warp)
	if !ok {
		return o, false
	}
	cut := onCanvas.Clip(j.canvasW, j.canvasH)
	if cut.Area() <= 0 {
		return o, false
	}
	seen, ok := mapBox(cut, j.warp)
	if !ok {
		return o, false
	}
	seen = seen.Clip(j.width, j.height)
	if o.Mask != nil {
		if o.Mask = j.mask(o.Mask, seen); o.Mask == nil {
			return o, false
		}
		tight := tighten(seen, o.Mask)
		if !j.limits.keep(whole, seen) || tight.Width() <= j.limits.MinSide || tight.Height() <= j.limits.MinSide {
			return o, false
		}
		o.Box, o.Area = tight, float64(area(o.Mask))
		return o, true
	}
	if !j.limits.keep(whole, seen) {
		return o, false
	}
	o.Area *= seen.Area() / o.Box.Area() // the share of the silhouette is not known better
	o.Box = seen
	return o, true
}

// mask samples a mask at the centres of the sample's pixels inside a box; nil
// where nothing of it is left.
func (j journey) mask(m *wildtrain.Mask, inside wildtrain.Box) *wildtrain.Mask {
	back, err := j.warp.Inverse()
	if err != nil {
		return nil
	}
	home, err := j.masks.Then(j.at).Inverse()
	if err != nil {
		return nil
	}
	ends := make([]int, len(m.Runs)) // where each run ends
	sum := 0
	for i, r := range m.Runs {
		sum += int(r)
		ends[i] = sum
	}
	var w rle.Writer
	x0, x1 := int(inside.X1), min(int(math.Ceil(inside.X2)), j.width)
	y0, y1 := int(inside.Y1), min(int(math.Ceil(inside.Y2)), j.height)
	run := 0
	for x := x0; x < x1; x++ {
		for y := y0; y < y1; y++ {
			u, v, ok := back.Apply(float64(x)+0.5, float64(y)+0.5)
			if !ok || u < 0 || v < 0 || u >= float64(j.canvasW) || v >= float64(j.canvasH) {
				continue
			}
			u, v = home.Apply(u, v)
			if u < 0 || v < 0 || u >= float64(m.Width) || v >= float64(m.Height) {
				continue
			}
			at := int(u)*m.Height + int(v)
			// Neighbours lie in one run as a rule.
			if at >= ends[run] || run > 0 && at < ends[run-1] {
				run = sort.SearchInts(ends, at+1)
			}
			if run%2 == 1 {
				w.Add(x*j.height+y, x*j.height+y+1)
			}
		}
	}
	return finish(&w, j.height, j.width)
}

// MoveMask carries a mask along with a map of its picture into one of the given
// size; nil where nothing of it is left.
func MoveMask(m *wildtrain.Mask, place wildtrain.Affine, width, height int) *wildtrain.Mask {
	j := journey{masks: place, at: wildtrain.Identity, warp: resample.FromAffine(wildtrain.Identity), canvasW: width, canvasH: height, width: width, height: height}
	return j.mask(m, wildtrain.Box{X2: float64(width), Y2: float64(height)})
}

// finish is the mask that was written; nil where nothing was.
func finish(w *rle.Writer, height, width int) *wildtrain.Mask {
	if w.Empty() {
		return nil
	}
	return (*wildtrain.Mask)(w.Mask(height, width))
}

func area(m *wildtrain.Mask) int { return (*rle.Mask)(m).Area() }

// tighten moves sides of a box to the mask inside it, where they are more than
// the pixel away that a mask's grid may differ by: the box of a turned
// silhouette is smaller than the box around its turned box.
func tighten(b wildtrain.Box, m *wildtrain.Mask) wildtrain.Box {
	x, y, w, h := (*rle.Mask)(m).Box()
	in := wildtrain.BoxXYWH(float64(x), float64(y), float64(w), float64(h))
	if in.X1 > b.X1+1 {
		b.X1 = in.X1
	}
	if in.Y1 > b.Y1+1 {
		b.Y1 = in.Y1
	}
	if in.X2 < b.X2-1 {
		b.X2 = in.X2
	}
	if in.Y2 < b.Y2-1 {
		b.Y2 = in.Y2
	}
	return b
}

// uncover takes a rectangle of pixels, or those that cover sets in it, out of
// the objects: masks lose them, and what is left of an object decides whether
// it stays. A box becomes smaller only where a whole side of it is covered.
func (l Limits) uncover(objects []wildtrain.Object, hole wildtrain.Box, cover *wildtrain.Mask) []wildtrain.Object {
	var out []wildtrain.Object
	for _, o := range objects {
		common := o.Box.Intersect(hole)
		if common.Width() <= 0 || common.Height() <= 0 {
			out = append(out, o)
			continue
		}
		if o.Mask != nil {
			before := area(o.Mask)
			if o.Mask = without(o.Mask, hole, cover); o.Mask == nil || float64(area(o.Mask)) <= l.MinVisible*float64(before) {
				continue
			}
			o.Box, o.Area = tighten(o.Box, o.Mask), float64(area(o.Mask))
		} else {
			left := o.Box.Area() - common.Area()
			if left <= l.MinVisible*o.Box.Area() {
				continue
			}
			rest := subtract(o.Box, common)
			o.Area *= rest.Area() / o.Box.Area()
			o.Box = rest
		}
		if o.Box.Width() > l.MinSide && o.Box.Height() > l.MinSide {
			out = append(out, o)
		}
	}
	return out
}

// subtract cuts a part off a box where that leaves a box.
func subtract(b, part wildtrain.Box) wildtrain.Box {
	switch wide, high := part.X1 <= b.X1 && part.X2 >= b.X2, part.Y1 <= b.Y1 && part.Y2 >= b.Y2; {
	case wide && part.Y1 <= b.Y1:
		b.Y1 = part.Y2
	case wide && part.Y2 >= b.Y2:
		b.Y2 = part.Y1
	case high && part.X1 <= b.X1:
		b.X1 = part.X2
	case high && part.X2 >= b.X2:
		b.X2 = part.X1
	}
	return b
}

// without takes the pixels of a rectangle, or those that cover sets in it, out of a mask.
func without(m *wildtrain.Mask, hole wildtrain.Box, cover *wildtrain.Mask) *wildtrain.Mask {
	var covered []byte
	if cover != nil {
		covered = (*rle.Mask)(cover).Decode()
	}
	var w rle.Writer
	at := 0
	for i, n := range m.Runs {
		if i%2 == 0 {
			at += int(n)
			continue
		}
		for range n {
			x, y := at/m.Height, at%m.Height
			cx, cy := float64(x)+0.5, float64(y)+0.5
			in := cx >= hole.X1 && cx < hole.X2 && cy >= hole.Y1 && cy < hole.Y2
			if !in || covered != nil && covered[y*m.Width+x] == 0 {
				w.Add(at, at+1)
			}
			at++
		}
	}
	return finish(&w, m.Height, m.Width)
}

// mapBox is the box around the mapped corners; ok is false behind the horizon.
func mapBox(b wildtrain.Box, h resample.Homography) (out wildtrain.Box, ok bool) {
	if m, affine := h.Affine(); affine {
		return m.Box(b), true
	}
	out = wildtrain.Box{X1: math.Inf(1), Y1: math.Inf(1), X2: math.Inf(-1), Y2: math.Inf(-1)}
	for _, p := range [4][2]float64{{b.X1, b.Y1}, {b.X2, b.Y1}, {b.X2, b.Y2}, {b.X1, b.Y2}} {
		x, y, ok := h.Apply(p[0], p[1])
		if !ok {
			return out, false
		}
		out = wildtrain.Box{X1: min(out.X1, x), Y1: min(out.Y1, y), X2: max(out.X2, x), Y2: max(out.Y2, y)}
	}
	return out, true
}

// affinePart is the affine map that agrees with h to first order at the origin of h's canvas.
func affinePart(h resample.Homography) wildtrain.Affine {
	if m, ok := h.Affine(); ok {
		return m
	}
	w := h[8]
	x, y := h[2]/w, h[5]/w
	return wildtrain.Affine{
		A: (h[0] - x*h[6]) / w, B: (h[1] - x*h[7]) / w, C: x,
		D: (h[3] - y*h[6]) / w, E: (h[4] - y*h[7]) / w, F: y,
	}
}
