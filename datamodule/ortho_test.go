package datamodule_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// ortho describes an orthomosaic as surveys make them: a tiled BigTIFF of RGBA
// whose edges were never flown.
type ortho struct {
	width, height, side int
	stored              func(x, y int) bool // tiles that are in the file at all
	drawn               func(x, y int) bool // of them those that are not black
}

// write makes the file; black tiles are holes in it.
func (o ortho) write(t testing.TB, path string) {
	t.Helper()
	across, down := (o.width+o.side-1)/o.side, (o.height+o.side-1)/o.side
	le := binary.LittleEndian
	size := uint64(o.side * o.side * 4)
	var offsets, counts []byte
	const entries = 12
	lists := uint64(16 + 8 + 20*entries + 8)
	at := (lists + uint64(16*across*down) + 4095) / 4096 * 4096
	f, err := os.Create(path)
	require.NoError(t, err)
	pattern := make([]byte, size)
	for i := range pattern {
		pattern[i] = byte(60 + i%4*40 + i/4%o.side%90)
	}
	for i := range across * down {
		x, y := i%across*o.side, i/across*o.side
		if !o.stored(x, y) {
			offsets, counts = le.AppendUint64(offsets, 0), le.AppendUint64(counts, 0)
			continue
		}
		if o.drawn(x, y) {
			_, err := f.WriteAt(pattern, int64(at))
			require.NoError(t, err)
		}
		offsets, counts = le.AppendUint64(offsets, at), le.AppendUint64(counts, size)
		at += size
	}
	head := le.AppendUint64([]byte("II\x2b\x00\x08\x00\x00\x00"), 16)
	head = le.AppendUint64(head, entries)
	entry := func(id, kind uint16, count, value uint64) {
		head = le.AppendUint64(le.AppendUint64(le.AppendUint16(le.AppendUint16(head, id), kind), count), value)
	}
	n := uint64(across * down)
	entry(256, 4, 1, uint64(o.width))
	entry(257, 4, 1, uint64(o.height))
	entry(258, 3, 4, 8|8<<16|8<<32|8<<48)
	entry(259, 3, 1, 1)
	entry(262, 3, 1, 2)
	entry(277, 3, 1, 4)
	entry(284, 3, 1, 1)
	entry(322, 4, 1, uint64(o.side))
	entry(323, 4, 1, uint64(o.side))
	entry(324, 16, n, lists)
	entry(325, 16, n, lists+8*n)
	entry(338, 3, 1, 2)
	head = le.AppendUint64(head, 0)
	_, err = f.WriteAt(bytes.Join([][]byte{head, offsets, counts}, nil), 0)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(int64(at)))
	require.NoError(t, f.Close())
}

func tileOrtho(t testing.TB, path, out string) *datamodule.Tiled {
	t.Helper()
	c := datamodule.DefaultConfig()
	c.ByWindow, c.MaxPixels = true, 1<<20
	d, err := datamodule.Images(c, path)
	require.NoError(t, err)
	defer d.Close()
	splits, err := d.Pictures(context.Background())
	require.NoError(t, err)
	tiles := datamodule.DefaultTiles()
	tiles.MaxNegatives = math.MaxInt
	done, err := datamodule.Tile(context.Background(), out, datamodule.COCO, nil, splits, tiles)
	require.NoError(t, err)
	return done
}

// Tiles cut part by part are those of the whole picture.
func TestTilesOfATIFF(t *testing.T) {
	path, out := filepath.Join(t.TempDir(), "o.tif"), filepath.Join(t.TempDir(), "tiles")
	ortho{1500, 1100, 256, func(x, y int) bool { return x > 0 }, func(x, y int) bool { return y > 0 }}.write(t, path)
	done := tileOrtho(t, path, out)
	assert.Equal(t, 2*3, done.Pictures+done.Dark)
	assert.Positive(t, done.Pictures)
	whole, err := imageio.DecodeFile(path, imageio.Options{})
	require.NoError(t, err)
	assert.Equal(t, [3]byte{60, 100, 140}, [3]byte(whole.U8[(256*1500+256)*3:]))
	assert.Equal(t, [3]byte{}, [3]byte(whole.U8[:3]), "not in the file")
	files, err := filepath.Glob(filepath.Join(out, "images", "predict", "*.jpg"))
	require.NoError(t, err)
	require.Len(t, files, done.Pictures)
	for _, file := range files {
		at := regexp.MustCompile(`_tile_\d+_(\d+)_(\d+)\.jpg$`).FindStringSubmatch(file)
		x, _ := strconv.Atoi(at[1])
		y, _ := strconv.Atoi(at[2])
		tile, err := imageio.DecodeFile(file, imageio.Options{})
		require.NoError(t, err)
		far := 0
		for row := range tile.Height {
			for i, v := range tile.U8[row*tile.Width*3:][:tile.Width*3] {
				if d := int(v) - int(whole.U8[((y+row)*1500+x)*3+i]); d > 24 || d < -24 {
					far++
				}
			}
		}
		assert.Less(t, float64(far)/float64(len(tile.U8)), 0.02, "JPEG blurs, but does not move: %s", file)
	}

	c := datamodule.DefaultConfig()
	c.MaxPixels = 1 << 20
	d, err := datamodule.Images(c, path)
	require.NoError(t, err)
	assert.ErrorContains(t, d.Setup(context.Background(), wildtrain.Test), "too large: 1500×1100 pixels, the limit is 1048576")
}

// An orthomosaic of more than 4 GB is tiled in less than 500 MB:
//
//	WILDTRAIN_SOAK=1 go test -v -run OrthomosaicMemory ./datamodule
func TestOrthomosaicMemory(t *testing.T) {
	if os.Getenv("WILDTRAIN_SOAK") == "" {
		t.Skip("takes a minute and 200 MB of disk; set WILDTRAIN_SOAK=1")
	}
	path, out := filepath.Join(t.TempDir(), "o.tif"), filepath.Join(t.TempDir(), "tiles")
	middle := func(x, y int) bool { return (x/512+y/512)%40 == 0 }
	ortho{40_000, 30_000, 512, func(x, y int) bool { return x+y > 4000 }, middle}.write(t, path)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Greater(t, info.Size(), int64(4<<30))
	done := tileOrtho(t, path, out)
	peak := peakRSS(t)
	t.Logf("%d bytes, %d tiles written, %d dark ones left out, peak %d MB", info.Size(), done.Pictures, done.Dark, peak>>20)
	assert.Less(t, peak, int64(500<<20))
}

// peakRSS is the most memory this process has had.
func peakRSS(t *testing.T) int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here")
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	require.NoError(t, err)
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	require.NotNil(t, m)
	var kb int64
	_, err = fmt.Sscan(string(m[1]), &kb)
	require.NoError(t, err)
	return kb << 10
}
