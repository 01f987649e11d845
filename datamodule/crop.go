package datamodule

import (
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"path/filepath"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// darkLevel is up to which value a channel of a pixel counts as dark.
const darkLevel = 10

// cut decodes a picture once and writes its tiles; those that are dark are marked.
func (c *conversion) cut(rec Record, tiles []window, folder string, t TileConfig, buffers *imageio.Buffers) error {
	if len(tiles) == 0 {
		return nil
	}
	if tiles[0].whole {
		return c.place(rec, filepath.Join(folder, tiles[0].name))
	}
	im, err := rec.decode(t.MaxPixels, buffers.Get)
	if err != nil {
		return err
	}
	defer buffers.Put(im.U8)
	for i := range tiles {
		w := &tiles[i]
		tile := crop(im, w.x, w.y, w.width, w.height)
		if w.dark = darkShare(tile) > t.DarkThreshold; w.dark {
			continue
		}
		if err := c.create(filepath.ToSlash(filepath.Join(folder, w.name)), func(out io.Writer) error { return t.encode(out, tile) }); err != nil {
			return err
		}
	}
	return nil
}

// crop copies a part of a picture; what lies outside is black.
func crop(im wildtrain.Image, x, y, width, height int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		out.Pix[4*i+3] = 255
	}
	for row := range max(0, min(height, im.Height-y)) {
		dst := out.Pix[row*out.Stride:]
		src := im.U8[((y+row)*im.Width+x)*3:]
		for col := range max(0, min(width, im.Width-x)) {
			copy(dst[4*col:4*col+3], src[3*col:])
		}
	}
	return out
}

// darkShare is the share of dark values.
func darkShare(im *image.RGBA) float64 {
	dark := 0
	for p := im.Pix; len(p) >= 4; p = p[4:] {
		for _, v := range p[:3] {
			if v <= darkLevel {
				dark++
			}
		}
	}
	return float64(dark) / float64(len(im.Pix)/4*3)
}

func (t TileConfig) encode(w io.Writer, im *image.RGBA) error {
	if t.Lossless {
		return png.Encode(w, im)
	}
	return jpeg.Encode(w, im, &jpeg.Options{Quality: t.Quality})
}
