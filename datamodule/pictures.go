package datamodule

import (
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// detectionMaker makes the samples of one loader of Detection.
type detectionMaker struct {
	d       *Detection
	stage   wildtrain.Stage
	records []Record
	config  Config
	plan    plan
	epoch   int
	closed  bool // no more mosaics in this epoch
	window  int  // mosaics draw from this many pictures before theirs
}

// scratch is what one worker reuses.
type scratch struct {
	mosaic augment.Scratch
	blend  []byte
}

// sample implements producer.
func (m *detectionMaker) sample(place int, dst wildtrain.Image, s *scratch) (wildtrain.Sample, error) {
	if m.stage == wildtrain.Train {
		return m.training(place, dst, s)
	}
	return m.evaluation(place, dst)
}

func (m *detectionMaker) evaluation(place int, dst wildtrain.Image) (wildtrain.Sample, error) {
	index := m.plan.order[place]
	rec := m.records[index]
	im, release, err := m.picture(index, false)
	if err != nil {
		return wildtrain.Sample{}, err
	}
	defer release()
	out := m.newSample(rec)
	out.Place = scaling(rec, im).Then(augment.Letterbox(dst, im))
	out.Truth = slices.Clone(rec.Objects)
	for _, o := range rec.Objects {
		b := out.Place.Box(o.Box)
		if o.Box = b.Clip(dst.Width, dst.Height); o.Box.Area() > 0 {
			o.Area *= out.Place.A * out.Place.E
			out.Objects = append(out.Objects, o)
		}
	}
	return out, nil
}

func (m *detectionMaker) newSample(rec Record) wildtrain.Sample {
	return wildtrain.Sample{ID: rec.ID, Width: rec.Width, Height: rec.Height, Place: wildtrain.Identity}
}

// scaling maps the original's coordinates to those of the scaled picture.
func scaling(rec Record, im wildtrain.Image) wildtrain.Affine {
	return wildtrain.Scaling(float64(im.Width)/float64(rec.Width), float64(im.Height)/float64(rec.Height))
}

func (m *detectionMaker) training(place int, dst wildtrain.Image, s *scratch) (wildtrain.Sample, error) {
	index := m.plan.order[place]
	r := xrand.New(m.config.Seed, streamSample, uint64(m.epoch), uint64(index))
	out := m.newSample(m.records[index])
	mixup, err := m.compose(place, r, dst, s, &out)
	if err != nil || mixup == 0 {
		return out, err
	}
	// The second sample has a stream of its own and does not mix again.
	if cap(s.blend) < len(dst.U8) {
		s.blend = make([]byte, len(dst.U8))
	}
	second := dst
	second.U8 = s.blend[:len(dst.U8)]
	other := m.partner(place, r)
	var more wildtrain.Sample
	r = xrand.New(m.config.Seed, streamBlend, uint64(m.epoch), uint64(index))
	if _, err := m.compose(other, r, second, s, &more); err != nil {
		return out, err
	}
	augment.Blend(dst.U8, second.U8, mixup)
	out.Objects = append(out.Objects, more.Objects...)
	return out, nil
}

// compose makes one augmented picture in dst and returns the share it has in a
// mixup, 0 for none.
func (m *detectionMaker) compose(place int, r *xrand.Rand, dst wildtrain.Image, s *scratch, out *wildtrain.Sample) (float64, error) {
	p := augment.Draw(r, m.config.Augment, m.config.ImageSize, m.closed)
	places := []int{place}
	if p.Mosaic {
		places = append(places, m.partner(place, r), m.partner(place, r), m.partner(place, r))
	}
	var tiles [4]augment.Tile
	for k, at := range places {
		index := m.plan.order[at]
		im, release, err := m.picture(index, m.config.Augment.Mosaic > 0 && !m.closed)
		if err != nil {
			return 0, err
		}
		defer release()
		tiles[k] = m.tile(m.records[index], im)
	}
	var err error
	out.Objects, out.Place, err = augment.Compose(dst, tiles[:len(places)], p, m.config.Augment, &s.mosaic)
	if err != nil {
		return 0, fmt.Errorf("datamodule: augment %s: %w", m.records[m.plan.order[place]].Path, err)
	}
	if p.MixUp {
		return p.Ratio, nil
	}
	return 0, nil
}

func (m *detectionMaker) tile(rec Record, im wildtrain.Image) augment.Tile {
	t := augment.Tile{Image: im, Place: scaling(rec, im)}
	t.Objects = slices.Clone(rec.Objects)
	for i := range t.Objects {
		o := &t.Objects[i]
		// What leaves the picture was never visible: it is cut off before anything else.
		o.Box = t.Place.Box(o.Box.Clip(rec.Width, rec.Height))
		o.Area *= t.Place.A * t.Place.E
	}
	return t
}

// partner draws the place of another picture, among the last ones before this
// place in the epoch: those are in the cache as a rule.
func (m *detectionMaker) partner(place int, r *xrand.Rand) int {
	n := len(m.plan.order)
	return ((place-1-r.IntN(m.window))%n + n) % n
}

// picture returns a picture with its long side scaled to the image size. The
// caller only reads it, and calls release when it has done so.
func (m *detectionMaker) picture(index int, soon bool) (wildtrain.Image, func(), error) {
	rec := m.records[index]
	w, h := augment.Fit(rec.Width, rec.Height, m.config.ImageSize, m.config.ImageSize)
	size := int64(w) * int64(h) * 3
	key := cacheKey{m.stage, index}
	keep := func() (wildtrain.Image, error) { return m.load(rec, w, h, nil) }
	nothing := func() {}
	if m.config.Cache == CacheRAM {
		if im, ok, err := m.d.cache.get(key, size, keep); ok || err != nil {
			return im, nothing, err
		}
	}
	if soon {
		if im, ok, err := m.d.recent.get(key, size, keep); ok || err != nil {
			return im, nothing, err
		}
	}
	im, err := m.load(rec, w, h, &m.d.buffers)
	return im, func() { m.d.buffers.Put(im.U8) }, err
}

// load decodes and scales; the result is from buffers, or its own if that is nil.
func (m *detectionMaker) load(rec Record, w, h int, buffers *imageio.Buffers) (wildtrain.Image, error) {
	o := imageio.Options{MaxPixels: m.config.MaxPixels, Alloc: m.d.buffers.Get}
	src, err := imageio.DecodeFile(rec.file, o)
	if err != nil {
		return src, fmt.Errorf("datamodule: read picture %s: %w", rec.ID, err)
	}
	if src.Width != rec.Width || src.Height != rec.Height {
		return src, fmt.Errorf("datamodule: read picture: %s: it is %d×%d now, it was %d×%d before", rec.Path, src.Width, src.Height, rec.Width, rec.Height)
	}
	if w == src.Width && h == src.Height && buffers != nil {
		return src, nil
	}
	dst := wildtrain.Image{Width: w, Height: h, Channels: 3}
	if buffers != nil {
		dst.U8 = buffers.Get(w * h * 3)
	} else {
		dst.U8 = make([]byte, w*h*3)
	}
	err = resample.Linear(dst, src)
	m.d.buffers.Put(src.U8)
	return dst, err
}
