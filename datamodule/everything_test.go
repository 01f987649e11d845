package datamodule_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/wildtrain"
)

// everything switches on all that can be done to training pictures at once.
func everything() datamodule.Config {
	c := small()
	c.Datasets, c.Epochs, c.ImageSize = []string{"savanna-tiles"}, 4, 96
	a := augment.Default()
	a.Mosaic, a.Mosaic9, a.MixUp, a.CutMix, a.CopyPaste, a.CloseMosaic = 0.4, 0.4, 0.3, 0.4, 0.3, 1
	a.Degrees, a.Shear, a.Perspective, a.FlipUD = 20, 5, 0.0005, 0.5
	a.Grey, a.Blur, a.Noise, a.JPEG, a.CLAHE, a.Erasing, a.Auto, a.MultiScale = 0.2, 0.2, 0.2, 0.2, 0.2, 0.3, "randaugment", 0.4
	c.Augment = a
	c.Transforms = []augment.Named{{Name: "RandomResizedCrop", Params: map[string]any{"size": 64, "scale": []any{0.5, 1}, "p": 0.5}}, {Name: "ColorJitter", Params: map[string]any{"brightness": 0.3}}}
	c.Sampler.Order, c.Sampler.NegativeRatio, c.Sampler.RepeatThreshold = datamodule.OrderBalanced, 0.5, 0.3
	c.Curriculum.Enabled, c.Curriculum.Ratios, c.Curriculum.Epochs = true, []float64{0, 1}, []int{1, 1}
	return c
}

// Whatever is switched on: the number of workers does not show, nor whether an
// epoch is gone through from its beginning, nor what is cached.
func TestEverythingAtOnceIsExact(t *testing.T) {
	dir := t.TempDir()
	for _, epoch := range []int{1, 3} {
		var want [][32]byte
		for _, how := range []string{"inline", "four", "ram", "disk", "disk again"} {
			c := everything()
			c.Workers = map[string]int{"four": 4, "disk": 2}[how]
			c.CacheDir, c.CacheBytes = dir, 20*96*96*3 // the same window for all
			switch how {
			case "ram":
				c.Cache = datamodule.CacheRAM
			case "disk", "disk again":
				c.Cache = datamodule.CacheDisk
			}
			d := open(t, c, wildtrain.Train)
			samples, got := walk(t, d, wildtrain.Train, wildtrain.Position{Epoch: epoch})
			if want == nil {
				want = got
			}
			require.Equal(t, want, got, "epoch %d, %s", epoch, how)
			if how == "four" {
				_, rest := walk(t, d, wildtrain.Train, wildtrain.Position{Epoch: epoch, Batch: 2})
				require.Equal(t, want[2:], rest)
			}
			for _, s := range samples {
				for _, o := range s.Objects {
					require.Positive(t, o.Box.Area())
				}
			}
		}
	}
}

// The curriculum's phases of negatives reach the batches.
func TestCurriculumReachesTheBatches(t *testing.T) {
	c := small()
	c.Curriculum.Enabled, c.Curriculum.Strategy = true, ""
	c.Curriculum.Ratios, c.Curriculum.Epochs = []float64{0, 1}, []int{1, 1}
	d := open(t, c, wildtrain.Train)
	negatives := func(epoch int) (n int) {
		samples, _ := walk(t, d, wildtrain.Train, wildtrain.Position{Epoch: epoch})
		records := byID(d.Records(wildtrain.Train))
		for _, s := range samples {
			if len(records[s.ID].Objects) == 0 {
				n++
			}
		}
		return n
	}
	assert.Zero(t, negatives(0))
	assert.Positive(t, negatives(1))
}

// Batches of many sizes, all multiples of the stride, the same on every rank.
func TestMultiScale(t *testing.T) {
	c := small()
	c.Augment.MultiScale = 0.5
	d := open(t, c, wildtrain.Train)
	sizes := func(at wildtrain.Position) (out []int) {
		l, err := d.Loader(wildtrain.Train, at)
		require.NoError(t, err)
		for b, err := range l.Batches(t.Context()) {
			require.NoError(t, err)
			assert.Equal(t, b.Pixels.Width, b.Pixels.Height)
			assert.Zero(t, b.Pixels.Width%c.Stride)
			for _, s := range b.Samples {
				for _, o := range s.Objects {
					assert.LessOrEqual(t, o.Box.X2, float64(b.Pixels.Width))
				}
			}
			out = append(out, b.Pixels.Width)
			b.Release()
		}
		return out
	}
	one := sizes(wildtrain.Position{World: 2})
	assert.Equal(t, one, sizes(wildtrain.Position{Rank: 1, World: 2}))
	kinds := map[int]bool{}
	for epoch := range 4 {
		for _, n := range sizes(wildtrain.Position{Epoch: epoch}) {
			kinds[n] = true
		}
	}
	assert.Greater(t, len(kinds), 2)
}

// Fast decoding puts the same things to the same places, a little less sharp.
func TestFastDecodingKeepsPlaces(t *testing.T) {
	c := small()
	c.Datasets = []string{"savanna"}
	exact, _ := walk(t, open(t, c, wildtrain.Val), wildtrain.Val, wildtrain.Position{})
	c.Decode = datamodule.DecodeFast
	d := open(t, c, wildtrain.Val)
	fast, _ := walk(t, d, wildtrain.Val, wildtrain.Position{})
	assert.Equal(t, exact, fast)
	c.Decode = "turbo"
	assert.ErrorContains(t, c.Validate(), `decode is "turbo"`)
}

func TestDiskCache(t *testing.T) {
	tr := yolo(t)
	c := tr.config()
	c.Augment, c.Cache, c.CacheDir = augment.Config{}, datamodule.CacheDisk, t.TempDir()
	_, want := walk(t, open(t, c, wildtrain.Train), wildtrain.Train, wildtrain.Position{})
	files, err := filepath.Glob(filepath.Join(c.CacheDir, "*"))
	require.NoError(t, err)
	require.Len(t, files, 2)

	// A file that is cut off is not used, one of a picture that has changed neither.
	require.NoError(t, os.Truncate(files[0], 10))
	_, got := walk(t, open(t, c, wildtrain.Train), wildtrain.Train, wildtrain.Position{})
	assert.Equal(t, want, got)
	tr.jpeg("images/train/a.jpg", 40, 30)
	walk(t, open(t, c, wildtrain.Train), wildtrain.Train, wildtrain.Position{})
	files, err = filepath.Glob(filepath.Join(c.CacheDir, "*"))
	require.NoError(t, err)
	assert.Len(t, files, 3)

	c.CacheDir, c.CacheBytes = t.TempDir(), 1
	_, got = walk(t, open(t, c, wildtrain.Train), wildtrain.Train, wildtrain.Position{})
	assert.Len(t, got, len(want))
	files, err = filepath.Glob(filepath.Join(c.CacheDir, "*"))
	require.NoError(t, err)
	assert.Empty(t, files, "there is no room")

	c.CacheDir = filepath.Join(tr.path("images/train/a.jpg"), "below a file")
	d := open(t, c, wildtrain.Train)
	_, err = d.Loader(wildtrain.Train, wildtrain.Position{})
	assert.ErrorContains(t, err, "open disk cache")
}
