//go:build unix && !solaris && !aix

package mlflow

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the lock of a session, which dies with the process. free is
// false where a living process holds it.
func tryLock(path string) (unlock func(), free bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, false, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, false, f.Close()
	}
	if err != nil && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.ENOLCK) && !errors.Is(err, syscall.ENOSYS) {
		return nil, false, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, true, nil // closing releases; there is nothing to lose
}
