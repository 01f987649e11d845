package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"path"
	"strings"
	"sync"
)

// Limits on zip archives. PyTorch stores without compression, so inflating is
// the exception.
const (
	maxZipEntries = 1 << 20
	maxInflate    = 8 << 30 // bytes inflated from one archive
)

// archive is an opened .pt of the zip format.
type archive struct {
	data     []byte
	prefix   string // folder inside the archive
	files    map[string]*zip.File
	storages map[string]*storage
	budget   uint64
}

// parseZip reads a file written by torch.save since PyTorch 1.6, or by TorchScript.
func (f *File) parseZip(data []byte, o Options) error {
	a, err := openArchive(data)
	if err != nil {
		return err
	}
	if order, ok := a.files["byteorder"]; ok {
		text, err := a.small(order)
		if err != nil {
			return err
		}
		if string(text) == "big" {
			return errors.New("the file was written on a big-endian machine: not supported")
		}
	}
	if err := f.takeMetadata(a); err != nil {
		return err
	}
	pickle, err := a.small(a.files["data.pkl"])
	if err != nil {
		return err
	}
	m := &machine{code: pickle, allow: o.Allow}
	m.persist = func(id value) (value, error) { return persistentID(id, a.find) }
	root, err := m.run()
	if err != nil {
		return fmt.Errorf("data.pkl: %w", err)
	}
	return f.take(root, o)
}

// takeMetadata reads what WriteTorch puts beside the weights.
func (f *File) takeMetadata(a *archive) error {
	e, ok := a.files[ptMetadata]
	if !ok {
		return nil
	}
	text, err := a.small(e)
	if err != nil {
		return err
	}
	var more map[string]string
	if err := json.Unmarshal(text, &more); err != nil {
		return fmt.Errorf("%s: %w", ptMetadata, err)
	}
	maps.Copy(f.metadata, more)
	return nil
}

func openArchive(data []byte) (*archive, error) {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("the archive's directory at the end of the file is missing or damaged, which happens to files cut short: %w", err)
	}
	if len(r.File) > maxZipEntries {
		return nil, fmt.Errorf("archive with %d entries", len(r.File))
	}
	a := &archive{data: data, files: map[string]*zip.File{}, storages: map[string]*storage{}, budget: maxInflate}
	found := false
	for _, e := range r.File {
		dir, name := path.Split(e.Name)
		if name == "data.pkl" && strings.Count(dir, "/") <= 1 && !found {
			a.prefix, found = dir, true
		}
	}
	if !found {
		return nil, errors.New("the archive holds no data.pkl: not a PyTorch file")
	}
	for _, e := range r.File {
		name, ok := strings.CutPrefix(e.Name, a.prefix)
		if !ok {
			continue
		}
		if _, twice := a.files[name]; twice {
			return nil, fmt.Errorf("entry %q occurs twice", e.Name)
		}
		a.files[name] = e
	}
	return a, nil
}

// find returns the storage with a key, whose size must be the given one. Its
// checksum is compared when it is first read.
func (a *archive) find(key string, size, _ int64) (*storage, error) {
	e, ok := a.files["data/"+key]
	if !ok {
		return nil, fmt.Errorf("storage data/%s is not in the archive", key)
	}
	if e.UncompressedSize64 != uint64(size) {
		return nil, fmt.Errorf("storage data/%s has %d bytes where %d are expected", key, e.UncompressedSize64, size)
	}
	if s, ok := a.storages[key]; ok {
		return s, nil
	}
	if e.Method != zip.Store {
		if e.UncompressedSize64 > a.budget {
			return nil, fmt.Errorf("archive inflates to more than %d bytes", int64(maxInflate))
		}
		a.budget -= e.UncompressedSize64
	} else if _, err := a.stored(e); err != nil {
		return nil, err
	}
	s := &storage{load: sync.OnceValues(func() ([]byte, error) { return a.bytes(e) })}
	a.storages[key] = s
	return s, nil
}

// small is bytes for entries that are no storages.
func (a *archive) small(e *zip.File) ([]byte, error) {
	if e.UncompressedSize64 > maxPickle {
		return nil, fmt.Errorf("entry %q has %d bytes, at most %d are allowed", e.Name, e.UncompressedSize64, maxPickle)
	}
	return a.bytes(e)
}

// stored returns the bytes of an uncompressed entry in place.
func (a *archive) stored(e *zip.File) ([]byte, error) {
	at, err := e.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", e.Name, err)
	}
	n := int64(e.UncompressedSize64)
	if e.CompressedSize64 != e.UncompressedSize64 || n < 0 || at < 0 || n > int64(len(a.data))-at {
		return nil, fmt.Errorf("entry %q reaches behind the end of the file: it is cut short or damaged", e.Name)
	}
	return a.data[at : at+n : at+n], nil
}

// bytes returns an entry's content: in place where it is stored, inflated else.
func (a *archive) bytes(e *zip.File) ([]byte, error) {
	if e.Method == zip.Store {
		b, err := a.stored(e)
		if err != nil {
			return nil, err
		}
		if e.CRC32 != 0 && crc32.ChecksumIEEE(b) != e.CRC32 {
			return nil, fmt.Errorf("entry %q is damaged: its checksum does not match", e.Name)
		}
		return b, nil
	}
	r, err := e.Open()
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", e.Name, err)
	}
	defer r.Close()
	// The buffer grows with what really comes, not with what the header claims.
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, int64(e.UncompressedSize64)+1))
	if err == nil && n != int64(e.UncompressedSize64) {
		err = errors.New("its size is not the one in the directory")
	}
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", e.Name, err)
	}
	return b.Bytes(), nil
}
