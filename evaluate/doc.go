// Package evaluate measures detectors, with the numbers of the field's own
// tools: the COCO figures equal pycocotools' to 1e-9, crowds, ties, area ranges,
// detection limits and empty images included. It is pure Go and needs no model:
// a service that never trains can use it on stored files.
//
// Coordinates are those of the original pictures. A number that is not defined,
// such as the average precision of a class without annotations, is −1.
package evaluate
