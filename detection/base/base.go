// Package base holds what all detectors have in common: the settings that each
// of them takes, and the shell around a network (store, precision, optimiser,
// average, freezing), which their types embed. It knows no architecture.
package base

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/wildtrain"
)

// Config is what every detector is told. Detectors embed it in their own settings.
type Config struct {
	Architecture string   // a name that the detector's package knows
	Classes      []string // class names by index
	InputSize    int      // side in px that the model is meant for; a hint for users of the model
	Device       torch.Device
	Precision    torch.DType     // Float, or BFloat16 / Half for mixed precision
	ChannelsLast bool            // NHWC layout of kernels and activations: faster in mixed precision; libtorch's batch norm rounds more coarsely in it
	Weights      wildtrain.State // initial values by name; nil to initialise
	Partial      bool            // Weights may lack tensors or have others; see Model.Loaded
	License      string          // of the weights
}

// DefaultConfig computes in float32 on the CPU.
func DefaultConfig(architecture string, classes []string, size int) Config {
	return Config{Architecture: architecture, Classes: classes, InputSize: size, Device: torch.CPU, Precision: torch.Float}
}

// Validate reports every problem of the settings at once.
func (c Config) Validate() error {
	var errs []error
	if len(c.Classes) == 0 {
		errs = append(errs, errors.New("detection: no classes"))
	}
	if c.Precision != torch.Float && c.Precision != torch.BFloat16 && c.Precision != torch.Half {
		errs = append(errs, fmt.Errorf("detection: precision %v: want float32, bfloat16 or float16", c.Precision))
	}
	if c.Precision == torch.Half && !c.Device.IsCUDA() {
		errs = append(errs, errors.New("detection: precision float16 needs a CUDA device: use bfloat16 on the CPU"))
	}
	return errors.Join(errs...)
}

// Model is the shell of a detector. It is used by one goroutine at a time.
type Model struct {
	nn.Averaging
	settings Config
	store    *nn.Store
	scaler   *optim.Scaler // keeps float16 gradients in range; nil in other precisions
	loaded   nn.LoadReport
}

// New makes the shell and lets build make the network in it. With Weights that do
// not fit and without Partial it fails, naming what is missing, unexpected and
// mis-shaped.
func New(cfg Config, build func(b *nn.Builder) error) (*Model, error) {
	store := nn.NewStore(cfg.Device, cfg.Weights)
	m := &Model{Averaging: nn.NewAveraging(store), settings: cfg, store: store}
	m.settings.Weights = nil // not ours to keep
	err := build(store.Root())
	if err == nil {
		if m.loaded = store.Finish(); !cfg.Partial {
			err = m.loaded.Err()
		}
	}
	if err == nil && cfg.ChannelsLast {
		err = store.ChannelsLast()
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return m, nil
}

// Settings are those that the model was made with, Weights left out.
func (m *Model) Settings() Config { return m.settings }

// Describe is what wildtrain.Model wants, for inputs whose sides are multiples of stride.
func (m *Model) Describe(stride int64) wildtrain.Description {
	c := m.settings
	return wildtrain.Description{
		Task: "detection", Architecture: c.Architecture, Classes: slices.Clone(c.Classes),
		InputSize: [2]int{c.InputSize, c.InputSize}, Stride: int(stride),
		Parameters: m.store.Parameters(), License: c.License,
	}
}

// Loaded tells how the weights met the model.
func (m *Model) Loaded() nn.LoadReport { return m.loaded }

// State implements wildtrain.Model.
func (m *Model) State() wildtrain.State { return m.store.State() }

// Store gives other packages of the SDK access to the parameters.
func (m *Model) Store() *nn.Store { return m.store }

// Close implements wildtrain.Model.
func (m *Model) Close() error {
	m.Forget()
	return m.store.Close()
}

// Freeze implements wildtrain.Freezer: prefixes are names such as "backbone.body.layer1".
func (m *Model) Freeze(prefixes ...string) error { return m.store.Freeze(prefixes...) }

// Optimizer implements wildtrain.Model: three groups, weights, norms and biases.
func (m *Model) Optimizer(cfg wildtrain.OptimizerConfig) (wildtrain.Optimizer, error) {
	return m.OptimizerOf(cfg, optim.Groups(m.store))
}

// OptimizerOf is Optimizer with other groups.
func (m *Model) OptimizerOf(cfg wildtrain.OptimizerConfig, groups []optim.Group) (wildtrain.Optimizer, error) {
	o, err := optim.New(cfg, groups)
	if err != nil {
		return nil, err // not a nil *Optimizer in an interface
	}
	if m.settings.Precision == torch.Half {
		m.scaler = optim.NewScaler()
		o.UseScaler(m.scaler)
	}
	return o, nil
}

// Run runs fn in training or evaluation mode, in the model's precision.
func (m *Model) Run(ctx context.Context, mode torch.Mode, fn func(s *torch.Scope) error) error {
	return torch.Run(ctx, m.settings.Device, mode.WithAutocast(m.settings.Precision), fn)
}

// Backward adds scale times the gradient of the first of the packed losses (k) to
// the parameters' and returns all of them.
func (m *Model) Backward(packed *torch.Tensor, scale float64) ([]float64, error) {
	if m.scaler != nil {
		scale *= m.scaler.Scale()
	}
	if err := packed.Select(0, 0).MulScalar(scale).Backward(); err != nil {
		return nil, err
	}
	return packed.Detach().Float64s(nil), packed.Scope().Err()
}

// Train is TrainStep around a detector's losses: packed computes them for the batch,
// the total first, under the given names; scale is the factor of the gradient.
func (m *Model) Train(ctx context.Context, b *wildtrain.Batch, names []string, scale float64, packed func(s *torch.Scope) (*torch.Tensor, error)) (wildtrain.Losses, error) {
	defer b.Release()
	var parts []float64
	err := m.Run(ctx, torch.Training, func(s *torch.Scope) error {
		losses, err := packed(s)
		if err != nil {
			return err
		}
		parts, err = m.Backward(losses, scale)
		return err
	})
	if err != nil {
		return nil, err
	}
	return wildtrain.LossValues{Keys: names, Numbers: parts}, nil
}

// Look is Predict and Evaluate around what a detector finds: look also gives the
// packed losses under the given names, or nil where they were not asked for.
func (m *Model) Look(ctx context.Context, b *wildtrain.Batch, names []string, look func(s *torch.Scope) (losses *torch.Tensor, found []wildtrain.Prediction, err error)) (wildtrain.Losses, []wildtrain.Prediction, error) {
	defer b.Release()
	var parts []float64
	var found []wildtrain.Prediction
	err := m.Run(ctx, torch.Inference, func(s *torch.Scope) (err error) {
		var losses *torch.Tensor
		if losses, found, err = look(s); err == nil && losses != nil {
			parts = losses.Float64s(nil)
		}
		return err
	})
	if err != nil || parts == nil {
		return nil, found, err
	}
	return wildtrain.LossValues{Keys: names, Numbers: parts}, found, nil
}

// Input copies a batch of images of one size to the device as (N, 3, H, W) in 0..1.
func (m *Model) Input(s *torch.Scope, b *wildtrain.Batch) (*torch.Tensor, error) {
	p := b.Pixels
	switch {
	case len(p.Images) > 0:
		return nil, fmt.Errorf("detection: %s wants images of one size in a batch: letterbox them", m.settings.Architecture)
	case p.Channels != 3:
		return nil, fmt.Errorf("detection: %s wants 3 channels, the batch has %d", m.settings.Architecture, p.Channels)
	case p.N != len(b.Samples):
		return nil, fmt.Errorf("detection: %d pictures for %d samples", p.N, len(b.Samples))
	case p.N == 0 || p.Height <= 0 || p.Width <= 0:
		return nil, fmt.Errorf("detection: %d pictures of %d×%d px", p.N, p.Width, p.Height)
	}
	if p.U16 != nil {
		return s.Images16(p.U16, p.N, p.Height, p.Width, p.Channels, 1.0/65535, m.settings.ChannelsLast), s.Err()
	}
	return s.Images8(p.U8, p.N, p.Height, p.Width, p.Channels, 1.0/255, m.settings.ChannelsLast), s.Err()
}

// Place maps boxes from batch to original coordinates, clips them there and
// leaves away what is empty then.
func Place(objects []wildtrain.Object, s *wildtrain.Sample) ([]wildtrain.Object, error) {
	back, err := s.Place.Inverse()
	if err != nil {
		return nil, fmt.Errorf("detection: predict %s: %w", s.ID, err)
	}
	kept := objects[:0]
	for _, o := range objects {
		o.Box = back.Box(o.Box)
		if s.Width > 0 && s.Height > 0 {
			o.Box = o.Box.Clip(s.Width, s.Height)
		}
		if o.Box.Area() > 0 {
			kept = append(kept, o)
		}
	}
	return kept, nil
}
