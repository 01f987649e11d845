package datamodule

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// hashSide is the side of the small grey picture that is hashed, hashLow that
// of the block of its lowest frequencies.
const hashSide, hashLow = 32, 8

// flatContrast is the standard deviation, in grey levels, below which a picture
// shows nothing: its hash would be noise.
const flatContrast = 1.0

// PerceptualHash is a fingerprint of what a picture shows: the signs, about
// their median, of the lowest frequencies (8×8, without the mean) of the discrete
// cosine transform of the picture at 32×32 pixels in grey. Pictures that differ
// in size, compression or brightness differ in few bits; others in about half of
// the 63. ok is false where a picture has no contrast, such as an all-black tile.
func PerceptualHash(im wildtrain.Image) (hash uint64, ok bool) {
	small := shrink(im)
	mean, square := 0.0, 0.0
	for _, v := range small {
		mean += v
		square += v * v
	}
	n := float64(len(small))
	mean /= n
	if square/n-mean*mean < flatContrast*flatContrast {
		return 0, false
	}
	low := dct(small)
	sorted := slices.Sorted(slices.Values(low[1:]))
	median := sorted[len(sorted)/2]
	for i, v := range low {
		if i > 0 && v > median {
			hash |= 1 << i
		}
	}
	return hash, true
}

// shrink averages a picture over a grid of 32×32 cells, in grey (ITU-R BT.601).
func shrink(im wildtrain.Image) []float64 {
	out := make([]float64, hashSide*hashSide)
	cell := func(i, n int) (from, to int) {
		from = i * n / hashSide
		return from, max((i+1)*n/hashSide, from+1)
	}
	for gy := range hashSide {
		y0, y1 := cell(gy, im.Height)
		for gx := range hashSide {
			x0, x1 := cell(gx, im.Width)
			var sum int64
			for y := y0; y < y1; y++ {
				row := im.U8[(y*im.Width+x0)*im.Channels : (y*im.Width+x1)*im.Channels]
				for ; len(row) >= im.Channels; row = row[im.Channels:] {
					if im.Channels < 3 {
						sum += 1000 * int64(row[0])
					} else {
						sum += 299*int64(row[0]) + 587*int64(row[1]) + 114*int64(row[2])
					}
				}
			}
			out[gy*hashSide+gx] = float64(sum) / float64(1000*(y1-y0)*(x1-x0))
		}
	}
	return out
}

// dct returns the 8×8 lowest coefficients of a two-dimensional DCT-II, rows first.
func dct(grey []float64) []float64 {
	var wave [hashLow][hashSide]float64
	for k := range hashLow {
		for i := range hashSide {
			wave[k][i] = math.Cos(math.Pi * float64(k) * (float64(i) + 0.5) / hashSide)
		}
	}
	var rows [hashSide][hashLow]float64
	for y := range hashSide {
		for k := range hashLow {
			for x := range hashSide {
				rows[y][k] += grey[y*hashSide+x] * wave[k][x]
			}
		}
	}
	out := make([]float64, hashLow*hashLow)
	for k := range hashLow {
		for l := range hashLow {
			for y := range hashSide {
				out[k*hashLow+l] += rows[y][l] * wave[k][y]
			}
		}
	}
	return out
}

// fingerprint is the hash of one picture.
type fingerprint struct {
	hash      uint64
	ok, known bool // known: the picture was looked at
}

func fingerprintOf(im wildtrain.Image) fingerprint {
	f := fingerprint{known: true}
	f.hash, f.ok = PerceptualHash(im)
	return f
}

// fingerprints hashes every picture whose hash is not known yet; those of a
// split come in its order.
func fingerprints(ctx context.Context, splits []Split, maxPixels int64) ([][]fingerprint, error) {
	out := make([][]fingerprint, len(splits))
	for i, s := range splits {
		out[i] = make([]fingerprint, len(s.Records))
		for k, rec := range s.Records {
			out[i][k] = rec.looks
		}
	}
	unknown := func(rec Record) bool { return !rec.looks.known }
	err := eachPicture(ctx, splits, maxPixels, unknown, func(split, i int, im wildtrain.Image) {
		out[split][i] = fingerprintOf(im)
	})
	return out, err
}

// eachPicture decodes all wanted pictures, several at a time; use may not keep them.
func eachPicture(ctx context.Context, splits []Split, maxPixels int64, wanted func(Record) bool, use func(split, i int, im wildtrain.Image)) error {
	if maxPixels <= 0 {
		maxPixels = imageio.DefaultMaxPixels
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, min(runtime.GOMAXPROCS(0), 8)))
	var buffers imageio.Buffers
	for k, s := range splits {
		for i, rec := range s.Records {
			if !wanted(rec) {
				continue
			}
			g.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				im, err := imageio.DecodeFile(rec.source(), imageio.Options{MaxPixels: maxPixels, Alloc: buffers.Get})
				if err != nil {
					return fmt.Errorf("datamodule: read picture %s: %w", rec.ID, err)
				}
				use(k, i, im)
				buffers.Put(im.U8)
				return nil
			})
		}
	}
	return g.Wait()
}

// source is the file that holds a record's picture.
func (r Record) source() string {
	if r.file != "" {
		return r.file
	}
	return r.Path
}

func everyPicture(Record) bool { return true }

func bitsApart(a, b uint64) int { return bits.OnesCount64(a ^ b) }
