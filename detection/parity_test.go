//go:build parity

package detection

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
)

// peerDump lets the peer make weights by the rule, run them and store weights,
// input and outputs in a folder.
func peerDump(t *testing.T, arch string, classes, height, width int) string {
	t.Helper()
	return peer(t, "yolo_forward.py", "dump", arch, "--classes", fmt.Sprint(classes), "--height", fmt.Sprint(height), "--width", fmt.Sprint(width))
}

// peer runs one of the scripts in parity and returns the folder it wrote into.
func peer(t *testing.T, script string, args ...string) string {
	t.Helper()
	python := os.Getenv("WILDTRAIN_PEER")
	if python == "" {
		t.Fatal("WILDTRAIN_PEER names no Python: run make parity")
	}
	dir := t.TempDir()
	text, err := exec.Command(python, append(append([]string{"../parity/" + script}, args...), "--out", dir)...).CombinedOutput()
	require.NoError(t, err, string(text))
	t.Log(string(text))
	return dir
}

// All sizes and variants have the peer's tensors.
func TestParityTensors(t *testing.T) {
	for _, arch := range Architectures() {
		t.Run(arch, func(t *testing.T) { holdsThePeersTensors(t, arch) })
	}
}

// All models live against the peer: its weights load without a missing or
// unexpected name, and every output is equal within 1e-4 of its scale.
func TestParityForward(t *testing.T) {
	for _, arch := range Architectures() {
		t.Run(arch, func(t *testing.T) {
			height := 96
			if strings.HasSuffix(arch, "-p6") {
				height = 128 // a multiple of 64
			}
			dir := peerDump(t, arch, 7, height, 128)
			weights, err := checkpoint.Open(filepath.Join(dir, "weights.safetensors"))
			require.NoError(t, err)
			defer weights.Close()
			cfg := DefaultYOLO(arch, classNames(7))
			cfg.Weights = weights // not Partial: what does not fit is an error
			m, err := NewYOLO(cfg)
			require.NoError(t, err)
			defer m.Close()
			in, err := checkpoint.Open(filepath.Join(dir, "in.safetensors"))
			require.NoError(t, err)
			defer in.Close()
			want, err := checkpoint.Open(filepath.Join(dir, "out.safetensors"))
			require.NoError(t, err)
			defer want.Close()
			images, err := in.Float32("images")
			require.NoError(t, err)
			info, _ := in.Info("images")
			err = torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
				out, err := m.Forward(s, torch.Of(s, images, info.Shape...))
				if err != nil {
					return err
				}
				found, err := deviations(out, want)
				if err != nil {
					return err
				}
				require.GreaterOrEqual(t, len(found), 5)
				for name, d := range found {
					t.Logf("%s %s: %.2g", arch, name, d)
					require.LessOrEqual(t, d, 1e-4, name)
				}
				return nil
			})
			require.NoError(t, err)
		})
	}
}

// Every detector of every size, live: its first loss is the peer's, and so are ten
// steps of SGD from weights by the rule, at the largest of a few rates at which the
// peer reproduces itself.
func TestParityTrajectoryOfAllSizes(t *testing.T) {
	for _, arch := range Architectures() {
		if strings.Contains(arch, "-") {
			continue // a variant
		}
		t.Run(arch, func(t *testing.T) {
			tr := openTrajectory(t, peer(t, "yolo_trajectory.py", "--live", arch))
			run := tr.runs["live"]
			first, losses, tensors := tr.follow(t, "live", run, ruled(t, arch, 3, rule.Initial(run.Biases), nil))
			t.Logf("%s: first loss %.1e, losses %.1e, tensors %.1e", arch, first, losses, tensors)
			require.LessOrEqual(t, first, 1e-4)
		})
	}
}

// From weights that the peer has trained, at the rate with which YOLO's schedule
// ends, 50 steps give the peer's losses.
func TestParityTrajectoryOfATrainedModel(t *testing.T) {
	for _, arch := range []string{"yolov8n", "yolo11n"} {
		t.Run(arch, func(t *testing.T) {
			dir := peer(t, "yolo_trajectory.py", "--trained", arch)
			start, err := checkpoint.Open(filepath.Join(dir, "start.safetensors"))
			require.NoError(t, err)
			defer start.Close()
			cfg := DefaultYOLO(arch, classNames(3))
			cfg.Weights = start
			m, err := NewYOLO(cfg)
			require.NoError(t, err)
			defer m.Close()
			tr := openTrajectory(t, dir)
			tr.follow(t, "trained", tr.runs["trained"], m)
		})
	}
}
