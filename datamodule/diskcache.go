package datamodule

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// diskCache keeps decoded pictures, scaled to the training size, as files of
// plain pixels in a folder, up to a number of bytes. They stay for the next run:
// a file's name tells the picture, its size and time of change, and how it was
// decoded, so that what has changed is not found. What cannot be written or read
// is no error: the picture is decoded again then.
type diskCache struct {
	dir   string
	limit int64

	mu   sync.Mutex
	used int64
}

// ending is that of the files.
const ending = ".rgb"

// openDisk makes the folder, where it is not there, and counts what is in it.
func openDisk(dir string, limit int64) (*diskCache, error) {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("datamodule: open disk cache: cache_dir names no folder, and there is no usual one: %w", err)
		}
		dir = filepath.Join(base, "wildtrain", "pictures")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("datamodule: open disk cache: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("datamodule: open disk cache: %w", err)
	}
	c := &diskCache{dir: dir, limit: limit}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ending) {
			c.used += info.Size()
		}
	}
	return c, nil
}

// get takes a picture as it looks at a size, decoded in some way, from its file,
// or makes it and keeps it. The result is from the buffers. Without a cache it is made.
func (c *diskCache) get(picture string, width, height int, how string, buffers *imageio.Buffers, make func() (wildtrain.Image, error)) (wildtrain.Image, error) {
	name := ""
	if c != nil {
		name = c.name(picture, width, height, how)
	}
	if name == "" {
		return make()
	}
	im := wildtrain.Image{Width: width, Height: height, Channels: 3, U8: buffers.Get(width * height * 3)}
	if c.read(name, im) {
		return im, nil
	}
	buffers.Put(im.U8)
	im, err := make()
	if err == nil {
		c.write(name, im)
	}
	return im, err
}

// name is the file of a picture, "" where it cannot be looked at.
func (c *diskCache) name(picture string, width, height int, how string) string {
	info, err := os.Stat(picture)
	if err != nil {
		return ""
	}
	if abs, err := filepath.Abs(picture); err == nil {
		picture = abs
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "1 %q %d %d %d %d %s", picture, info.Size(), info.ModTime().UnixNano(), width, height, how))
	return filepath.Join(c.dir, hex.EncodeToString(sum[:16])+ending)
}

// read fills im's pixels from a file; ok is false where it is not there, or not whole.
func (c *diskCache) read(name string, im wildtrain.Image) (ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() != int64(len(im.U8)) {
		return false
	}
	_, err = io.ReadFull(f, im.U8)
	return err == nil
}

// write keeps a picture, if there is room.
func (c *diskCache) write(name string, im wildtrain.Image) {
	n := int64(len(im.U8))
	c.mu.Lock()
	room := c.used+n <= c.limit
	if room {
		c.used += n
	}
	c.mu.Unlock()
	if !room || c.store(name, im.U8) == nil {
		return
	}
	c.mu.Lock()
	c.used -= n
	c.mu.Unlock()
}

// store writes a whole file or none.
func (c *diskCache) store(name string, pixels []byte) error {
	f, err := os.CreateTemp(c.dir, "new*")
	if err != nil {
		return err
	}
	_, err = f.Write(pixels)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name()) //nolint:errcheck // it is a remainder at worst
	}
	return err
}
