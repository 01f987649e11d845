package imageio

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"

	"golang.org/x/image/tiff/lzw"
)

// unpack returns the first need bytes of a block, or fewer where it has no more.
func (r *Raster) unpack(packed []byte, need int) ([]byte, error) {
	switch r.compression {
	case codecLZW:
		z := lzw.NewReader(bytes.NewReader(packed), lzw.MSB, 8)
		defer z.Close()
		return readUpTo(z, need)
	case codecDeflate, codecOldDeflate:
		z, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return readUpTo(z, need)
	case codecPackBits:
		return unpackBits(packed, need)
	case codecJPEG:
		return r.unpackJPEG(packed, need)
	}
	return packed, nil
}

// readUpTo reads need bytes and no more, however much there is.
func readUpTo(z io.Reader, need int) ([]byte, error) {
	out := make([]byte, need)
	n, err := io.ReadFull(z, out)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // the caller compares lengths
	}
	return out[:n], err
}

// unpackBits undoes Apple's run-length coding (TIFF 6.0, section 9).
func unpackBits(packed []byte, need int) ([]byte, error) {
	out := make([]byte, 0, need)
	for len(packed) > 0 && len(out) < need {
		n := int(int8(packed[0]))
		packed = packed[1:]
		switch {
		case n >= 0:
			if n+1 > len(packed) {
				return nil, io.ErrUnexpectedEOF
			}
			out = append(out, packed[:n+1]...)
			packed = packed[n+1:]
		case n != -128:
			if len(packed) == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			out = append(out, bytes.Repeat(packed[:1], 1-n)...)
			packed = packed[1:]
		}
	}
	return out, nil
}

// unpackJPEG decodes a block that is a JPEG, whose tables may stand apart, into
// interleaved samples: RGB where the colours are YCbCr or RGB.
func (r *Raster) unpackJPEG(packed []byte, need int) ([]byte, error) {
	if t := r.tables; len(t) > 4 && len(packed) > 2 {
		whole := append([]byte{}, t[:len(t)-2]...) // without the end of image
		packed = append(whole, packed[2:]...)      // without the start of image
	}
	cfg, err := jpeg.DecodeConfig(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	if cfg.Width < r.blockW || cfg.Width*cfg.Height > maxBlockBytes/3 {
		return nil, fmt.Errorf("JPEG of %d×%d in a block of %d×%d", cfg.Width, cfg.Height, r.blockW, r.blockH)
	}
	src, err := jpeg.Decode(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	rows := min(need/(r.blockW*r.blockBands()), src.Bounds().Dy())
	switch s := src.(type) {
	case *image.Gray:
		if r.blockBands() != 1 {
			return nil, errors.New("a grey JPEG in a block of colour")
		}
		out := make([]byte, 0, need)
		for y := range rows {
			out = append(out, s.Pix[y*s.Stride:][:r.blockW]...)
		}
		return out, nil
	case *image.YCbCr:
		if r.blockBands() != 3 {
			return nil, fmt.Errorf("a JPEG of 3 colours in a block of %d bands", r.blockBands())
		}
		if r.photometry != ycbcrColour { // the planes are red, green and blue as they are
			return interleave(s, r.blockW, rows)
		}
		im := fromYCbCr(s, Options{})
		return cutRows(im.U8, im.Width, r.blockW, rows), nil
	case *image.RGBA: // components named R, G, B
		if r.blockBands() != 3 {
			return nil, fmt.Errorf("a JPEG of 3 colours in a block of %d bands", r.blockBands())
		}
		im := toRGB(s, Options{})
		return cutRows(im.U8, im.Width, r.blockW, rows), nil
	}
	return nil, fmt.Errorf("JPEG of kind %T", src)
}

// interleave joins three whole planes.
func interleave(s *image.YCbCr, width, rows int) ([]byte, error) {
	if s.SubsampleRatio != image.YCbCrSubsampleRatio444 {
		return nil, errors.New("RGB planes of different sizes")
	}
	out := make([]byte, 0, width*rows*3)
	for y := range rows {
		for x := range width {
			out = append(out, s.Y[y*s.YStride+x], s.Cb[y*s.CStride+x], s.Cr[y*s.CStride+x])
		}
	}
	return out, nil
}

// cutRows takes the beginning of each row of RGB pixels.
func cutRows(pix []byte, width, part, rows int) []byte {
	if width == part {
		return pix[:3*width*rows]
	}
	out := make([]byte, 0, 3*part*rows)
	for y := range rows {
		out = append(out, pix[3*y*width:][:3*part]...)
	}
	return out
}

// addUp undoes the horizontal predictor, by which each sample is the difference
// to the same band's of the pixel before. row is the number of samples of a row.
func (r *Raster) addUp(pix []byte, row int) {
	n := r.blockBands()
	if r.Bits == 8 {
		for ; len(pix) >= row; pix = pix[row:] {
			for i := n; i < row; i++ {
				pix[i] += pix[i-n]
			}
		}
		return
	}
	for ; len(pix) >= 2*row; pix = pix[2*row:] {
		for i := n; i < row; i++ {
			r.order.PutUint16(pix[2*i:], r.order.Uint16(pix[2*i:])+r.order.Uint16(pix[2*(i-n):]))
		}
	}
}

// highBytes keeps the upper half of samples of 16 bits.
func (r *Raster) highBytes(pix []byte) []byte {
	out := pix[:len(pix)/2]
	for i := range out {
		out[i] = byte(r.order.Uint16(pix[2*i:]) >> 8)
	}
	return out
}
