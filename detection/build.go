package detection

import (
	"math"
	"slices"
	"strconv"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/block"
)

// node is one row of the built network.
type node struct {
	module nn.Module // nil for Concat and the head
	from   []int     // absolute rows; −1 is the image
	out    int64     // channels
	stride int64
	last   int // the last row that reads this one's output
}

// network is a built architecture: a graph of nodes that ends in a head.
type network struct {
	nodes []node
	head  *Head
}

// rowArgs reads the arguments of a row.
type rowArgs struct {
	a   *Architecture
	row Row
	err error
}

func (r *rowArgs) number(i int, missing float64) float64 {
	if i >= len(r.row.Args) {
		return missing
	}
	v, err := strconv.ParseFloat(r.row.Args[i], 64)
	if err != nil && r.err == nil {
		r.err = r.a.errorf(r.row, "argument %d: %q is not a number", i, r.row.Args[i])
	}
	return v
}

func (r *rowArgs) int(i int, missing int64) int64 { return int64(r.number(i, float64(missing))) }

func (r *rowArgs) bool(i int, missing bool) bool {
	if i >= len(r.row.Args) {
		return missing
	}
	v, err := strconv.ParseBool(r.row.Args[i])
	if err != nil && r.err == nil {
		r.err = r.a.errorf(r.row, "argument %d: %q is not true or false", i, r.row.Args[i])
	}
	return v
}

// channels is argument i, scaled by width.
func (r *rowArgs) channels(i int) int64 {
	if len(r.row.Args) <= i {
		r.err = r.a.errorf(r.row, "the number of channels is missing")
		return 8
	}
	c := r.number(i, 0)
	if c < 1 || c > 1<<16 {
		if r.err == nil {
			r.err = r.a.errorf(r.row, "%q channels", r.row.Args[i])
		}
		return 8
	}
	return nn.MakeDivisible(math.Min(c, r.a.MaxChannels)*r.a.Width, 8)
}

// repeats is the row's count, scaled by depth.
func (r *rowArgs) repeats() int {
	if r.row.Repeats == 1 {
		return 1
	}
	return max(int(math.RoundToEven(float64(r.row.Repeats)*r.a.Depth)), 1)
}

// build makes the layers of a under the names model.0, model.1, …
func build(b *nn.Builder, a *Architecture, classes int64) (*network, error) {
	net := &network{}
	for i, row := range a.Rows {
		n := node{last: i}
		for _, f := range row.From {
			if f < 0 {
				f += i
			}
			n.from = append(n.from, f)
			if f >= 0 {
				net.nodes[f].last = i
			}
		}
		args := &rowArgs{a: a, row: row}
		net.layer(b.At(i), args, &n, classes)
		if args.err != nil {
			return nil, args.err
		}
		net.nodes = append(net.nodes, n)
	}
	return net, nil
}

// input returns channels and stride of what row n reads.
func (net *network) input(n *node) (channels, stride int64) {
	if n.from[0] < 0 {
		return 3, 1
	}
	return net.nodes[n.from[0]].out, net.nodes[n.from[0]].stride
}

// layer builds one row into n.
func (net *network) layer(b *nn.Builder, r *rowArgs, n *node, classes int64) {
	in, stride := net.input(n)
	n.stride, n.out = stride, in
	switch r.row.Module {
	case "Conv":
		n.out = r.channels(0)
		step := max(r.int(2, 1), 1)
		n.stride *= step
		n.module = block.NewConv(b, block.ConvConfig{In: in, Out: n.out, Kernel: r.int(1, 1), Stride: step})
	case "C2f":
		n.out = r.channels(0)
		n.module = block.NewC2f(b, in, n.out, r.repeats(), r.bool(1, false), 0.5)
	case "C3":
		n.out = r.channels(0)
		n.module = block.NewC3(b, in, n.out, r.repeats(), r.bool(1, true), 0.5, 1, 3)
	case "C2":
		n.out = r.channels(0)
		n.module = block.NewC2(b, in, n.out, r.repeats(), r.bool(1, true), 0.5)
	case "C3k2":
		n.out = r.channels(0)
		n.module = r.c3k2(b, in, n.out)
	case "A2C2f":
		n.out = r.channels(0)
		n.module = r.a2c2f(b, in, n.out)
	case "SPPF":
		n.out = r.channels(0)
		// a row that tells the number of pools is of the later, linear form
		n.module = block.NewSPPF(b, block.SPPFConfig{
			In: in, Out: n.out, Kernel: r.int(1, 5), Pools: r.int(2, 3), Linear: len(r.row.Args) > 2, Shortcut: r.bool(3, false),
		})
	case "C2PSA":
		n.out = r.channels(0)
		if n.out != in {
			r.err = r.a.errorf(r.row, "%d channels in and %d out must be equal", in, n.out)
			return
		}
		n.module = block.NewC2PSA(b, in, r.repeats(), 0.5)
	case "Upsample":
		factor := r.int(1, 2)
		if factor < 1 || stride%factor != 0 {
			r.err = r.a.errorf(r.row, "factor %d at stride %d", factor, stride)
			return
		}
		n.stride /= factor
		n.module = nn.Upsample{Factor: factor}
	case "MaxPool2d":
		k, step := r.int(0, 2), r.int(1, 2)
		n.stride *= step
		n.module = nn.MaxPool2d{Kernel: k, Stride: step, Padding: r.int(2, 0)}
	case "Concat":
		net.concat(r, n)
	case "Detect", "Segment":
		net.detect(b, r, n, classes)
	default:
		r.err = r.a.errorf(r.row, "unknown module: known are Conv, C2, C2f, C3, C3k2, A2C2f, SPPF, C2PSA, Upsample, MaxPool2d, Concat, Detect, Segment")
	}
}

// c3k2 has the arguments channels, c3k, expansion, attention.
func (r *rowArgs) c3k2(b *nn.Builder, in, out int64) nn.Module {
	expansion := r.number(2, 0.5)
	if r.bool(3, false) {
		return block.NewC3k2Attention(b, in, out, r.repeats(), expansion)
	}
	wide := r.a.Width >= 1 // sizes m, l and x use the deeper form everywhere
	return block.NewC3k2(b, in, out, r.repeats(), wide || r.bool(1, false), expansion)
}

// a2c2f has the arguments channels, attention, area. Sizes l and x add a residual
// and have narrower attention blocks.
func (r *rowArgs) a2c2f(b *nn.Builder, in, out int64) nn.Module {
	c := block.A2C2fConfig{In: in, Out: out, N: int64(r.repeats()), Attention: r.bool(1, true), Area: r.int(2, 1), Ratio: 2}
	if c.Attention && (c.Area < 1 || out%(2*block.AreaHead) != 0) {
		r.err = r.a.errorf(r.row, "%d channels in %d areas: channels must be a multiple of %d, areas above 0", out, c.Area, 2*block.AreaHead)
		return nil
	}
	if r.a.Depth >= 1 {
		c.Residual, c.Ratio = in == out, 1.2
	}
	return block.NewA2C2f(b, c)
}

func (net *network) concat(r *rowArgs, n *node) {
	n.out = 0
	for _, f := range n.from {
		if f < 0 || net.nodes[f].stride != n.stride {
			r.err = r.a.errorf(r.row, "the joined rows have different sizes")
			return
		}
		n.out += net.nodes[f].out
	}
}

func (net *network) detect(b *nn.Builder, r *rowArgs, n *node, classes int64) {
	var channels, strides []int64
	for _, f := range n.from {
		if f < 0 {
			r.err = r.a.errorf(r.row, "a head on the image itself")
			return
		}
		channels = append(channels, net.nodes[f].out)
		strides = append(strides, net.nodes[f].stride)
	}
	c := headConfig{channels: channels, strides: strides, classes: classes, regMax: r.a.RegMax, modern: r.a.modern(), endToEnd: r.a.EndToEnd}
	if r.row.Module == "Segment" {
		r.segment(&c)
	}
	if r.err == nil {
		net.head = newHead(b, c)
	}
}

// stride is the coarsest of the head's: input sides must be multiples of it.
func (net *network) stride() int64 {
	s := int64(1)
	for _, v := range net.head.Strides {
		s = max(s, v)
	}
	return s
}

// forward returns the raw head outputs by level of the branches that learn every
// anchor of an object.
func (net *network) forward(x *torch.Tensor) []*torch.Tensor { return net.outputs(x, true, false).many }

// rawOutputs are what a head says of images: of either kind of branches, nil for
// those that were not asked for or are not there, one (N, 4·reg_max+nc+masks, h, w)
// per level; and the prototypes of masks (N, masks, H, W), nil without.
type rawOutputs struct {
	many, one []*torch.Tensor
	protos    *torch.Tensor
	maps      map[int]*torch.Tensor // outputs of the rows that were asked for
}

// outputs runs the network. The one-to-one branches learn for themselves: their
// gradient ends at the head (YOLO26), so that it does not disturb the network.
func (net *network) outputs(x *torch.Tensor, wantMany, wantOne bool, rows ...int) (out rawOutputs) {
	var maps []*torch.Tensor
	maps, out.maps = net.features(x, rows)
	if wantMany {
		out.many = net.head.many.forward(maps)
	}
	if wantMany && net.head.proto != nil {
		out.protos = net.head.proto.Forward(maps[0])
	}
	if wantOne && net.head.one != nil {
		apart := make([]*torch.Tensor, len(maps))
		for i, m := range maps {
			apart[i] = m.Detach()
		}
		out.one = net.head.one.forward(apart)
	}
	if len(rows) == 0 {
		free(maps)
	}
	return out
}

// features returns the maps that the head reads, and the outputs of the rows to
// keep. Those of others are freed after their last reader; what backward needs stays.
func (net *network) features(x *torch.Tensor, keep []int) (maps []*torch.Tensor, kept map[int]*torch.Tensor) {
	outs := make([]*torch.Tensor, len(net.nodes))
	for i := range net.nodes {
		n := &net.nodes[i]
		in := make([]*torch.Tensor, len(n.from))
		for k, f := range n.from {
			if in[k] = x; f >= 0 {
				in[k] = outs[f]
			}
		}
		switch {
		case i == len(net.nodes)-1:
			kept = map[int]*torch.Tensor{}
			for _, row := range keep {
				kept[row] = outs[row]
			}
			return in, kept
		case n.module != nil:
			outs[i] = n.module.Forward(in[0])
		default:
			outs[i] = torch.Cat(in, 1)
		}
		for _, f := range n.from {
			if f >= 0 && net.nodes[f].last == i && !slices.Contains(keep, f) {
				outs[f].Free()
			}
		}
	}
	return nil, nil
}

func free(ts []*torch.Tensor) {
	for _, t := range ts {
		t.Free()
	}
}
