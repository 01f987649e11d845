// Package imageio decodes pictures into interleaved RGB bytes.
//
// JPEG pixels equal those of libjpeg (which Pillow and OpenCV use) but for
// rounding: planes come from a decoder for what cameras write, from jpegn or the
// standard library for the rest, chroma is upsampled with libjpeg's triangle
// filter and converted with its integer tables. PNG, WebP and BMP come from the
// standard library and golang.org/x/image, TIFF from a reader of its own, which
// also reads parts of large files (Raster). The EXIF orientation is
// applied, grey becomes RGB, alpha is dropped, 16-bit samples keep their high
// byte (as OpenCV's IMREAD_COLOR does). The size in the header is checked
// against a limit before anything is allocated.
package imageio

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"

	"github.com/wildtrain/sdk/wildtrain"
)

// DefaultMaxPixels bounds a picture's width times height: 268 million, more
// than any camera makes.
const DefaultMaxPixels = 1 << 28

// Options set how Decode works. The zero value is ready to use.
type Options struct {
	MaxPixels int64              // 0: DefaultMaxPixels
	Alloc     func(n int) []byte // source of pixel buffers; nil: make
	Free      func([]byte)       // takes back what Alloc gave for a while only; nil: the collector
	Strict    bool               // JPEG: a second, stricter decoder must find no fault either (slower)

	// Rows, where not nil, takes the rows of a picture that can be decoded so, in
	// the place of a whole picture: the result has no U8 then.
	Rows Rows

	// MinWidth and MinHeight, where not 0, allow JPEGs to be decoded at a half, a
	// quarter or an eighth of their size, as long as they are no smaller than that.
	MinWidth, MinHeight int
}

// Rows takes a picture row by row, from the top, in RGB.
type Rows interface {
	Begin(width, height int)
	Row(y int, rgb []byte) // rgb is overwritten afterwards
}

func (o Options) free(buf []byte) {
	if o.Free != nil {
		o.Free(buf)
	}
}

func (o Options) alloc(n int) []byte {
	if o.Alloc == nil {
		return make([]byte, n)
	}
	return o.Alloc(n)
}

// fits refuses pictures that are too large.
func (o Options) fits(h Header) error {
	limit := o.MaxPixels
	if limit == 0 {
		limit = DefaultMaxPixels
	}
	if int64(h.Width) > limit/int64(h.Height) {
		return fmt.Errorf("%w: %d×%d pixels, the limit is %d", ErrTooLarge, h.Width, h.Height, limit)
	}
	return nil
}

// Header is what a file says of its picture.
type Header struct {
	Format        string // "jpeg", "png", "webp", "bmp" or "tiff"
	Width, Height int    // as displayed, after the EXIF orientation
	Orientation   int    // EXIF: 1 to 8, 1 is upright
	Windowed      bool   // OpenRaster can read parts of it in bounded memory

	progressive bool // JPEG
}

var (
	// ErrFormat tells that the data is no picture of a known format.
	ErrFormat = errors.New("imageio: unknown picture format")
	// ErrCorrupt tells that a picture is damaged or cut off.
	ErrCorrupt = errors.New("imageio: damaged picture")
	// ErrTooLarge tells that a picture has more pixels than allowed.
	ErrTooLarge = errors.New("imageio: picture too large")
)

var extensions = []string{".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}

// IsPicture reports whether the name ends like a picture's that Decode can read.
func IsPicture(name string) bool {
	return slices.Contains(extensions, strings.ToLower(filepath.Ext(name)))
}

// sniff names the format by its first bytes.
func sniff(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return "jpeg"
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return "png"
	case len(data) > 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return "webp"
	case bytes.HasPrefix(data, []byte("BM")):
		return "bmp"
	case slices.ContainsFunc([]string{"II*\x00", "MM\x00*", "II+\x00", "MM\x00+"}, func(s string) bool { return bytes.HasPrefix(data, []byte(s)) }):
		return "tiff"
	}
	return ""
}

// ReadHeader reads the header of a picture in memory. data may be the beginning
// of a file only; io.ErrUnexpectedEOF then tells that more of it is needed.
func ReadHeader(data []byte) (h Header, err error) {
	defer recoverAs(&err)
	h.Format, h.Orientation = sniff(data), 1
	var cfg image.Config
	switch h.Format {
	case "jpeg":
		return jpegHeader(data)
	case "png":
		cfg, err = png.DecodeConfig(bytes.NewReader(data))
		h.Orientation = pngOrientation(data)
	case "webp":
		cfg, err = webp.DecodeConfig(bytes.NewReader(data))
		h.Orientation = webpOrientation(data)
	case "bmp":
		cfg, err = bmp.DecodeConfig(bytes.NewReader(data))
	case "tiff":
		return tiffHeader(bytes.NewReader(data), int64(len(data)))
	default:
		return h, ErrFormat
	}
	if err != nil {
		return h, fmt.Errorf("%w: %s header: %w", ErrCorrupt, h.Format, err)
	}
	h.Width, h.Height = cfg.Width, cfg.Height
	return h.displayed()
}

// displayed turns the stored size into the displayed one and checks it.
func (h Header) displayed() (Header, error) {
	if h.Width <= 0 || h.Height <= 0 {
		return h, fmt.Errorf("%w: size %d×%d", ErrCorrupt, h.Width, h.Height)
	}
	if h.Orientation >= 5 {
		h.Width, h.Height = h.Height, h.Width
	}
	return h, nil
}

// headBytes usually hold a file's header, EXIF thumbnails included; tailBytes
// its last marker.
const (
	headBytes = 64 << 10
	tailBytes = 64
)

// heads are buffers of that many bytes: a million files are looked at in a row.
var heads = sync.Pool{New: func() any { return new([headBytes]byte) }}

// ReadHeaderFile reads the header of a file, and enough of its end to tell
// whether it was cut off.
func ReadHeaderFile(path string) (Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return Header{}, err
	}
	defer f.Close()
	h, err := readHeader(f)
	if err != nil {
		return h, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

func readHeader(f *os.File) (Header, error) {
	buffer := heads.Get().(*[headBytes]byte)
	defer heads.Put(buffer)
	head := buffer[:]
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return Header{}, err
	}
	whole := n < len(head)
	data := head[:n]
	if sniff(data) == "tiff" { // whose directory may be anywhere
		info, err := f.Stat()
		if err != nil {
			return Header{}, err
		}
		return tiffHeader(f, info.Size())
	}
	h, err := ReadHeader(data)
	if err != nil && !whole {
		if data, err = readRest(f, data); err != nil {
			return h, err
		}
		whole = true
		h, err = ReadHeader(data)
	}
	if err != nil || complete(h.Format, data) {
		return h, err
	}
	if !whole {
		tail := make([]byte, tailBytes)
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return h, err
		}
		if _, err := io.ReadFull(f, tail); err != nil {
			return h, err
		}
		if complete(h.Format, tail) {
			return h, nil
		}
		if _, err := f.Seek(int64(n), io.SeekStart); err != nil {
			return h, err
		}
		if data, err = readRest(f, data); err != nil {
			return h, err
		}
	}
	if !complete(h.Format, data) {
		return h, fmt.Errorf("%w: %s: cut off (its end is missing)", ErrCorrupt, h.Format)
	}
	return h, nil
}

func readRest(f *os.File, begun []byte) ([]byte, error) {
	rest, err := io.ReadAll(f)
	return append(slices.Clip(begun), rest...), err
}

// complete reports whether the end of a picture is in data; formats that have
// no mark for it always are.
func complete(format string, data []byte) bool {
	switch format {
	case "jpeg":
		ended := func(data []byte) bool {
			return bytes.LastIndex(data, []byte{0xff, 0xd9}) > bytes.LastIndex(data, []byte{0xff, 0xda})
		}
		return ended(data[max(len(data)-tailBytes, 0):]) || ended(data)
	case "png":
		return bytes.Contains(data, []byte("IEND"))
	}
	return true
}

// Decode decodes a picture to RGB.
func Decode(data []byte, o Options) (im wildtrain.Image, err error) {
	defer recoverAs(&err)
	h, err := ReadHeader(data)
	if err != nil {
		return im, err
	}
	if err := o.fits(h); err != nil {
		return im, err
	}
	if h.Format == "tiff" {
		return decodeTIFF(bytes.NewReader(data), int64(len(data)), o)
	}
	// Readers based on libjpeg pad a picture that was cut off with grey; here
	// that is an error.
	if !complete(h.Format, data) {
		return im, fmt.Errorf("%w: %s: cut off (its end is missing)", ErrCorrupt, h.Format)
	}
	if h.Format == "jpeg" {
		im, err = decodeJPEG(data, h, o)
	} else {
		im, err = decodeOther(data, h.Format, o)
	}
	if err != nil {
		return im, err
	}
	return orient(im, h.Orientation, o), nil
}

// DecodeFile decodes the picture in a file; errors name it.
func DecodeFile(path string, o Options) (wildtrain.Image, error) {
	im, err := decodeFile(path, o)
	var pathErr *fs.PathError
	if err != nil && !errors.As(err, &pathErr) {
		return im, fmt.Errorf("%s: %w", path, err)
	}
	return im, err
}

func decodeFile(path string, o Options) (wildtrain.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return wildtrain.Image{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return wildtrain.Image{}, err
	}
	magic := make([]byte, 4)
	if n, _ := f.ReadAt(magic, 0); sniff(magic[:n]) == "tiff" { // may be far larger than memory
		return decodeTIFF(f, info.Size(), o)
	}
	data := o.alloc(int(info.Size()))
	defer o.free(data)
	if n, err := io.ReadFull(f, data); err != nil {
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return wildtrain.Image{}, err
		}
		data = data[:n]
	}
	return Decode(data, o)
}

func decodeOther(data []byte, format string, o Options) (wildtrain.Image, error) {
	var src image.Image
	var err error
	switch format {
	case "webp":
		im, err := decodeWebP(data, o)
		if err != nil {
			return im, fmt.Errorf("%w: webp: %w", ErrCorrupt, err)
		}
		return im, nil
	case "png":
		src, err = png.Decode(bytes.NewReader(data))
	default:
		src, err = bmp.Decode(bytes.NewReader(data))
	}
	if err != nil {
		return wildtrain.Image{}, fmt.Errorf("%w: %s: %w", ErrCorrupt, format, err)
	}
	return toRGB(src, o), nil
}

// recoverAs turns a panic of a decoder on hostile data into an error.
func recoverAs(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %v", ErrCorrupt, r)
	}
}
