package wildtrain

import "errors"

var (
	// ErrStop is returned by a Callback to end training in good order.
	ErrStop = errors.New("wildtrain: stop requested")
	// ErrPruned is returned by a Callback to end a tuning trial early.
	ErrPruned = errors.New("wildtrain: trial pruned")
	// ErrNonFinite tells that a loss or a gradient is NaN or infinite.
	ErrNonFinite = errors.New("wildtrain: loss or gradient is not finite")
	// ErrNoSplit tells that a data module lacks the split that was asked for.
	ErrNoSplit = errors.New("wildtrain: no such split")
	// ErrEmpty tells that a split holds no usable sample.
	ErrEmpty = errors.New("wildtrain: empty dataset")
	// ErrNoCheckpoint tells that there is nothing to resume from.
	ErrNoCheckpoint = errors.New("wildtrain: no checkpoint")
)
