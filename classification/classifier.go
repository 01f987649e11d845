package classification

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/wildtrain"
)

// Classifier is an image classifier. It is used by one goroutine at a time.
type Classifier struct {
	nn.Averaging
	cfg        Config
	taxonomy   *Taxonomy
	background int // index of the background class, −1 for none
	store      *nn.Store
	net        *backbone.Net
	head       *mlp // nil for the architecture's own
	weight     *torch.Tensor
	scaler     *optim.Scaler // keeps float16 gradients in range; nil in other precisions
	loaded     nn.LoadReport
	frozen     []string // prefixes that never train
	thawed     int      // blocks from the head that train, where UnfreezeEvery is set
	random     []byte   // state of the model's own stream of random numbers
}

var (
	_ wildtrain.Model      = (*Classifier)(nil)
	_ wildtrain.Evaluator  = (*Classifier)(nil)
	_ wildtrain.Averager   = (*Classifier)(nil)
	_ wildtrain.Randomizer = (*Classifier)(nil)
	_ wildtrain.Embedder   = (*Classifier)(nil)
	_ wildtrain.Freezer    = (*Classifier)(nil)
)

// New builds the classifier. With Weights that do not fit and without Partial it
// fails, naming what is missing, unexpected and mis-shaped.
func New(cfg Config) (*Classifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	spec, err := backbone.Lookup(cfg.Architecture)
	if err != nil {
		return nil, fmt.Errorf("classification: %w", err)
	}
	store := nn.NewStore(cfg.Device, nil)
	m := &Classifier{Averaging: nn.NewAveraging(store), cfg: cfg, background: -1, store: store}
	if cfg.Background != "" {
		m.background = slices.Index(cfg.Classes, cfg.Background)
	}
	if err := m.build(spec); err != nil {
		m.store.Close()
		return nil, err
	}
	return m, nil
}

func (m *Classifier) build(spec backbone.Spec) (err error) {
	cfg := &m.cfg
	if m.taxonomy, err = NewTaxonomy(cfg.Classes, cfg.Parents); err != nil {
		return err
	}
	spec.Dropout, spec.StochasticDepth = cfg.Dropout, cfg.StochasticDepth
	source := unwrap(cfg.Weights)
	spec.InputSize = embeddedSize(spec, source, max(cfg.Input.Height, cfg.Input.Width))
	own := len(cfg.Classes)
	if cfg.Head.Hidden > 0 {
		own = 0
	}
	if m.net, err = spec.Build(m.store.Root(), own); err != nil {
		return fmt.Errorf("classification: %w", err)
	}
	if cfg.Head.Hidden > 0 && len(cfg.Classes) > 0 {
		m.head = newMLP(m.store.Root().Sub("mlp"), m.net.Width, cfg.Head, len(cfg.Classes))
	}
	if err := m.load(source); err != nil {
		return err
	}
	if w := cfg.Loss.ClassWeights(); w != nil {
		m.weight = torch.Of(m.store.Scope(), w, int64(len(w)))
	}
	if cfg.ChannelsLast {
		if err := m.store.ChannelsLast(); err != nil {
			return err
		}
	}
	if m.random, err = torch.RandomState(cfg.Device); err != nil {
		return err
	}
	return m.Freeze()
}

// Loaded tells how the weights met the model.
func (m *Classifier) Loaded() nn.LoadReport { return m.loaded }

// Taxonomy is the label map of Config.Parents.
func (m *Classifier) Taxonomy() *Taxonomy { return m.taxonomy }

// Config returns the settings, the present temperature among them.
func (m *Classifier) Config() Config { return m.cfg }

// Describe implements wildtrain.Model.
func (m *Classifier) Describe() wildtrain.Description {
	return wildtrain.Description{
		Task: "classification", Architecture: m.cfg.Architecture, Classes: slices.Clone(m.cfg.Classes),
		InputSize: [2]int{m.cfg.Input.Height, m.cfg.Input.Width}, Stride: m.net.Patch,
		Parameters: m.store.Parameters(), License: m.cfg.License, Options: m.cfg.options(),
	}
}

// State implements wildtrain.Model. Names are those of the architecture's library;
// an MLP head is "mlp.0.weight", "mlp.0.bias", "mlp.1.weight", …
func (m *Classifier) State() wildtrain.State { return m.store.State() }

// Store gives other packages of the SDK access to the parameters.
func (m *Classifier) Store() *nn.Store { return m.store }

// Close implements wildtrain.Model.
func (m *Classifier) Close() error {
	m.Forget()
	return m.store.Close()
}

// Optimizer implements wildtrain.Model: groups of weights, norms and biases, for
// each block of layers its own where LayerLRDecay is below 1. Parameters that
// UnfreezeEvery holds back are in it from the beginning and wait for a gradient.
func (m *Classifier) Optimizer(cfg wildtrain.OptimizerConfig) (wildtrain.Optimizer, error) {
	thawed := m.thawed
	if err := m.thaw(m.net.Blocks()); err != nil {
		return nil, err
	}
	groups := optim.Groups(m.store)
	if d := cfg.LayerLRDecay; d != 1 {
		if d <= 0 || d > 1 {
			return nil, fmt.Errorf("classification: layer-wise decay %g of the learning rate is not in 0..1", d)
		}
		groups = optim.LayerGroups(m.store, d, m.net.Depth)
	}
	o, err := optim.New(cfg, groups)
	if err != nil {
		return nil, err // not a nil *Optimizer in an interface
	}
	if m.cfg.Precision == torch.Half {
		m.scaler = optim.NewScaler()
		o.UseScaler(m.scaler)
	}
	return o, m.thaw(thawed)
}

// input copies a batch to the device as normalised (N, 3, H, W) and releases it.
func (m *Classifier) input(s *torch.Scope, b *wildtrain.Batch) (*torch.Tensor, error) {
	p := b.Pixels
	defer b.Release()
	switch {
	case len(p.Images) > 0:
		return nil, errors.New("classification: images of a batch must have one size")
	case p.Channels != 3:
		return nil, fmt.Errorf("classification: want 3 channels, the batch has %d", p.Channels)
	case p.N != len(b.Samples):
		return nil, fmt.Errorf("classification: %d pictures for %d samples", p.N, len(b.Samples))
	case p.N == 0 || p.Height <= 0 || p.Width <= 0 || p.Height%m.net.Patch != 0 || p.Width%m.net.Patch != 0:
		return nil, fmt.Errorf("classification: %d pictures of %d×%d px: sides must be multiples of %d", p.N, p.Width, p.Height, m.net.Patch)
	}
	var x *torch.Tensor
	if p.U16 != nil {
		x = s.Images16(p.U16, p.N, p.Height, p.Width, p.Channels, m.cfg.Input.Scale*255/65535, m.cfg.ChannelsLast)
	} else {
		x = s.Images8(p.U8, p.N, p.Height, p.Width, p.Channels, m.cfg.Input.Scale, m.cfg.ChannelsLast)
	}
	return m.normalise(s, x), s.Err()
}

// normalise gives pixels, scaled already, the statistics that the first layer wants.
func (m *Classifier) normalise(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
	mean := torch.Of(s, m.cfg.Input.Mean, 1, 3, 1, 1).To(torch.Float)
	std := torch.Of(s, m.cfg.Input.Std, 1, 3, 1, 1).To(torch.Float)
	return x.Minus(mean).Div(std)
}

// features maps normalised images to (N, width). A trunk that does not train at
// all is run as in evaluation, whatever the run's mode: without dropout and
// stochastic depth, and without keeping what backward would need.
func (m *Classifier) features(s *torch.Scope, x *torch.Tensor) (*torch.Tensor, error) {
	if !s.Mode().Training || m.trunkTrains() {
		return m.net.Features(x), s.Err()
	}
	var f *torch.Tensor
	err := torch.Run(s.Context(), m.cfg.Device, torch.Inference.WithAutocast(m.cfg.Precision), func(inner *torch.Scope) error {
		f = s.Keep(m.net.Features(inner.Borrow(x)))
		return inner.Err()
	})
	return f, err
}

func (m *Classifier) logits(features *torch.Tensor) *torch.Tensor {
	if m.head != nil {
		return m.head.Forward(features)
	}
	return m.net.Logits(features)
}

var errNoClasses = errors.New("classification: a feature extractor has no classes: it can only embed")

// TrainStep implements wildtrain.Model. The loss and its gradient are means over
// the batch: accumulation must average (wildtrain.Config.AverageAccumulated).
func (m *Classifier) TrainStep(ctx context.Context, b *wildtrain.Batch, step wildtrain.Step) (wildtrain.Losses, error) {
	defer b.Release()
	if len(m.cfg.Classes) == 0 {
		return nil, errNoClasses
	}
	scale := step.Scale
	if m.scaler != nil {
		scale *= m.scaler.Scale()
	}
	var parts []float64
	err := m.draw(func() error {
		return torch.Run(ctx, m.cfg.Device, torch.Training.WithAutocast(m.cfg.Precision), func(s *torch.Scope) error {
			x, err := m.input(s, b)
			if err != nil {
				return err
			}
			parts, err = m.learn(s, x, b.Samples, scale)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return wildtrain.LossValues{Keys: lossNames, Numbers: parts}, nil
}

var lossNames = []string{"loss"}

// learn runs forward and backward on normalised images and returns the loss.
func (m *Classifier) learn(s *torch.Scope, x *torch.Tensor, samples []wildtrain.Sample, scale float64) ([]float64, error) {
	t, err := m.read(samples)
	if err != nil {
		return nil, err
	}
	f, err := m.features(s, x)
	if err != nil {
		return nil, err
	}
	loss := m.cfg.Loss.loss(m.logits(f), t, m.weight, m.cfg.MultiLabel)
	if err := loss.MulScalar(scale).Backward(); err != nil {
		return nil, err
	}
	return loss.Detach().Float64s(nil), s.Err()
}

// Forward runs the raw network in evaluation mode on images (N, 3, H, W), float32,
// exactly what the first layer gets. It returns "features" (N, width) and, where
// there are classes, "logits" (N, classes), before the temperature. The tensors
// belong to s.
func (m *Classifier) Forward(s *torch.Scope, images *torch.Tensor) (map[string]*torch.Tensor, error) {
	shape := images.Shape()
	if p := int64(m.net.Patch); len(shape) != 4 || shape[1] != 3 || shape[2]%p != 0 || shape[3]%p != 0 {
		return nil, fmt.Errorf("classification: forward: images of shape %v: want (N, 3, H, W) with sides that are multiples of %d", shape, p)
	}
	f := m.net.Features(images)
	out := map[string]*torch.Tensor{"features": f}
	if len(m.cfg.Classes) > 0 {
		out["logits"] = m.logits(f)
	}
	return out, s.Err()
}

// RandomState implements wildtrain.Randomizer.
func (m *Classifier) RandomState() ([]byte, error) { return slices.Clone(m.random), nil }

// SetRandomState implements wildtrain.Randomizer.
func (m *Classifier) SetRandomState(state []byte) error {
	m.random = slices.Clone(state)
	return nil
}

// draw runs fn with the model's own random numbers for dropout and stochastic
// depth, so that what other models of the process draw does not matter.
func (m *Classifier) draw(fn func() error) (err error) {
	others, err := torch.RandomState(m.cfg.Device)
	if err != nil {
		return err
	}
	if err := torch.SetRandomState(m.cfg.Device, m.random); err != nil {
		return err
	}
	defer func() {
		mine, readErr := torch.RandomState(m.cfg.Device)
		if readErr == nil {
			m.random = mine
		}
		err = errors.Join(err, readErr, torch.SetRandomState(m.cfg.Device, others))
	}()
	return fn()
}
