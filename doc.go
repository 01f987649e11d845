// Package sdk is the front page of WildTrain for Go: an SDK which trains,
// evaluates, tunes and registers wildlife detectors and classifiers.
//
// Data goes one way:
//
//	config → datamodule → model → trainer → evaluate → checkpoint → mlflow
//
// with tune around the whole. The contracts and the training loop live in
// package wildtrain, which imports the standard library only; everything else
// implements them. Packages whose name stands below torch (torch, detection,
// classification, pipeline) need libtorch and cgo; all others build with
// CGO_ENABLED=0.
//
// This package holds documentation only.
package sdk
