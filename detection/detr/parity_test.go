//go:build parity

package detr

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch"
)

// Full-size models live against the peer: its weights load under the names that
// they have in memory and under those that it stores, and every answer is equal
// within 1e-4 of its scale.
func TestParityForward(t *testing.T) {
	python := os.Getenv("WILDTRAIN_PEER")
	if python == "" {
		t.Fatal("WILDTRAIN_PEER names no Python: run make parity")
	}
	for _, name := range []string{
		"detr_resnet50", "detr_resnet101", "deformable_detr_resnet50", "deformable_detr_resnet50_refine", "deformable_detr_resnet50_two_stage",
		"rtdetr_r18vd", "rtdetr_r34vd", "rtdetr_r50vd", "rtdetr_r101vd",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text, err := exec.Command(python, "../../parity/detr_forward.py", "dump", name, "--out", dir, "--classes", "7").CombinedOutput()
			require.NoError(t, err, string(text))
			in, err := checkpoint.Open(filepath.Join(dir, "in.safetensors"))
			require.NoError(t, err)
			defer in.Close()
			want, err := checkpoint.Open(filepath.Join(dir, "out.safetensors"))
			require.NoError(t, err)
			defer want.Close()
			images, err := in.Float32("images")
			require.NoError(t, err)
			info, _ := in.Info("images")
			for _, file := range []string{"memory.safetensors", "stored/model.safetensors"} {
				weights, err := checkpoint.Open(filepath.Join(dir, file))
				require.NoError(t, err)
				defer weights.Close()
				c, err := Default(name, classNames(7))
				require.NoError(t, err)
				c.Weights = weights // not Partial: what does not fit is an error
				m, err := New(c)
				require.NoError(t, err)
				defer m.Close()
				require.NoError(t, torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
					out, err := m.Forward(s, torch.Of(s, images, info.Shape...))
					if err != nil {
						return err
					}
					for _, k := range []string{"logits", "boxes"} {
						d := deviation(t, out[k], want, k)
						t.Logf("%s %s: %.2g", file, k, d)
						require.LessOrEqual(t, d, 1e-4, k)
					}
					return s.Err()
				}))
			}
		})
	}
}
