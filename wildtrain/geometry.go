package wildtrain

import (
	"errors"
	"math"
)

// Box is an axis-aligned rectangle in pixels: (X1, Y1) is the top left corner,
// (X2, Y2) the bottom right one.
type Box struct{ X1, Y1, X2, Y2 float64 }

// BoxXYWH makes a Box of a corner and a size, the form that COCO files use.
func BoxXYWH(x, y, w, h float64) Box { return Box{x, y, x + w, y + h} }

// BoxCXCYWH makes a Box of its centre and size, the form that YOLO files use.
func BoxCXCYWH(cx, cy, w, h float64) Box {
	return Box{cx - w/2, cy - h/2, cx + w/2, cy + h/2}
}

// Width is X2−X1; negative for an inverted box.
func (b Box) Width() float64 { return b.X2 - b.X1 }

// Height is Y2−Y1; negative for an inverted box.
func (b Box) Height() float64 { return b.Y2 - b.Y1 }

// Area is zero for empty and inverted boxes.
func (b Box) Area() float64 { return max(b.Width(), 0) * max(b.Height(), 0) }

// Center returns the middle of the box.
func (b Box) Center() (x, y float64) { return (b.X1 + b.X2) / 2, (b.Y1 + b.Y2) / 2 }

// Intersect returns the common part, empty (zero or negative sides) if there is none.
func (b Box) Intersect(o Box) Box {
	return Box{max(b.X1, o.X1), max(b.Y1, o.Y1), min(b.X2, o.X2), min(b.Y2, o.Y2)}
}

// IoU is the intersection over the union, zero where the union is empty.
func (b Box) IoU(o Box) float64 {
	inter := b.Intersect(o).Area()
	union := b.Area() + o.Area() - inter
	if union <= 0 {
		return 0
	}
	return inter / union
}

// Clip returns the part of the box inside an image of the given size.
func (b Box) Clip(width, height int) Box {
	w, h := float64(width), float64(height)
	return Box{
		min(max(b.X1, 0), w), min(max(b.Y1, 0), h),
		min(max(b.X2, 0), w), min(max(b.Y2, 0), h),
	}
}

// Finite reports whether no coordinate is NaN or infinite.
func (b Box) Finite() bool {
	for _, v := range [4]float64{b.X1, b.Y1, b.X2, b.Y2} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// Affine is a map of the plane, x' = A·x + B·y + C, y' = D·x + E·y + F.
// The zero value maps everything to the origin; Identity is the neutral one.
type Affine struct{ A, B, C, D, E, F float64 }

// Identity maps every point to itself.
var Identity = Affine{A: 1, E: 1}

// Scaling maps (x, y) to (sx·x, sy·y).
func Scaling(sx, sy float64) Affine { return Affine{A: sx, E: sy} }

// Translation maps (x, y) to (x+dx, y+dy).
func Translation(dx, dy float64) Affine { return Affine{A: 1, C: dx, E: 1, F: dy} }

// Apply maps a point.
func (m Affine) Apply(x, y float64) (float64, float64) {
	return m.A*x + m.B*y + m.C, m.D*x + m.E*y + m.F
}

// Box returns the smallest box around the mapped corners of b.
func (m Affine) Box(b Box) Box {
	out := Box{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for _, p := range [4][2]float64{{b.X1, b.Y1}, {b.X2, b.Y1}, {b.X2, b.Y2}, {b.X1, b.Y2}} {
		x, y := m.Apply(p[0], p[1])
		out = Box{min(out.X1, x), min(out.Y1, y), max(out.X2, x), max(out.Y2, y)}
	}
	return out
}

// Then returns the map that applies m first and next after it.
func (m Affine) Then(next Affine) Affine {
	return Affine{
		A: next.A*m.A + next.B*m.D, B: next.A*m.B + next.B*m.E, C: next.A*m.C + next.B*m.F + next.C,
		D: next.D*m.A + next.E*m.D, E: next.D*m.B + next.E*m.E, F: next.D*m.C + next.E*m.F + next.F,
	}
}

// Inverse returns the map back; it fails where the determinant is zero or not finite.
func (m Affine) Inverse() (Affine, error) {
	det := m.A*m.E - m.B*m.D
	if det == 0 || math.IsNaN(det) || math.IsInf(det, 0) {
		return Affine{}, errors.New("wildtrain: invert affine: the map is singular")
	}
	inv := Affine{A: m.E / det, B: -m.B / det, D: -m.D / det, E: m.A / det}
	inv.C = -(inv.A*m.C + inv.B*m.F)
	inv.F = -(inv.D*m.C + inv.E*m.F)
	return inv, nil
}

// Mask is a binary mask of an object in uncompressed COCO run-length form: runs
// of 0 and 1 in turn, beginning with 0, down the columns of an H×W picture.
type Mask struct {
	Height, Width int
	Runs          []uint32
}
