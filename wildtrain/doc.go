// Package wildtrain holds the contracts of the SDK and its training loop.
//
// Model, DataModule, Loader, Trainer, Metric, Tuner, Optimizer, State, Saver,
// Callback and Logger are small interfaces; Batch, Sample, Object and
// Prediction are the values that pass between them. Every other package of the
// SDK implements these contracts and imports this package; this package
// imports the standard library only, so that a user's own Model or DataModule
// needs nothing else, and the loop is tested with a fake model.
//
// Pixels are made by Go and cross to the model as host memory (uint8, NHWC);
// results end as Go values. Nothing here knows of tensors.
//
// NewTrainer makes the training loop of a Config. Its method Fit is the order of
// an epoch: batches with gradient accumulation, warm-up, optimiser and moving
// average; validation with the averaged weights; best and last checkpoint;
// early stop. A run that is cancelled, or that dies, goes on from its last
// checkpoint bit for bit as if nothing had happened. CSVLog, EventLog and
// Console tell about it; any Callback or Logger can.
//
// Coordinates are pixels, x to the right, y down, with the origin at the outer
// corner of the top left pixel: the centre of that pixel is (0.5, 0.5).
package wildtrain
