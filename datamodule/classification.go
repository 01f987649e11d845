package datamodule

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"sync"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/wildtrain"
)

// How pictures are brought to the image size.
const (
	CropToSize    = "crop"    // evaluation: the shorter side is scaled to ResizeTo, the middle cut out; training: a random part is scaled
	StretchToSize = "stretch" // both sides are scaled, without regard to proportions
	FitToSize     = "fit"     // the longer side is scaled; the rest is grey
)

// ClassificationConfig sets up Classification. Zero means zero: take
// DefaultClassification and change it.
type ClassificationConfig struct {
	Common `yaml:",inline"` // sources are ROI, Folder, CSV, or any with boxes, of which crops are made

	Crops CropConfig `yaml:"crops"` // where pictures have boxes; Crops.Background also names the background of other sources

	Resize        string     `yaml:"resize"`        // CropToSize, StretchToSize or FitToSize
	ResizeTo      int        `yaml:"resize_to"`     // of CropToSize in evaluation; 0: ImageSize·256/224
	Interpolation string     `yaml:"interpolation"` // Pillow's: nearest, box, bilinear, hamming, bicubic or lanczos
	CropScale     [2]float64 `yaml:"crop_scale"`    // of CropToSize in training: share of the area
	CropRatio     [2]float64 `yaml:"crop_ratio"`    // and width over height
	FlipLR        float64    `yaml:"fliplr"`        // probability to mirror left and right
	FlipUD        float64    `yaml:"flipud"`        // and above and below

	EvalTransforms []augment.Named `yaml:"eval_transforms"` // changes of evaluation pictures, after the crop

	Mixing Mixing `yaml:",inline"` // of the pictures of training batches
}

// DefaultClassification returns the full set of defaults for a root.
func DefaultClassification() ClassificationConfig {
	c := ClassificationConfig{
		Common: common(), Crops: DefaultCrops(),
		Resize: CropToSize, Interpolation: resample.Bilinear.String(),
		CropScale: [2]float64{0.35, 1}, CropRatio: [2]float64{3. / 4, 4. / 3}, FlipLR: 0.5,
		Mixing: DefaultMixing(),
	}
	c.ImageSize, c.Batch = 224, 32
	return c
}

// detection is the configuration of the pictures that the examples are made of.
func (c ClassificationConfig) detection() Config {
	d := DefaultConfig()
	d.Common, d.labels = c.Common, true
	d.Stride, d.Rect = 1, false
	d.Augment, d.Transforms = augment.Config{}, nil // are the examples'
	return d
}

// Validate reports every problem of the configuration at once.
func (c ClassificationConfig) Validate() error {
	errs := []error{c.detection().Validate(), c.Crops.Validate(), c.Augment.Validate(), c.Mixing.Validate()}
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("datamodule: "+format, args...))
		}
	}
	bad(slices.Contains([]string{CropToSize, StretchToSize, FitToSize}, c.Resize), "resize is %q, must be crop, stretch or fit", c.Resize)
	bad(c.ResizeTo == 0 || c.ResizeTo >= c.ImageSize, "resize_to is %d, must be at least imgsz, %d", c.ResizeTo, c.ImageSize)
	bad(c.ImageSize <= 1<<14 && c.ResizeTo <= 1<<14, "imgsz and resize_to must be at most 16384")
	_, err := resample.ParseFilter(c.Interpolation)
	bad(err == nil, "interpolation: %v", err)
	inOrder := func(v [2]float64, low, high float64) bool { return v[0] >= low && v[0] <= v[1] && v[1] <= high }
	bad(inOrder(c.CropScale, 1e-6, 1), "crop_scale is %v, must be two rising shares up to 1", c.CropScale)
	bad(inOrder(c.CropRatio, 1e-3, 1e3), "crop_ratio is %v, must be two rising ratios", c.CropRatio)
	bad(c.FlipLR >= 0 && c.FlipLR <= 1, "fliplr is %v, must be between 0 and 1", c.FlipLR)
	bad(c.FlipUD >= 0 && c.FlipUD <= 1, "flipud is %v, must be between 0 and 1", c.FlipUD)
	for key, list := range map[string][]augment.Named{"transforms": c.Transforms, "eval_transforms": c.EvalTransforms} {
		_, err := augment.Parse(list)
		bad(err == nil, "%s: %v", key, err)
	}
	return errors.Join(errs...)
}

// Example is one picture, or a part of one, with its classes.
type Example struct {
	ID      string // of a whole picture the record's; of a crop with #<number of the box> or #background<number> after it
	Record  *Record
	Window  image.Rectangle // in the picture's pixels; what lies outside of it is black
	Targets []wildtrain.Target

	picture int // the record's place among those of its stage
}

// Classification is a wildtrain.DataModule of pictures with classes: whole
// pictures, or crops around the boxes of pictures and windows without one. Its
// methods may be called from several goroutines.
type Classification struct {
	config ClassificationConfig
	data   *Detection
	crops  map[string]bool // datasets of which crops are made
	plain  bool            // pictures have no classes

	mu      sync.Mutex
	sampler *sampler // of the training examples, made with their first loader
	ready   map[wildtrain.Stage][]Example
}

var _ wildtrain.DataModule = (*Classification)(nil)

// NewClassification opens the roots and reads the class lists of all their
// splits, so that every stage has the same classes. Pictures are checked by Setup.
func NewClassification(c ClassificationConfig) (*Classification, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	base := c.detection()
	sources, err := openSources(base)
	if err != nil {
		return nil, err
	}
	out := &Classification{config: c, crops: map[string]bool{}, ready: map[wildtrain.Stage][]Example{}}
	for _, s := range sources {
		if hasBoxes(s) {
			out.crops[s.name()] = true
		}
	}
	out.data = newDetection(base, sources, nil)
	lists := out.data.classLists()
	named := func(list []rawClass) bool {
		return slices.ContainsFunc(list, func(r rawClass) bool { return r.name == c.Crops.Background })
	}
	if len(out.crops) > 0 && c.Crops.samples() || slices.ContainsFunc(lists, named) {
		out.data.config.background = c.Crops.Background
	} else if c.SingleClass != "" {
		return nil, fmt.Errorf("datamodule: single_class %q alone is no class to tell from others: no dataset has the class %q (crops.background), and none is cut out of pictures with boxes", c.SingleClass, c.Crops.Background)
	}
	if out.data.classes, err = newClassMap(out.data.config, lists); err != nil {
		return nil, out.data.explain(err)
	}
	return out, nil
}

// hasBoxes tells sources of pictures with boxes from those of whole pictures.
func hasBoxes(s source) bool {
	switch s := s.(type) {
	case *roiSource, *folderSource:
		return false
	case *namedSource:
		return !s.labels
	}
	return true
}

// Classes implements wildtrain.DataModule.
func (c *Classification) Classes() []wildtrain.Class { return c.data.Classes() }

// Splits lists the splits that exist in at least one dataset.
func (c *Classification) Splits() []string { return c.data.Splits() }

// Setup implements wildtrain.DataModule: it reads the labels of a stage and the
// header of every picture, and lays the crops. Anything wrong is one error of
// type *DataError (policy Fail), or left out and logged (policy Skip).
func (c *Classification) Setup(ctx context.Context, stage wildtrain.Stage) error {
	if err := c.data.Setup(ctx, stage); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready[stage] != nil {
		return nil
	}
	examples := c.examples(c.data.Records(stage))
	if len(examples) == 0 {
		return fmt.Errorf("datamodule: split %q of %s has no example of the classes kept: %w", c.data.splitOf(stage), c.data.where(), wildtrain.ErrEmpty)
	}
	c.ready[stage] = examples
	return nil
}

// examples makes those of records, in their order.
func (c *Classification) examples(records []Record) []Example {
	background := -1
	if c.data.config.background != "" {
		background = c.data.classes.of(c.data.config.background)
	}
	var sizes []wildtrain.Box // that background windows are to have
	for i := range records {
		if c.crops[records[i].Dataset] {
			for _, o := range records[i].Objects {
				sizes = append(sizes, o.Box)
			}
		}
	}
	var out []Example
	for i := range records {
		rec := &records[i]
		if !c.crops[rec.Dataset] {
			if e := wholePicture(rec, i); e.Targets != nil || c.plain {
				out = append(out, e)
			}
			continue
		}
		for k, o := range rec.Objects {
			if c.config.Crops.takes(o) {
				out = append(out, Example{fmt.Sprintf("%s#%d", rec.ID, k), rec, c.config.Crops.around(o.Box, rec.Width, rec.Height), target(o.Class), i})
			}
		}
		if background < 0 {
			continue
		}
		for k, at := range c.config.Crops.backgrounds(rec, sizes, c.config.Seed) {
			out = append(out, Example{fmt.Sprintf("%s#background%d", rec.ID, k), rec, at, target(background), i})
		}
	}
	return out
}

func target(class int) []wildtrain.Target { return []wildtrain.Target{{Class: class, Weight: 1}} }

// wholePicture is a whole picture with all of its classes.
func wholePicture(rec *Record, i int) Example {
	e := Example{ID: rec.ID, Record: rec, Window: image.Rect(0, 0, rec.Width, rec.Height), picture: i}
	for _, o := range rec.Objects {
		if !slices.ContainsFunc(e.Targets, func(t wildtrain.Target) bool { return t.Class == o.Class }) {
			e.Targets = append(e.Targets, wildtrain.Target{Class: o.Class, Weight: 1})
		}
	}
	return e
}

// takes tells whether a box is an example.
func (c CropConfig) takes(o wildtrain.Object) bool {
	return (c.Crowd || !o.Crowd) && (c.Difficult || !o.Difficult) && math.Min(o.Box.Width(), o.Box.Height()) >= c.MinSide
}

// Examples returns those of a stage in the order of the data, nil before Setup.
// The slice is shared: read it only.
func (c *Classification) Examples(stage wildtrain.Stage) []Example {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready[stage]
}

// ClassCounts tells how many examples of a stage have each class, in the order
// of Classes: what class weights are made of. It is nil before Setup.
func (c *Classification) ClassCounts(stage wildtrain.Stage) []int {
	examples := c.Examples(stage)
	if examples == nil {
		return nil
	}
	out := make([]int, len(c.data.classes.classes))
	for _, e := range examples {
		for _, t := range e.Targets {
			out[t.Class]++
		}
	}
	return out
}

// Report returns what Setup found in the pictures of a stage, nil before Setup.
func (c *Classification) Report(stage wildtrain.Stage) *Report { return c.data.Report(stage) }

// Audit decodes every picture and reports all it finds, as Detection.Audit does.
// Of whole pictures, their classes count as boxes around all of them.
func (c *Classification) Audit(ctx context.Context, o LeakOptions) (*Audit, error) {
	return c.data.Audit(ctx, o)
}

// Pictures returns the pictures of all stages that exist, as Detection.Pictures
// does. Of whole pictures, their classes are boxes around all of them.
func (c *Classification) Pictures(ctx context.Context) ([]Split, error) { return c.data.Pictures(ctx) }

// Close implements wildtrain.DataModule: it forgets cached pictures.
func (c *Classification) Close() error { return c.data.Close() }
