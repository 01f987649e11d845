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
// Classification is one of pictures with classes: WilData's ROI exports, image
// folders and tables, or crops around the boxes of any of the above, cut while
// training, and windows without an animal.
//
// Audit reports all that is wrong, what is there, and what is in two splits;
// WriteGallery makes a page to look at it. Convert writes what was read in another format, Tile cuts large pictures.
// MakeSplits divides pictures so that none of a group (a flight, a folder, tiles
// of one picture) is in two splits; FindLeaks looks for pictures that are.
// Summarize and MeasurePixels tell what is in the data. An orthomosaic of any size
// is tiled in bounded memory.
//
// Images is a source for prediction: a file, a folder, a glob.
//
// Annotations are untrusted: paths must stay inside the root, sizes are
// limited, and everything wrong is reported together, with file and line.
package datamodule
