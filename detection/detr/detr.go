package detr

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/detection/base"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/wildtrain"
)

// Model is a detection transformer. It is used by one goroutine at a time.
type Model struct {
	*base.Model
	cfg    Config
	net    network
	random *rand.PCG // of dropout and of denoising queries
}

var (
	_ wildtrain.Model      = (*Model)(nil)
	_ wildtrain.Evaluator  = (*Model)(nil)
	_ wildtrain.Averager   = (*Model)(nil)
	_ wildtrain.Freezer    = (*Model)(nil)
	_ wildtrain.Randomizer = (*Model)(nil)
)

// New builds the detector. With Weights that do not fit and without Partial it
// fails, naming what is missing, unexpected and mis-shaped.
func New(cfg Config) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	frozen := true
	if cfg.Weights != nil {
		cfg.Weights = translate(cfg.Weights, cfg.Family)
		frozen = !hasCounters(cfg.Weights)
	}
	if cfg.FrozenNorm == nil {
		cfg.FrozenNorm = &frozen
	}
	if cfg.Weights != nil {
		cfg.Weights = tied(cfg.Weights, cfg)
	}
	m := &Model{cfg: cfg}
	var err error
	m.Model, err = base.New(cfg.Config, func(b *nn.Builder) (err error) {
		m.net, err = build(b, cfg)
		return err
	})
	if err != nil {
		return nil, err
	}
	if m.random, err = newRandom(); err == nil {
		err = m.Freeze()
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Describe implements wildtrain.Model.
func (m *Model) Describe() wildtrain.Description { return m.Model.Describe(stride) }

// stride is that of the coarsest map of the backbone.
const stride = 32

// Postprocess sets how answers become detections from now on.
func (m *Model) Postprocess(p Postprocess) { m.cfg.Postprocess = p }

// Freeze implements wildtrain.Freezer: prefixes are names such as
// "backbone.0.body.layer2". What FrozenStages freezes stays so.
func (m *Model) Freeze(prefixes ...string) error {
	return m.Model.Freeze(slices.Concat(m.cfg.frozen(), prefixes)...)
}

// Optimizer implements wildtrain.Model: weights, norms and biases, and the same
// once more, with the suffix ".1", for what learns at the backbone's rate.
func (m *Model) Optimizer(cfg wildtrain.OptimizerConfig) (wildtrain.Optimizer, error) {
	return m.OptimizerOf(cfg, optim.LayerGroups(m.Store(), m.cfg.BackboneRate, func(name string) int {
		if strings.HasPrefix(name, "backbone.") || m.net.slow(name) {
			return 1
		}
		return 0
	}))
}

// RandomState implements wildtrain.Randomizer.
func (m *Model) RandomState() ([]byte, error) { return m.random.MarshalBinary() }

// SetRandomState implements wildtrain.Randomizer.
func (m *Model) SetRandomState(b []byte) error { return m.random.UnmarshalBinary(b) }

// newRandom begins a stream of random numbers at a place that libtorch's seed decides.
func newRandom() (*rand.PCG, error) {
	var seed [2]uint64
	err := torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		x := s.Empty(torch.Double, 2)
		if err := x.Uniform(0, 1); err != nil {
			return err
		}
		for i, v := range x.Float64s(nil) {
			seed[i] = math.Float64bits(v)
		}
		return s.Err()
	})
	return rand.NewPCG(seed[0], seed[1]), err
}

// input copies a batch to the device, normalised, and releases it. Pictures of
// different sizes are padded with zeros to the right and below.
func (m *Model) input(s *torch.Scope, b *wildtrain.Batch) (*torch.Tensor, padded, error) {
	defer b.Release()
	var p padded
	if len(b.Pixels.Images) > 0 {
		var err error
		if b, p.valid, err = m.joined(b); err != nil {
			return nil, p, err
		}
	}
	x, err := m.Input(s, b)
	if err != nil {
		return nil, p, err
	}
	p.height, p.width = x.Size(2), x.Size(3)
	if err := m.fits(p.height, p.width); err != nil {
		return nil, p, err
	}
	if m.cfg.Mean != [3]float64{} || m.cfg.Std != [3]float64{1, 1, 1} {
		mean, std := torch.Of(s, m.cfg.Mean[:], 1, 3, 1, 1).To(torch.Float), torch.Of(s, m.cfg.Std[:], 1, 3, 1, 1).To(torch.Float)
		x = x.Minus(mean).Div(std)
	}
	if p.valid != nil {
		x = x.Mul(p.mask(s, size{p.height, p.width}).View(-1, 1, p.height, p.width))
	}
	return x, p, s.Err()
}

// fits reports sides that the network cannot take: RT-DETR's maps must double in
// size from one to the next.
func (m *Model) fits(height, width int64) error {
	if height <= 0 || width <= 0 || m.cfg.Family == RTDETR && (height%stride != 0 || width%stride != 0) {
		return fmt.Errorf("detr: %d×%d px: sides must be multiples of %d", width, height, stride)
	}
	return nil
}

// joined is a batch whose pictures of different sizes stand in the upper left of
// one block, with the size of each.
func (m *Model) joined(b *wildtrain.Batch) (*wildtrain.Batch, []size, error) {
	if m.cfg.Family == RTDETR {
		return nil, nil, fmt.Errorf("detr: %s wants images of one size in a batch: it knows no padding", m.cfg.Architecture)
	}
	images := b.Pixels.Images
	block := wildtrain.Pixels{N: len(images), Channels: 3}
	valid := make([]size, len(images))
	for i, im := range images {
		if im.Channels != 3 || im.Height <= 0 || im.Width <= 0 || len(im.U8) != im.Height*im.Width*3 {
			return nil, nil, fmt.Errorf("detr: picture %d: want 8-bit pixels of 3 channels, have %d×%d px of %d", i, im.Width, im.Height, im.Channels)
		}
		block.Height, block.Width = max(block.Height, im.Height), max(block.Width, im.Width)
		valid[i] = size{int64(im.Height), int64(im.Width)}
	}
	block.U8 = make([]uint8, block.N*block.Height*block.Width*3)
	for i, im := range images {
		for y := range im.Height {
			at := (i*block.Height + y) * block.Width * 3
			copy(block.U8[at:at+im.Width*3], im.U8[y*im.Width*3:])
		}
	}
	return wildtrain.NewBatch(block, b.Samples, nil), valid, nil
}

// TrainStep implements wildtrain.Model. The loss is a mean over the objects of
// the batch.
func (m *Model) TrainStep(ctx context.Context, b *wildtrain.Batch, step wildtrain.Step) (wildtrain.Losses, error) {
	return m.Train(ctx, b, lossNames, step.Scale, func(s *torch.Scope) (*torch.Tensor, error) {
		if m.cfg.Dropout > 0 {
			// dropout's choices come from the model's own stream, so that a resumed run makes the same
			if err := torch.ManualSeed(m.random.Uint64()); err != nil {
				return nil, err
			}
		}
		packed, _, err := m.losses(s, b, func(count int) draws { return draw(rand.New(m.random), count) })
		return packed, err
	})
}

// losses computes the packed losses and the answers of the last layer; without
// draw, which makes random numbers, there are no denoising queries.
func (m *Model) losses(s *torch.Scope, b *wildtrain.Batch, draw func(count int) draws) (*torch.Tensor, answers, error) {
	samples := b.Samples
	x, p, err := m.input(s, b)
	if err != nil {
		return nil, answers{}, err
	}
	ts, err := targets(samples, p, len(m.cfg.Classes))
	if err != nil {
		return nil, answers{}, err
	}
	var n *noise
	if draw != nil {
		n = newNoise(ts, len(m.cfg.Classes), m.cfg.Denoising, draw)
	}
	out := m.net.forward(x, p, n)
	packed, err := m.cfg.Loss.loss(out, ts, n)
	return packed, out.last(), err
}

// Predict implements wildtrain.Model.
func (m *Model) Predict(ctx context.Context, b *wildtrain.Batch) ([]wildtrain.Prediction, error) {
	_, p, err := m.evaluate(ctx, b, false)
	return p, err
}

// Evaluate implements wildtrain.Evaluator; its loss has no denoising part.
func (m *Model) Evaluate(ctx context.Context, b *wildtrain.Batch) (wildtrain.Losses, []wildtrain.Prediction, error) {
	return m.evaluate(ctx, b, true)
}

func (m *Model) evaluate(ctx context.Context, b *wildtrain.Batch, withLoss bool) (wildtrain.Losses, []wildtrain.Prediction, error) {
	sizes := sizesOf(b)
	return m.Look(ctx, b, lossNames, func(s *torch.Scope) (losses *torch.Tensor, preds []wildtrain.Prediction, err error) {
		var last answers
		if withLoss {
			losses, last, err = m.losses(s, b, nil)
		} else {
			last, err = m.answer(s, b)
		}
		if err == nil {
			preds, err = m.predictions(last, b.Samples, sizes)
		}
		return losses, preds, err
	})
}

// answer computes the answers of the last layer.
func (m *Model) answer(s *torch.Scope, b *wildtrain.Batch) (answers, error) {
	x, p, err := m.input(s, b)
	if err != nil {
		return answers{}, err
	}
	return m.net.forward(x, p, nil).last(), nil
}

// sizesOf is the size of each picture of a batch.
func sizesOf(b *wildtrain.Batch) []size {
	out := make([]size, len(b.Samples))
	for i := range out {
		out[i] = size{int64(b.Pixels.Height), int64(b.Pixels.Width)}
		if i < len(b.Pixels.Images) {
			out[i] = size{int64(b.Pixels.Images[i].Height), int64(b.Pixels.Images[i].Width)}
		}
	}
	return out
}

// predictions turns answers into detections in original coordinates.
func (m *Model) predictions(a answers, samples []wildtrain.Sample, sizes []size) ([]wildtrain.Prediction, error) {
	all, err := m.cfg.Postprocess.detections(m.cfg.Loss.Kind, a)
	if err != nil {
		return nil, err
	}
	out := make([]wildtrain.Prediction, len(samples))
	for i := range samples {
		objects, err := base.Place(all[i].objects(sizes[i][0], sizes[i][1]), &samples[i])
		if err != nil {
			return nil, err
		}
		out[i] = wildtrain.Prediction{ID: samples[i].ID, Objects: objects}
	}
	return out, nil
}

// Forward runs the raw network in evaluation mode on images (N, 3, H, W), float32,
// exactly what the first layer gets. It returns "logits" (N, queries, classes; for
// DETR classes+1, the last for no object) and "boxes" (N, queries, 4; centre,
// width and height, 0..1 across the image), and for each image the detections
// "0.boxes" (n, 4; corners in px), "0.scores" and "0.labels" (n). The tensors
// belong to s.
func (m *Model) Forward(s *torch.Scope, images *torch.Tensor) (map[string]*torch.Tensor, error) {
	shape := images.Shape()
	if len(shape) != 4 || shape[1] != 3 {
		return nil, fmt.Errorf("detr: forward: images of shape %v: want (N, 3, H, W)", shape)
	}
	if err := m.fits(shape[2], shape[3]); err != nil {
		return nil, err
	}
	last := m.net.forward(images, padded{height: shape[2], width: shape[3]}, nil).last()
	all, err := m.cfg.Postprocess.detections(m.cfg.Loss.Kind, last)
	if err != nil {
		return nil, err
	}
	named := map[string]*torch.Tensor{"logits": last.logits, "boxes": last.boxes}
	for i, f := range all {
		n := int64(len(f.scores))
		named[fmt.Sprintf("%d.boxes", i)] = torch.Of(s, f.scaled(shape[2], shape[3]), n, 4)
		named[fmt.Sprintf("%d.scores", i)] = torch.Of(s, f.scores, n)
		named[fmt.Sprintf("%d.labels", i)] = torch.Of(s, f.labels, n)
	}
	return named, s.Err()
}
