//go:build !amd64

package cpu

// There is no vector code for this processor.
const (
	SSE41 = false
	AVX2  = false
)
