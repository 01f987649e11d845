package classification

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/wildtrain"
)

// Config says what to build. Take DefaultConfig and change it.
type Config struct {
	Architecture string   // as backbone.Lookup takes it: "resnet18", "timm/vit_small_patch16_224"
	Classes      []string // class names by index; none makes a feature extractor

	// Input is what happens to pictures before the first layer. The classifier
	// itself scales by Scale and normalises by Mean and Std, once, on the device;
	// the data module is to do the rest.
	Input checkpoint.Preprocessing

	Head            Head
	Dropout         float64 // before the architecture's own head, in training
	StochasticDepth float64 // of the last residual branch, see backbone.Spec
	Loss            Loss
	MultiLabel      bool              // a picture has any number of classes: sigmoids instead of one softmax
	Parents         map[string]string // the group above a class or group: species → genus → family
	Background      string            // the class of pictures that show nothing; "" for none
	Temperature     float64           // logits are divided by this before they become probabilities, see Calibrate

	UnfreezeEvery int // epochs after which the next block down from the head begins to train; 0 trains what is not frozen from the beginning

	Device       torch.Device
	Precision    torch.DType // Float, or BFloat16 / Half for mixed precision
	ChannelsLast bool        // NHWC layout of kernels and activations

	Weights       wildtrain.State // initial values by name; nil to initialise
	WeightClasses []string        // the classes of Weights by index, where known: heads are joined by name
	Partial       bool            // Weights may lack tensors or have others; see Classifier.Loaded
	License       string          // of the weights
}

// Head is a multi-layer perceptron in the place of the architecture's own last
// layer: Layers−1 times a linear layer of Hidden outputs, ReLU and dropout, then
// one to the classes. Hidden 0 keeps the architecture's head.
type Head struct {
	Hidden  int     `json:"hidden,omitempty"`
	Layers  int     `json:"layers,omitempty"`
	Dropout float64 `json:"dropout,omitempty"`
}

// DefaultConfig returns the settings with which published weights are fine-tuned:
// the architecture's own head, input size, statistics and regularisation, cross
// entropy, float32 on the CPU. An unknown architecture is New's error.
func DefaultConfig(architecture string, classes []string) Config {
	c := Config{
		Architecture: architecture, Classes: classes, Device: torch.CPU, Precision: torch.Float, Temperature: 1,
		Loss:  DefaultLoss(),
		Input: checkpoint.Preprocessing{Resize: "stretch", Colour: "RGB", Scale: 1.0 / 255, Sampling: "bilinear"},
	}
	if spec, err := backbone.Lookup(architecture); err == nil {
		c.Input.Height, c.Input.Width = spec.InputSize, spec.InputSize
		c.Input.Mean, c.Input.Std = slices.Clone(spec.Mean[:]), slices.Clone(spec.Std[:])
		c.Dropout, c.StochasticDepth = spec.Dropout, spec.StochasticDepth
	}
	return c
}

// Validate reports every problem of the settings at once.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("classification: "+format, args...))
		}
	}
	for i, name := range c.Classes {
		check(slices.Index(c.Classes, name) == i, "two classes named %q", name)
	}
	check(c.Input.Height > 0 && c.Input.Width > 0, "input size %d×%d", c.Input.Width, c.Input.Height)
	check(len(c.Input.Mean) == 3 && len(c.Input.Std) == 3, "input statistics of %d and %d channels, want 3", len(c.Input.Mean), len(c.Input.Std))
	for _, s := range c.Input.Std {
		check(s > 0 && !math.IsInf(s, 0), "input standard deviation %g must be above 0", s)
	}
	check(c.Input.Scale > 0, "input scale %g must be above 0", c.Input.Scale)
	check(c.Head.Hidden >= 0 && c.Head.Hidden <= 1<<16, "%d hidden units in the head", c.Head.Hidden)
	check(c.Head.Hidden == 0 || c.Head.Layers >= 1 && c.Head.Layers <= 16, "%d layers in the head, want 1 to 16", c.Head.Layers)
	check(c.Head.Dropout >= 0 && c.Head.Dropout < 1, "the head's dropout %g is not in 0..1", c.Head.Dropout)
	check(c.Temperature > 0 && !math.IsInf(c.Temperature, 0), "temperature %g must be above 0", c.Temperature)
	check(c.UnfreezeEvery >= 0, "unfreezing every %d epochs", c.UnfreezeEvery)
	check(c.Background == "" || slices.Contains(c.Classes, c.Background), "the background %q is no class", c.Background)
	check(c.Background == "" || !c.MultiLabel, "multi-label pictures of background have no class: a class %q makes no sense", c.Background)
	check(c.Precision == torch.Float || c.Precision == torch.BFloat16 || c.Precision == torch.Half, "precision %v: want float32, bfloat16 or float16", c.Precision)
	check(c.Precision != torch.Half || c.Device.IsCUDA(), "precision float16 needs a CUDA device: use bfloat16 on the CPU")
	if err := c.Loss.validate(len(c.Classes), c.MultiLabel); err != nil {
		errs = append(errs, err)
	}
	if _, err := NewTaxonomy(c.Classes, c.Parents); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
