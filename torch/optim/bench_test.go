package optim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/wildtrain"
)

// A detector's worth of parameters: 90 kernels of 37,000 numbers and 180 vectors.
func BenchmarkStep(b *testing.B) {
	for _, name := range optim.Names() {
		b.Run(name, func(b *testing.B) {
			store := nn.NewStore(torch.CPU, nil)
			defer store.Close()
			for i := range 90 {
				at := store.Root().At(i)
				nn.NewConv2d(at.Sub("conv"), nn.Conv2dConfig{In: 64, Out: 64, Kernel: 3, NoBias: true})
				nn.NewBatchNorm2d(at.Sub("bn"), 64, 1e-3, 0.03)
			}
			require.NoError(b, store.ChannelsLast())
			opt, err := optim.New(wildtrain.DefaultOptimizer(name), optim.Groups(store))
			require.NoError(b, err)
			defer opt.Close()
			average := nn.NewAverage(store)
			defer average.Close()
			require.NoError(b, torch.Run(b.Context(), torch.CPU, torch.Training, func(s *torch.Scope) error {
				loss := s.Zeros(torch.Float)
				for _, e := range store.Trainable() {
					loss = loss.Add(s.Borrow(e.Tensor).Square().Sum())
				}
				return loss.Backward()
			}))
			b.ResetTimer()
			for range b.N {
				if _, err := opt.Step(wildtrain.Clip{Norm: 10}); err != nil {
					b.Fatal(err)
				}
				if err := average.Update(0.999); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
