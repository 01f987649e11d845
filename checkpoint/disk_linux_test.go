package checkpoint

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

// A real full disk, where the test may mount one.
func TestFullTmpfs(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("needs the right to mount: ", err)
	}
	defer syscall.Unmount(root, 0)
	r, err := CreateRun(root, "birds", "one")
	require.NoError(t, err)
	want := snapshot(1)
	_, err = r.Save(t.Context(), want)
	require.NoError(t, err)
	big := snapshot(2)
	big.Model, err = Tensors(Tensor{"w", wildtrain.Uint8, []int64{1 << 20}, make([]byte, 1<<20)})
	require.NoError(t, err)
	_, err = r.Save(t.Context(), big)
	require.ErrorIs(t, err, syscall.ENOSPC)
	assert.Equal(t, []string{"last"}, visible(t, r.Path("checkpoints")))
	got := snapshot(3)
	require.NoError(t, r.Load(t.Context(), "last", got))
	assert.Empty(t, cmp.Diff(want, got, sameStates))
	assert.ErrorIs(t, Export(filepath.Join(root, "w.pt"), big.Model, nil), syscall.ENOSPC)
	assert.Equal(t, []string{"birds"}, visible(t, root))
}
