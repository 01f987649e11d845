package block

import (
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// Attention is self-attention over the positions of a feature map, with a
// depthwise convolution of the values as position encoding (YOLOv10, Wang et
// al. 2024, as YOLO11 uses it): names qkv, proj, pe. Keys have half the width
// of values.
type Attention struct {
	qkv, proj, pe          *Conv
	heads, headDim, keyDim int64
}

// NewAttention builds attention over dim channels with dim/heads per head.
func NewAttention(b *nn.Builder, dim, heads int64) *Attention {
	l := &Attention{heads: heads, headDim: dim / heads}
	l.keyDim = l.headDim / 2
	l.qkv = NewConv(b.Sub("qkv"), ConvConfig{In: dim, Out: dim + 2*heads*l.keyDim, Linear: true})
	l.proj = NewConv(b.Sub("proj"), ConvConfig{In: dim, Out: dim, Linear: true})
	l.pe = NewConv(b.Sub("pe"), ConvConfig{In: dim, Out: dim, Kernel: 3, Groups: dim, Linear: true})
	return l
}

// Forward implements nn.Module.
func (l *Attention) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		s := x.Shape()
		if len(s) != 4 {
			return l.qkv.Forward(x) // its convolution says what is wrong
		}
		n, c, h, w := s[0], s[1], s[2], s[3]
		qkv := l.qkv.Forward(x).Reshape(n, l.heads, 2*l.keyDim+l.headDim, h*w).Split(2, l.keyDim, l.keyDim, l.headDim)
		q, k, v := qkv[0], qkv[1], qkv[2]
		scores := q.Transpose(2, 3).MatMul(k).MulScalar(1 / math.Sqrt(float64(l.keyDim))).Softmax(-1)
		y := v.MatMul(scores.Transpose(2, 3)).Reshape(n, c, h, w)
		return l.proj.Forward(y.Add(l.pe.Forward(v.Reshape(n, c, h, w))))
	})
}

// PSABlock is attention and a two-layer feed-forward net, each with a residual:
// names attn, ffn.0, ffn.1.
type PSABlock struct {
	attn       *Attention
	ffn1, ffn2 *Conv
}

// NewPSABlock builds the block.
func NewPSABlock(b *nn.Builder, dim, heads int64) *PSABlock {
	return &PSABlock{
		attn: NewAttention(b.Sub("attn"), dim, heads),
		ffn1: conv(b.Sub("ffn").At(0), dim, 2*dim, 1, 1),
		ffn2: NewConv(b.Sub("ffn").At(1), ConvConfig{In: 2 * dim, Out: dim, Linear: true}),
	}
}

// Forward implements nn.Module.
func (l *PSABlock) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		y := x.Add(l.attn.Forward(x))
		return y.Add(l.ffn2.Forward(l.ffn1.Forward(y)))
	})
}

// C2PSA splits the channels, runs n PSABlocks over the second half and joins
// both: names cv1, cv2, m.
type C2PSA struct {
	cv1, cv2 *Conv
	m        nn.Sequential
	hidden   int64
}

// NewC2PSA builds the block; in and out widths are equal.
func NewC2PSA(b *nn.Builder, dim int64, n int, expansion float64) *C2PSA {
	l := &C2PSA{hidden: int64(float64(dim) * expansion)}
	l.cv1 = conv(b.Sub("cv1"), dim, 2*l.hidden, 1, 1)
	l.cv2 = conv(b.Sub("cv2"), 2*l.hidden, dim, 1, 1)
	for i := range n {
		l.m = append(l.m, NewPSABlock(b.Sub("m").At(i), l.hidden, max(l.hidden/64, 1)))
	}
	return l
}

// Forward implements nn.Module.
func (l *C2PSA) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		ab := l.cv1.Forward(x).Split(1, l.hidden, l.hidden)
		return l.cv2.Forward(torch.Cat([]*torch.Tensor{ab[0], l.m.Forward(ab[1])}, 1))
	})
}
