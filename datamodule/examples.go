package datamodule

import (
	"fmt"
	"image"
	"slices"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// parentBytes bounds the decoded pictures that an evaluation keeps while it
// makes their crops.
const parentBytes = 256 << 20

// Loader implements wildtrain.DataModule. Setup of the stage comes first.
func (c *Classification) Loader(stage wildtrain.Stage, at wildtrain.Position) (wildtrain.Loader, error) {
	examples := c.Examples(stage)
	if len(examples) == 0 {
		return nil, fmt.Errorf("datamodule: stage %q has not been set up", stage)
	}
	if at.Epoch < 0 || at.Batch < 0 || at.Rank < 0 || at.Rank >= max(at.World, 1) {
		return nil, fmt.Errorf("datamodule: position %+v is impossible", at)
	}
	chain, err := c.config.chain(stage)
	if err != nil {
		return nil, err
	}
	c.data.mu.Lock()
	err = c.data.openDisk()
	c.data.mu.Unlock()
	if err != nil {
		return nil, err
	}
	base := c.data.config
	m := &exampleMaker{c: c, stage: stage, examples: examples, chain: chain, epoch: at.Epoch}
	if stage == wildtrain.Train {
		if err := c.sample(examples); err != nil {
			return nil, err
		}
		m.plan = trainPlan(c.sampler.order(at.Epoch, c.config.Epochs), base, at)
	} else {
		m.plan = evalPlan(len(examples), nil, base, at)
		c.data.recent.grow(parentBytes)
	}
	return &loader{plan: m.plan, producer: m, buffers: &c.data.buffers, first: at.Batch, workers: base.Workers, prefetch: base.Prefetch}, nil
}

// sample makes the sampler of the training examples, once.
func (c *Classification) sample(examples []Example) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sampler != nil {
		return nil
	}
	classes := c.Classes()
	c.sampler, err = newSampler(population{
		n: len(examples), classes: wildtrain.Names(classes),
		labels: func(i int, into []int) []int {
			for _, t := range examples[i].Targets {
				into = append(into, t.Class)
			}
			return into
		},
		negative: func(i int) bool {
			return slices.ContainsFunc(examples[i].Targets, func(t wildtrain.Target) bool { return c.data.classes.isBackground(classes[t.Class].Name) })
		},
		difficulty: func(i int) float64 {
			r := examples[i].Record
			return c.config.Curriculum.difficultyOf(r.Objects, r.Width, r.Height)
		},
		names: func(i int) []string { return []string{examples[i].ID, mustAbs(examples[i].Record.Path)} },
	}, c.data.config)
	return err
}

// finish implements finisher.
func (m *exampleMaker) finish(number int, p wildtrain.Pixels, samples []wildtrain.Sample) {
	if m.stage == wildtrain.Train {
		m.c.config.Mixing.apply(p, samples, xrand.New(m.c.config.Seed, streamBlend, uint64(m.epoch), uint64(number)))
	}
}

// chain is how a stage's pictures are brought to the image size and changed.
func (c ClassificationConfig) chain(stage wildtrain.Stage) (augment.Chain, error) {
	filter, err := resample.ParseFilter(c.Interpolation)
	if err != nil {
		return nil, err
	}
	n := c.ImageSize
	var out augment.Chain
	switch {
	case c.Resize == StretchToSize:
		out = append(out, augment.Resize{Height: n, Width: n, Filter: filter})
	case c.Resize == FitToSize:
		out = append(out, augment.Fitted{Height: n, Width: n, Fill: augment.Pad})
	case stage == wildtrain.Train:
		out = append(out, augment.RandomResizedCrop{Height: n, Width: n, Scale: c.CropScale, Ratio: c.CropRatio, Filter: filter})
	default:
		shorter := c.ResizeTo
		if shorter == 0 {
			shorter = n * 256 / 224
		}
		out = append(out, augment.Resize{Height: shorter, Shorter: true, Filter: filter}, augment.CenterCrop{Height: n, Width: n})
	}
	list := c.EvalTransforms
	if stage == wildtrain.Train {
		list = append([]augment.Named{
			{Name: "RandomHorizontalFlip", Params: map[string]any{"p": c.FlipLR}},
			{Name: "RandomVerticalFlip", Params: map[string]any{"p": c.FlipUD}},
		}, c.Transforms...)
	}
	more, err := augment.Parse(list)
	out = append(out, more...)
	if stage == wildtrain.Train {
		out = append(out, c.Augment.Chain()...)
	}
	return out, err
}

// exampleMaker makes the samples of one loader of Classification.
type exampleMaker struct {
	plan     plan
	c        *Classification
	stage    wildtrain.Stage
	examples []Example
	chain    augment.Chain
	epoch    int
}

// sample implements producer.
func (m *exampleMaker) sample(place int, dst wildtrain.Image, s *scratch) (wildtrain.Sample, error) {
	index := m.plan.order[place]
	e := m.examples[index]
	out := wildtrain.Sample{ID: e.ID, Width: e.Record.Width, Height: e.Record.Height, Targets: e.Targets}
	im, release, err := m.window(index)
	if err != nil {
		return out, err
	}
	defer release()
	place0 := wildtrain.Translation(-float64(e.Window.Min.X), -float64(e.Window.Min.Y))
	s.sample.Load(im, nil, place0, augment.Limits{})
	r := xrand.New(m.c.config.Seed, streamSample, uint64(m.epoch), uint64(place))
	if err := m.chain.Apply(&s.sample, r); err != nil {
		return out, fmt.Errorf("datamodule: augment %s: %w", e.ID, err)
	}
	if s.sample.Image.Width != dst.Width || s.sample.Image.Height != dst.Height { // a transform has changed the size
		if err := (augment.Resize{Height: dst.Height, Width: dst.Width, Filter: resample.Bilinear}).Apply(&s.sample, r); err != nil {
			return out, err
		}
	}
	copy(dst.U8, s.sample.Image.U8)
	out.Place = s.sample.Place
	return out, nil
}

// window returns the pixels of an example's window. The caller only reads them,
// and calls release when it has done so.
func (m *exampleMaker) window(index int) (wildtrain.Image, func(), error) {
	e := m.examples[index]
	d := m.c.data
	if m.c.config.Cache == CacheRAM {
		size := int64(e.Window.Dx()) * int64(e.Window.Dy()) * 3
		im, release, ok, err := d.cache.get(cacheKey{m.stage, index}, size, func() (wildtrain.Image, error) { return m.cut(e) })
		if ok || err != nil {
			return im, release, err
		}
	}
	im, err := d.disk.get(e.Record.source(), e.Window.Dx(), e.Window.Dy(), "window "+e.Window.Min.String(), &d.buffers, func() (wildtrain.Image, error) { return m.cut(e) })
	return im, func() { d.buffers.Put(im.U8) }, err
}

// cut decodes an example's picture and cuts the window out. Evaluation goes by
// the pictures in turn, so that it keeps those of which crops are to come. The
// result is from the buffers.
func (m *exampleMaker) cut(e Example) (wildtrain.Image, error) {
	d := m.c.data
	all := e.Window == image.Rect(0, 0, e.Record.Width, e.Record.Height)
	if !all && m.stage != wildtrain.Train {
		size := int64(e.Record.Width) * int64(e.Record.Height) * 3
		whole, release, ok, err := d.recent.get(cacheKey{m.stage, e.picture}, size, func() (wildtrain.Image, error) { return e.Record.decode(d.decoding()) })
		if err != nil {
			return whole, err
		}
		if ok {
			im := cutOut(whole, e.Window, d.buffers.Get)
			release()
			return im, nil
		}
	}
	im, err := e.Record.decode(d.decoding())
	if err == nil && !all {
		whole := im
		im = cutOut(whole, e.Window, d.buffers.Get)
		d.buffers.Put(whole.U8)
	}
	return im, err
}

// cutOut copies a window of a picture; what lies outside of the picture is black.
func cutOut(im wildtrain.Image, at image.Rectangle, alloc func(int) []byte) wildtrain.Image {
	out := wildtrain.Image{Height: at.Dy(), Width: at.Dx(), Channels: 3, U8: alloc(at.Dx() * at.Dy() * 3)}
	clear(out.U8)
	inside := at.Intersect(image.Rect(0, 0, im.Width, im.Height))
	for y := inside.Min.Y; y < inside.Max.Y; y++ {
		from := (y*im.Width + inside.Min.X) * 3
		to := ((y-at.Min.Y)*out.Width + inside.Min.X - at.Min.X) * 3
		copy(out.U8[to:to+3*inside.Dx()], im.U8[from:])
	}
	return out
}
