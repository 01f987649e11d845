package datamodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

// outline is the shape of an object as a file gives it: polygons or runs.
type outline struct {
	polygons      [][]float64 // x, y in turn
	normalised    bool        // polygons are in shares of the picture's sides
	height, width int         // of runs
	runs          []uint32
	text          string // runs in COCO's compressed form
	err           error  // what is wrong with it, told where it is drawn
}

// staleMask is below which overlap of a mask's box and the annotated one the
// mask counts as that of another picture: WilData leaves the outlines of the
// uncut picture in the annotations of its tiles.
const staleMask = 0.5

// UnmarshalJSON implements json.Unmarshaler: COCO's segmentation is a list of
// polygons or an object of runs. A wrong one does not spoil the whole file.
func (o *outline) UnmarshalJSON(data []byte) error {
	o.err = o.parse(data)
	return nil
}

func (o *outline) parse(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, &o.polygons)
	}
	var runs struct {
		Size   [2]int          `json:"size"`
		Counts json.RawMessage `json:"counts"`
	}
	if err := json.Unmarshal(data, &runs); err != nil || runs.Counts == nil {
		return err // null, or {}: no outline
	}
	o.height, o.width = runs.Size[0], runs.Size[1]
	if runs.Counts[0] == '"' {
		return json.Unmarshal(runs.Counts, &o.text)
	}
	return json.Unmarshal(runs.Counts, &o.runs)
}

// mask draws the outline into a picture; nil where there is none.
func (o *outline) mask(width, height int) (*wildtrain.Mask, error) {
	if o == nil {
		return nil, nil
	}
	var m *rle.Mask
	var err error
	switch {
	case o.err != nil:
		return nil, o.err
	case o.runs != nil || o.text != "":
		if o.height != height || o.width != width {
			return nil, fmt.Errorf("its runs are for %d×%d, the picture is %d×%d", o.width, o.height, width, height)
		}
		if o.text != "" {
			m, err = rle.Parse(height, width, o.text)
		} else {
			m, err = rle.New(height, width, o.runs)
		}
	case len(o.polygons) > 0:
		m, err = o.fill(width, height)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if m.Area() == 0 {
		return nil, errors.New("it is empty")
	}
	return &wildtrain.Mask{Height: height, Width: width, Runs: m.Runs}, nil
}

// fill draws the polygons.
func (o *outline) fill(width, height int) (*rle.Mask, error) {
	var parts []*rle.Mask
	for _, p := range o.polygons {
		if o.normalised {
			scaled := make([]float64, len(p))
			for i, v := range p {
				scaled[i] = v * float64([2]int{width, height}[i%2])
			}
			p = scaled
		}
		m, err := rle.Polygon(height, width, p)
		if err != nil {
			return nil, err
		}
		parts = append(parts, m)
	}
	return rle.Merge(parts)
}

// fits tells whether a mask is that of a box.
func fits(m *wildtrain.Mask, box wildtrain.Box) bool {
	x, y, w, h := (&rle.Mask{Height: m.Height, Width: m.Width, Runs: m.Runs}).Box()
	around := wildtrain.BoxXYWH(float64(x), float64(y), float64(w), float64(h))
	seen := box.Clip(m.Width, m.Height)
	// Of boxes of a few pixels the mask's rounding is a large part.
	return around.IoU(seen) >= staleMask || math.Abs(around.Area()-seen.Area()) < 9 && around.Intersect(seen).Area() > 0
}
