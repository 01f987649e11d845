package wildtrain

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// The schedules of the learning rate over epochs.
const (
	Linear = "linear" // from 1 down to FinalLR in a straight line
	Cosine = "cosine" // from 1 down to FinalLR along half a cosine
	Steps  = "steps"  // a tenth of it from each of Milestones on
)

// Config sets the training loop. Zero means zero (a limit of 0 is off): take
// DefaultConfig and change it. The defaults are the recipe that YOLO detectors
// are trained with.
type Config struct {
	Epochs int    // passes over the training data
	Seed   uint64 // kept in Progress; data module and model draw from their own

	// Batch is how many pictures the data module puts into one batch, and
	// NominalBatch how many one optimiser step stands for: gradients of
	// max(round(NominalBatch/Batch), 1) batches add up before a step, and the
	// weight decay is multiplied by Batch·accumulate/NominalBatch. Windows never
	// cross an epoch's end. NominalBatch 0 steps after every batch and leaves the decay.
	Batch, NominalBatch int
	AccumulateMax       int  // most batches per optimiser step; 0: no limit
	AverageAccumulated  bool // divide the gradient by the number of batches; false adds them up, as for losses that are multiplied by the batch size

	// Warm-up lasts round(WarmupEpochs·batches) batches, at least WarmupSteps, but
	// leaves the last epoch untouched (Ultralytics up to 8.3 has a WarmupSteps of
	// 100, 8.4 of 0). It leads the learning rate from 0 (of
	// biases from WarmupBiasLR) and the momentum from WarmupMomentum to their
	// nominal values, and accumulation from 1. Adam's betas stay as they are.
	// WarmupEpochs 0 switches it off.
	WarmupEpochs   float64
	WarmupSteps    int // batches, where WarmupEpochs is not 0
	WarmupMomentum float64
	WarmupBiasLR   float64

	Schedule   string  // Linear, Cosine or Steps: the factor of the learning rate in epoch e of Epochs
	FinalLR    float64 // what the factor tends to, as a share of the initial rate
	Milestones []int   // of Steps: after so many epochs the rate falls
	Phases     []Phase // the schedule begins anew with each; empty: one over all epochs

	ClipNorm  float64 // largest L2 norm of all gradients together; 0: off
	ClipValue float64 // largest absolute value of a gradient; 0: off

	// The moving average of the weights takes the share 1−d of the present ones
	// after every step, d = EMADecay·(1−exp(−steps/EMATau)). EMADecay 0: off.
	EMADecay, EMATau float64

	ValidateEvery int    // epochs; the last one is always validated; 0: never
	Monitor       string // the value that tells the best epoch; "": the first metric, else the validation loss, else the training loss
	Mode          string // "max", "min"; "": min where the monitored name ends in "loss", else max
	Patience      int    // epochs without improvement before stopping early; 0: off
	SavePeriod    int    // keep a checkpoint every so many epochs, beside last and best; 0: off

	SaveSeconds float64 // write "last" within an epoch too where so much time has gone by; 0: off

	NonFinite    int     // batches in a row whose loss may be NaN or infinite before training fails
	SkippedSteps int     // optimiser steps in a row that may be skipped for non-finite gradients; a gradient scaler needs some
	MaxSeconds   float64 // training time after which to stop in good order; 0: off
}

// Phase is a part of a training with a schedule of its own.
type Phase struct {
	Epochs int     // the last phase lasts to the end, whatever this says
	LR     float64 // its first learning rate, as a share of the optimiser's
}

// DefaultConfig returns the full set of defaults.
func DefaultConfig() Config {
	return Config{
		Epochs: 100, Batch: 16, NominalBatch: 64,
		WarmupEpochs: 3, WarmupMomentum: 0.8, WarmupBiasLR: 0.1,
		Schedule: Linear, FinalLR: 0.01,
		ClipNorm: 10, EMADecay: 0.9999, EMATau: 2000,
		ValidateEvery: 1, Patience: 100, SaveSeconds: 1800, SkippedSteps: 50,
	}
}

// Validate reports every setting that cannot work, all of them together.
func (c Config) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("wildtrain: config: "+format, args...))
		}
	}
	bad(c.Epochs > 0, "Epochs is %d, must be positive", c.Epochs)
	bad(c.NominalBatch == 0 || c.Batch > 0, "Batch is %d, must be positive with NominalBatch", c.Batch)
	for _, f := range []struct {
		name  string
		value int
	}{
		{"Batch", c.Batch}, {"NominalBatch", c.NominalBatch}, {"AccumulateMax", c.AccumulateMax},
		{"WarmupSteps", c.WarmupSteps}, {"ValidateEvery", c.ValidateEvery}, {"Patience", c.Patience},
		{"SavePeriod", c.SavePeriod}, {"NonFinite", c.NonFinite}, {"SkippedSteps", c.SkippedSteps},
	} {
		bad(f.value >= 0, "%s is %d, must not be negative", f.name, f.value)
	}
	for _, f := range []struct {
		name        string
		value, high float64
	}{
		{"WarmupEpochs", c.WarmupEpochs, math.MaxFloat64}, {"WarmupMomentum", c.WarmupMomentum, 1},
		{"WarmupBiasLR", c.WarmupBiasLR, math.MaxFloat64}, {"FinalLR", c.FinalLR, 1},
		{"ClipNorm", c.ClipNorm, math.MaxFloat64}, {"ClipValue", c.ClipValue, math.MaxFloat64},
		{"EMADecay", c.EMADecay, 1}, {"EMATau", c.EMATau, math.MaxFloat64}, {"MaxSeconds", c.MaxSeconds, math.MaxFloat64},
		{"SaveSeconds", c.SaveSeconds, math.MaxFloat64},
	} {
		if f.high == 1 {
			bad(f.value >= 0 && f.value <= 1, "%s is %v, must lie in 0…1", f.name, f.value)
		} else {
			bad(f.value >= 0 && f.value <= f.high, "%s is %v, must be finite and not negative", f.name, f.value)
		}
	}
	bad(c.Schedule == Linear || c.Schedule == Cosine || c.Schedule == Steps, "Schedule is %q, must be %q, %q or %q", c.Schedule, Linear, Cosine, Steps)
	bad(c.Mode == "" || c.Mode == "max" || c.Mode == "min", "Mode is %q, must be \"max\", \"min\" or empty", c.Mode)
	for i, p := range c.Phases {
		bad(p.Epochs > 0 && p.LR >= 0 && p.LR <= math.MaxFloat64, "Phases[%d] is %+v, must have epochs and a rate that is not negative", i, p)
	}
	bad(len(c.Phases) == 0 || c.Schedule != Steps, "Phases and the schedule %q exclude each other", Steps)
	for i, m := range c.Milestones {
		bad(m > 0 && (i == 0 || m > c.Milestones[i-1]), "Milestones are %v, must be positive and rise", c.Milestones)
	}
	return errors.Join(errs...)
}

// lowerIsBetter tells the direction of a monitored value.
func (c Config) lowerIsBetter(monitor string) bool {
	return c.Mode == "min" || c.Mode == "" && strings.HasSuffix(strings.ToLower(monitor), "loss")
}
