package imageio_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// Any window of any layout holds the pixels of the whole picture, black outside.
func TestWindowsArePartsOfTheWhole(t *testing.T) {
	files, err := filepath.Glob("testdata/*.tif")
	require.NoError(t, err)
	require.Len(t, files, 18)
	for _, file := range files {
		want := golden(t, file+".golden.png")
		t.Run(filepath.Base(file), func(t *testing.T) {
			r, err := imageio.OpenRaster(file)
			require.NoError(t, err)
			defer func() { assert.NoError(t, r.Close()) }()
			if !r.Upright() {
				return
			}
			whole, err := imageio.DecodeFile(file, imageio.Options{})
			require.NoError(t, err)
			require.Equal(t, [2]int{want.Width, want.Height}, [2]int{r.Width, r.Height})
			rapid.Check(t, func(t *rapid.T) {
				x, y := rapid.IntRange(-20, want.Width+5).Draw(t, "x"), rapid.IntRange(-20, want.Height+5).Draw(t, "y")
				w, h := rapid.IntRange(1, 60).Draw(t, "w"), rapid.IntRange(1, 60).Draw(t, "h")
				got := wildtrain.Image{Width: w, Height: h, Channels: 3, U8: bytes.Repeat([]byte{9}, w*h*3)}
				require.NoError(t, r.ReadWindow(got, x, y))
				for row := range h {
					for col := range w {
						var pixel [3]byte
						if p := image.Pt(x+col, y+row); p.In(image.Rect(0, 0, want.Width, want.Height)) {
							copy(pixel[:], whole.U8[(p.Y*want.Width+p.X)*3:])
						}
						if [3]byte(got.U8[(row*w+col)*3:]) != pixel {
							t.Fatalf("pixel %d, %d of the window at %d, %d", col, row, x, y)
						}
					}
				}
			})
		})
	}
}

// tag is one entry of a BigTIFF made here; offsets of long lists are filled in.
type tag struct {
	id, kind uint16
	values   []uint64
}

// bigTIFF writes a BigTIFF of RGB tiles, of which those that pixels gives nil are
// not in the file. It returns the bytes before the tiles and writes them by put.
func bigTIFF(width, height, side int, pixels func(x, y int) []byte, put func(at int64, data []byte)) (head []byte) {
	across, down := (width+side-1)/side, (height+side-1)/side
	offsets, counts := make([]uint64, across*down), make([]uint64, across*down)
	tags := []tag{
		{256, 4, []uint64{uint64(width)}}, {257, 4, []uint64{uint64(height)}}, {258, 3, []uint64{8, 8, 8}}, {259, 3, []uint64{1}},
		{262, 3, []uint64{2}}, {277, 3, []uint64{3}}, {322, 4, []uint64{uint64(side)}}, {323, 4, []uint64{uint64(side)}},
		{324, 16, offsets}, {325, 16, counts},
	}
	start := int64(16 + 8 + 20*len(tags) + 8 + 16*len(offsets))
	at := start
	for i := range offsets {
		if data := pixels(i%across*side, i/across*side); data != nil {
			put(at, data)
			offsets[i], counts[i] = uint64(at), uint64(side*side*3)
			at += int64(side * side * 3)
		}
	}
	le := binary.LittleEndian
	head = le.AppendUint64([]byte("II\x2b\x00\x08\x00\x00\x00"), 16)
	head = le.AppendUint64(head, uint64(len(tags)))
	long := uint64(16 + 8 + 20*len(tags) + 8)
	var lists []byte
	for _, g := range tags {
		head = le.AppendUint64(le.AppendUint16(le.AppendUint16(head, g.id), g.kind), uint64(len(g.values)))
		width := map[uint16]int{3: 2, 4: 4, 16: 8}[g.kind]
		var value []byte
		for _, v := range g.values {
			value = append(value, le.AppendUint64(nil, v)[:width]...)
		}
		if len(value) > 8 {
			head = le.AppendUint64(head, long+uint64(len(lists)))
			lists = append(lists, value...)
		} else {
			head = append(head, append(value, make([]byte, 8-len(value))...)...)
		}
	}
	return append(le.AppendUint64(head, 0), lists...)
}

func TestSparseTilesAreBlack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sparse.tif")
	f, err := os.Create(file)
	require.NoError(t, err)
	head := bigTIFF(100, 70, 32, func(x, y int) []byte {
		if x != 32 || y != 32 {
			return nil
		}
		return bytes.Repeat([]byte{1, 2, 3}, 32*32)
	}, func(at int64, data []byte) {
		_, err := f.WriteAt(data, at)
		require.NoError(t, err)
	})
	_, err = f.WriteAt(head, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	h, err := imageio.ReadHeaderFile(file)
	require.NoError(t, err)
	assert.Equal(t, imageio.Header{Format: "tiff", Width: 100, Height: 70, Orientation: 1, Windowed: true}, h)
	r, err := imageio.OpenRaster(file)
	require.NoError(t, err)
	defer r.Close()
	var group sync.WaitGroup
	for range 4 { // it is shared
		group.Go(func() {
			got := wildtrain.Image{Width: 2, Height: 1, Channels: 3, U8: make([]byte, 6)}
			assert.NoError(t, r.ReadWindow(got, 31, 40))
			assert.Equal(t, []byte{0, 0, 0, 1, 2, 3}, got.U8)
		})
	}
	group.Wait()
}

// What a directory says that cannot be is refused before memory is asked for.
func TestLyingTIFF(t *testing.T) {
	data, err := os.ReadFile("testdata/big.tif")
	require.NoError(t, err)
	for name, change := range map[string]func(d []byte){
		"width":   func(d []byte) { set(d, 256, 1<<31) },
		"zero":    func(d []byte) { set(d, 257, 0) },
		"tiles":   func(d []byte) { set(d, 322, 1<<30) },
		"bits":    func(d []byte) { set(d, 277, 1<<20) },
		"offsets": func(d []byte) { binary.LittleEndian.PutUint64(entry(d, 324)[12:], 1<<60) },
		"count":   func(d []byte) { binary.LittleEndian.PutUint64(entry(d, 325)[4:], 1<<61) },
	} {
		t.Run(name, func(t *testing.T) {
			d := bytes.Clone(data)
			change(d)
			_, err := imageio.Decode(d, imageio.Options{})
			assert.ErrorIs(t, err, imageio.ErrCorrupt)
		})
	}
	for n := range 300 {
		_, err := imageio.Decode(data[:n], imageio.Options{})
		require.Error(t, err, n)
	}
	_, err = imageio.Decode(data, imageio.Options{MaxPixels: 93*70 - 1})
	assert.ErrorIs(t, err, imageio.ErrTooLarge)
	for i := len(data) / 2; i < len(data)-200; i += 97 { // broken tiles are told or shown, never a crash
		d := bytes.Clone(data)
		d[i] ^= 0xff
		if _, err := imageio.Decode(d, imageio.Options{}); err != nil {
			assert.ErrorIs(t, err, imageio.ErrCorrupt)
		}
	}
}

// entry finds a tag of a little-endian BigTIFF.
func entry(d []byte, id uint16) []byte {
	at := binary.LittleEndian.Uint64(d[8:])
	for i := range binary.LittleEndian.Uint64(d[at:]) {
		if e := d[at+8+20*i:]; binary.LittleEndian.Uint16(e) == id {
			return e
		}
	}
	panic(fmt.Sprint("no tag ", id))
}

func set(d []byte, id uint16, v uint32) { binary.LittleEndian.PutUint32(entry(d, id)[12:], v) }

func TestCapture(t *testing.T) {
	c, err := imageio.ReadCaptureFile("testdata/gps.jpg")
	require.NoError(t, err)
	assert.Equal(t, "2024-05-06 07:08:09 +0000 UTC", c.Time.String())
	assert.True(t, c.Placed)
	assert.InDelta(t, -(19 + 30./60 + 36./3600), c.Latitude, 1e-9)
	assert.InDelta(t, 23+15./60, c.Longitude, 1e-9)
	c, err = imageio.ReadCaptureFile("testdata/420.jpg")
	require.NoError(t, err)
	assert.Equal(t, imageio.Capture{}, c)
	_, err = imageio.ReadCaptureFile("testdata/none.jpg")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzCapture(f *testing.F) {
	for _, name := range []string{"gps.jpg", "exif6.jpg", "turned.tif", "rgb.png", "rgb.webp"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if c := imageio.ReadCapture(data); c.Placed && !(c.Latitude >= -90 && c.Latitude <= 90 && c.Longitude >= -180 && c.Longitude <= 180) {
			t.Fatalf("%+v", c)
		}
	})
}
