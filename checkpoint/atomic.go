package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// tempPrefix begins the names of everything half-written.
const tempPrefix = ".tmp-"

// file is what writing needs of *os.File; tests put a full disk in its place.
type file interface {
	io.WriteCloser
	Sync() error
}

// creator makes a new file, which must not exist.
type creator func(path string) (file, error)

func createFile(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
}

// WriteFile writes a file as a whole or not at all: into a temporary one beside
// it, synced, renamed over path, folder synced. When write fails, path is as
// before and nothing is left over.
func WriteFile(path string, write func(io.Writer) error) error {
	return writeFile(createFile, path, write)
}

func writeFile(create creator, path string, write func(io.Writer) error) error {
	temp, err := tempName(path)
	if err != nil {
		return err
	}
	if err := writeSynced(create, temp, write); err != nil {
		os.Remove(temp)
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeSynced writes a new file and forces it to the disk.
func writeSynced(create creator, path string, write func(io.Writer) error) error {
	f, err := create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// tempName returns an unused name beside path.
func tempName(path string) (string, error) {
	dir, base := filepath.Split(path)
	for i := range 10000 {
		name := filepath.Join(dir, fmt.Sprintf("%s%s-%d-%d", tempPrefix, base, os.Getpid(), i))
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("write %s: too many temporary files beside it", path)
}

// syncDir forces a folder's entries to the disk. File systems that cannot are left alone.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	d.Sync()
	return d.Close()
}
