//go:build !linux || !(amd64 || arm64)

package checkpoint

import "errors"

// exchange fails where this package knows no call that swaps two paths; the
// caller then renames in two steps and repairs after a crash.
func exchange(a, b string) error { return errors.ErrUnsupported }
