package backbone_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

// facts are what parity/backbones.py read off the peers, at 1000 classes.
type facts struct {
	Parameters, Width int64
	Head              string
	Size              int
	Mean, Std         [3]float64
	Dropout           []float64
	Paths             []float64    // smallest and largest stochastic depth above 0, and how many branches have some
	Norms             [][2]float64 // eps and momentum of batch norm
}

func peerFacts(t *testing.T) map[string]facts {
	t.Helper()
	var all struct{ Networks map[string]facts }
	torchtest.Load(t, "facts.json", &all)
	return all.Networks
}

// peerKeys returns type and shape of every entry of every peer's state.
func peerKeys(t *testing.T) map[string]keyList {
	t.Helper()
	f, err := os.Open("testdata/keys.json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	raw := map[string]map[string][]any{}
	require.NoError(t, json.NewDecoder(z).Decode(&raw))
	all := map[string]keyList{}
	for name, keys := range raw {
		all[name] = keyList{}
		for key, v := range keys {
			info := wildtrain.Info{DType: map[any]wildtrain.DType{"float32": wildtrain.Float32, "int64": wildtrain.Int64}[v[0]]}
			for _, n := range v[1:] {
				info.Shape = append(info.Shape, int64(n.(float64)))
			}
			all[name][key] = info
		}
	}
	return all
}

// keyList is a source of weights whose values are zeros: what counts are names and shapes.
type keyList map[string]wildtrain.Info

func (k keyList) Names() []string {
	var names []string
	for n := range k {
		names = append(names, n)
	}
	return names
}

func (k keyList) Info(name string) (wildtrain.Info, bool) {
	info, ok := k[name]
	return info, ok
}

func (k keyList) Read(string, []byte) error  { return nil }
func (k keyList) Write(string, []byte) error { return fmt.Errorf("written") }

// Every backbone has the peer's keys, shapes, types and number of parameters,
// and its Spec tells of it what the peer's configuration tells.
func TestNetworksHoldThePeersTensors(t *testing.T) {
	told, keys := peerFacts(t), peerKeys(t)
	names := withoutYOLO()
	require.Len(t, told, len(names))
	for _, name := range names {
		want := told[name]
		if testing.Short() && want.Parameters > 30e6 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			torchtest.Handles(t)
			spec, err := backbone.Lookup(name)
			require.NoError(t, err)
			store := nn.NewStore(torch.CPU, keys[name])
			defer store.Close()
			net, err := spec.Build(store.Root(), 1000)
			require.NoError(t, err)
			require.NoError(t, store.Finish().Err())
			for _, e := range store.Entries() {
				require.Equal(t, keys[name][e.Name].DType, e.Tensor.DType().Stored(), e.Name)
			}
			require.Equal(t, want.Parameters, store.Parameters())
			require.Equal(t, want.Width, net.Width)
			require.Equal(t, want.Head, spec.Head)
			require.Equal(t, want.Size, spec.InputSize)
			require.Equal(t, [2][3]float64{want.Mean, want.Std}, [2][3]float64{spec.Mean, spec.Std})
			checkRates(t, net, want)
			checkNorms(t, store, want)
		})
	}
}

// checkRates compares dropout and stochastic depth, branch by branch as far as
// the smallest, the largest and their number tell.
func checkRates(t *testing.T, net *backbone.Net, want facts) {
	t.Helper()
	dropout := 0.0
	if len(want.Dropout) > 0 {
		dropout = want.Dropout[0]
	}
	require.Equal(t, dropout, net.Dropout)
	var rates []float64
	for _, r := range backbone.Paths(net) {
		if r > 0 {
			rates = append(rates, r)
		}
	}
	if len(want.Paths) == 0 {
		require.Empty(t, rates)
		return
	}
	require.True(t, slices.IsSorted(rates))
	require.InDelta(t, want.Paths[0], rates[0], 1e-6)
	require.InDelta(t, want.Paths[1], rates[len(rates)-1], 1e-6)
	number := int(want.Paths[2])
	if net.Library == backbone.Timm { // two modules a block
		number /= 2
	}
	require.Len(t, rates, number)
}

func checkNorms(t *testing.T, store *nn.Store, want facts) {
	t.Helper()
	found := map[[2]float64]bool{}
	for _, m := range store.Modules() {
		if b, ok := m.(*nn.BatchNorm2d); ok {
			found[[2]float64{b.Eps, b.Momentum}] = true
		}
	}
	require.Len(t, found, len(want.Norms))
	for _, n := range want.Norms {
		require.True(t, found[n], "batch norm of eps %g, momentum %g", n[0], n[1])
	}
}

func TestLookup(t *testing.T) {
	for name, want := range map[string][2]string{
		"convnext_tiny": {backbone.Torchvision, "convnext_tiny"}, "timm/convnext_tiny": {backbone.Timm, "convnext_tiny"},
		"torchvision/vit_b_16": {backbone.Torchvision, "vit_b_16"}, "resnet50": {backbone.Torchvision, "resnet50"},
		"timm/resnet50":                         {backbone.Torchvision, "resnet50"}, // the same keys
		"vit_small_patch14_reg4_dinov2.lvd142m": {backbone.Timm, "vit_small_patch14_reg4_dinov2"},
		"timm/efficientnet_b0.ra_in1k":          {backbone.Timm, "efficientnet_b0"},
	} {
		s, err := backbone.Lookup(name)
		require.NoError(t, err)
		require.Equal(t, want, [2]string{s.Library, s.Name}, name)
	}
	for name, near := range map[string]string{"": "resnet18", "resnet19": "resnet18", "timm/vit_b_16": "vit_base_patch16_224", "keras/resnet50": "resnet50"} {
		_, err := backbone.Lookup(name)
		require.ErrorContains(t, err, fmt.Sprintf("look up %q", name))
		require.ErrorContains(t, err, near)
	}
	_, err := backbone.Lookup("resnet19")
	require.NotContains(t, err.Error(), "vit")
	for _, name := range backbone.Names() {
		s, err := backbone.Lookup(name)
		require.NoError(t, err)
		require.Equal(t, strings.TrimPrefix(name, "timm/"), s.Name)
	}
}

func TestBuildRefuses(t *testing.T) {
	torchtest.Handles(t)
	vit, err := backbone.Lookup("vit_tiny_patch16_224")
	require.NoError(t, err)
	build := func(classes int, change func(*backbone.Spec)) error {
		s := vit
		change(&s)
		store := nn.NewStore(torch.CPU, nil)
		defer store.Close()
		_, err := s.Build(store.Root(), classes)
		return err
	}
	require.ErrorContains(t, build(-1, func(*backbone.Spec) {}), "-1 classes")
	require.ErrorContains(t, build(2, func(s *backbone.Spec) { s.InputSize = 225 }), "225 px is not a multiple of 16")
	require.ErrorContains(t, build(2, func(s *backbone.Spec) { s.Dropout = 1 }), "dropout 1")
	require.ErrorContains(t, build(2, func(s *backbone.Spec) { *s = backbone.Spec{} }), "empty spec")
}
