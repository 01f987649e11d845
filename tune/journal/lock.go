package journal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// lockGrace is after which time an unchanged lock of a dead process is taken by
// force.
const lockGrace = 30 * time.Second

// lock takes Optuna's lock of a journal: a symbolic link beside it, which is made
// atomically on network file systems, too.
func lock(ctx context.Context, file string) (release func() error, err error) {
	link := file + ".lock"
	sleep, since := time.Millisecond, time.Now()
	var seen time.Time
	for {
		err := os.Symlink(file, link)
		if err == nil {
			return func() error { return unlock(link) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("journal: lock: %w", err)
		}
		// Lstat: the link's own age, not that of the journal behind it
		info, err := os.Lstat(link)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !info.ModTime().Equal(seen) {
			seen, since = info.ModTime(), time.Now()
		}
		if time.Since(since) > lockGrace {
			if err := unlock(link); err == nil {
				sleep = time.Millisecond
			}
			since = time.Now()
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(sleep):
		}
		sleep = min(2*sleep, 50*time.Millisecond)
	}
}

// unlock renames first: of two processes that take a dead lock away only one can.
func unlock(link string) error {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return fmt.Errorf("journal: unlock: %w", err)
	}
	gone := link + hex.EncodeToString(random) + ".rename"
	err := os.Rename(link, gone)
	if err == nil {
		err = os.Remove(gone)
	}
	if err != nil {
		return fmt.Errorf("journal: unlock: %w", err)
	}
	return nil
}
