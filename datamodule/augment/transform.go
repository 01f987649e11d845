package augment

import (
	"fmt"

	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// Rand is the random stream that a change draws from.
type Rand = xrand.Rand

// NewRand makes the stream of a seed and keys, such as epoch and index.
func NewRand(seed uint64, keys ...uint64) *Rand { return xrand.New(seed, keys...) }

// Transform is one change of a sample. It draws from r only, so that a sample
// depends on its stream alone, and may be used by several goroutines.
type Transform interface {
	Apply(s *Sample, r *Rand) error
}

// Chain applies transforms in turn. Each has a stream of its own, so that what
// one draws does not depend on how often those before it drew.
type Chain []Transform

// Apply implements Transform.
func (c Chain) Apply(s *Sample, r *Rand) error {
	for _, t := range c {
		if err := t.Apply(s, xrand.New(r.Uint64())); err != nil {
			return err
		}
	}
	return nil
}

// maybe applies a transform with a probability.
type maybe struct {
	p float64
	t Transform
}

func (m maybe) Apply(s *Sample, r *Rand) error {
	if !r.Bernoulli(m.p) {
		return nil
	}
	return m.t.Apply(s, r)
}

// Sample is a picture and what is in it, on its way through transforms. One
// goroutine uses it; Load makes it ready for the next picture and keeps its buffers.
type Sample struct {
	Image   wildtrain.Image    // U8, RGB; written to through Pixels only
	Objects []wildtrain.Object // in Image's coordinates, masks too
	Place   wildtrain.Affine   // from the original's coordinates to Image's

	limits Limits
	shared bool   // Image belongs to somebody else
	spare  []byte // for the next Canvas
}

// Load begins with a picture that stays as it is, and objects in its
// coordinates. Those of which too little is left afterwards are dropped.
func (s *Sample) Load(im wildtrain.Image, objects []wildtrain.Object, place wildtrain.Affine, l Limits) {
	s.recycle()
	s.Image, s.Objects, s.Place, s.limits, s.shared = im, objects, place, l, true
}

// recycle keeps the present pixels' buffer for later.
func (s *Sample) recycle() {
	if !s.shared && cap(s.Image.U8) > cap(s.spare) {
		s.spare = s.Image.U8
	}
}

// Canvas returns a picture of the given size to draw on, of unknown content;
// Replace makes it the sample's. There is one at a time.
func (s *Sample) Canvas(width, height int) wildtrain.Image {
	n := width * height * 3
	if cap(s.spare) < n {
		s.spare = make([]byte, n)
	}
	return wildtrain.Image{Width: width, Height: height, Channels: 3, U8: s.spare[:n]}
}

// Replace makes what was drawn on a Canvas the sample's picture.
func (s *Sample) Replace(canvas wildtrain.Image) {
	old := s.Image.U8
	if s.spare = nil; !s.shared {
		s.spare = old
	}
	s.Image, s.shared = canvas, false
}

// Pixels are those of the picture, free to be changed in place.
func (s *Sample) Pixels() []byte {
	if s.shared {
		own := s.Canvas(s.Image.Width, s.Image.Height)
		copy(own.U8, s.Image.U8)
		s.Replace(own)
	}
	return s.Image.U8
}

// move carries objects and place along with a map of the picture, whose size is
// the new one already. width and height are those before.
func (s *Sample) move(h resample.Homography, width, height int) {
	j := journey{masks: wildtrain.Identity, at: wildtrain.Identity, warp: h, canvasW: width, canvasH: height, width: s.Image.Width, height: s.Image.Height, limits: s.limits}
	s.Objects = j.all(s.Objects)
	s.Place = s.Place.Then(affinePart(h))
}

// warp draws the picture anew, mapped by h, and moves what is in it.
func (s *Sample) warp(h resample.Homography, width, height int, f resample.Filter, fill byte) error {
	w, ht := s.Image.Width, s.Image.Height
	dst := s.Canvas(width, height)
	if err := resample.Warp(dst, s.Image, h, f, fill); err != nil {
		return fmt.Errorf("augment: warp picture: %w", err)
	}
	s.Replace(dst)
	s.move(h, w, ht)
	return nil
}
