//go:build !amd64

package augment

// hsvVectors changes no pixels: there is no vector code for this processor.
func hsvVectors([]byte, hsvChange) int { return 0 }
