package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A disk that is full while a checkpoint is written is told, and the checkpoint
// before stays whole.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=150m"); err != nil {
		t.Skip("making a small disk needs root:", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, 0)) })
	data, runs := dataset(t, 2, 1), filepath.Join(disk, "runs")
	run := filepath.Join(runs, "test", "run")
	must(t, tiny(data, runs)...)
	before := tensors(t, run)

	var st syscall.Statfs_t
	require.NoError(t, syscall.Statfs(disk, &st))
	free := int(st.Bavail) * int(st.Bsize)
	filler := filepath.Join(disk, "filler")
	require.NoError(t, os.WriteFile(filler, make([]byte, free-5<<20), 0o644))

	code, out, stderr := command("train", "resume="+run, "training.epochs=2")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "no space left on device")
	require.Contains(t, stderr, filepath.Join(run, "checkpoints"))
	require.Empty(t, out)
	require.Equal(t, before, tensors(t, run), "the old checkpoint is whole")

	code, _, stderr = command(tiny(data, runs, "name=another")...)
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "no space left on device")
	require.NoDirExists(t, filepath.Join(runs, "test", "another", "checkpoints", "last"))
	require.NoDirExists(t, filepath.Join(runs, "test", "another", "model"))

	require.NoError(t, os.Remove(filler))
	require.NoError(t, os.RemoveAll(filepath.Join(runs, "test", "another")))
	must(t, "train", "resume="+run, "training.epochs=2")
}
