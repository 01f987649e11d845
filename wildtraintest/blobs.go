package wildtraintest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/wildtrain/sdk/wildtrain"
)

// Blobs is a DataModule of small grey pictures of noise. Each class brightens
// another part of the picture, so that a linear model tells them apart. Train is
// shuffled every epoch; Val and Test are not.
type Blobs struct {
	ClassCount int    // 2 or more
	Samples    int    // of each stage
	Batch      int    // pictures per batch
	Size       int    // pixels per side; Size² ≥ ClassCount
	Noise      int    // brightness of the noise, 0…200
	Seed       uint64 // of pictures and order
	NoVal      bool   // there is no validation split
	Broken     int    // this training sample (from 1) cannot be read; 0: none

	Released int // batches given back, for tests
	Yielded  int // batches handed out
}

// NewBlobs returns data that is learnt in a few epochs.
func NewBlobs(samples, batch int) *Blobs {
	return &Blobs{ClassCount: 3, Samples: samples, Batch: batch, Size: 4, Noise: 60, Seed: 1}
}

// Setup implements wildtrain.DataModule.
func (d *Blobs) Setup(ctx context.Context, stage wildtrain.Stage) error {
	switch {
	case stage == wildtrain.Val && d.NoVal, stage != wildtrain.Train && stage != wildtrain.Val && stage != wildtrain.Test:
		return fmt.Errorf("wildtraintest: set up %q: %w", stage, wildtrain.ErrNoSplit)
	case d.Samples <= 0:
		return fmt.Errorf("wildtraintest: set up %q: %w", stage, wildtrain.ErrEmpty)
	}
	return ctx.Err()
}

// Classes implements wildtrain.DataModule.
func (d *Blobs) Classes() []wildtrain.Class {
	classes := make([]wildtrain.Class, d.ClassCount)
	for i := range classes {
		classes[i] = wildtrain.Class{Name: fmt.Sprintf("class%d", i), ID: i + 1}
	}
	return classes
}

// Loader implements wildtrain.DataModule.
func (d *Blobs) Loader(stage wildtrain.Stage, at wildtrain.Position) (wildtrain.Loader, error) {
	at.World = max(at.World, 1)
	order := make([]int, d.Samples)
	for i := range order {
		order[i] = i
	}
	if stage == wildtrain.Train {
		r := rand.New(rand.NewPCG(d.Seed, uint64(at.Epoch)))
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	// Ranks take turns; the first samples fill up, so that all have the same number.
	var mine []int
	for i := at.Rank; i < (len(order)+at.World-1)/at.World*at.World; i += at.World {
		mine = append(mine, order[i%len(order)])
	}
	return &blobLoader{d, stage, at, mine}, nil
}

// Close implements wildtrain.DataModule.
func (d *Blobs) Close() error { return nil }

type blobLoader struct {
	d     *Blobs
	stage wildtrain.Stage
	at    wildtrain.Position
	order []int
}

func (l *blobLoader) Len() int { return (len(l.order) + l.d.Batch - 1) / l.d.Batch }

func (l *blobLoader) Batches(ctx context.Context) iter.Seq2[*wildtrain.Batch, error] {
	return func(yield func(*wildtrain.Batch, error) bool) {
		for i := l.at.Batch; i < l.Len(); i++ {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			b, err := l.batch(l.order[i*l.d.Batch : min((i+1)*l.d.Batch, len(l.order))])
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

var errBroken = errors.New("wildtraintest: this picture is broken")

func (l *blobLoader) batch(indices []int) (*wildtrain.Batch, error) {
	d, size := l.d, l.d.Size
	p := wildtrain.Pixels{N: len(indices), Height: size, Width: size, Channels: 1}
	var samples []wildtrain.Sample
	for _, index := range indices {
		if l.stage == wildtrain.Train && index == d.Broken-1 {
			return nil, fmt.Errorf("%s %d: %w", l.stage, index, errBroken)
		}
		class := index % d.ClassCount
		r := rand.New(rand.NewPCG(d.Seed, uint64(index)<<8|uint64(l.stage[0])))
		for i := range size * size {
			v := r.IntN(d.Noise + 1)
			if i%d.ClassCount == class {
				v += 55
			}
			p.U8 = append(p.U8, uint8(v))
		}
		id := fmt.Sprintf("%s/%03d", l.stage, index)
		samples = append(samples, wildtrain.Sample{
			ID: id, Width: size, Height: size, Place: wildtrain.Identity,
			Targets: []wildtrain.Target{{Class: class, Weight: 1}},
		})
	}
	d.Yielded++
	return wildtrain.NewBatch(p, samples, func() {
		d.Released++
		clear(p.U8) // reading after Release shows
	}), nil
}
