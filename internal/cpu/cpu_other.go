//go:build !amd64

package cpu

// AVX2 is an extension of another processor.
const AVX2 = false
