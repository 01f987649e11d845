package augment

// SetVectors switches the vector code and returns what switches it back.
func SetVectors(on bool) (restore func()) {
	before := vectors
	vectors = on && before
	return func() { vectors = before }
}

// Vectors tells whether there is vector code for this processor.
func Vectors() bool { return vectors }
