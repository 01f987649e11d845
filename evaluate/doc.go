// Package evaluate measures how well detectors and classifiers do, with numbers
// equal to the field's own tools: COCO average precision as pycocotools computes
// it, precision, recall and F1 at a named IoU and confidence, confusion with
// background, counting errors, and classification metrics as scikit-learn has them.
//
// Detection and Classification implement wildtrain.Metric and wildtrain.Merger:
// they gather over batches, and the states of several ranks join exactly.
// COCO and ClassificationCSV work on files alone, as do DetectionFiles and
// ClassificationFiles by their names. Counting, Errors, Confusion, Grid and
// Intervals tell more of a Detection; CompareDetections and
// CompareClassification compare two models on the same pictures; Save and
// ReadSaved keep an evaluation for that. Everything is measured in the
// coordinates of the original picture, and every value that is undefined (a
// class without objects, say) is −1, as in pycocotools.
package evaluate
