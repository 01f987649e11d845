//go:build !amd64

package resample

const vectors = false

func insideSSE(_, _ *byte, _, _ int, _, _, _, _ int64) {}

func halveVectors(_, _, _ []byte) int { return 0 }
