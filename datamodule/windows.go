package datamodule

import (
	"errors"
	"fmt"
	"hash/fnv"
	"image"
	"math"
	"slices"

	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// streamBackground is the random stream of background windows.
const streamBackground uint64 = 104

// How crops are laid around boxes.
const (
	FixedWindow   = "fixed"   // a square of Size pixels around the middle of the box
	ContextWindow = "context" // the box, Context times as wide and as high
	SquareWindow  = "square"  // a square, Context times as long as the box's longer side
)

// CropConfig says how crops are made of pictures with boxes.
type CropConfig struct {
	Window  string  `yaml:"window"`   // FixedWindow, ContextWindow or SquareWindow
	Size    int     `yaml:"size"`     // of FixedWindow, in pixels
	Context float64 `yaml:"context"`  // of the other windows: 1 is the box itself
	MinSide float64 `yaml:"min_side"` // boxes with a shorter side, in pixels, are no examples

	Crowd     bool `yaml:"crowd"`     // also boxes around groups
	Difficult bool `yaml:"difficult"` // also boxes marked as difficult

	Background string `yaml:"background"`           // the class of windows without a box; "": there are none
	Negatives  int    `yaml:"background_negatives"` // such windows in a picture without boxes
	Positives  int    `yaml:"background_positives"` // such windows in a picture with boxes
}

// DefaultCrops lays squares around animals, half as long again as they are.
func DefaultCrops() CropConfig {
	return CropConfig{Window: SquareWindow, Size: 224, Context: 1.5, MinSide: 4, Difficult: true, Background: "background", Negatives: 3, Positives: 1}
}

// Validate reports every problem of the configuration at once.
func (c CropConfig) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("datamodule: crops: "+format, args...))
		}
	}
	bad(slices.Contains([]string{FixedWindow, ContextWindow, SquareWindow}, c.Window), "window is %q, must be fixed, context or square", c.Window)
	bad(c.Size > 0 && c.Size <= 1<<14, "size is %d, must be between 1 and 16384", c.Size)
	bad(c.Context >= 0.1 && c.Context <= 100, "context is %v, must be between 0.1 and 100", c.Context)
	bad(c.MinSide >= 0 && c.MinSide < math.MaxInt32, "min_side is %v, must not be negative", c.MinSide)
	bad(c.Negatives >= 0, "background_negatives is %d, must not be negative", c.Negatives)
	bad(c.Positives >= 0, "background_positives is %d, must not be negative", c.Positives)
	return errors.Join(errs...)
}

// samples tells whether windows without a box are wanted.
func (c CropConfig) samples() bool {
	return c.Background != "" && (c.Negatives > 0 || c.Positives > 0)
}

// around is the window of a box, in whole pixels. It is moved inside the picture
// as far as it fits; what still sticks out will be black.
func (c CropConfig) around(b wildtrain.Box, width, height int) image.Rectangle {
	w, h := c.extent(b)
	x, y := b.Center()
	return image.Rect(0, 0, w, h).Add(image.Pt(shifted(x, w, width), shifted(y, h, height)))
}

// extent is the size of a box's window.
func (c CropConfig) extent(b wildtrain.Box) (w, h int) {
	side := func(v float64) int { return max(int(math.Round(v*c.Context)), 1) }
	switch c.Window {
	case FixedWindow:
		return c.Size, c.Size
	case SquareWindow:
		s := side(max(b.Width(), b.Height()))
		return s, s
	}
	return side(b.Width()), side(b.Height())
}

// shifted is where a window of a length about a middle begins, inside a whole if it fits.
func shifted(middle float64, length, whole int) int {
	if length >= whole {
		return (whole - length) / 2
	}
	return min(max(int(math.Round(middle-float64(length)/2)), 0), whole-length)
}

// mostTries is how often a place for a background window is looked for.
const mostTries = 50

// backgrounds draws windows of a picture that touch no box. Their sizes are those
// of the windows of boxes drawn from sizes, as a classifier will meet them; a
// fixed window has its own. The draw depends on the picture's ID and seed alone.
func (c CropConfig) backgrounds(rec *Record, sizes []wildtrain.Box, seed uint64) []image.Rectangle {
	n := c.Negatives
	if len(rec.Objects)+len(rec.hidden) > 0 {
		n = c.Positives
	}
	id := fnv.New64a()
	id.Write([]byte(rec.ID))
	r := xrand.New(seed, streamBackground, id.Sum64())
	var out []image.Rectangle
	for range n {
		w, h := c.Size, c.Size
		if c.Window != FixedWindow && len(sizes) > 0 {
			w, h = c.extent(sizes[r.IntN(len(sizes))])
		}
		w, h = min(w, rec.Width), min(h, rec.Height)
		for range mostTries {
			at := image.Rect(0, 0, w, h).Add(image.Pt(r.IntN(rec.Width-w+1), r.IntN(rec.Height-h+1)))
			if !touches(at, rec) && !slices.Contains(out, at) {
				out = append(out, at)
				break
			}
		}
	}
	return out
}

// touches tells whether a window has a part of an animal, of whatever class.
func touches(at image.Rectangle, rec *Record) bool {
	window := wildtrain.Box{X1: float64(at.Min.X), Y1: float64(at.Min.Y), X2: float64(at.Max.X), Y2: float64(at.Max.Y)}
	return slices.ContainsFunc(rec.Objects, func(o wildtrain.Object) bool { return window.Intersect(o.Box).Area() > 0 }) ||
		slices.ContainsFunc(rec.hidden, func(b wildtrain.Box) bool { return window.Intersect(b).Area() > 0 })
}
