package wildtraintest_test

import (
	"testing"

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
