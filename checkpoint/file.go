package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"unsafe"

	"github.com/wildtrain/sdk/wildtrain"
)

// File is an open weights file: a read-only set of named tensors. It may be
// used by several goroutines. Close invalidates the slices that Bytes gave out.
type File struct {
	path     string
	format   string
	chosen   string
	names    []string // sorted
	entries  map[string]*entry
	metadata map[string]string
	unmap    func() error
}

// entry is one tensor: a window of a storage.
type entry struct {
	info    wildtrain.Info
	storage *storage
	offset  int64   // in elements from the storage's begin
	strides []int64 // in elements; nil where contiguous
}

// storage is a run of bytes that one or more tensors look into. load is called
// once, before the first look: it checks or inflates.
type storage struct {
	data []byte
	load func() ([]byte, error)
}

// Options say how Open reads. The zero value suits nearly everyone.
type Options struct {
	// Key takes one entry of a nested PyTorch file, such as "model" or
	// "ema.module". Empty chooses by Prefer.
	Key string
	// Prefer lists the keys of nested files under which weights are looked
	// for, in this order. Nil means DefaultPrefer, which takes the averaged
	// weights ("ema") before the raw ones. In a checkpoint folder of this
	// package "ema" and "model" name the files.
	Prefer []string
	// Allow lists further Python modules, such as "myproject.models", whose
	// classes may occur in a pickle. They become inert values, never code.
	Allow []string
}

// DefaultPrefer returns the order in which Open looks for weights in nested files.
func DefaultPrefer() []string {
	return []string{"ema", "state_dict_ema", "model_ema", "params_ema", "model", "model_state_dict", "state_dict", "module", "params", "net", "weights"}
}

// Open opens a weights file by its content, whatever its extension:
// safetensors, or a PyTorch file in zip or legacy format. A folder stands for
// the weights inside: a checkpoint, a final model, or a run (best before last).
// A file cut short, a forbidden class and a malformed header are errors that
// name the file; see GlobalError.
func Open(path string) (*File, error) { return OpenWith(path, Options{}) }

// OpenWith is Open with options.
func OpenWith(path string, o Options) (*File, error) {
	if o.Prefer == nil {
		o.Prefer = DefaultPrefer()
	}
	part := ""
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		if path, part, err = weightsIn(path, o); err != nil {
			return nil, fmt.Errorf("checkpoint: open weights: %w", err)
		}
	}
	data, unmap, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: open weights: %w", err)
	}
	f := &File{path: path, entries: map[string]*entry{}, metadata: map[string]string{}, unmap: unmap}
	if err := guard(func() error { return f.parse(data, o) }); err != nil {
		unmap()
		return nil, fmt.Errorf("checkpoint: read %s: %w", path, err)
	}
	if part != "" {
		f.chosen = part
	}
	f.names = slices.Sorted(maps.Keys(f.entries))
	return f, nil
}

// parse tells the format by its first bytes.
func (f *File) parse(data []byte, o Options) error {
	switch {
	case len(data) == 0:
		return errors.New("the file is empty")
	case bytes.HasPrefix(data, []byte("PK\x03\x04")) || bytes.HasPrefix(data, []byte("PK\x05\x06")):
		f.format = "torch-zip"
		return f.parseZip(data, o)
	case data[0] == 0x80 && (len(data) < 9 || data[8] != '{'):
		f.format = "torch-legacy"
		return f.parseLegacy(data, o)
	case strings.HasPrefix(string(data[:min(len(data), 64)]), "version https://git-lfs"):
		return errors.New("this is a Git LFS pointer, not the weights themselves: fetch them with git lfs pull")
	}
	f.format = "safetensors"
	return f.parseSafetensors(data)
}

// weightsIn finds the weights file in a folder of this package's making.
func weightsIn(dir string, o Options) (path, part string, err error) {
	keys := o.Prefer
	if o.Key != "" {
		keys = []string{o.Key}
	}
	for _, d := range []string{dir, filepath.Join(dir, "model"), filepath.Join(dir, checkpointsDir, "best"), filepath.Join(dir, checkpointsDir, "last")} {
		for _, key := range keys {
			p := filepath.Join(d, key+".safetensors")
			if _, err := os.Stat(p); err == nil {
				return p, key, nil
			}
		}
	}
	return "", "", fmt.Errorf("folder %s holds no %s.safetensors: %w", dir, strings.Join(keys[:min(len(keys), 5)], ".safetensors or "), fs.ErrNotExist)
}

// Path is the file that was opened.
func (f *File) Path() string { return f.path }

// Format is "safetensors", "torch-zip" or "torch-legacy".
func (f *File) Format() string { return f.format }

// Chosen tells which entry of a nested file the tensors come from, such as
// "ema" or "state_dict"; "" where the file is the set itself.
func (f *File) Chosen() string { return f.chosen }

// Names implements wildtrain.State.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Info implements wildtrain.State.
func (f *File) Info(name string) (wildtrain.Info, bool) {
	e, ok := f.entries[name]
	if !ok {
		return wildtrain.Info{}, false
	}
	return wildtrain.Info{DType: e.info.DType, Shape: slices.Clone(e.info.Shape)}, true
}

// Metadata returns what the file says beside its tensors. For safetensors that
// is the __metadata__ map; for PyTorch files the plain values of the object
// graph under dotted keys: "epoch", "hyper_parameters.lr", "ema.names.0".
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Read implements wildtrain.State: it copies the tensor into dst, whose length
// must be Info.Bytes, contiguous whatever its strides in the file.
func (f *File) Read(name string, dst []byte) error {
	err := guard(func() error {
		e, data, err := f.window(name)
		if err != nil {
			return err
		}
		if int64(len(dst)) != e.info.Bytes() {
			return fmt.Errorf("buffer of %d bytes for %d", len(dst), e.info.Bytes())
		}
		if e.strides == nil {
			copy(dst, data)
			return nil
		}
		gather(dst, data, e.info, e.strides)
		return nil
	})
	if err != nil {
		return fmt.Errorf("checkpoint: read tensor %q of %s: %w", name, f.path, err)
	}
	return nil
}

// Write implements wildtrain.State by failing: a File is read-only.
func (f *File) Write(name string, src []byte) error {
	return fmt.Errorf("checkpoint: write tensor %q of %s: the file is open for reading only", name, f.path)
}

// Bytes returns the tensor's data without a copy where it is contiguous in the
// file, else a copy. The slice must not be changed and dies with Close.
func (f *File) Bytes(name string) ([]byte, error) {
	var e *entry
	var data []byte
	err := guard(func() (err error) { e, data, err = f.window(name); return err })
	if err != nil {
		return nil, fmt.Errorf("checkpoint: read tensor %q of %s: %w", name, f.path, err)
	}
	if e.strides == nil {
		return data, nil
	}
	out := make([]byte, e.info.Bytes())
	return out, f.Read(name, out)
}

// Float32 returns a tensor's numbers as float32, converted from whatever type
// they are stored in. The slice is the caller's.
func (f *File) Float32(name string) ([]float32, error) { return Float32(f, name) }

// Float32 returns the numbers of a State's tensor as float32, row-major,
// converted from whatever type they are stored in.
func Float32(s wildtrain.State, name string) ([]float32, error) {
	info, ok := s.Info(name)
	if !ok {
		return nil, fmt.Errorf("checkpoint: read tensor %q: there is no such tensor", name)
	}
	out := make([]float32, info.Elements())
	if info.DType == wildtrain.Float32 && littleEndian {
		return out, s.Read(name, floatBytes(out))
	}
	raw := make([]byte, info.Bytes())
	if err := s.Read(name, raw); err != nil {
		return nil, err
	}
	for i := range out {
		out[i] = float32(floatAt(info.DType, raw, i))
	}
	return out, nil
}

// Close releases the file. More than one call does no harm.
func (f *File) Close() error {
	if f.unmap == nil {
		return nil
	}
	err := f.unmap()
	f.unmap, f.entries = nil, map[string]*entry{}
	return err
}

// window returns a tensor's part of its storage, from its first to its last element.
func (f *File) window(name string) (*entry, []byte, error) {
	e, ok := f.entries[name]
	if !ok {
		return nil, nil, errors.New("there is no such tensor")
	}
	data := e.storage.data
	if e.storage.load != nil {
		var err error
		if data, err = e.storage.load(); err != nil {
			return nil, nil, err
		}
	}
	size := int64(e.info.DType.Size())
	last := e.info.Elements()
	if e.strides != nil {
		last = 1
		for i, d := range e.info.Shape {
			last += (d - 1) * e.strides[i]
		}
	}
	return e, data[e.offset*size : (e.offset+last)*size], nil
}

// gather copies a strided tensor into contiguous memory.
func gather(dst, src []byte, info wildtrain.Info, strides []int64) {
	size := int64(info.DType.Size())
	index := make([]int64, len(info.Shape))
	at := int64(0)
	for out := int64(0); out < int64(len(dst)); out += size {
		copy(dst[out:out+size], src[at*size:])
		for d := len(index) - 1; d >= 0; d-- {
			index[d]++
			at += strides[d]
			if index[d] < info.Shape[d] {
				break
			}
			at -= index[d] * strides[d]
			index[d] = 0
		}
	}
}

// guard turns the fault that a mapped file gives, when it shrinks or its disk
// fails while it is read, into an error.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface{ Addr() uintptr })
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("the file changed or its disk failed while it was read (fault at %#x)", fault.Addr())
		}
	}()
	return fn()
}

// readWhole is the way to open what cannot be mapped.
func readWhole(f *os.File) ([]byte, func() error, error) {
	data, err := io.ReadAll(f)
	return data, func() error { return nil }, err
}

var littleEndian = func() bool { x := uint16(1); return *(*byte)(unsafe.Pointer(&x)) == 1 }()

// floatBytes looks at float32 values as bytes.
func floatBytes(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	if len(v) > math.MaxInt/4 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
}
