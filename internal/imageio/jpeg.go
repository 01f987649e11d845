package imageio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"

	"github.com/gen2brain/jpegn"

	"github.com/wildtrain/sdk/wildtrain"
)

// jpegHeader walks the segments up to the frame header.
func jpegHeader(data []byte) (Header, error) {
	h := Header{Format: "jpeg", Orientation: 1}
	for at := 2; ; {
		for at < len(data) && data[at] == 0xff { // fill bytes
			at++
		}
		if at+3 > len(data) {
			return h, fmt.Errorf("%w: jpeg: no frame header: %w", ErrCorrupt, io.ErrUnexpectedEOF)
		}
		if data[at-1] != 0xff {
			return h, fmt.Errorf("%w: jpeg: no marker at byte %d", ErrCorrupt, at)
		}
		marker := data[at]
		n := int(binary.BigEndian.Uint16(data[at+1:]))
		if marker == 0xda || marker == 0xd9 || n < 2 {
			return h, fmt.Errorf("%w: jpeg: no frame header before byte %d", ErrCorrupt, at)
		}
		if at+1+n > len(data) {
			return h, fmt.Errorf("%w: jpeg: cut off in the header: %w", ErrCorrupt, io.ErrUnexpectedEOF)
		}
		body := data[at+3 : at+1+n]
		switch {
		case marker == 0xe1:
			if v := exifOrientation(body); v != 1 {
				h.Orientation = v
			}
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			if len(body) < 6 {
				return h, fmt.Errorf("%w: jpeg: short frame header", ErrCorrupt)
			}
			h.progressive = marker == 0xc2
			h.Height, h.Width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
			return h.displayed()
		}
		at += 1 + n
	}
}

func decodeJPEG(data []byte, h Header, o Options) (wildtrain.Image, error) {
	if h.Orientation != 1 {
		o.Rows = nil // the first row of the file is not that of the picture
	}
	if !o.Strict && !h.progressive {
		if h.Orientation >= 5 { // the size that is asked for is the displayed one
			o.MinWidth, o.MinHeight = o.MinHeight, o.MinWidth
		}
		if src, ok := baseline(data, o); ok {
			im := planesToRGB(src, o)
			switch s := src.(type) {
			case *image.YCbCr:
				o.free(s.Y)
				o.free(s.Cb)
				o.free(s.Cr)
			case *image.Gray:
				o.free(s.Pix)
			}
			return im, nil
		}
	}
	src, err := jpegPlanes(data, h, o)
	if err != nil {
		return wildtrain.Image{}, fmt.Errorf("%w: jpeg: %w", ErrCorrupt, err)
	}
	return planesToRGB(src, o), nil
}

func planesToRGB(src image.Image, o Options) wildtrain.Image {
	if s, ok := src.(*image.YCbCr); ok {
		return fromYCbCr(s, o)
	}
	return toRGB(src, o)
}

// jpegPlanes decodes with jpegn, which is fast. The standard library's decoder,
// slower and stricter, takes progressive files (jpegn's are up to five levels
// off libjpeg's) and decides where jpegn has given up.
func jpegPlanes(data []byte, h Header, o Options) (image.Image, error) {
	if h.progressive {
		src, err := jpeg.Decode(bytes.NewReader(data))
		var unsupported jpeg.UnsupportedError
		if !errors.As(err, &unsupported) {
			return src, err
		}
		return jpegn.Decode(bytes.NewReader(data))
	}
	src, err := jpegn.Decode(bytes.NewReader(data))
	if err == nil && !o.Strict && !stoppedEarly(src) {
		return src, nil
	}
	if err != nil && !errors.Is(err, jpegn.ErrUnsupported) {
		return nil, err
	}
	strict, strictErr := jpeg.Decode(bytes.NewReader(data))
	var unsupported jpeg.UnsupportedError
	_, cmyk := strict.(*image.CMYK) // jpegn does not turn Adobe's negative values
	switch {
	case err == nil && !cmyk && (strictErr == nil || errors.As(strictErr, &unsupported)):
		return src, nil
	default:
		return strict, strictErr
	}
}

// stoppedEarly suspects that jpegn met damaged data: it then keeps what it has
// and leaves the rest of the planes zero, which no coder writes for chroma.
func stoppedEarly(src image.Image) bool {
	switch s := src.(type) {
	case *image.YCbCr:
		if r := s.Rect; r.Dx() > 0 && r.Dy() > 0 {
			last := s.COffset(r.Max.X-1, r.Max.Y-1)
			return s.Cb[last] == 0 && s.Cr[last] == 0 && s.Y[s.YOffset(r.Max.X-1, r.Max.Y-1)] == 0
		}
	case *image.Gray:
		if r := s.Rect; r.Dx() > 0 && r.Dy() > 0 {
			return s.Pix[s.PixOffset(r.Max.X-1, r.Max.Y-1)] == 0
		}
	case *image.CMYK:
		return true
	}
	return false
}
