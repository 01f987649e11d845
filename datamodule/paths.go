package datamodule

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/wildtrain/sdk/internal/imageio"
)

// errOutside tells that a path in an annotation file leaves the root.
var errOutside = errors.New("leaves the root folder")

// fence keeps paths inside one folder; links may point anywhere inside it.
type fence struct {
	root  string // as given
	real  string // with links resolved
	links bool   // links may lead out of it
	dirs  *folders
}

// folders remembers which folders there are and where they really lie, so that
// not every picture's path is walked from the top.
type folders struct{ real sync.Map } // path → real path, "" where it is no folder

func (f *folders) resolve(dir string) string {
	if real, ok := f.real.Load(dir); ok {
		return real.(string)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil || !isDir(real) {
		real = ""
	} else {
		real = mustAbs(real)
	}
	f.real.Store(dir, real)
	return real
}

func newFence(root string) (fence, error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return fence{}, err
	}
	if real, err = filepath.Abs(real); err != nil {
		return fence{}, err
	}
	return fence{root: root, real: real, dirs: &folders{}}, nil
}

// resolve joins a path from a file to a folder inside the fence. The path may
// be absolute if it lies inside.
func (f fence) resolve(folder, name string) (string, error) {
	name = filepath.FromSlash(strings.ReplaceAll(name, `\`, "/"))
	if name == "" || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("path %q is empty or has a zero byte", name)
	}
	full := filepath.Clean(name)
	if !filepath.IsAbs(full) {
		full = filepath.Join(folder, full)
	}
	for _, root := range []string{f.root, f.real} {
		if within(root, full) {
			return full, nil
		}
	}
	return "", fmt.Errorf("path %q %w %s", name, errOutside, f.root)
}

// maxLinkText bounds the text of a link that git could not make.
const maxLinkText = 1024

// follow returns the file to open for a path: what its links name, which must
// lie inside. Where a checkout could not make links (git's core.symlinks=false,
// some archives), a link is a small text file that holds its target; those of
// pictures are followed, too.
func (f *fence) follow(path string) (string, error) {
	real, err := f.realPath(path)
	if err != nil {
		if _, stat := os.Stat(path); errors.Is(stat, syscall.ELOOP) {
			err = fmt.Errorf("path %s is a link that leads in a circle", path)
		}
		return "", err
	}
	if target, ok := textLink(real); ok {
		if real, err = f.realPath(target); err != nil {
			return "", err
		}
	}
	if !f.links && !within(f.real, real) {
		return "", fmt.Errorf("path %s is a link that %w %s (allow_links permits it)", path, errOutside, f.root)
	}
	return real, nil
}

// realPath is filepath.EvalSymlinks, and absolute; only the last part of a path is
// looked at where its folder is known.
func (f *fence) realPath(path string) (string, error) {
	if dir := f.dirs.resolve(filepath.Dir(path)); dir != "" {
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return filepath.Join(dir, filepath.Base(path)), nil
		}
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(real)
}

// stamp tells one content of a file from another.
type stamp struct{ size, time int64 }

// stampOf looks at a path; ok is false where it is no regular file.
func stampOf(path string) (s stamp, ok bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return s, false
	}
	return stamp{info.Size(), info.ModTime().UnixNano()}, true
}

// stampOf is the same; folders that are not there need no second look.
func (f *fence) stampOf(path string) (stamp, bool) {
	if f.dirs.resolve(filepath.Dir(path)) == "" {
		return stamp{}, false
	}
	return stampOf(path)
}

// firstFile returns the first path that is a file; ok is false where none is, and
// the path the first one at all.
func (f *fence) firstFile(paths ...string) (path string, ok bool) {
	for _, p := range paths {
		if _, ok := f.stampOf(p); ok {
			return p, true
		}
	}
	return paths[0], false
}

// find is the picture that a file names from one of several folders.
func (f *fence) find(folders []string, name string) (path string, s stamp, err error) {
	var first string
	var outside error
	for _, folder := range folders {
		path, err := f.resolve(folder, name)
		if err != nil {
			outside = err // from this folder; it may lie inside from another
			continue
		}
		if s, ok := f.stampOf(path); ok {
			return path, s, nil
		}
		first = cmp.Or(first, path)
	}
	if first == "" {
		return "", s, outside
	}
	return "", s, fmt.Errorf("picture %q is not there (looked for %s)", name, first)
}

// textLink reads a link that was written as text.
func textLink(path string) (target string, ok bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > maxLinkText || !imageio.IsPicture(path) {
		return "", false
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), "../") || !imageio.IsPicture(string(text)) || strings.ContainsAny(string(text), "\n\r\x00") {
		return "", false
	}
	return filepath.Join(filepath.Dir(path), filepath.FromSlash(string(text))), true
}

func within(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && filepath.IsLocal(rel)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(path string) bool {
	_, ok := stampOf(path)
	return ok
}
