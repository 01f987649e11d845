package detr

import (
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// realTime is RT-DETR.
type realTime struct {
	trunk   *vd
	encoder *hybrid
	input   []nn.Sequential
	keep    int64

	denoising *nn.Embedding // of classes; the last row is no class; nil without denoising
	place     mlp           // embeds boxes

	found     nn.Sequential // of the encoder's cells
	foundHead *nn.Linear
	foundBox  mlp

	layers []*deformableDecoderLayer
	class  []*nn.Linear
	box    []mlp
}

func newRealTime(b *nn.Builder, c Config) (*realTime, error) {
	trunk, err := newVD(b.Sub("backbone"), c.Backbone, *c.FrozenNorm)
	if err != nil {
		return nil, err
	}
	n := &realTime{trunk: trunk, keep: c.Queries}
	n.encoder = newHybrid(b.Sub("encoder"), trunk.channels[1:], c)
	d, w, classes := b.Sub("decoder"), c.Hidden, int64(len(c.Classes))
	n.input = list(d.Sub("input_proj"), len(trunk.channels)-1, func(b *nn.Builder) nn.Sequential {
		return newConvNorm(b, nn.Conv2dConfig{In: c.EncoderHidden, Out: w, Kernel: 1}, false, nil)
	})
	n.layers = list(d.Sub("decoder").Sub("layers"), c.DecoderLayers, func(b *nn.Builder) *deformableDecoderLayer { return newDeformableDecoderLayer(b, c) })
	if c.Denoising.Queries > 0 {
		n.denoising = newClassTable(d.Sub("denoising_class_embed"), classes, w)
	}
	zero := nn.Fill(0)
	n.place = newMLP(d.Sub("query_pos_head"), nn.XavierUniform, nil, nil, 4, 2*w, w)
	found := d.Sub("enc_output")
	n.found = nn.Sequential{xavier(found.At(0), w, w, nil), nn.NewLayerNorm(found.At(1), w, layerEps)}
	n.foundHead = nn.NewLinearFrom(d.Sub("enc_score_head"), w, classes, nil, rare)
	n.foundBox = newMLP(d.Sub("enc_bbox_head"), nil, zero, zero, w, w, w, 4)
	n.class = list(d.Sub("dec_score_head"), c.DecoderLayers, func(b *nn.Builder) *nn.Linear { return nn.NewLinearFrom(b, w, classes, nil, rare) })
	n.box = list(d.Sub("dec_bbox_head"), c.DecoderLayers, func(b *nn.Builder) mlp { return newMLP(b, nil, zero, zero, w, w, w, 4) })
	return n, nil
}

func (n *realTime) slow(string) bool { return false }

func (n *realTime) forward(x *torch.Tensor, p padded, noise *noise) outputs {
	var flat []*torch.Tensor
	var memory pyramid
	for i, m := range n.encoder.forward(n.trunk.maps(x)[1:]) {
		m = n.input[i].Forward(m)
		memory.shapes = append(memory.shapes, shapeOf(m))
		flat = append(flat, positions(m))
	}
	memory.values = torch.Cat(flat, 1)
	content, boxes, early := n.propose(memory, p)
	out := outputs{early: &early}
	var mask *torch.Tensor
	noised := int64(0)
	if noise != nil {
		noised = noise.count
		content = torch.Cat([]*torch.Tensor{noise.content(content.Scope(), n.denoising).To(content.DType()), content}, 1)
		boxes = torch.Cat([]*torch.Tensor{noise.tensor(boxes.Scope()), boxes}, 1)
		mask = noise.mask(boxes.Scope(), boxes.Size(1))
	}
	for _, a := range n.decode(content, boxes, memory, mask) {
		q := a.logits.Size(1) - noised
		part := func(start, length int64) answers {
			return answers{logits: a.logits.Narrow(1, start, length), boxes: a.boxes.Narrow(1, start, length)}
		}
		if noised > 0 {
			out.noised = append(out.noised, part(0, noised))
		}
		out.layers = append(out.layers, part(noised, q))
	}
	return out
}

// propose selects the cells that most probably hold an object: the first state
// of their queries (N, Q, width), their boxes as logits (N, Q, 4), and the answers.
func (n *realTime) propose(memory pyramid, p padded) (content, boxes *torch.Tensor, early answers) {
	anchors, counts := proposals(memory.values.Scope(), padded{height: p.height, width: p.width}, memory.shapes)
	found := n.found.Forward(memory.values.Mul(counts))
	logits := n.foundHead.Forward(found).To(torch.Float)
	all := n.foundBox.Forward(found).To(torch.Float).Add(anchors)
	_, best := logits.Detach().Max(2).TopK(min(n.keep, logits.Size(1)), 1)
	boxes = rows(all, best)
	return rows(found, best).Detach(), boxes.Detach(), answers{logits: rows(logits, best), boxes: boxes.Sigmoid()}
}

// decode runs the decoder from boxes given as logits and answers after every
// layer. A layer's boxes pass their gradient on to the correction of the layer
// before too, but no further (arXiv 2203.03605, §3.5, "look forward twice").
func (n *realTime) decode(x, boxes *torch.Tensor, memory pyramid, mask *torch.Tensor) []answers {
	reference := boxes.Sigmoid()
	before := reference
	var out []answers
	for i, l := range n.layers {
		x = l.forward(x, n.place.Forward(reference), reference.Unsqueeze(2), memory, mask)
		delta := n.box[i].Forward(x).To(torch.Float)
		out = append(out, answers{logits: n.class[i].Forward(x).To(torch.Float), boxes: delta.Add(logit(before)).Sigmoid()})
		before = delta.Add(logit(reference)).Sigmoid()
		reference = before.Detach()
	}
	return out
}
