package wildtraintest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

func TestTensorsKeepTheContract(t *testing.T) {
	s := &wildtraintest.Tensors{}
	for i, d := range []wildtrain.DType{wildtrain.Float32, wildtrain.Float16, wildtrain.Int64, wildtrain.Bool} {
		info := wildtrain.Info{DType: d, Shape: []int64{2, int64(i)}}
		s.Add(d.String(), info, wildtraintest.Values(info, 1))
	}
	wildtraintest.TestState(t, s)
}

func TestMemoryKeepsTheContract(t *testing.T) {
	wildtraintest.TestSaver(t, func() (wildtrain.Saver, error) { return &wildtraintest.Memory{}, nil }, nil)
}

func TestBlobsKeepTheContract(t *testing.T) {
	d := wildtraintest.NewBlobs(13, 4)
	wildtraintest.TestLoader(t, func(at wildtrain.Position, _ int) (wildtrain.Loader, error) {
		return d.Loader(wildtrain.Train, at)
	})
	wildtraintest.TestDataModule(t, func() (wildtrain.DataModule, error) { return d, nil }, wildtrain.Train, wildtrain.Val, wildtrain.Test)
}

func linearCase() wildtraintest.ModelCase {
	d := wildtraintest.NewBlobs(96, 8)
	batches := func(number int) *wildtrain.Batch {
		l, err := d.Loader(wildtrain.Train, wildtrain.Position{Batch: number})
		if err != nil {
			panic(err)
		}
		for b := range l.Batches(context.Background()) {
			return b
		}
		panic("no batch")
	}
	seed := uint64(0)
	return wildtraintest.ModelCase{
		New: func() (wildtrain.Model, error) {
			seed++
			return wildtraintest.ForBlobs(d, seed), nil
		},
		Batch: batches, LR: 0.05, Steps: 50, Random: true,
	}
}

func TestLinearKeepsTheContract(t *testing.T) {
	c := linearCase()
	wildtraintest.TestModel(t, c)
	wildtraintest.TestOptimizer(t, c, wildtrain.DefaultOptimizer("SGD"))
	c.Random = false
	random := c.New
	c.New = func() (wildtrain.Model, error) {
		m, err := random()
		m.(*wildtraintest.Linear).Dropout = 0
		return m, err
	}
	wildtraintest.TestModel(t, c)
	wildtraintest.TestOptimizer(t, c, wildtrain.DefaultOptimizer("SGD"))
	m, err := c.New()
	require.NoError(t, err)
	wildtraintest.TestState(t, m.State())
}

func TestAccuracyKeepsTheContract(t *testing.T) {
	wildtraintest.TestMetric(t, func() wildtrain.Metric { return &wildtraintest.Accuracy{} }, func() (p []wildtrain.Prediction, s []wildtrain.Sample) {
		for i := range 5 {
			p = append(p, wildtrain.Prediction{Probs: []float32{0.2, float32(i) / 4}})
			s = append(s, wildtrain.Sample{Targets: []wildtrain.Target{{Class: i % 2, Weight: 1}}})
		}
		return p, s
	})
}
