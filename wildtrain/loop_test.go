package wildtrain_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// small is a configuration that a linear model learns with in a few epochs.
func small(epochs int) wildtrain.Config {
	c := wildtrain.DefaultConfig()
	c.Epochs, c.Batch, c.NominalBatch = epochs, 8, 16
	c.WarmupEpochs, c.WarmupSteps, c.EMATau = 1, 0, 10
	return c
}

func trainer(t *testing.T, c wildtrain.Config, opts ...wildtrain.Option) *wildtrain.Loop {
	t.Helper()
	quiet := wildtrain.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))
	l, err := wildtrain.NewTrainer(c, append([]wildtrain.Option{wildtrain.WithMetrics(&wildtraintest.Accuracy{}), quiet}, opts...)...)
	require.NoError(t, err)
	return l
}

func value(t *testing.T, values []wildtrain.Value, name string) float64 {
	t.Helper()
	for _, v := range values {
		if v.Name == name {
			return v.Value
		}
	}
	require.Failf(t, "value is missing", "%q in %v", name, values)
	return 0
}

func TestFitLearns(t *testing.T) {
	data := wildtraintest.NewBlobs(60, 8)
	model := wildtraintest.ForBlobs(data, 1)
	saver := &wildtraintest.Memory{}
	l := trainer(t, small(12), wildtrain.WithSaver(saver))
	before, err := l.Validate(t.Context(), model, data)
	require.NoError(t, err)
	require.Less(t, value(t, before, "accuracy"), 0.6)

	res, err := l.Fit(t.Context(), model, data)
	require.NoError(t, err)
	require.Greater(t, value(t, res.Metrics, "accuracy"), 0.9)
	require.Equal(t, "accuracy", res.Monitor)
	require.Equal(t, res.Best, res.Progress.Best)
	require.Len(t, res.History, 12)
	require.Less(t, value(t, res.History[11].Values, "train/loss"), value(t, res.History[0].Values, "train/loss")/2)
	require.Less(t, value(t, res.History[11].Values, "val/loss"), value(t, res.History[0].Values, "val/loss"))
	require.Equal(t, "memory:best", res.BestPath)
	require.Equal(t, "memory:last", res.LastPath)
	require.Equal(t, int64(12*60), res.Progress.Images)
	require.Empty(t, res.Stopped)
	require.Equal(t, data.Yielded, data.Released, "every batch is given back")

	after, err := l.Test(t.Context(), model, data)
	require.NoError(t, err)
	require.Greater(t, value(t, after, "accuracy"), 0.9)
	require.Contains(t, names(after), "test/loss")
}

func names(values []wildtrain.Value) (out []string) {
	for _, v := range values {
		out = append(out, v.Name)
	}
	return out
}
