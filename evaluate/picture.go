package evaluate

import (
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

// Picture is one picture with what is in it and what was found, boxes in pixels
// of the original.
type Picture struct {
	ID            string
	File          string // where it lies, if that is known
	Group         string // of pictures that are not independent
	Width, Height int    // px, 0 where unknown
	Truth, Found  []wildtrain.Object
}

// name is how other programs know the picture.
func (p *Picture) name() string {
	if p.File != "" {
		return p.File
	}
	return p.ID
}

// Pictures returns all pictures in the order of IDs, what was found by the
// least score that counts for its class. Classes are merged as configured.
func (d *Detection) Pictures() []Picture {
	leasts := d.cfg.leasts()
	pictures := d.sorted()
	out := make([]Picture, len(pictures))
	for i, p := range pictures {
		out[i] = Picture{ID: p.id, File: p.file, Group: p.group, Width: p.width, Height: p.height}
		for k := range p.truth {
			out[i].Truth = append(out[i].Truth, p.truth[k].object())
		}
		for k := range p.found {
			if o := &p.found[k]; o.score >= leasts[o.class] {
				out[i].Found = append(out[i].Found, o.object())
			}
		}
	}
	return out
}

func (o *item) object() wildtrain.Object {
	return wildtrain.Object{
		Box:   wildtrain.Box{X1: o.x, Y1: o.y, X2: o.x2, Y2: o.y2},
		Class: int(o.class), Score: o.score, Area: o.area, Crowd: o.crowd, Difficult: o.ignore && !o.crowd, Mask: maskOf(o.mask),
	}
}

func maskOf(m *rle.Mask) *wildtrain.Mask {
	if m == nil {
		return nil
	}
	return &wildtrain.Mask{Height: m.Height, Width: m.Width, Runs: m.Runs}
}
