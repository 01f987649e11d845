// Package datamodule gives models their data.
//
// Detection is a wildtrain.DataModule over WilData trees, plain COCO, YOLO and
// Pascal VOC folders, Label Studio exports and CSV tables. Several datasets are
// merged by the names of their classes; class ids become contiguous; boxes (not
// pictures) are kept, discarded and renamed by class; pictures without boxes
// stay as negatives. Training pictures are augmented, evaluation pictures
// letterboxed. What a loader yields depends on the seed, the epoch and the
// position only, never on the number of workers.
//
// Convert writes what was read in another format, Tile cuts large pictures.
// MakeSplits divides pictures so that none of a group (a flight, a folder, tiles
// of one picture) is in two splits; FindLeaks looks for pictures that are.
// Summarize and MeasurePixels tell what is in the data.
//
// Images is a source for prediction: a file, a folder, a glob.
//
// Annotations are untrusted: paths must stay inside the root, sizes are
// limited, and everything wrong is reported together, with file and line.
package datamodule
