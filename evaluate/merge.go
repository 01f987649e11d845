package evaluate

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

var _ wildtrain.Merger = (*Detection)(nil)

// detectionState is what ranks exchange. JSON keeps every bit of a float64.
type detectionState struct {
	Classes  []string
	Pictures []pictureState
}

type pictureState struct {
	ID, File, Group string
	Width, Height   int
	Truth, Found    []itemState
}

type itemState struct {
	V             [8]float64 // x, y, w, h, x2, y2, area, score
	Class         int32
	Crowd, Ignore bool      `json:",omitempty"`
	Lax           bool      `json:",omitempty"`
	Mask          *rle.Mask `json:",omitempty"`
}

func itemsOut(items []item) []itemState {
	out := make([]itemState, len(items))
	for i, o := range items {
		out[i] = itemState{[8]float64{o.x, o.y, o.w, o.h, o.x2, o.y2, o.area, o.score}, o.class, o.crowd, o.ignore, o.lax, o.mask}
	}
	return out
}

func itemsIn(items []itemState, classes int) ([]item, error) {
	out := make([]item, len(items))
	for i, o := range items {
		if o.Class < 0 || int(o.Class) >= classes {
			return nil, fmt.Errorf("class %d, there are %d", o.Class, classes)
		}
		v := o.V
		if o.Mask != nil {
			if _, err := rle.New(o.Mask.Height, o.Mask.Width, o.Mask.Runs); err != nil {
				return nil, err
			}
		}
		out[i] = item{v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], o.Class, o.Crowd, o.Ignore, o.Lax, o.Mask}
	}
	return out, nil
}

// Marshal implements wildtrain.Merger.
func (d *Detection) Marshal() ([]byte, error) {
	s := detectionState{Classes: d.cfg.Classes}
	for _, p := range d.pictures {
		s.Pictures = append(s.Pictures, pictureState{p.id, p.file, p.group, p.width, p.height, itemsOut(p.truth), itemsOut(p.found)})
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("evaluate: marshal detection: %w", err)
	}
	return b, nil
}

// Merge implements wildtrain.Merger. A picture that both sides have counts
// once: ranks may repeat pictures to get batches of equal number.
func (d *Detection) Merge(b []byte) error {
	var s detectionState
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("evaluate: merge detection: %w", err)
	}
	if !slices.Equal(s.Classes, d.cfg.Classes) {
		return fmt.Errorf("evaluate: merge detection: classes %q and %q differ", d.cfg.Classes, s.Classes)
	}
	var fresh []picture
	here := map[string]bool{}
	for _, p := range s.Pictures {
		if here[p.ID] {
			return fmt.Errorf("evaluate: merge detection: picture %q comes twice", p.ID)
		}
		here[p.ID] = true
		if d.seen[p.ID] {
			continue
		}
		truth, err := itemsIn(p.Truth, len(s.Classes))
		if err != nil {
			return fmt.Errorf("evaluate: merge picture %s: %w", p.ID, err)
		}
		found, err := itemsIn(p.Found, len(s.Classes))
		if err != nil {
			return fmt.Errorf("evaluate: merge picture %s: %w", p.ID, err)
		}
		fresh = append(fresh, picture{p.ID, p.File, p.Group, p.Width, p.Height, truth, found})
	}
	for _, p := range fresh {
		d.seen[p.id] = true
	}
	d.pictures = append(d.pictures, fresh...)
	return nil
}
