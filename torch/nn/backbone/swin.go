package backbone

import (
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// swinConfig is a Swin Transformer (Liu et al. 2021) with patches of 4×4 px and
// windows of 7×7 patches. Maps that are no whole number of windows are padded
// inside. (Where a map is smaller than a window, timm makes new tables of position
// biases instead; this package pads for both libraries.)
type swinConfig struct {
	depths [4]int
	heads  int64 // of the first stage, 32 channels each; they double from stage to stage
}

const (
	swinWindow = 7
	swinTokens = swinWindow * swinWindow
)

func swins() []Spec {
	var specs []Spec
	for _, v := range []struct {
		short, long string
		drop        float64
		swinConfig
	}{
		{"t", "tiny", 0.2, swinConfig{[4]int{2, 2, 6, 2}, 3}},
		{"s", "small", 0.3, swinConfig{[4]int{2, 2, 18, 2}, 3}},
		{"b", "base", 0.5, swinConfig{[4]int{2, 2, 18, 2}, 4}},
	} {
		s := spec(Torchvision, "swin", "swin_"+v.short, "head", 224, v.build)
		s.StochasticDepth = v.drop
		t := spec(Timm, "swin", fmt.Sprintf("swin_%s_patch4_window7_224", v.long), "head.fc", 224, v.build)
		t.StochasticDepth, t.Patch = 0.1, 4
		specs = append(specs, s, t)
	}
	return specs
}

// swinKeys says where a library keeps the parts.
type swinKeys struct {
	embed, embedNorm string
	merge, block     string // of the stage; of stage and block
	stage, before    func(i int) int
	mlp1, mlp2       string
	storesIndex      bool // the table's index is part of the state
	rollsFirst       bool // the cyclic shift comes before the padding
}

var swinTorchvision = swinKeys{
	embed: "features.0.0", embedNorm: "features.0.2", merge: "features.%d", block: "features.%d.%d",
	stage: func(i int) int { return 2*i + 1 }, before: func(i int) int { return 2 * i }, mlp1: "mlp.0", mlp2: "mlp.3", storesIndex: true,
}

var swinTimm = swinKeys{
	embed: "patch_embed.proj", embedNorm: "patch_embed.norm", merge: "layers.%d.downsample", block: "layers.%d.blocks.%d",
	stage: func(i int) int { return i }, before: func(i int) int { return i }, mlp1: "mlp.fc1", mlp2: "mlp.fc2", rollsFirst: true,
}

// swin is the trunk, over (N, H, W, C).
type swin struct {
	chain
	norm *nn.LayerNorm
}

func (c swinConfig) build(s *site) trunk {
	keys := swinTorchvision
	if s.Library == Timm {
		keys = swinTimm
	}
	heads, width, stride := c.heads, 32*c.heads, int64(4)
	embed := nn.NewConv2d(descend(s.root, keys.embed), nn.Conv2dConfig{In: 3, Out: width, Kernel: 4, Stride: 4})
	t := &swin{}
	t.layers = []nn.Module{nn.Sequential{
		embed,
		nn.Func(channelsToLast),
		nn.NewLayerNorm(descend(s.root, keys.embedNorm), width, 1e-5),
	}}
	index, total := 0, c.depths[0]+c.depths[1]+c.depths[2]+c.depths[3]
	for i, depth := range c.depths {
		var stage nn.Sequential
		if i > 0 {
			s.block()
			stage = append(stage, newPatchMerging(descend(s.root, fmt.Sprintf(keys.merge, keys.before(i))), width))
			heads, width = 2*heads, 2*width
		}
		masks := &windowMasks{root: s.store.Scope()}
		for j := range depth {
			if i == 0 || j > 0 { // a stage's first block goes with the merging before it
				s.block()
			}
			b := descend(s.root, fmt.Sprintf(keys.block, keys.stage(i), j))
			stage = append(stage, keys.build(s, b, width, heads, int64(j%2)*(swinWindow/2), s.drop(index, total), masks))
			index++
		}
		t.layers = append(t.layers, stage)
		t.tap(s, width, stride<<i)
	}
	t.norm = nn.NewLayerNorm(s.root.Sub("norm"), width, 1e-5)
	s.net.Width = width
	s.headWeight, s.headBias = nn.TruncNormal(0.02), nn.Fill(0)
	return t
}

func (t *swin) grid(x *torch.Tensor, _, _ int64) *torch.Tensor { return channelsToFirst(x) }

func (t *swin) maps(x *torch.Tensor) []*torch.Tensor {
	out := t.chain.maps(x)
	for i, m := range out {
		out[i] = channelsToFirst(m)
	}
	return out
}

func (t *swin) pool(x *torch.Tensor) *torch.Tensor { return t.norm.Forward(x).Mean(1, 2) }

// patchMerging joins 2×2 neighbours and halves their channels.
type patchMerging struct {
	norm      *nn.LayerNorm
	reduction *nn.Linear
}

func newPatchMerging(b *nn.Builder, width int64) *patchMerging {
	weight := b.Sub("reduction").Parameter("weight", wildtrain.Weights, nn.TruncNormal(0.02), 2*width, 4*width)
	return &patchMerging{reduction: &nn.Linear{Weight: weight}, norm: nn.NewLayerNorm(b.Sub("norm"), 4*width, 1e-5)}
}

// Forward implements nn.Module.
func (l *patchMerging) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		x = padded(x, 2)
		n, h, w, c := x.Size(0), x.Size(1)/2, x.Size(2)/2, x.Size(3)
		x = x.Reshape(n, h, 2, w, 2, c).Permute(0, 1, 3, 4, 2, 5).Flatten(3, 5)
		return l.reduction.Forward(l.norm.Forward(x))
	})
}

// padded adds zeros right and below until the sides of (N, H, W, C) are
// multiples of k.
func padded(x *torch.Tensor, k int64) *torch.Tensor {
	bottom, right := (k-x.Size(1)%k)%k, (k-x.Size(2)%k)%k
	if bottom == 0 && right == 0 {
		return x
	}
	return x.Pad(0, 0, 0, 0, right, 0, bottom)
}

// build makes a block: attention in windows, shifted in every second block, and
// a two-layer perceptron.
func (k swinKeys) build(s *site, b *nn.Builder, width, heads, shift int64, drop float64, masks *windowMasks) nn.Module {
	dense := func(name string, in, out int64) *nn.Linear {
		return nn.NewLinearFrom(descend(b, name), in, out, nn.TruncNormal(0.02), nn.Fill(0))
	}
	norm1 := nn.NewLayerNorm(b.Sub("norm1"), width, 1e-5)
	a := &windowAttention{heads: heads, shift: shift, rollsFirst: k.rollsFirst, masks: masks}
	at := b.Sub("attn")
	a.table = at.Parameter("relative_position_bias_table", wildtrain.Norms, nn.TruncNormal(0.02), (2*swinWindow-1)*(2*swinWindow-1), heads)
	if k.storesIndex {
		a.index = at.Indices("relative_position_index", relativeIndex(), swinTokens*swinTokens)
	} else {
		a.index = torch.Of(b.Store().Scope(), relativeIndex(), swinTokens*swinTokens)
	}
	a.qkv, a.out = dense("attn.qkv", width, 3*width), dense("attn.proj", width, width)
	norm2 := nn.NewLayerNorm(b.Sub("norm2"), width, 1e-5)
	mlp := nn.Sequential{dense(k.mlp1, width, 4*width), nn.GELU, dense(k.mlp2, 4*width, width)}
	return paired(s, &branch{norm: norm1, body: a}, &branch{norm: norm2, body: mlp}, drop)
}

// windowAttention is self-attention within windows, with a bias by the relative
// position of two tokens.
type windowAttention struct {
	qkv, out     *nn.Linear
	table, index *torch.Tensor // biases (169, heads) and which of them a pair of tokens has
	heads, shift int64
	rollsFirst   bool
	masks        *windowMasks
}

// Forward implements nn.Module.
func (l *windowAttention) Forward(x *torch.Tensor) *torch.Tensor {
	h, w := x.Size(1), x.Size(2)
	shift := [2]int64{l.shift, l.shift}
	for i, side := range []int64{h, w} {
		if side <= swinWindow { // one window holds all
			shift[i] = 0
		}
	}
	roll := func(sign int64) nn.Module {
		if shift == [2]int64{} {
			return nn.Identity
		}
		return nn.Func(func(x *torch.Tensor) *torch.Tensor {
			return x.Roll([]int64{sign * shift[0], sign * shift[1]}, []int64{1, 2})
		})
	}
	pad := nn.Func(func(x *torch.Tensor) *torch.Tensor { return padded(x, swinWindow) })
	cut := nn.Func(func(x *torch.Tensor) *torch.Tensor { return x.Narrow(1, 0, h).Narrow(2, 0, w) })
	attend := nn.Func(func(x *torch.Tensor) *torch.Tensor { return l.attend(x, shift) })
	if l.rollsFirst {
		return nn.Sequential{roll(-1), pad, attend, cut, roll(1)}.Forward(x)
	}
	return nn.Sequential{pad, roll(-1), attend, roll(1), cut}.Forward(x)
}

// attend works on (N, H, W, C) of whole windows.
func (l *windowAttention) attend(x *torch.Tensor, shift [2]int64) *torch.Tensor {
	n, rows, cols, width := x.Size(0), x.Size(1)/swinWindow, x.Size(2)/swinWindow, x.Size(3)
	windows := n * rows * cols
	partition := nn.Func(func(x *torch.Tensor) *torch.Tensor {
		return x.Reshape(n, rows, swinWindow, cols, swinWindow, width).Permute(0, 1, 3, 2, 4, 5).Reshape(windows, swinTokens, width)
	})
	weigh := nn.Func(func(qkv *torch.Tensor) *torch.Tensor {
		return qkv.Sub(func() *torch.Tensor {
			qkv := qkv.Reshape(windows, swinTokens, 3, l.heads, width/l.heads).Permute(2, 0, 3, 1, 4)
			weights := l.weights(qkv.Select(0, 0), qkv.Select(0, 1), rows, cols, shift)
			return weights.MatMul(qkv.Select(0, 2)).Transpose(1, 2).Reshape(windows, swinTokens, width)
		})
	})
	join := nn.Func(func(x *torch.Tensor) *torch.Tensor {
		x = x.View(n, rows, cols, swinWindow, swinWindow, width).Permute(0, 1, 3, 2, 4, 5)
		return x.Reshape(n, rows*swinWindow, cols*swinWindow, width)
	})
	return nn.Sequential{partition, l.qkv, weigh, l.out, join}.Forward(x)
}

// weights are the attention of queries to keys, both (windows, heads, tokens, depth).
func (l *windowAttention) weights(q, k *torch.Tensor, rows, cols int64, shift [2]int64) *torch.Tensor {
	scores := nn.Func(func(q *torch.Tensor) *torch.Tensor {
		return q.MulScalar(1 / math.Sqrt(float64(q.Size(3)))).MatMul(k.Transpose(-2, -1))
	})
	biased := nn.Func(func(x *torch.Tensor) *torch.Tensor { return x.Add(l.bias(x.Scope())) })
	masked := nn.Func(func(x *torch.Tensor) *torch.Tensor {
		if shift == [2]int64{} {
			return x
		}
		mask := x.Scope().Borrow(l.masks.of(x.Scope(), rows, cols, shift)).To(x.DType())
		return x.View(-1, rows*cols, l.heads, swinTokens, swinTokens).Add(mask).View(-1, l.heads, swinTokens, swinTokens)
	})
	softmax := nn.Func(func(x *torch.Tensor) *torch.Tensor { return x.Softmax(-1) })
	return nn.Sequential{scores, biased, masked, softmax}.Forward(q)
}

// bias looks the position biases up: (heads, tokens, tokens).
func (l *windowAttention) bias(s *torch.Scope) *torch.Tensor {
	return s.Borrow(l.table).IndexSelect(0, l.index).View(swinTokens, swinTokens, l.heads).Permute(2, 0, 1)
}

// relativeIndex numbers the difference of the positions of every two tokens of a window.
func relativeIndex() []int64 {
	index := make([]int64, 0, swinTokens*swinTokens)
	for a := range int64(swinTokens) {
		for b := range int64(swinTokens) {
			dy, dx := a/swinWindow-b/swinWindow, a%swinWindow-b%swinWindow
			index = append(index, (dy+swinWindow-1)*(2*swinWindow-1)+dx+swinWindow-1)
		}
	}
	return index
}

// windowMasks keeps the mask of the last size that the blocks of a stage saw.
type windowMasks struct {
	root       *torch.Scope
	rows, cols int64
	shift      [2]int64
	mask       *torch.Tensor
}

// of returns what is added to the scores (windows, 1, tokens, tokens): −100
// between tokens that only the cyclic shift made neighbours.
func (m *windowMasks) of(s *torch.Scope, rows, cols int64, shift [2]int64) *torch.Tensor {
	if m.mask.Valid() && m.rows == rows && m.cols == cols && m.shift == shift {
		return m.mask
	}
	region := func(at, length, shift int64) int64 {
		switch {
		case shift == 0 || at < length-swinWindow:
			return 0
		case at < length-shift:
			return 1
		}
		return 2
	}
	values := make([]float32, 0, rows*cols*swinTokens*swinTokens)
	var regions [swinTokens]int64
	for window := range rows * cols {
		for i := range regions {
			y, x := window/cols*swinWindow+int64(i)/swinWindow, window%cols*swinWindow+int64(i)%swinWindow
			regions[i] = 3*region(y, rows*swinWindow, shift[0]) + region(x, cols*swinWindow, shift[1])
		}
		for _, a := range regions {
			for _, b := range regions {
				v := float32(0)
				if a != b {
					v = -100
				}
				values = append(values, v)
			}
		}
	}
	m.mask.Free()
	m.mask = m.root.Keep(torch.Of(s, values, rows*cols, 1, swinTokens, swinTokens))
	m.rows, m.cols, m.shift = rows, cols, shift
	return m.mask
}
