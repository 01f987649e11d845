package checkpoint

import "context"

// LockFile waits for the exclusive advisory lock of a file, which is made where
// it does not exist, so that processes do the same work once. The lock dies with
// the process; systems without such locks give it to everyone.
func LockFile(ctx context.Context, path string) (unlock func(), err error) {
	return lockFolder(ctx, path, true)
}
