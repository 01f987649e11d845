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
	"os/exec"
	"path/filepath"
	"sync"
)

// neededBytes is what a fetch occupies at its peak: archives and unpacked files.
const neededBytes = 900 << 20

// fetcher downloads and unpacks the pinned libtorch.
type fetcher struct {
	cache    string
	platform string
	assets   []asset
	free     func(dir string) (uint64, error)
	log      io.Writer
}

// fetch puts the pinned libtorch into the cache and gives it. A lock lets one
// process work while others wait and then find the result. Everything is made in
// a side folder and renamed at the end, so a broken fetch leaves nothing behind
// but whole, checked archives, which the next one uses.
func (f *fetcher) fetch(ctx context.Context) (*install, error) {
	if len(f.assets) == 0 {
		return nil, failf("set LIBTORCH to an unpacked libtorch, or activate a Python with PyTorch",
			"no libtorch %s is known for %s", pinnedVersion, f.platform)
	}
	if err := os.MkdirAll(f.cache, 0o755); err != nil {
		return nil, fmt.Errorf("libtorch: make cache: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(f.cache, "lock"), f.log)
	if err != nil {
		return nil, fmt.Errorf("libtorch: lock cache: %w", err)
	}
	defer unlock()
	found, err := inspect(pinnedRoot(f.cache), "fetched copy")
	if err == nil || !errors.Is(err, errAbsent) {
		return found, err
	}
	if err := f.checkSpace(); err != nil {
		return nil, err
	}
	downloads := filepath.Join(f.cache, "downloads")
	if err := f.download(ctx, downloads); err != nil {
		return nil, err
	}
	if err := f.unpack(ctx, downloads); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(downloads); err != nil {
		fmt.Fprintf(f.log, "libtorch: remove %s by hand: %v\n", downloads, err)
	}
	return inspect(pinnedRoot(f.cache), "fetched copy")
}

func (f *fetcher) checkSpace() error {
	free, err := f.free(f.cache)
	if err != nil {
		return fmt.Errorf("libtorch: free space of %s: %w", f.cache, err)
	}
	if free < neededBytes {
		return failf("free some space, or set XDG_CACHE_HOME to a larger disk",
			"not enough disk space in %s: %d MiB free, %d MiB needed", f.cache, free>>20, neededBytes>>20)
	}
	return nil
}

// download gets all archives, side by side, that are not there already.
func (f *fetcher) download(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("libtorch: make %s: %w", dir, err)
	}
	problems := make([]error, len(f.assets))
	var group sync.WaitGroup
	for i, a := range f.assets {
		group.Go(func() { problems[i] = f.get(ctx, a, dir) })
	}
	group.Wait()
	return errors.Join(problems...)
}

// get runs the asset's client, twice at most, until the pinned bytes are there.
func (f *fetcher) get(ctx context.Context, a asset, dir string) error {
	target := filepath.Join(dir, a.name)
	if checkFile(target, a.sha256) == nil {
		return nil
	}
	command, err := a.client.find()
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		fmt.Fprintf(f.log, "libtorch: fetching %s with %s\n", a.name, command[0])
		err := f.getOnce(ctx, a, dir, command)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case attempt == 2 || errors.Is(err, exec.ErrNotFound):
			return err
		}
		fmt.Fprintf(f.log, "libtorch: once more: %v\n", err)
	}
}

func (f *fetcher) getOnce(ctx context.Context, a asset, dir string, command []string) error {
	temp, err := os.MkdirTemp(dir, "get-*")
	if err != nil {
		return fmt.Errorf("libtorch: fetch %s: %w", a.name, err)
	}
	defer os.RemoveAll(temp)
	var said tail
	cmd := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], a.client.args(temp)...)...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return failed(err, "check the network and the client's own settings (proxy, mirror), or set LIBTORCH",
			"%s could not fetch %s: %s", command[0], a.name, said.gist())
	}
	got := filepath.Join(temp, a.name)
	if err := checkFile(got, a.sha256); err != nil {
		return failed(err, "what the client gave is not the pinned file; a mirror or proxy may have changed it",
			"fetch %s", a.name)
	}
	return os.Rename(got, filepath.Join(dir, a.name))
}

// find gives the first of the client's programs that this machine has.
func (c client) find() ([]string, error) {
	for _, p := range c.programs {
		if _, err := exec.LookPath(p[0]); err == nil {
			return p, nil
		}
	}
	return nil, failed(exec.ErrNotFound, c.hint+", or set LIBTORCH to an unpacked libtorch",
		"cannot fetch libtorch without %s", c.programs[0][0])
}

// unpack fills a side folder from the checked archives and renames it into place.
func (f *fetcher) unpack(ctx context.Context, downloads string) error {
	final := pinnedDir(f.cache)
	partial := final + ".partial"
	for _, old := range []string{partial, final} { // the lock is ours, so these are leftovers
		if err := os.RemoveAll(old); err != nil {
			return fmt.Errorf("libtorch: remove leftovers: %w", err)
		}
	}
	for _, a := range f.assets {
		fmt.Fprintf(f.log, "libtorch: unpacking %s\n", a.name)
		if err := unzip(ctx, filepath.Join(downloads, a.name), partial, a.place); err != nil {
			os.RemoveAll(partial)
			return diskFull(err, f.cache)
		}
	}
	if err := os.Rename(partial, final); err != nil {
		return fmt.Errorf("libtorch: put into place: %w", err)
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
