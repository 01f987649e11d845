package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/detection"
)

func TestFind(t *testing.T) {
	const picture = "../../testdata/wildata/datasets/savanna-tiles/images/val/flight07_0006_tile_0_0_0.jpg"
	weights := filepath.Join(t.TempDir(), "w.safetensors")
	cfg := detection.DefaultYOLO("yolov8n", []string{"kudu", "zebra"})
	cfg.InputSize = 64
	m, err := detection.NewYOLO(cfg)
	require.NoError(t, err)
	about, err := checkpoint.Describe(m.Describe())
	require.NoError(t, err)
	require.NoError(t, checkpoint.Export(weights, m.State(), about))
	require.NoError(t, m.Close())

	var out strings.Builder
	require.NoError(t, find(context.Background(), &out, weights, picture))
	require.Empty(t, out.String(), "an untrained model is sure of nothing")
	require.ErrorContains(t, find(context.Background(), &out, weights, "none.jpg"), "none.jpg")
	require.ErrorContains(t, find(context.Background(), &out, "../../checkpoint/testdata/nested_model.pt", picture), "does not say what model it is")
}
