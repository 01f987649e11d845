package detr

import (
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
)

// plainNet is DETR: a transformer over the last feature map.
type plainNet struct {
	trunk   *backbone.Net
	input   *nn.Conv2d
	queries *nn.Embedding
	width   int64
	encoder []*encoderLayer
	decoder []*plainLayer
	norm    *nn.LayerNorm // of each decoder layer's result
	class   *nn.Linear
	box     mlp
}

func newPlain(b *nn.Builder, c Config) (*plainNet, error) {
	trunk, err := newTrunk(b, c)
	if err != nil {
		return nil, err
	}
	t := b.Sub("transformer")
	return &plainNet{
		trunk: trunk, width: c.Hidden,
		input:   nn.NewConv2d(b.Sub("input_proj"), nn.Conv2dConfig{In: trunk.Channels[len(trunk.Channels)-1], Out: c.Hidden, Kernel: 1}),
		queries: nn.NewEmbedding(b.Sub("query_embed"), c.Queries, c.Hidden),
		encoder: list(t.Sub("encoder").Sub("layers"), c.EncoderLayers, func(b *nn.Builder) *encoderLayer {
			return newEncoderLayer(b, c.Hidden, c.Heads, c.EncoderFeedForward, nn.ReLU, c.Dropout)
		}),
		decoder: list(t.Sub("decoder").Sub("layers"), c.DecoderLayers, func(b *nn.Builder) *plainLayer { return newPlainLayer(b, c) }),
		norm:    nn.NewLayerNorm(t.Sub("decoder").Sub("norm"), c.Hidden, layerEps),
		class:   nn.NewLinearFrom(b.Sub("class_embed"), c.Hidden, int64(len(c.Classes))+1, nil, nil),
		box:     newMLP(b.Sub("bbox_embed"), nil, nil, nil, c.Hidden, c.Hidden, c.Hidden, 4),
	}, nil
}

func (n *plainNet) slow(string) bool { return false }

func (n *plainNet) forward(x *torch.Tensor, p padded, _ *noise) outputs {
	s := x.Scope()
	maps := n.trunk.Maps(x)
	last := maps[len(maps)-1]
	shape := shapeOf(last)
	memory := positions(n.input.Forward(last))
	where := position(s, p, shape, n.width, 0)
	mask := hidden(p.mask(s, shape))
	for _, l := range n.encoder {
		memory = l.forward(memory, where, mask)
	}
	queries := s.Borrow(n.queries.Weight).Unsqueeze(0).Expand(memory.Size(0), -1, -1)
	keys := memory.Add(where)
	state := queries.MulScalar(0)
	var out outputs
	for _, l := range n.decoder {
		state = l.forward(state, queries, keys, memory, mask)
		normed := n.norm.Forward(state)
		out.layers = append(out.layers, answers{logits: n.class.Forward(normed).To(torch.Float), boxes: n.box.Forward(normed).To(torch.Float).Sigmoid()})
	}
	return out
}

// hidden turns a mask (N, S) of what is kept into what is added to scores
// (N, 1, 1, S); nil stays nil.
func hidden(keep *torch.Tensor) *torch.Tensor {
	if keep == nil {
		return nil
	}
	zero := keep.MulScalar(0)
	return keep.EqualScalar(0).Where(zero.AddScalar(math.Inf(-1)), zero).Unsqueeze(1).Unsqueeze(1)
}

// plainLayer is a decoder layer: names self_attn, norm1, multihead_attn, norm2,
// linear1, linear2, norm3.
type plainLayer struct {
	self, cross         *nn.MultiheadAttention
	first, second, last residual
	feed                *feedForward
}

func newPlainLayer(b *nn.Builder, c Config) *plainLayer {
	return &plainLayer{
		self:  nn.NewMultiheadAttention(b.Sub("self_attn"), c.Hidden, c.Heads, c.Dropout),
		cross: nn.NewMultiheadAttention(b.Sub("multihead_attn"), c.Hidden, c.Heads, c.Dropout),
		feed:  newFeedForward(b, c.Hidden, c.DecoderFeedForward, nn.ReLU, c.Dropout),
		first: newResidual(b.Sub("norm1"), c.Hidden, c.Dropout), second: newResidual(b.Sub("norm2"), c.Hidden, c.Dropout), last: newResidual(b.Sub("norm3"), c.Hidden, c.Dropout),
	}
}

// forward maps the state of the queries (N, Q, width).
func (l *plainLayer) forward(x, queries, keys, memory, mask *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		q := x.Add(queries)
		x := l.first.join(x, l.self.Attend(q, q, x, nil))
		x = l.second.join(x, l.cross.Attend(x.Add(queries), keys, memory, mask))
		return l.last.join(x, l.feed.Forward(x))
	})
}
