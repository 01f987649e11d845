//go:build !amd64

package augment

// SetVectors switches nothing: there is no vector code for this processor.
func SetVectors(bool) (restore func()) { return func() {} }

// Vectors tells whether there is vector code for this processor.
func Vectors() bool { return false }
