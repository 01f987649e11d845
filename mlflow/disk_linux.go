package mlflow

import "syscall"

// disk is the size and the free space of a file system, in bytes.
func disk(path string) (total, free float64) {
	var s syscall.Statfs_t
	if syscall.Statfs(path, &s) != nil {
		return 0, 0
	}
	return float64(s.Blocks) * float64(s.Bsize), float64(s.Bavail) * float64(s.Bsize)
}
