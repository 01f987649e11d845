package resample

// Vectors reports whether vector code is in use.
func Vectors() bool { return vectors }

// SetVectors switches it; the result switches back.
func SetVectors(on bool) (restore func()) {
	before := vectors
	vectors = on
	return func() { vectors = before }
}
