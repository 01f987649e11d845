package imageio_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// golden reads an expected picture with the standard library only.
func golden(t *testing.T, path string) wildtrain.Image {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	src, err := png.Decode(f)
	require.NoError(t, err)
	b := src.Bounds()
	out := wildtrain.Image{Width: b.Dx(), Height: b.Dy(), Channels: 3}
	for y := range b.Dy() {
		for x := range b.Dx() {
			c := color.NRGBAModel.Convert(src.At(x, y)).(color.NRGBA)
			out.U8 = append(out.U8, c.R, c.G, c.B)
		}
	}
	return out
}

// differences returns the share of values further apart than tol, and the largest distance.
func differences(a, b []byte, tol int) (share float64, largest int) {
	n := 0
	for i, v := range a {
		d := int(v) - int(b[i])
		d = max(d, -d)
		if d > tol {
			n++
		}
		largest = max(largest, d)
	}
	return float64(n) / float64(max(len(a), 1)), largest
}

func TestDecodeEqualsPeers(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden.png")
	require.NoError(t, err)
	require.Len(t, files, 52)
	for _, g := range files {
		name := strings.TrimSuffix(g, ".golden.png")
		t.Run(filepath.Base(name), func(t *testing.T) {
			want := golden(t, g)
			got, err := imageio.DecodeFile(name, imageio.Options{Strict: true})
			require.NoError(t, err)
			require.Equal(t, [3]int{want.Height, want.Width, 3}, [3]int{got.Height, got.Width, got.Channels})
			share, largest := differences(got.U8, want.U8, 1)
			assert.LessOrEqual(t, share, 0.01, "values more than one level off; the largest distance is %d", largest)
			assert.LessOrEqual(t, largest, 3)
			if !strings.HasSuffix(name, ".jpg") && !strings.HasSuffix(name, "jpeg.tif") {
				assert.Zero(t, largest, "all but JPEG are exact")
			}
			h, err := imageio.ReadHeaderFile(name)
			require.NoError(t, err)
			assert.Equal(t, [2]int{want.Width, want.Height}, [2]int{h.Width, h.Height})
		})
	}
}

func TestDamagedFiles(t *testing.T) {
	whole, err := os.ReadFile("testdata/420.jpg")
	require.NoError(t, err)
	scan := bytes.Index(whole, []byte{0xff, 0xda})
	require.Positive(t, scan)
	garbled := slices.Clone(whole)
	for i := scan + 300; i < scan+360; i += 2 {
		garbled[i], garbled[i+1] = 0xff, 0x00 // a stuffed run of ones: never a Huffman code
	}
	bomb := slices.Clone(whole)
	sof := bytes.Index(whole, []byte{0xff, 0xc0})
	copy(bomb[sof+5:], []byte{0xff, 0xff, 0xff, 0xff})
	pngFile, err := os.ReadFile("testdata/rgb.png")
	require.NoError(t, err)
	tests := []struct {
		name string
		data []byte
		is   error
		says string
	}{
		{"cut off jpeg", whole[:len(whole)*2/3], imageio.ErrCorrupt, "cut off"},
		{"cut off in the header", whole[:30], imageio.ErrCorrupt, "jpeg"},
		{"garbled scan", garbled, imageio.ErrCorrupt, "jpeg"},
		{"bomb", bomb, imageio.ErrTooLarge, "65535×65535"},
		{"cut off png", pngFile[:len(pngFile)/2], imageio.ErrCorrupt, "png"},
		{"text", []byte("hello"), imageio.ErrFormat, "unknown"},
		{"empty", nil, imageio.ErrFormat, "unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := imageio.Decode(tt.data, imageio.Options{})
			require.ErrorIs(t, err, tt.is)
			assert.ErrorContains(t, err, tt.says)
		})
	}
	_, err = imageio.DecodeFile("testdata/truncated.jpg", imageio.Options{})
	assert.ErrorContains(t, err, "testdata/truncated.jpg")
	_, err = imageio.ReadHeaderFile("testdata/truncated.jpg")
	assert.ErrorContains(t, err, "testdata/truncated.jpg: imageio: damaged picture: jpeg: cut off")
	_, err = imageio.Decode(whole, imageio.Options{MaxPixels: 61*47 - 1})
	assert.ErrorIs(t, err, imageio.ErrTooLarge)
	_, err = imageio.Decode(whole, imageio.Options{MaxPixels: 61 * 47})
	assert.NoError(t, err)
}

// A black corner looks like damage to the quick check; it must decode all the same.
func TestBlackPicturesAreSound(t *testing.T) {
	for _, src := range []image.Image{image.NewGray(image.Rect(0, 0, 20, 20)), image.NewRGBA(image.Rect(0, 0, 20, 20))} {
		var buf bytes.Buffer
		require.NoError(t, jpeg.Encode(&buf, src, nil))
		im, err := imageio.Decode(buf.Bytes(), imageio.Options{})
		require.NoError(t, err)
		assert.Equal(t, make([]byte, 20*20*3), im.U8)
	}
}

func TestBuffersAreReused(t *testing.T) {
	var b imageio.Buffers
	first := b.Get(100)
	b.Put(first)
	second := b.Get(90)
	assert.Same(t, &first[0], &second[0])
	assert.Len(t, second, 90)
	b.Put(make([]byte, 1000))
	assert.LessOrEqual(t, cap(b.Get(10)), 100, "a far larger buffer is not tied up by a small one")
}

// Files longer than what is read of their head: the end alone tells that they are whole.
func TestHeadersOfLongFiles(t *testing.T) {
	noise := image.NewGray(image.Rect(0, 0, 400, 400))
	for i := range noise.Pix {
		noise.Pix[i] = byte(i * i >> 3)
	}
	var buf bytes.Buffer
	require.NoError(t, jpeg.Encode(&buf, noise, &jpeg.Options{Quality: 100}))
	require.Greater(t, buf.Len(), 80<<10)
	path := filepath.Join(t.TempDir(), "a.jpg")
	for _, tt := range []struct {
		data  []byte
		whole bool
	}{
		{buf.Bytes(), true},
		{buf.Bytes()[:buf.Len()-2], false},
		{append(slices.Clone(buf.Bytes()), make([]byte, 1000)...), true}, // cameras append things
	} {
		require.NoError(t, os.WriteFile(path, tt.data, 0o644))
		h, err := imageio.ReadHeaderFile(path)
		assert.Equal(t, tt.whole, err == nil, "%v", err)
		assert.Equal(t, 400, h.Width)
	}
}

func TestIsPicture(t *testing.T) {
	assert.True(t, imageio.IsPicture("a/B.JPG"))
	assert.True(t, imageio.IsPicture("b.tiff"))
	assert.False(t, imageio.IsPicture("labels.txt"))
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		if strings.Contains(path, "golden") || strings.HasSuffix(path, ".json") {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			continue // the corpus folder
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		im, err := imageio.Decode(data, imageio.Options{MaxPixels: 1 << 16})
		if err != nil {
			return
		}
		h, err := imageio.ReadHeader(data)
		if err != nil || len(im.U8) != im.Width*im.Height*3 || h.Width != im.Width || h.Height != im.Height {
			t.Fatalf("picture %d×%d with %d bytes, header %+v, %v", im.Width, im.Height, len(im.U8), h, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	src := image.NewYCbCr(image.Rect(0, 0, 1280, 960), image.YCbCrSubsampleRatio420)
	for i := range src.Y {
		src.Y[i] = byte(i*7 ^ i>>9)
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, src, &jpeg.Options{Quality: 85}); err != nil {
		b.Fatal(err)
	}
	var pool imageio.Buffers
	b.SetBytes(1280 * 960)
	for b.Loop() {
		im, err := imageio.Decode(buf.Bytes(), imageio.Options{Alloc: pool.Get})
		if err != nil {
			b.Fatal(err)
		}
		pool.Put(im.U8)
	}
}
