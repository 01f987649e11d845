package resample

import (
	"github.com/wildtrain/sdk/internal/cpu"
	"github.com/wildtrain/sdk/wildtrain"
)

// insideAVX2 interpolates n pairs of pixels, at least one, with the arithmetic of
// insideGo. It reads eight bytes at each neighbour pair and writes four for every
// pixel, so that one byte after the last pixel is overwritten.
//
//go:noescape
func insideAVX2(dst, src *byte, n, stride int, px, py, stepX, stepY int64)

// halveAVX2 makes n groups of four pixels with the arithmetic of halve. It reads
// four bytes more of each row than it needs, and writes two after its last pixel.
//
//go:noescape
func halveAVX2(dst, a, b *byte, n int)

var vectors = cpu.AVX2

// insideVectors makes as many pixels, from the first on, as suits the vector code,
// and tells how many. One is left over at least: a byte after the others is overwritten.
func insideVectors(row []byte, src wildtrain.Image, px, py, stepX, stepY int64) int {
	n := (len(row)/3 - 1) / 2
	if !vectors || n < 1 {
		return 0
	}
	insideAVX2(&row[0], &src.U8[0], n, src.Width*3, px, py, stepX, stepY)
	return 2 * n
}

// halveVectors is the same for halving.
func halveVectors(d, a, b []byte) int {
	n := min((min(len(a), len(b))-4)/24, (len(d)-2)/12)
	if !vectors || n < 1 {
		return 0
	}
	halveAVX2(&d[0], &a[0], &b[0], n)
	return 4 * n
}
