package optim_test

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

// trainer is a small network with all that a training has: convolutions, batch
// norm, channels_last, a loss, an optimiser and a moving average.
type trainer struct {
	store   *nn.Store
	net     nn.Sequential
	head    *nn.Linear
	opt     *optim.Optimizer
	average *nn.Average
}

func newTrainer(t testing.TB) *trainer {
	r := &trainer{store: nn.NewStore(torch.CPU, nil)}
	require.NoError(t, torch.ManualSeed(0))
	b := r.store.Root()
	in := int64(3)
	for i, out := range []int64{8, 16} {
		b := b.Sub("net").At(i)
		conv := nn.NewConv2d(b.Sub("conv"), nn.Conv2dConfig{In: in, Out: out, Kernel: 3, Stride: 2, Padding: 1, NoBias: true})
		r.net = append(r.net, conv, nn.NewBatchNorm2d(b.Sub("bn"), out, 1e-3, 0.03), nn.SiLU)
		in = out
	}
	r.head = nn.NewLinear(b.Sub("head"), in, 4, true)
	require.NoError(t, r.store.ChannelsLast())
	opt, err := optim.New(wildtrain.DefaultOptimizer("SGD"), optim.Groups(r.store))
	require.NoError(t, err)
	r.opt, r.average = opt, nn.NewAverage(r.store)
	return r
}

func (r *trainer) close() {
	_, _, _ = r.opt.Close(), r.average.Close(), r.store.Close()
}

func (r *trainer) step(t testing.TB, mode torch.Mode) float64 {
	var loss float64
	err := torch.Run(t.Context(), torch.CPU, mode, func(s *torch.Scope) error {
		x := s.Images8(make([]uint8, 2*16*16*3), 2, 16, 16, 3, 1.0/255, true)
		y := r.head.Forward(r.net.Forward(x.AddScalar(0.5)).Mean(2, 3))
		l := y.To(torch.Float).CrossEntropy(torch.Of(s, []int64{1, 3}, 2), nil, torch.Mean, 0)
		loss = l.Item()
		return l.Backward()
	})
	require.NoError(t, err)
	_, err = r.opt.Step(wildtrain.Clip{Norm: 10})
	require.NoError(t, err)
	r.opt.ZeroGrad()
	require.NoError(t, r.average.Update(0.99))
	return loss
}

// resident is the process's memory in bytes, 0 where the system does not tell.
func resident() int64 {
	debug.FreeOSMemory() // what Go's collector has not yet given back is no leak
	raw, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(raw))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// Memory and handles stay flat over the steps of a training. Without a leak the
// difference is noise of the allocators; a leak of one small tensor for each
// operation would show as megabytes. WILDTRAIN_STEPS makes the run longer.
func TestMemoryIsFlat(t *testing.T) {
	if resident() == 0 {
		t.Skip("no /proc/self/statm")
	}
	steps := 800
	if n, err := strconv.Atoi(os.Getenv("WILDTRAIN_STEPS")); err == nil {
		steps = n
	} else if testing.Short() {
		steps = 300
	}
	torchtest.Handles(t)
	r := newTrainer(t)
	defer r.close()
	for range 200 {
		r.step(t, torch.Training)
	}
	handles, before := torch.Handles(), resident()
	for range steps {
		r.step(t, torch.Training)
	}
	require.Equal(t, handles, torch.Handles())
	grown := resident() - before
	t.Logf("%d steps: %+d KiB", steps, grown>>10)
	require.Less(t, grown, int64(4<<20))
}

// The loss falls, in full and in mixed precision, and gradients are float32.
func TestTrainingLearns(t *testing.T) {
	for name, mode := range map[string]torch.Mode{"float32": torch.Training, "bfloat16": torch.Training.WithAutocast(torch.BFloat16)} {
		t.Run(name, func(t *testing.T) {
			torchtest.Handles(t)
			r := newTrainer(t)
			defer r.close()
			first := r.step(t, mode)
			var last float64
			for range 40 {
				last = r.step(t, mode)
			}
			require.Less(t, last, first-0.2)
			w, _ := r.store.Lookup("net.0.conv.weight")
			require.True(t, w.Tensor.ChannelsLast(), "the layout survives steps")
			require.Equal(t, torch.Float, w.Tensor.DType())
			require.True(t, r.average.State()["net.0.conv.weight"].ChannelsLast())
		})
	}
}
