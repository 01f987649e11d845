package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// neededBytes is what a fetch occupies at its peak: archives and unpacked files.
const neededBytes = 900 << 20

// fetcher puts the pinned libtorch into the cache.
type fetcher struct {
	cache    string
	platform string
	sources  []source // tried in this order
	free     func(dir string) (uint64, error)
	log      io.Writer
}

// source is one way to get the pinned libtorch. fill puts it below partial, a new
// folder, and may leave whole or part archives in downloads for a next attempt.
type source struct {
	name string
	fill func(ctx context.Context, downloads, partial string) error
}

// fetch gives the pinned libtorch, getting it first if it is not in the cache. A
// lock lets one process work while others wait and then find the result.
// Everything is made in a side folder and renamed at the end, so a broken fetch
// leaves nothing behind but archives, which the next one checks and uses.
func (f *fetcher) fetch(ctx context.Context) (*install, error) {
	if len(f.sources) == 0 {
		return nil, failf("set LIBTORCH to an unpacked libtorch, or activate a Python with PyTorch",
			"no libtorch %s is known for %s", pinnedVersion, f.platform)
	}
	if err := os.MkdirAll(f.cache, 0o755); err != nil {
		return nil, failed(err, "set XDG_CACHE_HOME to a folder that you may write to", "cannot make the cache folder")
	}
	unlock, err := lock(ctx, filepath.Join(f.cache, "lock"), f.log)
	if err != nil {
		return nil, fmt.Errorf("libtorch: lock cache: %w", err)
	}
	defer unlock()
	if found, err := inspect(pinnedRoot(f.cache), fetchedCopy); err == nil {
		return found, nil
	}
	if err := f.checkSpace(); err != nil {
		return nil, err
	}
	if err := f.fill(ctx); err != nil {
		return nil, err
	}
	return inspect(pinnedRoot(f.cache), fetchedCopy)
}

const fetchedCopy = "fetched copy"

// fill goes through the sources until one has filled the side folder, and puts
// that into place.
func (f *fetcher) fill(ctx context.Context) error {
	final, downloads := pinnedDir(f.cache), filepath.Join(f.cache, "downloads")
	partial := final + ".partial"
	defer os.RemoveAll(partial)
	var problems []error
	for _, s := range f.sources {
		for _, old := range []string{partial, final} { // the lock is ours, so these are leftovers
			if err := os.RemoveAll(old); err != nil {
				return fmt.Errorf("libtorch: remove leftovers: %w", err)
			}
		}
		if err := os.MkdirAll(downloads, 0o755); err != nil {
			return fmt.Errorf("libtorch: make downloads: %w", err)
		}
		err := s.fill(ctx, downloads, partial)
		switch {
		case err == nil:
			if err := os.Rename(partial, final); err != nil {
				return fmt.Errorf("libtorch: put into place: %w", err)
			}
			return os.RemoveAll(downloads)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, syscall.ENOSPC):
			return failed(err, spaceHint, "the disk of %s is full", f.cache)
		}
		fmt.Fprintf(f.log, "libtorch: %s did not work: %v\n", s.name, err)
		problems = append(problems, err)
	}
	return failed(errors.Join(problems...), "", "cannot fetch libtorch %s", pinnedVersion)
}

const spaceHint = "free some space, or set XDG_CACHE_HOME to a larger disk"

func (f *fetcher) checkSpace() error {
	free, err := f.free(f.cache)
	if err != nil {
		return fmt.Errorf("libtorch: free space of %s: %w", f.cache, err)
	}
	if free < neededBytes {
		return failf(spaceHint,
			"not enough disk space in %s: %d MiB free, %d MiB needed", f.cache, free>>20, neededBytes>>20)
	}
	return nil
}

// checkFile compares a file with its pinned SHA-256.
func checkFile(name, want string) error {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no %s: %w", filepath.Base(name), err)
	} else if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		return fmt.Errorf("%w: SHA-256 is %s, not %s", errChecksum, got, want)
	}
	return nil
}
