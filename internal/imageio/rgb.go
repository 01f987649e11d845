package imageio

import (
	"image"
	"image/color"

	"github.com/wildtrain/sdk/wildtrain"
)

func newRGB(width, height int, o Options) wildtrain.Image {
	return wildtrain.Image{Height: height, Width: width, Channels: 3, U8: o.alloc(width * height * 3)}
}

// toRGB copies any image, dropping alpha.
func toRGB(src image.Image, o Options) wildtrain.Image {
	r := src.Bounds()
	out := newRGB(r.Dx(), r.Dy(), o)
	for y := range out.Height {
		row := out.U8[y*out.Width*3:][: out.Width*3 : out.Width*3]
		switch s := src.(type) {
		case *image.NRGBA:
			copyQuads(row, s.Pix[s.PixOffset(r.Min.X, r.Min.Y+y):])
		case *image.RGBA:
			if !copyOpaque(row, s.Pix[s.PixOffset(r.Min.X, r.Min.Y+y):]) {
				copyAny(row, src, r.Min.X, r.Min.Y+y)
			}
		case *image.Gray:
			copyGrey(row, s.Pix[s.PixOffset(r.Min.X, r.Min.Y+y):])
		default:
			copyAny(row, src, r.Min.X, r.Min.Y+y)
		}
	}
	return out
}

func copyQuads(row, pix []byte) {
	for x, j := 0, 0; x+2 < len(row); x, j = x+3, j+4 {
		row[x], row[x+1], row[x+2] = pix[j], pix[j+1], pix[j+2]
	}
}

// copyOpaque copies premultiplied pixels and reports whether all were opaque.
func copyOpaque(row, pix []byte) bool {
	for x, j := 0, 0; x+2 < len(row); x, j = x+3, j+4 {
		if pix[j+3] != 255 {
			return false
		}
		row[x], row[x+1], row[x+2] = pix[j], pix[j+1], pix[j+2]
	}
	return true
}

func copyGrey(row, pix []byte) {
	for x, j := 0, 0; x+2 < len(row); x, j = x+3, j+1 {
		v := pix[j]
		row[x], row[x+1], row[x+2] = v, v, v
	}
}

func copyAny(row []byte, src image.Image, x0, y int) {
	for x := 0; x+2 < len(row); x += 3 {
		c := color.NRGBAModel.Convert(src.At(x0+x/3, y)).(color.NRGBA)
		row[x], row[x+1], row[x+2] = c.R, c.G, c.B
	}
}

// orient turns and mirrors a picture as its EXIF orientation asks.
func orient(im wildtrain.Image, orientation int, o Options) wildtrain.Image {
	if orientation <= 1 || orientation > 8 {
		return im
	}
	w, h := im.Width, im.Height
	// The pixel at (x, y) of the result is source pixel base + x·dx + y·dy.
	last, lastRow := w-1, (h-1)*w
	var base, dx, dy int
	switch orientation {
	case 2:
		base, dx, dy = last, -1, w
	case 3:
		base, dx, dy = lastRow+last, -1, -w
	case 4:
		base, dx, dy = lastRow, 1, -w
	case 5:
		base, dx, dy = 0, w, 1
	case 6:
		base, dx, dy = lastRow, -w, 1
	case 7:
		base, dx, dy = lastRow+last, -w, -1
	case 8:
		base, dx, dy = last, w, -1
	}
	if orientation >= 5 {
		w, h = h, w
	}
	out := newRGB(w, h, o)
	i := 0
	for y := range h {
		s := base + y*dy
		for range w {
			p := im.U8[3*s : 3*s+3]
			out.U8[i], out.U8[i+1], out.U8[i+2] = p[0], p[1], p[2]
			i += 3
			s += dx
		}
	}
	return out
}
