package datamodule

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// openDisk opens the disk cache, where one is configured, once. The caller holds mu.
func (d *Detection) openDisk() (err error) {
	if d.config.Cache == CacheDisk && d.disk == nil {
		d.disk, err = openDisk(d.config.CacheDir, d.config.CacheBytes)
	}
	return err
}

// Loader implements wildtrain.DataModule. Setup of the stage comes first.
func (d *Detection) Loader(stage wildtrain.Stage, at wildtrain.Position) (wildtrain.Loader, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	records := d.ready[stage]
	if len(records) == 0 {
		return nil, fmt.Errorf("datamodule: stage %q has not been set up", stage)
	}
	if at.Epoch < 0 || at.Batch < 0 || at.Rank < 0 || at.Rank >= max(at.World, 1) {
		return nil, fmt.Errorf("datamodule: position %+v is impossible", at)
	}
	c := d.config
	chain, err := augment.Parse(c.Transforms)
	if err != nil {
		return nil, err
	}
	chain = append(c.Augment.Chain(), chain...)
	if err := d.openDisk(); err != nil {
		return nil, err
	}
	m := &detectionMaker{d: d, stage: stage, records: records, config: c, epoch: at.Epoch, world: max(at.World, 1), disk: d.disk}
	if stage == wildtrain.Train {
		if d.sampler == nil {
			if d.sampler, err = newSampler(d.population(records), c); err != nil {
				return nil, err
			}
		}
		m.plan, m.chain = trainPlan(d.sampler.order(at.Epoch, c.Epochs), c, at), chain
		m.closed = c.Epochs > 0 && at.Epoch >= c.Epochs-c.Augment.CloseMosaic
		m.window = c.window(len(records))
		d.recent.grow(int64(m.window+(c.Prefetch+2)*c.Batch) * c.pictureBytes())
	} else if c.Windows.Size > 0 {
		return d.windowLoader(m, at), nil
	} else {
		ratio := func(i int) float64 { return float64(records[i].Height) / float64(records[i].Width) }
		m.plan = evalPlan(len(records), ratio, c, at)
	}
	return &loader{plan: m.plan, producer: m, buffers: &d.buffers, first: at.Batch, workers: c.Workers, prefetch: c.Prefetch}, nil
}

// population tells the sampler what is in the pictures for training.
func (d *Detection) population(records []Record) population {
	return population{
		n: len(records), classes: wildtrain.Names(d.classes.classes),
		labels: func(i int, into []int) []int {
			for _, o := range records[i].Objects {
				if !o.Crowd {
					into = append(into, o.Class)
				}
			}
			return into
		},
		negative: func(i int) bool {
			return !slices.ContainsFunc(records[i].Objects, func(o wildtrain.Object) bool { return !o.Crowd })
		},
		difficulty: func(i int) float64 {
			return d.config.Curriculum.difficultyOf(records[i].Objects, records[i].Width, records[i].Height)
		},
		names: func(i int) []string { return []string{records[i].ID, mustAbs(records[i].Path)} },
	}
}

// decoding is how pictures are decoded at their whole size.
func (d *Detection) decoding() imageio.Options {
	return imageio.Options{MaxPixels: d.config.MaxPixels, Alloc: d.buffers.Get, Free: d.buffers.Put}
}

// pictureBytes bounds one scaled picture.
func (c Config) pictureBytes() int64 { return 3 * int64(c.ImageSize) * int64(c.ImageSize) }

// window is how many pictures mosaics draw from: all where they fit into the
// RAM cache, else some batches. It depends on the configuration and the data
// only, so that samples do not depend on what happens to be cached.
func (c Config) window(n int) int {
	if c.Cache == CacheRAM && int64(n) <= c.CacheBytes/c.pictureBytes() {
		return n
	}
	recent := min(max(8*c.Batch, 32), 256, int(c.CacheBytes/c.pictureBytes()))
	return min(max(recent, 4), n)
}

// producer makes the sample at a place of the epoch, in a dst of the size that
// the plan says. Several workers call it at once, each with a scratch of its own.
type producer interface {
	sample(place int, dst wildtrain.Image, s *scratch) (wildtrain.Sample, error)
}

// finisher is a producer that has something to do with a whole batch.
type finisher interface {
	// finish works on the pixels and samples of a batch, once all are made.
	finish(number int, pixels wildtrain.Pixels, samples []wildtrain.Sample)
}

// loader makes what a plan asks for; every data module of this package has it.
type loader struct {
	plan
	producer
	buffers  *imageio.Buffers
	first    int // batches before it are skipped
	workers  int
	prefetch int
}

// Len implements wildtrain.Loader.
func (l *loader) Len() int { return len(l.batches) }

// Batches implements wildtrain.Loader.
func (l *loader) Batches(ctx context.Context) iter.Seq2[*wildtrain.Batch, error] {
	return func(yield func(*wildtrain.Batch, error) bool) {
		if l.workers == 0 {
			l.inline(ctx, yield)
		} else {
			l.parallel(ctx, yield)
		}
	}
}

func (l *loader) inline(ctx context.Context, yield func(*wildtrain.Batch, error) bool) {
	var s scratch
	for i := l.first; i < l.Len(); i++ {
		b := l.begin(i)
		for slot := range b.samples {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			b.work(l, slot, &s)
		}
		if !b.hand(l, yield) {
			return
		}
	}
}

// unfinished is a batch whose samples are being made.
type unfinished struct {
	planned
	number  int
	pixels  []byte
	samples []wildtrain.Sample
	errs    []error
	left    atomic.Int32
	done    chan struct{}
}

func (l *loader) begin(i int) *unfinished {
	p := l.batches[i]
	n := len(p.places)
	b := &unfinished{
		planned: p, number: i, pixels: l.buffers.Get(n * p.height * p.width * 3),
		samples: make([]wildtrain.Sample, n), errs: make([]error, n), done: make(chan struct{}),
	}
	b.left.Store(int32(n))
	return b
}

// work makes one sample.
func (b *unfinished) work(l *loader, slot int, s *scratch) {
	size := b.height * b.width * 3
	dst := wildtrain.Image{Height: b.height, Width: b.width, Channels: 3, U8: b.pixels[slot*size : (slot+1)*size : (slot+1)*size]}
	b.samples[slot], b.errs[slot] = l.sample(b.places[slot], dst, s)
	if b.left.Add(-1) > 0 {
		return
	}
	if f, ok := l.producer.(finisher); ok && errors.Join(b.errs...) == nil {
		f.finish(b.number, b.block(), b.samples)
	}
	close(b.done)
}

// block is the batch's pictures.
func (b *unfinished) block() wildtrain.Pixels {
	return wildtrain.Pixels{N: len(b.samples), Height: b.height, Width: b.width, Channels: 3, U8: b.pixels}
}

// hand yields the finished batch, or the first of its errors, and reports
// whether to go on.
func (b *unfinished) hand(l *loader, yield func(*wildtrain.Batch, error) bool) bool {
	for _, err := range b.errs {
		if err != nil {
			l.buffers.Put(b.pixels)
			yield(nil, err)
			return false
		}
	}
	return yield(wildtrain.NewBatch(b.block(), b.samples, func() { l.buffers.Put(b.pixels) }), nil)
}

type job struct {
	b    *unfinished
	slot int
}

// parallel makes the samples of several batches at once and yields the batches
// in order. At most prefetch finished batches wait.
func (l *loader) parallel(parent context.Context, yield func(*wildtrain.Batch, error) bool) {
	ctx, cancel := context.WithCancel(parent)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	jobs := make(chan job)
	queue := make(chan *unfinished, l.prefetch)
	group.Go(func() { l.feed(ctx, queue, jobs) })
	for range l.workers {
		group.Go(func() {
			var s scratch
			for j := range jobs {
				j.b.work(l, j.slot, &s)
			}
		})
	}
	for b := range queue {
		select {
		case <-b.done:
		case <-ctx.Done():
		}
		if parent.Err() != nil {
			break
		}
		if !b.hand(l, yield) {
			return
		}
	}
	if err := parent.Err(); err != nil {
		yield(nil, err)
	}
}

// feed hands out the work of the epoch in order.
func (l *loader) feed(ctx context.Context, queue chan<- *unfinished, jobs chan<- job) {
	defer close(jobs)
	defer close(queue)
	for i := l.first; i < l.Len(); i++ {
		b := l.begin(i)
		select {
		case queue <- b:
		case <-ctx.Done():
			return
		}
		for slot := range b.samples {
			select {
			case jobs <- job{b, slot}:
			case <-ctx.Done():
				return
			}
		}
	}
}
