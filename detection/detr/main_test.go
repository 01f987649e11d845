package detr

import (
	"fmt"
	"os"
	"testing"

	"github.com/wildtrain/sdk/torch"
)

// TestMain fails when tests leave tensor handles behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := torch.Handles(); n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d tensor handles are still alive\n", n)
		code = 1
	}
	os.Exit(code)
}
