package resample

// insideSSE interpolates n pixels with the arithmetic of insideGo. It reads
// eight bytes at each neighbour pair and writes four for every pixel, so that
// one byte after the last pixel is overwritten.
//
//go:noescape
func insideSSE(dst, src *byte, n, stride int, px, py, stepX, stepY int64)

// cpuFeatures is ECX of CPUID leaf 1.
func cpuFeatures() uint32

const ssse3, sse41 = 1 << 9, 1 << 19

var vectors = cpuFeatures()&(ssse3|sse41) == ssse3|sse41
