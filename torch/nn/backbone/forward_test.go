package backbone_test

import (
	"context"
	"fmt"
	"maps"
	"math"
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

// source gives the peer's entries values by the rule; places in tables keep those that the architecture computes.
type source struct {
	rule.State
	places map[string][]byte
}

func (s source) Read(name string, dst []byte) error {
	if strings.HasSuffix(name, "relative_position_index") {
		copy(dst, s.places[name])
		return nil
	}
	return s.State.Read(name, dst)
}

// ruled builds a network with 1000 classes whose weights both sides of the
// parity tests compute. alias gives a tensor another one's numbers.
func ruled(t *testing.T, name string, keys keyList, weights rule.Weights, alias func(string) string, change func(*backbone.Spec)) (*nn.Store, *backbone.Net) {
	t.Helper()
	spec, err := backbone.Lookup(name)
	require.NoError(t, err)
	if change != nil {
		change(&spec)
	}
	from := source{State: rule.State{Like: keys, Rule: weights, Alias: alias}, places: places(t, spec)}
	store := nn.NewStore(torch.CPU, from)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	net, err := spec.Build(store.Root(), 1000)
	require.NoError(t, err)
	require.NoError(t, store.Finish().Err())
	return store, net
}

// places returns the integer buffers of an architecture as it computes them.
func places(t *testing.T, spec backbone.Spec) map[string][]byte {
	t.Helper()
	if spec.Family != "swin" {
		return nil
	}
	store := nn.NewStore(torch.CPU, nil)
	defer store.Close()
	_, err := spec.Build(store.Root(), 0)
	require.NoError(t, err)
	found := map[string][]byte{}
	for _, e := range store.Entries() {
		if e.Tensor.DType() == torch.Int64 {
			raw := make([]byte, 8*e.Tensor.Len())
			require.NoError(t, e.Tensor.Read(raw))
			found[e.Name] = raw
		}
	}
	return found
}

// forward runs a network on images that follow the rule.
func forward(t *testing.T, net *backbone.Net, n, h, w int64) map[string][]float32 {
	t.Helper()
	out := map[string][]float32{}
	err := torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		f := net.Features(images(s, n, h, w))
		require.Equal(t, []int64{n, net.Width}, f.Shape())
		out["features"] = f.Float32s(nil)
		out["logits"] = net.Logits(f).Float32s(nil)
		return s.Err()
	})
	require.NoError(t, err)
	return out
}

func images(s *torch.Scope, n, h, w int64) *torch.Tensor {
	return torch.Of(s, rule.Values("images", int(n*3*h*w), 0, 2), n, 3, h, w)
}

func size(t *testing.T, text string) (h, w int64) {
	t.Helper()
	_, err := fmt.Sscanf(text, "%dx%d", &h, &w)
	require.NoError(t, err)
	return h, w
}

// goldenSizes lists what forward.safetensors holds: network → size.
func goldenSizes(f *checkpoint.File) map[string]string {
	sizes := map[string]string{}
	for _, n := range f.Names() {
		name, rest, _ := strings.Cut(n, " ")
		sizes[name], _, _ = strings.Cut(rest, ".")
	}
	return sizes
}

// A small network of every family and library, at sizes other than its own.
func TestForwardEqualsPeer(t *testing.T) {
	golden, err := checkpoint.Open("testdata/forward.safetensors")
	require.NoError(t, err)
	defer golden.Close()
	keys, sizes := peerKeys(t), goldenSizes(golden)
	require.Len(t, sizes, 21)
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		t.Run(name, func(t *testing.T) {
			h, w := size(t, sizes[name])
			store, net := ruled(t, name, keys[name], spread(name), nil, nil)
			for what, got := range forward(t, net, 1, h, w) {
				want, err := golden.Float32(fmt.Sprintf("%s %s.%s", name, sizes[name], what))
				require.NoError(t, err)
				require.LessOrEqual(t, torchtest.Worst(got, want), 1e-4, what)
			}
			require.NoError(t, store.Close()) // before the next one is made
		})
	}
}

// A test of parity that cannot fail is none: exchanging two blocks must show.
func TestForwardSeesSwappedBlocks(t *testing.T) {
	golden, err := checkpoint.Open("testdata/forward.safetensors")
	require.NoError(t, err)
	defer golden.Close()
	keys, sizes := peerKeys(t), goldenSizes(golden)
	for name, blocks := range map[string][2]string{
		"resnet18":                      {"layer1.0.", "layer1.1."},
		"efficientnet_b0":               {"features.6.1.", "features.6.2."},
		"timm/convnext_tiny":            {"stages.2.blocks.3.", "stages.2.blocks.4."},
		"swin_t":                        {"features.5.2.", "features.5.4."},
		"vit_small_patch14_reg4_dinov2": {"blocks.5.", "blocks.6."},
	} {
		t.Run(name, func(t *testing.T) {
			swap := func(n string) string {
				for i := range blocks {
					if rest, ok := strings.CutPrefix(n, blocks[i]); ok {
						return blocks[1-i] + rest
					}
				}
				return n
			}
			h, w := size(t, sizes[name])
			_, net := ruled(t, name, keys[name], spread(name), swap, nil)
			want, err := golden.Float32(fmt.Sprintf("%s %s.logits", name, sizes[name]))
			require.NoError(t, err)
			require.Greater(t, torchtest.Worst(forward(t, net, 1, h, w)["logits"], want), 1e-3) // ten times what parity allows
		})
	}
}

// spread is the rule for a network. EfficientNetV2's norms are damped: its forty
// residual blocks would make a rounding error a tenth of the outputs.
func spread(network string) rule.Weights {
	if !strings.Contains(network, "efficientnet") || !strings.Contains(network, "v2") {
		return rule.Spread
	}
	const damping = 0.875
	return func(name string, shape []int64) (centre, half float64) {
		if len(shape) == 1 && strings.HasSuffix(name, ".weight") {
			return damping, damping / 2
		}
		return rule.Spread(name, shape)
	}
}

// half are the rule's numbers with halved kernels and matrices: gradients of a
// random network are then of the size that training has.
func half(name string, shape []int64) (centre, h float64) {
	centre, h = rule.Spread(name, shape)
	if len(shape) > 1 {
		h /= 2
	}
	return centre, h
}

// checkStep compares one step's loss, gradients and batch norm statistics with
// the peer's, which are stored under prefix.
func checkStep(t *testing.T, golden *checkpoint.File, prefix, name string, keys keyList, n int64, dim string) {
	t.Helper()
	h, w := size(t, dim)
	spec, err := backbone.Lookup(name)
	require.NoError(t, err)
	store, net := ruled(t, name, keys, half, nil, func(s *backbone.Spec) {
		s.Dropout, s.StochasticDepth = 0, 0
		if spec.Family == "vit" {
			s.InputSize = int(h)
		}
	})
	expect := func(what string, got []float32) {
		t.Helper()
		want, err := golden.Float32(prefix + what)
		require.NoError(t, err)
		require.LessOrEqual(t, torchtest.Worst(got, want), 1e-3, what)
	}
	checked := 0
	err = torch.Run(context.Background(), torch.CPU, torch.Training, func(s *torch.Scope) error {
		classes := make([]int64, n)
		for i := range classes {
			classes[i] = 7 * int64(i)
		}
		target := torch.Of(s, classes, n)
		loss := net.Logits(net.Features(images(s, n, h, w))).CrossEntropy(target, nil, torch.Mean, 0)
		expect("loss", loss.Detach().Float32s(nil))
		if err := loss.Backward(); err != nil {
			return err
		}
		for _, e := range store.Entries() {
			if e.Buffer {
				if strings.Contains(e.Name, "running_") {
					expect(e.Name, e.Tensor.Float32s(nil))
				}
				continue
			}
			g := s.Grad(e.Tensor).Float32s(nil)
			probe := rule.Values(e.Name, len(g), 0, 1)
			var sum, square, product float64
			for i, v := range g {
				sum, square, product = sum+float64(v), square+float64(v)*float64(v), product+float64(v)*float64(probe[i])
			}
			want, err := golden.Float32(prefix + "gradient." + e.Name)
			require.NoError(t, err)
			// the norm is what a sum that may cancel is measured by
			require.InDelta(t, want[1], math.Sqrt(square), 1e-3*float64(want[1])+1e-6, e.Name)
			require.InDelta(t, want[2], product, 1e-3*float64(want[1])+1e-6, e.Name)
			require.InDelta(t, want[0], sum, 1e-3*float64(want[1])*math.Sqrt(float64(len(g)))+1e-6, e.Name)
			checked++
		}
		return s.Err()
	})
	require.NoError(t, err)
	require.Greater(t, checked, 50)
}

func TestTrainingStepEqualsPeer(t *testing.T) {
	golden, err := checkpoint.Open("testdata/step.safetensors")
	require.NoError(t, err)
	defer golden.Close()
	keys := peerKeys(t)
	for name, dim := range map[string]string{"resnet18": "64x64", "vit_small_patch16_224": "64x64"} {
		t.Run(name, func(t *testing.T) {
			list := keys[name]
			if p, ok := list["pos_embed"]; ok { // for 64 px
				p.Shape = []int64{1, 17, 384}
				list["pos_embed"] = p
			}
			checkStep(t, golden, fmt.Sprintf("%s %s.", name, dim), name, list, 4, dim)
		})
	}
}
