package detection

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/block"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/wildtrain"
)

// YOLOConfig says what to build. Take DefaultYOLO and change it.
type YOLOConfig struct {
	Architecture string   // a name of Architectures, or a .yaml file
	Classes      []string // class names by index
	InputSize    int      // side in px that the model is meant for; a hint for users of the model
	Device       torch.Device
	Precision    torch.DType // Float, or BFloat16 / Half for mixed precision
	ChannelsLast bool        // NHWC layout of kernels and activations: faster in mixed precision; libtorch's batch norm rounds more coarsely in it
	Gains        LossGains
	Assigner     Assigner
	Postprocess  Postprocess
	Weights      wildtrain.State // initial values by name; nil to initialise
	Partial      bool            // Weights may lack tensors or have others; see YOLO.Loaded
	License      string          // of the weights
}

// DefaultYOLO returns the settings that YOLOv8 and YOLO11 are trained with, in
// float32 on the CPU.
func DefaultYOLO(architecture string, classes []string) YOLOConfig {
	return YOLOConfig{
		Architecture: architecture, Classes: classes, InputSize: 640, Device: torch.CPU, Precision: torch.Float,
		Gains: DefaultLossGains(), Assigner: DefaultAssigner(), Postprocess: EvaluatePostprocess(),
	}
}

// Validate reports every problem of the settings at once.
func (c YOLOConfig) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("detection: "+format, args...))
		}
	}
	check(len(c.Classes) > 0, "no classes")
	check(c.Precision == torch.Float || c.Precision == torch.BFloat16 || c.Precision == torch.Half, "precision %v: want float32, bfloat16 or float16", c.Precision)
	check(c.Precision != torch.Half || c.Device.IsCUDA(), "precision float16 needs a CUDA device: use bfloat16 on the CPU")
	check(c.Gains.Box >= 0 && c.Gains.Cls >= 0 && c.Gains.DFL >= 0, "negative loss gains")
	check(c.Assigner.TopK > 0, "assigner: top k must be above 0")
	check(c.Postprocess.IoU >= 0 && c.Postprocess.IoU <= 1, "IoU threshold %g is not in 0..1", c.Postprocess.IoU)
	check(c.Postprocess.Conf >= 0 && c.Postprocess.Conf <= 1, "confidence threshold %g is not in 0..1", c.Postprocess.Conf)
	return errors.Join(errs...)
}

// YOLO is a YOLOv8 or YOLO11 detector. It is used by one goroutine at a time.
type YOLO struct {
	nn.Averaging
	cfg    YOLOConfig
	arch   *Architecture
	store  *nn.Store
	net    *network
	fused  *torch.Scope  // owns fused kernels, nil before Fuse
	scaler *optim.Scaler // keeps float16 gradients in range; nil in other precisions
	loaded nn.LoadReport
}

var (
	_ wildtrain.Model     = (*YOLO)(nil)
	_ wildtrain.Evaluator = (*YOLO)(nil)
	_ wildtrain.Averager  = (*YOLO)(nil)
	_ wildtrain.Freezer   = (*YOLO)(nil)
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
	store := nn.NewStore(cfg.Device, cfg.Weights)
	m := &YOLO{Averaging: nn.NewAveraging(store), cfg: cfg, arch: arch, store: store}
	m.net, err = build(m.store.Root().Sub("model"), arch, int64(len(cfg.Classes)))
	if err == nil {
		m.loaded = m.store.Finish()
		if !cfg.Partial {
			err = m.loaded.Err()
		}
	}
	if err == nil && cfg.ChannelsLast {
		err = m.store.ChannelsLast()
	}
	if err != nil {
		m.store.Close()
		return nil, err
	}
	return m, nil
}

// Loaded tells how the weights met the model.
func (m *YOLO) Loaded() nn.LoadReport { return m.loaded }

// Strides returns the cell sizes of the head's levels, in input pixels.
func (m *YOLO) Strides() []int64 { return slices.Clone(m.net.head.Strides) }

// Describe implements wildtrain.Model.
func (m *YOLO) Describe() wildtrain.Description {
	return wildtrain.Description{
		Task: "detection", Architecture: m.arch.Name, Classes: slices.Clone(m.cfg.Classes),
		InputSize: [2]int{m.cfg.InputSize, m.cfg.InputSize}, Stride: int(m.net.stride()),
		Parameters: m.store.Parameters(), License: m.cfg.License,
	}
}

// FusedParameters counts the numbers that evaluation needs once batch norm is
// folded into the convolutions.
func (m *YOLO) FusedParameters() int64 {
	n := m.store.Parameters()
	for _, mod := range m.store.Modules() {
		if c, ok := mod.(*block.Conv); ok {
			plain, fused := c.Parameters()
			n -= plain - fused
		}
	}
	return n
}

// Postprocess sets how raw outputs become detections from now on.
func (m *YOLO) Postprocess(p Postprocess) { m.cfg.Postprocess = p }

// State implements wildtrain.Model.
func (m *YOLO) State() wildtrain.State { return m.store.State() }

// Store gives other packages of the SDK access to the parameters.
func (m *YOLO) Store() *nn.Store { return m.store }

// Close implements wildtrain.Model.
func (m *YOLO) Close() error {
	m.unfuse()
	m.Forget()
	return m.store.Close()
}

// Freeze implements wildtrain.Freezer: prefixes are names such as "model.0".
func (m *YOLO) Freeze(prefixes ...string) error { return m.store.Freeze(prefixes...) }

// Optimizer implements wildtrain.Model: three groups, weights, norms and biases.
func (m *YOLO) Optimizer(cfg wildtrain.OptimizerConfig) (wildtrain.Optimizer, error) {
	o, err := optim.New(cfg, optim.Groups(m.store))
	if err != nil {
		return nil, err // not a nil *Optimizer in an interface
	}
	if m.cfg.Precision == torch.Half {
		m.scaler = optim.NewScaler()
		o.UseScaler(m.scaler)
	}
	return o, nil
}

// input copies a batch to the device as (N, 3, H, W) in 0..1 and releases it.
func (m *YOLO) input(s *torch.Scope, b *wildtrain.Batch) (*torch.Tensor, error) {
	p := b.Pixels
	defer b.Release()
	stride := int(m.net.stride())
	switch {
	case len(p.Images) > 0:
		return nil, errors.New("detection: YOLO wants images of one size in a batch: letterbox them")
	case p.Channels != 3:
		return nil, fmt.Errorf("detection: YOLO wants 3 channels, the batch has %d", p.Channels)
	case p.N != len(b.Samples):
		return nil, fmt.Errorf("detection: %d pictures for %d samples", p.N, len(b.Samples))
	case p.Height%stride != 0 || p.Width%stride != 0 || p.Height == 0 || p.Width == 0:
		return nil, fmt.Errorf("detection: %d×%d px: sides must be multiples of %d", p.Width, p.Height, stride)
	}
	if p.U16 != nil {
		return s.Images16(p.U16, p.N, p.Height, p.Width, p.Channels, 1.0/65535, m.cfg.ChannelsLast), s.Err()
	}
	return s.Images8(p.U8, p.N, p.Height, p.Width, p.Channels, 1.0/255, m.cfg.ChannelsLast), s.Err()
}

// TrainStep implements wildtrain.Model. The gradient is that of the summed loss
// of the batch (the mean loss times the number of images), as the learning rates
// of YOLO recipes expect.
func (m *YOLO) TrainStep(ctx context.Context, b *wildtrain.Batch, step wildtrain.Step) (wildtrain.Losses, error) {
	defer b.Release()
	m.unfuse()
	var parts []float64
	mode := torch.Training.WithAutocast(m.cfg.Precision)
	err := torch.Run(ctx, m.cfg.Device, mode, func(s *torch.Scope) error {
		n := b.Len()
		x, err := m.input(s, b)
		if err != nil {
			return err
		}
		scale := step.Scale * float64(n)
		if m.scaler != nil {
			scale *= m.scaler.Scale()
		}
		parts, err = m.learn(s, x, b.Samples, scale)
		return err
	})
	if err != nil {
		return nil, err
	}
	return wildtrain.LossValues{Keys: lossNames, Numbers: parts}, nil
}

// learn runs forward and backward on images (N, 3, H, W) and returns the parts of the loss.
func (m *YOLO) learn(s *torch.Scope, images *torch.Tensor, samples []wildtrain.Sample, scale float64) ([]float64, error) {
	packed, err := m.net.head.loss(m.net.forward(images), samples, m.cfg.Assigner, m.cfg.Gains)
	if err != nil {
		return nil, err
	}
	if err := packed.Select(0, 0).MulScalar(scale).Backward(); err != nil {
		return nil, err
	}
	return packed.Detach().Float64s(nil), s.Err()
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
	defer b.Release()
	var parts []float64
	var preds []wildtrain.Prediction
	mode := torch.Inference.WithAutocast(m.cfg.Precision)
	err := torch.Run(ctx, m.cfg.Device, mode, func(s *torch.Scope) error {
		x, err := m.input(s, b)
		if err != nil {
			return err
		}
		levels := m.net.forward(x)
		if withLoss {
			packed, err := m.net.head.loss(levels, b.Samples, m.cfg.Assigner, m.cfg.Gains)
			if err != nil {
				return err
			}
			parts = packed.Float64s(nil)
		}
		preds, err = m.predictions(m.net.head.decode(levels), b.Samples)
		return err
	})
	if err != nil || !withLoss {
		return nil, preds, err
	}
	return wildtrain.LossValues{Keys: lossNames, Numbers: parts}, preds, nil
}

// predictions turns the decoded output (N, 4+nc, A) into detections in original coordinates.
func (m *YOLO) predictions(decoded *torch.Tensor, samples []wildtrain.Sample) ([]wildtrain.Prediction, error) {
	shape := decoded.Shape()
	values := decoded.Float32s(nil)
	if err := decoded.Scope().Err(); err != nil {
		return nil, err
	}
	out := make([]wildtrain.Prediction, len(samples))
	per := int(shape[1] * shape[2])
	for i := range samples {
		found := m.cfg.Postprocess.detections(values[i*per:(i+1)*per], len(m.cfg.Classes), int(shape[2]))
		objects, err := place(found, &samples[i])
		if err != nil {
			return nil, fmt.Errorf("detection: predict %s: %w", samples[i].ID, err)
		}
		out[i] = wildtrain.Prediction{ID: samples[i].ID, Objects: objects}
	}
	return out, nil
}

// Forward runs the raw network in evaluation mode on images (N, 3, H, W), float32,
// exactly what the first layer gets. It returns "level0", "level1", … (N,
// 4·reg_max+nc, h, w: box bins, then class logits) and "decoded" (N, 4+nc,
// anchors: centre and size in pixels, then class probabilities). The tensors
// belong to s.
func (m *YOLO) Forward(s *torch.Scope, images *torch.Tensor) (map[string]*torch.Tensor, error) {
	shape := images.Shape()
	if stride := m.net.stride(); len(shape) != 4 || shape[1] != 3 || shape[2]%stride != 0 || shape[3]%stride != 0 {
		return nil, fmt.Errorf("detection: forward: images of shape %v: want (N, 3, H, W) with sides that are multiples of %d", shape, stride)
	}
	levels := m.net.forward(images)
	out := map[string]*torch.Tensor{"decoded": m.net.head.decode(levels)}
	for i, l := range levels {
		out[fmt.Sprintf("level%d", i)] = l
	}
	return out, s.Err()
}

// Fuse folds batch norm into the convolutions for evaluation. The next
// TrainStep, Average or change of weights through WithAverage undoes it.
func (m *YOLO) Fuse() error {
	m.unfuse()
	m.fused = torch.NewRoot(m.cfg.Device)
	for _, mod := range m.store.Modules() {
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
	for _, mod := range m.store.Modules() {
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
	return m.Averaging.WithAverage(func() error {
		defer m.unfuse()
		return fn()
	})
}
