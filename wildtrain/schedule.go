package wildtrain

import (
	"math"
	"strings"
)

// schedule computes everything that changes over a run. It has no memory: an
// iteration (batches since the run's beginning) and an epoch say all, so that a
// resumed run needs nothing but its Progress.
type schedule struct {
	Config
	batches    int  // per epoch
	fixedBetas bool // Adam and its kin: momentum is beta1 and takes no part in warm-up
}

// factor is what the initial learning rate is multiplied by in an epoch (from 0).
func (s schedule) factor(epoch int) float64 {
	if s.Schedule == Steps {
		factor := 1.0
		for _, m := range s.Milestones {
			if epoch >= m {
				factor /= 10
			}
		}
		return factor
	}
	begin, length, start := s.phase(epoch)
	x := min(float64(epoch-begin)/float64(length), 1)
	if s.Schedule == Cosine {
		x = (1 - math.Cos(x*math.Pi)) / 2
	}
	return start * (1 - x*(1-s.FinalLR))
}

// phase is where the phase of an epoch begins, its epochs, and its first factor.
func (s schedule) phase(epoch int) (begin, length int, start float64) {
	for i, p := range s.Phases {
		if i < len(s.Phases)-1 && epoch >= begin+p.Epochs {
			begin += p.Epochs
			continue
		}
		if i < len(s.Phases)-1 {
			return begin, p.Epochs, p.LR
		}
		return begin, max(s.Epochs-begin, 1), p.LR
	}
	return 0, s.Epochs, 1
}

// warmup is the number of batches that warm-up lasts.
func (s schedule) warmup() int {
	if s.WarmupEpochs == 0 {
		return 0
	}
	n := max(int(math.RoundToEven(s.WarmupEpochs*float64(s.batches))), s.WarmupSteps)
	return min(n, (s.Epochs-1)*s.batches)
}

// warm leads from a to b over the warm-up.
func (s schedule) warm(iteration int, a, b float64) float64 {
	n := s.warmup()
	if iteration >= n {
		return b
	}
	return a + (b-a)*float64(iteration)/float64(n)
}

// accumulate is how many batches make up an optimiser step at an iteration.
func (s schedule) accumulate(iteration int) int {
	if s.NominalBatch == 0 {
		return 1
	}
	nominal := float64(s.NominalBatch) / float64(s.Batch)
	n := max(int(math.RoundToEven(s.warm(iteration, 1, nominal))), 1)
	if s.AccumulateMax > 0 {
		n = min(n, s.AccumulateMax)
	}
	return n
}

// window is the number of batches in the accumulation window that begins at an
// iteration. It ends where it has as many batches as accumulate says at that
// point, and at the epoch's end, rest batches on: gradients are not part of a
// checkpoint, so none may be pending there.
func (s schedule) window(iteration, rest int) int {
	n := 1
	for n < rest && n < s.accumulate(iteration+n-1) {
		n++
	}
	return n
}

// scale is the loss scale of a window's batches.
func (s schedule) scale(window int) float64 {
	if s.AverageAccumulated {
		return 1 / float64(window)
	}
	return 1
}

// group returns a parameter group's settings at an iteration of an epoch; base
// holds those which the optimiser was made with.
func (s schedule) group(base Group, iteration, epoch int) (lr, momentum float64) {
	start := 0.0
	if base.Role == Biases {
		start = s.WarmupBiasLR
	}
	lr = s.warm(iteration, start, base.LR*s.factor(epoch))
	if s.fixedBetas {
		return lr, base.Momentum
	}
	return lr, s.warm(iteration, s.WarmupMomentum, base.Momentum)
}

// decay scales the weight decay to the pictures that a step really sees.
func (s schedule) decay(weightDecay float64) float64 {
	if s.NominalBatch == 0 {
		return weightDecay
	}
	n := max(int(math.RoundToEven(float64(s.NominalBatch)/float64(s.Batch))), 1)
	if s.AccumulateMax > 0 {
		n = min(n, s.AccumulateMax)
	}
	return weightDecay * float64(s.Batch*n) / float64(s.NominalBatch)
}

// average is the decay of the moving average at its n-th update (from 1).
func (s schedule) average(n int64) float64 {
	if s.EMATau == 0 {
		return s.EMADecay
	}
	return s.EMADecay * (1 - math.Exp(-float64(n)/s.EMATau))
}

// hasBetas tells optimisers whose Momentum is a beta of Adam's kind.
func hasBetas(name string) bool { return strings.HasPrefix(strings.ToLower(name), "adam") }
