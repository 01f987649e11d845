package imageio

import "github.com/wildtrain/sdk/internal/cpu"

var vectors = cpu.AVX2

// idct8AVX2 is idct8Go; it leaves the block as it is.
//
//go:noescape
func idct8AVX2(b *[64]int32, dst *byte, stride int)

// convertAVX2 is colour.convert for n groups of 16 pixels.
//
//go:noescape
func convertAVX2(dst, luma, cb, cr *byte, n int)

// doubleAVX2 makes 32 values of a doubled row, from the second on, of each 16
// of n groups of two chroma rows; it looks at one value more.
//
//go:noescape
func doubleAVX2(dst, near, far *byte, n int)

func idct8(b *[64]int32, dst []byte, stride int) {
	if vectors && len(dst) >= 7*stride+8 {
		idct8AVX2(b, &dst[0], stride)
		return
	}
	idct8Go(b, dst, stride)
}

// convertVectors converts as many pixels, from the first on, as suits the vector
// code, and tells how many. What is left over of a row is done in a last group
// that begins earlier.
func convertVectors(dst, luma, cb, cr []byte) int {
	n := len(luma)
	if !vectors || n < 16 {
		return 0
	}
	convertAVX2(&dst[0], &luma[0], &cb[0], &cr[0], n/16)
	if n%16 != 0 {
		k := n - 16
		convertAVX2(&dst[3*k], &luma[k], &cb[k], &cr[k], 1)
	}
	return n
}

// doubleVectors is the same for doubling chroma rows; it begins with the second
// value and leaves the last.
func doubleVectors(dst, near, far []byte) int {
	n := len(near) - 1
	if !vectors || n < 16 {
		return 0
	}
	doubleAVX2(&dst[1], &near[0], &far[0], n/16)
	if n%16 != 0 {
		k := n - 16
		doubleAVX2(&dst[1+2*k], &near[k], &far[k], 1)
	}
	return n
}
