package imageio

import (
	"encoding/binary"
	"image"
)

// baseline decodes the kind of JPEG that cameras write: 8-bit, sequential,
// Huffman-coded, grey or YCbCr, all components in one scan. Anything else, and
// anything odd in the data, makes it give up: more patient decoders then decide.
// Planes come from o.Alloc, and are at least 1/denominator of the picture's size.
func baseline(data []byte, o Options) (planes image.Image, ok bool) {
	d := &baselineDecoder{data: data, o: o}
	if !d.header() {
		return nil, false
	}
	d.shrink()
	d.allocate()
	if !d.scan() {
		d.release()
		return nil, false
	}
	return d.picture(), true
}

type baselineDecoder struct {
	data          []byte
	o             Options
	width, height int
	denominator   int // 1, 2, 4 or 8
	comps         []component
	quant         [4]*[64]int32 // in the order of the file
	dc, ac        [4]*huffman
	restart       int // MCUs between markers; 0: none
	bits          bitReader
}

// component is one plane.
type component struct {
	id     byte
	h, v   int // blocks in an MCU
	quant  int
	dc, ac *huffman
	q      *[64]int32
	side   int // of what a block becomes: 8, 4, 2 or 1
	stride int
	pix    []byte
	pred   int32
}

const (
	markSOF0, markSOF1 = 0xc0, 0xc1
	markDHT, markDQT   = 0xc4, 0xdb
	markDRI, markSOS   = 0xdd, 0xda
	markAdobe          = 0xee
)

// header reads the segments up to the scan and leaves the reader at its data.
func (d *baselineDecoder) header() bool {
	data := d.data
	at := 2
	for at+4 <= len(data) {
		if data[at] != 0xff {
			return false
		}
		marker := data[at+1]
		if marker == 0xff {
			at++
			continue
		}
		n := int(binary.BigEndian.Uint16(data[at+2:]))
		if n < 2 || at+2+n > len(data) {
			return false
		}
		body := data[at+4 : at+2+n]
		at += 2 + n
		fine := true
		switch {
		case marker == markSOF0 || marker == markSOF1:
			fine = d.frame(body)
		case marker >= 0xc0 && marker <= 0xcf && marker != markDHT || marker == 0xd9:
			return false // another coding, or the end
		case marker == markDHT:
			fine = d.huffmans(body)
		case marker == markDQT:
			fine = d.quants(body)
		case marker == markDRI:
			if fine = len(body) == 2; fine {
				d.restart = int(binary.BigEndian.Uint16(body))
			}
		case marker == markAdobe && len(body) >= 12 && string(body[:5]) == "Adobe":
			fine = body[11] == 1 // YCbCr
		case marker == markSOS:
			d.bits = bitReader{data: data, at: at}
			return d.start(body)
		}
		if !fine {
			return false
		}
	}
	return false
}

func (d *baselineDecoder) frame(b []byte) bool {
	if len(b) < 6 || b[0] != 8 || d.comps != nil {
		return false
	}
	d.height, d.width = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	n := int(b[5])
	if d.width == 0 || d.height == 0 || n != 1 && n != 3 || len(b) != 6+3*n {
		return false
	}
	for i := range n {
		c := b[6+3*i:]
		d.comps = append(d.comps, component{id: c[0], h: int(c[1] >> 4), v: int(c[1] & 15), quant: int(c[2])})
		if c[2] > 3 {
			return false
		}
	}
	if n == 1 {
		d.comps[0].h, d.comps[0].v = 1, 1 // alone, its blocks come in the order of the picture
		return true
	}
	y, cb, cr := d.comps[0], d.comps[1], d.comps[2]
	plain := cb.h == 1 && cb.v == 1 && cr.h == 1 && cr.v == 1
	return plain && y.h >= 1 && y.h <= 2 && y.v >= 1 && y.v <= 2 && !(y.id == 'R' && cb.id == 'G')
}

func (d *baselineDecoder) quants(b []byte) bool {
	for len(b) > 0 {
		wide, id := b[0]>>4, b[0]&15
		size := 64
		if wide == 1 {
			size = 128
		}
		if wide > 1 || id > 3 || len(b) < 1+size {
			return false
		}
		t := new([64]int32)
		for i := range t {
			if wide == 1 {
				t[i] = int32(binary.BigEndian.Uint16(b[1+2*i:]))
			} else {
				t[i] = int32(b[1+i])
			}
		}
		d.quant[id] = t
		b = b[1+size:]
	}
	return true
}

func (d *baselineDecoder) huffmans(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 17 || b[0]>>4 > 1 || b[0]&15 > 3 {
			return false
		}
		t, n := newHuffman(b[1:17], b[17:], b[0]>>4 == 1)
		if t == nil {
			return false
		}
		if b[0]>>4 == 0 {
			d.dc[b[0]&15] = t
		} else {
			d.ac[b[0]&15] = t
		}
		b = b[17+n:]
	}
	return true
}

// start reads the scan's header, which must name all components in order.
func (d *baselineDecoder) start(b []byte) bool {
	n := len(d.comps)
	if n == 0 || len(b) != 4+2*n || int(b[0]) != n || b[1+2*n] != 0 || b[2+2*n] != 63 || b[3+2*n] != 0 {
		return false
	}
	for i := range d.comps {
		c := &d.comps[i]
		tables := b[2+2*i]
		if b[1+2*i] != c.id || tables>>4 > 3 || tables&15 > 3 {
			return false
		}
		c.dc, c.ac, c.q = d.dc[tables>>4], d.ac[tables&15], d.quant[c.quant]
		if c.dc == nil || c.ac == nil || c.q == nil {
			return false
		}
	}
	return true
}

// shrink chooses the denominator by the size that is asked for.
func (d *baselineDecoder) shrink() {
	d.denominator = 1
	for _, n := range [...]int{2, 4, 8} {
		if d.o.MinWidth > 0 && (d.width+n-1)/n >= d.o.MinWidth && (d.height+n-1)/n >= d.o.MinHeight {
			d.denominator = n
		}
	}
}

// allocate lays the planes out, on whole MCUs. Where both directions are
// subsampled, a smaller picture needs the chroma less reduced than the luma.
func (d *baselineDecoder) allocate() {
	across, down := d.mcus()
	luma := d.comps[0]
	for i := range d.comps {
		c := &d.comps[i]
		c.side = 8 / d.denominator
		if i > 0 && luma.h == 2 && luma.v == 2 && d.denominator > 1 {
			c.side *= 2
		}
		c.stride = across * c.h * c.side
		c.pix = d.o.alloc(c.stride * down * c.v * c.side)
	}
}

func (d *baselineDecoder) mcus() (across, down int) {
	w, h := 8*d.comps[0].h, 8*d.comps[0].v
	return (d.width + w - 1) / w, (d.height + h - 1) / h
}

func (d *baselineDecoder) release() {
	for _, c := range d.comps {
		d.o.free(c.pix)
	}
}

// picture puts the planes together.
func (d *baselineDecoder) picture() image.Image {
	w, h := (d.width+d.denominator-1)/d.denominator, (d.height+d.denominator-1)/d.denominator
	y := d.comps[0]
	if len(d.comps) == 1 {
		return &image.Gray{Pix: y.pix, Stride: y.stride, Rect: image.Rect(0, 0, w, h)}
	}
	cb, cr := d.comps[1], d.comps[2]
	ratio := map[[2]int]image.YCbCrSubsampleRatio{
		{1, 1}: image.YCbCrSubsampleRatio444, {2, 1}: image.YCbCrSubsampleRatio422,
		{1, 2}: image.YCbCrSubsampleRatio440, {2, 2}: image.YCbCrSubsampleRatio420,
	}[[2]int{y.h, y.v}]
	if cb.side > y.side {
		ratio = image.YCbCrSubsampleRatio444
	}
	return &image.YCbCr{
		Y: y.pix, Cb: cb.pix, Cr: cr.pix, YStride: y.stride, CStride: cb.stride,
		SubsampleRatio: ratio, Rect: image.Rect(0, 0, w, h),
	}
}

// scan decodes all MCUs.
func (d *baselineDecoder) scan() bool {
	across, down := d.mcus()
	var block [64]int32
	left, next := d.restart, byte(0xd0)
	for row := range down {
		for col := range across {
			for i := range d.comps {
				c := &d.comps[i]
				for k := range c.h * c.v {
					last := d.bits.block(&block, c)
					if last < 0 {
						return false
					}
					x, y := (col*c.h+k%c.h)*c.side, (row*c.v+k/c.h)*c.side
					c.put(&block, last, y*c.stride+x)
				}
			}
			if left--; left == 0 && (row < down-1 || col < across-1) {
				if !d.bits.marker(next) {
					return false
				}
				for i := range d.comps {
					d.comps[i].pred = 0
				}
				left, next = d.restart, 0xd0|(next+1)&7
			}
		}
	}
	return d.bits.sound()
}

// put makes pixels of a block and leaves it empty.
func (c *component) put(block *[64]int32, last, at int) {
	dst := c.pix[at:]
	switch c.side {
	case 8:
		if last == 0 {
			flat(dst, c.stride, block[0])
		} else {
			idct8(block, dst, c.stride)
		}
	case 4:
		idct4(block, dst, c.stride)
	case 2:
		idct2(block, dst, c.stride)
	default:
		dst[0] = level((block[0] + 4) >> 3)
	}
	if last == 0 {
		block[0] = 0
	} else {
		clear(block[:])
	}
}
