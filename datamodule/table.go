package datamodule

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// maxTableBytes bounds one table.
const maxTableBytes = 1 << 30

// tableFiles are the tables of a root.
func tableFiles(root string) []string {
	if found := glob(root, "*.csv"); len(found) > 0 {
		return found
	}
	return glob(root, "annotations", "*.csv")
}

// openTables reads tables (RFC 4180, UTF-8, with a header): columns file, class
// and the corners x1, y1, x2, y2 or the corner and size x, y, w, h of a box, in
// pixels from 0 (the box of a whole picture of 800×640 is 0, 0, 800, 640). The
// optional columns width and height are the picture's size; difficult and crowd
// are 0 or 1; split names the split, which else is the table's name. A row
// without class and box is a picture without boxes. Other columns are for others.
// For classification the columns of the box may be missing: classes then are
// those of whole pictures, a row each.
func openTables(root string, files []string, c Config) (*namedSource, error) {
	if len(files) == 0 {
		return nil, errors.New("no table: *.csv is not there")
	}
	s, err := newNamedSource(root, c.AllowLinks)
	if err != nil {
		return nil, err
	}
	var names nameIndex
	without := 0 // tables without boxes
	for _, file := range files {
		t := tableReader{s: s, names: &names, file: file, split: stem(file), labels: c.labels}
		data, err := readLimited(file, maxTableBytes)
		if err != nil {
			s.part(t.split).report.problem(file, 0, "%v", err)
			continue
		}
		t.read(data)
		if t.columns != nil && t.corners == nil {
			without++
		}
	}
	s.labels = without == len(files)
	if without > 0 && !s.labels {
		return nil, errors.New("some tables have boxes and others have not")
	}
	s.finish(&names)
	return s, nil
}

// columnNames are how tables call what this package reads, the first one its own way.
var columnNames = map[string][]string{
	"file":  {"file", "filename", "file_name", "image", "image_path", "path"},
	"class": {"class", "label", "category", "class_name"},
	"x1":    {"x1", "xmin", "x_min"}, "y1": {"y1", "ymin", "y_min"},
	"x2": {"x2", "xmax", "x_max"}, "y2": {"y2", "ymax", "y_max"},
	"x": {"x"}, "y": {"y"}, "w": {"w"}, "h": {"h"},
	"width": {"width", "image_width"}, "height": {"height", "image_height"},
	"split": {"split"}, "difficult": {"difficult"}, "crowd": {"crowd", "iscrowd"},
}

// tableReader reads one table.
type tableReader struct {
	s           *namedSource
	names       *nameIndex
	file, split string
	labels      bool // tables without boxes are known
	columns     map[string]int
	corners     []string         // the four columns of the box, nil where classes are of whole pictures
	seen        map[tableRow]int // line of each box
}

// tableRow tells rows apart.
type tableRow struct {
	split, path string
	box         rawBox
}

func (t *tableReader) read(data []byte) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	report := func() *Report { return &t.s.part(t.split).report }
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		err = errors.New("the table is empty, it must have a header")
	}
	if err == nil {
		err = t.header(header)
	}
	if err != nil {
		report().problem(t.file, 1, "%v", unwrapCSV(err))
		t.columns = nil
		return
	}
	t.seen = map[tableRow]int{}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line := 0
		if at := (*csv.ParseError)(nil); errors.As(err, &at) {
			line = at.Line
		} else if err == nil {
			line, _ = r.FieldPos(0)
		}
		switch {
		case errors.Is(err, csv.ErrFieldCount):
			report().problem(t.file, line, "row has %d fields, the header has %d", len(row), len(header))
		case err != nil:
			report().problem(t.file, line, "not a valid table: %v", unwrapCSV(err))
			return
		default:
			t.row(row, line)
		}
	}
	if _, ok := t.columns["split"]; !ok {
		t.s.part(t.split) // also where it has no row
	}
}

// unwrapCSV drops the line that a Problem gives anyway.
func unwrapCSV(err error) error {
	if at := (*csv.ParseError)(nil); errors.As(err, &at) {
		return at.Err
	}
	return err
}

// header finds the columns.
func (t *tableReader) header(names []string) error {
	t.columns = map[string]int{}
	for i, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		for column, aliases := range columnNames {
			if !slices.Contains(aliases, name) {
				continue
			}
			if first, twice := t.columns[column]; twice {
				return fmt.Errorf("columns %q and %q both are the %s", names[first], names[i], column)
			}
			t.columns[column] = i
		}
	}
	has := func(columns ...string) bool {
		return !slices.ContainsFunc(columns, func(c string) bool { _, ok := t.columns[c]; return !ok })
	}
	corners, sizes := []string{"x1", "y1", "x2", "y2"}, []string{"x", "y", "w", "h"}
	switch {
	case !has("file", "class"):
	case has(corners...) && has(sizes...):
		return errors.New("the header has both x1, y1, x2, y2 and x, y, w, h: which are the boxes?")
	case has(corners...):
		t.corners = corners
		return nil
	case has(sizes...):
		t.corners = sizes
		return nil
	case t.labels && !slices.ContainsFunc(slices.Concat(corners, sizes), func(c string) bool { return has(c) }):
		return nil
	}
	return fmt.Errorf("the header must name the columns file, class and x1, y1, x2, y2 or x, y, w, h, separated by commas; it has %q", names)
}

// value is a field of a row, "" where the table has no such column.
func (t *tableReader) value(row []string, column string) string {
	if i, ok := t.columns[column]; ok {
		return strings.TrimSpace(row[i])
	}
	return ""
}

func (t *tableReader) row(row []string, line int) {
	split := t.split
	if _, ok := t.columns["split"]; ok {
		split = t.value(row, "split")
	}
	p := t.s.part(split)
	bad := func(format string, args ...any) { p.report.problem(t.file, line, format, args...) }
	if split == "" {
		bad("the row names no split")
		return
	}
	path, err := t.s.locate(filepath.Dir(t.file), split, t.value(row, "file"))
	if err != nil {
		bad("%v", err)
		return
	}
	im, isNew := t.s.picture(p, path, t.file, line)
	if err := t.size(row, im, isNew); err != nil {
		bad("%v", err)
		return
	}
	b, class, err := t.box(row)
	if err != nil {
		bad("%v", err)
	}
	if err != nil || class == "" {
		return
	}
	b.class = t.names.of(class)
	key := tableRow{split, im.path, b}
	if first, twice := t.seen[key]; twice {
		p.report.warn(t.file, line, "the same box as in line %d; it counts once", first)
		return
	}
	t.seen[key] = line
	b.line, b.what = line, "box"
	im.boxes = append(im.boxes, b)
}

// size reads the picture's size, which is the same in all rows of it.
func (t *tableReader) size(row []string, im *rawImage, isNew bool) error {
	var size [2]int
	for i, column := range []string{"width", "height"} {
		text := t.value(row, column)
		if text == "" {
			continue
		}
		v, err := strconv.Atoi(text)
		if err != nil || v <= 0 {
			return fmt.Errorf("%s %q must be a number of pixels", column, text)
		}
		size[i] = v
	}
	if isNew {
		im.width, im.height = size[0], size[1]
	} else if im.width != size[0] || im.height != size[1] {
		return fmt.Errorf("the picture is %d×%d here and %d×%d in line %d", size[0], size[1], im.width, im.height, im.line)
	}
	return nil
}

// box reads a row's box; class is "" where the row has none.
func (t *tableReader) box(row []string) (b rawBox, class string, err error) {
	class = t.value(row, "class")
	texts := make([]string, len(t.corners))
	for i, column := range t.corners {
		texts[i] = t.value(row, column)
	}
	if class == "" && strings.Join(texts, "") == "" {
		return b, "", nil
	}
	if class == "" {
		return b, "", errors.New("the row has a box and no class")
	}
	if t.corners == nil {
		return rawBox{box: whole, normalised: true}, class, nil
	}
	v, err := finite(texts...)
	if err != nil {
		return b, "", err
	}
	if b.box = (wildtrain.Box{X1: v[0], Y1: v[1], X2: v[2], Y2: v[3]}); t.corners[0] == "x" {
		b.box = wildtrain.BoxXYWH(v[0], v[1], v[2], v[3])
	}
	if b.difficult, err = flag(t.value(row, "difficult")); err != nil {
		return b, "", fmt.Errorf("difficult: %w", err)
	}
	if b.crowd, err = flag(t.value(row, "crowd")); err != nil {
		return b, "", fmt.Errorf("crowd: %w", err)
	}
	return b, class, nil
}
