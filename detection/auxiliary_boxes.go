package detection

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
)

// boxJudge tells of boxes how well they fit an object: true detections from false
// ones. It sees two maps of the network and, through a frozen encoder, the pixels.
type boxJudge struct {
	rows    [2]int // P3 and P4
	strides [2]int64
	maps    nn.Sequential // from both maps' channels in a box
	encoder *encoder      // nil without
	answer  nn.Sequential
	classes int
	cfg     Auxiliary
}

const (
	judged    = 8    // boxes of a picture
	doubtful  = 0.1  // detections between these scores are judged: of the others
	doubtless = 0.9  // the model is sure itself
	boxCells  = 7    // side of what is read of a map in a box
	leastSide = 0.05 // of made-up boxes, as a share of the picture's
	mostSide  = 0.5
)

func newBoxJudge(b *nn.Builder, net *network, p3, p4 int, cfg Auxiliary) (*boxJudge, error) {
	j := &boxJudge{rows: [2]int{p3, p4}, strides: [2]int64{net.nodes[p3].stride, net.nodes[p4].stride}, classes: int(net.head.Classes), cfg: cfg}
	j.maps = nn.Sequential{nn.NewConv2d(b.Sub("maps"), nn.Conv2dConfig{In: net.nodes[p3].out + net.nodes[p4].out, Out: auxiliaryWidth, Kernel: 1}), nn.SiLU}
	width := int64(auxiliaryWidth)
	if cfg.Encoder != "" {
		var err error
		if j.encoder, err = newEncoder(b.Store().Device(), cfg); err != nil {
			return nil, err
		}
		width += j.encoder.net.Width
	}
	j.answer = nn.Sequential{nn.NewLinear(b.Sub("answer").At(0), width, auxiliaryWidth, true), nn.SiLU, nn.NewLinear(b.Sub("answer").At(2), auxiliaryWidth, 1, true), nn.Sigmoid}
	return j, nil
}

// forward judges regions (K, 5: picture, corners in px): (K) values in 0..1.
func (j *boxJudge) forward(v seen, rois *torch.Tensor) (*torch.Tensor, error) {
	read := make([]*torch.Tensor, 2, 3)
	for i, row := range j.rows {
		read[i] = v.maps[row].RoIAlign(rois, torch.RoIAlignOptions{Scale: 1 / float64(j.strides[i]), Height: boxCells, Width: boxCells, Sampling: 2, Aligned: true})
	}
	features := []*torch.Tensor{j.maps.Forward(torch.Cat(read, 1)).To(torch.Float).Mean(2, 3)}
	if j.encoder != nil {
		seen, err := j.encoder.forward(v.images, rois)
		if err != nil {
			return nil, err
		}
		features = append(features, seen)
	}
	return j.answer.Forward(torch.Cat(features, 1)).To(torch.Float).View(-1), nil
}

// choose picks the boxes of each picture that are judged, (K, 5), and tells each
// one's overlap with the object that it fits best: its CIoU, 0 at least, since
// nothing in a box tells how far from an object it lies. They are detections that
// are in doubt, by chance; where there are none, made-up boxes.
func (j *boxJudge) choose(v seen, ts []truth) (rois *torch.Tensor, overlaps []float32) {
	decoded := v.decoded()
	shape, values := decoded.Shape(), decoded.Float32s(nil)
	s := v.images.Scope()
	if s.Err() != nil {
		return s.Zeros(torch.Float, 0, 5), nil // the run ends with its error
	}
	height, width := float32(v.images.Size(2)), float32(v.images.Size(3))
	own := make([][]truth, len(v.samples))
	for _, t := range ts {
		own[t.image] = append(own[t.image], t)
	}
	var rows []float32
	per := int(shape[1] * shape[2])
	for i := range v.samples {
		chance := j.chance(v.samples[i].ID, v.step)
		boxes := j.doubted(values[i*per:(i+1)*per], int(shape[2]), height, width)
		chance.Shuffle(len(boxes), func(a, b int) { boxes[a], boxes[b] = boxes[b], boxes[a] })
		boxes = boxes[:min(judged, len(boxes))]
		if len(boxes) == 0 {
			boxes = madeUp(chance, own[i], height, width)
		}
		for _, b := range boxes {
			rows = append(rows, float32(i), b[0], b[1], b[2], b[3])
			overlaps = append(overlaps, bestOverlap(own[i], b))
		}
	}
	return torch.Of(s, rows, int64(len(overlaps)), 5), overlaps
}

// chance is a source of random numbers that a resumed run has again.
func (j *boxJudge) chance(id string, step int64) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", id, step) // never fails
	return rand.New(rand.NewPCG(j.cfg.Seed, h.Sum64()))
}

// doubted are the boxes of a decoded picture (rows of count values) that are
// neither sure nor improbable, within the picture and large enough.
func (j *boxJudge) doubted(decoded []float32, count int, height, width float32) [][4]float32 {
	var out [][4]float32
	for a := range count {
		score := float32(0)
		for k := range j.classes {
			score = max(score, decoded[(4+k)*count+a])
		}
		if score <= doubtful || score >= doubtless {
			continue
		}
		b := within(boxAt(decoded, count, a, 0, score).box, height, width)
		if w, h := b[2]-b[0], b[3]-b[1]; w >= 1 && h >= 1 && float64(w*h) >= j.cfg.MinArea {
			out = append(out, b)
		}
	}
	return out
}

// within cuts a box at the picture's borders.
func within(b [4]float32, height, width float32) [4]float32 {
	return [4]float32{max(b[0], 0), max(b[1], 0), min(b[2], width), min(b[3], height)}
}

// madeUp are boxes of a picture that its model did not find: half of them beside
// its objects, more or less, the others anywhere.
func madeUp(chance *rand.Rand, own []truth, height, width float32) [][4]float32 {
	between := func(lo, hi float32) float32 { return lo + (hi-lo)*chance.Float32() }
	out := make([][4]float32, judged)
	for i := range out {
		w, h := width*between(leastSide, mostSide), height*between(leastSide, mostSide)
		cx, cy := between(w/2, width-w/2), between(h/2, height-h/2)
		if i%2 == 0 && len(own) > 0 {
			b := own[chance.IntN(len(own))].box
			w, h = b[2]-b[0], b[3]-b[1]
			cx, cy = (b[0]+b[2])/2+w*between(-0.5, 0.5), (b[1]+b[3])/2+h*between(-0.5, 0.5)
			w, h = w*float32(math.Exp(float64(between(-0.5, 0.5)))), h*float32(math.Exp(float64(between(-0.5, 0.5))))
			cx, cy = min(max(cx, 0), width), min(max(cy, 0), height) // some of the box lies in the picture
		}
		out[i] = within([4]float32{cx - w/2, cy - h/2, cx + w/2, cy + h/2}, height, width)
	}
	return out
}

func bestOverlap(own []truth, b [4]float32) float32 {
	best := float32(0)
	for _, t := range own {
		best = max(best, ciou(t.box, b))
	}
	return best
}

// encoder is a backbone that never trains. It has a store of its own: what it holds
// comes from a file or from a seed, and stands in no checkpoint.
type encoder struct {
	store *nn.Store
	net   *backbone.Net
	size  int64
}

// newEncoder builds the backbone; the random numbers of others do not change by it.
func newEncoder(dev torch.Device, cfg Auxiliary) (_ *encoder, err error) {
	fail := func(err error) (*encoder, error) {
		return nil, fmt.Errorf("detection: image encoder %s: %w", cfg.Encoder, err)
	}
	spec, err := backbone.Lookup(cfg.Encoder)
	if err != nil {
		return fail(err)
	}
	if cfg.EncoderSize%spec.Patch != 0 {
		return fail(fmt.Errorf("side %d of its pictures must be a multiple of %d", cfg.EncoderSize, spec.Patch))
	}
	before, err := torch.RandomState(dev)
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, torch.SetRandomState(dev, before)) }()
	if err := torch.ManualSeed(encoderSeed); err != nil {
		return fail(err)
	}
	e := &encoder{store: nn.NewStore(dev, cfg.EncoderWeights), size: int64(cfg.EncoderSize)}
	if e.net, err = spec.Build(e.store.Root(), 0); err == nil {
		report := e.store.Finish()
		report.Unexpected = nil // a classifier's own head
		err = report.Err()
	}
	for _, entry := range e.store.Entries() {
		if !entry.Buffer && err == nil {
			err = entry.Tensor.SetRequiresGrad(false)
		}
	}
	if err != nil {
		return fail(errors.Join(err, e.store.Close()))
	}
	return e, nil
}

// encoderSeed gives random encoders the same numbers in every run.
const encoderSeed = 1

// forward gives the features (K, F) of regions of images (N, 3, H, W) in 0..1.
func (e *encoder) forward(images, rois *torch.Tensor) (*torch.Tensor, error) {
	outer := images.Scope()
	var values []float32
	var shape []int64
	err := torch.Run(outer.Context(), outer.Device(), torch.Inference, func(s *torch.Scope) error {
		x := s.Borrow(images).RoIAlign(s.Borrow(rois), torch.RoIAlignOptions{Scale: 1, Height: e.size, Width: e.size, Sampling: 2, Aligned: true})
		mean, std := e.net.Mean, e.net.Std
		x = x.Minus(torch.Of(s, mean[:], 1, 3, 1, 1).To(torch.Float)).Div(torch.Of(s, std[:], 1, 3, 1, 1).To(torch.Float))
		y := e.net.Features(x)
		values, shape = y.Float32s(nil), y.Shape()
		return s.Err()
	})
	if err != nil {
		return nil, err
	}
	return torch.Of(outer, values, shape...), nil
}
