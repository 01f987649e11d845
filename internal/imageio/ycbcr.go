package imageio

import (
	"image"

	"github.com/wildtrain/sdk/wildtrain"
)

// colour holds libjpeg's conversion tables (jdcolor.c): 16-bit fixed point of
// the JFIF equations.
type colour struct {
	crR, cbB, crG, cbG [256]int32
	clamp              [768]uint8 // index 256 is 0
}

var jfif = newColour()

func newColour() *colour {
	const half = 1 << 15
	c := &colour{}
	for i := range 256 {
		x := int32(i) - 128
		c.crR[i] = (91881*x + half) >> 16  // 1.402
		c.cbB[i] = (116130*x + half) >> 16 // 1.772
		c.crG[i] = -46802 * x              // 0.71414
		c.cbG[i] = -22554*x + half         // 0.34414
		c.clamp[256+i] = uint8(i)
		c.clamp[512+i] = 255
	}
	return c
}

// fromYCbCr converts planes to RGB row by row, for o.Rows if that wants them.
func fromYCbCr(s *image.YCbCr, o Options) wildtrain.Image {
	w, h := s.Rect.Dx(), s.Rect.Dy()
	up := newUpsampler(s, w, h)
	if o.Rows != nil {
		row := o.alloc(3 * w)
		defer o.free(row)
		o.Rows.Begin(w, h)
		for y := range h {
			cb, cr := up.row(y)
			jfif.convert(row, s.Y[y*s.YStride:y*s.YStride+w], cb, cr)
			o.Rows.Row(y, row)
		}
		return wildtrain.Image{Width: w, Height: h, Channels: 3}
	}
	out := newRGB(w, h, o)
	for y := range h {
		cb, cr := up.row(y)
		jfif.convert(out.U8[3*y*w:3*(y+1)*w], s.Y[y*s.YStride:y*s.YStride+w], cb, cr)
	}
	return out
}

func (c *colour) convert(dst, luma, cb, cr []byte) {
	done := convertVectors(dst, luma, cb, cr)
	dst, luma, cb, cr = dst[3*done:], luma[done:], cb[done:], cr[done:]
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	for x, v := range luma {
		y, b, r := int32(v)+256, cb[x], cr[x]
		d := dst[3*x : 3*x+3 : 3*x+3]
		d[0] = c.clamp[y+c.crR[r]]
		d[1] = c.clamp[y+(c.cbG[b]+c.crG[r])>>16]
		d[2] = c.clamp[y+c.cbB[b]]
	}
}

// upsampler brings chroma rows to the picture's width, one output row at a time.
type upsampler struct {
	cb, cr       []byte
	stride       int
	cw, ch       int // size of the chroma planes
	fx, fy       int // subsampling factors
	triangle     bool
	outCb, outCr []byte
	sumCb, sumCr []int32
}

func newUpsampler(s *image.YCbCr, w, h int) *upsampler {
	u := &upsampler{cb: s.Cb, cr: s.Cr, stride: s.CStride, fx: 1, fy: 1}
	switch s.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		u.fx = 2
	case image.YCbCrSubsampleRatio420:
		u.fx, u.fy = 2, 2
	case image.YCbCrSubsampleRatio440:
		u.fy = 2
	case image.YCbCrSubsampleRatio411:
		u.fx = 4
	case image.YCbCrSubsampleRatio410:
		u.fx, u.fy = 4, 2
	}
	u.cw, u.ch = (w+u.fx-1)/u.fx, (h+u.fy-1)/u.fy
	// libjpeg smooths factors of 2 only, and not where a plane is two samples wide.
	u.triangle = u.fx == 1 || (u.fx == 2 && u.cw > 2)
	u.outCb, u.outCr = make([]byte, u.cw*u.fx), make([]byte, u.cw*u.fx)
	u.sumCb, u.sumCr = make([]int32, u.cw), make([]int32, u.cw)
	return u
}

// row returns the chroma of output row y, at least as wide as the picture.
func (u *upsampler) row(y int) (cb, cr []byte) {
	near := y / u.fy
	at := near * u.stride
	if u.fx == 1 && u.fy == 1 {
		return u.cb[at : at+u.cw], u.cr[at : at+u.cw]
	}
	if !u.triangle {
		repeat(u.outCb, u.cb[at:at+u.cw], u.fx)
		repeat(u.outCr, u.cr[at:at+u.cw], u.fx)
		return u.outCb, u.outCr
	}
	if u.fy == 1 {
		triangleH(u.outCb, u.cb[at:at+u.cw])
		triangleH(u.outCr, u.cr[at:at+u.cw])
		return u.outCb, u.outCr
	}
	far := near - 1 // the second nearest chroma row, the nearest one at the edges
	if y%2 == 1 {
		far = near + 1
	}
	far = min(max(far, 0), u.ch-1) * u.stride
	u.vertical(u.outCb, u.sumCb, u.cb[at:at+u.cw], u.cb[far:far+u.cw], y%2)
	u.vertical(u.outCr, u.sumCr, u.cr[at:at+u.cw], u.cr[far:far+u.cw], y%2)
	return u.outCb, u.outCr
}

// vertical mixes two rows 3:1 and then, where needed, the columns.
func (u *upsampler) vertical(dst []byte, sum []int32, near, far []byte, lower int) {
	far = far[:len(near)]
	if u.fx == 1 {
		for x, v := range near {
			dst[x] = uint8((3*int32(v) + int32(far[x]) + 1 + int32(lower)) >> 2)
		}
		return
	}
	done := doubleVectors(dst, near, far)
	n := len(sum)
	for x := done; x < n; x++ {
		sum[x] = 3*int32(near[x]) + int32(far[x])
	}
	dst[0] = uint8((4*(3*int32(near[0])+int32(far[0])) + 8) >> 4)
	dst[2*n-1] = uint8((4*sum[n-1] + 7) >> 4)
	for x := done; x+1 < n; x++ {
		a, b := sum[x], sum[x+1]
		dst[2*x+1] = uint8((3*a + b + 7) >> 4)
		dst[2*x+2] = uint8((3*b + a + 8) >> 4)
	}
}

// triangleH doubles a row, mixing neighbours 3:1.
func triangleH(dst, src []byte) {
	n := len(src)
	dst[0], dst[2*n-1] = src[0], src[n-1]
	for x := 0; x+1 < n; x++ {
		a, b := int32(src[x]), int32(src[x+1])
		dst[2*x+1] = uint8((3*a + b + 2) >> 2)
		dst[2*x+2] = uint8((3*b + a + 1) >> 2)
	}
}

func repeat(dst, src []byte, times int) {
	for i := range dst {
		dst[i] = src[i/times]
	}
}
