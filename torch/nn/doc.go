// Package nn holds the layers that models are built of, and the Store that owns
// a model's parameters and buffers under PyTorch's names.
//
// A constructor takes a Builder, which stands at one place of the tree of
// names: conv := nn.NewConv2d(b.Sub("conv1"), …) owns "conv1.weight". The same
// constructor initialises as PyTorch does or, where the Store has a source,
// takes the values from there; Store.Finish then reports missing, unexpected
// and mis-shaped names together.
//
// Whether a layer trains or evaluates is the Run's mode, not a state of the layer.
package nn
