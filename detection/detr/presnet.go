package detr

import (
	"fmt"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// vd is a ResNet of the form D of He et al. 2019 (arXiv 1812.01187): three small
// convolutions at the entrance and projections that average before they thin out.
type vd struct {
	stem     nn.Sequential
	stages   []nn.Sequential
	channels []int64 // of the stages
}

// vdDepths are blocks per stage; from 50 layers on they are bottlenecks.
var vdDepths = map[string][4]int{"r18vd": {2, 2, 2, 2}, "r34vd": {3, 4, 6, 3}, "r50vd": {3, 4, 6, 3}, "r101vd": {3, 4, 23, 3}}

func newVD(b *nn.Builder, name string, frozen bool) (*vd, error) {
	depths, ok := vdDepths[name]
	if !ok {
		return nil, fmt.Errorf("detr: build: no backbone %q: want r18vd, r34vd, r50vd or r101vd", name)
	}
	wide := int64(1)
	if name == "r50vd" || name == "r101vd" {
		wide = 4
	}
	n, stem := &vd{}, b.Sub("conv1")
	for i, c := range [][3]int64{{3, 32, 2}, {32, 32, 1}, {32, 64, 1}} {
		n.stem = append(n.stem, newConvNorm(stem.Sub(fmt.Sprintf("conv1_%d", i+1)), kernel(c[0], c[1], 3, c[2]), frozen, nn.ReLU))
	}
	n.stem = append(n.stem, nn.MaxPool2d{Kernel: 3, Stride: 2, Padding: 1})
	in := int64(64)
	for i, depth := range depths {
		at, planes := b.Sub("res_layers").At(i).Sub("blocks"), int64(64)<<i
		var stage nn.Sequential
		for j := range depth {
			stride := int64(1)
			if j == 0 && i > 0 {
				stride = 2
			}
			stage = append(stage, newVDBlock(at.At(j), in, planes, wide, stride, j == 0, frozen))
			in = planes * wide
		}
		n.stages, n.channels = append(n.stages, stage), append(n.channels, in)
	}
	return n, nil
}

// kernel describes a convolution with He's initialisation by fan-out.
func kernel(in, out, k, stride int64) nn.Conv2dConfig {
	return nn.Conv2dConfig{In: in, Out: out, Kernel: k, Stride: stride, WeightInit: nn.KaimingNormalFanOut(out * k * k)}
}

// maps are the results of all stages, at strides 4 to 32.
func (n *vd) maps(x *torch.Tensor) []*torch.Tensor {
	x = n.stem.Forward(x)
	var out []*torch.Tensor
	for _, s := range n.stages {
		x = s.Forward(x)
		out = append(out, x)
	}
	return out
}

// vdBlock is branch2a, branch2b and in bottlenecks branch2c beside the identity
// or a projection, short.
type vdBlock struct {
	branch nn.Sequential
	short  nn.Module // nil for the identity
}

func newVDBlock(b *nn.Builder, in, planes, wide, stride int64, project, frozen bool) *vdBlock {
	l := &vdBlock{}
	add := func(in, out, k, stride int64, act nn.Module) {
		name := fmt.Sprintf("branch2%c", 'a'+len(l.branch))
		l.branch = append(l.branch, newConvNorm(b.Sub(name), kernel(in, out, k, stride), frozen, act))
	}
	if wide > 1 {
		add(in, planes, 1, 1, nn.ReLU)
		add(planes, planes, 3, stride, nn.ReLU)
		add(planes, planes*wide, 1, 1, nil)
	} else {
		add(in, planes, 3, stride, nn.ReLU)
		add(planes, planes, 3, 1, nil)
	}
	switch out := planes * wide; {
	case project && stride == 2:
		halve := nn.Func(func(x *torch.Tensor) *torch.Tensor { return x.AvgPool2d(2, 2, 0) })
		l.short = nn.Sequential{halve, newConvNorm(b.Sub("short").Sub("conv"), kernel(in, out, 1, 1), frozen, nil)}
	case project:
		l.short = newConvNorm(b.Sub("short"), kernel(in, out, 1, 1), frozen, nil)
	}
	return l
}

// Forward implements nn.Module.
func (l *vdBlock) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		y := l.branch.Forward(x)
		if l.short != nil {
			x = l.short.Forward(x)
		}
		return y.Add(x).ReLU()
	})
}
