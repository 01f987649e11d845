//go:build parity

package backbone_test

import (
	"fmt"
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
)

// peer runs a verb of parity/backbones.py, which leaves its files in a folder.
func peer(t *testing.T, args ...string) string {
	t.Helper()
	python := os.Getenv("WILDTRAIN_PEER")
	if python == "" {
		t.Fatal("WILDTRAIN_PEER names no Python: run make parity")
	}
	dir := t.TempDir()
	args = append(append([]string{"../../../parity/backbones.py"}, args...), "--out", dir)
	text, err := exec.Command(python, args...).CombinedOutput()
	require.NoError(t, err, string(text))
	return dir
}

// sizesOf are the inputs with which an architecture is compared: its own size
// and others, not square where the peer takes such.
func sizesOf(s backbone.Spec) []string {
	native := fmt.Sprintf("%dx%d", s.InputSize, s.InputSize)
	switch {
	case s.Family == "vit" && s.Library == backbone.Torchvision:
		return []string{native, fmt.Sprintf("%dx%d", 6*s.Patch, 6*s.Patch)}
	case s.Family == "swin" && s.Library == backbone.Timm: // below, timm makes smaller windows
		return []string{native, "256x288"}
	case s.Patch > 1:
		return []string{native, fmt.Sprintf("%dx%d", 5*s.Patch, 7*s.Patch)}
	}
	return []string{native, "97x130"}
}

// Every backbone live against its peer: the peer's weights load without a
// missing or unexpected key, and logits and features are equal within 1e-4 of
// their largest, at the native size and another.
func TestParityForward(t *testing.T) {
	const classes, batch = 7, 2
	for _, name := range backbone.Names() {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			spec, err := backbone.Lookup(name)
			require.NoError(t, err)
			sizes := sizesOf(spec)
			dir := peer(t, append([]string{"dump", name, "--classes", fmt.Sprint(classes), "--batch", fmt.Sprint(batch), "--sizes"}, sizes...)...)
			weights, err := checkpoint.Open(filepath.Join(dir, "weights.safetensors"))
			require.NoError(t, err)
			defer weights.Close()
			want, err := checkpoint.Open(filepath.Join(dir, "out.safetensors"))
			require.NoError(t, err)
			defer want.Close()
			store := nn.NewStore(torch.CPU, weights)
			defer store.Close()
			net, err := spec.Build(store.Root(), classes)
			require.NoError(t, err)
			require.NoError(t, store.Finish().Err())
			for _, size := range sizes {
				var h, w int64
				_, err := fmt.Sscanf(size, "%dx%d", &h, &w)
				require.NoError(t, err)
				got := forward(t, net, batch, h, w)
				for what, values := range got {
					golden, err := want.Float32(size + "." + what)
					require.NoError(t, err)
					d := worst(values, golden)
					t.Logf("%s %s %s: %.2g", name, size, what, d)
					require.LessOrEqual(t, d, 1e-4, "%s %s", size, what)
				}
			}
		})
	}
}
