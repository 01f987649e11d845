// Package optim holds the optimisers: SGD with momentum and Nesterov's variant,
// Adam, AdamW and RMSprop, with the semantics of torch.optim. They implement
// wildtrain.Optimizer: groups of parameters in a stable order, each with its own
// learning rate, momentum and decay; clipping and the check for non-finite
// gradients inside Step; every buffer readable and writable under a name such
// as "momentum_buffer/model.0.conv.weight".
package optim
