// Package block holds the blocks that detectors share: convolution with batch
// norm and activation, cross-stage partial blocks, pyramid pooling and
// position-sensitive attention, with the parameter names that published YOLO
// weights use.
package block
