package wildtrain

import (
	"context"
	"io"
	"iter"
)

// Image is one picture in host memory, rows of interleaved channels (HWC).
// Colour is RGB, always. Exactly one of U8 and U16 is set.
type Image struct {
	Height, Width, Channels int
	U8                      []uint8  // len Height·Width·Channels
	U16                     []uint16 // the same, for sensors of more than 8 bits
}

// Pixels are the pictures of a batch: either one block of equal sizes or a list
// of images of different sizes.
type Pixels struct {
	N, Height, Width, Channels int
	U8                         []uint8  // N·Height·Width·Channels values, NHWC, RGB
	U16                        []uint16 // the same in 16 bits; U8 is nil then
	Images                     []Image  // of different sizes; U8 and U16 are nil then
}

// Target is one class that a sample has, for classification: several of them
// for multi-label data and for mixtures of images.
type Target struct {
	Class  int     // index into DataModule.Classes
	Weight float32 // 1 for a plain label; the share of the image in mixup and cutmix
}

// Object is one thing in a picture, annotated or predicted.
type Object struct {
	Box       Box
	Class     int     // index into DataModule.Classes
	Score     float64 // confidence 0..1 of a prediction; unused in annotations
	Area      float64 // annotated area in px² (a silhouette's, say); 0 means the box's area
	Crowd     bool    // a group under one box (COCO iscrowd): never a training target
	Difficult bool    // neither rewarded nor punished by evaluation (VOC difficult)
	Mask      *Mask   // nil without segmentation
}

// Sample describes one picture of a batch.
type Sample struct {
	ID            string   // unique within its split, the same in every epoch
	Width, Height int      // size of the original picture as displayed (after EXIF orientation)
	Place         Affine   // from the original's pixels to the batch's; Identity where untouched
	Targets       []Target // classification labels
	Objects       []Object // what the model is to learn, in batch coordinates
	Truth         []Object // what evaluation compares with, as annotated, in original coordinates
}

// Prediction is what a model says of one picture, in original coordinates.
type Prediction struct {
	ID        string
	Objects   []Object  // detections, by falling score
	Probs     []float32 // one probability per class, for classification
	Embedding []float32 // features, where asked for
}

// Batch is what a Loader yields and a Model consumes. The consumer calls
// Release when it has copied the pixels; it must not read them afterwards.
type Batch struct {
	Pixels  Pixels
	Samples []Sample
	release func()
}

// NewBatch makes a batch; release gives its buffers back to their owner and may be nil.
func NewBatch(p Pixels, s []Sample, release func()) *Batch {
	return &Batch{Pixels: p, Samples: s, release: release}
}

// Release gives the pixel buffers back. More than one call does no harm.
func (b *Batch) Release() {
	if b.release != nil {
		b.release()
		b.release = nil
	}
}

// Len is the number of pictures.
func (b *Batch) Len() int { return len(b.Samples) }

// Stage names what data is wanted for.
type Stage string

// The stages of a run. A data module has one split for each.
const (
	Train Stage = "train"
	Val   Stage = "val"
	Test  Stage = "test"
)

// Position says where in an epoch a loader starts. Skipped batches are skipped
// by index, without decoding. Rank of World shards the samples.
type Position struct{ Epoch, Batch, Rank, World int }

// Loader yields the batches of one epoch of one stage. What it yields depends
// on the seed, the epoch and the position only, never on the number of workers.
// When the loop over Batches ends, for whatever reason, its workers have ended.
type Loader interface {
	Len() int // batches in the whole epoch for this rank
	Batches(ctx context.Context) iter.Seq2[*Batch, error]
}

// Class is one entry of the class list; its index is the class id used everywhere.
type Class struct {
	Name string
	ID   int // id in the source files, kept for export
}

// DataModule gives the loop its data. Setup opens and checks a stage; a stage
// that does not exist is an error that satisfies errors.Is(err, ErrNoSplit).
type DataModule interface {
	Setup(ctx context.Context, stage Stage) error
	Classes() []Class
	Loader(stage Stage, at Position) (Loader, error)
	io.Closer
}

// Names lists the names of classes in order, as models take them.
func Names(classes []Class) []string {
	out := make([]string, len(classes))
	for i, c := range classes {
		out[i] = c.Name
	}
	return out
}
