//go:build !unix || solaris || aix

package mlflow

import (
	"errors"
	"io/fs"
	"os"
)

// tryLock makes the file of a session's lock. Without locks that die with the
// process, one that a crash has left must be deleted by hand.
func tryLock(path string) (unlock func(), free bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return func() { f.Close(); os.Remove(path) }, true, nil
}
