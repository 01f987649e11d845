//go:build !unix

package main

import (
	"context"
	"io"
)

// lock refuses: libtorch is fetched on Unix systems only.
func lock(context.Context, string, io.Writer) (func(), error) {
	return nil, failf("set LIBTORCH to an unpacked libtorch", "libtorch cannot be fetched on this system")
}

// freeSpace is unknown here.
func freeSpace(string) (uint64, error) {
	return 0, failf("set LIBTORCH to an unpacked libtorch", "libtorch cannot be fetched on this system")
}
