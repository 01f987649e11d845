package imageio

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/internal/xrand"
)

func file(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return data
}

// What cameras write is decoded here, not by the decoders behind (the goldens of
// TestGoldens are for both).
func TestBaselineTakesWhatCamerasWrite(t *testing.T) {
	for _, name := range []string{"444.jpg", "422.jpg", "420.jpg", "420even.jpg", "420tiny.jpg", "420two.jpg", "440.jpg", "grey.jpg", "restart.jpg", "exif6.jpg"} {
		_, ok := baseline(file(t, name), Options{})
		assert.True(t, ok, name)
	}
	for _, name := range []string{"progressive.jpg", "411.jpg", "truncated.jpg"} {
		_, ok := baseline(file(t, name), Options{})
		assert.False(t, ok, name)
	}
}

// A cut or a change anywhere never ends in a panic, and a cut in the data is found.
func TestBaselineGivesUpOnDamage(t *testing.T) {
	for _, name := range []string{"420.jpg", "restart.jpg", "grey.jpg"} {
		whole := file(t, name)
		for n := range len(whole) - 8 {
			_, ok := baseline(whole[:n], Options{})
			require.False(t, ok, "%s cut at %d of %d", name, n, len(whole))
		}
		r := xrand.New(4)
		for range 3000 {
			data := bytes.Clone(whole)
			data[r.IntN(len(data))] = byte(r.Uint64())
			baseline(data, Options{})
		}
	}
}

func FuzzBaseline(f *testing.F) {
	for _, name := range []string{"420.jpg", "restart.jpg", "grey.jpg", "444.jpg"} {
		f.Add(file(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := jpegHeader(append([]byte{0xff, 0xd8}, data...))
		if err == nil && h.Width*h.Height > 1<<20 {
			t.Skip("large")
		}
		if len(data) > 2 {
			baseline(data, Options{})
			baseline(data, Options{MinWidth: 1, MinHeight: 1})
		}
	})
}

// noisy is a picture with all frequencies.
func noisy(w, h int, seed uint64) *image.RGBA {
	r := xrand.New(seed)
	im := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range im.Pix {
		x, y := i/4%w, i/4/w
		im.Pix[i] = byte(128 + 80*math.Sin(float64(x+i%4)/5)*math.Cos(float64(y)/7) + 30*r.Normal())
	}
	return im
}

// The vector code gives what the plain code gives, bit by bit.
func TestVectorsEqualPlainCode(t *testing.T) {
	if !vectors {
		t.Skip("no vector code for this processor")
	}
	defer func() { vectors = true }()
	for seed := range uint64(12) {
		var buf bytes.Buffer
		require.NoError(t, jpeg.Encode(&buf, noisy(37+int(seed)*9, 30+int(seed)*5, seed), &jpeg.Options{Quality: 40 + 5*int(seed)}))
		for _, o := range []Options{{}, {MinWidth: 5, MinHeight: 5}, {MinWidth: 20, MinHeight: 12}} {
			vectors = true
			got, err := Decode(buf.Bytes(), o)
			require.NoError(t, err)
			vectors = false
			want, err := Decode(buf.Bytes(), o)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var b [64]int32
		for i := range b {
			b[i] = rapid.Int32Range(-20000, 20000).Draw(t, "coefficient")
		}
		got, want := make([]byte, 100), make([]byte, 100)
		vectors = true
		c := b
		idct8(&c, got, 11)
		idct8Go(&b, want, 11)
		if !bytes.Equal(want, got) {
			t.Fatal("the vector code differs")
		}
	})
}

// The integer transforms against the sum of cosines.
func TestTransformsEqualTheirDefinition(t *testing.T) {
	r := xrand.New(2)
	for range 200 {
		var b [64]int32
		for range 12 {
			b[r.IntN(64)] = int32(r.IntN(400)) - 200
		}
		b[0] = int32(r.IntN(1200)) - 600
		for _, side := range []int{8, 4, 2} {
			in, got := b, make([]byte, 64)
			map[int]func(*[64]int32, []byte, int){8: idct8Go, 4: idct4, 2: idct2}[side](&in, got, 8)
			for y := range side {
				for x := range side {
					sum := 0.0
					for u := range side {
						for v := range side {
							c := func(k, at int) float64 {
								if k == 0 {
									return math.Sqrt(1 / float64(side))
								}
								return math.Sqrt(2/float64(side)) * math.Cos(float64(2*at+1)*float64(k)*math.Pi/float64(2*side))
							}
							sum += float64(b[8*u+v]) * c(u, x) * c(v, y)
						}
					}
					want := min(max(sum*float64(side)/8+128, 0), 255)
					require.InDelta(t, want, float64(got[8*y+x]), 1, "side %d, (%d,%d)", side, x, y)
				}
			}
		}
	}
}

// A smaller picture is what averaging the whole one gives, nearly: to the eighth
// where it is smooth, and to a half where it is not.
func TestShrunkenPictures(t *testing.T) {
	smooth, grey := image.NewRGBA(image.Rect(0, 0, 200, 136)), image.NewGray(image.Rect(0, 0, 200, 136))
	for y := range 136 {
		for x := range 200 {
			for c := range 4 {
				smooth.Pix[smooth.PixOffset(x, y)+c] = byte(128 + 100*math.Sin(float64(x+9*c)/40)*math.Cos(float64(y)/30))
			}
			grey.Pix[grey.PixOffset(x, y)] = smooth.Pix[smooth.PixOffset(x, y)]
		}
	}
	encoded := func(im image.Image) []byte {
		var buf bytes.Buffer
		require.NoError(t, jpeg.Encode(&buf, im, &jpeg.Options{Quality: 95}))
		return buf.Bytes()
	}
	for name, c := range map[string]struct {
		data   []byte
		most   int
		within float64
	}{
		"smooth": {encoded(smooth), 8, 1}, "smooth grey": {encoded(grey), 8, 1},
		"420even": {file(t, "420even.jpg"), 2, 4}, "444": {file(t, "444.jpg"), 2, 4}, "422": {file(t, "422.jpg"), 2, 4}, "exif6": {file(t, "exif6.jpg"), 2, 4},
	} {
		whole, err := Decode(c.data, Options{})
		require.NoError(t, err)
		for n := 2; n <= c.most; n *= 2 {
			w, h := (whole.Width+n-1)/n, (whole.Height+n-1)/n
			got, err := Decode(c.data, Options{MinWidth: w, MinHeight: h})
			require.NoError(t, err)
			require.Equal(t, []int{w, h}, []int{got.Width, got.Height}, name)
			off, count := 0.0, 0
			for i := range whole.Height / n * (whole.Width / n) * 3 {
				y, x, ch := i/3/(whole.Width/n), i/3%(whole.Width/n), i%3
				sum := 0
				for k := range n * n {
					sum += int(whole.U8[((y*n+k/n)*whole.Width+x*n+k%n)*3+ch])
				}
				off += math.Abs(float64(sum)/float64(n*n) - float64(got.U8[(y*w+x)*3+ch]))
				count++
			}
			assert.Less(t, off/float64(count), c.within, "%s at 1/%d", name, n)
		}
		same, err := Decode(c.data, Options{MinWidth: (whole.Width+1)/2 + 1, MinHeight: 1})
		require.NoError(t, err)
		assert.Equal(t, whole.Width, same.Width, "%s: no denominator fits", name)
	}
}

// gathered collects a picture.
type gathered struct {
	width, height int
	pixels        []byte
}

func (g *gathered) Begin(w, h int) { g.width, g.height = w, h }

func (g *gathered) Row(_ int, rgb []byte) { g.pixels = append(g.pixels, rgb...) }

// Row by row comes the same picture; where that cannot be it comes whole.
func TestRowsAreThePicture(t *testing.T) {
	for name, streamed := range map[string]bool{"420.jpg": true, "444.jpg": true, "progressive.jpg": true, "exif6.jpg": false, "grey.jpg": false, "rgb.png": false} {
		whole, err := Decode(file(t, name), Options{})
		require.NoError(t, err)
		var g gathered
		im, err := Decode(file(t, name), Options{Rows: &g})
		require.NoError(t, err)
		assert.Equal(t, []int{whole.Width, whole.Height}, []int{im.Width, im.Height})
		if streamed {
			assert.Nil(t, im.U8, name)
			assert.Equal(t, whole.U8, g.pixels, name)
		} else {
			assert.Equal(t, whole, im, name)
			assert.Empty(t, g.pixels, name)
		}
	}
}

// What is lent for a while comes back.
func TestPlanesAreGivenBack(t *testing.T) {
	lent := 0
	o := Options{Alloc: func(n int) []byte { lent++; return make([]byte, n) }, Free: func([]byte) { lent-- }}
	_, err := Decode(file(t, "420.jpg"), o)
	require.NoError(t, err)
	assert.Equal(t, 1, lent, "the picture")
	_, ok := baseline(file(t, "truncated.jpg"), o)
	assert.False(t, ok)
	assert.Equal(t, 1, lent)
}

func BenchmarkDecode(b *testing.B) {
	var buf bytes.Buffer
	require.NoError(b, jpeg.Encode(&buf, noisy(1280, 960, 1), &jpeg.Options{Quality: 85}))
	for name, o := range map[string]Options{"exact": {}, "half": {MinWidth: 640, MinHeight: 480}} {
		b.Run(name, func(b *testing.B) {
			var buffers Buffers
			o.Alloc, o.Free = buffers.Get, buffers.Put
			b.SetBytes(int64(buf.Len()))
			b.ReportAllocs()
			for b.Loop() {
				im, err := Decode(buf.Bytes(), o)
				if err != nil {
					b.Fatal(err)
				}
				buffers.Put(im.U8)
			}
		})
	}
}
