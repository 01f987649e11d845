package backbone_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/torch/torchtest"
)

// withoutYOLO are the backbones of torchvision and timm.
func withoutYOLO() []string {
	return slices.DeleteFunc(backbone.Names(), func(name string) bool { return strings.HasPrefix(name, "yolo") })
}

func yolo(t *testing.T, name string) (*nn.Store, *backbone.Net) {
	t.Helper()
	spec, err := backbone.Lookup(name)
	require.NoError(t, err)
	store := nn.NewStore(torch.CPU, nil)
	t.Cleanup(func() { store.Close() })
	net, err := spec.Build(store.Root(), 1000)
	require.NoError(t, err)
	return store, net
}

// All ten classifiers have the peer's names, shapes and number of parameters
// (parity/yolo_classify.py).
func TestYOLOHoldsThePeersTensors(t *testing.T) {
	data, err := os.ReadFile("testdata/yolo.json")
	require.NoError(t, err)
	var told struct {
		Models map[string]struct {
			Parameters int64
			Keys       int
			Digest     string `json:"keys_sha256"`
		}
	}
	require.NoError(t, json.Unmarshal(data, &told))
	require.Len(t, told.Models, len(backbone.Names())-len(withoutYOLO()))
	for name, want := range told.Models {
		store, _ := yolo(t, name)
		require.Equal(t, want.Parameters, store.Parameters(), name)
		var list strings.Builder
		names := store.State().Names()
		for _, n := range names {
			info, _ := store.State().Info(n)
			shape := strings.ReplaceAll(strings.Trim(fmt.Sprint(info.Shape), "[]"), " ", "x")
			if shape == "" {
				shape = "scalar"
			}
			fmt.Fprintf(&list, "%s %v %s\n", n, info.DType, shape)
		}
		require.Len(t, names, want.Keys, name)
		require.Equal(t, want.Digest, fmt.Sprintf("%x", sha256.Sum256([]byte(list.String()))), name)
	}
}

func TestYOLOForwardEqualsPeer(t *testing.T) {
	golden, err := checkpoint.Open("testdata/yolo.safetensors")
	require.NoError(t, err)
	defer golden.Close()
	var shape []int64
	require.NoError(t, json.Unmarshal([]byte(golden.Metadata()["images"]), &shape))
	for _, name := range []string{"yolov8n-cls", "yolo11n-cls"} {
		store, net := yolo(t, name)
		require.NoError(t, store.Load(rule.State{Like: store.State(), Rule: rule.Spread}).Err())
		err := torch.Run(t.Context(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
			x := torch.Of(s, rule.Values("images", int(shape[0]*3*shape[2]*shape[3]), 0.5, 0.5), shape...)
			features := net.Features(x)
			for what, got := range map[string]*torch.Tensor{"features": features, "logits": net.Logits(features)} {
				want, err := golden.Float32(name + "." + what)
				require.NoError(t, err)
				require.LessOrEqual(t, torchtest.Worst(got.Float32s(nil), want), 1e-4, "%s %s", name, what)
			}
			maps := net.Maps(x)
			for i, m := range maps {
				require.Equal(t, []int64{shape[0], net.Channels[i], shape[2] / net.Strides[i], shape[3] / net.Strides[i]}, m.Shape())
			}
			require.Len(t, maps, 4)
			return s.Err()
		})
		require.NoError(t, err)
	}
}

func TestYOLOHasNoFrozenNorm(t *testing.T) {
	spec, err := backbone.Lookup("yolo11n-cls")
	require.NoError(t, err)
	spec.FrozenNorm = true
	store := nn.NewStore(torch.CPU, nil)
	defer store.Close()
	_, err = spec.Build(store.Root(), 2)
	require.ErrorContains(t, err, "freeze the layers")
}
