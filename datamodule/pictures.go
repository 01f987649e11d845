package datamodule

import (
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/datamodule/augment"
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
	world   int  // ranks
	disk    *diskCache
	chain   augment.Chain
}

// scratch is what one worker reuses.
type scratch struct {
	mosaic        augment.Scratch
	sample        augment.Sample
	whole, second []byte
}

// image is a picture as large as another one, in one of the scratch's buffers.
func (s *scratch) image(buffer *[]byte, like wildtrain.Image) wildtrain.Image {
	if cap(*buffer) < len(like.U8) {
		*buffer = make([]byte, len(like.U8))
	}
	like.U8 = (*buffer)[:len(like.U8)]
	return like
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
	showObjects(&out, rec, dst)
	return out, nil
}

// showObjects gives an evaluation's sample its annotations: all in the original's
// coordinates, and what of them is in the batch's picture.
func showObjects(out *wildtrain.Sample, rec Record, dst wildtrain.Image) {
	out.Truth = slices.Clone(rec.Objects)
	for _, o := range rec.Objects {
		b := out.Place.Box(o.Box)
		if o.Box = b.Clip(dst.Width, dst.Height); o.Box.Area() > 0 {
			o.Area *= out.Place.A * out.Place.E
			if o.Mask != nil {
				o.Mask = augment.MoveMask(o.Mask, out.Place, dst.Width, dst.Height)
			}
			out.Objects = append(out.Objects, o)
		}
	}
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
	out := m.newSample(m.records[index])
	if len(m.chain) == 0 {
		err := m.joined(place, dst, s, &out)
		return out, err
	}
	// Transforms work on buffers of their own; what they make is fitted into dst.
	made := s.image(&s.whole, dst)
	if err := m.joined(place, made, s, &out); err != nil {
		return out, err
	}
	s.sample.Load(made, out.Objects, out.Place, m.config.Augment.Limits())
	r := m.stream(streamTransforms, place)
	if err := m.chain.Apply(&s.sample, r); err != nil {
		return out, fmt.Errorf("datamodule: augment %s: %w", m.records[index].Path, err)
	}
	if s.sample.Image.Width != dst.Width || s.sample.Image.Height != dst.Height {
		if err := (augment.Fitted{Height: dst.Height, Width: dst.Width, Fill: augment.Pad}).Apply(&s.sample, r); err != nil {
			return out, err
		}
	}
	copy(dst.U8, s.sample.Image.U8)
	out.Objects, out.Place = s.sample.Objects, s.sample.Place
	return out, nil
}

// joined makes the sample at a place, with a second one joined to it where so drawn.
func (m *detectionMaker) joined(place int, dst wildtrain.Image, s *scratch, out *wildtrain.Sample) error {
	r := m.stream(streamSample, place)
	join, err := m.compose(place, r, dst, s, out)
	if err != nil || !join.Any() {
		return err
	}
	// The second sample has a stream of its own and takes no third one in.
	second := s.image(&s.second, dst)
	var more wildtrain.Sample
	if _, err := m.compose(m.partner(place, r), m.stream(streamBlend, place), second, s, &more); err != nil {
		return err
	}
	out.Objects = join.Apply(dst, second, out.Objects, more.Objects, m.config.Augment.Limits())
	return nil
}

// stream is what the sample at a place draws from for a purpose. It goes by the
// place, so that a picture that comes twice in an epoch is changed in two ways.
func (m *detectionMaker) stream(purpose uint64, place int) *xrand.Rand {
	return xrand.New(m.config.Seed, purpose, uint64(m.epoch), uint64(place))
}

// compose makes one augmented picture in dst and returns what a second one is to add.
func (m *detectionMaker) compose(place int, r *xrand.Rand, dst wildtrain.Image, s *scratch, out *wildtrain.Sample) (augment.Join, error) {
	p := augment.Draw(r, m.config.Augment, m.config.ImageSize, m.closed)
	var tiles [9]augment.Tile
	for k := range p.Tiles() {
		at := place
		if k > 0 {
			at = m.partner(place, r)
		}
		index := m.plan.order[at]
		im, release, err := m.picture(index, m.config.Augment.Joins() && !m.closed)
		if err != nil {
			return p.Join, err
		}
		defer release()
		tiles[k] = m.tile(m.records[index], im)
	}
	var err error
	out.Objects, out.Place, err = augment.Compose(dst, tiles[:p.Tiles()], p, m.config.Augment, &s.mosaic)
	if err != nil {
		return p.Join, fmt.Errorf("datamodule: augment %s: %w", m.records[m.plan.order[place]].Path, err)
	}
	return p.Join, nil
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

// partner draws the place of another picture of this rank: one of the last ones
// before this place, which have been decoded already; at an epoch's beginning,
// where there are few, one of the first, which are about to be.
func (m *detectionMaker) partner(place int, r *xrand.Rand) int {
	n := len(m.plan.order)
	turn, mine := place/m.world, max((n-place%m.world+m.world-1)/m.world, 1)
	from := max(turn-m.window, 0)
	to := max(turn, min(from+max(m.window/4, 4), mine))
	at := from + r.IntN(max(to-from, 1))
	if from <= turn && turn < to { // not itself, as long as there is another
		at = from + r.IntN(max(to-from-1, 1))
		if at >= turn && to-from > 1 {
			at++
		}
	}
	return min(at*m.world+place%m.world, n-1)
}

// picture returns a picture with its long side scaled to the image size. The
// caller only reads it, and calls release when it has done so.
func (m *detectionMaker) picture(index int, soon bool) (im wildtrain.Image, release func(), err error) {
	rec := &m.records[index]
	w, h := augment.Fit(rec.Width, rec.Height, m.config.ImageSize, m.config.ImageSize)
	size := int64(w) * int64(h) * 3
	key := cacheKey{m.stage, index}
	load := func() (wildtrain.Image, error) { return m.load(rec, w, h) }
	if m.config.Cache == CacheRAM {
		if im, release, ok, err := m.d.cache.get(key, size, load); ok || err != nil {
			return im, release, err
		}
	}
	if soon {
		if im, release, ok, err := m.d.recent.get(key, size, load); ok || err != nil {
			return im, release, err
		}
	}
	im, err = load()
	return im, func() { m.d.buffers.Put(im.U8) }, err
}

// load takes a picture from the disk cache or decodes and scales it; the result
// is from the buffers.
func (m *detectionMaker) load(rec *Record, w, h int) (wildtrain.Image, error) {
	return m.disk.get(rec.source(), w, h, m.config.Decode, &m.d.buffers, func() (wildtrain.Image, error) { return m.scaled(rec, w, h) })
}

// scaled decodes and scales a picture, row by row where that can be.
func (m *detectionMaker) scaled(rec *Record, w, h int) (wildtrain.Image, error) {
	dst := wildtrain.Image{Width: w, Height: h, Channels: 3, U8: m.d.buffers.Get(w * h * 3)}
	scaler := resample.NewScaler(dst)
	defer scaler.Close()
	o := m.d.decoding()
	o.Rows = scaler
	if m.config.Decode == DecodeFast {
		o.MinWidth, o.MinHeight = w, h
	}
	src, err := rec.decode(o)
	if err == nil && src.U8 != nil {
		err = resample.Linear(dst, src)
	}
	m.d.buffers.Put(src.U8)
	if err != nil {
		m.d.buffers.Put(dst.U8)
		return wildtrain.Image{}, err
	}
	return dst, nil
}
