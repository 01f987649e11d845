//go:build parity

package backbone_test

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/torch/torchtest"
)

// peer is a running parity/backbones.py, which answers one request after the other.
type peer struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func startPeer(t *testing.T) *peer {
	t.Helper()
	python := os.Getenv("WILDTRAIN_PEER")
	if python == "" {
		t.Fatal("WILDTRAIN_PEER names no Python: run make parity")
	}
	cmd := exec.Command(python, "../../../parity/backbones.py", "serve")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	})
	return &peer{in: in, out: bufio.NewReader(out)}
}

// ask has one verb run and opens the file that it writes.
func (p *peer) ask(t *testing.T, request ...string) *checkpoint.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.safetensors")
	_, err := fmt.Fprintln(p.in, strings.Join(request, " "), "--out", path)
	require.NoError(t, err)
	answer, err := p.out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "done "+request[1]+"\n", answer)
	f, err := checkpoint.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// sizesOf are the inputs with which an architecture is compared: one that is not
// its own, not square where the peer takes such, and unless -short its own.
func sizesOf(s backbone.Spec) []string {
	other := "97x130"
	switch {
	case s.Family == "vit" && s.Library == backbone.Torchvision:
		other = fmt.Sprintf("%dx%[1]d", 3*s.Patch)
	case s.Family == "swin" && s.Library == backbone.Timm: // below, timm makes smaller windows
		other = "256x288"
	case s.Patch > 1:
		other = fmt.Sprintf("%dx%d", 3*s.Patch, 4*s.Patch)
	}
	if testing.Short() {
		return []string{other}
	}
	return []string{other, fmt.Sprintf("%dx%[1]d", s.InputSize)}
}

// Every backbone live against its peer: with the same weights, logits and
// features are equal within 1e-4 of their largest, at the native size and
// another.
func TestParityForward(t *testing.T) {
	p, keys := startPeer(t), peerKeys(t)
	for _, name := range withoutYOLO() {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			spec, err := backbone.Lookup(name)
			require.NoError(t, err)
			sizes := sizesOf(spec)
			want := p.ask(t, "forward", name, "--batch", "2", "--sizes", strings.Join(sizes, " "))
			_, net := ruled(t, name, keys[name], spread(name), nil, nil)
			for _, dim := range sizes {
				h, w := size(t, dim)
				for what, got := range forward(t, net, 2, h, w) {
					golden, err := want.Float32(dim + "." + what)
					require.NoError(t, err)
					d := torchtest.Worst(got, golden)
					t.Logf("%s %s %s: %.2g", name, dim, what, d)
					require.LessOrEqual(t, d, 1e-4, "%s %s", dim, what)
				}
			}
		})
	}
}

// One step of training, live: loss, gradients and statistics.
func TestParityStep(t *testing.T) {
	p, keys := startPeer(t), peerKeys(t)
	for _, name := range []string{"resnet50", "mobilenet_v3_large", "efficientnet_b1", "tf_efficientnet_b0", "regnet_y_800mf", "timm/convnext_tiny", "swin_t"} {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			golden := p.ask(t, "step", name, "--batch", "4", "--sizes", "64x96")
			checkStep(t, golden, "", name, keys[name], 4, "64x96")
		})
	}
}

// Every tensor begins like the peer's: with the same mean, deviation and, as
// far as that is no matter of luck, the same largest number.
func TestParityInitial(t *testing.T) {
	p := startPeer(t)
	for _, name := range []string{
		"resnet18", "efficientnet_b0", "timm/efficientnet_b0", "mobilenet_v3_small", "mobilenetv3_small_100", "regnet_y_400mf", "regnety_004",
		"convnext_tiny", "timm/convnext_tiny", "swin_t", "swin_tiny_patch4_window7_224", "vit_b_32", "vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2",
	} {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			want := p.ask(t, "initial", name)
			spec, err := backbone.Lookup(name)
			require.NoError(t, err)
			store := nn.NewStore(torch.CPU, nil)
			defer store.Close()
			_, err = spec.Build(store.Root(), 1000)
			require.NoError(t, err)
			for _, e := range store.Entries() {
				if e.Buffer {
					continue
				}
				stats, err := want.Float32(e.Name)
				require.NoError(t, err)
				checkInitial(t, e, stats)
			}
		})
	}
}

// A pass of evaluation and a step of training raise the process's memory no
// more than the peer's raise its own, with an eighth and 40 MB for the allocators.
func TestParityMemory(t *testing.T) {
	for _, name := range []string{"resnet50", "vit_small_patch16_224", "convnext_tiny", "swin_t", "efficientnet_b0"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out.safetensors")
			cmd := exec.Command(os.Getenv("WILDTRAIN_PEER"), "../../../parity/backbones.py", "memory", name, "--batch", "8", "--sizes", "224x224", "--out", path)
			text, err := cmd.CombinedOutput()
			require.NoError(t, err, string(text))
			f, err := checkpoint.Open(path)
			require.NoError(t, err)
			defer f.Close()
			want, err := f.Float32("peak")
			require.NoError(t, err)

			child := exec.Command(os.Args[0], "-test.run", "^TestMemoryChild$", "-test.v")
			child.Env = append(os.Environ(), "WILDTRAIN_MEMORY="+name) // a process of its own, whose peak is this network's
			text, err = child.CombinedOutput()
			require.NoError(t, err, string(text))
			_, line, _ := strings.Cut(string(text), "peak ")
			var pass, step float64
			_, err = fmt.Sscanf(line, "%g %g", &pass, &step)
			require.NoError(t, err, string(text))
			t.Logf("%s: pass %.0f MB, peer %.0f; step %.0f MB, peer %.0f", name, pass, want[0], step, want[1])
			require.Less(t, pass, float64(want[0])*1.125+40)
			require.Less(t, step, float64(want[1])*1.125+40)
		})
	}
}

// TestMemoryChild is the process that TestParityMemory measures.
func TestMemoryChild(t *testing.T) {
	name := os.Getenv("WILDTRAIN_MEMORY")
	if name == "" {
		t.Skip("it is started by TestParityMemory")
	}
	torch.SetThreads(1)
	_, net := build(t, name, 1000, nil)
	var before, pass float64
	run(t, torch.Inference, func(s *torch.Scope) {
		x := images(s, 8, 224, 224)
		before = resident(t, "VmRSS")
		net.Logits(net.Features(x))
		pass = resident(t, "VmHWM") - before
	})
	run(t, torch.Training, func(s *torch.Scope) {
		require.NoError(t, net.Logits(net.Features(images(s, 8, 224, 224))).Sum().Backward())
	})
	fmt.Println("peak", pass, resident(t, "VmHWM")-before)
}

// resident reads a number of the process's status in MB.
func resident(t *testing.T, key string) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, line, _ := strings.Cut(string(text), key+":")
	var kB float64
	_, err = fmt.Sscan(line, &kB)
	require.NoError(t, err)
	return kB / 1024
}

// checkInitial allows six standard errors of mean and deviation.
func checkInitial(t *testing.T, e *nn.Entry, want []float32) {
	t.Helper()
	values := e.Tensor.Float64s(nil)
	var sum, square, largest float64
	for _, v := range values {
		sum, square, largest = sum+v, square+v*v, max(largest, math.Abs(v))
	}
	n := float64(len(values))
	mean := sum / n
	std := math.Sqrt(max(square/n-mean*mean, 0))
	if want[1] == 0 { // a constant
		require.InDelta(t, want[0], mean, 1e-9, e.Name)
		require.Less(t, std, 1e-6, e.Name)
		return
	}
	d := float64(want[1])
	require.InDelta(t, want[0], mean, 6*1.5*d/math.Sqrt(n), "%s: mean", e.Name)
	require.InDelta(t, d, std, 6*1.5*d/math.Sqrt(2*n), "%s: deviation", e.Name)
	if n > 1000 { // uniform: √3 deviations; normal: 3 to 6
		require.InEpsilon(t, want[2], largest, 0.6, "%s: largest", e.Name)
		require.Equal(t, float64(want[2]) < 1.8*d, largest < 1.8*std, "%s: uniform or normal", e.Name)
	}
}
