package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/wildtrain/sdk/internal/rle"
)

// truthFile is an annotation file: its pictures by rising id, its classes by
// rising id, as pycocotools takes them.
type truthFile struct {
	pictures []picture
	classes  []cocoClass
	image    map[ident]int
	class    map[ident]int32
	lists    map[string]lvisLists // by the id of pictures
	cfg      DetectionConfig
	lim      Limits
	zeroID   bool // an annotation has id 0
}

// readTruth reads a COCO annotation file.
func readTruth(r io.Reader, cfg DetectionConfig, lim Limits) (*truthFile, error) {
	f := &truthFile{image: map[ident]int{}, class: map[ident]int32{}, lists: map[string]lvisLists{}, cfg: cfg, lim: lim}
	d := newDecoder(r, lim)
	if err := delim(d, '{'); err != nil {
		return nil, err
	}
	var objects []cocoObject
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := key.(string)
		if seen[name] {
			return nil, fmt.Errorf("key %q comes twice", name)
		}
		seen[name] = true
		if err := f.section(d, name, &objects); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(delim(d, '}'), ending(d)); err != nil {
		return nil, err
	}
	for _, name := range []string{"images", "annotations", "categories"} {
		if !seen[name] {
			return nil, fmt.Errorf("key %q is missing", name)
		}
	}
	return f, f.resolve(objects)
}

func (f *truthFile) masks() bool { return f.cfg.IoUType == Masks }

// section reads the value of one key.
func (f *truthFile) section(d *json.Decoder, name string, objects *[]cocoObject) error {
	switch name {
	case "images":
		var e cocoImage
		return list(d, name, f.lim, &e, func() { e = cocoImage{groupBy: f.cfg.GroupBy} }, func(int) error {
			if e.ID == nil {
				return errors.New("id is missing")
			}
			if _, twice := f.image[*e.ID]; twice {
				return fmt.Errorf("id %s comes twice", *e.ID)
			}
			f.image[*e.ID] = len(f.pictures)
			f.pictures = append(f.pictures, picture{id: string(*e.ID), file: e.FileName, group: e.group, width: e.Width, height: e.Height})
			if e.Negative != nil || e.Partial != nil {
				f.lists[string(*e.ID)] = lvisLists{e.Negative, e.Partial}
			}
			return nil
		})
	case "categories":
		var e cocoClass
		return list(d, name, f.lim, &e, func() { e = cocoClass{} }, func(int) error {
			if e.ID == nil {
				return errors.New("id is missing")
			}
			if _, twice := f.class[*e.ID]; twice {
				return fmt.Errorf("id %s comes twice", *e.ID)
			}
			f.class[*e.ID] = 0
			f.classes = append(f.classes, e)
			return nil
		})
	case "annotations":
		var e cocoObject
		return list(d, name, f.lim, &e, e.reset, func(int) error {
			o := e
			o.BBox = slices.Clone(e.BBox)
			if !f.masks() {
				o.Segmentation = nil
			}
			*objects = append(*objects, o)
			return nil
		})
	}
	var skipped json.RawMessage
	return d.Decode(&skipped)
}

// resolve sorts pictures and classes and gives the annotations to their pictures.
func (f *truthFile) resolve(objects []cocoObject) error {
	slices.SortFunc(f.pictures, func(a, b picture) int { return compareIDs(a.id, b.id) })
	for i, p := range f.pictures {
		f.image[ident(p.id)] = i
	}
	slices.SortFunc(f.classes, func(a, b cocoClass) int { return compareIDs(string(*a.ID), string(*b.ID)) })
	for i, c := range f.classes {
		f.class[*c.ID] = int32(i)
	}
	for i := range objects {
		f.zeroID = f.zeroID || objects[i].ID != nil && *objects[i].ID == "0"
		p, it, err := f.object(&objects[i])
		if err != nil {
			return fmt.Errorf("annotations[%d]: %w", i, err)
		}
		p.truth = append(p.truth, it)
	}
	return nil
}

// place finds the picture and the class of an entry.
func (f *truthFile) place(o *cocoObject) (p *picture, class int32, known bool, err error) {
	if o.ImageID == nil || o.CategoryID == nil {
		return nil, 0, false, errors.New("image_id or category_id is missing")
	}
	i, ok := f.image[*o.ImageID]
	if !ok {
		return nil, 0, false, fmt.Errorf("image_id %s is not among the images", *o.ImageID)
	}
	class, known = f.class[*o.CategoryID]
	return &f.pictures[i], class, known, nil
}

func (f *truthFile) object(o *cocoObject) (*picture, item, error) {
	p, class, known, err := f.place(o)
	if err != nil {
		return nil, item{}, err
	}
	if !known {
		return nil, item{}, fmt.Errorf("category_id %s is not among the categories", *o.CategoryID)
	}
	it, err := o.box()
	if err != nil {
		return nil, item{}, err
	}
	if o.Area != nil {
		if !finite(*o.Area) {
			return nil, item{}, errors.New("area is not finite")
		}
		it.area = *o.Area
	}
	it.class, it.crowd, it.ignore = class, bool(o.IsCrowd), bool(o.IsCrowd)
	if f.cfg.LVIS {
		it.crowd, it.ignore = false, bool(o.Ignore)
	}
	if f.masks() {
		if it.mask, err = parseMask(o.Segmentation, p.height, p.width); err != nil {
			return nil, item{}, err
		}
	}
	return p, it, nil
}

// readFound reads a COCO results file, a list of detections, into the pictures.
// Detections of classes that the annotations don't know are counted, not kept.
func (f *truthFile) readFound(r io.Reader) (unknown int, err error) {
	d := newDecoder(r, f.lim)
	var e cocoObject
	boxes := true // the first entry decides what the area of masks is, as in pycocotools
	err = list(d, "detections", f.lim, &e, e.reset, func(i int) error {
		if i == 0 {
			boxes = len(e.BBox) > 0
		}
		p, class, known, err := f.place(&e)
		if err != nil {
			return err
		}
		if e.Score == nil || !finite(*e.Score) {
			return errors.New("score is missing or not finite")
		}
		it, err := f.found(&e, p, boxes)
		if err != nil {
			return err
		}
		if !known {
			unknown++
			return nil
		}
		it.class, it.score = class, *e.Score
		p.found = append(p.found, it)
		return nil
	})
	return unknown, errors.Join(err, endingUnless(err, d))
}

func endingUnless(err error, d *json.Decoder) error {
	if err != nil {
		return nil
	}
	return ending(d)
}

func (f *truthFile) found(e *cocoObject, p *picture, boxes bool) (item, error) {
	if !f.masks() {
		return e.box()
	}
	var it item
	var err error
	if boxes {
		if it, err = e.box(); err != nil {
			return item{}, err
		}
	}
	if len(e.Segmentation) == 0 && boxes {
		it.mask, err = rle.Rectangle(p.height, p.width, it.x, it.y, it.w, it.h)
	} else {
		it.mask, err = parseMask(e.Segmentation, p.height, p.width)
	}
	if err != nil {
		return item{}, err
	}
	if !boxes {
		x, y, w, h := it.mask.Box()
		mask := it.mask
		it = boxItem(float64(x), float64(y), float64(w), float64(h))
		it.mask, it.area = mask, float64(mask.Area())
	}
	return it, nil
}

// names are the class names; a class without one is called by its id.
func (f *truthFile) names() []string {
	out := make([]string, len(f.classes))
	for i, c := range f.classes {
		out[i] = c.Name
		if c.Name == "" || slices.Contains(out[:i], c.Name) {
			out[i] = string(*c.ID)
		}
	}
	return out
}

// COCO measures the detections in dt, a COCO results list, against the
// annotations in gt. cfg.Classes is taken from the annotations.
func COCO(gt, dt io.Reader, cfg DetectionConfig, lim Limits) (*Summary, error) {
	d, err := readPair(gt, dt, cfg, lim)
	if err != nil {
		return nil, err
	}
	return d.Summary()
}

// OpenDetections reads a pair of COCO files into a Detection, from which
// summaries, errors, counts and confusion can be taken.
func OpenDetections(gtPath, dtPath string, cfg DetectionConfig, lim Limits) (*Detection, error) {
	gt, err := os.Open(gtPath)
	if err != nil {
		return nil, fmt.Errorf("evaluate: open truth: %w", err)
	}
	defer gt.Close()
	dt, err := os.Open(dtPath)
	if err != nil {
		return nil, fmt.Errorf("evaluate: open detections: %w", err)
	}
	defer dt.Close()
	d, err := readPair(gt, dt, cfg, lim)
	if err != nil {
		return nil, fmt.Errorf("evaluate: compare %s with %s: %w", dtPath, gtPath, err)
	}
	return d, nil
}

// DetectionFiles measures a COCO results file against a COCO annotation file.
func DetectionFiles(gtPath, dtPath string, cfg DetectionConfig) (*Summary, error) {
	d, err := OpenDetections(gtPath, dtPath, cfg, DefaultLimits())
	if err != nil {
		return nil, err
	}
	return d.Summary()
}

func readPair(gt, dt io.Reader, cfg DetectionConfig, lim Limits) (*Detection, error) {
	f, err := readTruth(gt, cfg, lim)
	if err != nil {
		return nil, fmt.Errorf("evaluate: read truth: %w", err)
	}
	cfg.Classes = f.names()
	if cfg.Groups == nil {
		cfg.Groups = map[string]string{}
		for i, c := range f.classes {
			if c.Frequency != "" {
				cfg.Groups[cfg.Classes[i]] = c.Frequency
			}
		}
	}
	d, err := NewDetection(cfg)
	if err != nil {
		return nil, err
	}
	unknown, err := f.readFound(dt)
	if err != nil {
		return nil, fmt.Errorf("evaluate: read detections: %w", err)
	}
	if cfg.LVIS {
		f.applyLVIS(slices.Max(cfg.MaxDets))
	} else if len(f.lists) > 0 {
		d.warnings = append(d.warnings, "the images have LVIS's lists of classes that were not looked for or not marked completely; they are only heeded if LVIS is asked for")
	}
	if f.zeroID {
		d.warnings = append(d.warnings, "an annotation has id 0: pycocotools takes detections of it for false ones, here it is an object like any other")
	}
	if unknown > 0 {
		d.warnings = append(d.warnings, fmt.Sprintf("%d detections have a class that the annotations don't know; they are left out, as pycocotools does", unknown))
	}
	d.pictures = f.pictures
	for i := range d.pictures {
		d.seen[d.pictures[i].id] = true
	}
	return d, nil
}
