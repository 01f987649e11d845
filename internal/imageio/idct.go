package imageio

// The inverse cosine transforms take a block that holds column after column and
// write its pixels, a row of dst every stride bytes.

// Constants of libjpeg's accurate integer transform (jidctint.c, after Loeffler,
// Ligtenberg and Moschytz 1989): 13 fractional bits.
const (
	fix0298631336 = 2446
	fix0390180644 = 3196
	fix0541196100 = 4433
	fix0765366865 = 6270
	fix0899976223 = 7373
	fix1175875602 = 9633
	fix1501321110 = 12299
	fix1847759065 = 15137
	fix1961570560 = 16069
	fix2053119869 = 16819
	fix2562915447 = 20995
	fix3072711026 = 25172
)

// level shifts a value to 0…255 and clips it.
func level(v int32) byte { return uint8(min(max(v+128, 0), 255)) }

// flat is the transform of a block whose first coefficient is its only one.
func flat(dst []byte, stride int, dc int32) {
	v := level((dc + 4) >> 3)
	for y := range 8 {
		row := dst[y*stride : y*stride+8 : y*stride+8]
		for x := range row {
			row[x] = v
		}
	}
}

func idct8Go(b *[64]int32, dst []byte, stride int) {
	const pass1, pass2 = 11, 18
	for v := range 8 { // along u
		line8(b, v, 8, pass1)
	}
	for x := range 8 { // along v
		line8(b, 8*x, 1, pass2)
	}
	for y := range 8 {
		row := dst[y*stride : y*stride+8 : y*stride+8]
		for x := range row {
			row[x] = level(b[8*x+y])
		}
	}
}

// line8 transforms eight values that lie step apart, in place.
func line8(b *[64]int32, at, step, shift int) {
	in := func(i int) int32 { return b[at+i*step] }
	z1 := (in(2) + in(6)) * fix0541196100
	t2, t3 := z1-in(6)*fix1847759065, z1+in(2)*fix0765366865
	half := int32(1) << (shift - 1)
	t0, t1 := (in(0)+in(4))<<13+half, (in(0)-in(4))<<13+half
	e0, e3, e1, e2 := t0+t3, t0-t3, t1+t2, t1-t2

	o0, o1, o2, o3 := in(7), in(5), in(3), in(1)
	z3, z4 := o0+o2, o1+o3
	z5 := (z3 + z4) * fix1175875602
	z3, z4 = z5-z3*fix1961570560, z5-z4*fix0390180644
	z1, z2 := (o0+o3)*fix0899976223, (o1+o2)*fix2562915447
	o0 = o0*fix0298631336 - z1 + z3
	o1 = o1*fix2053119869 - z2 + z4
	o2 = o2*fix3072711026 - z2 + z3
	o3 = o3*fix1501321110 - z1 + z4

	for i, v := range [8]int32{e0 + o3, e1 + o2, e2 + o1, e3 + o0, e3 - o0, e2 - o1, e1 - o2, e0 - o3} {
		b[at+i*step] = v >> shift
	}
}

// idct4 makes 4×4 pixels of the lowest 4×4 frequencies.
func idct4(b *[64]int32, dst []byte, stride int) {
	// cos(π/8)/√2·√½, sin(π/8)/√2·√½ and √½·½, in 13 bits.
	const c1, c3, c0 = 3784, 1567, 2896
	var t [16]int32
	for v := range 4 {
		even, odd := (b[v]+b[16+v])*c0, (b[v]-b[16+v])*c0
		p, q := b[8+v]*c1+b[24+v]*c3, b[8+v]*c3-b[24+v]*c1
		t[v], t[4+v], t[8+v], t[12+v] = (even+p)>>10, (odd+q)>>10, (odd-q)>>10, (even-p)>>10
	}
	for x := range 4 {
		in := t[4*x : 4*x+4 : 4*x+4]
		const half, shift = 1 << 15, 16
		even, odd := (in[0]+in[2])*c0+half, (in[0]-in[2])*c0+half
		p, q := in[1]*c1+in[3]*c3, in[1]*c3-in[3]*c1
		dst[x] = level((even + p) >> shift)
		dst[stride+x] = level((odd + q) >> shift)
		dst[2*stride+x] = level((odd - q) >> shift)
		dst[3*stride+x] = level((even - p) >> shift)
	}
}

// idct2 makes 2×2 pixels of the lowest 2×2 frequencies.
func idct2(b *[64]int32, dst []byte, stride int) {
	dc, h, v, d := b[0]+4, b[8], b[1], b[9]
	dst[0], dst[1] = level((dc+h+v+d)>>3), level((dc-h+v-d)>>3)
	dst[stride], dst[stride+1] = level((dc+h-v-d)>>3), level((dc-h-v+d)>>3)
}
