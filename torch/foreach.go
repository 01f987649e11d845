package torch

// #include "shim_optim.h"
import "C"

import "fmt"

// The operations of this file work on lists of tensors in one call, in place
// and without gradient. Parameters without a gradient are left alone.

// HasGrads reports which of ts have a gradient.
func HasGrads(ts []*Tensor) ([]bool, error) {
	has := make([]bool, len(ts))
	if len(ts) == 0 {
		return has, nil
	}
	raw := make([]C.uchar, len(ts))
	ptrs := ptrsOf(ts)
	err := do("has_grads", ts, func() *C.char { return C.wt_has_grads(&ptrs[0], C.int(len(ptrs)), &raw[0]) })
	for i, b := range raw {
		has[i] = b != 0
	}
	return has, err
}

// GradNorm returns the L2 norm over the gradients of all ts, in their own
// precision, and whether every gradient is finite. It waits for the device.
func GradNorm(ts []*Tensor) (norm float64, finite bool, err error) {
	if len(ts) == 0 {
		return 0, true, nil
	}
	var n C.double
	var ok C.int
	ptrs := ptrsOf(ts)
	err = do("grad_norm", ts, func() *C.char { return C.wt_grad_norm(&ptrs[0], C.int(len(ptrs)), &n, &ok) })
	return float64(n), ok != 0, err
}

// ScaleGrads multiplies the gradients of ts by factor.
func ScaleGrads(ts []*Tensor, factor float64) error {
	if len(ts) == 0 {
		return nil
	}
	ptrs := ptrsOf(ts)
	return do("scale_grads", ts, func() *C.char { return C.wt_grad_scale(&ptrs[0], C.int(len(ptrs)), C.double(factor)) })
}

// ClipGradNorm scales the gradients of ts down such that their norm, as
// GradNorm returned it, does not exceed limit: torch.nn.utils.clip_grad_norm_.
func ClipGradNorm(ts []*Tensor, norm, limit float64) error {
	// PyTorch computes the coefficient in float32, as a reciprocal times the limit
	coef := 1 / (float32(norm) + 1e-6) * float32(limit)
	if coef >= 1 {
		return nil
	}
	return ScaleGrads(ts, float64(coef))
}

// ClipGradValue limits every element of the gradients of ts to ±limit.
func ClipGradValue(ts []*Tensor, limit float64) error {
	if len(ts) == 0 {
		return nil
	}
	ptrs := ptrsOf(ts)
	return do("clip_grad_value", ts, func() *C.char { return C.wt_grad_clamp(&ptrs[0], C.int(len(ptrs)), C.double(limit)) })
}

// SGDOptions are the settings of StepSGD.
type SGDOptions struct {
	LR, Momentum, Decay float64
	Nesterov            bool
}

// StepSGD is one step of torch.optim.SGD. The momentum buffers are zero before
// the first step and stay untouched while Momentum is zero.
func StepSGD(params, buffers []*Tensor, o SGDOptions) error {
	ps, err := lists("sgd", params, buffers)
	if err != nil || len(params) == 0 {
		return err
	}
	return do("sgd", params, func() *C.char {
		return C.wt_sgd(&ps[0][0], &ps[1][0], C.int(len(params)), C.double(o.LR), C.double(o.Momentum), C.double(o.Decay), boolInt(o.Nesterov))
	})
}

// MuonOptions are the settings of StepMuon.
type MuonOptions struct {
	LR, Momentum float64
	Nesterov     bool
}

// StepMuon is one step of torch.optim.Muon without decay (Jordan et al. 2024): the
// averaged gradient's nearest matrix with orthonormal rows or columns, by five
// Newton-Schulz steps in bfloat16, times √max(1, rows/columns). Kernels count as
// matrices of one row per output channel; parameters have at least two dimensions.
func StepMuon(params, buffers []*Tensor, o MuonOptions) error {
	ps, err := lists("muon", params, buffers)
	if err != nil || len(params) == 0 {
		return err
	}
	return do("muon", params, func() *C.char {
		return C.wt_muon(&ps[0][0], &ps[1][0], C.int(len(params)), C.double(o.LR), C.double(o.Momentum), boolInt(o.Nesterov))
	})
}

// AdamOptions are the settings of StepAdam.
type AdamOptions struct {
	LR, Beta1, Beta2, Eps, Decay float64
	Decoupled                    bool // AdamW: the decay does not pass through the moments
}

// StepAdam is one step of torch.optim.Adam or AdamW. The moments are zero before
// the first step; steps count this step already, from 1, for each parameter.
func StepAdam(params, avg, avgSq []*Tensor, steps []int64, o AdamOptions) error {
	ps, err := lists("adam", params, avg, avgSq)
	if err == nil && len(steps) != len(params) {
		err = fmt.Errorf("torch: adam: %d step counters for %d parameters", len(steps), len(params))
	}
	if err != nil || len(params) == 0 {
		return err
	}
	return do("adam", params, func() *C.char {
		return C.wt_adam(&ps[0][0], &ps[1][0], &ps[2][0], (*C.int64_t)(&steps[0]), C.int(len(params)),
			C.double(o.LR), C.double(o.Beta1), C.double(o.Beta2), C.double(o.Eps), C.double(o.Decay), boolInt(o.Decoupled))
	})
}

// RMSpropOptions are the settings of StepRMSprop.
type RMSpropOptions struct{ LR, Alpha, Eps, Momentum, Decay float64 }

// StepRMSprop is one step of torch.optim.RMSprop (not centred).
func StepRMSprop(params, avgSq, buffers []*Tensor, o RMSpropOptions) error {
	ps, err := lists("rmsprop", params, avgSq, buffers)
	if err != nil || len(params) == 0 {
		return err
	}
	return do("rmsprop", params, func() *C.char {
		return C.wt_rmsprop(&ps[0][0], &ps[1][0], &ps[2][0], C.int(len(params)),
			C.double(o.LR), C.double(o.Alpha), C.double(o.Eps), C.double(o.Momentum), C.double(o.Decay))
	})
}

// EMA folds src into the moving averages dst: dst = decay·dst + (1−decay)·src.
// Tensors that are not floating are copied.
func EMA(dst, src []*Tensor, decay float64) error {
	ps, err := lists("ema", dst, src)
	if err != nil || len(dst) == 0 {
		return err
	}
	return do("ema", dst, func() *C.char { return C.wt_ema(&ps[0][0], &ps[1][0], C.int(len(dst)), C.double(decay)) })
}

// Swap exchanges the data of a[i] and b[i], which keep their identity as
// parameters. Shapes and types must be equal.
func Swap(a, b []*Tensor) error {
	ps, err := lists("swap", a, b)
	if err != nil || len(a) == 0 {
		return err
	}
	return do("swap", a, func() *C.char { return C.wt_swap(&ps[0][0], &ps[1][0], C.int(len(a))) })
}

// ZerosLike makes a tensor of zeros in s with shape, type, device and layout of t.
func (s *Scope) ZerosLike(t *Tensor) *Tensor { return s.like("zeros_like", t, false) }

// Copy makes a tensor in s with the data and layout of t and no history.
func (s *Scope) Copy(t *Tensor) *Tensor { return s.like("clone", t, true) }

func (s *Scope) like(op string, t *Tensor, data bool) *Tensor {
	call := func(out *C.wt_tensor) *C.char {
		if data {
			return C.wt_clone(out, t.ptr())
		}
		return C.wt_zeros_like(out, t.ptr())
	}
	if s.r != nil {
		return s.r.shim(op, []*Tensor{t}, call)
	}
	if !t.Valid() {
		panic(newError(op, errClosed.Error()))
	}
	return s.create(op, call)
}

// lists returns the handles of lists of one length, all of them alive.
func lists(op string, ts ...[]*Tensor) ([][]C.wt_tensor, error) {
	out := make([][]C.wt_tensor, len(ts))
	for i, list := range ts {
		if len(list) != len(ts[0]) {
			return nil, fmt.Errorf("torch: %s: lists of %d and %d tensors", op, len(ts[0]), len(list))
		}
		for j, t := range list {
			if !t.Valid() {
				return nil, fmt.Errorf("torch: %s: tensor %d of list %d: %w", op, j, i, errClosed)
			}
		}
		out[i] = ptrsOf(list)
	}
	return out, nil
}
