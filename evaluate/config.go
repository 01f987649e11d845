package evaluate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// AreaRange is a size class of objects, in px²; both ends belong to it, as in COCO.
type AreaRange struct {
	Name     string
	Min, Max float64
}

// COCOAreas returns the size classes of COCO: all, small (< 32²), medium, large (> 96²).
func COCOAreas() []AreaRange {
	const most = 1e5 * 1e5
	return []AreaRange{{"all", 0, most}, {"small", 0, 32 * 32}, {"medium", 32 * 32, 96 * 96}, {"large", 96 * 96, most}}
}

// COCOThresholds returns the ten IoU thresholds .50, .55, …, .95 as numpy spaces them.
func COCOThresholds() []float64 { return linspace(0.5, 0.95, 10) }

// IoUType says what overlap is measured on.
type IoUType string

// The kinds of overlap.
const (
	Boxes IoUType = "bbox" // bounding boxes
	Masks IoUType = "segm" // segmentation masks
)

// DetectionConfig says what is measured. Zero means zero: take
// DefaultDetectionConfig and change it.
type DetectionConfig struct {
	Classes    []string
	IoUType    IoUType     // Boxes where empty
	Thresholds []float64   // IoU thresholds that AP and AR average over
	Areas      []AreaRange // size classes; the first must hold everything
	MaxDets    []int       // detections per picture and class that count, rising; AP uses the last

	// Agnostic matches boxes whatever their classes and reports one class
	// (pycocotools' useCats = 0).
	Agnostic bool
	// SingleClass, if not empty, renames every class to this one before
	// anything is measured.
	SingleClass string

	// Groups names for classes the group in whose AP they count: with "r", "c"
	// and "f", as LVIS has them, the values are APr, APc and APf. Files state
	// it as the frequency of their categories.
	Groups map[string]string

	IoU     float64            // at which precision, recall and F1 are told
	Conf    float64            // least score of detections for those
	Confs   map[string]float64 // least scores of single classes, before Conf
	Workers int                // goroutines; 0 means one per processor. Results do not depend on it

	// LVIS reads annotation files by the rules of LVIS (Gupta et al., CVPR 2019):
	// detections of a class that was not looked for in a picture (it is neither
	// annotated nor among neg_category_ids) are left out, those that match nothing
	// of a class in not_exhaustive_category_ids are not counted, the last of
	// MaxDets holds for all classes of a picture together, and an annotation is
	// ignored by its key ignore, not by iscrowd.
	LVIS bool
	// GroupBy names the key of an annotation file's images that holds the group
	// of a picture (SetGroups).
	GroupBy string
}

// DefaultDetectionConfig returns COCO's settings, with precision, recall and F1
// at IoU 0.5 and score 0.25.
func DefaultDetectionConfig(classes []string) DetectionConfig {
	return DetectionConfig{
		Classes: classes, IoUType: Boxes, Thresholds: COCOThresholds(), Areas: COCOAreas(),
		MaxDets: []int{1, 10, 100}, IoU: 0.5, Conf: 0.25,
	}
}

// maxThresholds is the number of bits in which a detection keeps its matches.
const maxThresholds = 64

// Validate reports every problem at once.
func (c DetectionConfig) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("evaluate: check config: "+format, args...))
		}
	}
	check(len(c.Classes) > 0, "no classes")
	check(c.IoUType == "" || c.IoUType == Boxes || c.IoUType == Masks, "IoUType %q, want %q or %q", c.IoUType, Boxes, Masks)
	check(len(c.Thresholds) > 0 && len(c.Thresholds) < maxThresholds, "%d IoU thresholds, want 1 to %d", len(c.Thresholds), maxThresholds-1)
	check(len(c.Areas) > 0, "no size classes")
	check(len(c.MaxDets) > 0 && slices.IsSorted(c.MaxDets) && c.MaxDets[0] > 0, "MaxDets %v: want rising numbers above 0", c.MaxDets)
	for _, v := range append(slices.Clone(c.Thresholds), c.IoU) {
		check(v > 0 && v <= 1, "IoU threshold %g is not in 0..1", v)
	}
	for _, a := range c.Areas {
		check(a.Name != "" && a.Min <= a.Max, "size class %q from %g to %g: want a name and Min ≤ Max", a.Name, a.Min, a.Max)
	}
	check(!math.IsNaN(c.Conf), "Conf is NaN")
	for _, name := range slices.Sorted(maps.Keys(c.Confs)) {
		check(slices.Contains(c.classNames(), name), "least score of %q, which is none of the classes %q", name, c.classNames())
		check(!math.IsNaN(c.Confs[name]), "least score of %q is NaN", name)
	}
	return errors.Join(errs...)
}

// classNames are the classes that results are given for.
func (c DetectionConfig) classNames() []string {
	switch {
	case c.SingleClass != "":
		return []string{c.SingleClass}
	case c.Agnostic:
		return []string{"any"}
	}
	return c.Classes
}

// leasts are the least scores of the classes that results are given for.
func (c DetectionConfig) leasts() []float64 {
	names := c.classNames()
	out := make([]float64, len(names))
	for i, name := range names {
		out[i] = c.Conf
		if v, ok := c.Confs[name]; ok {
			out[i] = v
		}
	}
	return out
}

// linspace rounds as numpy.linspace does.
func linspace(start, stop float64, n int) []float64 {
	out := make([]float64, n)
	step := (stop - start) / float64(n-1)
	for i := range out {
		out[i] = float64(float64(i)*step) + start
	}
	out[n-1] = stop
	return out
}

// recallPoints are the 101 recalls at which precision is read.
var recallPoints = linspace(0, 1, 101)

// epsilon is numpy's spacing(1), which keeps precision from dividing by zero.
const epsilon = 0x1p-52

// finite reports whether stored numbers can be worked with.
func finite(v ...float64) bool {
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}

// Values are named numbers in a fixed order; as JSON they are one object.
type Values []wildtrain.Value

// MarshalJSON implements json.Marshaler, with full precision.
func (v Values) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, x := range v {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(x.Name)
		if err != nil {
			return nil, err
		}
		number, err := json.Marshal(x.Value)
		if err != nil {
			return nil, fmt.Errorf("evaluate: write %s: %w", x.Name, err)
		}
		out = append(append(append(out, name...), ':'), number...)
	}
	return append(out, '}'), nil
}

// UnmarshalJSON implements json.Unmarshaler, keeping the order of the file.
func (v *Values) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if err := delim(d, '{'); err != nil {
		return fmt.Errorf("evaluate: read values: %w", err)
	}
	*v = (*v)[:0]
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		x := wildtrain.Value{Name: key.(string)}
		if err := d.Decode(&x.Value); err != nil {
			return fmt.Errorf("evaluate: read values: %s: %w", x.Name, err)
		}
		*v = append(*v, x)
	}
	return delim(d, '}')
}

// Get returns the number of that name, −1 and false if there is none.
func (v Values) Get(name string) (float64, bool) {
	for _, x := range v {
		if x.Name == name {
			return x.Value, true
		}
	}
	return -1, false
}
