package nn

import (
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Module maps one tensor to one.
type Module interface {
	Forward(x *torch.Tensor) *torch.Tensor
}

// Func makes a Module of a function.
type Func func(x *torch.Tensor) *torch.Tensor

// Forward implements Module.
func (f Func) Forward(x *torch.Tensor) *torch.Tensor { return f(x) }

// Sequential applies modules in order and frees each one's input as soon as the
// next has its own. Modules must not keep what they are given.
type Sequential []Module

// Forward implements Module.
func (s Sequential) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		y := x
		for _, m := range s {
			before := y
			if y = m.Forward(before); before != x && before != y {
				before.Free()
			}
		}
		return y
	})
}

// Activations as modules.
var (
	Identity    = Func(func(x *torch.Tensor) *torch.Tensor { return x })
	SiLU        = Func((*torch.Tensor).SiLU)
	ReLU        = Func((*torch.Tensor).ReLU)
	ReLU6       = Func((*torch.Tensor).ReLU6)
	GELU        = Func((*torch.Tensor).GELU)
	Sigmoid     = Func((*torch.Tensor).Sigmoid)
	Tanh        = Func((*torch.Tensor).Tanh)
	HardSwish   = Func((*torch.Tensor).HardSwish)
	HardSigmoid = Func((*torch.Tensor).HardSigmoid)
	Mish        = Func((*torch.Tensor).Mish)
)

// LeakyReLU returns the activation of the given negative slope.
func LeakyReLU(slope float64) Func {
	return func(x *torch.Tensor) *torch.Tensor { return x.LeakyReLU(slope) }
}

// Conv2d is a convolution layer: weight (out, in/groups, k, k), bias (out).
type Conv2d struct {
	Weight, Bias *torch.Tensor // Bias is nil without
	Options      torch.ConvOptions
}

// Conv2dConfig describes a convolution with square kernels.
type Conv2dConfig struct {
	In, Out, Kernel          int64
	Stride, Dilation, Groups int64 // 0 means 1
	Padding                  int64
	NoBias                   bool
	WeightInit, BiasInit     Init // nil for PyTorch's defaults
}

// NewConv2d builds a convolution.
func NewConv2d(b *Builder, c Conv2dConfig) *Conv2d {
	groups := max(c.Groups, 1)
	fan := c.In / groups * c.Kernel * c.Kernel
	if c.WeightInit == nil {
		c.WeightInit = KaimingUniform(fan)
	}
	if c.BiasInit == nil {
		c.BiasInit = BiasUniform(fan)
	}
	l := &Conv2d{Weight: b.Parameter("weight", wildtrain.Weights, c.WeightInit, c.Out, c.In/groups, c.Kernel, c.Kernel)}
	if !c.NoBias {
		l.Bias = b.Parameter("bias", wildtrain.Biases, c.BiasInit, c.Out)
	}
	l.Options = torch.ConvOptions{
		Stride: [2]int64{max(c.Stride, 1), max(c.Stride, 1)}, Padding: [2]int64{c.Padding, c.Padding},
		Dilation: [2]int64{max(c.Dilation, 1), max(c.Dilation, 1)}, Groups: groups,
	}
	return l
}

// Forward implements Module: (N, in, H, W) → (N, out, H', W').
func (l *Conv2d) Forward(x *torch.Tensor) *torch.Tensor { return x.Conv2d(l.Weight, l.Bias, l.Options) }

// ConvTranspose2d is a transposed convolution with weight (in, out, k, k).
type ConvTranspose2d struct {
	Weight, Bias *torch.Tensor
	Options      torch.ConvOptions
}

// NewConvTranspose2d builds a transposed convolution.
func NewConvTranspose2d(b *Builder, c Conv2dConfig) *ConvTranspose2d {
	groups := max(c.Groups, 1)
	fan := c.Out / groups * c.Kernel * c.Kernel // PyTorch counts the second dimension
	if c.WeightInit == nil {
		c.WeightInit = KaimingUniform(fan)
	}
	if c.BiasInit == nil {
		c.BiasInit = BiasUniform(fan)
	}
	l := &ConvTranspose2d{Weight: b.Parameter("weight", wildtrain.Weights, c.WeightInit, c.In, c.Out/groups, c.Kernel, c.Kernel)}
	if !c.NoBias {
		l.Bias = b.Parameter("bias", wildtrain.Biases, c.BiasInit, c.Out)
	}
	l.Options = torch.ConvOptions{Stride: [2]int64{max(c.Stride, 1), max(c.Stride, 1)}, Padding: [2]int64{c.Padding, c.Padding}, Groups: groups}
	return l
}

// Forward implements Module.
func (l *ConvTranspose2d) Forward(x *torch.Tensor) *torch.Tensor {
	return x.ConvTranspose2d(l.Weight, l.Bias, l.Options)
}

// BatchNorm2d normalises channels by batch statistics in training (Ioffe and
// Szegedy 2015) and by running ones in evaluation or when frozen.
type BatchNorm2d struct {
	Weight, Bias, Mean, Var, Batches *torch.Tensor
	Eps, Momentum                    float64
	store                            *Store
	name                             string
}

// NewBatchNorm2d builds the layer; PyTorch's defaults are eps 1e-5, momentum 0.1.
func NewBatchNorm2d(b *Builder, channels int64, eps, momentum float64) *BatchNorm2d {
	return NewBatchNorm2dFrom(b, channels, eps, momentum, 1)
}

// NewBatchNorm2dFrom is NewBatchNorm2d with weights that begin with another value
// than 1: with 0 the residual branch that it ends says nothing at first (Goyal et
// al. 2017, arXiv 1706.02677, §5.1).
func NewBatchNorm2dFrom(b *Builder, channels int64, eps, momentum, weight float64) *BatchNorm2d {
	return &BatchNorm2d{
		Weight:  b.Parameter("weight", wildtrain.Norms, Fill(weight), channels),
		Bias:    b.Parameter("bias", wildtrain.Biases, Fill(0), channels),
		Mean:    b.Buffer("running_mean", torch.Float, 0, channels),
		Var:     b.Buffer("running_var", torch.Float, 1, channels),
		Batches: b.Buffer("num_batches_tracked", torch.Int64, 0),
		Eps:     eps, Momentum: momentum, store: b.Store(), name: b.prefix + "weight",
	}
}

// Forward implements Module.
func (l *BatchNorm2d) Forward(x *torch.Tensor) *torch.Tensor {
	training := x.Training() && !l.store.Frozen(l.name)
	if training {
		// it can fail only where the store is closed, and then the next line fails too
		_ = l.Batches.AddAssign(l.store.one(), 1)
	}
	return x.BatchNorm(l.Weight, l.Bias, l.Mean, l.Var, training, l.Momentum, l.Eps)
}

// one is the constant by which the counters grow.
func (s *Store) one() *torch.Tensor {
	if s.unit == nil {
		s.unit = s.root.Ones(torch.Int64)
	}
	return s.unit
}

// LayerNorm normalises over the last dimension of length width.
type LayerNorm struct {
	Weight, Bias *torch.Tensor
	Width        int64
	Eps          float64
}

// NewLayerNorm builds the layer; PyTorch's default eps is 1e-5.
func NewLayerNorm(b *Builder, width int64, eps float64) *LayerNorm {
	return &LayerNorm{
		Weight: b.Parameter("weight", wildtrain.Norms, Fill(1), width),
		Bias:   b.Parameter("bias", wildtrain.Biases, Fill(0), width),
		Width:  width, Eps: eps,
	}
}

// Forward implements Module.
func (l *LayerNorm) Forward(x *torch.Tensor) *torch.Tensor {
	return x.LayerNorm([]int64{l.Width}, l.Weight, l.Bias, l.Eps)
}

// Linear is x·Wᵀ + b.
type Linear struct{ Weight, Bias *torch.Tensor }

// NewLinear builds the layer with PyTorch's default initialisation.
func NewLinear(b *Builder, in, out int64, bias bool) *Linear {
	if bias {
		return NewLinearFrom(b, in, out, nil, nil)
	}
	return &Linear{Weight: b.Parameter("weight", wildtrain.Weights, KaimingUniform(in), out, in)}
}

// NewLinearFrom builds the layer, with a bias, and other initialisations than
// PyTorch's; nil stands for that.
func NewLinearFrom(b *Builder, in, out int64, weight, bias Init) *Linear {
	if weight == nil {
		weight = KaimingUniform(in)
	}
	if bias == nil {
		bias = BiasUniform(in)
	}
	return &Linear{
		Weight: b.Parameter("weight", wildtrain.Weights, weight, out, in),
		Bias:   b.Parameter("bias", wildtrain.Biases, bias, out),
	}
}

// Forward implements Module.
func (l *Linear) Forward(x *torch.Tensor) *torch.Tensor { return x.Linear(l.Weight, l.Bias) }

// Embedding is a table of vectors, looked up by Int64 indices.
type Embedding struct{ Weight *torch.Tensor }

// NewEmbedding builds a table of count vectors, N(0, 1) as PyTorch.
func NewEmbedding(b *Builder, count, width int64) *Embedding {
	return &Embedding{Weight: b.Parameter("weight", wildtrain.Weights, NormalInit(0, 1), count, width)}
}

// Forward implements Module.
func (l *Embedding) Forward(index *torch.Tensor) *torch.Tensor { return index.Embedding(l.Weight) }

// Dropout drops elements in training.
type Dropout struct{ P float64 }

// Forward implements Module.
func (l Dropout) Forward(x *torch.Tensor) *torch.Tensor {
	if l.P == 0 || !x.Training() {
		return x
	}
	return x.Dropout(l.P, true)
}

// DropPath drops whole residual branches per sample in training (stochastic
// depth, Huang et al. 2016), scaling the rest.
type DropPath struct{ P float64 }

// Forward implements Module.
func (l DropPath) Forward(x *torch.Tensor) *torch.Tensor {
	if l.P == 0 || !x.Training() {
		return x
	}
	shape := make([]int64, x.Dim())
	for i := range shape {
		shape[i] = 1
	}
	shape[0] = x.Size(0)
	// dropout of ones is the Bernoulli mask already divided by 1−p
	return x.Mul(x.Scope().Ones(x.DType(), shape...).Dropout(l.P, true))
}

// Upsample enlarges by an integer factor with nearest neighbours.
type Upsample struct{ Factor int64 }

// Forward implements Module.
func (l Upsample) Forward(x *torch.Tensor) *torch.Tensor {
	s := x.Shape()
	if len(s) != 4 {
		return x.Interpolate(0, 0, torch.InterpolateOptions{})
	}
	return x.Interpolate(s[2]*l.Factor, s[3]*l.Factor, torch.InterpolateOptions{ScaleH: float64(l.Factor), ScaleW: float64(l.Factor)})
}

// MaxPool2d takes maxima in square windows.
type MaxPool2d struct{ Kernel, Stride, Padding int64 }

// Forward implements Module.
func (l MaxPool2d) Forward(x *torch.Tensor) *torch.Tensor {
	return x.MaxPool2d(l.Kernel, l.Stride, l.Padding)
}

// MultiheadAttention is Vaswani et al. 2017 with PyTorch's parameter names
// (in_proj_weight, in_proj_bias, out_proj) and batch first.
type MultiheadAttention struct {
	InWeight, InBias *torch.Tensor
	Out              *Linear
	Heads, Width     int64
	Dropout          float64
}

// NewMultiheadAttention builds the layer; heads must divide width.
func NewMultiheadAttention(b *Builder, width, heads int64, dropout float64) *MultiheadAttention {
	m := &MultiheadAttention{Heads: heads, Width: width, Dropout: dropout}
	// PyTorch's order of drawing, so that equal seeds give equal weights: it makes
	// the output layer first and only then sets its bias to zero
	m.Out = &Linear{
		Weight: b.Sub("out_proj").Parameter("weight", wildtrain.Weights, KaimingUniform(width), width, width),
		Bias:   b.Sub("out_proj").Parameter("bias", wildtrain.Biases, inOrder(BiasUniform(width), Fill(0)), width),
	}
	m.InWeight = b.Parameter("in_proj_weight", wildtrain.Weights, XavierUniform(width, 3*width), 3*width, width)
	m.InBias = b.Parameter("in_proj_bias", wildtrain.Biases, Fill(0), 3*width)
	return m
}

// Attend maps queries (N, L, width) over keys and values (N, S, width); mask
// (broadcast to N, heads, L, S) is added to the scores and may be nil.
func (m *MultiheadAttention) Attend(q, k, v, mask *torch.Tensor) *torch.Tensor {
	return q.Sub(func() *torch.Tensor {
		s := q.Scope()
		w, bias := s.Borrow(m.InWeight), s.Borrow(m.InBias)
		part := func(x *torch.Tensor, i int64) *torch.Tensor {
			y := x.Linear(w.Narrow(0, i*m.Width, m.Width), bias.Narrow(0, i*m.Width, m.Width))
			return y.View(x.Size(0), x.Size(1), m.Heads, m.Width/m.Heads).Transpose(1, 2)
		}
		return m.join(part(q, 0), part(k, 1), part(v, 2), mask)
	})
}

// Forward attends x to itself, with one product for queries, keys and values.
func (m *MultiheadAttention) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		n, length := x.Size(0), x.Size(1)
		all := x.Linear(m.InWeight, m.InBias).Reshape(n, length, 3, m.Heads, m.Width/m.Heads).Permute(2, 0, 3, 1, 4)
		return m.join(all.Select(0, 0), all.Select(0, 1), all.Select(0, 2), nil)
	})
}

// join attends (N, heads, L, width/heads) and joins the heads.
func (m *MultiheadAttention) join(q, k, v, mask *torch.Tensor) *torch.Tensor {
	p := 0.0
	if q.Training() {
		p = m.Dropout
	}
	y := torch.Attention(q, k, v, mask, p)
	return m.Out.Forward(y.Transpose(1, 2).Reshape(q.Size(0), q.Size(2), m.Width))
}

// MakeDivisible rounds width up to a multiple of divisor.
func MakeDivisible(width float64, divisor int64) int64 {
	return int64(math.Ceil(width/float64(divisor))) * divisor
}

// FrozenBatchNorm2d normalises by statistics and affine parameters that never
// change, all of them buffers: what detectors use in pretrained backbones. It
// has no counter; a source's num_batches_tracked is not asked for.
type FrozenBatchNorm2d struct {
	Weight, Bias, Mean, Var *torch.Tensor
	Eps                     float64
}

// NewFrozenBatchNorm2d builds the layer.
func NewFrozenBatchNorm2d(b *Builder, channels int64, eps float64) *FrozenBatchNorm2d {
	return &FrozenBatchNorm2d{
		Weight: b.Buffer("weight", torch.Float, 1, channels),
		Bias:   b.Buffer("bias", torch.Float, 0, channels),
		Mean:   b.Buffer("running_mean", torch.Float, 0, channels),
		Var:    b.Buffer("running_var", torch.Float, 1, channels),
		Eps:    eps,
	}
}

// Forward implements Module.
func (l *FrozenBatchNorm2d) Forward(x *torch.Tensor) *torch.Tensor {
	return x.BatchNorm(l.Weight, l.Bias, l.Mean, l.Var, false, 0, l.Eps)
}

// GroupNorm normalises groups of channels within each picture (Wu and He 2018,
// arXiv 1803.08494).
type GroupNorm struct {
	Weight, Bias *torch.Tensor
	Groups       int64
	Eps          float64
}

// NewGroupNorm builds the layer with PyTorch's default eps, 1e-5; groups must
// divide channels.
func NewGroupNorm(b *Builder, groups, channels int64) *GroupNorm {
	return &GroupNorm{
		Weight: b.Parameter("weight", wildtrain.Norms, Fill(1), channels),
		Bias:   b.Parameter("bias", wildtrain.Biases, Fill(0), channels),
		Groups: groups, Eps: 1e-5,
	}
}

// Forward implements Module.
func (l *GroupNorm) Forward(x *torch.Tensor) *torch.Tensor {
	return x.GroupNorm(l.Groups, l.Weight, l.Bias, l.Eps)
}
