package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/wildtrain/sdk/wildtrain"
)

// ErrDamaged tells that a checkpoint's files are not the ones that were saved.
var ErrDamaged = errors.New("checkpoint: files are damaged")

// Load implements wildtrain.Resumer. It checks the files against the manifest,
// fills the live states of s bit for bit (those that are nil are left out,
// those that were not saved stay as they are) and sets its other fields.
// Names, shapes and types must agree exactly, else a MismatchError lists the
// differences and nothing is written. Errors satisfy errors.Is with
// wildtrain.ErrNoCheckpoint, ErrMismatch or ErrDamaged.
func (r *Run) Load(ctx context.Context, which string, s *wildtrain.Snapshot) error {
	if err := checkName(which); err != nil {
		return fmt.Errorf("checkpoint: load: %w", err)
	}
	dir := r.Path(checkpointsDir, which)
	if err := r.load(ctx, dir, which, s); err != nil {
		return fmt.Errorf("checkpoint: load %s: %w", dir, err)
	}
	return nil
}

func (r *Run) load(ctx context.Context, dir, which string, s *wildtrain.Snapshot) error {
	unlock, err := lockFolder(ctx, r.Path(lockFile), false)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return wildtrain.ErrNoCheckpoint
	}
	files, err := verify(ctx, dir)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, progressFile))
	if err != nil {
		return err
	}
	var record progressRecord
	if err := unmarshal(data, &record); err != nil {
		return fmt.Errorf("%s: %w: %w", progressFile, ErrDamaged, err)
	}
	if err := fillAll(ctx, dir, files, s); err != nil {
		return err
	}
	s.Which, s.Progress, s.Describe = which, record.Progress, record.Describe
	s.Groups, s.Random, s.Metrics = record.Groups, record.Random, record.Metrics
	return nil
}

// fillAll compares all parts before it writes any.
func fillAll(ctx context.Context, dir string, files map[string]bool, s *wildtrain.Snapshot) error {
	parts := []struct {
		name string
		live wildtrain.State
		file *File
	}{{modelFile, s.Model, nil}, {averagedFile, s.Averaged, nil}, {optimizerFile, s.Optimizer, nil}}
	var problems []error
	for i, p := range parts {
		if p.live == nil || !files[p.name] {
			continue
		}
		path := filepath.Join(dir, p.name)
		f, err := Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		parts[i].file = f
		if diff, _ := compare(p.live, f, true); diff != nil {
			problems = append(problems, diff)
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	for _, p := range parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.file == nil {
			continue
		}
		if _, err := Fill(p.live, p.file, FillOptions{Exact: true}); err != nil {
			return err
		}
	}
	return nil
}

// verify compares every file of a checkpoint with the manifest and returns their names.
func verify(ctx context.Context, dir string) (map[string]bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", manifestFile, ErrDamaged, err)
	}
	if m.Format != formatVersion {
		return nil, fmt.Errorf("%s: format %d, this version of the SDK knows %d", manifestFile, m.Format, formatVersion)
	}
	names := map[string]bool{}
	for _, f := range m.Files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if filepath.Base(f.Name) != f.Name {
			return nil, fmt.Errorf("%s: %w: file name %q", manifestFile, ErrDamaged, f.Name)
		}
		if err := verifyFile(filepath.Join(dir, f.Name), f); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", f.Name, ErrDamaged, err)
		}
		names[f.Name] = true
	}
	return names, nil
}

func verifyFile(path string, want fileRecord) error {
	sum, n, err := Digest(path)
	switch {
	case err != nil:
		return err
	case n != want.Size:
		return fmt.Errorf("%d bytes, %d were saved", n, want.Size)
	case sum != want.SHA256:
		return errors.New("its checksum is not the saved one")
	}
	return nil
}

// Digest is the SHA-256 of a file in hexadecimal digits, and its size in bytes.
func Digest(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
