//go:build linux && (amd64 || arm64)

package checkpoint

import (
	"runtime"
	"syscall"
	"unsafe"
)

// exchange swaps two paths in one step of the file system (renameat2 with
// RENAME_EXCHANGE). It fails where kernel or file system cannot.
func exchange(a, b string) error {
	number := uintptr(316)
	if runtime.GOARCH == "arm64" {
		number = 276
	}
	from, err := syscall.BytePtrFromString(a)
	if err != nil {
		return err
	}
	to, err := syscall.BytePtrFromString(b)
	if err != nil {
		return err
	}
	const atCwd, renameExchange = -100, 2
	cwd := atCwd
	_, _, errno := syscall.Syscall6(number, uintptr(cwd), uintptr(unsafe.Pointer(from)), uintptr(cwd), uintptr(unsafe.Pointer(to)), renameExchange, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
