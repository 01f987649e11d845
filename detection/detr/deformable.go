package detr

import (
	"fmt"
	"math"
	"strings"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/wildtrain"
)

// rare is the bias of class logits at which one in a hundred is probable (Lin et
// al. 2017, §4.1), so that training does not begin with a flood of objects.
var rare = nn.Fill(-math.Log((1 - 0.01) / 0.01))

// deformableNet is Deformable DETR: deformable attention over several maps.
type deformableNet struct {
	trunk      *backbone.Net
	input      []nn.Sequential
	queries    *nn.Embedding // position in the first half, content in the second; nil in two stages
	width      int64
	levelEmbed *torch.Tensor
	encoder    []*deformableEncoderLayer
	decoder    []*deformableDecoderLayer
	reference  *nn.Linear   // nil in two stages
	class      []*nn.Linear // one for all layers, or one per layer with refinement, and one more for proposals
	box        []mlp
	refine     bool
	twoStage   *twoStage // nil in one stage
	keep       int64     // proposals that become queries
}

// twoStage makes queries of the encoder's proposals (arXiv 2010.04159, §A.4).
type twoStage struct {
	output      *nn.Linear
	outputNorm  *nn.LayerNorm
	queries     *nn.Linear
	queriesNorm *nn.LayerNorm
}

func newDeformableNet(b *nn.Builder, c Config) (*deformableNet, error) {
	trunk, err := newTrunk(b, c)
	if err != nil {
		return nil, err
	}
	t := b.Sub("transformer")
	n := &deformableNet{trunk: trunk, width: c.Hidden, refine: c.Refine, keep: c.Queries}
	n.inputs(b.Sub("input_proj"), c)
	n.levelEmbed = t.Parameter("level_embed", wildtrain.Biases, nn.NormalInit(0, 1), c.Levels, c.Hidden)
	n.encoder = list(t.Sub("encoder").Sub("layers"), c.EncoderLayers, func(b *nn.Builder) *deformableEncoderLayer { return newDeformableEncoderLayer(b, c) })
	n.decoder = list(t.Sub("decoder").Sub("layers"), c.DecoderLayers, func(b *nn.Builder) *deformableDecoderLayer { return newDeformableDecoderLayer(b, c) })
	heads, side := 1, -2.0
	if c.Refine {
		heads = c.DecoderLayers
	}
	if c.TwoStage {
		heads, side = heads+1, 0
		n.twoStage = &twoStage{
			output: xavier(t.Sub("enc_output"), c.Hidden, c.Hidden, nil), outputNorm: nn.NewLayerNorm(t.Sub("enc_output_norm"), c.Hidden, layerEps),
			queries: xavier(t.Sub("pos_trans"), 2*c.Hidden, 2*c.Hidden, nil), queriesNorm: nn.NewLayerNorm(t.Sub("pos_trans_norm"), 2*c.Hidden, layerEps),
		}
	} else {
		n.queries = nn.NewEmbedding(b.Sub("query_embed"), c.Queries, 2*c.Hidden)
		n.reference = xavier(t.Sub("reference_points"), c.Hidden, 2, nn.Fill(0))
	}
	n.class = list(b.Sub("class_embed"), heads, func(b *nn.Builder) *nn.Linear { return nn.NewLinearFrom(b, c.Hidden, int64(len(c.Classes)), nil, rare) })
	n.box = list(b.Sub("bbox_embed"), heads, func(b *nn.Builder) mlp {
		return newMLP(b, nil, nn.Fill(0), sides(side), c.Hidden, c.Hidden, c.Hidden, 4)
	})
	return n, nil
}

// sides is a bias of zero for a box's centre and v for its width and height.
func sides(v float64) nn.Init {
	return func(t *torch.Tensor) error {
		root := torch.NewRoot(torch.CPU)
		defer root.Close()
		return t.CopyFrom(torch.Of(root, []float32{0, 0, float32(v), float32(v)}, 4))
	}
}

// inputs builds projections of the last maps and, below them, of further ones.
func (n *deformableNet) inputs(b *nn.Builder, c Config) {
	own := min(c.Levels, 3)
	if c.Levels == 1 {
		own = 1
	}
	channels := n.trunk.Channels[int64(len(n.trunk.Channels))-own:]
	for i := range c.Levels {
		conv := nn.Conv2dConfig{Out: c.Hidden, Kernel: 1, BiasInit: nn.Fill(0)}
		switch {
		case i < own:
			conv.In = channels[i]
		case i == own:
			conv.In, conv.Kernel, conv.Stride, conv.Padding = channels[own-1], 3, 2, 1
		default:
			conv.In, conv.Kernel, conv.Stride, conv.Padding = c.Hidden, 3, 2, 1
		}
		area := conv.Kernel * conv.Kernel
		conv.WeightInit = nn.XavierUniform(conv.In*area, conv.Out*area)
		at := b.At(int(i))
		n.input = append(n.input, nn.Sequential{nn.NewConv2d(at.At(0), conv), nn.NewGroupNorm(at.At(1), normGroups, c.Hidden)})
	}
}

// slow: sampling places learn as slowly as the backbone (arXiv 2010.04159, §A.5).
func (n *deformableNet) slow(name string) bool {
	return strings.Contains(name, ".sampling_offsets.") || strings.Contains(name, ".reference_points.")
}

// levels are the projected maps.
func (n *deformableNet) levels(x *torch.Tensor) []*torch.Tensor {
	maps := n.trunk.Maps(x)
	maps = maps[max(len(maps)-3, 0):]
	if len(n.input) < len(maps) {
		maps = maps[len(maps)-len(n.input):]
	}
	var out []*torch.Tensor
	for i, project := range n.input {
		switch {
		case i < len(maps):
			out = append(out, project.Forward(maps[i]))
		case i == len(maps):
			out = append(out, project.Forward(maps[i-1]))
		default:
			out = append(out, project.Forward(out[i-1]))
		}
	}
	return out
}

func (n *deformableNet) forward(x *torch.Tensor, p padded, _ *noise) outputs {
	s := x.Scope()
	var flat, where, keep []*torch.Tensor
	var memory pyramid
	for i, level := range n.levels(x) {
		shape := shapeOf(level)
		memory.shapes = append(memory.shapes, shape)
		flat = append(flat, positions(level))
		where = append(where, position(s, p, shape, n.width, 0.5).Add(s.Borrow(n.levelEmbed).Select(0, int64(i)).View(1, 1, n.width)))
		keep = append(keep, p.mask(s, shape))
	}
	memory.values = torch.Cat(flat, 1)
	if p.valid != nil {
		memory.keep = torch.Cat(keep, 1).Unsqueeze(2)
	}
	places, at := torch.Cat(where, 1), references(s, p, memory.shapes)
	for _, l := range n.encoder {
		memory.values = l.forward(memory, places, at)
	}
	var out outputs
	content, query, reference := n.start(memory, p, &out)
	out.layers = n.decode(content, query, reference, memory, p)
	return out
}

// start makes the first state of the queries, their position (both N, Q, width)
// and their reference points (N, Q, 2 or 4).
func (n *deformableNet) start(memory pyramid, p padded, out *outputs) (content, query, reference *torch.Tensor) {
	s, images := memory.values.Scope(), memory.values.Size(0)
	if n.twoStage == nil {
		table := s.Borrow(n.queries.Weight).Unsqueeze(0).Expand(images, -1, -1)
		query, content = table.Narrow(2, 0, n.width), table.Narrow(2, n.width, n.width)
		return content, query, n.reference.Forward(query).To(torch.Float).Sigmoid()
	}
	anchors, counts := proposals(s, p, memory.shapes)
	t, last := n.twoStage, len(n.class)-1
	found := t.outputNorm.Forward(t.output.Forward(memory.values.Mul(counts)))
	logits := n.class[last].Forward(found).To(torch.Float)
	boxes := n.box[last].Forward(found).To(torch.Float).Add(anchors)
	out.dense = &answers{logits: logits, boxes: boxes.Sigmoid()}
	_, best := logits.Detach().Select(2, 0).TopK(min(n.keep, logits.Size(1)), 1)
	reference = rows(boxes.Detach(), best).Sigmoid()
	both := t.queriesNorm.Forward(t.queries.Forward(boxSines(reference, n.width/2)))
	return both.Narrow(2, n.width, n.width), both.Narrow(2, 0, n.width), reference
}

// boxSines embeds boxes (N, Q, 4) by the sines and cosines, in turn, of each
// coordinate: (N, Q, 4·width), 2π across the picture.
func boxSines(boxes *torch.Tensor, width int64) *torch.Tensor {
	coordinates := boxes.Float32s(nil)
	data := make([]float32, int64(len(coordinates))*width)
	for i, c := range coordinates {
		sines(data[int64(i)*width:int64(i+1)*width], float64(c)*2*math.Pi)
	}
	return torch.Of(boxes.Scope(), data, boxes.Size(0), boxes.Size(1), 4*width)
}

// decode runs the decoder and answers after every layer.
func (n *deformableNet) decode(x, query, reference *torch.Tensor, memory pyramid, p padded) []answers {
	share := shares(x.Scope(), p, memory.shapes).Unsqueeze(1) // (N or 1, 1, levels, 2)
	both := torch.Cat([]*torch.Tensor{share, share}, 3)
	var out []answers
	for i, l := range n.decoder {
		seen := reference.Unsqueeze(2)
		if reference.Size(2) == 4 {
			seen = seen.Mul(both)
		} else {
			seen = seen.Mul(share)
		}
		x = l.forward(x, query, seen, memory, nil)
		head := min(i, len(n.class)-1)
		delta := n.box[head].Forward(x).To(torch.Float)
		from := logit(reference)
		if reference.Size(2) == 2 {
			from = from.Pad(0, 0, 2) // sides are not relative to anything
		}
		boxes := delta.Add(from).Sigmoid()
		out = append(out, answers{logits: n.class[head].Forward(x).To(torch.Float), boxes: boxes})
		if n.refine {
			reference = boxes.Detach()
		}
	}
	return out
}

// deformableEncoderLayer lets every cell look around itself in all levels: names
// self_attn, norm1, linear1, linear2, norm2.
type deformableEncoderLayer struct {
	attention   *deformable
	first, last residual
	feed        *feedForward
}

func newDeformableEncoderLayer(b *nn.Builder, c Config) *deformableEncoderLayer {
	return &deformableEncoderLayer{
		attention: newDeformable(b.Sub("self_attn"), c.Hidden, c.Heads, c.Levels, c.Points),
		feed:      newFeedForward(b, c.Hidden, c.EncoderFeedForward, nn.ReLU, c.Dropout),
		first:     newResidual(b.Sub("norm1"), c.Hidden, c.Dropout), last: newResidual(b.Sub("norm2"), c.Hidden, c.Dropout),
	}
}

func (l *deformableEncoderLayer) forward(memory pyramid, places, at *torch.Tensor) *torch.Tensor {
	x := memory.values
	return x.Sub(func() *torch.Tensor {
		x := l.first.join(x, l.attention.attend(x.Add(places), at, memory))
		return l.last.join(x, l.feed.Forward(x))
	})
}

// deformableDecoderLayer: the names of norm1 and norm2 tell of their order, which
// differs between the families. Deformable DETR counts the cross attention's
// first, RT-DETR the self attention's.
type deformableDecoderLayer struct {
	self                *nn.MultiheadAttention
	cross               *deformable
	first, second, last residual
	feed                *feedForward
}

func newDeformableDecoderLayer(b *nn.Builder, c Config) *deformableDecoderLayer {
	first, second := 2, 1
	if c.Family == RTDETR {
		first, second = 1, 2
	}
	norm := func(i int) residual { return newResidual(b.Sub(fmt.Sprintf("norm%d", i)), c.Hidden, c.Dropout) }
	return &deformableDecoderLayer{
		self:  nn.NewMultiheadAttention(b.Sub("self_attn"), c.Hidden, c.Heads, c.Dropout),
		cross: newDeformable(b.Sub("cross_attn"), c.Hidden, c.Heads, c.Levels, c.Points),
		feed:  newFeedForward(b, c.Hidden, c.DecoderFeedForward, nn.ReLU, c.Dropout),
		first: norm(first), second: norm(second), last: norm(3),
	}
}

// forward maps the state of the queries (N, Q, width), whose self attention mask
// (Q, Q) may be nil.
func (l *deformableDecoderLayer) forward(x, query, reference *torch.Tensor, memory pyramid, mask *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		q := x.Add(query)
		x := l.first.join(x, l.self.Attend(q, q, x, mask))
		x = l.second.join(x, l.cross.attend(x.Add(query), reference, memory))
		return l.last.join(x, l.feed.Forward(x))
	})
}
