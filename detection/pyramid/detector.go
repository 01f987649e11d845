package pyramid

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/detection/base"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// Detector is a wildtrain.Model of a pyramid and a head. It is used by one
// goroutine at a time.
type Detector struct {
	*base.Model
	cfg    Config
	net    *Net
	head   Head
	masks  bool
	random *rand.PCG            // chooses boxes to learn from
	choose func(n, k int) []int // the choice at work
}

var (
	_ wildtrain.Model      = (*Detector)(nil)
	_ wildtrain.Evaluator  = (*Detector)(nil)
	_ wildtrain.Averager   = (*Detector)(nil)
	_ wildtrain.Freezer    = (*Detector)(nil)
	_ wildtrain.Randomizer = (*Detector)(nil)
)

// New builds a detector. The head is made by build, from the settings as they
// stand in the detector: thresholds may change later. masks tells that it learns
// the objects' masks too.
func New(cfg Config, masks bool, build func(b *nn.Builder, cfg *Config) (Head, error)) (*Detector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.adapt()
	m := &Detector{cfg: cfg, masks: masks, random: rand.NewPCG(cfg.Seed, 0)}
	m.choose = func(n, k int) []int { return rand.New(m.random).Perm(n)[:k] }
	var err error
	m.Model, err = base.New(cfg.Config, func(b *nn.Builder) (err error) {
		if m.net, err = newNet(b.Sub("backbone"), cfg); err != nil {
			return err
		}
		m.head, err = build(b, &m.cfg)
		return err
	})
	if err != nil {
		return nil, err
	}
	m.cfg.Weights = nil
	if err := m.Freeze(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Describe implements wildtrain.Model.
func (m *Detector) Describe() wildtrain.Description { return m.Model.Describe(divisor) }

// Strides returns the cell sizes of the pyramid's levels, in input pixels.
func (m *Detector) Strides() []int64 { return m.net.Strides() }

// Masks reports whether the detector learns and predicts masks.
func (m *Detector) Masks() bool { return m.masks }

// Postprocess sets how raw outputs become detections from now on.
func (m *Detector) Postprocess(p detection.Postprocess) { m.cfg.set(p) }

// Freeze implements wildtrain.Freezer; Config.FrozenStages stay frozen besides.
func (m *Detector) Freeze(prefixes ...string) error {
	return m.Model.Freeze(append(m.net.frozen(m.cfg.FrozenStages), prefixes...)...)
}

// RandomState implements wildtrain.Randomizer.
func (m *Detector) RandomState() ([]byte, error) { return m.random.MarshalBinary() }

// SetRandomState implements wildtrain.Randomizer.
func (m *Detector) SetRandomState(state []byte) error { return m.random.UnmarshalBinary(state) }

// TrainStep implements wildtrain.Model. Loss and gradient are means over the
// batch: accumulation must average (wildtrain.Config.AverageAccumulated).
func (m *Detector) TrainStep(ctx context.Context, b *wildtrain.Batch, step wildtrain.Step) (wildtrain.Losses, error) {
	return m.Train(ctx, b, m.head.Losses(), step.Scale, func(s *torch.Scope) (*torch.Tensor, error) {
		im, err := m.input(s, b)
		if err != nil {
			return nil, err
		}
		return m.loss(s, m.net.forward(im.Pixels), im, b.Samples, m.choose)
	})
}

func (m *Detector) loss(s *torch.Scope, maps []*torch.Tensor, im *Images, samples []wildtrain.Sample, choose func(n, k int) []int) (*torch.Tensor, error) {
	t, err := targets(s, im, samples, len(m.cfg.Classes), m.masks)
	if err != nil {
		return nil, err
	}
	return m.head.Loss(maps, im, t, choose)
}

// Predict implements wildtrain.Model.
func (m *Detector) Predict(ctx context.Context, b *wildtrain.Batch) ([]wildtrain.Prediction, error) {
	_, p, err := m.evaluate(ctx, b, false)
	return p, err
}

// Evaluate implements wildtrain.Evaluator. The boxes of which the loss is taken
// are the same at every call.
func (m *Detector) Evaluate(ctx context.Context, b *wildtrain.Batch) (wildtrain.Losses, []wildtrain.Prediction, error) {
	return m.evaluate(ctx, b, true)
}

func (m *Detector) evaluate(ctx context.Context, b *wildtrain.Batch, withLoss bool) (wildtrain.Losses, []wildtrain.Prediction, error) {
	return m.Look(ctx, b, m.head.Losses(), func(s *torch.Scope) (losses *torch.Tensor, preds []wildtrain.Prediction, err error) {
		im, err := m.input(s, b)
		if err != nil {
			return nil, nil, err
		}
		maps := m.net.forward(im.Pixels)
		if withLoss {
			fixed := rand.New(rand.NewPCG(m.cfg.Seed, 1))
			if losses, err = m.loss(s, maps, im, b.Samples, func(n, k int) []int { return fixed.Perm(n)[:k] }); err != nil {
				return nil, nil, err
			}
		}
		_, found, err := m.head.Detect(maps, im)
		if err == nil {
			preds, err = m.predictions(im, found, b.Samples)
		}
		return losses, preds, err
	})
}

// predictions are the detections in original coordinates.
func (m *Detector) predictions(im *Images, found []Found, samples []wildtrain.Sample) ([]wildtrain.Prediction, error) {
	out := make([]wildtrain.Prediction, len(samples))
	for i, f := range found {
		im.restore(i, f.Boxes)
		var objects []wildtrain.Object
		for k, score := range f.Scores {
			b := f.Boxes[4*k : 4*k+4]
			if !finite(b) {
				continue
			}
			o := wildtrain.Object{
				Box:   wildtrain.Box{X1: float64(b[0]), Y1: float64(b[1]), X2: float64(b[2]), Y2: float64(b[3])},
				Class: int(f.Labels[k]), Score: float64(score),
			}
			placed, err := base.Place([]wildtrain.Object{o}, &samples[i])
			if err != nil {
				return nil, err
			}
			if len(placed) > 0 && f.Masks != nil {
				if placed[0].Mask, err = m.maskOf(f.Masks.Select(0, int64(k)), o.Box, &samples[i], im.Given[i]); err != nil {
					return nil, fmt.Errorf("detection: mask of %s: %w", samples[i].ID, err)
				}
			}
			objects = append(objects, placed...)
		}
		out[i] = wildtrain.Prediction{ID: samples[i].ID, Objects: objects}
	}
	return out, nil
}

// maskOf is the mask of probabilities within a box of the batch's picture, in the original.
func (m *Detector) maskOf(mask *torch.Tensor, box wildtrain.Box, sample *wildtrain.Sample, given Size) (*wildtrain.Mask, error) {
	size := Size{int64(sample.Height), int64(sample.Width)}
	back, err := sample.Place.Inverse()
	if err != nil {
		return nil, err
	}
	if size.Height == 0 || size.Width == 0 {
		size, back = given, wildtrain.Identity
	}
	box = back.Box(box)
	return binary(paste(mask, []float32{float32(box.X1), float32(box.Y1), float32(box.X2), float32(box.Y2)}, size))
}

// Forward runs the detector in evaluation mode on images (N, 3, H, W), float32 in
// 0..1 and of their own size: they are normalised and resized as Config.Transform
// says. It returns the head's raw outputs by level and for every image i its
// detections by falling score in the image's own pixels: "i.boxes" (K, 4) corners,
// "i.scores" (K), "i.labels" (K, Int64, numbered as torchvision's model numbers
// them) and, with masks, "i.masks" (K, 1, H, W) of probabilities.
func (m *Detector) Forward(s *torch.Scope, images *torch.Tensor) (map[string]*torch.Tensor, error) {
	shape := images.Shape()
	if len(shape) != 4 || shape[1] != 3 || shape[0] == 0 || shape[2] == 0 || shape[3] == 0 {
		return nil, fmt.Errorf("detection: forward: images of shape %v: want (N, 3, H, W)", shape)
	}
	im := m.cfg.Transform.apply(s, rows(images), true)
	out, found, err := m.head.Detect(m.net.forward(im.Pixels), im)
	if err != nil {
		return nil, err
	}
	for i, f := range found {
		im.restore(i, f.Boxes)
		n := int64(len(f.Scores))
		name := func(what string) string { return fmt.Sprintf("%d.%s", i, what) }
		out[name("boxes")] = torch.Of(s, f.Boxes, n, 4)
		out[name("scores")] = torch.Of(s, f.Scores, n)
		labels := make([]int64, n)
		for k, l := range f.Labels {
			labels[k] = l + m.head.FirstLabel()
		}
		out[name("labels")] = torch.Of(s, labels, n)
		if f.Masks == nil {
			continue
		}
		pasted := []*torch.Tensor{s.Zeros(torch.Float, 0, im.Given[i].Height, im.Given[i].Width)}
		for k := range f.Scores {
			pasted = append(pasted, paste(f.Masks.Select(0, int64(k)), f.Boxes[4*k:4*k+4], im.Given[i]).Unsqueeze(0))
		}
		out[name("masks")] = torch.Cat(pasted, 0).Unsqueeze(1)
	}
	return out, s.Err()
}
