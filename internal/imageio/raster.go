package imageio

import (
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"sync"

	"github.com/wildtrain/sdk/wildtrain"
)

// Raster is a TIFF or BigTIFF of any size (GeoTIFFs are both), read by window:
// tiles or strips, grey, palette, RGB or more bands of 8 or 16 bits, stored
// plain, as LZW, deflate, PackBits or JPEG. Memory is bounded by a block (a tile
// or strip) and a cache of some. Blocks that are not in the file (sparse ones)
// are black. Of more than three bands the first three count, of two the first.
// It is safe for concurrent use.
type Raster struct {
	at     io.ReaderAt
	size   int64 // of the file
	closer io.Closer

	Width, Height int // as stored, before the orientation that the file may ask for
	Bands, Bits   int
	orientation   int

	layout
	mu     sync.Mutex
	blocks map[int]*list.Element
	recent *list.List // of *block, the newest first
	held   int64      // bytes in recent
}

// layout is how the pixels lie in the file.
type layout struct {
	order                   binary.ByteOrder
	compression, photometry int
	predictor               int
	planar                  bool // each band in blocks of its own
	blockW, blockH          int
	across, down            int
	offsets, counts         []uint64
	palette                 []byte // RGB by value
	tables                  []byte // of JPEG
}

// Limits of what is read of untrusted files.
const (
	maxBlockBytes = 128 << 20 // one block when unpacked
	maxBlocks     = 1 << 24   // in a file
	cachedBytes   = 64 << 20  // unpacked blocks kept
	maxRasterSide = 1 << 24
)

// block is one tile or strip as unpacked: the file's samples, 8 bits each.
type block struct {
	index int
	pix   []byte // rows of interleaved samples, blockW wide
	rows  int
}

// OpenRaster opens a TIFF file. Close it when done.
func OpenRaster(path string) (*Raster, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := newRaster(f, info.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	r.closer = f
	return r, nil
}

// Close closes the file.
func (r *Raster) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// newRaster reads the first directory of a TIFF.
func newRaster(at io.ReaderAt, size int64) (r *Raster, err error) {
	defer recoverAs(&err)
	d, err := readDirectory(at, size)
	if err != nil {
		return nil, fmt.Errorf("%w: tiff: %w", ErrCorrupt, err)
	}
	r = &Raster{at: at, size: size, blocks: map[int]*list.Element{}, recent: list.New()}
	if err := r.describe(d); err != nil {
		return nil, err
	}
	return r, nil
}

// describe takes what the directory says and refuses what cannot be.
func (r *Raster) describe(d *directory) error {
	corrupt := func(format string, args ...any) error {
		return fmt.Errorf("%w: tiff: "+format, append([]any{ErrCorrupt}, args...)...)
	}
	width, height := d.one(tagWidth, 0), d.one(tagHeight, 0)
	if width == 0 || height == 0 || width > maxRasterSide || height > maxRasterSide {
		return corrupt("size %d×%d", width, height)
	}
	r.Width, r.Height, r.order = int(width), int(height), d.order
	bands, bits := d.one(tagBands, 1), d.one(tagBits, 1)
	format := d.one(tagSampleFormat, 1)
	if bands == 0 || bands > 1<<10 || bits > 64 || bits == 0 {
		return corrupt("%d bands of %d bits", bands, bits)
	}
	for _, b := range d.values[tagBits] {
		if b != bits {
			return fmt.Errorf("%w: tiff: bands of different depth", errUnsupported)
		}
	}
	if bits != 8 && bits != 16 || format != 1 {
		return fmt.Errorf("%w: tiff: samples of %d bits and format %d; unsigned ones of 8 and 16 bits are read", errUnsupported, bits, format)
	}
	r.Bands, r.Bits, r.orientation = int(bands), int(bits), int(d.one(tagOrientation, 1))
	if r.orientation < 1 || r.orientation > 8 {
		r.orientation = 1
	}
	r.compression, r.predictor = int(d.one(tagCompression, 1)), int(d.one(tagPredictor, 1))
	r.photometry, r.planar = int(d.one(tagPhotometry, 1)), d.one(tagPlanar, 1) == 2 && bands > 1
	r.tables = d.bytes[tagJPEGTables]
	if err := r.checkColour(d); err != nil {
		return err
	}
	return r.layBlocks(d, corrupt)
}

// errUnsupported tells of a TIFF that this reader leaves to the general decoder.
var errUnsupported = fmt.Errorf("%w, or not read", ErrFormat)

func (r *Raster) checkColour(d *directory) error {
	switch r.photometry {
	case whiteIsZero, blackIsZero:
	case rgbColour, ycbcrColour:
		if r.Bands < 3 {
			return fmt.Errorf("%w: tiff: colour of %d bands", ErrCorrupt, r.Bands)
		}
		if r.photometry == ycbcrColour && r.compression != codecJPEG {
			return fmt.Errorf("%w: tiff: YCbCr without JPEG", errUnsupported)
		}
	case paletteColour:
		colours := d.values[tagPalette]
		if r.Bits != 8 || len(colours) != 3*256 {
			return fmt.Errorf("%w: tiff: a palette of %d values for %d bits", ErrCorrupt, len(colours), r.Bits)
		}
		r.palette = make([]byte, 3*256)
		for i := range 256 {
			for k := range 3 {
				r.palette[3*i+k] = byte(colours[k*256+i] >> 8)
			}
		}
	default:
		return fmt.Errorf("%w: tiff: colour model %d", errUnsupported, r.photometry)
	}
	switch r.compression {
	case codecNone, codecLZW, codecDeflate, codecOldDeflate, codecPackBits:
	case codecJPEG:
		if r.Bits != 8 {
			return fmt.Errorf("%w: tiff: JPEG of %d bits", errUnsupported, r.Bits)
		}
	default:
		return fmt.Errorf("%w: tiff: compression %d; plain, LZW, JPEG, deflate and PackBits are read", errUnsupported, r.compression)
	}
	if r.predictor != 1 && r.predictor != 2 {
		return fmt.Errorf("%w: tiff: predictor %d", errUnsupported, r.predictor)
	}
	return nil
}

// layBlocks finds the tiles or strips.
func (r *Raster) layBlocks(d *directory, corrupt func(string, ...any) error) error {
	tiled := d.has(tagTileWidth)
	r.blockW, r.blockH = r.Width, int(min(d.one(tagRowsPerStrip, uint64(r.Height)), uint64(r.Height)))
	r.offsets, r.counts = d.values[tagStripOffsets], d.values[tagStripCounts]
	if tiled {
		w, h := d.one(tagTileWidth, 0), d.one(tagTileHeight, 0)
		if w > maxRasterSide || h > maxRasterSide {
			return corrupt("tiles of %d×%d", w, h)
		}
		r.blockW, r.blockH = int(w), int(h)
		r.offsets, r.counts = d.values[tagTileOffsets], d.values[tagTileCounts]
	}
	if r.blockW <= 0 || r.blockH <= 0 {
		return corrupt("blocks of %d×%d", r.blockW, r.blockH)
	}
	if n := int64(r.blockW) * int64(r.blockH) * int64(r.blockBands()) * int64(r.Bits/8); n > maxBlockBytes {
		if r.compression != codecNone || int64(r.blockW)*int64(r.blockBands()*r.Bits/8) > maxBlockBytes {
			return fmt.Errorf("%w: tiff: blocks of %d×%d unpack to %d bytes, the limit is %d; write it in tiles (gdal_translate -co TILED=YES)", ErrTooLarge, r.blockW, r.blockH, n, maxBlockBytes)
		}
		// A plain strip may be read in parts.
		if !tiled {
			r.splitStrip()
		}
	}
	r.across, r.down = (r.Width+r.blockW-1)/r.blockW, (r.Height+r.blockH-1)/r.blockH
	want := int64(r.across) * int64(r.down)
	if r.planar {
		want *= int64(r.Bands)
	}
	if want > maxBlocks {
		return corrupt("%d blocks", want)
	}
	if r.counts == nil && len(r.offsets) == 1 && r.compression == codecNone { // some old writers leave it out
		r.counts = []uint64{uint64(r.size) - min(r.offsets[0], uint64(r.size))}
	}
	if int64(len(r.offsets)) != want || int64(len(r.counts)) != want {
		return corrupt("%d offsets and %d lengths of blocks, %d×%d pixels need %d", len(r.offsets), len(r.counts), r.Width, r.Height, want)
	}
	for i, at := range r.offsets {
		if n := r.counts[i]; at > uint64(r.size) || n > uint64(r.size)-at {
			return corrupt("block %d ends at byte %d of %d", i, at+n, r.size)
		}
	}
	return nil
}

// splitStrip divides plain strips so that each part is a small block.
func (r *Raster) splitStrip() {
	row := uint64(r.blockW * r.blockBands() * r.Bits / 8)
	per := max(int((8<<20)/row), 1)
	var offsets, counts []uint64
	for i, at := range r.offsets {
		rows := uint64(min(r.blockH, r.Height-i*r.blockH))
		if i >= len(r.counts) || r.counts[i] < rows*row || r.blockH%per != 0 && len(r.offsets) > 1 {
			return // left to the check of lengths, or to the limit
		}
		for y := uint64(0); y < rows; y += uint64(per) {
			offsets, counts = append(offsets, at+y*row), append(counts, min(uint64(per), rows-y)*row)
		}
	}
	r.blockH, r.offsets, r.counts = per, offsets, counts
}

// blockBands is how many bands a block holds.
func (r *Raster) blockBands() int {
	if r.planar {
		return 1
	}
	return r.Bands
}

// Upright tells whether pixels lie as they are to be displayed.
func (r *Raster) Upright() bool { return r.orientation == 1 }

// ReadWindow reads the part of the picture at (x, y) into dst, RGB; what lies
// outside of the picture is black.
func (r *Raster) ReadWindow(dst wildtrain.Image, x, y int) (err error) {
	defer recoverAs(&err)
	clear(dst.U8)
	want := image.Rect(x, y, x+dst.Width, y+dst.Height).Intersect(image.Rect(0, 0, r.Width, r.Height))
	if want.Empty() {
		return nil
	}
	planes := 1
	if r.planar {
		planes = min(r.Bands, 3)
		if planes == 2 || r.photometry < rgbColour {
			planes = 1
		}
	}
	for by := want.Min.Y / r.blockH; by*r.blockH < want.Max.Y; by++ {
		for bx := want.Min.X / r.blockW; bx*r.blockW < want.Max.X; bx++ {
			part := image.Rect(bx*r.blockW, by*r.blockH, (bx+1)*r.blockW, (by+1)*r.blockH)
			for plane := range planes {
				b, err := r.block((plane*r.down+by)*r.across + bx)
				if err != nil {
					return err
				}
				if b != nil {
					r.draw(dst, x, y, b, part.Min, part.Intersect(want), plane, planes)
				} else if r.photometry == whiteIsZero {
					r.draw(dst, x, y, &block{pix: make([]byte, r.blockW*r.blockH*r.blockBands()), rows: r.blockH}, part.Min, part.Intersect(want), plane, planes)
				}
			}
		}
	}
	return nil
}

// draw copies the part of a block that is wanted, as RGB.
func (r *Raster) draw(dst wildtrain.Image, x0, y0 int, b *block, corner image.Point, part image.Rectangle, plane, planes int) {
	n := r.blockBands()
	for y := part.Min.Y; y < min(part.Max.Y, corner.Y+b.rows); y++ {
		src := b.pix[((y-corner.Y)*r.blockW+part.Min.X-corner.X)*n:]
		row := dst.U8[((y-y0)*dst.Width+part.Min.X-x0)*3:][:part.Dx()*3]
		switch {
		case planes == 3:
			for i := range part.Dx() {
				row[3*i+plane] = src[i]
			}
		case r.palette != nil:
			for i := range part.Dx() {
				copy(row[3*i:3*i+3], r.palette[3*int(src[i*n]):])
			}
		case r.photometry == rgbColour || r.photometry == ycbcrColour: // which JPEG has turned into RGB
			for i := range part.Dx() {
				copy(row[3*i:3*i+3], src[i*n:i*n+3])
			}
		default:
			for i := range part.Dx() {
				v := src[i*n]
				if r.photometry == whiteIsZero {
					v = 255 - v
				}
				row[3*i], row[3*i+1], row[3*i+2] = v, v, v
			}
		}
	}
}

// block returns a block from the cache or the file, nil where it is not in the file.
func (r *Raster) block(index int) (*block, error) {
	if r.offsets[index] == 0 || r.counts[index] == 0 {
		return nil, nil
	}
	r.mu.Lock()
	if e := r.blocks[index]; e != nil {
		r.recent.MoveToFront(e)
		r.mu.Unlock()
		return e.Value.(*block), nil
	}
	r.mu.Unlock()
	b, err := r.load(index)
	if err != nil {
		return nil, fmt.Errorf("%w: tiff: block %d: %w", ErrCorrupt, index, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.blocks[index] == nil {
		r.blocks[index] = r.recent.PushFront(b)
		r.held += int64(len(b.pix))
	}
	for r.held > cachedBytes && r.recent.Len() > 1 {
		old := r.recent.Remove(r.recent.Back()).(*block)
		delete(r.blocks, old.index)
		r.held -= int64(len(old.pix))
	}
	return b, nil
}

// load reads and unpacks a block.
func (r *Raster) load(index int) (*block, error) {
	b := &block{index: index, rows: r.blockH}
	if row := index / r.across % r.down; r.blockW == r.Width { // a strip: the last one may be short
		b.rows = min(r.blockH, r.Height-row*r.blockH)
	}
	n := r.blockBands()
	need := r.blockW * b.rows * n * r.Bits / 8
	// No sound block is much longer than what it unpacks to.
	packed := make([]byte, min(r.counts[index], uint64(2*need)+1<<16))
	if m, err := r.at.ReadAt(packed, int64(r.offsets[index])); m < len(packed) {
		return nil, err
	}
	pix, err := r.unpack(packed, need)
	if err != nil {
		return nil, err
	}
	if len(pix) < need {
		return nil, fmt.Errorf("%d of %d bytes", len(pix), need)
	}
	b.pix = pix[:need]
	if r.predictor == 2 && r.compression != codecJPEG {
		r.addUp(b.pix, r.blockW*n)
	}
	if r.Bits == 16 {
		b.pix = r.highBytes(b.pix)
	}
	return b, nil
}
