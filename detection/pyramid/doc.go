// Package pyramid is what convolutional detectors of the MMDetection and
// torchvision kind have in common: pictures are resized and normalised, a
// backbone and a feature pyramid (Lin et al. 2017, arXiv 1612.03144) make maps of
// them, and a Head, of one stage or two, turns maps into losses and detections.
// Detector is the wildtrain.Model around all of it. Packages detection/rcnn and
// detection/dense hold the heads.
package pyramid
