package datamodule

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Storage is where a dataset lies that is in no folder: objects by name. S3 is one.
type Storage interface {
	// List yields all objects below the dataset's place, with names relative to it.
	List(ctx context.Context) iter.Seq2[StoredObject, error]
	// Open reads an object from an offset on, of the content that the tag names.
	Open(ctx context.Context, o StoredObject, offset int64) (io.ReadCloser, error)
}

// StoredObject is one object of a Storage.
type StoredObject struct {
	Name string // with slashes
	Size int64  // in bytes
	Tag  string // changes with the content
}

// Mirrored counts what Mirror did.
type Mirrored struct {
	Fetched, Same, Removed int   // objects
	Bytes                  int64 // of the objects fetched
}

// mirrorList is the file in a mirror's folder that tells what is in it: an object
// each line, written before its file appears, so that a killed run loses nothing.
const mirrorList = ".wildtrain-mirror.jsonl"

// maxObjects bounds a mirror.
const maxObjects = 20_000_000

// Mirror makes a folder hold what a storage has: what is new or has changed is
// fetched, what the storage has no more is removed. Files that Mirror did not write
// are left alone, and stand in the way as an error where an object has their name.
// An interrupted one goes on where it stopped, within a file, too.
func Mirror(ctx context.Context, from Storage, folder string) (Mirrored, error) {
	m := &mirror{from: from, folder: folder, have: map[string]StoredObject{}}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return m.done, fmt.Errorf("datamodule: mirror: %w", err)
	}
	if err := m.load(); err != nil {
		return m.done, fmt.Errorf("datamodule: mirror: %s: %w", filepath.Join(folder, mirrorList), err)
	}
	if err := m.compact(); err != nil { // without a last line that was cut off
		return m.done, err
	}
	list, err := os.OpenFile(filepath.Join(folder, mirrorList), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return m.done, fmt.Errorf("datamodule: mirror: %w", err)
	}
	m.list = json.NewEncoder(list)
	err = m.run(ctx)
	if err = errors.Join(err, list.Close()); err == nil {
		err = m.compact()
	}
	return m.done, err
}

type mirror struct {
	from   Storage
	folder string

	mu   sync.Mutex
	have map[string]StoredObject
	list *json.Encoder
	done Mirrored
}

// fetchers is how many objects are fetched at once.
const fetchers = 8

func (m *mirror) run(ctx context.Context) error {
	gone := maps.Clone(m.have)
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(fetchers)
	n := 0
	for o, err := range m.from.List(inner) {
		if err == nil {
			err = o.check()
		}
		if n++; err == nil && n > maxObjects {
			err = fmt.Errorf("more than %d objects", maxObjects)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("datamodule: mirror: %w", err), g.Wait())
		}
		delete(gone, o.Name)
		g.Go(func() error { return m.object(inner, o) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		if err := os.Remove(m.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("datamodule: mirror: %w", err)
		}
		delete(m.have, name)
		m.done.Removed++
	}
	return nil
}

// check refuses names that lead out of a folder or cannot be files everywhere.
func (o StoredObject) check() error {
	if !filepath.IsLocal(filepath.FromSlash(o.Name)) || strings.ContainsAny(o.Name, "\\\x00") || o.Name == mirrorList {
		return fmt.Errorf("object %q cannot be a file", o.Name)
	}
	return nil
}

func (m *mirror) path(name string) string { return filepath.Join(m.folder, filepath.FromSlash(name)) }

// object brings one object, where it is not there as it is.
func (m *mirror) object(ctx context.Context, o StoredObject) error {
	m.mu.Lock()
	before, mine := m.have[o.Name]
	m.mu.Unlock()
	path := m.path(o.Name)
	info, err := os.Lstat(path)
	switch there := err == nil; {
	case there && !mine:
		return fmt.Errorf("datamodule: mirror: %s is there already and not from this storage", path)
	case there && before == o && info.Size() == o.Size:
		m.mu.Lock()
		defer m.mu.Unlock()
		m.done.Same++
		return nil
	}
	part, err := m.fetch(ctx, o, path)
	if err != nil {
		return fmt.Errorf("datamodule: mirror %s: %w", o.Name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.list.Encode(o); err != nil {
		return fmt.Errorf("datamodule: mirror: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("datamodule: mirror: %w", err)
	}
	m.have[o.Name] = o
	m.done.Fetched++
	m.done.Bytes += o.Size
	return nil
}

// tries is how often an object is asked for of which nothing comes.
const tries = 4

// fetch writes an object beside its place, under a name that goes by its
// content, and goes on with what is there of it.
func (m *mirror) fetch(ctx context.Context, o StoredObject, path string) (part string, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	tag := sha256.Sum256([]byte(o.Tag))
	part = fmt.Sprintf("%s.%x.part", path, tag[:6])
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	for failed := 0; failed < tries; {
		var n int64
		if n, err = m.rest(ctx, o, f); err == nil || ctx.Err() != nil {
			break
		}
		if failed++; n > 0 {
			failed = 0
		}
	}
	return part, errors.Join(err, f.Close())
}

// rest appends what is missing of an object to its file, and tells how many bytes came.
func (m *mirror) rest(ctx context.Context, o StoredObject, f *os.File) (n int64, err error) {
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if at > o.Size {
		if err := f.Truncate(0); err != nil {
			return 0, err
		}
		if at, err = f.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
	}
	if at == o.Size {
		return 0, nil
	}
	r, err := m.from.Open(ctx, o, at)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(f, io.LimitReader(r, o.Size-at+1))
	if err = errors.Join(err, r.Close()); err == nil && at+n != o.Size {
		err = fmt.Errorf("%d bytes came, there should be %d", at+n, o.Size)
	}
	return n, err
}

// load reads the list; of an object's lines the last one counts. A last line that was cut off is none.
func (m *mirror) load() error {
	data, err := os.ReadFile(filepath.Join(m.folder, mirrorList))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var o StoredObject
		if err := json.Unmarshal(line, &o); err != nil {
			return err
		}
		if err := o.check(); err != nil {
			return err
		}
		m.have[o.Name] = o
	}
	return nil
}

// compact writes the list anew: in order, and without what is gone.
func (m *mirror) compact() error {
	var b bytes.Buffer
	list := json.NewEncoder(&b)
	for _, name := range slices.Sorted(maps.Keys(m.have)) {
		if err := list.Encode(m.have[name]); err != nil {
			return fmt.Errorf("datamodule: mirror: %w", err)
		}
	}
	path := filepath.Join(m.folder, mirrorList)
	if err := os.WriteFile(path+".new", b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("datamodule: mirror: %w", err)
	}
	return os.Rename(path+".new", path)
}
