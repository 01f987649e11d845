package main

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

func TestCountError(t *testing.T) {
	c := &countError{conf: 0.5}
	objects := func(scores ...float64) (out []wildtrain.Object) {
		for _, s := range scores {
			out = append(out, wildtrain.Object{Score: s})
		}
		return out
	}
	require.NoError(t, c.Update(
		[]wildtrain.Prediction{{Objects: objects(0.9, 0.6, 0.1)}, {}},
		[]wildtrain.Sample{{Truth: objects(0)}, {Truth: objects(0, 0)}}))
	got, err := c.Compute()
	require.NoError(t, err)
	require.Equal(t, 1.5, got[0].Value, "one too many, two too few")
}

func TestStopBelow(t *testing.T) {
	stop := stopBelow(1, &strings.Builder{})
	event := func(v float64) *wildtrain.Event {
		return &wildtrain.Event{Kind: wildtrain.EpochEnd, Values: []wildtrain.Value{{Name: "count_error", Value: v}}}
	}
	require.NoError(t, stop.Handle(context.Background(), event(1)))
	require.ErrorIs(t, stop.Handle(context.Background(), event(0.9)), wildtrain.ErrStop)
}

func TestTrain(t *testing.T) {
	var out strings.Builder
	require.NoError(t, train(context.Background(), &out, "../../testdata/wildata/framework_formats/yolo/savanna-tiles/data.yaml", 1, 64))
	require.Contains(t, out.String(), "epoch 1: counts are off by ")
}
