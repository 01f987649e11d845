package augment

import "github.com/wildtrain/sdk/internal/cpu"

// hsvAVX2 changes n groups of eight pixels with the arithmetic of
// hsvChange.apply; it reads four bytes more than it changes.
//
//go:noescape
func hsvAVX2(pix *byte, n int, c *hsvChange)

var vectors = cpu.AVX2

// hsvVectors changes as many bytes, from the first on, as suits the vector code,
// and tells how many.
func hsvVectors(pix []byte, c hsvChange) int {
	const group, beyond = 24, 4
	n := (len(pix) - beyond) / group
	if !vectors || n < 1 {
		return 0
	}
	hsvAVX2(&pix[0], n, &c)
	return n * group
}
