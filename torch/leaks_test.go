//go:build invariants

package torch_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
)

// Leaks names the line that made what is still alive.
func TestLeaks(t *testing.T) {
	root := torch.NewRoot(torch.CPU)
	leaked := root.Ones(torch.Float, 3)
	require.NoError(t, run(t, torch.Inference, func(s *torch.Scope) error {
		s.Ones(torch.Float, 3)
		return nil
	}))
	found := 0
	for _, stack := range torch.Leaks() {
		if strings.Contains(stack, "TestLeaks") {
			found++
		}
	}
	require.Equal(t, 1, found)
	leaked.Free()
	require.NotContains(t, strings.Join(torch.Leaks(), "\n"), "TestLeaks")
	root.Close()
}
