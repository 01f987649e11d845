package datamodule

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/wildtrain"
)

// WindowConfig makes evaluation and prediction look at pictures window by window:
// each sample is a part of a picture, in its true size, and Sample.Place leads
// back to the whole picture. All windows of a picture come one after the other,
// row by row.
type WindowConfig struct {
	Size    int     `yaml:"size"`    // of a window's side in pixels; 0: whole pictures
	Overlap float64 `yaml:"overlap"` // least share of a side that neighbours have in common
	Whole   bool    `yaml:"whole"`   // the whole picture, too, scaled down, for what is larger than a window
}

// Validate reports every problem of the configuration at once.
func (c WindowConfig) Validate() error {
	var errs []error
	if c.Size != 0 && (c.Size < 16 || c.Size > 1<<15) {
		errs = append(errs, fmt.Errorf("datamodule: windows: size is %d, must be 0 or between 16 and 32768", c.Size))
	}
	if !(c.Overlap >= 0 && c.Overlap <= 0.9) {
		errs = append(errs, fmt.Errorf("datamodule: windows: overlap is %v, must be between 0 and 0.9", c.Overlap))
	}
	return errors.Join(errs...)
}

// of lists the windows of a picture. Those at the right and the lower edge are
// moved inside, so that none has a part outside of the picture.
func (c WindowConfig) of(rec Record) []window {
	t := TileConfig{Size: c.Size, Stride: max(int(float64(c.Size)*(1-c.Overlap)), 1), Edge: ShiftTiles}
	out := t.windows(Record{Width: rec.Width, Height: rec.Height})
	if len(out) > 1 && c.Whole {
		out = append(out, window{index: len(out), width: rec.Width, height: rec.Height, whole: true})
	}
	return out
}

// windowMaker makes the windows of a stage's pictures. A picture is decoded once
// for all of its windows, one that can be read in parts never as a whole.
type windowMaker struct {
	*detectionMaker
	windows []placedWindow
	count   []int // of the windows to make, by record

	mu   sync.Mutex
	open map[int]*frame // by record, as long as windows of it are to come
}

// placedWindow is a window and the record that it is of.
type placedWindow struct {
	window
	record int
}

// frame is a picture whose windows are being made.
type frame struct {
	once   sync.Once
	image  wildtrain.Image // decoded; without pixels where raster is not nil
	raster *imageio.Raster
	err    error
	left   int // windows still to be made
}

// windowLoader makes the loader of a stage's windows, from a position on.
func (d *Detection) windowLoader(m *detectionMaker, at wildtrain.Position) *windowLoader {
	c := m.config
	w := &windowMaker{detectionMaker: m, count: make([]int, len(m.records)), open: map[int]*frame{}}
	for i := at.Rank; i < len(m.records); i += max(at.World, 1) {
		for _, part := range c.Windows.of(m.records[i]) {
			w.windows = append(w.windows, placedWindow{part, i})
		}
	}
	batch := c.evalBatch()
	for i, p := range w.windows {
		if i%batch == 0 {
			m.plan.batches = append(m.plan.batches, planned{height: c.ImageSize, width: c.ImageSize})
		}
		last := &m.plan.batches[len(m.plan.batches)-1]
		last.places = append(last.places, i)
		if i/batch >= at.Batch {
			w.count[p.record]++
		}
	}
	return &windowLoader{&loader{plan: m.plan, producer: w, buffers: &d.buffers, first: at.Batch, workers: c.Workers, prefetch: c.Prefetch}, w}
}

// windowLoader lets go of the pictures whose windows nobody asks for any more.
type windowLoader struct {
	*loader
	maker *windowMaker
}

// Batches implements wildtrain.Loader.
func (l *windowLoader) Batches(ctx context.Context) iter.Seq2[*wildtrain.Batch, error] {
	return func(yield func(*wildtrain.Batch, error) bool) {
		defer l.maker.end()
		l.loader.Batches(ctx)(yield)
	}
}

// sample implements producer.
func (m *windowMaker) sample(place int, dst wildtrain.Image, _ *scratch) (wildtrain.Sample, error) {
	w := m.windows[place]
	rec := m.records[w.record]
	f := m.frame(w.record)
	defer m.done(w.record)
	part, at, release, err := m.part(f, w, rec)
	if err != nil {
		return wildtrain.Sample{}, err
	}
	defer release()
	out := m.newSample(rec)
	out.Place = at.Then(augment.Letterbox(dst, part))
	showObjects(&out, rec, dst)
	return out, nil
}

// part is the picture of a window as it goes into the batch, but for the filled
// borders, and the way from the whole picture's coordinates to its own.
func (m *windowMaker) part(f *frame, w placedWindow, rec Record) (im wildtrain.Image, at wildtrain.Affine, release func(), err error) {
	if w.whole {
		im, release, err := m.picture(w.record, false)
		return im, scaling(rec, im), release, err
	}
	cut, err := m.cut(f, w, rec)
	if err != nil {
		return im, at, nil, err
	}
	buffers := &m.d.buffers
	width, height := augment.Fit(w.width, w.height, m.config.ImageSize, m.config.ImageSize)
	at = wildtrain.Translation(-float64(w.x), -float64(w.y))
	if width == w.width && height == w.height {
		return cut, at, func() { buffers.Put(cut.U8) }, nil
	}
	defer buffers.Put(cut.U8)
	im = wildtrain.Image{Width: width, Height: height, Channels: 3, U8: buffers.Get(width * height * 3)}
	release = func() { buffers.Put(im.U8) }
	at = at.Then(wildtrain.Scaling(float64(width)/float64(w.width), float64(height)/float64(w.height)))
	if err = resample.Linear(im, cut); err != nil {
		release()
	}
	return im, at, release, err
}

// cut reads the pixels of a window, into one of the buffers.
func (m *windowMaker) cut(f *frame, w placedWindow, rec Record) (wildtrain.Image, error) {
	f.once.Do(func() { f.err = f.read(rec, m.d.decoding()) })
	switch {
	case f.err != nil:
		return wildtrain.Image{}, f.err
	case f.raster == nil:
		return cutOut(f.image, w.area(), m.d.buffers.Get), nil
	}
	part := wildtrain.Image{Height: w.height, Width: w.width, Channels: 3, U8: m.d.buffers.Get(w.width * w.height * 3)}
	if err := f.raster.ReadWindow(part, w.x, w.y); err != nil {
		m.d.buffers.Put(part.U8)
		return part, fmt.Errorf("datamodule: read picture %s: %w", rec.ID, err)
	}
	return part, nil
}

// read opens a picture that can be read in parts, and decodes any other.
func (f *frame) read(rec Record, o imageio.Options) error {
	h, err := imageio.ReadHeaderFile(rec.source())
	if err != nil {
		return fmt.Errorf("datamodule: read picture %s: %w", rec.ID, err)
	}
	if !h.Windowed {
		f.image, err = rec.decode(o)
		return err
	}
	r, err := imageio.OpenRaster(rec.source())
	if err != nil {
		return fmt.Errorf("datamodule: read picture %s: %w", rec.ID, err)
	}
	f.raster = r
	if r.Width != rec.Width || r.Height != rec.Height {
		return fmt.Errorf("datamodule: read picture %s: %s is %d×%d now, it was %d×%d before", rec.ID, rec.Path, r.Width, r.Height, rec.Width, rec.Height)
	}
	return nil
}

// frame is the picture of a record, opened by the first of its windows.
func (m *windowMaker) frame(record int) *frame {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.open[record]
	if f == nil {
		f = &frame{left: m.count[record]}
		m.open[record] = f
	}
	return f
}

// done lets go of a picture after its last window.
func (m *windowMaker) done(record int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.open[record]
	if f.left--; f.left > 0 {
		return
	}
	delete(m.open, record)
	f.close(&m.d.buffers)
}

func (f *frame) close(buffers *imageio.Buffers) {
	if f.raster != nil {
		_ = f.raster.Close() // read only
	}
	buffers.Put(f.image.U8)
}

// end lets go of all pictures.
func (m *windowMaker) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.open {
		f.close(&m.d.buffers)
	}
	clear(m.open)
}
