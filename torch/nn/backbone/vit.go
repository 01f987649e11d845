package backbone

import (
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// vitConfig is a Vision Transformer (Dosovitskiy et al. 2021), with registers
// and layer scale that of DINOv2 (Oquab et al. 2023, Darcet et al. 2023).
type vitConfig struct {
	width, heads int64
	depth        int
	registers    int64
	layerScale   float64 // initial value; 0 for none
}

var (
	vitTiny  = vitConfig{width: 192, heads: 3, depth: 12}
	vitSmall = vitConfig{width: 384, heads: 6, depth: 12}
	vitBase  = vitConfig{width: 768, heads: 12, depth: 12}
	vitLarge = vitConfig{width: 1024, heads: 16, depth: 24}
)

// dinov2 adds layer scale and registers.
func (c vitConfig) dinov2(registers int64) vitConfig {
	c.registers, c.layerScale = registers, 1e-5
	return c
}

func vits() []Spec {
	var specs []Spec
	add := func(library, name, head string, size, patch int, c vitConfig, stats [2][3]float64) {
		s := spec(library, "vit", name, head, size, c.build)
		s.Patch, s.Mean, s.Std = patch, stats[0], stats[1]
		specs = append(specs, s)
	}
	for _, v := range []struct {
		short, long string
		vitConfig
	}{{"", "tiny", vitTiny}, {"", "small", vitSmall}, {"b", "base", vitBase}, {"l", "large", vitLarge}} {
		for _, patch := range []int{16, 32} {
			if v.short != "" {
				add(Torchvision, fmt.Sprintf("vit_%s_%d", v.short, patch), "heads.head", 224, patch, v.vitConfig, imageNet)
			}
			if v.long != "tiny" || patch == 16 {
				add(Timm, fmt.Sprintf("vit_%s_patch%d_224", v.long, patch), "head", 224, patch, v.vitConfig, halves)
			}
		}
		if v.long != "tiny" {
			add(Timm, fmt.Sprintf("vit_%s_patch14_dinov2", v.long), "head", 518, 14, v.dinov2(0), imageNet)
			add(Timm, fmt.Sprintf("vit_%s_patch14_reg4_dinov2", v.long), "head", 518, 14, v.dinov2(4), imageNet)
		}
	}
	return specs
}

// vit is the trunk. Its body ends before the last block, where all patches
// still have a say in the class token: behind it their gradients are zero.
type vit struct {
	patch      int64
	native     int64 // side of the grid of the position embeddings
	embed      *nn.Conv2d
	class      *torch.Tensor // (1, 1, width)
	registers  *torch.Tensor // (1, n, width); nil for none
	position   *torch.Tensor // (1, tokens, width)
	positioned int64         // leading tokens with a position of their own: the class token, unless there are registers
	resample   torch.InterpolateOptions
	blocks     []nn.Module
	norm       *nn.LayerNorm
	width      int64
}

func (c vitConfig) build(s *site) trunk {
	side := int64(s.InputSize / s.Patch)
	t := &vit{patch: int64(s.Patch), native: side, width: c.width, positioned: 1}
	if c.registers > 0 {
		t.positioned = 0
	}
	embed, block, norm := c.timmEmbedding, c.timmBlock, "norm"
	if s.Library == Torchvision {
		embed, block, norm = c.torchvisionEmbedding, c.torchvisionBlock, "encoder.ln"
	}
	embed(s, t)
	for i := range c.depth {
		s.block()
		t.blocks = append(t.blocks, block(s, i))
	}
	t.norm = nn.NewLayerNorm(descend(s.root, norm), c.width, 1e-6)
	s.net.Width = c.width
	s.net.Channels, s.net.Strides = []int64{c.width}, []int64{t.patch}
	return t
}

// tokens makes n embeddings, which are not decayed.
func (c vitConfig) tokens(b *nn.Builder, name string, n int64, init nn.Init) *torch.Tensor {
	return b.Parameter(name, wildtrain.Norms, init, 1, n, c.width)
}

func (c vitConfig) torchvisionEmbedding(s *site, t *vit) {
	t.class = c.tokens(s.root, "class_token", 1, nn.Fill(0))
	t.embed = nn.NewConv2d(s.root.Sub("conv_proj"), nn.Conv2dConfig{
		In: 3, Out: c.width, Kernel: t.patch, Stride: t.patch,
		WeightInit: nn.TruncNormal(1 / math.Sqrt(float64(3*t.patch*t.patch))), BiasInit: nn.Fill(0),
	})
	t.position = c.tokens(s.root.Sub("encoder"), "pos_embedding", t.positioned+t.native*t.native, nn.NormalInit(0, 0.02))
	t.resample = torch.InterpolateOptions{Mode: torch.Bicubic, AlignCorners: true}
	s.headWeight, s.headBias = nn.Fill(0), nn.Fill(0)
}

func (c vitConfig) timmEmbedding(s *site, t *vit) {
	t.class = c.tokens(s.root, "cls_token", 1, nn.NormalInit(0, 1e-6))
	if c.registers > 0 {
		t.registers = c.tokens(s.root, "reg_token", c.registers, nn.NormalInit(0, 1e-6))
	}
	t.position = c.tokens(s.root, "pos_embed", t.positioned+t.native*t.native, nn.TruncNormal(0.02))
	t.embed = nn.NewConv2d(descend(s.root, "patch_embed.proj"), nn.Conv2dConfig{In: 3, Out: c.width, Kernel: t.patch, Stride: t.patch})
	t.resample = torch.InterpolateOptions{Mode: torch.Bicubic, Antialias: true}
	s.headWeight, s.headBias = nn.TruncNormal(0.02), nn.Fill(0)
}

// torchvisionBlock builds block i under encoder.layers.
func (c vitConfig) torchvisionBlock(s *site, i int) nn.Module {
	b := descend(s.root, fmt.Sprintf("encoder.layers.encoder_layer_%d", i))
	dense := func(name string, in, out int64) *nn.Linear {
		return nn.NewLinearFrom(descend(b, name), in, out, nn.XavierUniform(in, out), nn.NormalInit(0, 1e-6))
	}
	attend := &branch{norm: nn.NewLayerNorm(b.Sub("ln_1"), c.width, 1e-6), body: nn.NewMultiheadAttention(b.Sub("self_attention"), c.width, c.heads, 0)}
	mix := &branch{norm: nn.NewLayerNorm(b.Sub("ln_2"), c.width, 1e-6), body: nn.Sequential{dense("mlp.0", c.width, 4*c.width), nn.GELU, dense("mlp.3", 4*c.width, c.width)}}
	return paired(s, attend, mix, s.drop(i, c.depth))
}

// timmBlock builds block i under blocks.
func (c vitConfig) timmBlock(s *site, i int) nn.Module {
	b := s.root.Sub("blocks").At(i)
	dense := func(name string, in, out int64) *nn.Linear {
		return nn.NewLinearFrom(descend(b, name), in, out, nn.TruncNormal(0.02), nn.Fill(0))
	}
	scale := func(name string) *torch.Tensor {
		if c.layerScale == 0 {
			return nil
		}
		return b.Sub(name).Parameter("gamma", wildtrain.Norms, nn.Fill(c.layerScale), c.width)
	}
	norm1 := nn.NewLayerNorm(b.Sub("norm1"), c.width, 1e-6)
	qkv := dense("attn.qkv", c.width, 3*c.width)
	attention := &nn.MultiheadAttention{InWeight: qkv.Weight, InBias: qkv.Bias, Out: dense("attn.proj", c.width, c.width), Heads: c.heads, Width: c.width}
	attend := &branch{norm: norm1, body: attention, scale: scale("ls1")}
	norm2 := nn.NewLayerNorm(b.Sub("norm2"), c.width, 1e-6)
	mlp := nn.Sequential{dense("mlp.fc1", c.width, 4*c.width), nn.GELU, dense("mlp.fc2", 4*c.width, c.width)}
	mix := &branch{norm: norm2, body: mlp, scale: scale("ls2")}
	return paired(s, attend, mix, s.drop(i, c.depth))
}

// paired puts both branches of a block behind each other, with one stochastic depth.
func paired(s *site, attend, mix *branch, drop float64) nn.Module {
	attend.drop = newDropPath(s.store, drop)
	mix.drop = attend.drop
	return nn.Sequential{attend, mix}
}

// branch is a residual branch with normalisation before it:
// x + drop(scale·body(norm(x))).
type branch struct {
	norm, body nn.Module
	scale      *torch.Tensor // layer scale by channel (Touvron et al. 2021); nil for none
	drop       *dropPath
}

// Forward implements nn.Module.
func (l *branch) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		y := l.body.Forward(l.norm.Forward(x))
		if l.scale != nil {
			y = y.Mul(l.scale)
		}
		return x.Add(l.drop.Forward(y))
	})
}

// tokens cuts the image in patches and puts the class token and the registers
// before them: (N, prefix + h·w, width).
func (t *vit) tokens(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		s := x.Scope()
		n, h, w := x.Size(0), x.Size(2)/t.patch, x.Size(3)/t.patch
		if h*t.patch != x.Size(2) || w*t.patch != x.Size(3) {
			return s.Fail("vit", fmt.Sprintf("sides of %v are not multiples of the patch, %d px", x.Shape(), t.patch))
		}
		position := t.positions(s, h, w)
		x = t.embed.Forward(x).Flatten(2, 3).Transpose(1, 2)
		class := s.Borrow(t.class).Expand(n, 1, t.width)
		if t.registers != nil {
			return torch.Cat([]*torch.Tensor{class, s.Borrow(t.registers).Expand(n, -1, t.width), x.Add(position)}, 1)
		}
		return torch.Cat([]*torch.Tensor{class, x}, 1).Add(position)
	})
}

// positions returns the position embeddings of a grid of h×w patches: the
// trained ones, resampled as the library does it where the grid is another.
func (t *vit) positions(s *torch.Scope, h, w int64) *torch.Tensor {
	all := s.Borrow(t.position)
	if h == t.native && w == t.native {
		return all
	}
	grid := all.Narrow(1, t.positioned, t.native*t.native).Transpose(1, 2).Reshape(1, t.width, t.native, t.native)
	grid = grid.Interpolate(h, w, t.resample).Flatten(2, 3).Transpose(1, 2)
	return torch.Cat([]*torch.Tensor{all.Narrow(1, 0, t.positioned), grid}, 1)
}

func (t *vit) body(x *torch.Tensor) *torch.Tensor {
	blocks := nn.Sequential(t.blocks[:len(t.blocks)-1])
	return nn.Sequential{nn.Func(t.tokens), blocks}.Forward(x)
}

// last runs the last block and the final normalisation.
func (t *vit) last(x *torch.Tensor) *torch.Tensor {
	return t.norm.Forward(t.blocks[len(t.blocks)-1].Forward(x))
}

func (t *vit) pool(x *torch.Tensor) *torch.Tensor { return t.last(x).Select(1, 0) }

func (t *vit) grid(x *torch.Tensor, height, width int64) *torch.Tensor {
	h, w := height/t.patch, width/t.patch
	return x.Narrow(1, x.Size(1)-h*w, h*w).Transpose(1, 2).Reshape(x.Size(0), t.width, h, w)
}

func (t *vit) maps(x *torch.Tensor) []*torch.Tensor {
	return []*torch.Tensor{x.Sub(func() *torch.Tensor { return t.grid(t.last(t.body(x)), x.Size(2), x.Size(3)) })}
}
