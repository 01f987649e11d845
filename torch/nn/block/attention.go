package block

import (
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// Attention is self-attention over the positions of a feature map, with a
// depthwise convolution of the values as position encoding: names qkv, proj, pe.
type Attention struct {
	qkv, proj, pe          *Conv
	heads, headDim, keyDim int64
	area                   int64 // the map is cut into so many strips; positions attend inside theirs
}

// NewAttention builds the attention of YOLOv10 (Wang et al. 2024, §3.2) as YOLO11
// uses it, over dim channels with dim/heads per head: keys have half the width
// of values.
func NewAttention(b *nn.Builder, dim, heads int64) *Attention {
	return newAttention(b, &Attention{heads: heads, headDim: dim / heads, keyDim: dim / heads / 2, area: 1}, 3, nil)
}

// NewAreaAttention builds the area attention of YOLO12 (Tian et al. 2025, §3.2)
// over dim channels, a multiple of AreaHead.
func NewAreaAttention(b *nn.Builder, dim, area int64) *Attention {
	return newAttention(b, &Attention{heads: dim / AreaHead, headDim: AreaHead, keyDim: AreaHead, area: area}, 7, areaInit)
}

// AreaHead is the width of a head of area attention.
const AreaHead = 32

// areaInit is what YOLO12 draws the kernels of its attention blocks from.
var areaInit = nn.TruncNormal(0.02)

func newAttention(b *nn.Builder, l *Attention, kernel int64, init nn.Init) *Attention {
	dim := l.heads * l.headDim
	l.qkv = NewConv(b.Sub("qkv"), ConvConfig{In: dim, Out: dim + 2*l.heads*l.keyDim, Linear: true, Init: init})
	l.proj = NewConv(b.Sub("proj"), ConvConfig{In: dim, Out: dim, Linear: true, Init: init})
	l.pe = NewConv(b.Sub("pe"), ConvConfig{In: dim, Out: dim, Kernel: kernel, Groups: dim, Linear: true, Init: init})
	return l
}

// Forward implements nn.Module. With areas, their number must divide the positions.
func (l *Attention) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		s := x.Shape()
		if len(s) != 4 {
			return l.qkv.Forward(x) // its convolution says what is wrong
		}
		n, c, h, w := s[0], s[1], s[2], s[3]
		qkv := l.cut(l.qkv.Forward(x), n, h*w).Split(2, l.keyDim, l.keyDim, l.headDim)
		q, k, v := qkv[0], qkv[1], qkv[2]
		scores := q.Transpose(2, 3).MatMul(k).MulScalar(1 / math.Sqrt(float64(l.keyDim))).Softmax(-1)
		y := l.join(v.MatMul(scores.Transpose(2, 3)), n, h*w).Reshape(n, c, h, w)
		return l.proj.Forward(y.Add(l.pe.Forward(l.join(v, n, h*w).Reshape(n, c, h, w))))
	})
}

// cut makes (n·area, heads, width, positions/area) of the heads' channels of (n, c, h, w).
func (l *Attention) cut(x *torch.Tensor, n, positions int64) *torch.Tensor {
	width := 2*l.keyDim + l.headDim
	if l.area == 1 {
		return x.Reshape(n, l.heads, width, positions)
	}
	strip := positions / l.area
	return x.Reshape(n, l.heads, width, l.area, strip).Permute(0, 3, 1, 2, 4).Reshape(n*l.area, l.heads, width, strip)
}

// join puts the strips of (n·area, heads, headDim, positions/area) side by side again.
func (l *Attention) join(x *torch.Tensor, n, positions int64) *torch.Tensor {
	if l.area == 1 {
		return x
	}
	return x.Reshape(n, l.area, l.heads, l.headDim, positions/l.area).Permute(0, 2, 3, 1, 4)
}

// PSABlock is attention and a two-layer feed-forward net, each with a residual.
type PSABlock struct {
	attn       *Attention
	ffn1, ffn2 *Conv
}

// NewPSABlock builds YOLO11's block: names attn, ffn.0, ffn.1.
func NewPSABlock(b *nn.Builder, dim, heads int64) *PSABlock {
	return newPSABlock(b.Sub("ffn"), NewAttention(b.Sub("attn"), dim, heads), dim, 2*dim, nil)
}

// NewABlock builds YOLO12's block with a hidden width of ratio·dim: names attn,
// mlp.0, mlp.1.
func NewABlock(b *nn.Builder, dim, area int64, ratio float64) *PSABlock {
	return newPSABlock(b.Sub("mlp"), NewAreaAttention(b.Sub("attn"), dim, area), dim, int64(float64(dim)*ratio), areaInit)
}

func newPSABlock(b *nn.Builder, attn *Attention, dim, hidden int64, init nn.Init) *PSABlock {
	return &PSABlock{
		attn: attn,
		ffn1: NewConv(b.At(0), ConvConfig{In: dim, Out: hidden, Init: init}),
		ffn2: NewConv(b.At(1), ConvConfig{In: hidden, Out: dim, Linear: true, Init: init}),
	}
}

// Forward implements nn.Module.
func (l *PSABlock) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		y := x.Add(l.attn.Forward(x))
		return y.Add(l.ffn2.Forward(l.ffn1.Forward(y)))
	})
}

// psaHeads is the number of heads of about 64 channels.
func psaHeads(dim int64) int64 { return max(dim/64, 1) }

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
		l.m = append(l.m, NewPSABlock(b.Sub("m").At(i), l.hidden, psaHeads(l.hidden)))
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

// A2C2f is the residual efficient aggregation of YOLO12 (§3.3): cv1 narrows, each
// member runs over the one before it, cv2 joins all of them. Names cv1, cv2, m,
// and gamma where the whole is added to its input, scaled by channel.
type A2C2f struct {
	cv1, cv2 *Conv
	m        []nn.Module
	gamma    *torch.Tensor // nil without residual
}

// A2C2fConfig describes an A2C2f.
type A2C2fConfig struct {
	In, Out, N, Area int64
	Attention        bool    // members are pairs of attention blocks, else a C3k each
	Residual         bool    // needs Attention and equal widths
	Ratio            float64 // hidden width of the attention blocks' feed-forward nets
}

// NewA2C2f builds the block.
func NewA2C2f(b *nn.Builder, c A2C2fConfig) *A2C2f {
	hidden := c.Out / 2
	l := &A2C2f{cv1: conv(b.Sub("cv1"), c.In, hidden, 1, 1), cv2: conv(b.Sub("cv2"), (1+c.N)*hidden, c.Out, 1, 1)}
	if c.Attention && c.Residual {
		l.gamma = b.Parameter("gamma", wildtrain.Weights, nn.Fill(0.01), c.Out)
	}
	for i := range c.N {
		m := b.Sub("m").At(int(i))
		if c.Attention {
			l.m = append(l.m, nn.Sequential{NewABlock(m.At(0), hidden, c.Area, c.Ratio), NewABlock(m.At(1), hidden, c.Area, c.Ratio)})
		} else {
			l.m = append(l.m, NewC3(m, hidden, hidden, 2, true, 0.5, 3, 3))
		}
	}
	return l
}

// Forward implements nn.Module.
func (l *A2C2f) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		ys := []*torch.Tensor{l.cv1.Forward(x)}
		for _, m := range l.m {
			ys = append(ys, m.Forward(ys[len(ys)-1]))
		}
		y := l.cv2.Forward(torch.Cat(ys, 1))
		if l.gamma == nil {
			return y
		}
		return x.Add(y.Mul(x.Scope().Borrow(l.gamma).View(1, -1, 1, 1)))
	})
}
