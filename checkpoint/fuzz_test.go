package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readAll reads a parsed file to the end: whatever is accepted must be readable
// without a panic, and within what its Info says.
func readAll(t *testing.T, f *File) {
	for name, e := range f.entries {
		n, err := byteSize(e.info)
		if err != nil {
			t.Fatalf("tensor %q was accepted: %v", name, err)
		}
		if n > maxExpanded {
			t.Fatalf("tensor %q of %d bytes was accepted", name, n)
		}
		if n <= 1<<20 {
			f.Read(name, make([]byte, n))
		}
	}
}

func parseBytes(t *testing.T, data []byte, parse func(*File) error) {
	f := &File{path: "fuzz", entries: map[string]*entry{}, metadata: map[string]string{}}
	if parse(f) == nil {
		readAll(t, f)
	}
}

// seeds adds the golden files with one of the endings.
func seeds(f *testing.F, endings ...string) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		for _, end := range endings {
			if data, err := os.ReadFile(path); err == nil && strings.HasSuffix(path, end) {
				f.Add(data)
			}
		}
	}
}

func FuzzSafetensors(f *testing.F) {
	seeds(f, ".safetensors")
	f.Add(withHeader(`{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Fuzz(func(t *testing.T, data []byte) {
		parseBytes(t, data, func(f *File) error { return f.parseSafetensors(data) })
	})
}

func FuzzZip(f *testing.F) {
	seeds(f, ".pt", ".ckpt")
	f.Fuzz(func(t *testing.T, data []byte) {
		parseBytes(t, data, func(f *File) error { return f.parse(data, Options{Prefer: DefaultPrefer()}) })
	})
}

// FuzzPickle gives the object pickle of a zip file whose storage "0" has 64 bytes.
func FuzzPickle(f *testing.F) {
	for _, path := range []string{"dtypes.pt", "module.pt", "strided.pt", "lightning.ckpt", "protocol4.pt"} {
		data, err := os.ReadFile(filepath.Join("testdata", path))
		if err != nil {
			f.Fatal(err)
		}
		a, err := openArchive(data)
		if err != nil {
			f.Fatal(err)
		}
		code, err := a.bytes(a.files["data.pkl"])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(code)
	}
	f.Add([]byte(tensorCode(16, 0, []int64{2, 3}, []int64{1, 2}) + "."))
	f.Fuzz(func(t *testing.T, code []byte) {
		parseBytes(t, code, func(f *File) error {
			m := &machine{code: code}
			m.persist = func(id value) (value, error) {
				return persistentID(id, func(_ string, bytes, _ int64) (*storage, error) {
					if bytes > 1<<16 {
						return nil, os.ErrInvalid
					}
					return &storage{data: make([]byte, bytes)}, nil
				})
			}
			root, err := m.run()
			if err != nil {
				return err
			}
			return f.take(root, Options{Prefer: DefaultPrefer()})
		})
	})
}
