package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// resolver finds a libtorch. Its fields are what it takes from outside.
type resolver struct {
	env     func(string) string
	cache   string    // <user cache>/wildtrain/libtorch
	python  string    // named by -python: nothing else is looked at
	fetched bool      // -fetched: only the pinned copy counts
	notes   io.Writer // what was passed over, and why
	fetch   func(context.Context) (*install, error)
	noFetch bool // doctor and path look, they do not download
}

// resolve goes through DESIGN §4's order: $LIBTORCH or $GOTCH_LIBTORCH; the
// PyTorch of a named or of the active Python; the copy fetched before; a fetch.
// A place that the user named must work; the active Python is passed over with a
// note if its PyTorch cannot be used.
func (r *resolver) resolve(ctx context.Context) (*install, error) {
	if r.fetched {
		return r.pinned(ctx)
	}
	if python := firstOf(r.python, r.env("WILDTRAIN_PYTHON")); python != "" {
		return r.fromPython(ctx, python)
	}
	for _, name := range []string{"LIBTORCH", "GOTCH_LIBTORCH"} {
		if root := r.env(name); root != "" {
			root, err := filepath.Abs(root)
			if err != nil {
				return nil, fmt.Errorf("libtorch: resolve $%s: %w", name, err)
			}
			return inspect(root, "$"+name)
		}
	}
	if python := r.activePython(); python != "" {
		found, err := r.fromPython(ctx, python)
		switch {
		case err == nil:
			return found, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, errAbsent):
			fmt.Fprintf(r.notes, "libtorch: passed over the active Python: %v\n", err)
		}
	}
	return r.pinned(ctx)
}

// pinned gives the copy in the cache, fetching it first where that is allowed.
func (r *resolver) pinned(ctx context.Context) (*install, error) {
	found, err := inspect(pinnedRoot(r.cache), fetchedCopy)
	if err == nil {
		return found, nil
	}
	if r.noFetch {
		return nil, failed(errAbsent, `"libtorch fetch" gets it`, "no libtorch found and none fetched yet")
	}
	return r.fetch(ctx)
}

func (r *resolver) activePython() string {
	if venv := r.env("VIRTUAL_ENV"); venv != "" {
		return filepath.Join(venv, "bin", "python")
	}
	for _, name := range []string{"python3", "python"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// whereIsTorch prints the folder of package torch without importing it.
const whereIsTorch = `import importlib.util as u
s = u.find_spec("torch")
print(list(s.submodule_search_locations)[0] if s and s.submodule_search_locations else "")`

// fromPython asks one interpreter where its PyTorch lies.
func (r *resolver) fromPython(ctx context.Context, python string) (*install, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, python, "-c", whereIsTorch)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return nil, failed(err, "name a working interpreter", "cannot run Python %s: %s", python, lastLine(problems.String()))
	}
	root := strings.TrimSpace(out.String())
	if root == "" {
		return nil, failed(errAbsent, python+" -m pip install torch", "no PyTorch in Python %s", python)
	}
	return inspect(root, "PyTorch of "+python)
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
