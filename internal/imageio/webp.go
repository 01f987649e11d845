package imageio

import (
	"bytes"
	"image"

	"golang.org/x/image/webp"

	"github.com/wildtrain/sdk/wildtrain"
)

// decodeWebP decodes a WebP. The planes of lossy ones hold video levels (16 to
// 235) and half-size chroma, which the image package takes for JPEG's full range
// and repeats: they are converted as libwebp does, with its upsampling and its tables.
func decodeWebP(data []byte, o Options) (wildtrain.Image, error) {
	src, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return wildtrain.Image{}, err
	}
	switch s := src.(type) {
	case *image.YCbCr:
		return fromVideo(s, o), nil
	case *image.NYCbCrA:
		return fromVideo(&s.YCbCr, o), nil
	}
	return toRGB(src, o), nil
}

// fromVideo converts planes of 4:2:0 row by row.
func fromVideo(s *image.YCbCr, o Options) wildtrain.Image {
	w, h := s.Rect.Dx(), s.Rect.Dy()
	out := newRGB(w, h, o)
	chromaRows := (h + 1) / 2
	u, v := make([]byte, w), make([]byte, w)
	for y := range h {
		near := y / 2 // the chroma row closer to this one, and the one on its other side
		far := near - 1 + 2*(y%2)
		far = min(max(far, 0), chromaRows-1)
		fancy(u, s.Cb[near*s.CStride:], s.Cb[far*s.CStride:])
		fancy(v, s.Cr[near*s.CStride:], s.Cr[far*s.CStride:])
		row, luma := out.U8[3*y*w:3*(y+1)*w], s.Y[y*s.YStride:]
		for x := range w {
			row[3*x], row[3*x+1], row[3*x+2] = videoRGB(int32(luma[x]), int32(u[x]), int32(v[x]))
		}
	}
	return out
}

// fancy doubles the width of a chroma row, 9:3:3:1 between four values, with the
// roundings of libwebp's upsampling.c.
func fancy(dst, near, far []byte) {
	n := len(dst)
	vertical := func(i int) byte { return byte((3*int32(near[i]) + int32(far[i]) + 2) >> 2) }
	dst[0] = vertical(0)
	for x := 1; x <= (n-1)/2; x++ {
		a, b, c, d := int32(near[x-1]), int32(near[x]), int32(far[x-1]), int32(far[x])
		sum := a + b + c + d + 8
		left, right := (sum+2*(b+c))>>3, (sum+2*(a+d))>>3
		dst[2*x-1], dst[2*x] = byte((left+a)>>1), byte((right+b)>>1)
	}
	if n%2 == 0 {
		dst[n-1] = vertical((n - 1) / 2)
	}
}

// videoRGB is libwebp's conversion (yuv.h): BT.601 in fixed point.
func videoRGB(y, u, v int32) (r, g, b byte) {
	y = y * 19077 >> 8
	clip := func(x int32) byte {
		if x>>6 < 0 {
			return 0
		}
		return byte(min(x>>6, 255))
	}
	return clip(y + v*26149>>8 - 14234), clip(y - u*6419>>8 - v*13320>>8 + 8708), clip(y + u*33050>>8 - 17685)
}
