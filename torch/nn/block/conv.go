package block

import (
	"context"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// The batch norm settings of YOLO models.
const (
	bnEps      = 1e-3
	bnMomentum = 0.03
)

// Conv is a convolution without bias, batch norm and an activation: parameters
// "conv.weight" and "bn.*". After Fuse, evaluation runs one convolution.
type Conv struct {
	Conv *nn.Conv2d
	Norm *nn.BatchNorm2d
	Act  nn.Module // nil for none

	fusedWeight, fusedBias *torch.Tensor
}

// ConvConfig describes a Conv. Zero kernel, stride and groups mean 1; padding
// keeps the size at stride 1.
type ConvConfig struct {
	In, Out, Kernel, Stride, Groups int64
	Linear                          bool // no activation
	Act                             nn.Module
	Init                            nn.Init // of the kernel, nil for PyTorch's default
}

// NewConv builds the block.
func NewConv(b *nn.Builder, c ConvConfig) *Conv {
	k := max(c.Kernel, 1)
	l := &Conv{
		Conv: nn.NewConv2d(b.Sub("conv"), nn.Conv2dConfig{In: c.In, Out: c.Out, Kernel: k, Stride: c.Stride, Padding: k / 2, Groups: c.Groups, NoBias: true, WeightInit: c.Init}),
		Norm: nn.NewBatchNorm2d(b.Sub("bn"), c.Out, bnEps, bnMomentum),
		Act:  c.Act,
	}
	if l.Act == nil && !c.Linear {
		l.Act = nn.SiLU
	}
	b.Store().Register(l)
	return l
}

// conv is NewConv for the common case.
func conv(b *nn.Builder, in, out, kernel, stride int64) *Conv {
	return NewConv(b, ConvConfig{In: in, Out: out, Kernel: kernel, Stride: stride})
}

// Forward implements nn.Module.
func (l *Conv) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		if l.fusedWeight != nil && !x.Training() {
			return l.activate(x.Conv2d(l.fusedWeight, l.fusedBias, l.Conv.Options))
		}
		return l.activate(l.Norm.Forward(l.Conv.Forward(x)))
	})
}

func (l *Conv) activate(x *torch.Tensor) *torch.Tensor {
	if l.Act == nil {
		return x
	}
	return l.Act.Forward(x)
}

// Fuse folds the running statistics into a kernel and a bias that evaluation
// uses from now on. The tensors belong to scope.
func (l *Conv) Fuse(scope *torch.Scope) error {
	return torch.Run(context.Background(), l.Conv.Weight.Device(), torch.Inference, func(s *torch.Scope) error {
		scale := s.Borrow(l.Norm.Weight).Div(s.Borrow(l.Norm.Var).AddScalar(l.Norm.Eps).Sqrt())
		w := s.Borrow(l.Conv.Weight).Mul(scale.View(-1, 1, 1, 1))
		if l.Conv.Weight.ChannelsLast() {
			w = w.ToChannelsLast()
		}
		bias := s.Borrow(l.Norm.Bias).Minus(s.Borrow(l.Norm.Mean).Mul(scale))
		if err := s.Err(); err != nil {
			return err
		}
		l.fusedWeight, l.fusedBias = scope.Keep(w), scope.Keep(bias)
		return nil
	})
}

// Fused is what evaluation uses after Fuse in the place of Conv.Weight and batch
// norm; nil before.
func (l *Conv) Fused() (weight, bias *torch.Tensor) { return l.fusedWeight, l.fusedBias }

// Unfuse returns to separate convolution and batch norm.
func (l *Conv) Unfuse() {
	l.fusedWeight.Free()
	l.fusedBias.Free()
	l.fusedWeight, l.fusedBias = nil, nil
}
