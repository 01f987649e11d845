//go:build unix

package checkpoint

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// saverEnv tells the test binary to be the process that is killed.
const saverEnv = "WILDTRAIN_TEST_SAVE_UNTIL_KILLED"

// TestSaveUntilKilled is no test of its own: it saves without end, and prints
// a line when a save is done.
func TestSaveUntilKilled(t *testing.T) {
	dir := os.Getenv(saverEnv)
	if dir == "" {
		t.Skip("runs in a subprocess of TestKilledSaverLeavesOldOrNew only")
	}
	dir, first, _ := strings.Cut(dir, "|")
	first, plain, _ := strings.Cut(first, "|")
	r, err := OpenRun(dir)
	require.NoError(t, err)
	if plain == "plain" {
		r.swap = func(a, b string) error { return syscall.ENOSYS }
	}
	n, err := strconv.ParseUint(first, 10, 64)
	require.NoError(t, err)
	for ; ; n++ {
		_, err := r.Save(t.Context(), snapshot(n))
		require.NoError(t, err)
		os.Stdout.WriteString("saved " + strconv.FormatUint(n, 10) + "\n")
	}
}

func TestKilledSaverLeavesOldOrNew(t *testing.T) {
	for _, way := range []string{"exchange", "plain"} {
		t.Run(way, func(t *testing.T) { killTrials(t, way) })
	}
}

// killTrials kills a saving process again and again, at moments spread over
// several saves, and resumes in the same folder.
func killTrials(t *testing.T, way string) {
	r := newTestRun(t)
	_, err := r.Save(t.Context(), snapshot(1))
	require.NoError(t, err)
	at := uint64(1)
	left := 0
	for trial := range 30 {
		done := saveAndKill(t, r.Dir(), at+1, way, time.Duration(trial*7919%40000)*time.Microsecond)
		if !slices.Equal(visible(t, r.Path("checkpoints")), []string{"last"}) {
			left++
		}
		r, err = OpenRun(r.Dir())
		require.NoError(t, err)
		require.Equal(t, []string{"last"}, visible(t, r.Path("checkpoints")))
		got := snapshot(1000)
		require.NoError(t, r.Load(t.Context(), "last", got))
		at = uint64(got.Progress.Epoch)
		// What was reported is there; one more may have been finished.
		require.True(t, at == done || at == done+1, "%d after %d was saved", at, done)
		require.Empty(t, cmp.Diff(snapshot(at), got, sameStates))
	}
	t.Logf("%d of 30 kills left something to clear away", left)
}

// saveAndKill returns the last save that the process reported, or first−1.
func saveAndKill(t *testing.T, dir string, first uint64, way string, wait time.Duration) uint64 {
	cmd := exec.Command(os.Args[0], "-test.run=^TestSaveUntilKilled$")
	cmd.Env = append(os.Environ(), saverEnv+"="+dir+"|"+strconv.FormatUint(first, 10)+"|"+way)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "the first save")
	time.AfterFunc(wait, func() { cmd.Process.Kill() })
	done := first - 1
	for ok := true; ok; ok = lines.Scan() {
		if n, err := strconv.ParseUint(strings.TrimPrefix(lines.Text(), "saved "), 10, 64); err == nil {
			done = n
		}
	}
	cmd.Wait()
	return done
}
