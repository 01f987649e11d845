package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/wildtrain/sdk/wildtrain"
)

const (
	modelFile     = "model.safetensors"
	averagedFile  = "ema.safetensors"
	optimizerFile = "optimizer.safetensors"
	progressFile  = "progress.json"
	manifestFile  = "manifest.json"
)

// formatVersion is raised when a checkpoint's layout changes.
const formatVersion = 1

// progressRecord is what progress.json holds.
type progressRecord struct {
	Which    string                `json:"which"`
	Progress wildtrain.Progress    `json:"progress"`
	Describe wildtrain.Description `json:"model"`
	Groups   []wildtrain.Group     `json:"groups"`
	Random   []byte                `json:"random"`
	Metrics  []wildtrain.Value     `json:"metrics"`
	Versions map[string]string     `json:"versions"`
}

// manifest lists the files of a checkpoint.
type manifest struct {
	Format int          `json:"format"`
	Files  []fileRecord `json:"files"`
}

type fileRecord struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Save implements wildtrain.Saver. It writes checkpoints/<Which>/ with
// model.safetensors, ema.safetensors, optimizer.safetensors, progress.json and
// a manifest of sizes and checksums: into a temporary folder first, synced,
// which then takes the place of the old one. A process killed at any time
// leaves the old or the new checkpoint; after an error, such as a full disk,
// the old one is there and nothing else.
func (r *Run) Save(ctx context.Context, s *wildtrain.Snapshot) (string, error) {
	if err := checkName(s.Which); err != nil {
		return "", fmt.Errorf("checkpoint: save: %w", err)
	}
	final := r.Path(checkpointsDir, s.Which)
	if err := r.save(ctx, s, final); err != nil {
		hint := ""
		if errors.Is(err, syscall.ENOSPC) {
			hint = " (the disk is full; the checkpoint of before is untouched)"
		}
		return "", fmt.Errorf("checkpoint: save %s: %w%s", final, err, hint)
	}
	return final, nil
}

func (r *Run) save(ctx context.Context, s *wildtrain.Snapshot, final string) (err error) {
	parent := filepath.Dir(final)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	unlock, err := lockFolder(ctx, r.Path(lockFile), true)
	if err != nil {
		return err
	}
	defer unlock()
	if err := repairFolder(parent); err != nil {
		return err
	}
	temp := filepath.Join(parent, tempPrefix+s.Which)
	if err := os.Mkdir(temp, 0o755); err != nil {
		return err
	}
	if err := r.writeCheckpoint(ctx, temp, s); err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return r.replace(temp, final)
}

// writeCheckpoint writes all files of a checkpoint into an empty folder.
func (r *Run) writeCheckpoint(ctx context.Context, dir string, s *wildtrain.Snapshot) error {
	m := &manifest{Format: formatVersion}
	meta, err := Describe(s.Describe)
	if err != nil {
		return err
	}
	states := []struct {
		name  string
		state wildtrain.State
	}{{modelFile, s.Model}, {averagedFile, s.Averaged}, {optimizerFile, s.Optimizer}}
	for _, part := range states {
		if err := ctx.Err(); err != nil {
			return err
		}
		if part.state == nil {
			continue
		}
		err := r.add(m, dir, part.name, func(w io.Writer) error { return WriteSafetensors(w, part.state, withFormat(meta)) })
		if err != nil {
			return err
		}
	}
	record := progressRecord{s.Which, s.Progress, s.Describe, s.Groups, s.Random, s.Metrics, versions()}
	for _, part := range []struct {
		name  string
		value any
	}{{progressFile, record}, {manifestFile, m}} {
		data, err := marshal(part.value)
		if err != nil {
			return err
		}
		err = r.add(m, dir, part.name, func(w io.Writer) error { _, err := w.Write(append(data, '\n')); return err })
		if err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// add writes a file and enters it in the manifest.
func (r *Run) add(m *manifest, dir, name string, write func(io.Writer) error) error {
	sum, count := sha256.New(), &counter{w: io.Discard}
	err := writeSynced(r.create, filepath.Join(dir, name), func(w io.Writer) error {
		return write(io.MultiWriter(w, sum, count))
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	m.Files = append(m.Files, fileRecord{name, count.n, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

// replace puts the complete folder temp in the place of final. Where the
// system can exchange two paths that is one step; else the folder is renamed
// ".new-…" (complete, but not in place), the old one ".old-…", and repairFolder
// knows how to go on from any point between.
func (r *Run) replace(temp, final string) error {
	parent, name := filepath.Split(final)
	if _, err := os.Lstat(final); errors.Is(err, os.ErrNotExist) {
		if err := os.Rename(temp, final); err != nil {
			return err
		}
		return syncDir(parent)
	}
	if r.swap(temp, final) == nil {
		if err := syncDir(parent); err != nil {
			return err
		}
		return os.RemoveAll(temp) // the old one now
	}
	fresh, old := filepath.Join(parent, newPrefix+name), filepath.Join(parent, oldPrefix+name)
	for _, step := range [][2]string{{temp, fresh}, {final, old}, {fresh, final}} {
		if err := os.Rename(step[0], step[1]); err != nil {
			return err
		}
		if err := syncDir(parent); err != nil {
			return err
		}
	}
	return os.RemoveAll(old)
}

const (
	newPrefix = ".new-"
	oldPrefix = ".old-"
)

// repair finishes or undoes what a killed process left.
func (r *Run) repair(ctx context.Context) error {
	dir := r.Path(checkpointsDir)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil // nothing was saved yet
	}
	unlock, err := lockFolder(ctx, r.Path(lockFile), true)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return nil // somebody else's run, to be read only
	}
	if err != nil {
		return err
	}
	defer unlock()
	return errors.Join(repairFolder(dir), repairPlace(r.dir, modelDir))
}

// repairFolder needs the lock.
func repairFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		for _, prefix := range []string{newPrefix, oldPrefix, tempPrefix} {
			if name, ok := strings.CutPrefix(e.Name(), prefix); ok {
				if err := repairPlace(dir, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// repairPlace clears what is left of a replacement of dir/name. A ".new-"
// folder is complete: it takes its place if that is free. An ".old-" one goes
// back if the place is still free then. A ".tmp-" one may be half-written.
func repairPlace(dir, name string) error {
	place := filepath.Join(dir, name)
	for _, prefix := range []string{newPrefix, oldPrefix, tempPrefix} {
		left := filepath.Join(dir, prefix+name)
		if _, err := os.Lstat(left); errors.Is(err, os.ErrNotExist) {
			continue
		}
		_, err := os.Lstat(place)
		if prefix != tempPrefix && errors.Is(err, os.ErrNotExist) {
			err = os.Rename(left, place)
		} else {
			err = os.RemoveAll(left)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// versions names this SDK and Go.
func versions() map[string]string {
	out := map[string]string{"go": runtime.Version(), "wildtrain": "unknown"}
	const path = "github.com/wildtrain/sdk"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == path {
			out["wildtrain"] = m.Version
		}
	}
	return out
}
