package resample

import "github.com/wildtrain/sdk/internal/cpu"

// insideSSE interpolates n pixels with the arithmetic of insideGo. It reads
// eight bytes at each neighbour pair and writes four for every pixel, so that
// one byte after the last pixel is overwritten.
//
//go:noescape
func insideSSE(dst, src *byte, n, stride int, px, py, stepX, stepY int64)

var vectors = cpu.SSE41
