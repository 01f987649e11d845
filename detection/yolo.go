package detection

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/detection/base"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/block"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/wildtrain"
)

// YOLOConfig says what to build. Take DefaultYOLO and change it. The architecture
// is a name of Architectures, or a .yaml file.
type YOLOConfig struct {
	base.Config
	Gains       LossGains
	Assigner    Assigner
	OneToOne    Assigner // of the one-to-one branches, where the head has some
	Balance     Balance  // between both kinds of branches
	Auxiliary   Auxiliary
	Postprocess Postprocess
}

// DefaultYOLO returns the settings that YOLO models are trained with, in float32
// on the CPU.
func DefaultYOLO(architecture string, classes []string) YOLOConfig {
	return YOLOConfig{
		Config: base.DefaultConfig(architecture, classes, 640),
		Gains:  DefaultLossGains(), Assigner: DefaultAssigner(), OneToOne: OneToOneAssigner(), Balance: DefaultBalance(), Auxiliary: DefaultAuxiliary(),
		Postprocess: EvaluatePostprocess(),
	}
}

// Validate reports every problem of the settings at once.
func (c YOLOConfig) Validate() error {
	errs := []error{c.Config.Validate()}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("detection: "+format, args...))
		}
	}
	check(c.Balance.From >= 0 && c.Balance.From <= 1 && c.Balance.To >= 0 && c.Balance.To <= 1, "balance %g to %g is not in 0..1", c.Balance.From, c.Balance.To)
	return errors.Join(append(errs, c.Assigner.validate("assigner"), c.OneToOne.validate("one-to-one assigner"), c.Auxiliary.validate(), c.Postprocess.Validate(), c.Gains.validate(len(c.Classes)))...)
}

// YOLO is a detector of the YOLOv8, 11, 12 or 26 family. It is used by one
// goroutine at a time.
type YOLO struct {
	*base.Model
	cfg      YOLOConfig
	net      *network
	remapped *remap       // how the classes of Weights became those of the model, nil where they are the same
	share    float64      // of the one-to-many branches in the loss, with branches of both kinds
	fused    *torch.Scope // owns fused kernels, nil before Fuse
	aux      *auxiliary   // nil where nothing is learnt besides
}

var (
	_ wildtrain.Model     = (*YOLO)(nil)
	_ wildtrain.Evaluator = (*YOLO)(nil)
	_ wildtrain.Averager  = (*YOLO)(nil)
	_ wildtrain.Freezer   = (*YOLO)(nil)
	_ wildtrain.Scheduled = (*YOLO)(nil)
)

// NewYOLO builds the detector. With Weights that do not fit and without Partial
// it fails, naming what is missing, unexpected and mis-shaped.
func NewYOLO(cfg YOLOConfig) (*YOLO, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	arch, err := LookupArchitecture(cfg.Architecture)
	if err != nil {
		return nil, err
	}
	cfg.Architecture = arch.Name
	given := cfg.Weights
	cfg.Weights = checkpoint.Inference(given)
	m := &YOLO{cfg: cfg, share: cfg.Balance.From}
	if cfg.Partial && cfg.Weights != nil {
		if m.remapped = newRemap(cfg.Weights, cfg.Classes); m.remapped != nil {
			cfg.Weights = m.remapped
		}
	}
	m.Model, err = base.New(cfg.Config, func(b *nn.Builder) (err error) {
		m.net, err = build(b.Sub("model"), arch, int64(len(cfg.Classes)))
		return err
	})
	if err == nil && m.remapped != nil {
		if err = m.remapped.copyRows(m.Store()); err != nil {
			err = errors.Join(err, m.Close())
		}
		m.remapped.State = nil // not ours to keep
	}
	if err == nil && cfg.Auxiliary.on() {
		if err = m.learnBesides(given); err != nil {
			err = errors.Join(err, m.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	m.cfg.Weights, m.cfg.Auxiliary.EncoderWeights = nil, nil
	return m, nil
}

// learnBesides builds the auxiliary heads, after all else, so that they change no
// random number of it, and gives them the values that weights of an earlier training
// have for them.
func (m *YOLO) learnBesides(weights wildtrain.State) (err error) {
	if m.aux, err = newAuxiliary(m.Store().Root().Sub(strings.TrimSuffix(checkpoint.Auxiliary, ".")), m.net, m.cfg.Auxiliary); err != nil {
		return err
	}
	if weights != nil {
		m.Store().Load(onlyAuxiliary{weights})
	}
	if m.cfg.ChannelsLast {
		return m.Store().ChannelsLast()
	}
	return nil
}

// CarriedClasses tells which classes' rows of the head were taken from weights
// that tell other classes apart, by name; ok is false where the weights had the
// same classes or did not name them, and were loaded as they are.
func (m *YOLO) CarriedClasses() (names []string, ok bool) {
	if m.remapped == nil {
		return nil, false
	}
	return m.remapped.carried, true
}

// Strides returns the cell sizes of the head's levels, in input pixels.
func (m *YOLO) Strides() []int64 { return slices.Clone(m.net.head.Strides) }

// Masks reports whether the detector learns and predicts masks.
func (m *YOLO) Masks() bool { return m.net.head.Masks > 0 }

// Describe implements wildtrain.Model: auxiliary heads are no part of what it tells.
func (m *YOLO) Describe() wildtrain.Description {
	d := m.Model.Describe(m.net.stride())
	for _, e := range m.Store().Entries() {
		if !e.Buffer && strings.HasPrefix(e.Name, checkpoint.Auxiliary) {
			d.Parameters -= e.Tensor.Len()
		}
	}
	return d
}

// FusedParameters counts the numbers that evaluation needs once batch norm is
// folded into the convolutions: each leaves a bias of its two vectors, and of a
// double head one kind of branches is used.
func (m *YOLO) FusedParameters() int64 {
	var n int64
	for _, e := range m.Store().Entries() {
		if !e.Buffer && !strings.Contains(e.Name, ".one2one_") && !strings.HasSuffix(e.Name, ".bn.weight") && !strings.HasPrefix(e.Name, checkpoint.Auxiliary) {
			n += e.Tensor.Len()
		}
	}
	return n
}

// Optimizer implements wildtrain.Model. Under YOLO26's own optimiser, MuSGD, the
// class branches of the head learn three times as fast.
func (m *YOLO) Optimizer(cfg wildtrain.OptimizerConfig) (wildtrain.Optimizer, error) {
	groups := optim.Groups(m.Store())
	if !strings.EqualFold(cfg.Name, "MuSGD") {
		return m.OptimizerOf(cfg, groups)
	}
	var split []optim.Group
	for _, g := range groups {
		cls := optim.Group{Name: g.Name + ".cls", Role: g.Role, Factor: 3}
		g.Entries = slices.DeleteFunc(g.Entries, func(e *nn.Entry) bool {
			inside := classBranches.MatchString(e.Name)
			if inside {
				cls.Entries = append(cls.Entries, e)
			}
			return inside
		})
		split = append(split, g, cls)
	}
	split = slices.DeleteFunc(split, func(g optim.Group) bool { return len(g.Entries) == 0 }) // all frozen
	return m.OptimizerOf(cfg, split)
}

// classBranches are the names of the head's.
var classBranches = regexp.MustCompile(`^model\.\d+\.(one2one_)?cv3\.\d`)

// Postprocess sets how raw outputs become detections from now on.
func (m *YOLO) Postprocess(p Postprocess) { m.cfg.Postprocess = p }

// Close implements wildtrain.Model.
func (m *YOLO) Close() error {
	m.unfuse()
	return errors.Join(m.aux.Close(), m.Model.Close())
}

// input copies a batch to the device as (N, 3, H, W) in 0..1 and releases it.
func (m *YOLO) input(s *torch.Scope, b *wildtrain.Batch) (*torch.Tensor, error) {
	defer b.Release()
	stride := int(m.net.stride())
	if p := b.Pixels; p.Height%stride != 0 || p.Width%stride != 0 {
		return nil, fmt.Errorf("detection: %d×%d px: sides must be multiples of %d", p.Width, p.Height, stride)
	}
	return m.Input(s, b)
}

// SumsLoss tells that the gradient is that of a sum over the pictures: gradients
// of several batches add up to that of one large batch.
func (m *YOLO) SumsLoss() bool { return true }

// TrainStep implements wildtrain.Model. The gradient is that of the summed loss
// of the batch (the mean loss times the number of images), as the learning rates
// of YOLO recipes expect.
func (m *YOLO) TrainStep(ctx context.Context, b *wildtrain.Batch, step wildtrain.Step) (wildtrain.Losses, error) {
	m.unfuse()
	names := slices.Concat(m.net.head.lossNames(), m.aux.names())
	return m.Train(ctx, b, names, step.Scale*float64(b.Len()), func(s *torch.Scope) (*torch.Tensor, error) {
		x, err := m.input(s, b)
		if err != nil {
			return nil, err
		}
		raw := m.net.outputs(x, true, true, m.aux.rows()...)
		found, err := m.loss(raw, b.Samples)
		if err != nil || m.aux == nil {
			return found.packed, err
		}
		return m.aux.add(found, seen{images: x, maps: raw.maps, decoded: func() *torch.Tensor { return m.found(raw.many) }, samples: b.Samples, step: step.Number})
	})
}

// found is what raw outputs tell, without history.
func (m *YOLO) found(levels []*torch.Tensor) *torch.Tensor {
	apart := make([]*torch.Tensor, len(levels))
	for i, l := range levels {
		apart[i] = l.Detach()
	}
	return m.net.head.decode(apart)
}

// loss is the loss of the raw outputs. With branches of both kinds the sum is that
// of both, weighted; the parts are those of the one-to-one branches, the norm that
// of the others.
func (m *YOLO) loss(raw rawOutputs, samples []wildtrain.Sample) (lossOutcome, error) {
	h := m.net.head
	out, err := h.loss(raw.many, raw.protos, samples, m.cfg.Assigner, m.cfg.Gains)
	if err != nil || raw.one == nil {
		return out, err
	}
	single, err := h.loss(raw.one, nil, samples, m.cfg.OneToOne, m.cfg.Gains)
	if err != nil {
		return out, err
	}
	sum := out.packed.Narrow(0, 0, 1).MulScalar(m.share).Add(single.packed.Narrow(0, 0, 1).MulScalar(1 - m.share))
	out.packed = torch.Cat([]*torch.Tensor{sum, single.packed.Narrow(0, 1, 3)}, 0)
	return out, sum.Scope().Err()
}

// Predict implements wildtrain.Model.
func (m *YOLO) Predict(ctx context.Context, b *wildtrain.Batch) ([]wildtrain.Prediction, error) {
	_, p, err := m.evaluate(ctx, b, false)
	return p, err
}

// Evaluate implements wildtrain.Evaluator.
func (m *YOLO) Evaluate(ctx context.Context, b *wildtrain.Batch) (wildtrain.Losses, []wildtrain.Prediction, error) {
	return m.evaluate(ctx, b, true)
}

func (m *YOLO) evaluate(ctx context.Context, b *wildtrain.Batch, withLoss bool) (wildtrain.Losses, []wildtrain.Prediction, error) {
	return m.Look(ctx, b, m.net.head.lossNames(), func(s *torch.Scope) (losses *torch.Tensor, preds []wildtrain.Prediction, err error) {
		x, err := m.input(s, b)
		if err != nil {
			return nil, nil, err
		}
		endToEnd := m.cfg.Postprocess.Suppression == None
		if endToEnd && m.net.head.one == nil {
			return nil, nil, fmt.Errorf("detection: %s has no head that works without suppression", m.cfg.Architecture)
		}
		if m.cfg.Postprocess.Augment && m.Masks() {
			return nil, nil, fmt.Errorf("detection: %s draws its masks from one look at a picture: test-time augmentation is for models that find boxes", m.cfg.Architecture)
		}
		raw := m.net.outputs(x, withLoss || !endToEnd, withLoss || endToEnd)
		if withLoss {
			out, err := m.loss(raw, b.Samples)
			if err != nil {
				return nil, nil, err
			}
			losses = out.packed
		}
		var decoded *torch.Tensor
		if endToEnd {
			decoded = m.net.head.decode(raw.one)
		} else {
			decoded = m.decoded(x, raw.many)
		}
		preds, err = m.predictions(decoded, raw.protos, b.Samples)
		return losses, preds, err
	})
}

// predictions turns the decoded output (N, 4+nc+masks, A), and the prototypes of
// masks where there are some, into detections in original coordinates.
func (m *YOLO) predictions(decoded, protos *torch.Tensor, samples []wildtrain.Sample) ([]wildtrain.Prediction, error) {
	shape := decoded.Shape()
	values := decoded.Float32s(nil)
	var drawing *sketch
	if protos != nil {
		drawing = newSketch(protos, m.net.head.Strides[0]/2)
	}
	if err := decoded.Scope().Err(); err != nil {
		return nil, err
	}
	out := make([]wildtrain.Prediction, len(samples))
	per := int(shape[1] * shape[2])
	for i := range samples {
		image := values[i*per : (i+1)*per]
		kept := m.cfg.Postprocess.detections(image, len(m.cfg.Classes), int(shape[2]))
		found := objects(kept)
		if drawing != nil {
			if err := drawing.masks(i, found, m.coefficients(image, kept), &samples[i]); err != nil {
				return nil, err
			}
		}
		placed, err := base.Place(found, &samples[i])
		if err != nil {
			return nil, err
		}
		out[i] = wildtrain.Prediction{ID: samples[i].ID, Objects: placed}
	}
	return out, nil
}

// Forward runs the raw network in evaluation mode on images (N, 3, H, W), float32,
// exactly what the first layer gets. It returns "level0", "level1", … (N,
// 4·reg_max+nc, h, w: box bins, then class logits) and "decoded" (N, 4+nc,
// anchors: centre and size in pixels, then class probabilities); of a double
// head also "one2one_level0", … and "detections" (N, at most 300, 6: corners,
// probability, class), the end-to-end answer; of a segmentation head
// "mask_coefficients" (N, masks, anchors) and "protos" (N, masks, H, W), whose sum
// so weighted is the logit of a mask. The tensors belong to s.
func (m *YOLO) Forward(s *torch.Scope, images *torch.Tensor) (map[string]*torch.Tensor, error) {
	shape := images.Shape()
	if stride := m.net.stride(); len(shape) != 4 || shape[1] != 3 || shape[2]%stride != 0 || shape[3]%stride != 0 {
		return nil, fmt.Errorf("detection: forward: images of shape %v: want (N, 3, H, W) with sides that are multiples of %d", shape, stride)
	}
	h, raw := m.net.head, m.net.outputs(images, true, true)
	boxes := 4 + h.Classes
	decoded := h.decode(raw.many)
	out := map[string]*torch.Tensor{"decoded": decoded.Narrow(1, 0, boxes)}
	for i, l := range raw.many {
		out[fmt.Sprintf("level%d", i)] = l.Narrow(1, 0, 4*h.RegMax+h.Classes)
	}
	for i, l := range raw.one {
		out[fmt.Sprintf("one2one_level%d", i)] = l
	}
	if raw.one != nil {
		out["detections"] = m.endToEnd(raw.one)
	}
	if raw.protos != nil {
		out["mask_coefficients"], out["protos"] = decoded.Narrow(1, boxes, h.Masks), raw.protos
	}
	return out, s.Err()
}

// Fuse folds batch norm into the convolutions for evaluation. The next
// TrainStep, Average or change of weights through WithAverage undoes it.
func (m *YOLO) Fuse() error {
	m.unfuse()
	m.fused = torch.NewRoot(m.cfg.Device)
	for _, mod := range m.Store().Modules() {
		if c, ok := mod.(*block.Conv); ok {
			if err := c.Fuse(m.fused); err != nil {
				m.unfuse()
				return err
			}
		}
	}
	return nil
}

func (m *YOLO) unfuse() {
	if m.fused == nil {
		return
	}
	for _, mod := range m.Store().Modules() {
		if c, ok := mod.(*block.Conv); ok {
			c.Unfuse()
		}
	}
	m.fused.Close()
	m.fused = nil
}

// WithAverage implements wildtrain.Averager: kernels that were fused from the
// raw weights do not outlive them.
func (m *YOLO) WithAverage(fn func() error) error {
	if m.Averaged() == nil {
		return fn()
	}
	m.unfuse()
	return m.Model.WithAverage(func() error {
		defer m.unfuse()
		return fn()
	})
}
