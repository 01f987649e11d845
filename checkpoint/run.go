package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/wildtrain/sdk/wildtrain"
)

const (
	checkpointsDir = "checkpoints"
	modelDir       = "model"
	runFile        = "run.json"
	lockFile       = ".lock"
)

// Run is the folder of one run, runs/<experiment>/<name>:
//
//	run.json                      what the run is, when it began
//	environment.json              see Environment
//	checkpoints/last, best, …     see Save
//	model/                        see SaveModel
//
// Other parts of a run put their files beside these; Path names them. Several
// processes may open a run: Save and Load exclude each other by a lock.
type Run struct {
	dir    string
	create creator
	swap   func(a, b string) error
}

var (
	_ wildtrain.Saver   = (*Run)(nil)
	_ wildtrain.Resumer = (*Run)(nil)
)

// runInfo is what run.json holds.
type runInfo struct {
	Experiment string    `json:"experiment"`
	Name       string    `json:"name"`
	Created    time.Time `json:"created"`
}

// CreateRun makes the folder root/experiment/name of a new run. An empty name
// takes the time, "2006-01-02_15-04-05". A folder that exists is never used
// again: the name then gets "-2", "-3" and so on, also between processes.
func CreateRun(root, experiment, name string) (*Run, error) {
	now := time.Now()
	if name == "" {
		name = now.Format("2006-01-02_15-04-05")
	}
	for _, s := range []string{experiment, name} {
		if err := checkName(s); err != nil {
			return nil, fmt.Errorf("checkpoint: create run: %w", err)
		}
	}
	parent := filepath.Join(root, experiment)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("checkpoint: create run: %w", err)
	}
	dir, base := filepath.Join(parent, name), name
	for i := 2; ; i++ {
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrExist) || i > 100000 {
			return nil, fmt.Errorf("checkpoint: create run: %w", err)
		}
		name = fmt.Sprintf("%s-%d", base, i)
		dir = filepath.Join(parent, name)
	}
	r := newRun(dir)
	if err := r.WriteJSON(runFile, runInfo{experiment, name, now}); err != nil {
		return nil, fmt.Errorf("checkpoint: create run: %w", err)
	}
	return r, nil
}

func newRun(dir string) *Run { return &Run{dir: dir, create: createFile, swap: exchange} }

// OpenRun opens the folder of a run that exists, and clears away what a killed
// process left half-written there.
func OpenRun(dir string) (*Run, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: open run: %w", err)
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("checkpoint: open run: %s is not a folder", dir)
	}
	r := newRun(dir)
	if err := r.repair(context.Background()); err != nil {
		return nil, fmt.Errorf("checkpoint: open run %s: %w", dir, err)
	}
	return r, nil
}

// checkName accepts names that are one harmless path element on every system.
func checkName(s string) error {
	bad := func(c rune) bool { return unicode.IsControl(c) || strings.ContainsRune(`/\:*?"<>|`, c) }
	if s == "" || strings.HasPrefix(s, ".") || strings.TrimSpace(s) != s || strings.ContainsFunc(s, bad) || len(s) > 200 {
		return fmt.Errorf("%q cannot name a folder", s)
	}
	return nil
}

// Dir is the run's folder.
func (r *Run) Dir() string { return r.dir }

// Path names a file or folder inside the run.
func (r *Run) Path(elem ...string) string {
	return filepath.Join(append([]string{r.dir}, elem...)...)
}

// WriteFile writes a file of the run, as a whole or not at all. name is a
// slash-separated path inside the folder; parents are made.
func (r *Run) WriteFile(name string, content []byte) error {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("checkpoint: write %s: the name leads out of the run's folder", name)
	}
	path := r.Path(filepath.FromSlash(name))
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = writeFile(r.create, path, func(w io.Writer) error { _, err := w.Write(content); return err })
	}
	if err != nil {
		return fmt.Errorf("checkpoint: write %s: %w", name, err)
	}
	return nil
}

// WriteJSON writes a value as indented JSON to a file of the run, like WriteFile.
// Numbers that JSON lacks become the strings "NaN", "Infinity" and "-Infinity".
func (r *Run) WriteJSON(name string, v any) error {
	data, err := marshal(v)
	if err != nil {
		return fmt.Errorf("checkpoint: write %s: %w", name, err)
	}
	return r.WriteFile(name, append(data, '\n'))
}

// Checkpoints lists the names of the run's complete checkpoints, sorted.
func (r *Run) Checkpoints() ([]string, error) {
	entries, err := os.ReadDir(r.Path(checkpointsDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("checkpoint: list checkpoints: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Remove deletes a checkpoint: of the best k, say, the one that is no longer among them.
func (r *Run) Remove(ctx context.Context, which string) error {
	if err := checkName(which); err != nil {
		return fmt.Errorf("checkpoint: remove: %w", err)
	}
	unlock, err := lockFolder(ctx, r.Path(lockFile), true)
	if err != nil {
		return fmt.Errorf("checkpoint: remove %s: %w", which, err)
	}
	defer unlock()
	if err := os.RemoveAll(r.Path(checkpointsDir, which)); err != nil {
		return fmt.Errorf("checkpoint: remove %s: %w", which, err)
	}
	return nil
}

// Latest returns the folder of the experiment's run that was created last, or
// an error that satisfies errors.Is(err, wildtrain.ErrNoCheckpoint). An empty
// experiment looks through all of root.
func Latest(root, experiment string) (string, error) {
	pattern := filepath.Join(root, "*", "*", runFile)
	if experiment != "" {
		pattern = filepath.Join(root, experiment, "*", runFile)
	}
	files, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("checkpoint: find latest run: %w", err)
	}
	best, when := "", time.Time{}
	slices.Sort(files)
	for _, file := range files {
		var info runInfo
		data, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(data, &info) != nil {
			continue
		}
		if best == "" || !info.Created.Before(when) {
			best, when = filepath.Dir(file), info.Created
		}
	}
	if best == "" {
		return "", fmt.Errorf("checkpoint: find latest run: none in %s: %w", filepath.Join(root, experiment), wildtrain.ErrNoCheckpoint)
	}
	return best, nil
}
