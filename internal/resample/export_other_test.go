//go:build !amd64

package resample

// Vectors reports whether vector code is in use.
func Vectors() bool { return vectors }

// SetVectors has nothing to switch here.
func SetVectors(bool) (restore func()) { return func() {} }
