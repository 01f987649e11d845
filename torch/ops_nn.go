package torch

// #include "shim.h"
import "C"

import (
	"github.com/sugarme/gotch/libtch"
)

// ConvOptions are the geometry of a convolution. Zero stride, dilation and
// groups mean 1.
type ConvOptions struct {
	Stride, Padding, Dilation [2]int64
	OutputPadding             [2]int64 // of transposed convolutions
	Groups                    int64
}

func (o ConvOptions) normal() ConvOptions {
	for i := range 2 {
		o.Stride[i] = max(o.Stride[i], 1)
		o.Dilation[i] = max(o.Dilation[i], 1)
	}
	o.Groups = max(o.Groups, 1)
	return o
}

// Conv2d convolves (N, C, H, W) with kernels w (out, C/groups, kh, kw); bias may be nil.
func (t *Tensor) Conv2d(w, bias *Tensor, o ConvOptions) *Tensor {
	o = o.normal()
	return apply("conv2d", func(out *ctensor) {
		libtch.AtgConv2d(out, t.c, w.c, bias.raw(), o.Stride[:], 2, o.Padding[:], 2, o.Dilation[:], 2, o.Groups)
	}, t, w, bias)
}

// ConvTranspose2d is the gradient of Conv2d, with kernels w (C, out/groups, kh, kw).
func (t *Tensor) ConvTranspose2d(w, bias *Tensor, o ConvOptions) *Tensor {
	o = o.normal()
	return apply("conv_transpose2d", func(out *ctensor) {
		libtch.AtgConvTranspose2d(out, t.c, w.c, bias.raw(), o.Stride[:], 2, o.Padding[:], 2, o.OutputPadding[:], 2, o.Groups, o.Dilation[:], 2)
	}, t, w, bias)
}

// BatchNorm normalises by the batch's statistics (training, updating mean and
// variance in place) or by the running ones. All of shape (C).
func (t *Tensor) BatchNorm(weight, bias, mean, variance *Tensor, training bool, momentum, eps float64) *Tensor {
	return apply("batch_norm", func(out *ctensor) {
		libtch.AtgBatchNorm(out, t.c, weight.raw(), bias.raw(), mean.raw(), variance.raw(), int32(boolInt(training)), momentum, eps, 1)
	}, t, weight, bias, mean, variance)
}

// LayerNorm normalises over the last dimensions, whose shape is given.
func (t *Tensor) LayerNorm(shape []int64, weight, bias *Tensor, eps float64) *Tensor {
	return apply("layer_norm", func(out *ctensor) {
		libtch.AtgLayerNorm(out, t.c, shape, len(shape), weight.raw(), bias.raw(), eps, 1)
	}, t, weight, bias)
}

// GroupNorm normalises over groups of channels.
func (t *Tensor) GroupNorm(groups int64, weight, bias *Tensor, eps float64) *Tensor {
	return apply("group_norm", func(out *ctensor) {
		libtch.AtgGroupNorm(out, t.c, groups, weight.raw(), bias.raw(), eps, 1)
	}, t, weight, bias)
}

// Linear is t·wᵀ + bias with w (out, in); bias may be nil.
func (t *Tensor) Linear(w, bias *Tensor) *Tensor {
	return apply("linear", func(out *ctensor) { libtch.AtgLinear(out, t.c, w.c, bias.raw()) }, t, w, bias)
}

// Embedding takes rows of w (count, width) by the indices in t.
func (t *Tensor) Embedding(w *Tensor) *Tensor {
	return apply("embedding", func(out *ctensor) { libtch.AtgEmbedding(out, w.c, t.c, -1, 0, 0) }, t, w)
}

// Attention is softmax(q·kᵀ/√d + mask)·v for (N, heads, length, d); mask may be nil.
func Attention(q, k, v, mask *Tensor, dropout float64) *Tensor {
	in := []*Tensor{q, k, v, mask}
	return runOf(in).shim("scaled_dot_product_attention", in, func(out *C.wt_tensor) *C.char {
		return C.wt_attention(out, q.ptr(), k.ptr(), v.ptr(), mask.ptr(), C.double(dropout))
	})
}

// Dropout zeroes elements with probability p in training and scales the rest.
func (t *Tensor) Dropout(p float64, training bool) *Tensor {
	return apply("dropout", func(out *ctensor) { libtch.AtgDropout(out, t.c, p, int32(boolInt(training))) }, t)
}

// MaxPool2d takes the maximum in windows of k×k.
func (t *Tensor) MaxPool2d(k, stride, padding int64) *Tensor {
	return apply("max_pool2d", func(out *ctensor) {
		libtch.AtgMaxPool2d(out, t.c, []int64{k, k}, 2, []int64{stride, stride}, 2, []int64{padding, padding}, 2, []int64{1, 1}, 2, 0)
	}, t)
}

// AvgPool2d takes the mean in windows of k×k, padding included.
func (t *Tensor) AvgPool2d(k, stride, padding int64) *Tensor {
	return apply("avg_pool2d", func(out *ctensor) {
		libtch.AtgAvgPool2d(out, t.c, []int64{k, k}, 2, []int64{stride, stride}, 2, []int64{padding, padding}, 2, 0, 1, 0, 1)
	}, t)
}

// AdaptiveAvgPool2d takes means such that the result is h×w.
func (t *Tensor) AdaptiveAvgPool2d(h, w int64) *Tensor {
	return apply("adaptive_avg_pool2d", func(out *ctensor) {
		libtch.AtgAdaptiveAvgPool2d(out, t.c, []int64{h, w}, 2)
	}, t)
}

// Interpolation is a way to resample a picture.
type Interpolation int

// The ways to resample.
const (
	Nearest Interpolation = iota
	Bilinear
	Bicubic
)

// InterpolateOptions refine Interpolate.
type InterpolateOptions struct {
	Mode         Interpolation
	AlignCorners bool
	Antialias    bool
	ScaleH       float64 // the factor that PyTorch would use instead of the sizes' ratio; 0 for the ratio
	ScaleW       float64
}

// Interpolate resamples (N, C, H, W) to h×w.
func (t *Tensor) Interpolate(h, w int64, o InterpolateOptions) *Tensor {
	in := []*Tensor{t}
	return runOf(in).shim("interpolate", in, func(out *C.wt_tensor) *C.char {
		return C.wt_interpolate(out, t.ptr(), C.int64_t(h), C.int64_t(w), C.double(o.ScaleH), C.double(o.ScaleW), C.int(o.Mode), boolInt(o.AlignCorners), boolInt(o.Antialias))
	})
}

// GridSample samples t bilinearly at grid (N, H, W, 2) in −1..1, zeros outside.
func (t *Tensor) GridSample(grid *Tensor, alignCorners bool) *Tensor {
	return apply("grid_sampler", func(out *ctensor) {
		libtch.AtgGridSampler(out, t.c, grid.c, 0, 0, int32(boolInt(alignCorners)))
	}, t, grid)
}

// Reduction says what a loss does with its elements.
type Reduction int64

// The reductions, numbered as libtorch does.
const (
	None Reduction = iota
	Mean
	Sum
)

// BCEWithLogits is the binary cross entropy of logits t against targets in 0..1.
// weight and posWeight may be nil.
func (t *Tensor) BCEWithLogits(target, weight, posWeight *Tensor, r Reduction) *Tensor {
	return apply("binary_cross_entropy_with_logits", func(out *ctensor) {
		libtch.AtgBinaryCrossEntropyWithLogits(out, t.c, target.c, weight.raw(), posWeight.raw(), int64(r))
	}, t, target, weight, posWeight)
}

// CrossEntropy is the loss of logits (N, C, …) against classes (Int64) or
// probabilities of the same shape; weight (C) may be nil.
func (t *Tensor) CrossEntropy(target, weight *Tensor, r Reduction, smoothing float64) *Tensor {
	in := []*Tensor{t, target, weight}
	return runOf(in).shim("cross_entropy", in, func(out *C.wt_tensor) *C.char {
		return C.wt_cross_entropy(out, t.ptr(), target.ptr(), weight.ptr(), C.int(r), C.double(smoothing))
	})
}

// SmoothL1 is the Huber-like loss with the quadratic part below beta.
func (t *Tensor) SmoothL1(target *Tensor, r Reduction, beta float64) *Tensor {
	return apply("smooth_l1_loss", func(out *ctensor) { libtch.AtgSmoothL1Loss(out, t.c, target.c, int64(r), beta) }, t, target)
}

// L1 is the absolute error.
func (t *Tensor) L1(target *Tensor, r Reduction) *Tensor {
	return apply("l1_loss", func(out *ctensor) { libtch.AtgL1Loss(out, t.c, target.c, int64(r)) }, t, target)
}

// MSE is the squared error.
func (t *Tensor) MSE(target *Tensor, r Reduction) *Tensor {
	return apply("mse_loss", func(out *ctensor) { libtch.AtgMseLoss(out, t.c, target.c, int64(r)) }, t, target)
}
