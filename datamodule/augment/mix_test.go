package augment_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// plainImage is a picture of one level.
func plainImage(w, h int, v byte) wildtrain.Image {
	im := blank(w, h)
	for i := range im.U8 {
		im.U8[i] = v
	}
	return im
}

func TestCutMixCutsObjects(t *testing.T) {
	dst, second := plainImage(100, 100, 10), plainImage(100, 100, 200)
	j := augment.Join{CutMix: true, Cut: augment.Cut{X: 0.5, Y: 0, Width: 0.5, Height: 1}}
	first := []wildtrain.Object{
		{Class: 1, Box: wildtrain.BoxXYWH(10, 10, 20, 20)}, // untouched
		{Class: 2, Box: wildtrain.BoxXYWH(40, 10, 20, 20)}, // the right half is covered
		{Class: 3, Box: wildtrain.BoxXYWH(60, 10, 20, 20)}, // gone
	}
	more := []wildtrain.Object{
		{Class: 4, Box: wildtrain.BoxXYWH(70, 70, 20, 20)},
		{Class: 5, Box: wildtrain.BoxXYWH(40, 70, 20, 20), Area: 400},
		{Class: 6, Box: wildtrain.BoxXYWH(10, 70, 20, 20)}, // not in the part
	}
	got := j.Apply(dst, second, first, more, augment.Default().Limits())
	assert.Equal(t, []wildtrain.Object{
		first[0], {Class: 2, Box: wildtrain.BoxXYWH(40, 10, 10, 20)},
		more[0], {Class: 5, Box: wildtrain.BoxXYWH(50, 70, 10, 20), Area: 200},
	}, got)
	assert.Equal(t, byte(10), dst.U8[49*3])
	assert.Equal(t, byte(200), dst.U8[50*3])
	assert.InDelta(t, 0.5, j.Cut.Share(100, 100), 1e-9)
}

// The share of a cut is 1 − Beta(1, 1): uniform but for what sticks out.
func TestDrawCutStaysInside(t *testing.T) {
	sum := 0.0
	for i := range 2000 {
		c := augment.DrawCut(xrand.New(9, uint64(i)), 1)
		assert.GreaterOrEqual(t, min(c.X, c.Y), 0.0)
		assert.LessOrEqual(t, max(c.X+c.Width, c.Y+c.Height), 1+1e-12)
		sum += c.Width * c.Height
	}
	// E[share] = ∫₀¹ s·(E over centres) ds = ∫ s(1−√s/4)² ds = 0.33125
	assert.InDelta(t, 0.33125, sum/2000, 0.02)
}

func TestCopyPasteFollowsMasks(t *testing.T) {
	dst, second := plainImage(40, 40, 10), plainImage(40, 40, 200)
	triangle, err := rle.Polygon(40, 40, []float64{5, 5, 25, 5, 5, 25})
	require.NoError(t, err)
	o := wildtrain.Object{Class: 1, Box: wildtrain.BoxXYWH(5, 5, 20, 20), Mask: (*wildtrain.Mask)(triangle)}
	below, err := rle.Rectangle(40, 40, 20, 20, 10, 10)
	require.NoError(t, err)
	there := wildtrain.Object{Class: 2, Box: wildtrain.BoxXYWH(20, 20, 10, 10), Mask: (*wildtrain.Mask)(below)}
	got := augment.Join{CopyPaste: 1}.Apply(dst, second, []wildtrain.Object{there}, []wildtrain.Object{o, {Class: 3, Box: there.Box, Crowd: true}}, augment.Limits{})
	require.Len(t, got, 2, "crowds are not pasted")
	assert.Equal(t, 100, (*rle.Mask)(got[0].Mask).Area(), "the boxes touch, the silhouettes don't")
	for i, set := range triangle.Decode() {
		assert.Equal(t, map[byte]byte{0: 10, 1: 200}[set], dst.U8[3*i])
	}
	hidden := wildtrain.Object{Class: 4, Box: wildtrain.BoxXYWH(6, 6, 3, 3)}
	got = augment.Join{CopyPaste: 1}.Apply(dst, second, []wildtrain.Object{hidden}, []wildtrain.Object{o}, augment.Limits{})
	assert.Equal(t, []wildtrain.Object{hidden}, got, "nothing is pasted over what is there")
}

// Nine plain tiles of one size are a grid of three by three on the canvas.
func TestMosaicOfNine(t *testing.T) {
	const size = 60
	c := augment.Config{Mosaic9: 1}
	p := augment.Draw(xrand.New(3), c, size, false)
	require.Equal(t, 9, p.Tiles())
	p.CenterX, p.CenterY = 90, 90 // the middle of the canvas
	var tiles []augment.Tile
	for k := range 9 {
		im := plainImage(size/2, size/2, byte(20*k+10))
		tiles = append(tiles, augment.Tile{Image: im, Place: wildtrain.Identity, Objects: []wildtrain.Object{{Class: k, Box: wildtrain.Box{X2: size / 2, Y2: size / 2}}}})
	}
	dst := blank(size, size)
	objects, _, err := augment.Compose(dst, tiles, p, c, &augment.Scratch{})
	require.NoError(t, err)
	require.Len(t, objects, 9)
	for k, o := range objects {
		x, y := o.Box.Center()
		assert.Equal(t, byte(20*k+10), dst.U8[(int(y)*size+int(x))*3], "tile %d at %v", k, o.Box)
		assert.InDelta(t, 20, o.Box.Width(), 1e-9, "30 pixels of a canvas shown at two thirds")
	}
	order := []int{1, 2, 3, 4, 0, 5, 6, 7, 8}
	for cell, k := range order {
		assert.InDelta(t, float64(20*(cell%3)), objects[k].Box.X1, 1e-9)
		assert.InDelta(t, float64(20*(cell/3)), objects[k].Box.Y1, 1e-9)
	}
}

// A sample for a larger batch is the same sample, larger.
func TestComposeForAnotherSize(t *testing.T) {
	src := picture(t, "testdata/mosaic1.png")
	c := augment.Default()
	c.Mosaic = 0
	p := augment.Draw(xrand.New(5), c, 64, false)
	tile := augment.Tile{Image: src, Place: wildtrain.Identity, Objects: []wildtrain.Object{{Box: wildtrain.BoxXYWH(10, 20, 15, 15)}}}
	small, placeSmall, err := augment.Compose(blank(64, 64), []augment.Tile{tile}, p, c, &augment.Scratch{})
	require.NoError(t, err)
	large, placeLarge, err := augment.Compose(blank(96, 96), []augment.Tile{tile}, p, c, &augment.Scratch{})
	require.NoError(t, err)
	require.Len(t, small, 1)
	require.Len(t, large, 1)
	assert.InDelta(t, 1.5*small[0].Box.X1, large[0].Box.X1, 1e-9)
	assert.InDelta(t, 1.5*small[0].Box.Y2, large[0].Box.Y2, 1e-9)
	assert.InDelta(t, 1.5*placeSmall.A, placeLarge.A, 1e-9)
}

// A mosaic shows nothing of what its canvas held before, though only the part
// that is seen is drawn.
func TestMosaicOnAUsedCanvas(t *testing.T) {
	c := augment.Default()
	c.Degrees, c.Shear, c.Perspective = 180, 20, 0.0005
	var tiles []augment.Tile
	for k := range 4 {
		tiles = append(tiles, augment.Tile{Image: plainImage(64-4*k, 40+8*k, byte(50*k)), Place: wildtrain.Identity})
	}
	used := &augment.Scratch{}
	for seed := range uint64(300) {
		p := augment.Draw(xrand.New(seed), c, 64, false)
		want, got := blank(64, 64), blank(64, 64)
		_, _, err := augment.Compose(want, tiles, p, c, &augment.Scratch{})
		require.NoError(t, err)
		_, _, err = augment.Compose(got, tiles, p, c, used)
		require.NoError(t, err)
		require.Equal(t, want.U8, got.U8, "seed %d", seed)
	}
}
