package classification

import (
	"errors"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// The kinds of Loss.
const (
	CrossEntropy = "cross_entropy" // of a softmax
	BCE          = "bce"           // a sigmoid per class, each against its own target
	Focal        = "focal"         // cross entropy, or BCE for multi-label, with easy examples weighing less
)

// The ways to weigh classes by their number of training samples, n of N in K
// classes. A class without samples weighs nothing.
const (
	Unweighted    = "none"
	Balanced      = "balanced"       // N/(K·n), as scikit-learn's "balanced"
	ClassBalanced = "class_balanced" // (1−β)/(1−βⁿ), the inverse effective number of samples, summing to K
)

// Loss is what training minimises. Zero means zero: take DefaultLoss and change it.
type Loss struct {
	Kind      string  // "" takes CrossEntropy, and BCE for multi-label
	Smoothing float64 // share of the target that goes to all classes alike
	Gamma     float64 // of Focal: how fast easy examples lose weight
	Alpha     float64 // of Focal with sigmoids: weight of the positives, the negatives get the rest; negative for none
	Weights   string  // Unweighted, Balanced or ClassBalanced
	Beta      float64 // of ClassBalanced
	Counts    []int   // samples per class in the whole training set, for Weights
}

// DefaultLoss returns plain cross entropy; with Kind changed to Focal it has the
// paper's γ = 2 and α = 0.25, with Weights changed to ClassBalanced β = 0.999.
func DefaultLoss() Loss {
	return Loss{Gamma: 2, Alpha: 0.25, Weights: Unweighted, Beta: 0.999}
}

// kind resolves "".
func (l Loss) kind(multiLabel bool) string {
	switch {
	case l.Kind != "":
		return l.Kind
	case multiLabel:
		return BCE
	}
	return CrossEntropy
}

func (l Loss) validate(classes int, multiLabel bool) error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("classification: loss: "+format, args...))
		}
	}
	k := l.kind(multiLabel)
	check(k == CrossEntropy || k == BCE || k == Focal, "kind %q: want %q, %q or %q", k, CrossEntropy, BCE, Focal)
	check(k != CrossEntropy || !multiLabel, "cross entropy knows one class per picture: multi-label wants %q or %q", BCE, Focal)
	check(l.Smoothing >= 0 && l.Smoothing < 1, "smoothing %g is not in 0..1", l.Smoothing)
	check(l.Gamma >= 0, "gamma %g is below 0", l.Gamma)
	check(l.Alpha <= 1, "alpha %g is above 1", l.Alpha)
	switch l.Weights {
	case Unweighted, "":
	case Balanced, ClassBalanced:
		check(len(l.Counts) == classes, "weights %q: %d sample counts for %d classes", l.Weights, len(l.Counts), classes)
		check(l.Weights == Balanced || l.Beta >= 0 && l.Beta < 1, "beta %g is not in 0..1", l.Beta)
	default:
		check(false, "weights %q: want %q, %q or %q", l.Weights, Unweighted, Balanced, ClassBalanced)
	}
	return errors.Join(errs...)
}

// ClassWeights are the weights that Weights, Beta and Counts give, nil for none.
func (l Loss) ClassWeights() []float32 {
	if l.Weights != Balanced && l.Weights != ClassBalanced {
		return nil
	}
	var raw []float64
	samples, present, sum := 0, 0, 0.0
	for _, n := range l.Counts {
		samples += n
		if n > 0 {
			present++
		}
	}
	for _, n := range l.Counts {
		w := 0.0
		switch {
		case n <= 0:
		case l.Weights == Balanced:
			w = float64(samples) / float64(present*n)
		default:
			w = (1 - l.Beta) / (1 - math.Pow(l.Beta, float64(n)))
		}
		raw, sum = append(raw, w), sum+w
	}
	out := make([]float32, len(raw))
	for i, w := range raw {
		if l.Weights == ClassBalanced && sum > 0 {
			w *= float64(present) / sum
		}
		out[i] = float32(w)
	}
	return out
}

// targets are what a batch is to learn: one class per sample, or a share of
// every class.
type targets struct {
	class []int64   // nil where shares are needed
	share []float32 // (N, classes)
}

// read takes the targets out of the samples. A sample without any is background.
func (m *Classifier) read(samples []wildtrain.Sample) (targets, error) {
	classes := len(m.cfg.Classes)
	t := targets{class: make([]int64, len(samples)), share: make([]float32, len(samples)*classes)}
	plain := !m.cfg.MultiLabel
	for i, s := range samples {
		if len(s.Targets) == 0 && m.background >= 0 {
			s.Targets = []wildtrain.Target{{Class: m.background, Weight: 1}}
		}
		sum := 0.0
		for _, g := range s.Targets {
			if g.Class < 0 || g.Class >= classes {
				return t, fmt.Errorf("classification: sample %s: class %d of %d", s.ID, g.Class, classes)
			}
			t.class[i] = int64(g.Class)
			t.share[i*classes+g.Class] += g.Weight
			sum += float64(g.Weight)
		}
		plain = plain && len(s.Targets) == 1
		if !m.cfg.MultiLabel && math.Abs(sum-1) > 1e-3 {
			return t, fmt.Errorf("classification: sample %s: the weights of its %d classes sum to %g, want 1 (several classes in one picture need multi_label, none a background class)", s.ID, len(s.Targets), sum)
		}
	}
	if !plain {
		t.class = nil
	}
	return t, nil
}

// loss is the mean loss of logits (N, classes) against t; weight (classes) may be nil.
func (l Loss) loss(logits *torch.Tensor, t targets, weight *torch.Tensor, multiLabel bool) *torch.Tensor {
	s := logits.Scope()
	n, classes := logits.Size(0), logits.Size(1)
	logits = logits.To(torch.Float) // mixed precision is too coarse for a sum of exponentials
	kind := l.kind(multiLabel)
	if kind == CrossEntropy {
		if t.class != nil {
			return logits.CrossEntropy(torch.Of(s, t.class, n), weight, torch.Mean, l.Smoothing)
		}
		return logits.CrossEntropy(torch.Of(s, t.share, n, classes), weight, torch.Mean, l.Smoothing)
	}
	share := torch.Of(s, t.share, n, classes)
	if l.Smoothing > 0 {
		share = share.MulScalar(1 - l.Smoothing).AddScalar(l.Smoothing / float64(classes))
	}
	switch {
	case kind == BCE:
		return logits.BCEWithLogits(share, weight, nil, torch.Mean)
	case multiLabel:
		return l.sigmoidFocal(logits, share, weight)
	}
	return l.softmaxFocal(logits, share, t.class, weight)
}

// softmaxFocal is −Σ share·(1−p)^γ·ln p, weighted and averaged like cross entropy:
// over the sum of weights of plain targets, over the samples of mixed ones.
func (l Loss) softmaxFocal(logits, share *torch.Tensor, class []int64, weight *torch.Tensor) *torch.Tensor {
	logp := logits.LogSoftmax(1)
	each := logp.Exp().ScalarMinus(1).Clamp(0, 1).PowScalar(l.Gamma).Mul(logp).Mul(share).Neg()
	if weight == nil {
		return each.Sum().DivScalar(float64(logits.Size(0)))
	}
	sum := each.Mul(weight).Sum()
	if class == nil {
		return sum.DivScalar(float64(logits.Size(0)))
	}
	s := logits.Scope()
	return sum.Div(s.Borrow(weight).IndexSelect(0, torch.Of(s, class, logits.Size(0))).Sum())
}

// sigmoidFocal is the mean of α(1−p)^γ·BCE over pictures and classes.
func (l Loss) sigmoidFocal(logits, share, weight *torch.Tensor) *torch.Tensor {
	p := logits.Sigmoid()
	bce := logits.BCEWithLogits(share, weight, nil, torch.None)
	right := p.Mul(share).Add(p.ScalarMinus(1).Mul(share.ScalarMinus(1)))
	loss := bce.Mul(right.ScalarMinus(1).Clamp(0, 1).PowScalar(l.Gamma))
	if l.Alpha >= 0 {
		loss = loss.Mul(share.MulScalar(2*l.Alpha - 1).AddScalar(1 - l.Alpha))
	}
	return loss.Mean()
}
