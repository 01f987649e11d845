package resample

import "github.com/wildtrain/sdk/internal/cpu"

// insideSSE interpolates n pixels with the arithmetic of insideGo. It reads
// eight bytes at each neighbour pair and writes four for every pixel, so that
// one byte after the last pixel is overwritten.
//
//go:noescape
func insideSSE(dst, src *byte, n, stride int, px, py, stepX, stepY int64)

// halveAVX2 makes n groups of four pixels with the arithmetic of halve. It reads
// four bytes more of each row than it needs, and writes two after its last pixel.
//
//go:noescape
func halveAVX2(dst, a, b *byte, n int)

var vectors, wideVectors = cpu.SSE41, cpu.AVX2

// halveVectors makes as many pixels, from the first on, as suits the vector code,
// and tells how many.
func halveVectors(d, a, b []byte) int {
	n := min((min(len(a), len(b))-4)/24, (len(d)-2)/12)
	if !wideVectors || !vectors || n < 1 {
		return 0
	}
	halveAVX2(&d[0], &a[0], &b[0], n)
	return 4 * n
}
