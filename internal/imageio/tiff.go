package imageio

import (
	"io"

	"github.com/wildtrain/sdk/wildtrain"
)

// tiffHeader reads the size of a TIFF.
func tiffHeader(at io.ReaderAt, size int64) (Header, error) {
	h := Header{Format: "tiff", Orientation: 1}
	r, err := newRaster(at, size)
	if err != nil {
		return h, err
	}
	h.Width, h.Height, h.Orientation, h.Windowed = r.Width, r.Height, r.orientation, r.Upright()
	return h.displayed()
}

// decodeTIFF decodes a whole TIFF, turned as it asks for.
func decodeTIFF(at io.ReaderAt, size int64, o Options) (wildtrain.Image, error) {
	r, err := newRaster(at, size)
	if err != nil {
		return wildtrain.Image{}, err
	}
	if err := o.fits(Header{Width: r.Width, Height: r.Height}); err != nil {
		return wildtrain.Image{}, err
	}
	im := newRGB(r.Width, r.Height, o)
	if err := r.ReadWindow(im, 0, 0); err != nil {
		return im, err
	}
	return orient(im, r.orientation, o), nil
}
