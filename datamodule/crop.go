package datamodule

import (
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/wildtrain/sdk/internal/draw"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// darkLevel is up to which value a channel of a pixel counts as dark.
const darkLevel = 10

// cut writes the tiles of a picture; those that are dark are marked. A picture is
// decoded once, but for one that can be read in parts, which may be of any size.
func (c *conversion) cut(rec Record, tiles []window, folder string, t TileConfig, buffers *imageio.Buffers) error {
	if len(tiles) == 0 {
		return nil
	}
	if tiles[0].whole {
		return c.place(rec, filepath.Join(folder, tiles[0].name))
	}
	h, err := imageio.ReadHeaderFile(rec.source())
	if err != nil {
		return unwrapName(err)
	}
	if h.Windowed {
		return c.cutByWindow(rec, tiles, folder, t, buffers)
	}
	im, err := rec.decode(imageio.Options{MaxPixels: t.MaxPixels, Alloc: buffers.Get, Free: buffers.Put})
	if err != nil {
		return err
	}
	defer buffers.Put(im.U8)
	for i := range tiles {
		w := &tiles[i]
		part := cutOut(im, w.area(), buffers.Get)
		if err := c.writeTile(w, part, folder, t); err != nil {
			return err
		}
		buffers.Put(part.U8)
	}
	return nil
}

// cutByWindow reads each tile for itself, several at a time.
func (c *conversion) cutByWindow(rec Record, tiles []window, folder string, t TileConfig, buffers *imageio.Buffers) error {
	r, err := imageio.OpenRaster(rec.source())
	if err != nil {
		return unwrapName(err)
	}
	defer r.Close()
	if r.Width != rec.Width || r.Height != rec.Height {
		return fmt.Errorf("it is %d×%d now, it was %d×%d before", r.Width, r.Height, rec.Width, rec.Height)
	}
	g, ctx := errgroup.WithContext(c.ctx)
	g.SetLimit(max(1, min(runtime.GOMAXPROCS(0), 8)))
	for i := range tiles {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			w := &tiles[i]
			part := wildtrain.Image{Height: w.height, Width: w.width, Channels: 3, U8: buffers.Get(w.width * w.height * 3)}
			defer func() { buffers.Put(part.U8) }()
			if err := r.ReadWindow(part, w.x, w.y); err != nil {
				return err
			}
			return c.writeTile(w, part, folder, t)
		})
	}
	return g.Wait()
}

func (w *window) area() image.Rectangle { return image.Rect(w.x, w.y, w.x+w.width, w.y+w.height) }

// writeTile writes a tile unless it is dark.
func (c *conversion) writeTile(w *window, part wildtrain.Image, folder string, t TileConfig) error {
	if w.dark = darkShare(part.U8) > t.DarkThreshold; w.dark {
		return nil
	}
	return c.create(filepath.ToSlash(filepath.Join(folder, w.name)), func(out io.Writer) error { return t.encode(out, draw.Canvas(part)) })
}

// darkShare is the share of dark values.
func darkShare(pix []byte) float64 {
	dark := 0
	for _, v := range pix {
		if v <= darkLevel {
			dark++
		}
	}
	return float64(dark) / float64(len(pix))
}

func (t TileConfig) encode(w io.Writer, im *image.RGBA) error {
	if t.Lossless {
		return png.Encode(w, im)
	}
	return jpeg.Encode(w, im, &jpeg.Options{Quality: t.Quality})
}
