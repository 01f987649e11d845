package classification

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

// Mixed precision changes a loss by no more than bfloat16's 8 bits.
func TestMixedPrecision(t *testing.T) {
	loss := func(p torch.DType, last bool) float64 {
		m := small(t, "resnet18", func(c *Config) { c.Precision, c.ChannelsLast = p, last })
		l, err := m.TrainStep(context.Background(), colourBatch(0, 6, 32), wildtrain.Step{Scale: 1})
		require.NoError(t, err)
		v, err := l.Values()
		require.NoError(t, err)
		found, err := m.Predict(context.Background(), colourBatch(0, 6, 32))
		require.NoError(t, err)
		require.Len(t, found[0].Probs, 3)
		return v[0]
	}
	full := loss(torch.Float, false)
	require.InEpsilon(t, full, loss(torch.BFloat16, false), 0.05)
	require.InEpsilon(t, full, loss(torch.Float, true), 1e-3, "another layout is another rounding only")
}

// Nothing stays behind after steps, averages, evaluations and explanations.
func TestHandlesStayFlat(t *testing.T) {
	m := small(t, "resnet18", func(c *Config) { c.Head = Head{Hidden: 8, Layers: 2, Dropout: 0.1} })
	o := optimizer(t, m, nil)
	require.NoError(t, m.Freeze("conv1", "bn1"))
	torchtest.Flat(t, 5, func(step int) {
		_, err := m.TrainStep(context.Background(), colourBatch(step, 3, 32), wildtrain.Step{Scale: 1})
		require.NoError(t, err)
		_, err = o.Step(wildtrain.Clip{Norm: 10})
		require.NoError(t, err)
		o.ZeroGrad()
		require.NoError(t, m.Average(0.9))
		_, _, err = m.Evaluate(context.Background(), colourBatch(step, 3, 32))
		require.NoError(t, err)
		_, err = m.Embed(context.Background(), colourBatch(step, 3, 32))
		require.NoError(t, err)
		_, err = m.GradCAM(context.Background(), colourBatch(step, 3, 32), nil)
		require.NoError(t, err)
	})
}
