package resample

import (
	"errors"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/wildtrain"
)

// posBits are the fractional bits of a source position while a row is walked.
const posBits = 32

// Affine fills dst with src mapped by m, a map from src's pixels to dst's.
// What src does not cover, wholly or by a part, is (mixed with) fill.
// Both hold U8 with three channels.
func Affine(dst, src wildtrain.Image, m wildtrain.Affine, fill byte) error {
	if err := checkWarp(dst, src); err != nil {
		return err
	}
	inv, err := m.Inverse()
	if err != nil {
		return err
	}
	// Position of a source sample, in pixel indices, for a destination index.
	at := wildtrain.Translation(0.5, 0.5).Then(inv).Then(wildtrain.Translation(-0.5, -0.5))
	limit := float64(int64(1) << 30) // far outside any picture, yet safe in fixed point
	stepX, stepY := fixed(at.A), fixed(at.D)
	for y := range dst.Height {
		x0, y0 := at.Apply(0, float64(y))
		row := dst.U8[y*dst.Width*3 : (y+1)*dst.Width*3]
		if !(math.Abs(x0) < limit && math.Abs(y0) < limit && math.Abs(at.A) < 1<<16 && math.Abs(at.D) < 1<<16) {
			fillBytes(row, fill)
			continue
		}
		warpRow(row, src, fixed(x0), fixed(y0), stepX, stepY, fill)
	}
	return nil
}

func fixed(v float64) int64 { return int64(math.Round(v * (1 << posBits))) }

// warpRow samples one destination row along a line through the source.
func warpRow(row []byte, src wildtrain.Image, px, py, stepX, stepY int64, fill byte) {
	n := len(row) / 3
	// Inside [from, to) all four neighbours lie in the picture; inside
	// [some, end) at least one does.
	some, end := span(px, stepX, n, -1, src.Width)
	a, b := span(py, stepY, n, -1, src.Height)
	some, end = max(some, a), min(end, b)
	if some >= end {
		fillBytes(row, fill)
		return
	}
	// (One column less: words of eight bytes are read.)
	from, to := span(px, stepX, n, 0, src.Width-2)
	a, b = span(py, stepY, n, 0, src.Height-1)
	from, to = max(from, a, some), min(to, b, end)
	if from >= to {
		from, to = some, some
	}
	fillBytes(row[:3*some], fill)
	fillBytes(row[3*end:], fill)
	for i := some; i < from; i++ {
		edge(row[3*i:3*i+3], src, px+int64(i)*stepX, py+int64(i)*stepY, fill)
	}
	inside(row[3*from:3*to], src, px+int64(from)*stepX, py+int64(from)*stepY, stepX, stepY)
	for i := to; i < end; i++ {
		edge(row[3*i:3*i+3], src, px+int64(i)*stepX, py+int64(i)*stepY, fill)
	}
}

// span returns the range of i in [0, n) for which low ≤ floor(p + i·step) < high.
func span(p, step int64, n, low, high int) (from, to int) {
	lo, hi := int64(low)<<posBits, int64(high)<<posBits
	if step == 0 {
		if p >= lo && p < hi {
			return 0, n
		}
		return 0, 0
	}
	if step < 0 { // mirrored: the values are p, p−|s|, …: i from the high end
		// p + i·step < hi  ⇔  i > (p−hi)/|step| ;  p + i·step ≥ lo  ⇔  i ≤ (p−lo)/|step|
		s := -step
		from, to = int(clampInt(floorDiv(p-hi, s)+1, n)), int(clampInt(floorDiv(p-lo, s)+1, n))
		return from, max(from, to)
	}
	// p + i·step ≥ lo  ⇔  i ≥ (lo−p)/step ;  p + i·step < hi  ⇔  i < (hi−p)/step
	from, to = int(clampInt(ceilDiv(lo-p, step), n)), int(clampInt(ceilDiv(hi-p, step), n))
	return from, max(from, to)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && a < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int64) int64 { return -floorDiv(-a, b) }

func clampInt(v int64, n int) int64 { return min(max(v, 0), int64(n)) }

const (
	weightBits = 11
	one        = 1 << weightBits
)

// inside interpolates where no bounds need checking.
func inside(row []byte, src wildtrain.Image, px, py, stepX, stepY int64) {
	n := insideVectors(row, src, px, py, stepX, stepY)
	insideGo(row[3*n:], src, px+int64(n)*stepX, py+int64(n)*stepY, stepX, stepY)
}

func insideGo(row []byte, src wildtrain.Image, px, py, stepX, stepY int64) {
	stride, pix := src.Width*3, src.U8
	for i := 0; i+2 < len(row); i += 3 {
		at := int(py>>posBits)*stride + int(px>>posBits)*3
		fx := uint32(px>>(posBits-weightBits)) & (one - 1)
		fy := uint32(py>>(posBits-weightBits)) & (one - 1)
		p := pix[at : at+6 : at+6]
		q := pix[at+stride : at+stride+6 : at+stride+6]
		gx, gy := one-fx, one-fy
		d := row[i : i+3 : i+3]
		d[0] = uint8(((uint32(p[0])*gx+uint32(p[3])*fx)*gy + (uint32(q[0])*gx+uint32(q[3])*fx)*fy + 1<<(2*weightBits-1)) >> (2 * weightBits))
		d[1] = uint8(((uint32(p[1])*gx+uint32(p[4])*fx)*gy + (uint32(q[1])*gx+uint32(q[4])*fx)*fy + 1<<(2*weightBits-1)) >> (2 * weightBits))
		d[2] = uint8(((uint32(p[2])*gx+uint32(p[5])*fx)*gy + (uint32(q[2])*gx+uint32(q[5])*fx)*fy + 1<<(2*weightBits-1)) >> (2 * weightBits))
		px += stepX
		py += stepY
	}
}

// edge interpolates one pixel some of whose neighbours may lie outside.
func edge(d []byte, src wildtrain.Image, px, py int64, fill byte) {
	x, y := int(px>>posBits), int(py>>posBits)
	fx := uint32(px>>(posBits-weightBits)) & (one - 1)
	fy := uint32(py>>(posBits-weightBits)) & (one - 1)
	weights := [4]uint32{(one - fx) * (one - fy), fx * (one - fy), (one - fx) * fy, fx * fy}
	var sum [3]uint32
	for k, w := range weights {
		xx, yy := x+k&1, y+k>>1
		if xx < 0 || yy < 0 || xx >= src.Width || yy >= src.Height {
			for c := range sum {
				sum[c] += uint32(fill) * w
			}
			continue
		}
		p := src.U8[(yy*src.Width+xx)*3:][:3]
		for c := range sum {
			sum[c] += uint32(p[c]) * w
		}
	}
	for c := range sum {
		d[c] = uint8((sum[c] + 1<<(2*weightBits-1)) >> (2 * weightBits))
	}
}

// Homography is a projective map of the plane, row-major; points are column
// vectors (x, y, 1), divided by the third coordinate.
type Homography [9]float64

// FromAffine makes a Homography of an affine map.
func FromAffine(m wildtrain.Affine) Homography {
	return Homography{m.A, m.B, m.C, m.D, m.E, m.F, 0, 0, 1}
}

// Affine returns the map as an affine one and whether it is one.
func (h Homography) Affine() (wildtrain.Affine, bool) {
	if h[6] != 0 || h[7] != 0 || h[8] == 0 {
		return wildtrain.Affine{}, false
	}
	w := h[8]
	return wildtrain.Affine{A: h[0] / w, B: h[1] / w, C: h[2] / w, D: h[3] / w, E: h[4] / w, F: h[5] / w}, true
}

// Then returns the map that applies h first and next after it.
func (h Homography) Then(next Homography) Homography {
	var out Homography
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				out[3*i+j] += next[3*i+k] * h[3*k+j]
			}
		}
	}
	return out
}

// Apply maps a point; ok is false where it lies on or behind the horizon.
func (h Homography) Apply(x, y float64) (u, v float64, ok bool) {
	w := h[6]*x + h[7]*y + h[8]
	if !(w > 1e-12) {
		return 0, 0, false
	}
	return (h[0]*x + h[1]*y + h[2]) / w, (h[3]*x + h[4]*y + h[5]) / w, true
}

// Inverse returns the map back.
func (h Homography) Inverse() (Homography, error) {
	c := Homography{ // the adjugate
		h[4]*h[8] - h[5]*h[7], h[2]*h[7] - h[1]*h[8], h[1]*h[5] - h[2]*h[4],
		h[5]*h[6] - h[3]*h[8], h[0]*h[8] - h[2]*h[6], h[2]*h[3] - h[0]*h[5],
		h[3]*h[7] - h[4]*h[6], h[1]*h[6] - h[0]*h[7], h[0]*h[4] - h[1]*h[3],
	}
	det := h[0]*c[0] + h[1]*c[3] + h[2]*c[6]
	if det == 0 || math.IsNaN(det) || math.IsInf(det, 0) {
		return c, errors.New("resample: invert homography: the map is singular")
	}
	for i := range c {
		c[i] /= det
	}
	return c, nil
}

// Perspective is Affine for a projective map.
func Perspective(dst, src wildtrain.Image, h Homography, fill byte) error {
	if m, ok := h.Affine(); ok {
		return Affine(dst, src, m, fill)
	}
	if err := checkWarp(dst, src); err != nil {
		return err
	}
	inv, err := h.Inverse()
	if err != nil {
		return err
	}
	for y := range dst.Height {
		row := dst.U8[y*dst.Width*3 : (y+1)*dst.Width*3]
		for x := range dst.Width {
			u, v, ok := inv.Apply(float64(x)+0.5, float64(y)+0.5)
			u, v = u-0.5, v-0.5
			d := row[3*x : 3*x+3]
			if !ok || !(u > -1 && v > -1 && u < float64(src.Width) && v < float64(src.Height)) {
				d[0], d[1], d[2] = fill, fill, fill
				continue
			}
			edge(d, src, fixed(u), fixed(v), fill)
		}
	}
	return nil
}

// Warp is Perspective with an interpolation: Bilinear, or Nearest, which takes
// the pixel that the centre of each output falls on.
func Warp(dst, src wildtrain.Image, h Homography, f Filter, fill byte) error {
	if f == Bilinear {
		return Perspective(dst, src, h, fill)
	}
	if f != Nearest {
		return fmt.Errorf("resample: warps interpolate %v or %v, not %v", Nearest, Bilinear, f)
	}
	if err := checkWarp(dst, src); err != nil {
		return err
	}
	inv, err := h.Inverse()
	if err != nil {
		return err
	}
	for y := range dst.Height {
		row := dst.U8[y*dst.Width*3 : (y+1)*dst.Width*3]
		for x := range dst.Width {
			u, v, ok := inv.Apply(float64(x)+0.5, float64(y)+0.5)
			d := row[3*x : 3*x+3]
			if !ok || !(u >= 0 && v >= 0 && u < float64(src.Width) && v < float64(src.Height)) {
				d[0], d[1], d[2] = fill, fill, fill
				continue
			}
			copy(d, src.U8[(int(v)*src.Width+int(u))*3:])
		}
	}
	return nil
}

func checkWarp(dst, src wildtrain.Image) error {
	if err := check(dst, src); err != nil {
		return err
	}
	if src.Channels != 3 {
		return errors.New("resample: warp needs three channels")
	}
	return nil
}

func fillBytes(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// Quad maps a width×height picture onto a quadrilateral, given by the places of
// its corners from the top left clockwise (Heckbert 1989). ok is false where it
// has no inside or folds over.
func Quad(width, height float64, to [4][2]float64) (h Homography, ok bool) {
	dx1, dy1 := to[1][0]-to[2][0], to[1][1]-to[2][1]
	dx2, dy2 := to[3][0]-to[2][0], to[3][1]-to[2][1]
	sx, sy := to[0][0]-to[1][0]+to[2][0]-to[3][0], to[0][1]-to[1][1]+to[2][1]-to[3][1]
	det := dx1*dy2 - dx2*dy1
	if math.Abs(det) < 1e-9 {
		return h, false
	}
	u, v := (sx*dy2-dx2*sy)/det, (dx1*sy-sx*dy1)/det
	if 1+u <= 1e-9 || 1+v <= 1e-9 || 1+u+v <= 1e-9 {
		return h, false
	}
	unit := Homography{
		to[1][0] - to[0][0] + u*to[1][0], to[3][0] - to[0][0] + v*to[3][0], to[0][0],
		to[1][1] - to[0][1] + u*to[1][1], to[3][1] - to[0][1] + v*to[3][1], to[0][1],
		u, v, 1,
	}
	return FromAffine(wildtrain.Scaling(1/width, 1/height)).Then(unit), true
}
