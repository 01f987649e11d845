package detection

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// Auxiliary says what a YOLO learns besides detecting, as the Python WildTrain's
// CustomYOLO does: how many objects a picture holds, how much of it they cover, and
// which boxes are objects. Small heads on maps within the network answer; they
// train with it, stand in its State under checkpoint.Auxiliary, and nothing but
// training uses them. Take DefaultAuxiliary and set weights.
type Auxiliary struct {
	Count, Area, TruePositive float64 // weights of the three losses; 0: not learnt

	CountRow, AreaRow int // rows of the architecture whose maps are read; AutoRow: what the head reads at stride 8, and at 16
	P3Row, P4Row      int // likewise those that the classifier of boxes reads

	Encoder        string          // a backbone that also sees the boxes and never trains; "" for none
	EncoderWeights wildtrain.State // its weights; nil: random ones, always the same
	EncoderSize    int             // side in px to which boxes are brought for it
	MinArea        float64         // px² below which a detection is not judged
	Seed           uint64          // of the choice of boxes
}

// AutoRow leaves the choice of a row to the architecture.
const AutoRow = -1

// DefaultAuxiliary learns nothing besides; its other settings are the reference's.
func DefaultAuxiliary() Auxiliary {
	return Auxiliary{CountRow: AutoRow, AreaRow: AutoRow, P3Row: AutoRow, P4Row: AutoRow, EncoderSize: 224, MinArea: 2500}
}

func (a Auxiliary) on() bool { return a.Count > 0 || a.Area > 0 || a.TruePositive > 0 }

func (a Auxiliary) validate() error {
	var errs problems
	for _, w := range []float64{a.Count, a.Area, a.TruePositive} {
		errs.check(w >= 0 && !math.IsInf(w, 0), "weight %g of an auxiliary loss", w)
	}
	errs.check(a.TruePositive == 0 || a.Encoder == "" || a.EncoderSize > 0, "side %d of the encoder's pictures must be above 0", a.EncoderSize)
	errs.check(a.MinArea >= 0, "negative area %g", a.MinArea)
	return errs.err()
}

// auxiliary are the built heads; nil where nothing is learnt besides.
type auxiliary struct {
	cfg   Auxiliary
	count *density // nil where it is not learnt, as the others
	area  *density
	boxes *boxJudge
}

// newAuxiliary builds the heads below b, on the maps of net.
func newAuxiliary(b *nn.Builder, net *network, cfg Auxiliary) (*auxiliary, error) {
	a := &auxiliary{cfg: cfg}
	var err error
	row := func(key string, given int, stride int64) int {
		if given == AutoRow {
			return net.readAt(stride)
		}
		if last := len(net.nodes) - 1; given < 0 || given >= last {
			err = errors.Join(err, fmt.Errorf("detection: %s: there is no row %d before the head: rows go from 0 to %d", key, given, last-1))
			return 0
		}
		return given
	}
	count, area := row("count regressor", cfg.CountRow, 8), row("area regressor", cfg.AreaRow, 16)
	p3, p4 := row("ROI classifier, p3", cfg.P3Row, 8), row("ROI classifier, p4", cfg.P4Row, 16)
	if err != nil {
		return nil, err
	}
	if cfg.Count > 0 {
		cells := objectsPerSide / float64(net.nodes[count].stride)
		a.count = newDensity(b.Sub("count"), net, count, 5/(cells*cells)) // the objects of a picture that the class branch begins with
	}
	if cfg.Area > 0 {
		a.area = newDensity(b.Sub("area"), net, area, 0.05)
	}
	if cfg.TruePositive > 0 {
		a.boxes, err = newBoxJudge(b.Sub("boxes"), net, p3, p4, cfg)
	}
	return a, err
}

// Close frees what the model's own store does not hold.
func (a *auxiliary) Close() error {
	if a == nil || a.boxes == nil || a.boxes.encoder == nil {
		return nil
	}
	return a.boxes.encoder.store.Close()
}

// rows are those whose maps the heads read.
func (a *auxiliary) rows() []int {
	if a == nil {
		return nil
	}
	var out []int
	for _, d := range []*density{a.count, a.area} {
		if d != nil {
			out = append(out, d.row)
		}
	}
	if a.boxes != nil {
		out = append(out, a.boxes.rows[:]...)
	}
	return out
}

// names are those of the losses, in the order of add.
func (a *auxiliary) names() []string {
	var out []string
	if a != nil && a.count != nil {
		out = append(out, "count_loss")
	}
	if a != nil && a.area != nil {
		out = append(out, "area_loss")
	}
	if a != nil && a.boxes != nil {
		out = append(out, "fp_tp_loss")
	}
	return out
}

// seen is what the heads learn from: a batch as the network saw it.
type seen struct {
	images  *torch.Tensor         // (N, 3, H, W)
	maps    map[int]*torch.Tensor // by row
	decoded func() *torch.Tensor  // (N, 4+nc, A): what the model finds, without gradient
	samples []wildtrain.Sample
	step    int64
}

// add puts the auxiliary losses to those of detecting: each behind the others, and
// all into the sum. All are per unit of target score, as those are.
func (a *auxiliary) add(found lossOutcome, v seen) (*torch.Tensor, error) {
	s, ts := v.images.Scope(), truths(v.samples)
	var parts []*torch.Tensor
	part := func(weight float64, answer *torch.Tensor, want []float32) {
		target := torch.Of(s, want, int64(len(want)))
		parts = append(parts, answer.SmoothL1(target, torch.Sum, 1).MulScalar(weight/found.norm))
	}
	counts, shares := perPicture(ts, len(v.samples), float32(v.images.Size(2)), float32(v.images.Size(3)))
	if a.count != nil {
		part(a.cfg.Count, a.count.forward(v.maps).Sum(1, 2, 3), counts)
	}
	if a.area != nil {
		part(a.cfg.Area, a.area.forward(v.maps).Mean(1, 2, 3), shares)
	}
	if a.boxes != nil {
		rois, overlaps := a.boxes.choose(v, ts)
		answer, err := a.boxes.forward(v, rois)
		if err != nil {
			return nil, err
		}
		part(a.cfg.TruePositive, answer, overlaps)
	}
	packed := found.packed
	sum := packed.Select(0, 0)
	for _, p := range parts {
		sum = sum.Add(p)
	}
	rest := packed.Narrow(0, 1, packed.Len()-1)
	return torch.Cat([]*torch.Tensor{sum.View(1), rest, torch.Stack(parts, 0)}, 0), s.Err()
}

// perPicture are the number of objects of each picture, and the sum of their areas
// within it as a share of its own.
func perPicture(ts []truth, n int, height, width float32) (counts, shares []float32) {
	counts, shares = make([]float32, n), make([]float32, n)
	for _, t := range ts {
		counts[t.image]++
		b := within(t.box, height, width)
		shares[t.image] += max(b[2]-b[0], 0) * max(b[3]-b[1], 0) / (height * width)
	}
	return counts, shares
}

// auxiliaryWidth is that of the heads' inner layers.
const auxiliaryWidth = 64

// density tells for each cell of a map how much of something it holds, above 0: its
// sum is a count, its mean a share of the picture.
type density struct {
	row    int
	layers nn.Sequential
}

// newDensity builds a density that begins with the value at everywhere.
func newDensity(b *nn.Builder, net *network, row int, at float64) *density {
	return &density{row, nn.Sequential{
		nn.NewConv2d(b.At(0), nn.Conv2dConfig{In: net.nodes[row].out, Out: auxiliaryWidth, Kernel: 1}), nn.SiLU,
		nn.NewConv2d(b.At(2), nn.Conv2dConfig{In: auxiliaryWidth, Out: 1, Kernel: 1, BiasInit: nn.Fill(math.Log(math.Expm1(at)))}),
	}}
}

// forward gives (N, 1, h, w).
func (d *density) forward(maps map[int]*torch.Tensor) *torch.Tensor {
	return d.layers.Forward(maps[d.row]).To(torch.Float).Softplus()
}

// readAt is the row that the head reads at a stride, its finest where there is none.
func (net *network) readAt(stride int64) int {
	from := net.nodes[len(net.nodes)-1].from
	for i, s := range net.head.Strides {
		if s == stride {
			return from[i]
		}
	}
	return from[0]
}

// onlyAuxiliary shows what weights of an earlier training hold for the heads.
type onlyAuxiliary struct{ wildtrain.State }

// Info implements wildtrain.State.
func (o onlyAuxiliary) Info(name string) (wildtrain.Info, bool) {
	if !strings.HasPrefix(name, checkpoint.Auxiliary) {
		return wildtrain.Info{}, false
	}
	return o.State.Info(name)
}
