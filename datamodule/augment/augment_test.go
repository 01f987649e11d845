package augment_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/color"
	"image/png"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

func picture(t testing.TB, path string) wildtrain.Image {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	src, err := png.Decode(f)
	require.NoError(t, err)
	b := src.Bounds()
	out := blank(b.Dx(), b.Dy())
	for y := range b.Dy() {
		for x := range b.Dx() {
			c := color.NRGBAModel.Convert(src.At(x, y)).(color.NRGBA)
			copy(out.U8[(y*b.Dx()+x)*3:], []byte{c.R, c.G, c.B})
		}
	}
	return out
}

func blank(w, h int) wildtrain.Image {
	return wildtrain.Image{Width: w, Height: h, Channels: 3, U8: make([]byte, w*h*3)}
}

func worst(a, b []byte) int {
	out := 0
	for i := range a {
		d := int(a[i]) - int(b[i])
		out = max(out, d, -d)
	}
	return out
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, v))
}

func TestHSVEqualsOpenCV(t *testing.T) {
	var cases []struct{ Hue, Saturation, Value float64 }
	readJSON(t, "testdata/hsv.json", &cases)
	require.Len(t, cases, 4)
	for i, c := range cases {
		got := picture(t, "testdata/colours.png")
		augment.HSV(got.U8, c.Hue, c.Saturation, c.Value)
		if c == cases[0] {
			// No change at all: OpenCV's way to HSV and back would lose up to some levels.
			assert.Equal(t, picture(t, "testdata/colours.png").U8, got.U8)
			continue
		}
		assert.LessOrEqual(t, worst(got.U8, picture(t, fmt.Sprintf("testdata/hsv%d.golden.png", i)).U8), 1, "%+v", c)
	}
}

// The vector code must give what the plain code gives, bit by bit, and touch
// nothing beside its pixels.
func TestHSVVectorsEqualPlainCode(t *testing.T) {
	if !augment.Vectors() {
		t.Skip("no vector code for this processor")
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 400).Draw(t, "pixels")
		r := xrand.New(rapid.Uint64().Draw(t, "seed"))
		got := make([]byte, 3*n, 3*n+8)
		for i := range got {
			got[i] = byte(r.Uint64())
			if i%3 > 0 && r.Bernoulli(0.2) {
				got[i] = got[i-1] // greys and ties
			}
		}
		want := slices.Clone(got)
		beyond := got[3*n : 3*n+8]
		copy(beyond, "guarding")
		hue, sat, val := rapid.Float64Range(-1, 1).Draw(t, "hue"), rapid.Float64Range(0, 2.5).Draw(t, "saturation"), rapid.Float64Range(0, 2.5).Draw(t, "value")
		augment.HSV(got, hue, sat, val)
		restore := augment.SetVectors(false)
		defer restore()
		augment.HSV(want, hue, sat, val)
		if !bytes.Equal(want, got) {
			t.Fatal("the vector code differs")
		}
		if string(beyond) != "guarding" {
			t.Fatal("the vector code writes beyond its pixels")
		}
	})
}

func TestLetterboxEqualsOpenCV(t *testing.T) {
	src := picture(t, "testdata/letterbox.png")
	for _, size := range [][2]int{{64, 64}, {128, 128}, {96, 64}, {64, 97}} {
		want := picture(t, fmt.Sprintf("testdata/letterbox_%dx%d.golden.png", size[0], size[1]))
		w, h := augment.Fit(src.Width, src.Height, size[0], size[1])
		scaled, got := blank(w, h), blank(size[0], size[1])
		require.NoError(t, resample.Linear(scaled, src))
		place := augment.Letterbox(got, scaled)
		assert.LessOrEqual(t, worst(got.U8, want.U8), 1, "%v", size)
		box := wildtrain.Scaling(float64(w)/90, float64(h)/52).Then(place).Box(wildtrain.Box{X2: 90, Y2: 52})
		left, top := float64((size[0]-w)/2), float64((size[1]-h)/2)
		assert.Equal(t, wildtrain.Box{X1: left, Y1: top, X2: left + float64(w), Y2: top + float64(h)}, box)
	}
}

func TestMosaicEqualsOpenCV(t *testing.T) {
	var c struct {
		Size, X, Y int
		Matrix     [9]float64
	}
	readJSON(t, "testdata/mosaic.json", &c)
	var tiles []augment.Tile
	for k := range 4 {
		im := picture(t, fmt.Sprintf("testdata/mosaic%d.png", k))
		whole := wildtrain.Object{Class: k, Box: wildtrain.Box{X2: float64(im.Width), Y2: float64(im.Height)}}
		tiles = append(tiles, augment.Tile{Image: im, Place: wildtrain.Identity, Objects: []wildtrain.Object{whole}})
	}
	got := blank(c.Size, c.Size)
	p := augment.Params{Mosaic: true, CenterX: c.X, CenterY: c.Y, Warp: c.Matrix, Sat: 1, Val: 1, FlipLR: true}
	objects, place, err := augment.Compose(got, tiles, p, augment.Default(), &augment.Scratch{})
	require.NoError(t, err)
	assert.LessOrEqual(t, worst(got.U8, picture(t, "testdata/mosaic.golden.png").U8), 1)
	require.Len(t, objects, 4)
	assert.Equal(t, 0, objects[0].Class)
	// The first tile's inner corner is the mosaic's centre, wherever that goes.
	x, y := place.Apply(float64(tiles[0].Image.Width), float64(tiles[0].Image.Height))
	u, v, _ := resample.Homography(c.Matrix).Apply(float64(c.X), float64(c.Y))
	assert.InDelta(t, float64(c.Size)-u, x, 1e-9)
	assert.InDelta(t, v, y, 1e-9)
}

// The box of the warped silhouette must be the warped box, within a pixel:
// pixels and boxes go through one map.
func TestBoxFollowsPixels(t *testing.T) {
	const size = 64
	rapid.Check(t, func(t *rapid.T) {
		im := blank(rapid.IntRange(30, size).Draw(t, "w"), size)
		w := rapid.IntRange(8, im.Width-2).Draw(t, "bw")
		h := rapid.IntRange(8, 40).Draw(t, "bh")
		x, y := rapid.IntRange(0, im.Width-w).Draw(t, "bx"), rapid.IntRange(0, size-h).Draw(t, "by")
		for yy := y; yy < y+h; yy++ {
			for i := (yy*im.Width + x) * 3; i < (yy*im.Width+x+w)*3; i++ {
				im.U8[i] = 255
			}
		}
		c := augment.Default()
		c.HSV, c.MixUp, c.Mosaic, c.MinVisible = 0, 0, 0, 0.999 // wholly visible boxes only
		c.FlipUD = 0.5
		p := augment.Draw(xrand.New(rapid.Uint64().Draw(t, "seed")), c, size, false)
		// The mask is the original's, twice as large as the tile.
		mask, err := rle.Rectangle(2*im.Height, 2*im.Width, 2*float64(x), 2*float64(y), 2*float64(w), 2*float64(h))
		require.NoError(t, err)
		box := wildtrain.BoxXYWH(float64(x), float64(y), float64(w), float64(h))
		tile := augment.Tile{Image: im, Place: wildtrain.Scaling(0.5, 0.5), Objects: []wildtrain.Object{{Box: box}, {Box: box, Mask: (*wildtrain.Mask)(mask)}}}
		dst := blank(size, size)
		objects, place, err := augment.Compose(dst, []augment.Tile{tile}, p, c, &augment.Scratch{})
		require.NoError(t, err)
		if len(objects) == 0 {
			return
		}
		require.Len(t, objects, 2)
		seen := brightBox(dst)
		mx, my, mw, mh := (*rle.Mask)(objects[1].Mask).Box()
		for _, box := range []wildtrain.Box{objects[0].Box, objects[1].Box, wildtrain.BoxXYWH(float64(mx), float64(my), float64(mw), float64(mh))} {
			for _, d := range []float64{box.X1 - seen.X1, box.Y1 - seen.Y1, box.X2 - seen.X2, box.Y2 - seen.Y2} {
				if math.Abs(d) > 1 {
					t.Fatalf("box %v, silhouette %v", box, seen)
				}
			}
		}
		inv, err := place.Inverse()
		require.NoError(t, err)
		back := wildtrain.Scaling(0.5, 0.5).Box(inv.Box(objects[0].Box))
		if back.IoU(box) < 0.999 {
			t.Fatalf("back through the inverse of Place: %v, was %v", back, box)
		}
	})
}

// brightBox is the box of all pixels brighter than halfway between grey and white.
func brightBox(im wildtrain.Image) wildtrain.Box {
	b := wildtrain.Box{X1: math.Inf(1), Y1: math.Inf(1), X2: math.Inf(-1), Y2: math.Inf(-1)}
	for y := range im.Height {
		for x := range im.Width {
			if im.U8[(y*im.Width+x)*3] > (255+augment.Pad)/2 {
				b.X1, b.Y1 = min(b.X1, float64(x)), min(b.Y1, float64(y))
				b.X2, b.Y2 = max(b.X2, float64(x+1)), max(b.Y2, float64(y+1))
			}
		}
	}
	return b
}

func TestFilterAfterWarp(t *testing.T) {
	c := augment.Default()
	im := blank(100, 100)
	shift := func(dx, dy float64) augment.Params {
		return augment.Params{Sat: 1, Val: 1, Warp: resample.FromAffine(wildtrain.Translation(dx, dy))}
	}
	tests := []struct {
		name string
		box  wildtrain.Box
		p    augment.Params
		kept bool
	}{
		{"inside", wildtrain.BoxXYWH(10, 10, 20, 20), shift(0, 0), true},
		{"two pixels wide", wildtrain.BoxXYWH(10, 10, 2, 20), shift(0, 0), false},
		{"a little wider", wildtrain.BoxXYWH(10, 10, 2.1, 20), shift(0, 0), true},
		{"a tenth left", wildtrain.BoxXYWH(0, 10, 50, 20), shift(-45, 0), false},
		{"more than a tenth left", wildtrain.BoxXYWH(0, 10, 50, 20), shift(-44.9, 0), true},
		{"gone", wildtrain.BoxXYWH(0, 10, 50, 20), shift(-60, 0), false},
	}
	for _, tt := range tests {
		tile := augment.Tile{Image: im, Place: wildtrain.Identity, Objects: []wildtrain.Object{{Box: tt.box}}}
		objects, _, err := augment.Compose(blank(100, 100), []augment.Tile{tile}, tt.p, c, &augment.Scratch{})
		require.NoError(t, err)
		assert.Equal(t, tt.kept, len(objects) == 1, tt.name)
	}
	c.MaxAspect = 5
	tile := augment.Tile{Image: im, Place: wildtrain.Identity, Objects: []wildtrain.Object{{Box: wildtrain.BoxXYWH(0, 0, 50, 10)}}}
	objects, _, err := augment.Compose(blank(100, 100), []augment.Tile{tile}, shift(0, 0), c, &augment.Scratch{})
	require.NoError(t, err)
	assert.Empty(t, objects, "as long as the limit")
}

// With everything at zero a sample is the letterboxed picture.
func TestZeroMeansZero(t *testing.T) {
	src := picture(t, "testdata/mosaic1.png")
	p := augment.Draw(xrand.New(7), augment.Config{}, 64, false)
	got, want := blank(64, 64), blank(64, 64)
	tile := augment.Tile{Image: src, Place: wildtrain.Identity, Objects: []wildtrain.Object{{Box: wildtrain.Box{X2: 1, Y2: 1}}}}
	objects, place, err := augment.Compose(got, []augment.Tile{tile}, p, augment.Config{}, &augment.Scratch{})
	require.NoError(t, err)
	assert.Equal(t, augment.Letterbox(want, src), place)
	assert.Equal(t, want.U8, got.U8)
	require.Len(t, objects, 1, "not even the filter is on")
}

func TestDrawnParametersStayInRange(t *testing.T) {
	c := augment.Default()
	c.Degrees, c.Shear, c.MixUp = 10, 5, 1
	var mosaics, flips int
	const n = 2000
	for i := range n {
		p := augment.Draw(xrand.New(1, uint64(i)), c, 640, i%2 == 1)
		if p.Mosaic {
			mosaics++
			assert.GreaterOrEqual(t, p.CenterX, 320)
			assert.LessOrEqual(t, p.CenterX, 960)
		}
		if p.FlipLR {
			flips++
		}
		assert.Equal(t, i%2 == 0, p.Join.MixUp)
		assert.LessOrEqual(t, math.Abs(p.Hue), c.HSVH)
		assert.InDelta(t, 1, p.Sat, c.HSVS)
		assert.InDelta(t, 1, p.Val, c.HSVV)
		side := 640.0
		if p.Mosaic {
			side = 1280
		}
		x, y, ok := p.Warp.Apply(side/2, side/2)
		require.True(t, ok)
		assert.InDelta(t, 320, x, 64.001)
		assert.InDelta(t, 320, y, 64.001)
		m, affine := p.Warp.Affine()
		require.True(t, affine)
		det := m.A*m.E - m.B*m.D
		shear := math.Tan(5 * math.Pi / 180)
		assert.Greater(t, det, 0.25*(1-shear*shear)-1e-9)
		assert.Less(t, det, 2.25*(1+shear*shear)+1e-9)
	}
	assert.Equal(t, n/2, mosaics, "none once mosaics are closed")
	assert.InDelta(t, n/2, flips, 4*math.Sqrt(n/4))
}

func TestPerspectiveKeepsBoxesOnTheirPixels(t *testing.T) {
	im := blank(64, 64)
	for y := 20; y < 44; y++ {
		for i := (y*64 + 16) * 3; i < (y*64+40)*3; i++ {
			im.U8[i] = 255
		}
	}
	h := resample.FromAffine(wildtrain.Translation(-32, -32)).Then(resample.Homography{1, 0, 0, 0, 1, 0, 0.003, -0.002, 1}).Then(resample.FromAffine(wildtrain.Translation(32, 32)))
	tile := augment.Tile{Image: im, Place: wildtrain.Identity, Objects: []wildtrain.Object{{Box: wildtrain.BoxXYWH(16, 20, 24, 24)}}}
	dst := blank(64, 64)
	objects, place, err := augment.Compose(dst, []augment.Tile{tile}, augment.Params{Warp: h, Sat: 1, Val: 1}, augment.Default(), &augment.Scratch{})
	require.NoError(t, err)
	require.Len(t, objects, 1)
	seen := brightBox(dst)
	for _, d := range []float64{objects[0].Box.X1 - seen.X1, objects[0].Box.Y1 - seen.Y1, objects[0].Box.X2 - seen.X2, objects[0].Box.Y2 - seen.Y2} {
		assert.LessOrEqual(t, math.Abs(d), 1.0)
	}
	_, err = place.Inverse()
	assert.NoError(t, err)
}

func TestBlend(t *testing.T) {
	a, b := []byte{0, 100, 255}, []byte{255, 50, 255}
	augment.Blend(a, b, 0.25)
	assert.Equal(t, []byte{191, 63, 255}, a)
}

func TestValidateNamesEveryProblem(t *testing.T) {
	require.NoError(t, augment.Default().Validate())
	require.NoError(t, augment.Config{}.Validate())
	c := augment.Default()
	c.Mosaic, c.Scale, c.Degrees, c.HSVH, c.CloseMosaic = 1.5, 1, math.NaN(), -0.1, -1
	err := c.Validate()
	for _, key := range []string{"mosaic is 1.5", "scale is 1", "degrees is NaN", "hsv_h is -0.1", "close_mosaic is -1"} {
		assert.ErrorContains(t, err, key)
	}
}

func BenchmarkHSV(b *testing.B) {
	im := blank(640, 640)
	for i := range im.U8 {
		im.U8[i] = byte(i * 37 >> 2)
	}
	for b.Loop() {
		augment.HSV(im.U8, 0.01, 1.2, 0.9)
	}
}

func BenchmarkMosaic(b *testing.B) {
	var tiles []augment.Tile
	for range 4 {
		tiles = append(tiles, augment.Tile{Image: blank(640, 480), Place: wildtrain.Identity})
	}
	dst, s := blank(640, 640), &augment.Scratch{}
	i := uint64(0)
	for b.Loop() {
		i++
		p := augment.Draw(xrand.New(i), augment.Default(), 640, false)
		if _, _, err := augment.Compose(dst, tiles, p, augment.Default(), s); err != nil {
			b.Fatal(err)
		}
	}
}
