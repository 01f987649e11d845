// Package resample scales and warps 8-bit interleaved pictures to the values of
// the libraries that weights were trained with. Detectors know OpenCV: Linear is
// cv2.resize(INTER_LINEAR), warps are cv2.warpAffine and cv2.warpPerspective
// within one level. Classifiers know Pillow: Filtered is Image.resize.
//
// Coordinates follow package wildtrain: the centre of the first pixel is
// (0.5, 0.5), so a map of boxes and a map of pixels are the same map.
package resample

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/wildtrain/sdk/wildtrain"
)

// coefBits are the fractional bits of OpenCV's resize weights.
const coefBits = 11

// tap is one output position's left source index and the weights of it and its
// right neighbour.
type tap struct {
	at     int
	w0, w1 int32
}

// taps lays out n outputs over m inputs as OpenCV does, in float32, in the place
// of out.
func taps(out []tap, n, m int) []tap {
	out = slices.Grow(out[:0], n)[:n]
	scale := 1 / (float64(n) / float64(m))
	for i := range out {
		f := float32((float64(i)+0.5)*scale - 0.5)
		at := int(math.Floor(float64(f)))
		f -= float32(at)
		if at < 0 {
			at, f = 0, 0
		}
		if at >= m-1 {
			at, f = m-1, 0
		}
		one := float32(1 << coefBits)
		out[i] = tap{at, int32(math.RoundToEven(float64((1 - f) * one))), int32(math.RoundToEven(float64(f * one)))}
	}
	return out
}

// Linear scales src to the size of dst. Both hold U8 with the same channels.
func Linear(dst, src wildtrain.Image) error {
	if err := check(dst, src); err != nil {
		return err
	}
	s := NewScaler(dst)
	defer s.Close()
	s.Begin(src.Width, src.Height)
	row := src.Width * src.Channels
	for y := range src.Height {
		s.Row(y, src.U8[y*row:(y+1)*row])
	}
	return nil
}

// Scaler is Linear for a picture that comes row by row, from the top.
type Scaler struct {
	dst           wildtrain.Image
	width, height int   // of the source
	next          int   // output row
	xs, ys        []tap // nil where the size stays or halves
	filtered      [2][]int32
	above         []byte // the row before, where the size halves
}

var scalers = sync.Pool{New: func() any { return new(Scaler) }}

// NewScaler makes one that fills dst; Close gives it back.
func NewScaler(dst wildtrain.Image) *Scaler {
	s := scalers.Get().(*Scaler)
	s.dst = dst
	return s
}

// Close ends the use of a scaler.
func (s *Scaler) Close() {
	s.dst = wildtrain.Image{}
	scalers.Put(s)
}

// Begin tells the size of the source. It comes before the rows.
func (s *Scaler) Begin(width, height int) {
	s.width, s.height, s.next = width, height, 0
	row := s.dst.Width * s.dst.Channels
	switch {
	case s.same():
	case s.halves():
		s.above = slices.Grow(s.above[:0], 2*row)[:2*row]
	default:
		s.xs, s.ys = taps(s.xs, s.dst.Width, width), taps(s.ys, s.dst.Height, height)
		for i := range s.filtered {
			s.filtered[i] = slices.Grow(s.filtered[i][:0], row)[:row]
		}
	}
}

func (s *Scaler) same() bool { return s.width == s.dst.Width && s.height == s.dst.Height }

// halves tells whether OpenCV takes the mean of four.
func (s *Scaler) halves() bool { return s.width == 2*s.dst.Width && s.height == 2*s.dst.Height }

// Row takes row y of the source.
func (s *Scaler) Row(y int, src []byte) {
	c := s.dst.Channels
	row := s.dst.Width * c
	out := func(y int) []byte { return s.dst.U8[y*row : (y+1)*row] }
	switch {
	case s.same():
		copy(out(y), src)
		return
	case s.halves():
		if y%2 == 0 {
			copy(s.above, src)
		} else {
			halve(out(y/2), s.above, src, c)
		}
		return
	}
	if s.next == len(s.ys) || y < s.ys[s.next].at {
		return
	}
	horizontal(s.filtered[y&1], src, s.xs, c)
	for s.next < len(s.ys) {
		t := s.ys[s.next]
		below := min(t.at+1, s.height-1)
		if y < t.at || t.w1 != 0 && y < below {
			return
		}
		vertical(out(s.next), s.filtered[t.at&1], s.filtered[below&1], t)
		s.next++
	}
}

// horizontal interpolates one source row, in units of 2^-11.
func horizontal(dst []int32, src []byte, xs []tap, c int) {
	last := len(src)/c - 1
	if c != 3 {
		for x, t := range xs {
			right := min(t.at+1, last) * c
			for k := range c {
				dst[x*c+k] = int32(src[t.at*c+k])*t.w0 + int32(src[right+k])*t.w1
			}
		}
		return
	}
	for x, t := range xs {
		d := dst[3*x : 3*x+3 : 3*x+3]
		if t.at >= last {
			p := src[3*last : 3*last+3]
			d[0], d[1], d[2] = int32(p[0])<<coefBits, int32(p[1])<<coefBits, int32(p[2])<<coefBits
			continue
		}
		p := src[3*t.at : 3*t.at+6 : 3*t.at+6]
		d[0] = int32(p[0])*t.w0 + int32(p[3])*t.w1
		d[1] = int32(p[1])*t.w0 + int32(p[4])*t.w1
		d[2] = int32(p[2])*t.w0 + int32(p[5])*t.w1
	}
}

// vertical mixes two interpolated rows with OpenCV's roundings.
func vertical(dst []byte, upper, lower []int32, t tap) {
	upper, lower = upper[:len(dst)], lower[:len(dst)]
	w0, w1 := t.w0, t.w1
	if w1 == 0 {
		for i := range dst {
			dst[i] = uint8(((w0*(upper[i]>>4))>>16 + 2) >> 2)
		}
		return
	}
	for i := range dst {
		dst[i] = uint8(((w0*(upper[i]>>4))>>16 + (w1*(lower[i]>>4))>>16 + 2) >> 2)
	}
}

// halve takes the mean of four pixels of two rows.
func halve(d, a, b []byte, channels int) {
	done := 0
	if channels == 3 {
		done = halveVectors(d, a, b)
		done += halveWords(d[3*done:], a[6*done:], b[6*done:])
	}
	for x := done; x < len(d)/channels; x++ {
		for k := range channels {
			i := 2*x*channels + k
			d[x*channels+k] = uint8((int32(a[i]) + int32(a[i+channels]) + int32(b[i]) + int32(b[i+channels]) + 2) >> 2)
		}
	}
}

// halveWords makes three channels at once, two of them apart in one word, as long
// as whole words can be read, and tells of how many pixels.
func halveWords(d, a, b []byte) int {
	const outer, inner = 0xff00ff, 0xff00
	x := 0
	for i := 0; i+7 <= len(a) && i+7 <= len(b) && 3*x+4 <= len(d); i, x = i+6, x+1 {
		p, q := binary.LittleEndian.Uint32(a[i:]), binary.LittleEndian.Uint32(a[i+3:])
		r, s := binary.LittleEndian.Uint32(b[i:]), binary.LittleEndian.Uint32(b[i+3:])
		rb := (p&outer + q&outer + r&outer + s&outer + 0x20002) >> 2 & outer
		g := (p&inner + q&inner + r&inner + s&inner + 0x200) >> 2 & inner
		binary.LittleEndian.PutUint32(d[3*x:], rb|g) // a byte too many, which the next pixel sets
	}
	return x
}

func check(dst, src wildtrain.Image) error {
	for _, im := range []wildtrain.Image{dst, src} {
		if im.Width <= 0 || im.Height <= 0 || im.Channels <= 0 || len(im.U8) != im.Width*im.Height*im.Channels {
			return fmt.Errorf("resample: %d bytes for a picture of %d×%d×%d", len(im.U8), im.Height, im.Width, im.Channels)
		}
	}
	if dst.Channels != src.Channels {
		return fmt.Errorf("resample: %d channels into %d", src.Channels, dst.Channels)
	}
	return nil
}
