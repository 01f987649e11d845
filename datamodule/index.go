package datamodule

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/wildtrain/sdk/internal/imageio"
)

// Where what is known of pictures' headers is kept between runs.
const (
	IndexAuto = "auto" // in the user's cache folder, for splits of 20,000 pictures and more
	IndexOff  = "off"
)

// indexFrom is how many pictures IndexAuto is worth while for.
const indexFrom = 20_000

// headerIndex knows the headers of pictures that have not changed since they were
// read: same size and time of change. To look at a million files then takes
// seconds. What is wrong with it is no error; the pictures are read then.
type headerIndex struct {
	file  string // "" where there is none
	known map[string]indexedFile
	mu    sync.Mutex
	fresh map[string]indexedFile // of this run
	same  bool                   // nothing was read anew
}

// headerEntry is what the index holds of a picture.
type headerEntry struct {
	Size, Time    int64
	Width, Height uint32
	Orientation   uint8
	Windowed      bool
}

// indexedFile is what is known of a picture, by its path.
type indexedFile struct {
	headerEntry
	real string // what its links name, "" where it is none
}

// indexMagic begins the file and names its version.
const indexMagic = "wildtrain headers 1\n"

// openIndex reads the index of one split.
func openIndex(setting, dataset string, raw *rawSplit) *headerIndex {
	x := &headerIndex{known: map[string]indexedFile{}, fresh: map[string]indexedFile{}, same: true}
	if setting == IndexOff || setting == "" || len(raw.images) == 0 || setting == IndexAuto && len(raw.images) < indexFrom {
		return x
	}
	folder := setting
	if setting == IndexAuto {
		cache, err := os.UserCacheDir()
		if err != nil {
			return x // no home: nothing is kept
		}
		folder = filepath.Join(cache, "wildtrain", "index")
	}
	key := sha256.Sum256([]byte(dataset + "\x00" + mustAbs(raw.images[0].path)))
	x.file = filepath.Join(folder, hex.EncodeToString(key[:12])+".headers")
	data, err := os.ReadFile(x.file)
	if err == nil {
		err = x.parse(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.known = map[string]indexedFile{}
	}
	return x
}

// parse reads an index, whose end is the hash of all before it.
func (x *headerIndex) parse(data []byte) error {
	n := len(data) - sha256.Size
	if n < len(indexMagic) || string(data[:len(indexMagic)]) != indexMagic || sha256.Sum256(data[:n]) != [sha256.Size]byte(data[n:]) {
		return errors.New("not an index, or a broken one")
	}
	r := bytes.NewReader(data[len(indexMagic):n])
	for r.Len() > 0 {
		path, err := readText(r)
		if err != nil {
			return err
		}
		var f indexedFile
		if f.real, err = readText(r); err != nil {
			return err
		}
		if err := binary.Read(r, binary.LittleEndian, &f.headerEntry); err != nil {
			return err
		}
		x.known[path] = f
	}
	return nil
}

// readText reads a text after its length.
func readText(r *bytes.Reader) (string, error) {
	length, err := binary.ReadUvarint(r)
	if err != nil || length > uint64(r.Len()) {
		return "", errors.New("a text that does not end")
	}
	text := make([]byte, length)
	_, err = io.ReadFull(r, text)
	return string(text), err
}

// header returns the file of a picture's path and its header, which are found and
// read only where they are not known. seen is the file's stamp, if it is known.
func (x *headerIndex) header(path string, seen stamp, inside *fence) (file string, h imageio.Header, err error) {
	f, known := indexedFile{}, false
	if x.file != "" {
		if seen.size == 0 {
			seen, _ = stampOf(path) // where it is no file, following it tells what is wrong
		}
		f, known = x.known[path]
		known = known && seen == stamp{f.Size, f.Time}
	}
	if !known {
		if file, err = inside.follow(path); err != nil {
			return "", h, &pathError{err}
		}
		if h, err = imageio.ReadHeaderFile(file); err != nil || x.file == "" {
			return file, h, err
		}
		f = indexedFile{headerEntry: headerEntry{seen.size, seen.time, uint32(h.Width), uint32(h.Height), uint8(h.Orientation), h.Windowed}}
		if file != path {
			f.real = file
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fresh[path] = f
	x.same = x.same && known
	return cmp.Or(f.real, path), imageio.Header{Width: int(f.Width), Height: int(f.Height), Orientation: int(f.Orientation), Windowed: f.Windowed}, nil
}

// pathError is what is wrong with a path, not with the picture there.
type pathError struct{ error }

func (e *pathError) Unwrap() error { return e.error }

// save writes the index where it has changed.
func (x *headerIndex) save(log *slog.Logger) {
	if x.file == "" || x.same && len(x.fresh) == len(x.known) {
		return
	}
	if err := x.write(); err != nil {
		if log == nil {
			log = slog.Default()
		}
		log.Warn("the index of pictures is not kept", "file", x.file, "error", err)
	}
}

func (x *headerIndex) write() error {
	if err := os.MkdirAll(filepath.Dir(x.file), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(x.file), "."+filepath.Base(x.file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // not there any more where all went well
	hash := sha256.New()
	w := bufio.NewWriterSize(f, 1<<20)
	put := func(b []byte) {
		hash.Write(b)
		w.Write(b) // Flush tells what went wrong
	}
	put([]byte(indexMagic))
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(x.fresh)) {
		b.Reset()
		entry := x.fresh[name]
		for _, text := range []string{name, entry.real} {
			b.Write(binary.AppendUvarint(nil, uint64(len(text))))
			b.WriteString(text)
		}
		if err := binary.Write(&b, binary.LittleEndian, entry.headerEntry); err != nil {
			return errors.Join(err, f.Close())
		}
		put(b.Bytes())
	}
	w.Write(hash.Sum(nil))
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), x.file)
}
