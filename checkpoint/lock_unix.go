//go:build unix && !solaris && !aix

package checkpoint

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lockFolder takes an advisory lock on a folder's ".lock" file, exclusive for
// writers and shared for readers, and waits for it. The lock dies with the
// process. Where the folder cannot be written, readers go without.
func lockFolder(ctx context.Context, path string, exclusive bool) (unlock func(), err error) {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		if !exclusive {
			return func() {}, nil
		}
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err != nil && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.ENOLCK) && !errors.Is(err, syscall.ENOSYS) {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
