package datamodule

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// maxVOCBytes bounds one annotation file of a picture.
const maxVOCBytes = 16 << 20

// vocLists is where the VOC devkit keeps the pictures of each split.
var vocLists = []string{"ImageSets", "Main"}

// holdsVOC tells whether a root has the devkit's folders, or one with XML files per split.
func holdsVOC(root string) bool {
	return isDir(filepath.Join(root, "Annotations")) || len(vocSplits(root)) > 0
}

// vocSplits are the folders below a root that hold XML files, by split.
func vocSplits(root string) map[string]string {
	out := map[string]string{}
	for _, split := range []string{"train", "val", "valid", "validation", "test"} {
		for _, sub := range []string{"", "Annotations"} {
			folder := filepath.Join(root, split, sub)
			if len(glob(folder, "*.xml")) > 0 {
				out[split] = folder
			}
		}
	}
	return out
}

// openVOC reads a dataset of the VOC devkit: Annotations/<id>.xml,
// JPEGImages/<id>.jpg and ImageSets/Main/<split>.txt with one id a line. Without
// lists everything is the split "train". The other layout is a folder per split
// with XML files and their pictures side by side, or in the devkit's folders.
// Pictures that have no XML file are not used, as nobody says that they are
// empty; the report warns of them.
func openVOC(root string, links bool) (*namedSource, error) {
	s, err := newNamedSource(root, links)
	if err != nil {
		return nil, err
	}
	v := vocReader{s: s}
	annotations := filepath.Join(root, "Annotations")
	lists := slices.DeleteFunc(glob(root, append(vocLists, "*.txt")...), isClassList)
	folders := vocSplits(root)
	switch {
	case isDir(annotations) && len(lists) > 0:
		for _, list := range lists {
			v.list(list, root, annotations)
		}
	case isDir(annotations):
		v.folder("train", root, annotations)
	case len(folders) == 0:
		return nil, errors.New("no VOC dataset: neither Annotations nor train/*.xml is there")
	}
	if !isDir(annotations) {
		for _, split := range slices.Sorted(maps.Keys(folders)) {
			v.folder(split, filepath.Join(root, split), folders[split])
		}
	}
	s.finish(&v.names)
	return s, nil
}

// isClassList tells the devkit's lists of one class, whose lines have a flag
// after the id, from those of a split.
func isClassList(path string) bool {
	data, err := readLimited(path, maxLabelBytes)
	if err != nil {
		return false // reading it as a split tells why
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
	fields := strings.Fields(first)
	return len(fields) == 2 && slices.Contains([]string{"-1", "0", "1"}, fields[1])
}

// vocReader fills a source from XML files.
type vocReader struct {
	s     *namedSource
	names nameIndex
}

// list reads the pictures that a list in ImageSets/Main names.
func (v *vocReader) list(list, home, annotations string) {
	p := v.s.part(stem(list))
	data, err := readLimited(list, maxLabelBytes)
	if err != nil {
		p.report.problem(list, 0, "%v", err)
		return
	}
	line := 0
	for text := range strings.Lines(string(bytes.TrimPrefix(data, []byte("\ufeff")))) {
		line++
		id := strings.TrimSpace(text)
		if id == "" {
			continue
		}
		file, err := v.s.fence.resolve(annotations, id+".xml")
		if err != nil {
			p.report.problem(list, line, "%v", err)
			continue
		}
		if !isFile(file) {
			p.report.problem(list, line, "annotations of %q are not there (looked for %s)", id, file)
			continue
		}
		v.file(p, home, file)
	}
}

// folder reads every XML file of a folder as one split.
func (v *vocReader) folder(split, home, annotations string) {
	p := v.s.part(split)
	for _, file := range glob(annotations, "*.xml") {
		v.file(p, home, file)
	}
	for _, folder := range vocPictures(home) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue // most of them are not there
		}
		for _, e := range entries {
			path := filepath.Join(folder, e.Name())
			if _, known := p.byPath[path]; !known && imageio.IsPicture(path) && !isFile(filepath.Join(annotations, stem(path)+".xml")) {
				p.report.warn(path, 0, "picture without an XML file; it is not used")
			}
		}
	}
}

// vocPictures are the folders in which pictures of a dataset are looked for.
func vocPictures(home string) []string {
	return []string{filepath.Join(home, "JPEGImages"), filepath.Join(home, "images"), home}
}

// file reads the annotations of one picture.
func (v *vocReader) file(p *namedSplit, home, file string) {
	real, err := v.s.fence.follow(file)
	if err != nil {
		p.report.problem(file, 0, "%v", err)
		return
	}
	data, err := readLimited(real, maxVOCBytes)
	if err != nil {
		p.report.problem(file, 0, "%v", err)
		return
	}
	doc, err := parseVOC(file, data, &p.report)
	if err != nil {
		return // it is reported
	}
	path, err := v.locate(home, file, doc.filename)
	if err != nil {
		p.report.problem(file, 1, "%v", err)
		return
	}
	im, isNew := v.s.picture(p, path, file, 1)
	if !isNew {
		p.report.problem(file, 1, "picture %s has annotations already, in %s", path, im.file)
		return
	}
	im.width, im.height = doc.width, doc.height
	for _, o := range doc.objects {
		o.box.class = v.names.of(o.name)
		im.boxes = append(im.boxes, o.box)
	}
}

// locate finds the picture of an XML file: the one of the same name. What the
// file says of its name gives the ending, and counts where there is no other:
// tools that rename files leave it stale.
func (v *vocReader) locate(home, file, filename string) (string, error) {
	names := []string{}
	filename = filepath.Base(filepath.FromSlash(strings.ReplaceAll(filename, `\`, "/")))
	if stem(filename) == stem(file) && imageio.IsPicture(filename) {
		names = append(names, filename)
	}
	for _, ending := range []string{".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".webp", ".bmp", ".tif", ".tiff", ".TIF"} {
		names = append(names, stem(file)+ending)
	}
	if imageio.IsPicture(filename) {
		names = append(names, filename)
	}
	var candidates []string
	for _, name := range names {
		for _, folder := range vocPictures(home) {
			candidates = append(candidates, filepath.Join(folder, name))
		}
	}
	if path, ok := v.s.fence.firstFile(candidates...); ok {
		return path, nil
	}
	return "", fmt.Errorf("picture of %s is not there (looked for %s)", filepath.Base(file), candidates[0])
}

// vocDocument is what one XML file says.
type vocDocument struct {
	filename      string
	width, height int // 0: not given
	objects       []vocObject
}

type vocObject struct {
	name string
	box  rawBox
}

type vocSize struct {
	Width  string `xml:"width"`
	Height string `xml:"height"`
}

type vocElement struct {
	Name      string `xml:"name"`
	Difficult string `xml:"difficult"`
	Crowd     string `xml:"iscrowd"` // not in the devkit; Convert writes it
	Box       *struct {
		X1 string `xml:"xmin"`
		Y1 string `xml:"ymin"`
		X2 string `xml:"xmax"`
		Y2 string `xml:"ymax"`
	} `xml:"bndbox"`
}

// maxVOCObjects bounds the objects of one picture.
const maxVOCObjects = 100_000

// parseVOC reads one XML file. Corners count pixels from 1 and belong to the
// box, as the VOC devkit has it: the box of a whole picture of 800×640 is (1, 1,
// 800, 640), here X1 = xmin − 1, Y1 = ymin − 1, X2 = xmax, Y2 = ymax.
func parseVOC(file string, data []byte, r *Report) (*vocDocument, error) {
	dec := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	dec.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) {
		if strings.EqualFold(charset, "us-ascii") || strings.EqualFold(charset, "ascii") {
			return in, nil
		}
		return nil, fmt.Errorf("encoding %q: save it as UTF-8", charset)
	}
	doc, warned := &vocDocument{}, false
	fail := func(err error) (*vocDocument, error) {
		line, _ := dec.InputPos()
		if errors.Is(err, io.EOF) {
			err = errors.New("the file ends in the middle")
		}
		r.problem(file, line, "not valid VOC XML: %v", err)
		return nil, err
	}
	root, err := nextElement(dec)
	if err != nil {
		return fail(err)
	}
	if root == nil || root.Name.Local != "annotation" {
		return fail(errors.New("the file must hold an annotation"))
	}
	for {
		e, err := nextElement(dec)
		if err != nil {
			return fail(err)
		}
		if e == nil {
			return doc, nil
		}
		line, _ := dec.InputPos()
		switch e.Name.Local {
		case "filename":
			err = dec.DecodeElement(&doc.filename, e)
			doc.filename = strings.TrimSpace(doc.filename)
		case "size":
			var size vocSize
			if err = dec.DecodeElement(&size, e); err == nil {
				doc.width, doc.height, err = size.read()
			}
		case "object":
			var o vocElement
			if err = dec.DecodeElement(&o, e); err == nil {
				warned = doc.add(file, line, len(doc.objects)+1, o, warned, r)
			}
			if len(doc.objects) > maxVOCObjects {
				err = fmt.Errorf("more than %d objects", maxVOCObjects)
			}
		default:
			err = dec.Skip()
		}
		if err != nil {
			return fail(err)
		}
	}
}

// nextElement returns the next child, nil where the parent ends.
func nextElement(dec *xml.Decoder) (*xml.StartElement, error) {
	for {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return &t, nil
		case xml.EndElement:
			return nil, nil
		}
	}
}

func (s vocSize) read() (width, height int, err error) {
	for _, n := range []struct {
		text string
		v    *int
	}{{s.Width, &width}, {s.Height, &height}} {
		text := strings.TrimSpace(n.text)
		if text == "" {
			continue
		}
		if *n.v, err = strconv.Atoi(text); err != nil || *n.v < 0 {
			return 0, 0, fmt.Errorf("size %q must be a number of pixels", text)
		}
	}
	return width, height, nil
}

// add checks one object; what is wrong goes to the report.
func (d *vocDocument) add(file string, line, number int, e vocElement, warned bool, r *Report) bool {
	o := vocObject{name: strings.TrimSpace(e.Name)}
	o.box.line, o.box.what = line, fmt.Sprintf("object %d", number)
	switch {
	case o.name == "":
		r.problem(file, line, "object %d has no name", number)
		return warned
	case e.Box == nil:
		r.problem(file, line, "object %d has no bndbox", number)
		return warned
	}
	v, err := finite(e.Box.X1, e.Box.Y1, e.Box.X2, e.Box.Y2)
	if err != nil {
		r.problem(file, line, "object %d: bndbox: %v", number, err)
		return warned
	}
	if (v[0] < 1 || v[1] < 1) && !warned {
		r.warn(file, line, "object %d: a corner of %g, %g: VOC counts pixels from 1; if this file counts from 0, its boxes are a pixel off", number, v[0], v[1])
		warned = true
	}
	o.box.box = wildtrain.Box{X1: v[0] - 1, Y1: v[1] - 1, X2: v[2], Y2: v[3]}
	o.box.difficult, err = flag(e.Difficult)
	if err == nil {
		o.box.crowd, err = flag(e.Crowd)
	}
	if err != nil {
		r.problem(file, line, "object %d: difficult or iscrowd: %v", number, err)
		return warned
	}
	d.objects = append(d.objects, o)
	return warned
}

// flag reads a yes or no; nothing means no.
func flag(text string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "0", "false", "no", "unspecified":
		return false, nil
	case "1", "true", "yes":
		return true, nil
	}
	return false, fmt.Errorf("%q is neither 0 nor 1", text)
}

// finite reads numbers.
func finite(texts ...string) ([]float64, error) {
	out := make([]float64, len(texts))
	for i, text := range texts {
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%q is not a finite number", text)
		}
		out[i] = v
	}
	return out, nil
}
