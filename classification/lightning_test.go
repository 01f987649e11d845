package classification

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
)

// A checkpoint of the Python WildTrain gives the whole model: every tensor of it
// is used, the two normalisations are one, the settings are its own.
func TestLightningCheckpoint(t *testing.T) {
	f := golden(t, "lightning.ckpt")
	cfg, err := FromFile(f, "", nil)
	require.NoError(t, err)
	require.Equal(t, "timm/vit_tiny_patch16_224", cfg.Architecture)
	require.Equal(t, []string{"background", "impala", "zebra"}, cfg.Classes)
	require.Equal(t, Head{Hidden: 8, Layers: 2, Dropout: 0.3}, cfg.Head)
	require.Equal(t, 32, cfg.Input.Height)
	require.InDeltaSlice(t, []float64{0.554 + 0.5*0.203, 0.469 + 0.5*0.173, 0.348 + 0.5*0.144}, cfg.Input.Mean, 1e-6)
	require.InDeltaSlice(t, []float64{0.1015, 0.0865, 0.072}, cfg.Input.Std, 1e-6)
	m, err := New(cfg)
	require.NoError(t, err, "nothing is missing or left over")
	defer m.Close()
	require.Equal(t, 150+4, m.Loaded().Loaded)
	for name, old := range map[string]string{
		"pos_embed": "model.feature_extractor.pos_embed", "blocks.11.mlp.fc2.bias": "model.feature_extractor.blocks.11.mlp.fc2.bias",
		"mlp.0.weight": "model.fc.fc.0.0.weight", "mlp.1.bias": "model.fc.fc.1.bias",
	} {
		got, err := checkpoint.Float32(m.State(), name)
		require.NoError(t, err)
		require.Equal(t, floats(t, f, old), got, name)
	}
	found, err := m.Predict(context.Background(), colourBatch(0, 2, 32))
	require.NoError(t, err)
	require.Len(t, found[0].Probs, 3)
}
