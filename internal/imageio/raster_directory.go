package imageio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Tags of TIFF 6.0 that matter here.
const (
	tagWidth        = 256
	tagHeight       = 257
	tagBits         = 258
	tagCompression  = 259
	tagPhotometry   = 262
	tagStripOffsets = 273
	tagOrientation  = orientationTag
	tagBands        = 277
	tagRowsPerStrip = 278
	tagStripCounts  = 279
	tagPlanar       = 284
	tagPredictor    = 317
	tagPalette      = 320
	tagTileWidth    = 322
	tagTileHeight   = 323
	tagTileOffsets  = 324
	tagTileCounts   = 325
	tagSampleFormat = 339
	tagJPEGTables   = 347
)

// Values of the tags for colour and compression.
const (
	whiteIsZero   = 0
	blackIsZero   = 1
	rgbColour     = 2
	paletteColour = 3
	ycbcrColour   = 6

	codecNone       = 1
	codecLZW        = 5
	codecJPEG       = 7
	codecDeflate    = 8
	codecOldDeflate = 32946
	codecPackBits   = 32773
)

// directory is the first image file directory of a TIFF.
type directory struct {
	order  binary.ByteOrder
	values map[uint16][]uint64 // of whole numbers
	bytes  map[uint16][]byte   // of JPEG tables
}

func (d *directory) has(tag uint16) bool { return len(d.values[tag]) > 0 }

// one is the first value of a tag.
func (d *directory) one(tag uint16, unless uint64) uint64 {
	if v := d.values[tag]; len(v) > 0 {
		return v[0]
	}
	return unless
}

// directoryReader reads a directory of either kind of TIFF.
type directoryReader struct {
	at    io.ReaderAt
	size  int64
	order binary.ByteOrder
	big   bool
}

// readDirectory reads the header and the first directory of a TIFF or BigTIFF.
func readDirectory(at io.ReaderAt, size int64) (*directory, error) {
	r := directoryReader{at: at, size: size}
	head, err := r.read(0, 16)
	if err != nil {
		if head, err = r.read(0, 8); err != nil {
			return nil, errors.New("no header")
		}
	}
	switch {
	case head[0] == 'I' && head[1] == 'I':
		r.order = binary.LittleEndian
	case head[0] == 'M' && head[1] == 'M':
		r.order = binary.BigEndian
	default:
		return nil, errors.New("no byte order")
	}
	var first uint64
	switch version := r.order.Uint16(head[2:]); {
	case version == 42:
		first = uint64(r.order.Uint32(head[4:]))
	case version == 43 && len(head) == 16 && r.order.Uint16(head[4:]) == 8:
		r.big, first = true, r.order.Uint64(head[8:])
	default:
		return nil, fmt.Errorf("version %d", version)
	}
	return r.directory(first)
}

// read returns n bytes of the file; ranges outside of it are errors, before
// anything is allocated.
func (r directoryReader) read(from, n uint64) ([]byte, error) {
	if from > uint64(r.size) || n > uint64(r.size)-from {
		return nil, fmt.Errorf("bytes %d to %d of %d: %w", from, from+n, r.size, io.ErrUnexpectedEOF)
	}
	out := make([]byte, n)
	if m, err := r.at.ReadAt(out, int64(from)); m < len(out) {
		return nil, err
	}
	return out, nil
}

// word reads a number of the directory's own width.
func (r directoryReader) word(b []byte) uint64 {
	if r.big {
		return r.order.Uint64(b)
	}
	return uint64(r.order.Uint32(b))
}

func (r directoryReader) directory(from uint64) (*directory, error) {
	countBytes, entryBytes, inline := uint64(2), uint64(12), uint64(4)
	if r.big {
		countBytes, entryBytes, inline = 8, 20, 8
	}
	b, err := r.read(from, countBytes)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	n := uint64(r.order.Uint16(b))
	if r.big {
		n = r.order.Uint64(b)
	}
	if n > 1<<12 {
		return nil, fmt.Errorf("%d tags", n)
	}
	entries, err := r.read(from+countBytes, n*entryBytes)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	d := &directory{order: r.order, values: map[uint16][]uint64{}, bytes: map[uint16][]byte{}}
	for ; len(entries) > 0; entries = entries[entryBytes:] {
		tag, kind := r.order.Uint16(entries), r.order.Uint16(entries[2:])
		count := r.word(entries[4:])
		if err := r.entry(d, tag, kind, count, entries[entryBytes-inline:entryBytes]); err != nil {
			return nil, fmt.Errorf("tag %d: %w", tag, err)
		}
	}
	return d, nil
}

// wanted are the tags that are read; others, such as the georeference, are left alone.
func wanted(tag uint16) bool {
	return tag >= tagWidth && tag <= tagTileCounts || tag == tagSampleFormat || tag == tagJPEGTables
}

// entry reads the values of one tag, which stand in the entry itself if they fit.
func (r directoryReader) entry(d *directory, tag, kind uint16, count uint64, value []byte) error {
	widths := [...]uint64{1: 1, 3: 2, 4: 4, 6: 1, 7: 1, 13: 4, 16: 8, 18: 8}
	if !wanted(tag) || int(kind) >= len(widths) || widths[kind] == 0 || count == 0 {
		return nil
	}
	if count > maxBlocks {
		return fmt.Errorf("%d values", count)
	}
	width := widths[kind]
	if n := count * width; n > uint64(len(value)) {
		var err error
		if value, err = r.read(r.word(value), n); err != nil {
			return err
		}
	} else {
		value = value[:n]
	}
	if tag == tagJPEGTables {
		d.bytes[tag] = value
		return nil
	}
	out := make([]uint64, count)
	for i := range out {
		switch b := value[uint64(i)*width:]; width {
		case 1:
			out[i] = uint64(b[0])
		case 2:
			out[i] = uint64(r.order.Uint16(b))
		case 4:
			out[i] = uint64(r.order.Uint32(b))
		default:
			out[i] = r.order.Uint64(b)
		}
	}
	d.values[tag] = out
	return nil
}
