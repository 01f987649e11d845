package datamodule

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/internal/yamlsafe"
	"github.com/wildtrain/sdk/wildtrain"
)

// yoloSource is one data.yaml.
type yoloSource struct {
	dataset string
	file    string
	base    string // folder that the splits are relative to
	entries map[string][]yoloEntry
	classes []rawClass
	fence   fence
}

// yoloEntry is one folder, list or picture of a split.
type yoloEntry struct {
	name string
	line int
}

// maxLabelBytes bounds a data.yaml, a label file and a list of pictures.
const maxLabelBytes = 64 << 20

func openYOLO(path string, links bool) (*yoloSource, error) {
	data, err := readLimited(path, maxLabelBytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	tree, err := yamlsafe.Parse(path, data, yamlsafe.DefaultLimits())
	if err != nil {
		return nil, err
	}
	s := &yoloSource{file: path, dataset: filepath.Base(filepath.Dir(mustAbs(path))), entries: map[string][]yoloEntry{}}
	if err := s.read(tree); err != nil {
		return nil, err
	}
	err = s.place(tree.Get("path"))
	s.fence.links = links
	return s, err
}

func mustAbs(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path // the working folder is gone: relative is as good as it gets
}

// read takes names, nc and the splits; other keys are for other tools.
func (s *yoloSource) read(tree *yamlsafe.Node) error {
	if tree == nil || tree.Kind != yamlsafe.Mapping {
		return tree.Errorf(s.file, "a data.yaml must hold a mapping with train, val and names")
	}
	if err := s.readClasses(tree); err != nil {
		return err
	}
	for _, key := range []string{"train", "val", "test"} {
		n := tree.Get(key)
		if n.Null() {
			continue
		}
		items := []*yamlsafe.Node{n}
		if n.Kind == yamlsafe.Sequence {
			items = n.Items
		}
		for _, item := range items {
			if item.Kind != yamlsafe.Scalar || item.Value == "" {
				return item.Errorf(s.file, "%s must be a path or a list of paths", key)
			}
			s.entries[key] = append(s.entries[key], yoloEntry{item.Value, item.Line})
		}
	}
	if len(s.entries) == 0 {
		return tree.Errorf(s.file, "none of train, val and test is given")
	}
	return nil
}

func (s *yoloSource) readClasses(tree *yamlsafe.Node) error {
	names, nc := tree.Get("names"), tree.Get("nc")
	count := -1
	if !nc.Null() {
		v, err := strconv.Atoi(nc.Value)
		if err != nil || nc.Kind != yamlsafe.Scalar || v < 0 || v > 1<<20 {
			return nc.Errorf(s.file, "nc must be a number of classes")
		}
		count = v
	}
	switch {
	case names.Null() && count > 0:
		for i := range count {
			s.classes = append(s.classes, rawClass{strconv.Itoa(i), fmt.Sprintf("class%d", i)})
		}
	case names.Null():
		return tree.Errorf(s.file, "names is missing")
	case names.Kind == yamlsafe.Sequence:
		for i, n := range names.Items {
			if n.Kind != yamlsafe.Scalar || n.Value == "" {
				return n.Errorf(s.file, "names[%d] must be a name", i)
			}
			s.classes = append(s.classes, rawClass{strconv.Itoa(i), n.Value})
		}
	case names.Kind == yamlsafe.Mapping:
		for _, p := range names.Pairs {
			if id, err := strconv.Atoi(p.Key.Value); err != nil || id < 0 || p.Value.Kind != yamlsafe.Scalar || p.Value.Value == "" {
				return p.Key.Errorf(s.file, "names: %q must be a class id with a name", p.Key.Value)
			}
			s.classes = append(s.classes, rawClass{p.Key.Value, p.Value.Value})
		}
		sort.SliceStable(s.classes, func(i, j int) bool { return atoi(s.classes[i].id) < atoi(s.classes[j].id) })
	default:
		return names.Errorf(s.file, "names must be a list or a mapping")
	}
	if count >= 0 && count != len(s.classes) {
		return nc.Errorf(s.file, "nc is %d, but names has %d entries", count, len(s.classes))
	}
	return nil
}

func atoi(digits string) int {
	v, err := strconv.Atoi(digits)
	if err != nil {
		return math.MaxInt // not reached: ids were checked when they were read
	}
	return v
}

// place finds the folder that splits are relative to: path where it resolves
// (as it is, from the data.yaml, from the WilData root or its parent), else the
// folder of the data.yaml. In a WilData tree it never lies outside of the tree:
// a path that does names the place the tree was copied from.
func (s *yoloSource) place(path *yamlsafe.Node) error {
	home := filepath.Dir(mustAbs(s.file))
	root, inTree := treeRoot(home)
	s.base = home
	if !path.Null() {
		if path.Kind != yamlsafe.Scalar {
			return path.Errorf(s.file, "path must be a folder")
		}
		p := filepath.FromSlash(path.Value)
		candidates := []string{filepath.Join(home, p)}
		switch {
		case filepath.IsAbs(p):
			candidates = []string{filepath.Clean(p)}
		case inTree:
			candidates = append(candidates, filepath.Join(root, p), filepath.Join(filepath.Dir(root), p))
		}
		if i := slices.IndexFunc(candidates, func(c string) bool {
			return s.holdsSplit(c) && (!inTree || within(root, c))
		}); i >= 0 {
			s.base = candidates[i]
		}
	}
	if !within(root, s.base) { // a data.yaml that stands apart from its pictures
		root, _ = treeRoot(s.base)
	}
	var err error
	s.fence, err = newFence(root)
	return err
}

// treeRoot is the WilData root above framework_formats/yolo/<name>, else the folder itself.
func treeRoot(folder string) (root string, inTree bool) {
	up := filepath.Dir(folder)
	if filepath.Base(up) == "yolo" && filepath.Base(filepath.Dir(up)) == "framework_formats" {
		return filepath.Dir(filepath.Dir(up)), true
	}
	return folder, false
}

// holdsSplit reports whether at least one split exists below a folder.
func (s *yoloSource) holdsSplit(folder string) bool {
	for _, entries := range s.entries {
		for _, e := range entries {
			if _, err := os.Stat(filepath.Join(folder, filepath.FromSlash(e.name))); err == nil {
				return true
			}
		}
	}
	return false
}

func (s *yoloSource) name() string { return s.dataset }

// splits are those of which anything exists: WilData always names all three.
func (s *yoloSource) splits() []string {
	var out []string
	for _, key := range []string{"train", "val", "test"} {
		if slices.ContainsFunc(s.entries[key], func(e yoloEntry) bool {
			path, err := s.fence.resolve(s.base, e.name)
			if err != nil {
				return true // let load tell what is wrong
			}
			_, err = os.Stat(path)
			return err == nil
		}) {
			out = append(out, key)
		}
	}
	return out
}

func (s *yoloSource) load(split string, r *Report) *rawSplit {
	out := &rawSplit{classes: s.classes}
	seen := map[string]bool{}
	for _, e := range s.entries[split] {
		paths, err := s.pictures(e.name, r)
		if err != nil {
			r.problem(s.file, e.line, "%s: %v", split, err)
			continue
		}
		if folder, err := s.fence.resolve(s.base, e.name); err == nil && isDir(folder) {
			orphans(paths, r)
		}
		for _, path := range paths {
			if !seen[path] {
				seen[path] = true
				out.images = append(out.images, rawImage{
					id: s.sampleID(path), path: path, file: path, labels: labelPath(path), fence: &s.fence,
				})
			}
		}
	}
	return out
}

// orphans warns of label files whose pictures are not in the folder.
func orphans(pictures []string, r *Report) {
	labels, folders := map[string]bool{}, map[string]bool{}
	for _, p := range pictures {
		l := labelPath(p)
		labels[l] = true
		folders[filepath.Dir(l)] = true
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		for _, file := range glob(folder, "*.txt") {
			if !labels[file] && filepath.Base(file) != "classes.txt" {
				r.warn(file, 0, "labels without a picture; they are not used")
			}
		}
	}
}

// pictures lists what an entry of a split names: a folder, a list in a .txt file, or one picture.
func (s *yoloSource) pictures(entry string, r *Report) ([]string, error) {
	path, err := s.fence.resolve(s.base, entry)
	if err != nil {
		return nil, err
	}
	if _, err := s.fence.follow(path); err != nil {
		return nil, err
	}
	switch {
	case isDir(path):
		return listPictures(path)
	case strings.EqualFold(filepath.Ext(path), ".txt"):
		return s.list(path, r)
	case imageio.IsPicture(path):
		return []string{path}, nil
	}
	return nil, fmt.Errorf("%s is neither a folder, a list (.txt) nor a picture", path)
}

// listPictures walks a folder in the order of names, links to folders included. A
// link to a folder that it lies in would never end: that is an error.
func listPictures(dir string) ([]string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	return walkPictures(dir, []string{mustAbs(real)})
}

// walkPictures lists the pictures below a folder; above are the real folders that lead to it.
func walkPictures(dir string, above []string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case imageio.IsPicture(path) && !e.IsDir():
			out = append(out, path)
			continue
		case e.Type()&fs.ModeSymlink != 0:
			if !isDir(path) {
				continue
			}
		case !e.IsDir():
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return nil, err
		}
		if real = mustAbs(real); slices.Contains(above, real) {
			return nil, fmt.Errorf("%s is a link to a folder that it lies in, %s", path, real)
		}
		more, err := walkPictures(path, append(slices.Clip(above), real))
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// list reads a file with one picture per line, relative to the list's folder or
// to the base, or absolute inside the root.
func (s *yoloSource) list(path string, r *Report) ([]string, error) {
	data, err := readLimited(path, maxLabelBytes)
	if err != nil {
		return nil, err
	}
	var out []string
	scanner := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	for line := 1; scanner.Scan(); line++ {
		name := strings.TrimSpace(scanner.Text())
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		beside, err := s.fence.resolve(filepath.Dir(path), name)
		fromBase, baseErr := s.fence.resolve(s.base, name)
		if err != nil && baseErr != nil {
			r.problem(path, line, "%v", baseErr)
			continue
		}
		candidates := []string{}
		for _, c := range []string{fromBase, beside} {
			if c != "" {
				candidates = append(candidates, c)
			}
		}
		found, ok := s.fence.firstFile(candidates...)
		if !ok {
			r.problem(path, line, "picture %q is not there (looked for %s)", name, found)
			continue
		}
		out = append(out, found)
	}
	return out, scanner.Err()
}

// labelPath replaces the last folder called images by labels, and the ending.
func labelPath(picture string) string {
	sep := string(filepath.Separator)
	stem := strings.TrimSuffix(picture, filepath.Ext(picture)) + ".txt"
	if i := strings.LastIndex(stem, sep+"images"+sep); i >= 0 {
		return stem[:i] + sep + "labels" + stem[i+len(sep+"images"):]
	}
	return stem
}

func (s *yoloSource) sampleID(path string) string {
	rel, err := filepath.Rel(s.base, path)
	if err != nil || !filepath.IsLocal(rel) {
		rel = filepath.Base(path)
	}
	return s.dataset + "/" + filepath.ToSlash(rel)
}

// readLabels reads the boxes of one picture; a file that is not there means none.
func readLabels(path string, classes map[string]int, r *Report) []rawBox {
	data, err := readLimited(path, maxLabelBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		r.problem(path, 0, "%v", err)
		return nil
	}
	return parseLabels(path, data, classes, r)
}

// parseLabels reads lines of "class cx cy w h" or "class x1 y1 x2 y2 x3 y3 …"
// (an outline), in shares of the picture's sides. A line that is there twice counts once.
func parseLabels(path string, data []byte, classes map[string]int, r *Report) []rawBox {
	var out []rawBox
	seen := map[rawBox]int{}
	line := 0
	for text := range strings.Lines(string(bytes.TrimPrefix(data, []byte("\ufeff")))) {
		line++
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		b, err := parseLabel(fields, classes)
		if err != nil {
			r.problem(path, line, "%v", err)
			continue
		}
		key := b
		key.shape = nil // two outlines in one box: the same animal
		if first, twice := seen[key]; twice {
			r.warn(path, line, "the same label as in line %d; it counts once", first)
			continue
		}
		seen[key] = line
		b.line, b.what = line, "label"
		out = append(out, b)
	}
	return out
}

func parseLabel(fields []string, classes map[string]int) (rawBox, error) {
	n := len(fields)
	if n != 5 && (n < 7 || n%2 == 0) {
		return rawBox{}, fmt.Errorf("label has %d numbers, must have 5 (class, centre x, centre y, width, height) or an outline of at least 3 points", n)
	}
	id := fields[0]
	if f, err := strconv.ParseFloat(id, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1e9 {
		id = strconv.Itoa(int(f)) // "3.0" is class 3
	}
	class, ok := classes[id]
	if !ok {
		return rawBox{}, fmt.Errorf("class id %q is not in the names of the data.yaml (%d classes)", fields[0], len(classes))
	}
	v := make([]float64, n-1)
	for i, f := range fields[1:] {
		x, err := strconv.ParseFloat(f, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return rawBox{}, fmt.Errorf("%q is not a finite number", f)
		}
		v[i] = x
	}
	b := rawBox{class: class, normalised: true}
	if n == 5 {
		b.box = wildtrain.BoxCXCYWH(v[0], v[1], v[2], v[3])
	} else {
		b.shape = &outline{polygons: [][]float64{v}, normalised: true}
		b.box = wildtrain.Box{X1: v[0], Y1: v[1], X2: v[0], Y2: v[1]}
		for i := 0; i < len(v); i += 2 {
			b.box = wildtrain.Box{X1: min(b.box.X1, v[i]), Y1: min(b.box.Y1, v[i+1]), X2: max(b.box.X2, v[i]), Y2: max(b.box.Y2, v[i+1])}
		}
	}
	if b.box.X1 < -1 || b.box.Y1 < -1 || b.box.X2 > 2 || b.box.Y2 > 2 {
		return rawBox{}, fmt.Errorf("coordinates %v are far outside 0…1: they must be shares of the picture's sides", v)
	}
	return b, nil
}
