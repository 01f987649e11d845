package datamodule_test

import (
	"context"
	"encoding/json"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// walk collects an epoch: samples and digests of its batches.
func walk(t testing.TB, d *datamodule.Detection, stage wildtrain.Stage, at wildtrain.Position) (samples []wildtrain.Sample, digests [][32]byte) {
	t.Helper()
	l, err := d.Loader(stage, at)
	require.NoError(t, err)
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		samples = append(samples, b.Samples...)
		digests = append(digests, wildtraintest.Digest(b))
		b.Release()
	}
	return samples, digests
}

func ids(samples []wildtrain.Sample) []string {
	var out []string
	for _, s := range samples {
		out = append(out, s.ID)
	}
	return out
}

func TestMosaicsCloseInTheLastEpochs(t *testing.T) {
	c := small()
	c.Cache, c.Datasets, c.Augment = datamodule.CacheRAM, []string{"savanna-tiles"}, augment.Config{Mosaic: 1, CloseMosaic: 2}
	d := open(t, c, wildtrain.Train)
	d.SetEpochs(5)
	for _, epoch := range []int{2, 3, 4} {
		samples, _ := walk(t, d, wildtrain.Train, wildtrain.Position{Epoch: epoch})
		whole := 0
		for _, s := range samples {
			m := s.Place.Box(wildtrain.Box{X2: float64(s.Width), Y2: float64(s.Height)})
			cx, cy := m.Center()
			if max(cx-80, 80-cx) <= 0.5 && max(cy-80, 80-cy) <= 0.5 {
				whole++ // in the middle: letterboxed, no tile of a mosaic
			}
		}
		if epoch < 3 {
			assert.Less(t, whole, len(samples)/4, "epoch %d", epoch)
		} else {
			assert.Equal(t, len(samples), whole, "epoch %d", epoch)
		}
	}
}

func TestEpochsDifferAndSeedsDiffer(t *testing.T) {
	c := small()
	c.Datasets, c.Cache = []string{"savanna-tiles"}, datamodule.CacheRAM
	d := open(t, c, wildtrain.Train)
	samples, first := walk(t, d, wildtrain.Train, wildtrain.Position{})
	later, second := walk(t, d, wildtrain.Train, wildtrain.Position{Epoch: 1})
	assert.NotEqual(t, first, second)
	assert.NotEqual(t, ids(samples), ids(later), "another order")
	assert.ElementsMatch(t, ids(samples), ids(later))
	c.Seed = 1
	_, other := walk(t, open(t, c, wildtrain.Train), wildtrain.Train, wildtrain.Position{})
	assert.NotEqual(t, first, other)
}

// What is cached must not show in what is yielded, neither on a first nor on a second walk.
func TestCacheDoesNotShow(t *testing.T) {
	c := small()
	c.Datasets = []string{"savanna-tiles"}
	c.CacheBytes = 4 * 160 * 160 * 3 // room for four pictures: the window is the same for both caches
	var want [][32]byte
	for _, cache := range []string{datamodule.CacheNone, datamodule.CacheRAM} {
		c.Cache = cache
		d := open(t, c, wildtrain.Train)
		for range 2 {
			_, got := walk(t, d, wildtrain.Train, wildtrain.Position{})
			if want == nil {
				want = got
			}
			assert.Equal(t, want, got, cache)
		}
	}
}

// Batches before the position are skipped by index: a picture in them that
// cannot be read does no harm.
func TestSkippedBatchesAreNotDecoded(t *testing.T) {
	tr := yolo(t)
	c := tr.config()
	c.Augment, c.Batch = augment.Config{}, 1
	d := open(t, c, wildtrain.Train)
	samples, _ := walk(t, d, wildtrain.Train, wildtrain.Position{})
	require.NoError(t, os.WriteFile(tr.path("images/train/"+filepath.Base(samples[0].ID)), []byte("gone bad"), 0o644))
	rest, _ := walk(t, d, wildtrain.Train, wildtrain.Position{Batch: 1})
	require.Len(t, rest, 1)
	assert.Equal(t, samples[1].ID, rest[0].ID)
	l, err := d.Loader(wildtrain.Train, wildtrain.Position{})
	require.NoError(t, err)
	for _, err := range l.Batches(context.Background()) {
		assert.ErrorContains(t, err, samples[0].ID)
	}
}

func TestErrorComesAfterTheBatchesBeforeIt(t *testing.T) {
	tr := yolo(t)
	for _, n := range []string{"d", "e", "f", "g", "h"} {
		tr.jpeg("images/train/"+n+".jpg", 40, 30)
	}
	for _, workers := range []int{0, 1, 4} {
		c := tr.config()
		c.Augment, c.Batch, c.Workers = augment.Config{}, 2, workers
		d := open(t, c, wildtrain.Train)
		samples, _ := walk(t, d, wildtrain.Train, wildtrain.Position{})
		bad := tr.path("images/train/" + filepath.Base(samples[4].ID))
		whole, err := os.ReadFile(bad)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(bad, whole[:len(whole)/2], 0o644))
		l, err := d.Loader(wildtrain.Train, wildtrain.Position{})
		require.NoError(t, err)
		n := 0
		for b, err := range l.Batches(context.Background()) {
			if err != nil {
				assert.ErrorContains(t, err, filepath.Base(bad))
				break
			}
			n++
			b.Release()
		}
		assert.Equal(t, 2, n, "%d workers", workers)
		require.NoError(t, os.WriteFile(bad, whole, 0o644))
	}
}

func TestEvaluationSharesWithoutRepeats(t *testing.T) {
	c := small()
	c.Datasets = []string{"savanna-tiles"}
	d := open(t, c, wildtrain.Val)
	seen := map[string]int{}
	for rank := range 3 {
		samples, _ := walk(t, d, wildtrain.Val, wildtrain.Position{Rank: rank, World: 3})
		for _, s := range samples {
			seen[s.ID]++
		}
	}
	assert.Len(t, seen, 12)
	for id, n := range seen {
		assert.Equal(t, 1, n, id)
	}
}

// Shapes as the field's validation loader gives them: 800×640 at 320 was run
// there (Ultralytics 8.4.190: 288×352).
func TestFlatBatches(t *testing.T) {
	c := small()
	c.Datasets, c.ImageSize = []string{"savanna"}, 320
	d := open(t, c, wildtrain.Val)
	l, err := d.Loader(wildtrain.Val, wildtrain.Position{})
	require.NoError(t, err)
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		assert.Equal(t, [2]int{288, 352}, [2]int{b.Pixels.Height, b.Pixels.Width})
		b.Release()
	}
	c.Rect, c.Datasets = false, []string{"savanna-tiles"}
	d = open(t, c, wildtrain.Val)
	l, err = d.Loader(wildtrain.Val, wildtrain.Position{})
	require.NoError(t, err)
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		assert.Equal(t, [2]int{320, 320}, [2]int{b.Pixels.Height, b.Pixels.Width})
		b.Release()
	}
}

func TestTruthIsAsAnnotated(t *testing.T) {
	c := small()
	c.Datasets = []string{"savanna"}
	d := open(t, c, wildtrain.Val)
	samples, _ := walk(t, d, wildtrain.Val, wildtrain.Position{})
	records := byID(d.Records(wildtrain.Val))
	crowds := 0
	for _, s := range samples {
		r := records[s.ID]
		assert.Equal(t, len(r.Objects), len(s.Truth))
		for i, o := range s.Truth {
			assert.Equal(t, r.Objects[i], o)
			assert.Positive(t, o.Area, "the silhouette's")
			assert.LessOrEqual(t, o.Area, o.Box.Area()*1.05+1)
			if o.Crowd {
				crowds++
			}
		}
		assert.Equal(t, [2]int{r.Width, r.Height}, [2]int{s.Width, s.Height})
	}
	assert.Equal(t, 1, crowds)
}

func TestDropLast(t *testing.T) {
	c := small()
	c.Datasets, c.Batch, c.Augment.Mosaic = []string{"savanna-tiles"}, 8, 0
	for _, drop := range []bool{false, true} {
		c.DropLast = drop
		samples, digests := walk(t, open(t, c, wildtrain.Train), wildtrain.Train, wildtrain.Position{})
		if drop {
			assert.Len(t, samples, 16)
		} else {
			assert.Len(t, samples, 21)
			assert.Len(t, digests, 3)
		}
	}
}

// Buffers go round: an epoch allocates far less than the pixels it yields.
func TestBuffersAreReused(t *testing.T) {
	c := small()
	c.Datasets, c.Workers, c.Cache, c.ImageSize = []string{"savanna-tiles"}, 0, datamodule.CacheRAM, 320
	d := open(t, c, wildtrain.Train)
	walkEpoch := func(epoch int) (bytes uint64) {
		l, err := d.Loader(wildtrain.Train, wildtrain.Position{Epoch: epoch})
		require.NoError(t, err)
		for b, err := range l.Batches(context.Background()) {
			require.NoError(t, err)
			bytes += uint64(len(b.Pixels.U8))
			b.Release()
		}
		return bytes
	}
	walkEpoch(0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	pixels := walkEpoch(1)
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, pixels/4)
}

func TestImages(t *testing.T) {
	tr := newTree(t).jpeg("a.jpg", 40, 30).jpeg("sub/b.jpg", 30, 40).jpeg("sub/deep/c.jpeg", 64, 64).write("sub/notes.txt", "x")
	c := tr.config()
	for _, tt := range []struct {
		paths []string
		want  []string
	}{
		{[]string{"a.jpg"}, []string{"a.jpg"}},
		{[]string{"sub"}, []string{"sub/b.jpg", "sub/deep/c.jpeg"}},
		{[]string{"*.jpg", "sub/*"}, []string{"a.jpg", "sub/b.jpg"}},
		{[]string{"a.jpg", "a.jpg", "sub/b.jpg"}, []string{"a.jpg", "sub/b.jpg"}},
	} {
		var paths, want []string
		for _, p := range tt.paths {
			paths = append(paths, tr.path(p))
		}
		for _, w := range tt.want {
			want = append(want, filepath.ToSlash(tr.path(w)))
		}
		d, err := datamodule.Images(c, paths...)
		require.NoError(t, err)
		require.NoError(t, d.Setup(context.Background(), wildtrain.Test))
		var got []string
		for _, r := range d.Records(wildtrain.Test) {
			got = append(got, r.ID)
		}
		assert.Equal(t, want, got)
		samples, _ := walk(t, d, wildtrain.Test, wildtrain.Position{})
		assert.Len(t, samples, len(want))
	}
	d, err := datamodule.Images(c, tr.path("a.jpg"))
	require.NoError(t, err)
	require.NoError(t, d.Setup(context.Background(), wildtrain.Test))
	l, err := d.Loader(wildtrain.Test, wildtrain.Position{})
	require.NoError(t, err)
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		assert.Equal(t, [2]int{64, 64}, [2]int{b.Pixels.Height, b.Pixels.Width}, "48×64, to the stride")
	}
	_, err = datamodule.Images(c, tr.path("no.jpg"))
	assert.ErrorContains(t, err, "no.jpg")
	_, err = datamodule.Images(c, tr.path("*.png"))
	assert.ErrorIs(t, err, wildtrain.ErrEmpty)
	tr.write("bad.jpg", "x")
	d, err = datamodule.Images(c, tr.path("bad.jpg"))
	require.NoError(t, err)
	assert.ErrorContains(t, d.Setup(context.Background(), wildtrain.Test), "bad.jpg")
}

func TestLoaderNeedsSetup(t *testing.T) {
	d := open(t, small())
	_, err := d.Loader(wildtrain.Train, wildtrain.Position{})
	assert.ErrorContains(t, err, "has not been set up")
	require.NoError(t, d.Setup(context.Background(), wildtrain.Train))
	_, err = d.Loader(wildtrain.Train, wildtrain.Position{Rank: 2, World: 2})
	assert.ErrorContains(t, err, "impossible")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.ErrorIs(t, d.Setup(ctx, wildtrain.Val), context.Canceled)
}

// What Ultralytics' validation loader makes of four fixture pictures (EXIF,
// odd size, PNG, greyscale): shape, pixels within a level, boxes.
func TestEvaluationEqualsPeer(t *testing.T) {
	var want map[string]struct {
		Width, Height int
		Boxes         []struct {
			Name string
			Box  [4]float64
		}
	}
	data, err := os.ReadFile("testdata/peer_val.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &want))
	require.Len(t, want, 4)
	tr := newTree(t).write("data.yaml", "train: images\nval: images\nnames: [none, impala, zebra, giraffe, elephant, Waterbuck, termite mound]\n")
	for name := range want {
		stem := strings.TrimSuffix(name, filepath.Ext(name))
		tr.copy("images/"+name, "datasets/savanna/images/*/"+name)
		tr.copy("labels/"+stem+".txt", "framework_formats/yolo/savanna/labels/*/"+stem+".txt")
	}
	c := tr.config()
	c.ImageSize, c.Batch = 128, 1
	d := open(t, c, wildtrain.Val)
	l, err := d.Loader(wildtrain.Val, wildtrain.Position{})
	require.NoError(t, err)
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		name := filepath.Base(b.Samples[0].ID)
		w := want[name]
		require.Equal(t, [2]int{w.Height, w.Width}, [2]int{b.Pixels.Height, b.Pixels.Width}, name)
		far := 0
		for i, v := range readPNG(t, "testdata/peer_val_"+strings.TrimSuffix(name, filepath.Ext(name))+".png") {
			if diff := int(v) - int(b.Pixels.U8[i]); max(diff, -diff) > 1 {
				far++
			}
		}
		assert.Less(t, float64(far), 0.01*float64(len(b.Pixels.U8)), name)
		objects := b.Samples[0].Objects
		require.Len(t, objects, len(w.Boxes), name)
		for i, o := range objects {
			assert.Equal(t, w.Boxes[i].Name, d.Classes()[o.Class].Name)
			assert.InDeltaSlice(t, w.Boxes[i].Box[:], []float64{o.Box.X1, o.Box.Y1, o.Box.X2, o.Box.Y2}, 1e-3, name)
		}
		b.Release()
		delete(want, name)
	}
	assert.Empty(t, want, "all four were met")
}

func readPNG(t *testing.T, path string) (pix []byte) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	im, err := png.Decode(f)
	require.NoError(t, err)
	for y := range im.Bounds().Dy() {
		for x := range im.Bounds().Dx() {
			c := color.NRGBAModel.Convert(im.At(x, y)).(color.NRGBA)
			pix = append(pix, c.R, c.G, c.B)
		}
	}
	return pix
}
