//go:build !amd64

package resample

import "github.com/wildtrain/sdk/wildtrain"

const vectors = false

func insideVectors(_ []byte, _ wildtrain.Image, _, _, _, _ int64) int { return 0 }

func halveVectors(_, _, _ []byte) int { return 0 }
