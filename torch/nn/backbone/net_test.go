package backbone_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/torch/torchtest"
)

// small are one network of each family, which build quickly.
var small = []string{
	"resnet18", "efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf", "convnext_tiny", "swin_t", "vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2",
}

// build makes a network with its own initialisation.
func build(t *testing.T, name string, classes int, change func(*backbone.Spec)) (*nn.Store, *backbone.Net) {
	t.Helper()
	spec, err := backbone.Lookup(name)
	require.NoError(t, err)
	if change != nil {
		change(&spec)
	}
	store := nn.NewStore(torch.CPU, nil)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	net, err := spec.Build(store.Root(), classes)
	require.NoError(t, err)
	return store, net
}

// run is torch.Run on the CPU.
func run(t *testing.T, mode torch.Mode, fn func(s *torch.Scope)) {
	t.Helper()
	require.NoError(t, torch.Run(context.Background(), torch.CPU, mode, func(s *torch.Scope) error {
		fn(s)
		return s.Err()
	}))
}

// Maps are what torchvision's layers return.
func TestMapsEqualPeer(t *testing.T) {
	golden, err := checkpoint.Open("testdata/maps.safetensors")
	require.NoError(t, err)
	defer golden.Close()
	keys, sizes := peerKeys(t), goldenSizes(golden)
	require.Len(t, sizes, 6)
	for name, dim := range sizes {
		t.Run(name, func(t *testing.T) {
			h, w := size(t, dim)
			_, net := ruled(t, name, keys[name], spread(name), nil, nil)
			run(t, torch.Inference, func(s *torch.Scope) {
				maps := net.Maps(images(s, 1, h, w))
				require.Len(t, maps, len(net.Channels))
				require.Len(t, maps, len(net.Strides))
				for i, m := range maps {
					want, err := golden.Float32(fmt.Sprintf("%s %s.map%d", name, dim, i))
					require.NoError(t, err)
					for j, n := range m.Shape() {
						require.Equal(t, int64(want[j]), n)
					}
					require.Equal(t, net.Channels[i], m.Size(1))
					require.InDelta(t, float64(h)/float64(net.Strides[i]), float64(m.Size(2)), 1)
					norm, product := summary(m.Float32s(nil), fmt.Sprintf("map%d", i))
					require.InEpsilon(t, want[4], norm, 1e-4)
					require.InDelta(t, want[5], product, 1e-4*norm)
				}
			})
		})
	}
}

// summary is the norm of values and their inner product with the rule's numbers.
func summary(values []float32, name string) (norm, product float64) {
	probe := rule.Values(name, len(values), 0, 1)
	for i, v := range values {
		norm += float64(v) * float64(v)
		product += float64(v) * float64(probe[i])
	}
	return math.Sqrt(norm), product
}

// The body's map, seen as a grid, has the shape that Grad-CAM lays over the
// image, and the features depend on it.
func TestGrid(t *testing.T) {
	for _, name := range small {
		t.Run(name, func(t *testing.T) {
			_, net := build(t, name, 3, nil)
			run(t, torch.Training, func(s *torch.Scope) {
				h, w := side(net), side(net)+stride(net)
				body := net.Body(images(s, 2, h, w)).Detach()
				require.NoError(t, body.SetRequiresGrad(true))
				grid := net.Grid(body, h, w)
				require.Equal(t, []int64{2, grid.Size(1), h / stride(net), w / stride(net)}, grid.Shape())
				require.NoError(t, net.Pool(body).Square().Sum().Backward())
				gradient := net.Grid(s.Borrow(s.Grad(body)), h, w)
				require.Equal(t, grid.Shape(), gradient.Shape())
				require.Positive(t, gradient.Abs().Sum().Item())
			})
		})
	}
}

// side is a small input that the network takes.
func side(n *backbone.Net) int64 {
	if n.Patch > 1 {
		return int64(4 * n.Patch)
	}
	return 64
}

func stride(n *backbone.Net) int64 { return n.Strides[len(n.Strides)-1] }

// Blocks number the parameters from the stem to the head, and learning rates
// fall from there.
func TestBlocks(t *testing.T) {
	for name, want := range map[string]map[string]int{
		"resnet18":             {"conv1.weight": 0, "layer1.0.conv1.weight": 1, "layer4.1.bn2.bias": 8, "fc.weight": 9, "mine.weight": 9},
		"vit_tiny_patch16_224": {"cls_token": 0, "pos_embed": 0, "patch_embed.proj.bias": 0, "blocks.0.norm1.weight": 1, "blocks.11.mlp.fc2.bias": 12, "norm.weight": 12, "head.bias": 13},
		"convnext_tiny":        {"features.0.0.weight": 0, "features.1.2.layer_scale": 3, "features.2.1.weight": 4, "features.3.0.block.0.weight": 4, "features.3.1.layer_scale": 5, "classifier.0.bias": 18, "classifier.2.bias": 19},
		"swin_t":               {"features.0.0.weight": 0, "features.2.norm.weight": 3, "features.3.0.norm1.weight": 3, "features.7.1.mlp.3.bias": 12, "norm.bias": 12, "head.weight": 13},
		"mobilenet_v3_small":   {"features.0.0.weight": 0, "features.11.block.3.1.bias": 11, "classifier.0.weight": 11, "classifier.3.weight": 12},
	} {
		store, net := build(t, name, 4, nil)
		require.Equal(t, want[headOf(want)]+1, net.Blocks(), name)
		for key, block := range want {
			require.Equal(t, block, net.Block(key), "%s %s", name, key)
			require.Equal(t, net.Blocks()-1-block, net.Depth(key))
		}
		groups := optim.LayerGroups(store, 0.5, net.Depth)
		require.Equal(t, 1.0, groups[0].Factor)
		require.Equal(t, math.Pow(0.5, float64(net.Blocks()-1)), groups[len(groups)-1].Factor)
	}
}

func headOf(blocks map[string]int) (head string) {
	for k, v := range blocks {
		if v >= blocks[head] {
			head = k
		}
	}
	return head
}

// Without classes there is no head, and below a prefix the keys stand behind it.
// Frozen norms are buffers without a counter: the keys of torchvision's detectors.
func TestBuildBelowAPrefix(t *testing.T) {
	keys := peerKeys(t)["resnet50"]
	var want []string
	for k := range keys {
		if !strings.HasPrefix(k, "fc.") && !strings.HasSuffix(k, "num_batches_tracked") {
			want = append(want, "backbone.body."+k)
		}
	}
	spec, err := backbone.Lookup("resnet50")
	require.NoError(t, err)
	spec.FrozenNorm = true
	store := nn.NewStore(torch.CPU, nil)
	defer store.Close()
	net, err := spec.Build(store.Root().Sub("backbone").Sub("body"), 0)
	require.NoError(t, err)
	require.Nil(t, net.Linear)
	require.ElementsMatch(t, want, store.State().Names())
	require.Equal(t, 0, net.Block("backbone.body.conv1.weight"))
	require.Equal(t, net.Blocks()-2, net.Block("backbone.body.layer4.2.conv3.weight"))
	for _, e := range store.Trainable() {
		require.NotContains(t, e.Name, "bn")
	}
}

// Running statistics stay where norms are frozen, and take part where not.
func TestFrozenNormKeepsStatistics(t *testing.T) {
	for _, frozen := range []bool{true, false} {
		store, net := build(t, "resnet18", 0, func(s *backbone.Spec) { s.FrozenNorm = frozen })
		run(t, torch.Training, func(s *torch.Scope) { net.Features(images(s, 2, 32, 32)) })
		e, ok := store.Lookup("layer2.0.bn1.running_mean")
		require.True(t, ok)
		moved := false
		for _, v := range e.Tensor.Float32s(nil) {
			moved = moved || v != 0
		}
		require.NotEqual(t, frozen, moved)
	}
}

// In training, dropout and stochastic depth make two passes differ; frozen
// blocks do not drop, and evaluation repeats itself.
func TestDropsOnlyInTraining(t *testing.T) {
	for _, c := range []struct {
		name    string
		freezes []string
	}{{"vit_tiny_patch16_224", []string{"blocks"}}, {"convnext_tiny", []string{"features"}}, {"swin_t", []string{"features"}}, {"efficientnet_b0", []string{"features"}}} {
		t.Run(c.name, func(t *testing.T) {
			store, net := build(t, c.name, 5, func(s *backbone.Spec) { s.Dropout, s.StochasticDepth = 0, 0.9 })
			twice := func(mode torch.Mode, f func(x *torch.Tensor) *torch.Tensor) (same bool) {
				run(t, mode, func(s *torch.Scope) {
					x := images(s, 4, 64, 64)
					same = torchtest.Worst(f(x).Detach().Float32s(nil), f(x).Detach().Float32s(nil)) == 0
				})
				return same
			}
			require.True(t, twice(torch.Inference, net.Features))
			require.False(t, twice(torch.Training, net.Features))
			require.NoError(t, store.Freeze(c.freezes...))
			require.True(t, twice(torch.Training, net.Features))
			net.Dropout = 0.5
			require.False(t, twice(torch.Training, func(x *torch.Tensor) *torch.Tensor { return net.Logits(net.Features(x)) }))
		})
	}
}

// Wrong sizes are an error of the run, not a silent crop.
func TestViTRefusesPartsOfPatches(t *testing.T) {
	torchtest.Handles(t)
	_, net := build(t, "vit_tiny_patch16_224", 2, nil)
	err := torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		net.Features(images(s, 1, 40, 32))
		return s.Err()
	})
	require.ErrorContains(t, err, "multiples of the patch, 16 px")
}

// A pass leaves only its result behind, and steps leave nothing.
func TestPassesLeaveNoTensors(t *testing.T) {
	for _, name := range small {
		_, net := build(t, name, 3, nil)
		step := func(mode torch.Mode) {
			run(t, mode, func(s *torch.Scope) {
				x := images(s, 2, side(net), side(net))
				before := torch.Handles()
				f := net.Features(x)
				require.LessOrEqual(t, torch.Handles()-before, int64(4), name) // the features, the body's map, a mask or two
				if mode.Grad {
					require.NoError(t, net.Logits(f).Sum().Backward())
				}
			})
		}
		step(torch.Training)
		before := torch.Handles()
		for range 3 {
			step(torch.Training)
			step(torch.Inference)
		}
		require.Equal(t, before, torch.Handles(), name)
	}
}

// Mixed precision comes near to float32 in every family, and its gradients are finite.
func TestMixedPrecision(t *testing.T) {
	for _, name := range small {
		store, net := build(t, name, 3, func(s *backbone.Spec) { s.Dropout, s.StochasticDepth = 0, 0 })
		features := func(mode torch.Mode) (out []float32) {
			run(t, mode, func(s *torch.Scope) { out = net.Features(images(s, 2, side(net), side(net))).Float32s(nil) })
			return out
		}
		d := torchtest.Worst(features(torch.Inference.WithAutocast(torch.BFloat16)), features(torch.Inference))
		require.Positive(t, d, name)
		require.Less(t, d, 0.1, name)
		run(t, torch.Training.WithAutocast(torch.BFloat16), func(s *torch.Scope) {
			require.NoError(t, net.Logits(net.Features(images(s, 2, side(net), side(net)))).Square().Sum().Backward())
			for _, e := range store.Trainable() {
				g := s.Grad(e.Tensor)
				require.True(t, g.Valid(), e.Name)
				require.Equal(t, 1.0, s.Borrow(g).IsFinite().To(torch.Float).Min().Item(), e.Name)
			}
		})
	}
}
