package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	sdk "github.com/wildtrain/sdk/wildtrain"
)

// begin starts the program in a process of its own and returns when its run is
// in an epoch.
func begin(t *testing.T, args []string, dir string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // does nothing to one that has ended
	require.Eventually(t, func() bool {
		events, _ := os.ReadFile(filepath.Join(dir, "events.jsonl"))
		return bytes.Contains(events, []byte("epoch_start"))
	}, time.Minute, 5*time.Millisecond)
	return cmd, bufio.NewReader(stderr)
}

// waitFor reads until a text comes.
func waitFor(t *testing.T, r *bufio.Reader, text string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		require.NoError(t, err, "before %q", text)
		if strings.Contains(line, text) {
			return
		}
	}
}

// lastProgress reads where the last checkpoint of a run stands.
func lastProgress(t *testing.T, run string) sdk.Progress {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(run, "checkpoints", "last", "progress.json"))
	require.NoError(t, err)
	var p struct{ Progress sdk.Progress }
	require.NoError(t, json.Unmarshal(data, &p))
	return p.Progress
}

// tensors reads the stored tensors of a run's last checkpoint: raw and averaged
// weights, and the optimiser's.
func tensors(t *testing.T, run string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, name := range []string{"model", "ema", "optimizer"} {
		f, err := checkpoint.Open(filepath.Join(run, "checkpoints", "last", name+".safetensors"))
		require.NoError(t, err)
		for _, n := range f.Names() {
			data, err := f.Bytes(n)
			require.NoError(t, err)
			out[name+"/"+n] = bytes.Clone(data)
		}
		require.NoError(t, f.Close())
	}
	return out
}

func TestInterruptAndResume(t *testing.T) {
	data, runs := dataset(t, 16, 2), t.TempDir()
	args := func(name string) []string { return tiny(data, runs, "training.epochs=2", "name="+name) }
	cut, whole := filepath.Join(runs, "test", "cut"), filepath.Join(runs, "test", "whole")

	cmd, stderr := begin(t, args("cut"), cut)
	time.Sleep(150 * time.Millisecond) // into the first steps
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	waitFor(t, stderr, "interrupt again to quit at once")
	waitFor(t, stderr, "go on with: wildtrain train resume="+cut)
	rest, err := io.ReadAll(stderr)
	require.NoError(t, err)
	require.Equal(t, "wildtrain: interrupted\n", string(rest))
	require.Error(t, cmd.Wait())
	require.Equal(t, interrupted, cmd.ProcessState.ExitCode())

	p := lastProgress(t, cut)
	require.Zero(t, p.Epoch)
	require.Positive(t, p.Batch)
	require.Less(t, p.Batch, 8, "the epoch was cut in the middle")
	info := object(t, "model", "info", "weights="+cut)
	require.Equal(t, "yolov8n", info["architecture"])

	must(t, "train", "resume="+cut)
	must(t, args("whole")...)
	want, got := tensors(t, whole), tensors(t, cut)
	require.Len(t, got, len(want))
	for name := range want {
		require.True(t, bytes.Equal(want[name], got[name]), "%s differs from the uninterrupted run's", name)
	}
}

func TestSecondInterruptEndsAtOnce(t *testing.T) {
	data, runs := dataset(t, 16, 2), t.TempDir()
	run := filepath.Join(runs, "test", "run")
	cmd, stderr := begin(t, tiny(data, runs, "training.batch=8", "training.imgsz=320"), run)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	waitFor(t, stderr, "interrupt again to quit at once")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Error(t, cmd.Wait())
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	require.True(t, status.Signaled(), "it died of the signal: %v", cmd.ProcessState)
	require.NoDirExists(t, filepath.Join(run, "checkpoints", "last"))
}

func TestResumeForMoreEpochs(t *testing.T) {
	data, runs := dataset(t, 4, 2), t.TempDir()
	run := filepath.Join(runs, "test", "run")
	must(t, tiny(data, runs)...)

	code, _, stderr := command("train", "resume="+run)
	require.Equal(t, done, code)
	require.Contains(t, stderr, "nothing to do: 1 epochs are done already")

	result := object(t, "train", "resume="+run, "training.epochs=3")
	require.EqualValues(t, 3, result["epochs"])
	require.Equal(t, run, result["run"])
	metrics, err := os.ReadFile(filepath.Join(run, "metrics.csv"))
	require.NoError(t, err)
	require.Equal(t, 4, bytes.Count(metrics, []byte("\n")), "a head and three epochs")

	_, _, stderr = command("train", "resume="+run)
	require.Contains(t, stderr, "nothing to do: 3 epochs are done already", "the run remembers what it was told")
	require.EqualValues(t, 4, object(t, "train", "training.resume="+run, "training.epochs=4")["epochs"])

	for setting, want := range map[string]string{
		"model=yolo11n":                       "it trains yolov8n, the settings say yolo11n",
		"+data.rename.impala=pala":            `it learns ["impala"`,
		"data.root=" + dataset(t, 1, 1) + "x": "no such file",
	} {
		before := tensors(t, run)
		code, _, stderr := command("train", "resume="+run, "training.epochs=5", setting)
		require.NotEqual(t, done, code)
		require.Contains(t, stderr, want)
		require.Equal(t, before, tensors(t, run))
	}
	_, _, stderr = command("train", "resume="+run)
	require.Contains(t, stderr, "nothing to do: 4 epochs", "what failed changed nothing")
}

// A run that was begun with other weights goes on without them.
func TestFineTuning(t *testing.T) {
	data, runs, weights := dataset(t, 2, 1), t.TempDir(), filepath.Join(t.TempDir(), "w.safetensors")
	must(t, "model", "convert", "weights="+trained(t), "out="+weights)
	other := []string{"model.weights=" + weights, "data.keep=[zebra,impala]"}
	code, _, stderr := command(tiny(data, runs, other...)...)
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "model.22.cv3.0.2.bias: model [2], source [6]")
	require.Contains(t, stderr, "(model.partial=true takes the tensors that fit)")
	require.NoDirExists(t, filepath.Join(runs, "test"))

	must(t, tiny(data, runs, append(other, "model.partial=true")...)...)
	require.NoError(t, os.Remove(weights))
	run := filepath.Join(runs, "test", "run")
	must(t, "train", "resume="+run, "training.epochs=2")
	_, _, stderr = command("evaluate", "weights="+run, "out="+t.TempDir())
	require.NotContains(t, stderr, "do not cover")
}

func TestResumeOfWhatIsNoRun(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "empty", "checkpoints"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "foreign", "checkpoints", "last"), 0o755))
	for name, want := range map[string]string{
		"none":    "none is no run folder: it holds no checkpoints/last",
		"file":    "file is no run folder",
		"empty":   "empty is no run folder",
		"foreign": "foreign lacks .hydra/overrides.yaml",
	} {
		code, out, stderr := command("train", "resume="+filepath.Join(dir, name))
		require.Equal(t, failed, code)
		require.Contains(t, stderr, want)
		require.Empty(t, out)
	}
}
