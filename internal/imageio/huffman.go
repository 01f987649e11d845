package imageio

import "encoding/binary"

// quickBits is how many bits the tables look at once.
const quickBits = 10

// huffman decodes one kind of symbols: a number of zeros and the size of the
// value after them.
type huffman struct {
	// quick holds, by the next bits: the value (high half), the zeros before it
	// and the length of code and value together; 0 where that is longer. The end
	// of a block has endRun zeros.
	quick [1 << quickBits]int32
	// code holds symbol and length of codes that are no longer than quickBits.
	code [1 << quickBits]uint16
	// For longer ones: limit[n] is the first code of n bits, left-aligned in 16,
	// that is none; offset[n] leads from a code to its symbol.
	limit  [18]uint32
	offset [18]int32
	values [256]byte
}

const endRun = 63

// newHuffman makes the tables of the numbers of codes by length and their
// symbols, and tells how many symbols there are; nil for impossible ones.
func newHuffman(counts, symbols []byte, ac bool) (*huffman, int) {
	t := &huffman{}
	code, k := uint32(0), 0
	for n := 1; n <= 16; n++ {
		t.offset[n] = int32(k) - int32(code)
		for range counts[n-1] {
			if k >= len(symbols) || k >= len(t.values) || code >= 1<<n {
				return nil, 0
			}
			t.values[k] = symbols[k]
			if n <= quickBits {
				for i := code << (quickBits - n); i < (code+1)<<(quickBits-n); i++ {
					t.code[i] = uint16(symbols[k])<<8 | uint16(n)
				}
			}
			code++
			k++
		}
		t.limit[n] = code << (16 - n)
		code <<= 1
	}
	if ac {
		t.fill()
	}
	return t, k
}

// fill makes the quick table of the codes.
func (t *huffman) fill() {
	for i := range t.quick {
		n, run, size := int(t.code[i]&255), int32(t.code[i]>>12), int(t.code[i]>>8&15)
		switch {
		case n == 0:
		case size == 0 && run == 0:
			t.quick[i] = endRun<<8 | int32(n)
		case size > 0 && n+size <= quickBits:
			v := int32(i) >> (quickBits - n - size) & (1<<size - 1)
			t.quick[i] = extend(v, size)<<16 | run<<8 | int32(n+size)
		}
	}
}

// extend makes a signed value of its bits.
func extend(v int32, size int) int32 {
	if v < 1<<(size-1) {
		v += -1<<size + 1
	}
	return v
}

// bitReader reads the entropy-coded data. The next bits are the highest of acc;
// n of them count. Behind the data zeros are read, which sound detects.
type bitReader struct {
	data []byte
	at   int
	acc  uint64
	n    int
	pad  int // bits of n that are no data
}

// refill brings n to at least 57.
func (r *bitReader) refill() {
	if r.at+8 <= len(r.data) {
		w := binary.BigEndian.Uint64(r.data[r.at:])
		if inv := ^w; (inv-0x0101010101010101)&w&0x8080808080808080 == 0 { // no byte of ones
			k := (64 - r.n) >> 3
			r.acc |= w >> r.n
			r.at += k
			r.n += k << 3
			return
		}
	}
	for r.n <= 56 {
		var b byte
		switch {
		case r.at >= len(r.data):
			r.pad += 8
		case r.data[r.at] != 0xff:
			b = r.data[r.at]
			r.at++
		case r.at+1 < len(r.data) && r.data[r.at+1] == 0:
			b = 0xff
			r.at += 2
		default: // a marker
			r.pad += 8
		}
		// What a quick fill has left below n is of the bytes that come now.
		r.acc = r.acc&^(uint64(0xff)<<(56-r.n)) | uint64(b)<<(56-r.n)
		r.n += 8
	}
}

// sound tells whether no more was read than there is.
func (r *bitReader) sound() bool { return r.pad <= r.n }

// marker skips to a restart marker, which must be the next one.
func (r *bitReader) marker(want byte) bool {
	if !r.sound() {
		return false
	}
	// Bytes read ahead belong to the data before the marker: it stops the reader.
	for r.at+1 < len(r.data) && r.data[r.at] == 0xff && r.data[r.at+1] == 0xff {
		r.at++
	}
	if r.n-r.pad >= 8 || r.at+1 >= len(r.data) || r.data[r.at] != 0xff || r.data[r.at+1] != want {
		return false
	}
	r.at += 2
	r.acc, r.n, r.pad = 0, 0, 0
	return true
}

// symbol reads one code, which may be of any length; ok is false where there is none.
func (r *bitReader) symbol(t *huffman) (s byte, ok bool) {
	if e := t.code[r.acc>>(64-quickBits)]; e != 0 {
		r.acc <<= e & 255
		r.n -= int(e & 255)
		return byte(e >> 8), true
	}
	look := uint32(r.acc >> 48)
	for n := quickBits + 1; n <= 16; n++ {
		if look < t.limit[n] {
			r.acc <<= n
			r.n -= n
			return t.values[uint8(int32(look>>(16-n))+t.offset[n])], true
		}
	}
	return 0, false
}

// value reads a signed value of some bits.
func (r *bitReader) value(size int) int32 {
	if size == 0 {
		return 0
	}
	v := int32(r.acc >> (64 - size))
	r.acc <<= size
	r.n -= size
	return extend(v, size)
}

// block reads the coefficients of a block into b, which is empty: multiplied by
// their quantisers, columns first. It returns the place of the last one in the
// file's order, −1 for damaged data.
func (r *bitReader) block(b *[64]int32, c *component) (last int) {
	r.refill()
	size, ok := r.symbol(c.dc)
	if !ok || size > 11 {
		return -1
	}
	c.pred += r.value(int(size))
	b[0] = c.pred * c.q[0]
	acc, n, at, t, q := r.acc, r.n, r.at, c.ac, c.q
	for k := 1; k < 64; k++ {
		if n < 32 {
			// refill, where the bytes are there and none of them is 0xff.
			w := uint64(0xff)
			if at+8 <= len(r.data) {
				w = binary.BigEndian.Uint64(r.data[at:])
			}
			if inv := ^w; (inv-0x0101010101010101)&w&0x8080808080808080 == 0 {
				acc |= w >> uint(n&63)
				at += (63 - n) >> 3
				n |= 56
			} else {
				r.acc, r.n, r.at = acc, n, at
				r.refill()
				acc, n, at = r.acc, r.n, r.at
			}
		}
		e := t.quick[acc>>(64-quickBits)]
		if e == 0 {
			r.acc, r.n = acc, n
			v, run, ok := r.long(t)
			if !ok {
				return -1
			}
			acc, n = r.acc, r.n
			e = v<<16 | run<<8
		}
		length := uint(e & 255)
		acc <<= length & 63
		n -= int(length)
		if k += int(e >> 8 & 255); k > 63 {
			if e>>8&255 != endRun {
				return -1
			}
			break
		}
		b[columns[k&63]] = e >> 16 * q[k&63]
		last = k
	}
	r.acc, r.n, r.at = acc, n, at
	return last
}

// long reads a coefficient whose code and value are longer than quickBits, and
// the number of zeros before it.
func (r *bitReader) long(t *huffman) (v, run int32, ok bool) {
	s, ok := r.symbol(t)
	if !ok {
		return 0, 0, false
	}
	run = int32(s >> 4)
	size := int(s & 15)
	switch {
	case size > 0:
		return r.value(size), run, true
	case run == 0:
		return 0, endRun, true
	case run == 15:
		return 0, run, true
	}
	return 0, 0, false // no sequential file has runs of empty blocks
}

// columns is the place of each coefficient of the file's order in a block that
// holds column after column.
var columns = [64]uint8{
	0, 8, 1, 2, 9, 16, 24, 17, 10, 3, 4, 11, 18, 25, 32, 40,
	33, 26, 19, 12, 5, 6, 13, 20, 27, 34, 41, 48, 56, 49, 42, 35,
	28, 21, 14, 7, 15, 22, 29, 36, 43, 50, 57, 58, 51, 44, 37, 30,
	23, 31, 38, 45, 52, 59, 60, 53, 46, 39, 47, 54, 61, 62, 55, 63,
}
