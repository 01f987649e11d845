package datamodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// Record is one picture of a split with what is annotated in it.
type Record struct {
	ID            string // as Sample.ID: dataset/path below the dataset's folder
	Path          string // of the picture
	Dataset       string
	SourceID      string             // image id in a COCO file, "" elsewhere
	Width, Height int                // as displayed
	Objects       []wildtrain.Object // as annotated, in pixels of the displayed picture

	file   string          // what Path names after its links
	hidden []wildtrain.Box // of classes that are left out
	looks  fingerprint     // known after a deep look
}

// buildRecords turns what the files of one split say into records: sizes are
// read from the pictures, boxes checked and classes mapped. deep also decodes
// and hashes every picture. The report's problems come in the order of the data.
func buildRecords(ctx context.Context, dataset string, raw *rawSplit, m *classMap, c Config, deep bool, r *Report) ([]Record, error) {
	labelIDs := map[string]int{}
	for i, cl := range raw.classes {
		labelIDs[cl.id] = i
	}
	classOf := make([]int, len(raw.classes))
	for i, cl := range raw.classes {
		classOf[i] = m.of(cl.name)
	}
	index := openIndex(c.Index, dataset, raw)
	records := make([]*Record, len(raw.images))
	reports := make([]Report, len(raw.images))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, min(runtime.GOMAXPROCS(0), 8)))
	var buffers imageio.Buffers
	for i := range raw.images {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			b := recordBuilder{im: raw.images[i], classOf: classOf, labelIDs: labelIDs, config: c, deep: deep, r: &reports[i], buffers: &buffers, index: index}
			if rec := b.build(); rec != nil {
				rec.Dataset = dataset
				records[i] = rec
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	index.save(c.Logger)
	out := make([]Record, 0, len(records))
	for i, rec := range records {
		r.Problems = append(r.Problems, reports[i].Problems...)
		if rec != nil {
			out = append(out, *rec)
		}
	}
	return out, nil
}

type recordBuilder struct {
	im       rawImage
	classOf  []int
	labelIDs map[string]int
	config   Config
	deep     bool
	r        *Report
	buffers  *imageio.Buffers
	index    *headerIndex
}

// build returns nil where the picture cannot be used.
func (b recordBuilder) build() *Record {
	im := b.im
	file, h, looks, err := b.open()
	var wrong *pathError
	switch {
	case errors.As(err, &wrong) && errors.Is(err, fs.ErrNotExist):
		b.r.problem(im.file, im.line, "picture %s is not there", im.path)
		return nil
	case errors.As(err, &wrong):
		b.r.problem(im.file, im.line, "%v", err)
		return nil
	case err != nil:
		b.r.problem(im.path, 0, "%v", err)
		return nil
	}
	if im.width > 0 && im.height > 0 && (im.width != h.Width || im.height != h.Height) {
		b.r.problem(im.file, im.line, "the annotations say %d×%d for %s, the picture is %d×%d (EXIF orientation %d applied)",
			im.width, im.height, im.path, h.Width, h.Height, h.Orientation)
		return nil
	}
	if im.labels != "" {
		im.boxes = readLabels(im.labels, b.labelIDs, b.r)
		im.file = im.labels
	}
	if file == im.path {
		file = im.path // one string in memory for both
	}
	rec := &Record{ID: im.id, Path: im.path, file: file, SourceID: im.sourceID, Width: h.Width, Height: h.Height, looks: looks}
	for _, raw := range im.boxes {
		switch o, ok := b.object(raw, im.file, h); {
		case ok && o.Class >= 0:
			rec.Objects = append(rec.Objects, o)
		case ok:
			rec.hidden = append(rec.hidden, o.Box)
		}
	}
	return rec
}

// open finds the file, reads its header and, for a deep look, every pixel.
func (b recordBuilder) open() (file string, h imageio.Header, looks fingerprint, err error) {
	file, h, err = b.index.header(b.im.path, b.im.seen, b.im.fence)
	if wrong := (*pathError)(nil); errors.As(err, &wrong) {
		return file, h, looks, err
	}
	if err != nil {
		return file, h, looks, unwrapName(err)
	}
	if int64(h.Width) > b.config.MaxPixels/int64(h.Height) && !(b.config.ByWindow && h.Windowed && !b.deep) {
		return file, h, looks, fmt.Errorf("%w: %d×%d pixels, the limit is %d", imageio.ErrTooLarge, h.Width, h.Height, b.config.MaxPixels)
	}
	if b.deep {
		im, err := imageio.DecodeFile(file, imageio.Options{MaxPixels: b.config.MaxPixels, Alloc: b.buffers.Get, Strict: true})
		if err != nil {
			return file, h, looks, unwrapName(err)
		}
		looks = fingerprintOf(im)
		b.buffers.Put(im.U8)
	}
	return file, h, looks, nil
}

// unwrapName drops the file name that a Problem gives anyway.
func unwrapName(err error) error {
	for _, kind := range []error{imageio.ErrCorrupt, imageio.ErrFormat, imageio.ErrTooLarge} {
		if errors.Is(err, kind) {
			if inner := errors.Unwrap(err); inner != nil && errors.Is(inner, kind) {
				return inner
			}
		}
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// areaSlack is how far an annotated area may pass the box's before it counts as
// stale: masks round outwards by up to a pixel.
const areaSlack = 1.05

// object checks one box; ok is false where it is wrong. Of a class that is left
// out, the object's is −1.
func (b recordBuilder) object(raw rawBox, file string, h imageio.Header) (o wildtrain.Object, ok bool) {
	box := raw.box
	if raw.normalised {
		w, h := float64(h.Width), float64(h.Height)
		box = wildtrain.Box{X1: box.X1 * w, Y1: box.Y1 * h, X2: box.X2 * w, Y2: box.Y2 * h}
	}
	size := fmt.Sprintf("x %g, y %g, width %g, height %g", box.X1, box.Y1, box.Width(), box.Height())
	switch {
	case !box.Finite():
		b.r.problem(file, raw.line, "%s: box is not finite (%s)", raw.what, size)
		return o, false
	case box.Width() <= 0 || box.Height() <= 0:
		b.r.problem(file, raw.line, "%s: box is empty (%s)", raw.what, size)
		return o, false
	case box.Clip(h.Width, h.Height).Area() <= 0:
		b.r.problem(file, raw.line, "%s: box lies wholly outside the picture of %d×%d (%s)", raw.what, h.Width, h.Height, size)
		return o, false
	}
	o = wildtrain.Object{Box: box, Class: b.classOf[raw.class], Crowd: raw.crowd, Difficult: raw.difficult, Area: raw.area}
	if o.Class >= 0 && o.Area > box.Area()*areaSlack+1 {
		b.r.warn(file, raw.line, "%s: area %g is larger than its box (%g): stale, the box's is used", raw.what, o.Area, box.Area())
		o.Area = 0
	}
	if b.config.Masks && o.Class >= 0 {
		o.Mask = b.mask(raw, file, o.Box, h)
	}
	return o, true
}

// mask draws an object's outline. One that cannot be is told and left out.
func (b recordBuilder) mask(raw rawBox, file string, box wildtrain.Box, h imageio.Header) *wildtrain.Mask {
	m, err := raw.shape.mask(h.Width, h.Height)
	if err != nil {
		b.r.warn(file, raw.line, "%s: the outline is not used: %v", raw.what, err)
		return nil
	}
	if m != nil && !fits(m, box) {
		b.r.warn(file, raw.line, "%s: the outline is not used: it is not where the box is", raw.what)
		return nil
	}
	return m
}

// uniqueIDs tells apart equal ids of different datasets.
func uniqueIDs(records []Record) {
	seen := make(map[string]int, len(records))
	for i := range records {
		id := records[i].ID
		seen[id]++
		if n := seen[id]; n > 1 {
			records[i].ID = fmt.Sprintf("%s#%d", id, n)
		}
	}
}

// decode reads the record's picture, which must have the size that it had at
// first, or what options that allow less make of it.
func (r Record) decode(o imageio.Options) (wildtrain.Image, error) {
	im, err := imageio.DecodeFile(r.source(), o)
	if err != nil {
		return im, fmt.Errorf("datamodule: read picture %s: %w", r.ID, err)
	}
	for n := 1; n <= 8; n *= 2 {
		if im.Width == (r.Width+n-1)/n && im.Height == (r.Height+n-1)/n && (n == 1 || o.MinWidth > 0) {
			return im, nil
		}
	}
	return im, fmt.Errorf("datamodule: read picture %s: %s is %d×%d now, it was %d×%d before", r.ID, r.Path, im.Width, im.Height, r.Width, r.Height)
}
