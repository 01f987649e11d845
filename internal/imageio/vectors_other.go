//go:build !amd64

package imageio

// vectors is never on: there is no vector code for this processor.
var vectors bool

func idct8(b *[64]int32, dst []byte, stride int) { idct8Go(b, dst, stride) }

func convertVectors(_, _, _, _ []byte) int { return 0 }

func doubleVectors(_, _, _ []byte) int { return 0 }
