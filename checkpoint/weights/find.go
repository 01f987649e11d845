package weights

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wildtrain/sdk/checkpoint"
)

// Request says which weights are wanted.
type Request struct {
	Architecture string // as Sources takes it
	// From is "true" for the architecture's default, a tag of it, the path of a
	// file or folder, or an https:// address, which may end in "#sha256=…". (Plain
	// http is for this machine's own servers.)
	From string
	// Folder is where files are looked for and kept; "" takes DefaultFolder.
	Folder        string
	AcceptLicense string                  // an SPDX identifier that the user agrees to
	Progress      func(done, total int64) // bytes while fetching, total −1 where unknown; may be nil
	Log           *slog.Logger            // tells of sources and licences; nil for slog's default
	Client        *http.Client            // nil for http.DefaultClient
}

// Found is a file of weights on this machine.
type Found struct {
	Path    string
	License string // SPDX identifier; "" where unknown
	Source  Source // the zero Source for a path of the user's
	Fetched bool   // just now
}

// DefaultFolder is $WILDTRAIN_WEIGHTS, else a folder in the user's cache.
func DefaultFolder() (string, error) {
	if dir := os.Getenv("WILDTRAIN_WEIGHTS"); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("weights: find the cache folder: %w (set WILDTRAIN_WEIGHTS)", err)
	}
	return filepath.Join(cache, "wildtrain", "weights"), nil
}

// Find returns the file that r asks for, fetching it where it is not there yet.
// Errors satisfy errors.Is with ErrLicense where the licence is in the way; where
// the network is, they say which file to put where.
func Find(ctx context.Context, r Request) (Found, error) {
	if r.Folder == "" {
		dir, err := DefaultFolder()
		if err != nil {
			return Found{}, err
		}
		r.Folder = dir
	}
	r.Log = cmp.Or(r.Log, slog.Default())
	r.Client = cmp.Or(r.Client, http.DefaultClient)
	switch {
	case strings.Contains(r.From, "://"):
		if err := checkAddress(r.From); err != nil {
			return Found{}, err
		}
		return r.official(ctx, ofAddress(r.From))
	case isPath(r.From):
		return r.local()
	}
	s, err := r.choose()
	if err != nil {
		return Found{}, err
	}
	return r.official(ctx, s)
}

// checkAddress refuses what is not https, but for servers on this machine.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	host := u.Hostname()
	own := host == "localhost" || net.ParseIP(host).IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && own) || host == "" {
		return fmt.Errorf("weights: %s: the address must begin with https://", address)
	}
	if strings.Trim(u.Path, "/") == "" {
		return fmt.Errorf("weights: %s: the address names no file", address)
	}
	return nil
}

// isPath tells a file's name from a tag.
func isPath(from string) bool {
	if strings.ContainsAny(from, `/\`) {
		return true
	}
	switch strings.ToLower(filepath.Ext(from)) {
	case ".pt", ".pth", ".ckpt", ".safetensors", ".bin":
		return true
	}
	info, err := os.Stat(from)
	return err == nil && info.IsDir()
}

// local takes a path of the user's: as it is, or inside the weights folder.
func (r Request) local() (Found, error) {
	for _, path := range []string{r.From, filepath.Join(r.Folder, r.From)} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		record, err := readRecord(path)
		if err != nil {
			return Found{}, err
		}
		if err := Accept(record.License, r.AcceptLicense); err != nil {
			return Found{}, fmt.Errorf("%s: %w", path, err)
		}
		return Found{Path: path, License: record.License}, nil
	}
	return Found{}, fmt.Errorf("weights: no file %s, neither as given nor in %s: %w", r.From, r.Folder, fs.ErrNotExist)
}

// choose finds the source that a tag, or "true", means.
func (r Request) choose() (Source, error) {
	all := Sources(r.Architecture)
	if len(all) == 0 {
		return Source{}, fmt.Errorf("weights: no official weights of %s are known: give model.pretrained a file or an https:// address, or false to begin from random numbers", r.Architecture)
	}
	if strings.EqualFold(r.From, "true") {
		return all[0], nil
	}
	var tags []string
	for _, s := range all {
		if strings.EqualFold(s.Tag, r.From) || strings.EqualFold(s.File, r.From+filepath.Ext(s.File)) {
			return s, nil
		}
		tags = append(tags, s.Tag)
	}
	return Source{}, fmt.Errorf("weights: %q is neither a file nor a tag of %s, which has %s", r.From, r.Architecture, strings.Join(tags, ", "))
}

// official returns a published file from the folder, or fetches it into there.
func (r Request) official(ctx context.Context, s Source) (Found, error) {
	if err := Accept(s.License, r.AcceptLicense); err != nil {
		return Found{}, fmt.Errorf("%s: %w", s.Address, err)
	}
	path := filepath.Join(r.Folder, s.File)
	found := Found{Path: path, License: s.License, Source: s}
	if ok, err := r.present(path, s); ok || err != nil {
		return found, err
	}
	if err := os.MkdirAll(r.Folder, 0o755); err != nil {
		return Found{}, fmt.Errorf("weights: make the weights folder: %w", err)
	}
	unlock, err := checkpoint.LockFile(ctx, path+".lock")
	if err != nil {
		return Found{}, fmt.Errorf("weights: lock %s: %w", path, err)
	}
	defer unlock()
	if ok, err := r.present(path, s); ok || err != nil { // another process was first
		return found, err
	}
	r.Log.Info("fetching weights", "address", s.Address, "into", path, "license", cmp.Or(s.License, "unknown"))
	sum, err := r.fetch(ctx, s, path)
	if err != nil {
		if ctx.Err() != nil {
			return Found{}, fmt.Errorf("weights: fetch %s: %w", s.Address, ctx.Err())
		}
		return Found{}, fmt.Errorf("weights: fetch %s: %w; without a network, put that file at %s", s.Address, err, path)
	}
	found.Fetched = true
	return found, s.record(sum).write(path)
}

func (s Source) record(sum string) Record {
	return Record{License: s.License, Architecture: s.Architecture, Tag: s.Tag, Address: s.Address, SHA256: sum, Fetched: time.Now().UTC().Truncate(time.Second)}
}

// present tells whether the file is there. One that a user put there is compared
// with the published checksum once.
func (r Request) present(path string, s Source) (bool, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("weights: %w", err)
	}
	record, err := readRecord(path)
	if err != nil {
		return false, err
	}
	if record.SHA256 != "" && record.Address == s.Address {
		return true, nil
	}
	sum, _, err := checkpoint.Digest(path)
	if err != nil {
		return false, fmt.Errorf("weights: read %s: %w", path, err)
	}
	if !strings.HasPrefix(sum, s.SHA256) {
		return false, fmt.Errorf("weights: %s is not the published file: its SHA-256 is %s, want %s…: remove it, or give another model.pretrained", path, sum, s.SHA256)
	}
	r.Log.Info("weights", "file", path, "license", cmp.Or(s.License, "unknown"))
	return true, s.record(sum).write(path)
}

func writeAll(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}
