package wildtrain

import (
	"math"
	"testing"
)

// Each phase's schedule begins at its own rate and tends to FinalLR of it; the
// last one lasts to the end of the training.
func TestPhasesHaveSchedulesOfTheirOwn(t *testing.T) {
	c := DefaultConfig()
	c.Epochs, c.FinalLR, c.WarmupEpochs = 10, 0.1, 0
	c.Phases = []Phase{{Epochs: 4, LR: 1}, {Epochs: 2, LR: 0.5}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	want := []float64{1, 0.775, 0.55, 0.325, 0.5, 0.425, 0.35, 0.275, 0.2, 0.125}
	s := schedule{Config: c, batches: 3}
	for epoch, w := range want {
		if got := s.factor(epoch); math.Abs(got-w) > 1e-12 {
			t.Errorf("epoch %d: factor %v, want %v", epoch, got, w)
		}
		if lr, _ := s.group(Group{LR: 0.2, Momentum: 0.9}, epoch*3, epoch); math.Abs(lr-0.2*w) > 1e-12 {
			t.Errorf("epoch %d: rate %v", epoch, lr)
		}
	}
	c.Phases = []Phase{{Epochs: 0, LR: 1}}
	if c.Validate() == nil {
		t.Error("a phase without epochs passes")
	}
}
