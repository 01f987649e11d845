package classification

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// moved lists the tensors that some training steps change.
func moved(t *testing.T, m *Classifier, o wildtrain.Optimizer) []string {
	t.Helper()
	before, err := wildtraintest.Copy(m.State())
	require.NoError(t, err)
	for i := range 2 {
		_, err := m.TrainStep(context.Background(), colourBatch(i, 6, 32), wildtrain.Step{Scale: 1})
		require.NoError(t, err)
		_, err = o.Step(wildtrain.Clip{})
		require.NoError(t, err)
		o.ZeroGrad()
	}
	var names []string
	for _, n := range before.Names() {
		after, err := wildtraintest.Copy(m.State())
		require.NoError(t, err)
		if string(raw(t, before, n)) != string(raw(t, after, n)) {
			names = append(names, n)
		}
	}
	return names
}

func raw(t *testing.T, s wildtrain.State, name string) []byte {
	t.Helper()
	info, ok := s.Info(name)
	require.True(t, ok)
	b := make([]byte, info.Bytes())
	require.NoError(t, s.Read(name, b))
	return b
}

func optimizer(t *testing.T, m *Classifier, change func(*wildtrain.OptimizerConfig)) wildtrain.Optimizer {
	t.Helper()
	cfg := wildtrain.DefaultOptimizer("SGD")
	if change != nil {
		change(&cfg)
	}
	o, err := m.Optimizer(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { o.Close() })
	return o
}

// Frozen parts stay as they are: weights, and the statistics of batch norm too.
func TestFrozenPartsStay(t *testing.T) {
	m := small(t, "resnet18", nil)
	require.NoError(t, m.Freeze("backbone"))
	require.Equal(t, []string{"fc.bias", "fc.weight"}, moved(t, m, optimizer(t, m, nil)))

	require.NoError(t, m.Freeze("conv1", "bn1", "layer1", "layer2"))
	for _, n := range moved(t, m, optimizer(t, m, nil)) {
		require.Regexp(t, `^(layer[34]\.|fc\.)`, n)
	}
	require.ErrorContains(t, m.Freeze("layer9"), `no parameter under "layer9"`)
	require.NoError(t, m.Freeze())
	require.Contains(t, moved(t, m, optimizer(t, m, nil)), "bn1.running_mean")
}

// A frozen trunk has neither dropout nor stochastic depth: two steps on one batch
// see the same features.
func TestFrozenTrunkIsQuiet(t *testing.T) {
	loss := func(m *Classifier) float64 {
		l, err := m.TrainStep(context.Background(), colourBatch(0, 6, 32), wildtrain.Step{Scale: 1})
		require.NoError(t, err)
		v, err := l.Values()
		require.NoError(t, err)
		return v[0]
	}
	m := small(t, "timm/vit_tiny_patch16_224", func(c *Config) { c.StochasticDepth = 0.5 })
	require.NotEqual(t, loss(m), loss(m))
	require.NoError(t, m.Freeze("backbone"))
	require.Equal(t, loss(m), loss(m))
}

func TestLayerwiseRates(t *testing.T) {
	m := small(t, "resnet18", nil)
	o := optimizer(t, m, func(c *wildtrain.OptimizerConfig) { c.LayerLRDecay = 0.5 })
	rates := map[string]float64{}
	for _, g := range o.Groups() {
		rates[g.Name] = g.LR
	}
	require.Equal(t, 0.01, rates["weights"])
	require.Equal(t, 0.005, rates["weights.1"], "layer4.1")
	require.InDelta(t, 0.01/512, rates["weights.9"], 1e-12, "the stem, behind eight blocks")
	require.NotContains(t, rates, "weights.10")
	_, err := m.Optimizer(wildtrain.OptimizerConfig{Name: "SGD", LR: 1, LayerLRDecay: 2})
	require.ErrorContains(t, err, "layer-wise decay 2")
}

func TestGradualUnfreezing(t *testing.T) {
	m := small(t, "resnet18", func(c *Config) { c.UnfreezeEvery = 2 })
	o := optimizer(t, m, nil)
	epoch := func(n int) []string {
		require.NoError(t, m.Unfreezing().Handle(context.Background(), &wildtrain.Event{Kind: wildtrain.EpochStart, Progress: wildtrain.Progress{Epoch: n}}))
		return moved(t, m, o)
	}
	require.Equal(t, []string{"fc.bias", "fc.weight"}, epoch(0))
	require.Equal(t, []string{"fc.bias", "fc.weight"}, epoch(1))
	for _, n := range epoch(2) {
		require.Regexp(t, `^(layer4\.1|fc)\.`, n)
	}
	for _, n := range epoch(5) {
		require.Regexp(t, `^(layer4|fc)\.`, n)
	}
	require.True(t, strings.HasPrefix(epoch(100)[0], "bn1."), "everything")
	require.Equal(t, []string{"fc.bias", "fc.weight"}, epoch(0), "a run that is resumed earlier")
}
