package detr

import (
	"math"
	"strconv"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// xavier builds a linear layer as the transformers' authors initialise it.
func xavier(b *nn.Builder, in, out int64, bias nn.Init) *nn.Linear {
	return nn.NewLinearFrom(b, in, out, nn.XavierUniform(in, out), bias)
}

// mlp is linear layers with ReLU between: names layers.0, layers.1, …
type mlp []*nn.Linear

// newMLP builds layers between the given widths; the last gets its own
// initialisation, nil for the same as the others'.
func newMLP(b *nn.Builder, weight func(in, out int64) nn.Init, lastWeight, lastBias nn.Init, widths ...int64) mlp {
	b = b.Sub("layers")
	var m mlp
	for i := range len(widths) - 1 {
		in, out := widths[i], widths[i+1]
		var w, bias nn.Init
		if weight != nil {
			w = weight(in, out)
		}
		if i == len(widths)-2 {
			bias = lastBias
			if lastWeight != nil {
				w = lastWeight
			}
		}
		m = append(m, nn.NewLinearFrom(b.At(i), in, out, w, bias))
	}
	return m
}

// Forward implements nn.Module.
func (m mlp) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		for i, l := range m {
			if x = l.Forward(x); i < len(m)-1 {
				x = x.ReLU()
			}
		}
		return x
	})
}

// feedForward is the two linear layers after attention: names linear1, linear2.
type feedForward struct {
	in, out *nn.Linear
	act     nn.Module
	dropout nn.Dropout
}

func newFeedForward(b *nn.Builder, width, inner int64, act nn.Module, dropout float64) *feedForward {
	return &feedForward{
		in: xavier(b.Sub("linear1"), width, inner, nil), out: xavier(b.Sub("linear2"), inner, width, nil),
		act: act, dropout: nn.Dropout{P: dropout},
	}
}

// Forward implements nn.Module.
func (l *feedForward) Forward(x *torch.Tensor) *torch.Tensor {
	return l.out.Forward(l.dropout.Forward(l.act.Forward(l.in.Forward(x))))
}

// layerEps is that of all layer norms here.
const layerEps = 1e-5

// residual is norm(x + dropout(y)).
type residual struct {
	norm    *nn.LayerNorm
	dropout nn.Dropout
}

func newResidual(b *nn.Builder, width int64, dropout float64) residual {
	return residual{norm: nn.NewLayerNorm(b, width, layerEps), dropout: nn.Dropout{P: dropout}}
}

func (l residual) join(x, y *torch.Tensor) *torch.Tensor {
	return l.norm.Forward(x.Add(l.dropout.Forward(y)))
}

// encoderLayer is attention of all positions to all: names self_attn, norm1,
// linear1, linear2, norm2.
type encoderLayer struct {
	attention   *nn.MultiheadAttention
	first, last residual
	feed        *feedForward
}

func newEncoderLayer(b *nn.Builder, width, heads, inner int64, act nn.Module, dropout float64) *encoderLayer {
	return &encoderLayer{
		attention: nn.NewMultiheadAttention(b.Sub("self_attn"), width, heads, dropout),
		feed:      newFeedForward(b, width, inner, act, dropout),
		first:     newResidual(b.Sub("norm1"), width, dropout), last: newResidual(b.Sub("norm2"), width, dropout),
	}
}

// forward maps x (N, S, width), to whose queries and keys position is added;
// mask is added to the scores and may be nil.
func (l *encoderLayer) forward(x, position, mask *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		q := x.Add(position)
		x := l.first.join(x, l.attention.Attend(q, q, x, mask))
		return l.last.join(x, l.feed.Forward(x))
	})
}

// normGroups is how many groups the norms of Deformable DETR have.
const normGroups = 32

// newNorm builds batch norm, which trains or does not.
func newNorm(b *nn.Builder, channels int64, frozen bool) nn.Module {
	if frozen {
		return nn.NewFrozenBatchNorm2d(b, channels, 1e-5)
	}
	return nn.NewBatchNorm2d(b, channels, 1e-5, 0.1)
}

// newConvNorm builds a convolution without bias that keeps the size at stride 1,
// its norm and an activation, nil for none: names conv, norm.
func newConvNorm(b *nn.Builder, c nn.Conv2dConfig, frozen bool, act nn.Module) nn.Sequential {
	c.NoBias, c.Padding = true, (c.Kernel-1)/2
	l := nn.Sequential{nn.NewConv2d(b.Sub("conv"), c), newNorm(b.Sub("norm"), c.Out, frozen)}
	if act != nil {
		l = append(l, act)
	}
	return l
}

// deformable is multi-scale deformable attention with its projections: names
// sampling_offsets, attention_weights, value_proj, output_proj.
type deformable struct {
	offsets, weights, value, output *nn.Linear
	heads, levels, points           int64
}

func newDeformable(b *nn.Builder, width, heads, levels, points int64) *deformable {
	zero, samples := nn.Fill(0), heads*levels*points
	return &deformable{
		offsets: nn.NewLinearFrom(b.Sub("sampling_offsets"), width, 2*samples, zero, starOffsets(heads, levels, points)),
		weights: nn.NewLinearFrom(b.Sub("attention_weights"), width, samples, zero, zero),
		value:   xavier(b.Sub("value_proj"), width, width, zero), output: xavier(b.Sub("output_proj"), width, width, zero),
		heads: heads, levels: levels, points: points,
	}
}

// starOffsets lets each head look in a direction of its own, its points one to
// points steps far, measured along the longer axis.
func starOffsets(heads, levels, points int64) nn.Init {
	return func(t *torch.Tensor) error {
		var data []float32
		for h := range heads {
			angle := 2 * math.Pi * float64(h) / float64(heads)
			x, y := math.Cos(angle), math.Sin(angle)
			far := max(math.Abs(x), math.Abs(y))
			for range levels {
				for p := range points {
					data = append(data, float32(x/far*float64(p+1)), float32(y/far*float64(p+1)))
				}
			}
		}
		root := torch.NewRoot(torch.CPU)
		defer root.Close()
		return t.CopyFrom(torch.Of(root, data, int64(len(data))))
	}
}

// pyramid is the feature maps as deformable attention takes them.
type pyramid struct {
	values *torch.Tensor // (N, S, width), one level after the other
	shapes [][2]int64    // height and width of each
	keep   *torch.Tensor // (N, S, 1): 0 at padding, else 1; nil without padding
}

// attend gathers from the pyramid what queries (N, Q, width) look for around
// their reference points (N or 1, Q, levels or 1, 2 or 4: x, y, and width and
// height to which offsets relate; without these they are in cells of each level).
func (l *deformable) attend(query, reference *torch.Tensor, p pyramid) *torch.Tensor {
	return query.Sub(func() *torch.Tensor {
		n, q := query.Size(0), query.Size(1)
		values := l.value.Forward(p.values)
		if p.keep != nil {
			values = values.Mul(p.keep)
		}
		values = values.View(n, values.Size(1), l.heads, -1)
		offsets := l.offsets.Forward(query).To(torch.Float).View(n, q, l.heads, l.levels, l.points, 2)
		weights := l.weights.Forward(query).To(torch.Float).View(n, q, l.heads, l.levels*l.points).Softmax(3).View(n, q, l.heads, l.levels, l.points)
		centre := reference.Narrow(3, 0, 2).Unsqueeze(2).Unsqueeze(4)
		if reference.Size(3) == 4 {
			size := reference.Narrow(3, 2, 2).Unsqueeze(2).Unsqueeze(4)
			offsets = offsets.Mul(size).MulScalar(0.5 / float64(l.points))
		} else {
			offsets = offsets.Div(cells(query.Scope(), p.shapes))
		}
		return l.output.Forward(torch.DeformableAttention(values, p.shapes, centre.Add(offsets), weights))
	})
}

// cells is width and height of each level in cells, (levels, 1, 2).
func cells(s *torch.Scope, shapes [][2]int64) *torch.Tensor {
	var data []float32
	for _, shape := range shapes {
		data = append(data, float32(shape[1]), float32(shape[0]))
	}
	return torch.Of(s, data, int64(len(shapes)), 1, 2)
}

// logitEps keeps the logarithms of logit finite.
const logitEps = 1e-5

// logit is the inverse of the sigmoid, of x limited to 0..1.
func logit(x *torch.Tensor) *torch.Tensor {
	inf := math.Inf(1)
	x = x.Clamp(0, 1)
	return x.Clamp(logitEps, inf).Div(x.ScalarMinus(1).Clamp(logitEps, inf)).Log()
}

// list builds n modules at 0, 1, ….
func list[T any](b *nn.Builder, n int, build func(b *nn.Builder) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = build(b.Sub(strconv.Itoa(i)))
	}
	return out
}
