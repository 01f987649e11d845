package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// unzip writes the entries that place wants below dir. Entries cannot leave dir;
// the archive is a checked one, so its sizes are trusted.
func unzip(ctx context.Context, archive, dir string, place func(string) string) error {
	reader, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("libtorch: open %s: %w", archive, err)
	}
	defer reader.Close()
	written := 0
	for _, entry := range reader.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := place(entry.Name)
		if name == "" {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("libtorch: %s: entry %q leaves the folder", archive, entry.Name)
		}
		if err := writeEntry(entry, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return fmt.Errorf("libtorch: unpack %s: %w", entry.Name, err)
		}
		written++
	}
	if written == 0 {
		return fmt.Errorf("libtorch: %s: nothing of libtorch in it", archive)
	}
	return nil
}

func writeEntry(entry *zip.File, target string) (err error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	in, err := entry.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// diskFull turns the system's ENOSPC into a sentence.
func diskFull(err error, dir string) error {
	if errors.Is(err, syscall.ENOSPC) {
		return failed(err, "free some space, or set XDG_CACHE_HOME to a larger disk", "the disk of %s is full", dir)
	}
	return err
}

// tail keeps the last few kilobytes that a client printed.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - 8<<10; extra > 0 {
		t.text = t.text[extra:]
	}
	return len(p), nil
}

// gist is the client's last line that speaks of an error, or its last line.
func (t *tail) gist() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); strings.Contains(strings.ToUpper(line), "ERROR") && len(line) > len("[ERROR]") {
			return line
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
