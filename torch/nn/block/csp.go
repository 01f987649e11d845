package block

import (
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// Bottleneck is two convolutions with an optional residual: names cv1, cv2.
type Bottleneck struct {
	cv1, cv2 *Conv
	add      bool
}

// NewBottleneck builds a bottleneck with kernels k1, k2 and a hidden width of
// expansion·out.
func NewBottleneck(b *nn.Builder, in, out int64, shortcut bool, k1, k2 int64, expansion float64) *Bottleneck {
	hidden := int64(float64(out) * expansion)
	return &Bottleneck{
		cv1: conv(b.Sub("cv1"), in, hidden, k1, 1),
		cv2: conv(b.Sub("cv2"), hidden, out, k2, 1),
		add: shortcut && in == out,
	}
}

// Forward implements nn.Module.
func (l *Bottleneck) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		y := l.cv2.Forward(l.cv1.Forward(x))
		if l.add {
			return x.Add(y)
		}
		return y
	})
}

// C2f is a cross-stage partial block that keeps every intermediate result:
// cv1 splits in two, the second half runs through the members m, and cv2 joins
// all of them.
type C2f struct {
	cv1, cv2 *Conv
	m        []nn.Module
	hidden   int64
}

// newC2f builds the frame; member makes the i-th inner block of the given width.
func newC2f(b *nn.Builder, in, out int64, n int, expansion float64, member func(b *nn.Builder, width int64) nn.Module) *C2f {
	l := &C2f{hidden: int64(float64(out) * expansion)}
	l.cv1 = conv(b.Sub("cv1"), in, 2*l.hidden, 1, 1)
	l.cv2 = conv(b.Sub("cv2"), (2+int64(n))*l.hidden, out, 1, 1)
	for i := range n {
		l.m = append(l.m, member(b.Sub("m").At(i), l.hidden))
	}
	return l
}

// NewC2f builds YOLOv8's block: n bottlenecks of two 3×3 convolutions.
func NewC2f(b *nn.Builder, in, out int64, n int, shortcut bool, expansion float64) *C2f {
	return newC2f(b, in, out, n, expansion, func(b *nn.Builder, c int64) nn.Module {
		return NewBottleneck(b, c, c, shortcut, 3, 3, 1)
	})
}

// NewC3k2 builds YOLO11's block: C2f whose members are C3k blocks of two
// bottlenecks, or plain bottlenecks of half width.
func NewC3k2(b *nn.Builder, in, out int64, n int, c3k bool, expansion float64) *C2f {
	return newC2f(b, in, out, n, expansion, func(b *nn.Builder, c int64) nn.Module {
		if c3k {
			return NewC3(b, c, c, 2, true, 0.5, 3, 3)
		}
		return NewBottleneck(b, c, c, true, 3, 3, 0.5)
	})
}

// NewC3k2Attention builds YOLO26's block: C2f whose members are a bottleneck of
// half width and an attention block.
func NewC3k2Attention(b *nn.Builder, in, out int64, n int, expansion float64) *C2f {
	return newC2f(b, in, out, n, expansion, func(b *nn.Builder, c int64) nn.Module {
		return nn.Sequential{NewBottleneck(b.At(0), c, c, true, 3, 3, 0.5), NewPSABlock(b.At(1), c, psaHeads(c))}
	})
}

// Forward implements nn.Module.
func (l *C2f) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		ys := l.cv1.Forward(x).Split(1, l.hidden, l.hidden)
		for _, m := range l.m {
			ys = append(ys, m.Forward(ys[len(ys)-1]))
		}
		return l.cv2.Forward(torch.Cat(ys, 1))
	})
}

// C3 is the cross-stage partial block with three convolutions: cv1 into the
// bottlenecks m, cv2 beside them, cv3 over both.
type C3 struct {
	cv1, cv2, cv3 *Conv
	m             nn.Sequential
}

// NewC3 builds a C3; with 3×3 kernels on both sides of the bottlenecks it is
// the C3k of YOLO11, with 1×1 and 3×3 the C3 of YOLOv5.
func NewC3(b *nn.Builder, in, out int64, n int, shortcut bool, expansion float64, k1, k2 int64) *C3 {
	hidden := int64(float64(out) * expansion)
	l := &C3{
		cv1: conv(b.Sub("cv1"), in, hidden, 1, 1),
		cv2: conv(b.Sub("cv2"), in, hidden, 1, 1),
		cv3: conv(b.Sub("cv3"), 2*hidden, out, 1, 1),
	}
	for i := range n {
		l.m = append(l.m, NewBottleneck(b.Sub("m").At(i), hidden, hidden, shortcut, k1, k2, 1))
	}
	return l
}

// Forward implements nn.Module.
func (l *C3) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		return l.cv3.Forward(torch.Cat([]*torch.Tensor{l.m.Forward(l.cv1.Forward(x)), l.cv2.Forward(x)}, 1))
	})
}

// C2 is the cross-stage partial block with two convolutions: cv1 splits in two,
// the first half runs through the bottlenecks m, cv2 joins both.
type C2 struct {
	cv1, cv2 *Conv
	m        nn.Sequential
	hidden   int64
}

// NewC2 builds a C2 of n bottlenecks of two 3×3 convolutions.
func NewC2(b *nn.Builder, in, out int64, n int, shortcut bool, expansion float64) *C2 {
	l := &C2{hidden: int64(float64(out) * expansion)}
	l.cv1 = conv(b.Sub("cv1"), in, 2*l.hidden, 1, 1)
	l.cv2 = conv(b.Sub("cv2"), 2*l.hidden, out, 1, 1)
	for i := range n {
		l.m = append(l.m, NewBottleneck(b.Sub("m").At(i), l.hidden, l.hidden, shortcut, 3, 3, 1))
	}
	return l
}

// Forward implements nn.Module.
func (l *C2) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		ab := l.cv1.Forward(x).Split(1, l.hidden, l.hidden)
		return l.cv2.Forward(torch.Cat([]*torch.Tensor{l.m.Forward(ab[0]), ab[1]}, 1))
	})
}

// SPPF is fast spatial pyramid pooling: max pools in a chain, all of them joined.
type SPPF struct {
	cv1, cv2 *Conv
	kernel   int64
	pools    int64
	add      bool
}

// SPPFConfig describes an SPPF.
type SPPFConfig struct {
	In, Out, Kernel int64
	Pools           int64 // how many of kernel×kernel
	Linear          bool  // no activation before the pools
	Shortcut        bool  // a residual where the widths are equal
}

// NewSPPF builds the block.
func NewSPPF(b *nn.Builder, c SPPFConfig) *SPPF {
	hidden := c.In / 2
	return &SPPF{
		cv1:    NewConv(b.Sub("cv1"), ConvConfig{In: c.In, Out: hidden, Linear: c.Linear}),
		cv2:    conv(b.Sub("cv2"), hidden*(c.Pools+1), c.Out, 1, 1),
		kernel: c.Kernel, pools: c.Pools, add: c.Shortcut && c.In == c.Out,
	}
}

// Forward implements nn.Module.
func (l *SPPF) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		ys := []*torch.Tensor{l.cv1.Forward(x)}
		for range l.pools {
			ys = append(ys, ys[len(ys)-1].MaxPool2d(l.kernel, 1, l.kernel/2))
		}
		y := l.cv2.Forward(torch.Cat(ys, 1))
		if l.add {
			return x.Add(y)
		}
		return y
	})
}
