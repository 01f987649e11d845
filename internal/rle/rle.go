// Package rle holds binary masks in the run-length form of COCO: run lengths of
// 0 and 1 in turn, beginning with 0, down the columns of the picture. Results
// equal those of the COCO API's maskApi.c bit for bit (BSD licence, Piotr Dollár
// and Tsung-Yi Lin, 2014).
package rle

import (
	"fmt"
	"math"
)

// Mask is a binary mask of Height × Width pixels.
type Mask struct {
	Height, Width int
	Runs          []uint32
}

// MaxPixels bounds the pixels of one mask.
const MaxPixels = 1 << 30

// New checks that runs cover a picture of the given size exactly.
func New(height, width int, runs []uint32) (*Mask, error) {
	if err := checkSize(height, width); err != nil {
		return nil, err
	}
	var sum uint64
	for _, r := range runs {
		sum += uint64(r)
	}
	if want := uint64(height) * uint64(width); sum != want {
		return nil, fmt.Errorf("rle: check runs: they cover %d pixels, want %d (%d×%d)", sum, want, height, width)
	}
	return &Mask{height, width, runs}, nil
}

func checkSize(height, width int) error {
	if height <= 0 || width <= 0 || height > MaxPixels/width {
		return fmt.Errorf("rle: check size: %d×%d pixels, want at least 1×1 and at most %d in all", height, width, MaxPixels)
	}
	return nil
}

// Area is the number of pixels set.
func (m *Mask) Area() int {
	n := 0
	for i := 1; i < len(m.Runs); i += 2 {
		n += int(m.Runs[i])
	}
	return n
}

// Box returns the corner and size of the smallest rectangle around the pixels
// set, zeros if there are none.
func (m *Mask) Box() (x, y, w, h int) {
	even := len(m.Runs) / 2 * 2
	if even == 0 {
		return 0, 0, 0, 0
	}
	xs, ys, xe, ye := m.Width, m.Height, 0, 0
	at, before := 0, 0
	for j := range even {
		at += int(m.Runs[j])
		t := at - j%2
		col, row := t/m.Height, t%m.Height
		if j%2 == 0 {
			before = col
		} else if before < col {
			ys, ye = 0, m.Height-1
		}
		xs, xe = min(xs, col), max(xe, col)
		ys, ye = min(ys, row), max(ye, row)
	}
	return xs, ys, xe - xs + 1, ye - ys + 1
}

// IoU is the intersection over the union of a detection and an annotation, over
// the detection alone if the annotation is a crowd; −1 if the sizes differ.
func IoU(det, ann *Mask, crowd bool) float64 {
	if !touch(det, ann) {
		return 0
	}
	if det.Height != ann.Height || det.Width != ann.Width {
		return -1
	}
	a, b := cursor{runs: det.Runs}, cursor{runs: ann.Runs}
	a.next()
	b.next()
	var inter, union uint64
	a.on, b.on = false, false
	for more := true; more; {
		c := min(a.left, b.left)
		if a.on || b.on {
			union += uint64(c)
			if a.on && b.on {
				inter += uint64(c)
			}
		}
		a.left, b.left = a.left-c, b.left-c
		if a.left == 0 {
			a.next()
		}
		if b.left == 0 {
			b.next()
		}
		more = a.left > 0 || b.left > 0
	}
	if inter == 0 {
		return 0
	}
	if crowd {
		union = uint64(det.Area())
	}
	return float64(inter) / float64(union)
}

// touch reports whether the bounding boxes have a common part.
func touch(a, b *Mask) bool {
	ax, ay, aw, ah := a.Box()
	bx, by, bw, bh := b.Box()
	return min(ax+aw, bx+bw) > max(ax, bx) && min(ay+ah, by+bh) > max(ay, by)
}

// cursor walks over runs.
type cursor struct {
	runs []uint32
	at   int
	left uint32
	on   bool
}

// next goes to the following run, if there is one.
func (c *cursor) next() {
	if c.at < len(c.runs) {
		c.left = c.runs[c.at]
		c.at++
		c.on = !c.on
	}
}

// Merge joins masks of one size into the set of pixels that any of them has.
func Merge(masks []*Mask) (*Mask, error) {
	if len(masks) == 0 {
		return nil, fmt.Errorf("rle: merge masks: there are none")
	}
	out := masks[0]
	for _, m := range masks[1:] {
		if m.Height != out.Height || m.Width != out.Width {
			return nil, fmt.Errorf("rle: merge masks: sizes %d×%d and %d×%d differ", out.Height, out.Width, m.Height, m.Width)
		}
		out = union(out, m)
	}
	return out, nil
}

func union(x, y *Mask) *Mask {
	a, b := cursor{runs: x.Runs}, cursor{runs: y.Runs}
	a.next()
	b.next()
	a.on, b.on = false, false
	out := &Mask{Height: x.Height, Width: x.Width}
	var run uint32
	on := false
	for a.left > 0 || b.left > 0 || a.at < len(a.runs) || b.at < len(b.runs) {
		for a.left == 0 && a.at < len(a.runs) {
			a.next()
		}
		for b.left == 0 && b.at < len(b.runs) {
			b.next()
		}
		c := min(a.left, b.left)
		if c == 0 {
			break // one of them is used up: sizes are equal, so both are
		}
		if now := a.on || b.on; now != on {
			out.Runs = append(out.Runs, run)
			run, on = 0, now
		}
		run += c
		a.left, b.left = a.left-c, b.left-c
	}
	out.Runs = append(out.Runs, run)
	return out
}

// Decode returns Height·Width bytes, 0 or 1, row by row.
func (m *Mask) Decode() []byte {
	out := make([]byte, m.Height*m.Width)
	at := 0
	for j, r := range m.Runs {
		for range r {
			if j%2 == 1 && at < len(out) {
				out[at%m.Height*m.Width+at/m.Height] = 1
			}
			at++
		}
	}
	return out
}

// Encode makes a mask of Height·Width bytes, row by row; any value but 0 is set.
func Encode(height, width int, pixels []byte) (*Mask, error) {
	if err := checkSize(height, width); err != nil {
		return nil, err
	}
	if len(pixels) != height*width {
		return nil, fmt.Errorf("rle: encode mask: %d pixels, want %d×%d", len(pixels), height, width)
	}
	m := &Mask{Height: height, Width: width}
	var run uint32
	on := false
	for x := range width {
		for y := range height {
			if now := pixels[y*width+x] != 0; now != on {
				m.Runs = append(m.Runs, run)
				run, on = 0, now
			}
			run++
		}
	}
	m.Runs = append(m.Runs, run)
	return m, nil
}

// finite reports whether no number is NaN, infinite or beyond what pictures have.
func finite(xs []float64) bool {
	for _, x := range xs {
		if math.IsNaN(x) || math.Abs(x) > 1<<20 {
			return false
		}
	}
	return true
}
