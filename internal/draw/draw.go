// Package draw paints boxes with labels on pictures.
package draw

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/wildtrain/sdk/wildtrain"
)

// palette holds colours that can be told apart, also by most colour-blind
// people (Okabe and Ito's, brightest first).
var palette = [...]color.RGBA{
	{240, 228, 66, 255}, {86, 180, 233, 255}, {213, 94, 0, 255}, {0, 158, 115, 255},
	{204, 121, 167, 255}, {230, 159, 0, 255}, {0, 114, 178, 255}, {255, 255, 255, 255},
}

// Color returns the colour of a class.
func Color(class int) color.RGBA { return palette[((class%len(palette))+len(palette))%len(palette)] }

// Canvas copies an RGB or grey picture so that it can be painted on.
func Canvas(im wildtrain.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, im.Width, im.Height))
	c := im.Channels
	for i := range im.Width * im.Height {
		var r, g, b uint8
		switch {
		case im.U8 != nil && c >= 3:
			r, g, b = im.U8[i*c], im.U8[i*c+1], im.U8[i*c+2]
		case im.U8 != nil:
			r, g, b = im.U8[i*c], im.U8[i*c], im.U8[i*c]
		case im.U16 != nil && c >= 3:
			r, g, b = uint8(im.U16[i*c]>>8), uint8(im.U16[i*c+1]>>8), uint8(im.U16[i*c+2]>>8)
		case im.U16 != nil:
			r = uint8(im.U16[i*c] >> 8)
			g, b = r, r
		}
		copy(out.Pix[4*i:], []uint8{r, g, b, 255})
	}
	return out
}

// Objects paints boxes in their class's colour, with the class's name and the
// score where it is above 0.
func Objects(dst *image.RGBA, objects []wildtrain.Object, classes []string) {
	size := max(dst.Bounds().Dx(), dst.Bounds().Dy())
	thick, zoom := max(2, size/500), max(1, size/1000)
	for _, o := range objects {
		col := Color(o.Class)
		frame(dst, o.Box, col, thick)
		text := fmt.Sprint(o.Class)
		if o.Class >= 0 && o.Class < len(classes) {
			text = classes[o.Class]
		}
		if o.Score > 0 {
			text += fmt.Sprintf(" %.2f", o.Score)
		}
		Label(dst, int(o.Box.X1), int(o.Box.Y1), text, col, zoom)
	}
}

// frame paints the edge of a box, thick px inwards.
func frame(dst *image.RGBA, b wildtrain.Box, col color.RGBA, thick int) {
	r := image.Rect(int(b.X1), int(b.Y1), int(b.X2+0.5), int(b.Y2+0.5))
	for i := range thick {
		in := r.Inset(i)
		if in.Empty() {
			return
		}
		for x := in.Min.X; x < in.Max.X; x++ {
			set(dst, x, in.Min.Y, col)
			set(dst, x, in.Max.Y-1, col)
		}
		for y := in.Min.Y; y < in.Max.Y; y++ {
			set(dst, in.Min.X, y, col)
			set(dst, in.Max.X-1, y, col)
		}
	}
}

func set(dst *image.RGBA, x, y int, col color.RGBA) {
	if (image.Point{x, y}).In(dst.Rect) {
		dst.SetRGBA(x, y, col)
	}
}

// Label writes text on a plate of the given colour whose lower left corner is at
// (x, y), moved so that it stays inside the picture; zoom enlarges the letters.
func Label(dst *image.RGBA, x, y int, text string, plate color.RGBA, zoom int) {
	face := basicfont.Face7x13
	w, h := face.Advance*len([]rune(text))+2, face.Height
	x = min(max(x, 0), max(dst.Rect.Max.X-w*zoom, 0))
	y = min(max(y-h*zoom, 0), max(dst.Rect.Max.Y-h*zoom, 0))
	tile := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := 0; i < len(tile.Pix); i += 4 {
		copy(tile.Pix[i:], []uint8{plate.R, plate.G, plate.B, 255})
	}
	ink := color.RGBA{A: 255}
	if int(plate.R)*3+int(plate.G)*6+int(plate.B) < 1000 {
		ink = color.RGBA{255, 255, 255, 255}
	}
	d := font.Drawer{Dst: tile, Src: image.NewUniform(ink), Face: face, Dot: fixed.P(1, face.Ascent)}
	d.DrawString(text)
	for ty := range h * zoom {
		for tx := range w * zoom {
			set(dst, x+tx, y+ty, tile.RGBAAt(tx/zoom, ty/zoom))
		}
	}
}

// WritePNG encodes the picture.
func WritePNG(w io.Writer, im image.Image) error {
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	return enc.Encode(w, im)
}
