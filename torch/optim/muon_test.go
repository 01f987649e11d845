package optim_test

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/wildtrain"
)

// muonRun is parity/muon.py's: four steps on four matrices.
type muonRun struct {
	golden *checkpoint.File
	store  *nn.Store
}

func openMuon(t *testing.T) *muonRun {
	f, err := checkpoint.Open("testdata/muon.safetensors")
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	r := &muonRun{golden: f, store: nn.NewStore(torch.CPU, nil)}
	t.Cleanup(func() { r.store.Close() })
	var shapes map[string][]int64
	require.NoError(t, json.Unmarshal([]byte(f.Metadata()["shapes"]), &shapes))
	require.Len(t, shapes, 4)
	for name, shape := range shapes {
		x := r.store.Root().Parameter(name, wildtrain.Weights, nil, shape...)
		require.NoError(t, x.Write(float32Bytes(ruled("muon.start."+name, x.Len(), 1))))
	}
	return r
}

func (r *muonRun) train(t *testing.T, step func() error) {
	for i := range 4 {
		require.NoError(t, torch.Run(t.Context(), torch.CPU, torch.Training, func(s *torch.Scope) error {
			loss := s.Zeros(torch.Float)
			for _, e := range r.store.Entries() {
				g := torch.Of(s, ruled("muon."+strconv.Itoa(i+1)+"."+e.Name, e.Tensor.Len(), 0.3), e.Tensor.Shape()...)
				loss = loss.Add(s.Borrow(e.Tensor).Mul(g).Sum())
			}
			return loss.Backward()
		}))
		require.NoError(t, step())
	}
}

// moved compares how far each parameter came with the stored way, by its 2-norm:
// bfloat16 rounds each number to eight bits.
func (r *muonRun) moved(t *testing.T, label string) {
	for _, e := range r.store.Entries() {
		want, err := r.golden.Float32(label + "/" + e.Name)
		require.NoError(t, err)
		begin := ruled("muon.start."+e.Name, e.Tensor.Len(), 1)
		var diff, way float64
		for i, v := range e.Tensor.Float32s(nil) {
			diff += math.Pow(float64(v-want[i]), 2)
			way += math.Pow(float64(want[i]-begin[i]), 2)
		}
		t.Logf("%s %s: %.2g of the way", label, e.Name, math.Sqrt(diff/way))
		require.LessOrEqual(t, math.Sqrt(diff/way), 5e-3, "%s %s", label, e.Name)
	}
}

func TestMuonEqualsPyTorch(t *testing.T) {
	r := openMuon(t)
	var params, buffers []*torch.Tensor
	for _, e := range r.store.Entries() {
		params = append(params, e.Tensor)
		buffers = append(buffers, r.store.Scope().ZerosLike(e.Tensor))
	}
	r.train(t, func() error {
		if err := torch.StepMuon(params, buffers, torch.MuonOptions{LR: 0.05, Momentum: 0.9, Nesterov: true}); err != nil {
			return err
		}
		return torch.ZeroGrads(params)
	})
	r.moved(t, "muon")
}

func TestMuSGDEqualsPeer(t *testing.T) {
	r := openMuon(t)
	cfg := wildtrain.DefaultOptimizer("MuSGD")
	cfg.LR, cfg.Momentum, cfg.WeightDecay = 0.05, 0.9, 0.05
	o, err := optim.New(cfg, optim.Groups(r.store))
	require.NoError(t, err)
	defer o.Close()
	r.train(t, func() error {
		_, err := o.Step(wildtrain.Clip{})
		o.ZeroGrad()
		return err
	})
	r.moved(t, "musgd")
}

// Vectors have no rows to orthogonalise: they are left to SGD.
func TestMuSGDIsSGDOnVectors(t *testing.T) {
	after := map[string][]float32{}
	for _, name := range []string{"SGD", "MuSGD"} {
		store := nn.NewStore(torch.CPU, nil)
		defer store.Close()
		x := store.Root().Parameter("bias", wildtrain.Biases, nn.Fill(1), 3)
		o, err := optim.New(wildtrain.DefaultOptimizer(name), optim.Groups(store))
		require.NoError(t, err)
		defer o.Close()
		require.NoError(t, torch.Run(t.Context(), torch.CPU, torch.Training, func(s *torch.Scope) error {
			return s.Borrow(x).Square().Sum().Backward()
		}))
		_, err = o.Step(wildtrain.Clip{})
		require.NoError(t, err)
		after[name] = x.Float32s(nil)
	}
	require.Equal(t, after["SGD"], after["MuSGD"])
	require.Less(t, after["SGD"][0], float32(1))
}
