package wildtrain

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Description tells what a model is.
type Description struct {
	Task         string   `json:"task"`         // "detection" or "classification"
	Architecture string   `json:"architecture"` // "yolo11n", "fasterrcnn_resnet50_fpn", …
	Classes      []string `json:"classes"`      // by class index
	InputSize    [2]int   `json:"input_size"`   // height and width the model was built for; 0 where any
	Stride       int      `json:"stride"`       // sides of the input are multiples of this; 0 where any
	Parameters   int64    `json:"parameters"`   // trainable and frozen numbers, buffers excluded
	License      string   `json:"license"`      // of the weights: SPDX identifier, "" for weights made here

	// Options is what the model's own package needs besides to build and use it
	// again, such as a classifier's head and input statistics; nil where nothing.
	Options json.RawMessage `json:"options,omitempty"`
}

// Step tells TrainStep where in an accumulation window it is.
type Step struct {
	Scale  float64 // the loss is multiplied by this before backward
	Sync   bool    // last micro-batch of its window: gradients are exchanged between ranks
	Number int64   // optimiser steps done so far
}

// Losses are the named parts of one step's loss. Values waits for the device,
// so the loop reads it only when somebody wants to know.
type Losses interface {
	Names() []string // "loss", the total, comes first
	Values() ([]float64, error)
}

// LossValues is a Losses that is known already.
type LossValues struct {
	Keys    []string
	Numbers []float64
}

// Names implements Losses.
func (l LossValues) Names() []string { return l.Keys }

// Values implements Losses.
func (l LossValues) Values() ([]float64, error) { return l.Numbers, nil }

// Model is something that learns. A Model is used by one goroutine at a time.
//
// TrainStep runs forward and backward; gradients add up until the optimiser's
// ZeroGrad. Predict returns one Prediction per sample, in order. Both release
// the batch when its pixels are copied.
type Model interface {
	Describe() Description
	TrainStep(ctx context.Context, b *Batch, s Step) (Losses, error)
	Predict(ctx context.Context, b *Batch) ([]Prediction, error)
	Optimizer(cfg OptimizerConfig) (Optimizer, error)
	State() State
	io.Closer
}

// Evaluator is a Model that can tell the loss of a batch together with its predictions.
type Evaluator interface {
	Evaluate(ctx context.Context, b *Batch) (Losses, []Prediction, error)
}

// Averager is a Model that keeps an exponential moving average of its weights
// (parameters and floating-point buffers).
type Averager interface {
	// Average folds the present weights in: ema = decay·ema + (1−decay)·weights.
	// The first call begins with a copy of them.
	Average(decay float64) error
	// Averaged returns the averaged state, nil before the first Average.
	Averaged() State
	// WithAverage runs fn with the averaged weights in the place of the raw ones.
	WithAverage(fn func() error) error
}

// Randomizer is a Model with random generators of its own (dropout, say), whose
// state an exact resume must restore.
type Randomizer interface {
	RandomState() ([]byte, error)
	SetRandomState([]byte) error
}

// Embedder is a Model that can fill Prediction.Embedding.
type Embedder interface {
	Embed(ctx context.Context, b *Batch) ([]Prediction, error)
}

// Scheduled is a Model whose loss changes in the course of a training. The loop
// tells it the epoch, from 0, of so many, before the epoch's first batch.
type Scheduled interface {
	Schedule(epoch, epochs int)
}

// Freezer is a Model whose parts can be frozen by name prefix: no gradients,
// and normalisation layers inside stay in evaluation mode.
type Freezer interface {
	Freeze(prefixes ...string) error
}

// DType is the type of the numbers in a stored tensor.
type DType uint8

// The stored types.
const (
	Float32 DType = iota
	Float64
	Float16
	BFloat16
	Int64
	Int32
	Int16
	Int8
	Uint8
	Bool
)

var dtypes = [...]struct {
	name string
	size int
}{{"float32", 4}, {"float64", 8}, {"float16", 2}, {"bfloat16", 2}, {"int64", 8}, {"int32", 4}, {"int16", 2}, {"int8", 1}, {"uint8", 1}, {"bool", 1}}

// Size is the number of bytes of one value, 0 for an unknown type.
func (d DType) Size() int {
	if int(d) < len(dtypes) {
		return dtypes[d].size
	}
	return 0
}

// String returns PyTorch's name of the type.
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// Info describes one tensor of a State.
type Info struct {
	DType DType
	Shape []int64 // empty for a scalar
}

// Elements is the product of the shape, 1 for a scalar.
func (i Info) Elements() int64 {
	n := int64(1)
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// Bytes is the size of the tensor's data.
func (i Info) Bytes() int64 { return i.Elements() * int64(i.DType.Size()) }

// State is a set of named tensors, read and written one at a time so that
// saving needs no second copy in memory. Data is little-endian, contiguous,
// row-major, whatever the layout in memory. Names come sorted.
type State interface {
	Names() []string
	Info(name string) (Info, bool)
	Read(name string, dst []byte) error
	Write(name string, src []byte) error
}

// OptimizerConfig chooses and sets an optimiser. Zero means zero; take
// DefaultOptimizer and change it.
type OptimizerConfig struct {
	Name         string // "SGD", "MuSGD", "Adam", "AdamW", "RMSprop"; case does not matter
	LR           float64
	Momentum     float64 // SGD's and RMSprop's momentum, Adam's beta1
	Beta2        float64 // Adam's
	Eps          float64 // Adam's and RMSprop's
	Alpha        float64 // RMSprop's smoothing constant
	WeightDecay  float64 // of weights; norm layers and biases have none
	Nesterov     bool    // SGD's
	LayerLRDecay float64 // factor of the learning rate per layer away from the head; 1 switches it off
}

// DefaultOptimizer returns the settings of the named optimiser's papers and of
// PyTorch, with the learning rates that detectors are trained with.
func DefaultOptimizer(name string) OptimizerConfig {
	return OptimizerConfig{Name: name, LR: 0.01, Momentum: 0.937, Beta2: 0.999, Eps: 1e-8, Alpha: 0.99, WeightDecay: 5e-4, Nesterov: true, LayerLRDecay: 1}
}

// Role tells what a group of parameters holds: warm-up and decay differ by it.
type Role uint8

// The roles of parameter groups.
const (
	Weights Role = iota // matrices and kernels: decayed
	Norms               // scales of normalisation layers: not decayed
	Biases              // not decayed, warmed up from WarmupBiasLR
)

// Group is one parameter group as the optimiser holds it now. LR is the group's
// own base (with layer decay or head factors), set by the model.
type Group struct {
	Name       string  `json:"name"`
	Role       Role    `json:"role"`
	LR         float64 `json:"lr"`
	Momentum   float64 `json:"momentum"`
	Decay      float64 `json:"decay"`
	Parameters int     `json:"parameters"`
}

// Clip limits gradients before a step. Zero switches a limit off.
type Clip struct {
	Norm  float64 // total L2 norm over all groups
	Value float64 // of each element
}

// Report tells what a step did.
type Report struct {
	GradNorm float64 // L2 norm before clipping; NaN where it was not computed
	Skipped  bool    // non-finite gradients: nothing was changed (mixed precision)
}

// Optimizer changes the model's parameters by their gradients. Unscaling, the
// exchange between ranks, clipping and the check for non-finite gradients
// happen inside Step: where one is not finite, Step changes nothing and reports
// Skipped. State holds every buffer from the beginning (zero before the first
// step), so that a resumed run can fill it.
type Optimizer interface {
	Groups() []Group // in a stable order
	SetGroup(name string, lr, momentum, decay float64) error
	Step(clip Clip) (Report, error)
	ZeroGrad()
	State() State
	io.Closer
}
