package wildtrain

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The expected numbers are worked out by hand from the recipe (Ultralytics'
// documentation; one-cycle cosine: Loshchilov and Hutter 2017, equation 5).
func TestFactor(t *testing.T) {
	c := DefaultConfig()
	s := schedule{Config: c, batches: 10}
	for epoch, want := range map[int]float64{0: 1, 25: 0.7525, 50: 0.505, 99: 0.0199, 100: 0.01} {
		require.InDelta(t, want, s.factor(epoch), 1e-12, "linear, epoch %d", epoch)
	}
	s.Schedule = Cosine
	for epoch, want := range map[int]float64{0: 1, 50: 0.505, 100: 0.01, 25: 0.505 + 0.495*math.Sqrt2/2} {
		require.InDelta(t, want, s.factor(epoch), 1e-12, "cosine, epoch %d", epoch)
	}
	s.Schedule, s.Milestones = Steps, []int{8, 11}
	for epoch, want := range map[int]float64{0: 1, 7: 1, 8: 0.1, 10: 0.1, 11: 0.01, 99: 0.01} {
		require.InDelta(t, want, s.factor(epoch), 1e-12, "steps, epoch %d", epoch)
	}
}

func TestWarmup(t *testing.T) {
	c := DefaultConfig()
	s := schedule{Config: c, batches: 100} // 300 iterations
	require.Equal(t, 300, s.warmup())
	weights := Group{Role: Weights, LR: 0.01, Momentum: 0.937}
	biases := Group{Role: Biases, LR: 0.01, Momentum: 0.937}
	for _, w := range []struct {
		iteration        int
		lr, bias, moment float64
		accumulate       int
	}{
		{0, 0, 0.1, 0.8, 1},
		{75, 0.0025 * 1, 0.0775, 0.83425, 2}, // a quarter of the way, 1+3/4 batches
		{150, 0.005 * 0.9901, 0.1 + (0.009901-0.1)/2, 0.8685, 2},
		{299, 0.009802 * 299 / 300, 0.1 + (0.009802-0.1)*299/300, 0.8 + 0.137*299/300, 4},
		{300, 0.009703, 0.009703, 0.937, 4},
	} {
		epoch := w.iteration / 100
		lr, momentum := s.group(weights, w.iteration, epoch)
		require.InDelta(t, w.lr, lr, 1e-12)
		require.InDelta(t, w.moment, momentum, 1e-12)
		lr, _ = s.group(biases, w.iteration, epoch)
		require.InDelta(t, w.bias, lr, 1e-12)
		require.Equal(t, w.accumulate, s.accumulate(w.iteration))
	}

	s.batches = 10
	require.Equal(t, 30, s.warmup())
	s.WarmupSteps = 100
	require.Equal(t, 100, s.warmup(), "at least WarmupSteps")
	s.Epochs = 4
	require.Equal(t, 30, s.warmup(), "the last epoch is left alone")
	s.fixedBetas = true
	_, momentum := s.group(Group{Momentum: 0.9}, 0, 0)
	require.Equal(t, 0.9, momentum, "a beta is not warmed up")
}

// Learning rates that Ultralytics 8.4.190 wrote into its results.csv (weights,
// biases) for epochs of 4 batches of 2 pictures, SGD, lr0 0.01, all else at its default.
func TestWarmupEqualsPeer(t *testing.T) {
	for epochs, rows := range map[int][][2]float64{
		40: {{0.0025, 0.0775}, {0.00568896, 0.0473556}, {0.00871292, 0.0170462}, {0.0092575, 0.0092575}, {0.00901, 0.00901}},
		3:  {{0.00375, 0.06625}, {0.0058625, 0.0183625}},
	} {
		c := DefaultConfig()
		c.Epochs, c.Batch = epochs, 2
		s := schedule{Config: c, batches: 4}
		for epoch, want := range rows {
			last := 4*epoch + 3
			weights, _ := s.group(Group{Role: Weights, LR: 0.01}, last, epoch)
			biases, _ := s.group(Group{Role: Biases, LR: 0.01}, last, epoch)
			require.InDelta(t, want[0], weights, 1e-7, "epoch %d of %d", epoch+1, epochs)
			require.InDelta(t, want[1], biases, 1e-7, "epoch %d of %d", epoch+1, epochs)
		}
	}
}

func TestAccumulate(t *testing.T) {
	c := DefaultConfig()
	c.WarmupEpochs = 0
	for batch, want := range map[int]int{1: 64, 2: 32, 16: 4, 24: 3, 26: 2, 64: 1, 128: 1} {
		c.Batch = batch
		require.Equal(t, want, schedule{Config: c, batches: 100}.accumulate(0), "batch %d", batch)
	}
	c.Batch, c.AccumulateMax = 2, 8
	s := schedule{Config: c, batches: 100}
	require.Equal(t, 8, s.accumulate(0))
	require.InDelta(t, 5e-4*16/64, s.decay(5e-4), 1e-15, "the decay follows the pictures of a step")
	c.NominalBatch = 0
	s = schedule{Config: c, batches: 100}
	require.Equal(t, 1, s.accumulate(0))
	require.Equal(t, 5e-4, s.decay(5e-4))
}

func TestAverageDecay(t *testing.T) {
	s := schedule{Config: DefaultConfig()}
	require.InDelta(t, 0.9999*(1-math.Exp(-0.0005)), s.average(1), 1e-15)
	require.InDelta(t, 0.9999*(1-1/math.E), s.average(2000), 1e-15)
	s.EMATau = 0
	require.Equal(t, 0.9999, s.average(1))
}

// Windows cover an epoch without a gap, and each ends where the rule
// "accumulated ≥ accumulate(iteration)" first holds, or with the epoch.
func TestWindowsTileTheEpoch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := DefaultConfig()
		c.Batch = rapid.IntRange(1, 80).Draw(t, "batch")
		c.Epochs = rapid.IntRange(1, 9).Draw(t, "epochs")
		s := schedule{Config: c, batches: rapid.IntRange(1, 90).Draw(t, "batches")}
		epoch := rapid.IntRange(0, c.Epochs-1).Draw(t, "epoch")
		begin := epoch * s.batches
		for at := 0; at < s.batches; {
			n := s.window(begin+at, s.batches-at)
			for i := range n - 1 {
				require.Less(t, i+1, s.accumulate(begin+at+i), "the window should have ended earlier")
			}
			if at += n; at < s.batches {
				require.GreaterOrEqual(t, n, s.accumulate(begin+at-1))
			}
			require.LessOrEqual(t, at, s.batches)
		}
	})
}

func TestConfigReportsEverything(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	c := Config{
		Epochs: 0, Batch: 0, NominalBatch: 64, Patience: -1, FinalLR: 2, ClipNorm: math.NaN(),
		MaxSeconds: math.Inf(1), Schedule: "step", Mode: "best",
	}
	err := c.Validate()
	for _, name := range []string{"Epochs", "Batch", "Patience", "FinalLR", "ClipNorm", "MaxSeconds", "Schedule", "Mode"} {
		require.ErrorContains(t, err, "config: "+name+" is")
	}
	_, err = NewTrainer(c)
	require.ErrorContains(t, err, "Epochs")
}
