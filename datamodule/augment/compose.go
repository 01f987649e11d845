package augment

import (
	"math"

	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/wildtrain"
)

// Tile is a picture that goes into a sample, with its objects.
type Tile struct {
	Image   wildtrain.Image    // U8, three channels; only read
	Objects []wildtrain.Object // in the tile's coordinates; only read
	Place   wildtrain.Affine   // from the original's coordinates to the tile's
}

// Letterbox puts a picture, already scaled to fit, into the middle of dst, grey
// around it, and returns the map from the picture's coordinates to dst's.
func Letterbox(dst, src wildtrain.Image) wildtrain.Affine {
	left, top := (dst.Width-src.Width)/2, (dst.Height-src.Height)/2
	grey(dst.U8)
	paste(dst, src, left, top)
	return wildtrain.Translation(float64(left), float64(top))
}

// Fit is the size of a width×height picture scaled to fit into maxW×maxH with
// its proportions kept; fractions of a pixel round up, as in the field's loaders.
func Fit(width, height, maxW, maxH int) (w, h int) {
	r := min(float64(maxW)/float64(width), float64(maxH)/float64(height))
	side := func(n, limit int) int {
		return max(1, min(int(math.Ceil(float64(n)*r-1e-9)), limit))
	}
	return side(width, maxW), side(height, maxH)
}

// paste copies the part of src that lies inside dst when src's corner is at (left, top).
func paste(dst, src wildtrain.Image, left, top int) {
	x0, x1 := max(left, 0), min(left+src.Width, dst.Width)
	if x0 >= x1 {
		return
	}
	for y := max(top, 0); y < min(top+src.Height, dst.Height); y++ {
		d := dst.U8[(y*dst.Width+x0)*3 : (y*dst.Width+x1)*3]
		copy(d, src.U8[((y-top)*src.Width+x0-left)*3:])
	}
}

func grey(b []byte) {
	if len(b) == 0 {
		return
	}
	b[0] = Pad
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// Scratch holds the buffer that a mosaic is put together in. One goroutine uses it.
type Scratch struct{ canvas []byte }

func (s *Scratch) image(size int) wildtrain.Image {
	n := size * size * 3
	if cap(s.canvas) < n {
		s.canvas = make([]byte, n)
	}
	return wildtrain.Image{Width: size, Height: size, Channels: 3, U8: s.canvas[:n]}
}

// Compose makes one training sample in dst, which is square, of one tile or,
// for a mosaic, of four. It returns the objects that remain, in dst's
// coordinates, and the map from the first tile's original to dst (without the
// perspective part, which is no affine map).
func Compose(dst wildtrain.Image, tiles []Tile, p Params, c Config, s *Scratch) ([]wildtrain.Object, wildtrain.Affine, error) {
	size := dst.Width
	h := p.Warp
	var objects []wildtrain.Object
	var place wildtrain.Affine
	if p.Mosaic {
		canvas := s.image(2 * size)
		grey(canvas.U8)
		for k, t := range tiles[:4] {
			at := mosaicPlace(k, t.Image, p)
			paste(canvas, t.Image, int(at.C), int(at.F))
			objects = append(objects, moveAll(t.Objects, resample.FromAffine(at), h, 2*size, size, c)...)
		}
		place = tiles[0].Place.Then(mosaicPlace(0, tiles[0].Image, p))
		if err := resample.Perspective(dst, canvas, h, Pad); err != nil {
			return nil, place, err
		}
	} else {
		t := tiles[0]
		at := wildtrain.Translation(float64((size-t.Image.Width)/2), float64((size-t.Image.Height)/2))
		place = t.Place.Then(at)
		objects = moveAll(t.Objects, resample.FromAffine(at), h, size, size, c)
		if err := warpTile(dst, t.Image, at, h); err != nil {
			return nil, place, err
		}
	}
	place = place.Then(affinePart(h))
	HSV(dst.U8, p.Hue, p.Sat, p.Val)
	return objects, flip(dst, objects, place, p), nil
}

// warpTile skips the warp where nothing but a shift by whole pixels is left of it.
func warpTile(dst, src wildtrain.Image, at wildtrain.Affine, h resample.Homography) error {
	if m, ok := h.Affine(); ok && m == wildtrain.Identity {
		Letterbox(dst, src)
		return nil
	}
	return resample.Perspective(dst, src, resample.FromAffine(at).Then(h), Pad)
}

// mosaicPlace puts tile k (top left, top right, bottom left, bottom right) so
// that its inner corner lies on the mosaic's centre.
func mosaicPlace(k int, im wildtrain.Image, p Params) wildtrain.Affine {
	x, y := p.CenterX, p.CenterY
	if k%2 == 0 {
		x -= im.Width
	}
	if k < 2 {
		y -= im.Height
	}
	return wildtrain.Translation(float64(x), float64(y))
}

// affinePart is the affine map that agrees with h to first order at the origin of h's canvas.
func affinePart(h resample.Homography) wildtrain.Affine {
	if m, ok := h.Affine(); ok {
		return m
	}
	w := h[8]
	x, y := h[2]/w, h[5]/w
	return wildtrain.Affine{
		A: (h[0] - x*h[6]) / w, B: (h[1] - x*h[7]) / w, C: x,
		D: (h[3] - y*h[6]) / w, E: (h[4] - y*h[7]) / w, F: y,
	}
}

// moveAll carries objects of a tile over the canvas into the sample and drops
// those of which too little is left.
func moveAll(objects []wildtrain.Object, at, h resample.Homography, canvas, size int, c Config) []wildtrain.Object {
	var out []wildtrain.Object
	for _, o := range objects {
		onCanvas, ok := mapBox(o.Box, at)
		if !ok {
			continue
		}
		whole, ok := mapBox(onCanvas, h)
		if !ok {
			continue
		}
		cut := onCanvas.Clip(canvas, canvas)
		if cut.Area() <= 0 {
			continue
		}
		seen, ok := mapBox(cut, h)
		if !ok {
			continue
		}
		seen = seen.Clip(size, size)
		if !c.keeps(whole, seen) {
			continue
		}
		o.Area *= seen.Area() / o.Box.Area() // the share of the silhouette is not known better
		o.Box, o.Mask = seen, nil
		out = append(out, o)
	}
	return out
}

// keeps is the filter after a warp: whole is the moved box, seen what is left of it in the picture.
func (c Config) keeps(whole, seen wildtrain.Box) bool {
	w, h := seen.Width(), seen.Height()
	if !seen.Finite() || w <= c.MinSide || h <= c.MinSide || w <= 0 || h <= 0 {
		return false
	}
	if c.MaxAspect > 0 && max(w/h, h/w) >= c.MaxAspect {
		return false
	}
	return seen.Area() > c.MinVisible*whole.Area()
}

// mapBox is the box around the mapped corners; ok is false behind the horizon.
func mapBox(b wildtrain.Box, h resample.Homography) (out wildtrain.Box, ok bool) {
	if m, affine := h.Affine(); affine {
		return m.Box(b), true
	}
	out = wildtrain.Box{X1: math.Inf(1), Y1: math.Inf(1), X2: math.Inf(-1), Y2: math.Inf(-1)}
	for _, p := range [4][2]float64{{b.X1, b.Y1}, {b.X2, b.Y1}, {b.X2, b.Y2}, {b.X1, b.Y2}} {
		x, y, ok := h.Apply(p[0], p[1])
		if !ok {
			return out, false
		}
		out = wildtrain.Box{X1: min(out.X1, x), Y1: min(out.Y1, y), X2: max(out.X2, x), Y2: max(out.Y2, y)}
	}
	return out, true
}

// flip mirrors pixels and objects in place and returns the map that includes it.
func flip(im wildtrain.Image, objects []wildtrain.Object, place wildtrain.Affine, p Params) wildtrain.Affine {
	w, h := float64(im.Width), float64(im.Height)
	if p.FlipLR {
		mirrorRows(im)
		for i := range objects {
			b := &objects[i].Box
			b.X1, b.X2 = w-b.X2, w-b.X1
		}
		place = place.Then(wildtrain.Affine{A: -1, C: w, E: 1})
	}
	if p.FlipUD {
		swapRows(im)
		for i := range objects {
			b := &objects[i].Box
			b.Y1, b.Y2 = h-b.Y2, h-b.Y1
		}
		place = place.Then(wildtrain.Affine{A: 1, E: -1, F: h})
	}
	return place
}

func mirrorRows(im wildtrain.Image) {
	n := im.Width * 3
	for y := range im.Height {
		row := im.U8[y*n : (y+1)*n]
		for i, j := 0, n-3; i < j; i, j = i+3, j-3 {
			a, b := row[i:i+3:i+3], row[j:j+3:j+3]
			a[0], b[0] = b[0], a[0]
			a[1], b[1] = b[1], a[1]
			a[2], b[2] = b[2], a[2]
		}
	}
}

func swapRows(im wildtrain.Image) {
	n := im.Width * 3
	tmp := make([]byte, n)
	for y := range im.Height / 2 {
		a, b := im.U8[y*n:(y+1)*n], im.U8[(im.Height-1-y)*n:(im.Height-y)*n]
		copy(tmp, a)
		copy(a, b)
		copy(b, tmp)
	}
}

// Blend mixes a second sample into dst: ratio of dst, the rest of other.
func Blend(dst, other []byte, ratio float64) {
	a := int32(math.Round(ratio * 256))
	b := 256 - a
	other = other[:len(dst)]
	for i, v := range dst {
		dst[i] = uint8((int32(v)*a + int32(other[i])*b + 128) >> 8)
	}
}
