//go:build !unix

package checkpoint

import "os"

// mapFile reads the whole file where this package knows no way to map it.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return readWhole(f)
}
