//go:build unix

package checkpoint

import (
	"os"
	"syscall"
)

// mapFile maps a regular file read-only; empty files give no bytes. Where the
// file system cannot map, it reads.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if st.Mode().IsRegular() && st.Size() > 0 && int64(int(st.Size())) == st.Size() {
		data, err := syscall.Mmap(int(f.Fd()), 0, int(st.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
		if err == nil {
			return data, func() error { return syscall.Munmap(data) }, nil
		}
	}
	return readWhole(f)
}
