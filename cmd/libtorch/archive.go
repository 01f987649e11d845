package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	if _, err = io.Copy(out, in); err != nil || entry.UncompressedSize64 < 1<<20 {
		return err
	}
	return out.Sync() // a library must not be found empty after a power cut
}
