// Package pipeline turns settings into objects and runs: Train, Evaluate,
// Predict, Forward, Info and Convert as Go calls. It is the only package that
// knows all others; the command line is a thin skin over it.
package pipeline
