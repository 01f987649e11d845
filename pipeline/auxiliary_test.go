package pipeline

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/wildtrain"
)

// Auxiliary losses are configured, logged by name, resumed to the bit and left out of the final model.
func TestAuxiliaryGoesTheWholeWay(t *testing.T) {
	given, err := Compose(config.Options{Overrides: []string{
		"training.count_loss_weight=0.5", "training.area_loss_weight=0.25", "training.fp_tp_loss_weight=0.75", "training.pos_weight=2", "seed=7",
		"model.auxiliary.count_regressor_layers=12", "model.auxiliary.roi_classifier_layers={p3: 13}", "model.auxiliary.image_encoder_backbone=mobilenet_v3_small", "model.auxiliary.box_size=32",
	}})
	require.NoError(t, err)
	a := given.Model.Auxiliary
	require.Equal(t, []float64{0.5, 0.25, 0.75}, []float64{a.Count, a.Area, a.TruePositive})
	require.Equal(t, []int{12, -1, 13, -1}, []int{a.CountRow, a.AreaRow, a.P3Row, a.P4Row})
	require.Equal(t, 2.0, given.Model.Gains.Positive)
	require.Equal(t, uint64(7), a.Seed)

	ctx := context.Background()
	var e Env
	s := tiny(t)
	s.Model.Auxiliary = a
	whole, err := e.Train(ctx, s)
	require.NoError(t, err)
	for _, name := range []string{"train/count_loss", "train/area_loss", "train/fp_tp_loss"} {
		require.True(t, slices.ContainsFunc(whole.History[1].Values, func(v wildtrain.Value) bool { return v.Name == name && v.Value > 0 }), name)
	}
	e.Callbacks = []wildtrain.Callback{wildtrain.CallbackFunc(func(_ context.Context, ev *wildtrain.Event) error {
		if ev.Kind == wildtrain.EpochEnd && ev.Progress.Epoch == 1 {
			return wildtrain.ErrStop
		}
		return nil
	})}
	s.Name = "stopped"
	part, err := e.Train(ctx, s)
	require.NoError(t, err)
	e.Callbacks, s.Resume = nil, part.Dir
	_, err = e.Train(ctx, s)
	require.NoError(t, err)
	last := weightsOf(t, part.Dir)
	sameState(t, weightsOf(t, whole.Dir), last)
	auxiliary := func(name string) bool { return strings.HasPrefix(name, checkpoint.Auxiliary) }
	require.True(t, slices.ContainsFunc(last.Names(), auxiliary))

	model, err := checkpoint.Open(filepath.Join(whole.Dir, "model"))
	require.NoError(t, err)
	defer model.Close()
	require.False(t, slices.ContainsFunc(model.Names(), auxiliary))
	for _, weights := range []string{whole.Dir, filepath.Join(whole.Dir, "checkpoints", "last")} { // with the run's own settings
		s.Model.Weights = weights
		_, err = e.Evaluate(ctx, s, "")
		require.NoError(t, err)
	}
	converted := filepath.Join(t.TempDir(), "plain.pt")
	n, err := e.Convert(filepath.Join(whole.Dir, "checkpoints", "last"), converted)
	require.NoError(t, err)
	require.Len(t, model.Names(), n)
}
