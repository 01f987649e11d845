package pyramid_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/wildtrain/sdk/torch"
)

// TestMain is the alarm for leaked tensors.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := torch.Handles(); left != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "pyramid: %d tensor handles are still alive after all tests\n", left)
		code = 1
	}
	os.Exit(code)
}
