package datamodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// maxAnnotationBytes bounds one annotation file.
const maxAnnotationBytes = 2 << 30

// cocoSource is one folder of COCO annotation files, one per split: a WilData
// master dataset or a plain COCO dataset.
type cocoSource struct {
	dataset     string
	annotations string   // folder of the JSON files
	bases       []string // folders that file names are relative to, the first that fits
	fence       fence
	masks       bool
}

func openCOCO(root, name, annotations string, bases []string, c Config) (*cocoSource, error) {
	f, err := newFence(root)
	if err != nil {
		return nil, err
	}
	f.links = c.AllowLinks
	return &cocoSource{name, annotations, bases, f, c.Masks}, nil
}

func (s *cocoSource) name() string { return s.dataset }

func (s *cocoSource) splits() []string {
	var out []string
	for _, f := range glob(s.annotations, "*.json") {
		out = append(out, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	return out
}

// identifier is an id that may be written as a number or as a string.
type identifier string

// UnmarshalJSON implements json.Unmarshaler.
func (id *identifier) UnmarshalJSON(data []byte) error {
	text := string(data)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	} else if data[0] == '{' || data[0] == '[' {
		return errors.New("an id must be a number or a string")
	}
	if text == "null" {
		text = ""
	}
	*id = identifier(text)
	return nil
}

type cocoImage struct {
	ID            identifier `json:"id"`
	FileName      string     `json:"file_name"`
	Width, Height int
}

type cocoCategory struct {
	ID   identifier `json:"id"`
	Name identifier `json:"name"`
}

type cocoAnnotation struct {
	ID         identifier `json:"id"`
	ImageID    identifier `json:"image_id"`
	CategoryID identifier `json:"category_id"`
	Box        []float64  `json:"bbox"`
	Area       *float64   `json:"area"`
	Crowd      identifier `json:"iscrowd"`
}

// cocoOutlined is an annotation with its segmentation, which is long.
type cocoOutlined struct {
	cocoAnnotation
	Shape *outline `json:"segmentation"`
}

// load reads one annotation file. Problems go to the report; what is sound is returned.
func (s *cocoSource) load(split string, r *Report) *rawSplit {
	path := filepath.Join(s.annotations, split+".json")
	out := &rawSplit{}
	data, err := readLimited(path, maxAnnotationBytes)
	if err != nil {
		r.problem(path, 0, "%v", err)
		return out
	}
	s.parser(split, path, out, r).parse(data)
	return out
}

// parser reads a split's file at path into out.
func (s *cocoSource) parser(split, path string, out *rawSplit, r *Report) *cocoParser {
	return &cocoParser{
		source: s, folders: s.folders(split), home: filepath.Dir(mustAbs(s.annotations)), path: path, r: r, out: out,
		images: map[identifier]int{}, classes: map[identifier]int{}, ids: map[identifier]int{},
	}
}

func readLimited(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("is no regular file")
	case info.Size() > limit:
		return nil, fmt.Errorf("has %d bytes, more than the limit of %d", info.Size(), limit)
	}
	return os.ReadFile(path)
}

// cocoParser walks an annotation file without building a tree of it.
type cocoParser struct {
	source  *cocoSource
	folders []string // that pictures may lie in
	home    string   // the dataset's folder
	path    string
	r       *Report
	out     *rawSplit
	images  map[identifier]int // index into out.images
	classes map[identifier]int
	ids     map[identifier]int // line of each annotation's id
	notes   []located          // annotations wait until all images and categories are known
	lines   lineCounter
}

type located struct {
	cocoOutlined
	line int
}

// lineCounter turns byte offsets, asked for in rising order, into lines.
type lineCounter struct {
	data     []byte
	at, line int
}

func (c *lineCounter) line1(offset int64) int {
	end := min(int(offset), len(c.data))
	for end < len(c.data) && bytes.IndexByte([]byte(" \t\r\n,:["), c.data[end]) >= 0 {
		end++ // to where the value begins
	}
	if end > c.at {
		c.line += bytes.Count(c.data[c.at:end], []byte{'\n'})
		c.at = end
	}
	return c.line + 1
}

func (p *cocoParser) parse(data []byte) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	p.lines = lineCounter{data: data}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := p.top(dec); err != nil {
		line := p.lines.line1(dec.InputOffset())
		if at := (*lineError)(nil); errors.As(err, &at) {
			line = at.line
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the file ends in the middle")
		}
		p.r.problem(p.path, line, "not valid COCO JSON: %v", err)
		return
	}
	for _, n := range p.notes {
		p.annotation(n)
	}
}

func (p *cocoParser) top(dec *json.Decoder) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return orError(err, "the file must hold an object")
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		name := fmt.Sprint(key)
		seen[name] = true
		switch name {
		case "images":
			err = eachElement(dec, name, &p.lines, p.image)
		case "categories":
			err = eachElement(dec, name, &p.lines, p.category)
		case "annotations":
			err = p.annotations(dec, name)
		default:
			var skipped json.RawMessage
			err = dec.Decode(&skipped)
		}
		if err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	for _, key := range []string{"images", "annotations", "categories"} {
		if !seen[key] {
			return fmt.Errorf("key %q is missing", key)
		}
	}
	return nil
}

// annotations reads outlines only where they are wanted.
func (p *cocoParser) annotations(dec *json.Decoder, key string) error {
	if p.source.masks {
		return eachElement(dec, key, &p.lines, func(a cocoOutlined, line int) { p.notes = append(p.notes, located{a, line}) })
	}
	return eachElement(dec, key, &p.lines, func(a cocoAnnotation, line int) {
		p.notes = append(p.notes, located{cocoOutlined{cocoAnnotation: a}, line})
	})
}

// lineError is an error that knows the line of the value it concerns.
type lineError struct {
	line int
	error
}

func (e *lineError) Unwrap() error { return e.error }

func orError(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

// eachElement decodes an array one element at a time.
func eachElement[T any](dec *json.Decoder, key string, lines *lineCounter, use func(T, int)) error {
	t, err := dec.Token()
	if err != nil || t != json.Delim('[') {
		return orError(err, key+" must be a list")
	}
	for dec.More() {
		line := lines.line1(dec.InputOffset())
		var v T
		if err := dec.Decode(&v); err != nil {
			return &lineError{line, fmt.Errorf("in %s: %w", key, err)}
		}
		use(v, line)
	}
	_, err = dec.Token()
	return err
}

func (p *cocoParser) category(c cocoCategory, line int) {
	switch _, twice := p.classes[c.ID]; {
	case c.ID == "" || c.Name == "":
		p.r.problem(p.path, line, "category %q has no id or no name", c.ID+c.Name)
	case twice:
		p.r.problem(p.path, line, "category id %s is given twice", c.ID)
	default:
		p.classes[c.ID] = len(p.out.classes)
		p.out.classes = append(p.out.classes, rawClass{string(c.ID), string(c.Name)})
	}
}

func (p *cocoParser) image(im cocoImage, line int) {
	if _, twice := p.images[im.ID]; twice || im.ID == "" {
		p.r.problem(p.path, line, "image id %q is missing or given twice", im.ID)
		return
	}
	p.images[im.ID] = -1 // known, though perhaps not usable: its annotations are no further problem
	if im.Width < 0 || im.Height < 0 {
		p.r.problem(p.path, line, "image %s: size %d×%d", im.ID, im.Width, im.Height)
		return
	}
	path, seen, err := p.source.fence.find(p.folders, im.FileName)
	if err != nil {
		p.r.problem(p.path, line, "image %s: %v", im.ID, err)
		return
	}
	p.images[im.ID] = len(p.out.images)
	p.out.images = append(p.out.images, rawImage{
		id: p.sampleID(path), sourceID: string(im.ID), path: path, width: im.Width, height: im.Height,
		file: p.path, line: line, fence: &p.source.fence, seen: seen,
	})
}

// folders are those that a file_name may be relative to: datasets/ in WilData
// (also where one dataset's folder is the root), else the usual image folders of
// COCO datasets.
func (s *cocoSource) folders(split string) []string {
	home := filepath.Dir(s.annotations)
	folder := strings.TrimPrefix(split, "instances_")
	bases := append([]string{}, s.bases...)
	for _, sub := range []string{filepath.Join("images", folder), "images", folder, ""} {
		bases = append(bases, filepath.Join(home, sub))
	}
	return bases
}

// sampleID is the dataset's name and the path below its folder.
func (p *cocoParser) sampleID(path string) string {
	rel, err := filepath.Rel(p.home, mustAbs(path))
	if err != nil || !filepath.IsLocal(rel) {
		rel = filepath.Base(path)
	}
	return p.source.dataset + "/" + filepath.ToSlash(rel)
}

func (p *cocoParser) annotation(n located) {
	index, known := p.images[n.ImageID]
	class, named := p.classes[n.CategoryID]
	bad := func(format string, args ...any) {
		p.r.problem(p.path, n.line, "annotation %s: "+format, append([]any{n.ID}, args...)...)
	}
	switch {
	case !known:
		bad("image_id %q is not in images", n.ImageID)
		return
	case n.ID != "" && p.ids[n.ID] > 0:
		bad("the id is given twice, first in line %d", p.ids[n.ID])
		return
	case !named:
		bad("category_id %q is not in categories", n.CategoryID)
		return
	case len(n.Box) != 4:
		bad("bbox has %d numbers, must have 4 (x, y, width, height)", len(n.Box))
		return
	case n.Area != nil && (*n.Area < 0 || math.IsInf(*n.Area, 0)):
		bad("area is %v", *n.Area)
		return
	case index < 0:
		return // its image was reported already
	}
	p.ids[n.ID] = n.line
	b := rawBox{class: class, box: wildtrain.BoxXYWH(n.Box[0], n.Box[1], n.Box[2], n.Box[3]), line: n.line, what: "annotation " + string(n.ID), shape: n.Shape}
	b.crowd = n.Crowd == "1" || n.Crowd == "true"
	if n.Area != nil {
		b.area = *n.Area
	}
	im := &p.out.images[index]
	im.boxes = append(im.boxes, b)
}
