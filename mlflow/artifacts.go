package mlflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Artifacts are the files of one run, logged model or version. Paths are
// relative, slash-separated and checked: they cannot lead out of the root.
type Artifacts interface {
	// Put stores a local file under a path.
	Put(ctx context.Context, path, file string) error
	// Get writes a file from byte offset on.
	Get(ctx context.Context, path string, offset int64, w io.Writer) error
	// List names the files and folders directly in a folder, sorted; "" is the root.
	List(ctx context.Context, path string) ([]FileInfo, error)
}

// FileInfo is a file or folder among artifacts.
type FileInfo struct {
	Path string `json:"path"` // from the root
	Dir  bool   `json:"is_dir"`
	Size Millis `json:"file_size,omitempty"` // bytes, of files
}

// OpenArtifacts opens the place that an artifact_uri names: a folder, file:,
// mlflow-artifacts: (through the server that store talks to), http(s): of a
// server's proxy, or s3:. Other schemes are refused by name.
func OpenArtifacts(store Store, uri string) (Artifacts, error) {
	scheme, _, ok := strings.Cut(uri, ":/")
	switch {
	case uri == "":
		return nil, errors.New("mlflow: open artifacts: the run has no artifact_uri")
	case !ok || scheme == "file" || len(scheme) == 1: // C:/…
		dir, err := localPath(uri)
		return folder(dir), err
	case scheme == "mlflow-artifacts" || scheme == "http" || scheme == "https":
		return openProxy(store, uri)
	case scheme == "s3":
		c, err := connectionOf(store)
		if err != nil {
			return nil, err
		}
		return openS3(uri, c)
	}
	return nil, fmt.Errorf("mlflow: open artifacts %q: %s storage is not supported: use folders, the server's proxy (mlflow server --serve-artifacts) or s3", uri, scheme)
}

// connectionOf is how the store's server is reached, or what the environment says.
func connectionOf(store Store) (Connection, error) {
	if r, ok := store.(*REST); ok {
		return r.conn, nil
	}
	return DefaultConnection()
}

// folder is Artifacts in a local folder.
type folder string

func (f folder) Put(_ context.Context, name, file string) error {
	if err := checkArtifactPath(name); err != nil {
		return err
	}
	target := filepath.Join(string(f), filepath.FromSlash(name))
	if err := copyFile(target, file); err != nil {
		return fmt.Errorf("mlflow: store artifact %s: %w", name, err)
	}
	return nil
}

// copyFile writes a copy as a whole or not at all.
func copyFile(target, source string) (err error) {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeWhole(target, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

// writeWhole writes a file beside its place and moves it there.
func writeWhole(target string, fill func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(fill(out), out.Chmod(0o644), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), target)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return nil
}

func (f folder) Get(_ context.Context, name string, offset int64, w io.Writer) (err error) {
	if err := checkArtifactPath(name); err != nil {
		return err
	}
	in, err := os.Open(filepath.Join(string(f), filepath.FromSlash(name)))
	if err != nil {
		return fmt.Errorf("mlflow: read artifact: %w", err)
	}
	defer in.Close()
	if _, err := in.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("mlflow: read artifact: %w", err)
	}
	if _, err := io.Copy(w, in); err != nil {
		return fmt.Errorf("mlflow: read artifact %s: %w", name, err)
	}
	return nil
}

func (f folder) List(_ context.Context, name string) ([]FileInfo, error) {
	if err := checkArtifactPath(name); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(string(f), filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no artifact has been stored yet
	}
	if err != nil {
		return nil, fmt.Errorf("mlflow: list artifacts: %w", err)
	}
	var out []FileInfo
	for _, e := range entries {
		i := FileInfo{Path: path.Join(name, e.Name()), Dir: e.IsDir()}
		if st, err := e.Info(); err == nil && !i.Dir {
			i.Size = Millis(st.Size())
		}
		out = append(out, i)
	}
	return out, nil
}

// PutFolder stores all files of a local folder under a path. Links and other
// special files are refused, since what they point to may change.
func PutFolder(ctx context.Context, a Artifacts, to, dir string) error {
	return eachFile(dir, func(name, file string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return a.Put(ctx, path.Join(to, name), file)
	})
}

// eachFile calls fn with the slash-separated name and the path of every file below dir, sorted.
func eachFile(dir string, fn func(name, file string) error) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("mlflow: store artifacts: %s is no plain file", file)
		}
		return fn(filepath.ToSlash(name), file)
	})
}

const (
	maxListed = 1 << 20 // files of one download
	maxNested = 64      // folders in folders
)

// GetFolder downloads a folder, or one file, into dir. Files that a broken
// download left behind as *.part go on where they ended.
func GetFolder(ctx context.Context, a Artifacts, from, dir string) error {
	listed := 0
	var walk func(folder string, depth int) error
	walk = func(folder string, depth int) error {
		items, err := a.List(ctx, folder)
		if err != nil {
			return err
		}
		if listed += len(items); listed > maxListed || depth > maxNested {
			return fmt.Errorf("mlflow: download %q: more than %d files or %d folders in one another", from, maxListed, maxNested)
		}
		for _, i := range items {
			rel := strings.TrimPrefix(strings.TrimPrefix(i.Path, from), "/")
			if err := checkArtifactPath(i.Path); err != nil || rel == "" {
				return errors.Join(err, fmt.Errorf("mlflow: download %q: the store lists %q in it", from, i.Path))
			}
			if i.Dir {
				err = walk(i.Path, depth+1)
			} else {
				err = getFile(ctx, a, i, filepath.Join(dir, filepath.FromSlash(rel)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return walk(from, 0)
}

// getFile downloads one file through a .part file beside it.
func getFile(ctx context.Context, a Artifacts, i FileInfo, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("mlflow: download: %w", err)
	}
	part := target + ".part"
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("mlflow: download: %w", err)
	}
	offset, err := out.Seek(0, io.SeekEnd)
	if err == nil && i.Size > 0 && offset > int64(i.Size) {
		offset = 0
		err = errors.Join(out.Truncate(0), seek(out, 0))
	}
	if err == nil && !(offset > 0 && offset == int64(i.Size)) {
		err = a.Get(ctx, i.Path, offset, out)
	}
	if end, serr := out.Seek(0, io.SeekEnd); err == nil && serr == nil && i.Size > 0 && end != int64(i.Size) {
		err = fmt.Errorf("mlflow: download %s: %d bytes came, the store lists %d", i.Path, end, i.Size)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(part, target)
}

func seek(f *os.File, to int64) error {
	_, err := f.Seek(to, io.SeekStart)
	return err
}

// escapePath escapes each element of a path for an address.
func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i, e := range parts {
		parts[i] = url.PathEscape(e)
	}
	return strings.Join(parts, "/")
}

func sortInfos(list []FileInfo) []FileInfo {
	slices.SortFunc(list, func(a, b FileInfo) int { return strings.Compare(a.Path, b.Path) })
	return list
}
