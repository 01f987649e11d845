package datamodule_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

// The fixture has one leak (see its README), and pictures of one kind everywhere.
func TestTheLeakOfTheFixture(t *testing.T) {
	d := open(t, small()) // both datasets: tiles lie in the splits of their pictures
	leaks, err := datamodule.FindLeaks(context.Background(), pictures(t, d), datamodule.DefaultLeakOptions())
	require.NoError(t, err)
	require.Len(t, leaks, 1, "%v", leaks)
	l := leaks[0]
	assert.Equal(t, datamodule.NearDuplicate, l.Kind)
	assert.Equal(t, datamodule.Place{Split: "train", ID: "savanna/images/train/flight06_0006.jpg", Path: filepath.Join(fixture, "datasets/savanna/images/train/flight06_0006.jpg")}, l.A)
	assert.Equal(t, "savanna/images/test/flight09_0007.jpg", l.B.ID)
	assert.Contains(t, l.String(), "show the same")
}

// Grouped by what they show, the two pictures of the leak stay together.
func TestByLooks(t *testing.T) {
	d, splits := savanna(t)
	var records []datamodule.Record
	for _, name := range []string{"flight06_0006.jpg", "flight06_0007.jpg", "flight07_0001.jpg", "flight09_0007.jpg", "flight09_0006.jpg"} {
		for _, s := range splits {
			if r, there := byBase(s.Records)[name]; there {
				records = append(records, r)
			}
		}
	}
	require.Len(t, records, 5)
	by, err := datamodule.ByLooks(context.Background(), records, datamodule.DefaultLeakOptions())
	require.NoError(t, err)
	keys := map[string]int{}
	for _, r := range records {
		k, err := by(r)
		require.NoError(t, err)
		keys[k]++
	}
	assert.Len(t, keys, 4)
	assert.Equal(t, 2, keys[records[0].Path])
	for seed := range uint64(5) {
		made, err := datamodule.MakeSplits(records, d.Classes(), datamodule.SplitConfig{Train: 1, Val: 1, Group: []datamodule.Grouping{by}, Seed: seed})
		require.NoError(t, err)
		leaks, err := datamodule.FindLeaks(context.Background(), made, datamodule.DefaultLeakOptions())
		require.NoError(t, err)
		assert.Empty(t, leaks)
	}
	_, err = by(splits[0].Records[0])
	assert.ErrorContains(t, err, "was not looked at")
}

func TestTilesOfOnePicture(t *testing.T) {
	_, splits := savanna(t)
	splits = splits[1:] // without the near duplicate
	few := []datamodule.Split{{Name: "train", Records: splits[0].Records[:3]}, {Name: "val", Records: splits[1].Records[:3]}}
	renamed := func(split, i int, name string) {
		// The picture is still read from where it was.
		few[split].Records[i].Path = filepath.Join("x", few[split].Name, name)
	}
	renamed(0, 0, "p_tile_0_0_0.jpg")
	renamed(0, 1, "p_tile_1_320_0.jpg")
	renamed(0, 2, "DJI_0001.jpg")
	renamed(1, 0, "p_tile_2_0_320.jpg")
	renamed(1, 1, "p_augmented_3.jpg")
	renamed(1, 2, "DJI_0001.jpg") // another picture of the same name
	leaks, err := datamodule.FindLeaks(context.Background(), few, datamodule.DefaultLeakOptions())
	require.NoError(t, err)
	require.Len(t, leaks, 1, "%v", leaks)
	assert.Equal(t, datamodule.SameSource, leaks[0].Kind)
	assert.Equal(t, [2]any{"p", 4}, [2]any{leaks[0].Source, leaks[0].Pairs})
	assert.Contains(t, leaks[0].String(), "come from one picture, p (4 such pairs)")

	_, err = datamodule.FindLeaks(context.Background(), few, datamodule.LeakOptions{Distance: 16})
	assert.ErrorContains(t, err, "distance is 16")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = datamodule.FindLeaks(ctx, few, datamodule.DefaultLeakOptions())
	assert.ErrorIs(t, err, context.Canceled)
}

func TestSourceName(t *testing.T) {
	for name, want := range map[string]string{
		"a/flight01_0003_tile_4_320_320.jpg": "flight01_0003", "x_augmented_2.png": "x", "x_augmented_2_tile_0_0_0.jpg": "x",
		"x_tile_0_0.jpg": "x_tile_0_0", "tile_1_2_3.jpg": "tile_1_2_3", "DJI.0001.JPG": "DJI.0001",
	} {
		assert.Equal(t, want, datamodule.SourceName(name), name)
	}
}

// scene is a picture of soft blobs.
func scene(t *rapid.T, w, h int) wildtrain.Image {
	type blob struct{ x, y, size, height float64 }
	blobs := make([]blob, rapid.IntRange(6, 20).Draw(t, "blobs"))
	share := rapid.Float64Range(0, 1)
	for i := range blobs {
		blobs[i] = blob{share.Draw(t, "x"), share.Draw(t, "y"), 0.05 + 0.3*share.Draw(t, "size"), 160*share.Draw(t, "height") - 80}
	}
	im := wildtrain.Image{Width: w, Height: h, Channels: 3, U8: make([]byte, 3*w*h)}
	for y := range h {
		for x := range w {
			v := 120.0
			for _, b := range blobs {
				dx, dy := (float64(x)+.5)/float64(w)-b.x, (float64(y)+.5)/float64(h)-b.y
				v += b.height * math.Exp(-(dx*dx+dy*dy)/(b.size*b.size))
			}
			for c := range 3 {
				im.U8[3*(y*w+x)+c] = byte(min(max(v, 0), 255))
			}
		}
	}
	return im
}

// A copy in another size, brightness and compression is near; the negative is far.
func TestPerceptualHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		im := scene(t, 96, 64)
		a, ok := datamodule.PerceptualHash(im)
		if !ok {
			t.Skip("no contrast")
		}
		rgba := image.NewRGBA(image.Rect(0, 0, 96, 64))
		negative := im
		negative.U8 = make([]byte, len(im.U8))
		for i := range 96 * 64 {
			v := im.U8[3*i]
			negative.U8[3*i], negative.U8[3*i+1], negative.U8[3*i+2] = 255-v, 255-v, 255-v
			bright := uint8(min(int(v)*103/100, 255))
			rgba.SetRGBA(i%96, i/96, color.RGBA{bright, bright, bright, 255})
		}
		var buf bytes.Buffer
		if err := jpeg.Encode(&buf, rgba, &jpeg.Options{Quality: 85}); err != nil {
			t.Fatal(err)
		}
		decoded, err := jpeg.Decode(&buf)
		if err != nil {
			t.Fatal(err)
		}
		copied := wildtrain.Image{Width: 96, Height: 64, Channels: 1, U8: make([]byte, 96*64)}
		for i := range copied.U8 {
			copied.U8[i] = color.GrayModel.Convert(decoded.At(i%96, i/96)).(color.Gray).Y
		}
		b, _ := datamodule.PerceptualHash(copied)
		c, _ := datamodule.PerceptualHash(negative)
		if near := onesOf(a ^ b); near > 10 {
			t.Fatalf("%d bits differ in a copy", near)
		}
		if far := onesOf(a ^ c); far < 50 {
			t.Fatalf("%d bits differ in the negative", far)
		}
	})
	_, ok := datamodule.PerceptualHash(wildtrain.Image{Width: 1, Height: 1, Channels: 3, U8: []byte{1, 2, 3}})
	assert.False(t, ok, "a picture of one colour has no hash")
}

func onesOf(v uint64) (n int) {
	for ; v > 0; v &= v - 1 {
		n++
	}
	return n
}

func TestMeasurePixels(t *testing.T) {
	data, err := os.ReadFile("testdata/pixel_statistics.json")
	require.NoError(t, err)
	var golden struct {
		Pictures  int
		Pixels    int64
		Mean, Std []float64
	}
	require.NoError(t, json.Unmarshal(data, &golden))
	_, splits := savanna(t)
	got, err := datamodule.MeasurePixels(context.Background(), splits[2:], 0)
	require.NoError(t, err)
	assert.Equal(t, golden.Pixels, got.Pixels)
	assert.Equal(t, golden.Pictures, got.Pictures)
	assert.InDeltaSlice(t, golden.Mean, got.Mean[:], 2e-4, "decoders may differ by a grey level here and there")
	assert.InDeltaSlice(t, golden.Std, got.Std[:], 2e-4)

	// Two pictures of different size: pixels count, not pictures. By hand:
	// red 0, 0, 255, 51 has mean 76.5 and variance (2·76.5² + 178.5² + 25.5²) / 4.
	tr := newTree(t)
	for name, reds := range map[string][]uint8{"a.png": {0, 0, 255}, "b.png": {51}} {
		im := image.NewNRGBA(image.Rect(0, 0, len(reds), 1))
		for x, r := range reds {
			im.SetNRGBA(x, 0, color.NRGBA{r, 7, 0, 255})
		}
		var buf bytes.Buffer
		require.NoError(t, png.Encode(&buf, im))
		tr.write(name, buf.String())
	}
	by := []datamodule.Split{{Name: "train", Records: []datamodule.Record{{Path: tr.path("a.png")}, {Path: tr.path("b.png")}}}}
	got, err = datamodule.MeasurePixels(context.Background(), by, 0)
	require.NoError(t, err)
	assert.Equal(t, int64(4), got.Pixels)
	assert.Equal(t, [3]float64{76.5 / 255, 7.0 / 255, 0}, got.Mean)
	assert.InDelta(t, math.Sqrt((2*76.5*76.5+178.5*178.5+25.5*25.5)/4)/255, got.Std[0], 1e-15)
	assert.Equal(t, [2]float64{}, [2]float64{got.Std[1], got.Std[2]}, "no rounding makes a spread")

	_, err = datamodule.MeasurePixels(context.Background(), by, 2)
	assert.ErrorContains(t, err, "too large")
	got, err = datamodule.MeasurePixels(context.Background(), nil, 0)
	require.NoError(t, err)
	assert.Zero(t, got)
}

func TestSummarize(t *testing.T) {
	d, splits := savanna(t)
	want := readCounts(t)["savanna"].Splits
	for _, s := range splits {
		got, w := datamodule.Summarize(d.Classes(), s), want[s.Name]
		assert.Equal(t, [4]int{w.Images, w.Negatives, w.Boxes, w.Crowd}, [4]int{got.Images, got.Negatives, got.Boxes, got.Crowd})
		binned := 0
		for _, b := range got.BoxSizes {
			binned += b.Boxes
		}
		assert.Equal(t, w.Boxes, binned)
		for _, c := range got.Classes {
			assert.Equal(t, w.PerClass[c.Name], c.Boxes, c.Name)
		}
		for _, size := range got.ImageSizes {
			assert.Equal(t, w.Sizes[sizeName(size)], size.Images)
		}
		assert.Len(t, got.ImageSizes, len(w.Sizes))
		assert.Equal(t, 800, got.ImageSizes[0].Width, "the most frequent first")
	}
	box := func(x, w, h float64) wildtrain.Object { return wildtrain.Object{Box: wildtrain.BoxXYWH(x, 0, w, h)} }
	got := datamodule.Summarize([]wildtrain.Class{{Name: "a"}, {Name: "b"}}, datamodule.Split{Records: []datamodule.Record{
		{Width: 100, Height: 100, Objects: []wildtrain.Object{box(0, 32, 32), box(0, 16, 64), box(0, 3, 3), box(-20, 30, 10), box(0, 600, 600)}},
	}})
	bins := map[float64]int{}
	for _, b := range got.BoxSizes {
		if b.Boxes > 0 {
			bins[b.From] = b.Boxes
		}
	}
	assert.Equal(t, map[float64]int{0: 1, 16: 1, 32: 2, 512: 1}, bins, "a side on a border begins its bin")
	assert.Equal(t, [2]int{2, 2}, [2]int{got.BoxesOutside, got.BoxesCutInto})
	assert.Equal(t, []datamodule.ClassCount{{Name: "a", Boxes: 5, Images: 1}, {Name: "b"}}, got.Classes)
	assert.Equal(t, [4]float64{3, 600, 0.25, 3}, [4]float64{got.SmallestBox, got.LargestBox, got.NarrowestBox, got.FlattestBox})
}

func sizeName(s datamodule.ImageSize) string { return fmt.Sprintf("%dx%d", s.Width, s.Height) }
