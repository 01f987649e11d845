package augment

import (
	"image"
	"math"
	"slices"

	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/wildtrain"
)

// Tile is a picture that goes into a sample, with its objects.
type Tile struct {
	Image   wildtrain.Image    // U8, three channels; only read
	Objects []wildtrain.Object // boxes in the tile's coordinates, masks in the original's; only read
	Place   wildtrain.Affine   // from the original's coordinates to the tile's
}

// Letterbox puts a picture, already scaled to fit, into the middle of dst, grey
// around it, and returns the map from the picture's coordinates to dst's.
func Letterbox(dst, src wildtrain.Image) wildtrain.Affine {
	left, top := (dst.Width-src.Width)/2, (dst.Height-src.Height)/2
	fill(dst.U8, Pad)
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
	pasteView(dst, src, left, top, image.Rect(0, 0, dst.Width, dst.Height))
}

// pasteView is paste of what lies in a part of dst; it returns the part covered.
func pasteView(dst, src wildtrain.Image, left, top int, view image.Rectangle) image.Rectangle {
	at := image.Rect(left, top, left+src.Width, top+src.Height).Intersect(view)
	for y := at.Min.Y; y < at.Max.Y; y++ {
		d := dst.U8[(y*dst.Width+at.Min.X)*3 : (y*dst.Width+at.Max.X)*3]
		copy(d, src.U8[((y-top)*src.Width+at.Min.X-left)*3:])
	}
	return at
}

// fillGaps makes grey what of a view is not covered; it sorts the parts that are.
func fillGaps(canvas wildtrain.Image, view image.Rectangle, covered []image.Rectangle) {
	slices.SortFunc(covered, func(a, b image.Rectangle) int { return a.Min.X - b.Min.X })
	for y := view.Min.Y; y < view.Max.Y; y++ {
		row := canvas.U8[y*canvas.Width*3 : (y+1)*canvas.Width*3]
		from := view.Min.X
		for _, c := range covered {
			if y < c.Min.Y || y >= c.Max.Y {
				continue
			}
			if c.Min.X > from {
				fill(row[3*from:3*c.Min.X], Pad)
			}
			from = max(from, c.Max.X)
		}
		if from < view.Max.X {
			fill(row[3*from:3*view.Max.X], Pad)
		}
	}
}

// visible is the part of a canvas that dst shows through a map, with the pixels
// that interpolation looks at besides; all of it where the map has no bounds.
func visible(h resample.Homography, dst, canvas wildtrain.Image) image.Rectangle {
	all := image.Rect(0, 0, canvas.Width, canvas.Height)
	back, err := h.Inverse()
	if err != nil {
		return all
	}
	b, ok := mapBox(wildtrain.Box{X2: float64(dst.Width), Y2: float64(dst.Height)}, back)
	const far = 1 << 20
	if !ok || !(b.X1 > -far && b.Y1 > -far && b.X2 < far && b.Y2 < far) {
		return all
	}
	const beside = 3
	return image.Rect(int(math.Floor(b.X1))-beside, int(math.Floor(b.Y1))-beside, int(math.Ceil(b.X2))+beside, int(math.Ceil(b.Y2))+beside).Intersect(all)
}

func fill(b []byte, v byte) {
	if len(b) == 0 {
		return
	}
	b[0] = v
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// Scratch holds the buffers that a mosaic is put together in. One goroutine uses it.
type Scratch struct {
	canvas  []byte
	covered []image.Rectangle
}

func (s *Scratch) image(size int) wildtrain.Image {
	n := size * size * 3
	if cap(s.canvas) < n {
		s.canvas = make([]byte, n)
	}
	return wildtrain.Image{Width: size, Height: size, Channels: 3, U8: s.canvas[:n]}
}

// Compose makes one training sample in dst, which is square, of as many tiles as
// p.Tiles says. It returns the objects that remain, in dst's coordinates, and the
// map from the first tile's original to dst (without the perspective part, which
// is no affine map). Drawn for another size, the sample is scaled to dst's.
func Compose(dst wildtrain.Image, tiles []Tile, p Params, c Config, s *Scratch) ([]wildtrain.Object, wildtrain.Affine, error) {
	if p.Size == 0 {
		p.Size = dst.Width
	}
	size := p.Size
	h := p.warp(dst.Width)
	var objects []wildtrain.Object
	var place wildtrain.Affine
	carry := func(t Tile, at wildtrain.Affine, canvas int) {
		j := journey{masks: t.Place, at: at, warp: h, canvasW: canvas, canvasH: canvas, width: dst.Width, height: dst.Height, limits: c.Limits()}
		objects = append(objects, j.all(t.Objects)...)
	}
	if n := p.Tiles(); n > 1 {
		canvas := s.image(p.canvas())
		view := visible(h, dst, canvas)
		covered := s.covered[:0]
		for k, t := range tiles[:n] {
			at := p.tilePlace(k, tiles)
			covered = append(covered, pasteView(canvas, t.Image, int(at.C), int(at.F), view))
			carry(t, at, canvas.Width)
		}
		fillGaps(canvas, view, covered)
		s.covered = covered
		place = tiles[0].Place.Then(p.tilePlace(0, tiles))
		if err := resample.Perspective(dst, canvas, h, Pad); err != nil {
			return nil, place, err
		}
	} else {
		t := tiles[0]
		at := wildtrain.Translation(float64((size-t.Image.Width)/2), float64((size-t.Image.Height)/2))
		place = t.Place.Then(at)
		carry(t, at, size)
		if err := warpTile(dst, t.Image, at, h); err != nil {
			return nil, place, err
		}
	}
	HSV(dst.U8, p.Hue, p.Sat, p.Val)
	return objects, place.Then(affinePart(h)), nil
}

// warpTile copies where nothing but a place in the middle, and perhaps a mirror,
// is left of the warp.
func warpTile(dst, src wildtrain.Image, at wildtrain.Affine, h resample.Homography) error {
	m, ok := h.Affine()
	w, ht := float64(dst.Width), float64(dst.Height)
	right, down := m.A == 1 || m.A == -1 && m.C == w, m.E == 1 || m.E == -1 && m.F == ht
	if !ok || !right || !down || m.B != 0 || m.D != 0 || m.A == 1 && m.C != 0 || m.E == 1 && m.F != 0 {
		return resample.Perspective(dst, src, resample.FromAffine(at).Then(h), Pad)
	}
	Letterbox(dst, src)
	if m.A == -1 {
		mirror(dst)
	}
	if m.E == -1 {
		turnOver(dst)
	}
	return nil
}

// tilePlace puts tile k of a mosaic on the canvas. Four (top left, top right,
// bottom left, bottom right) have their inner corners on the mosaic's centre. Of
// nine the first lies in the middle and the others around it, row by row, each
// touching it with the side or corner that is next to it.
func (p Params) tilePlace(k int, tiles []Tile) wildtrain.Affine {
	im := tiles[k].Image
	x, y := p.CenterX, p.CenterY
	if p.Mosaic {
		if k%2 == 0 {
			x -= im.Width
		}
		if k < 2 {
			y -= im.Height
		}
		return wildtrain.Translation(float64(x), float64(y))
	}
	middle := tiles[0].Image
	left, top := x-middle.Width/2, y-middle.Height/2
	cell := [9]int{4, 0, 1, 2, 3, 5, 6, 7, 8}[k]
	place := func(at, low, length, own int) int {
		switch at {
		case 0:
			return low - own
		case 1:
			return low + (length-own)/2
		}
		return low + length
	}
	return wildtrain.Translation(float64(place(cell%3, left, middle.Width, im.Width)), float64(place(cell/3, top, middle.Height, im.Height)))
}

// mirror swaps left and right in place.
func mirror(im wildtrain.Image) {
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

// turnOver swaps top and bottom in place.
func turnOver(im wildtrain.Image) {
	n := im.Width * 3
	for y := range im.Height / 2 {
		a, b := im.U8[y*n:(y+1)*n], im.U8[(im.Height-1-y)*n:(im.Height-y)*n]
		for i, v := range a {
			a[i], b[i] = b[i], v
		}
	}
}
