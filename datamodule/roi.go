package datamodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/wildtrain/sdk/wildtrain"
)

// roiSource is one folder framework_formats/roi/<name> of WilData: crops with
// one class each. Every crop is a picture with a box around all of it.
type roiSource struct {
	dataset string
	folder  string
	fence   fence
}

func openROIs(root string, folders []string, links bool) ([]source, error) {
	if len(folders) == 0 {
		return nil, errors.New("no ROI export: framework_formats/roi/*/labels is not there")
	}
	f, err := newFence(root)
	if err != nil {
		return nil, err
	}
	f.links = links
	sortByDataset(folders)
	var all []source
	for _, labels := range folders {
		folder := filepath.Dir(labels)
		all = append(all, &roiSource{filepath.Base(folder), folder, f})
	}
	return all, nil
}

func (s *roiSource) name() string { return s.dataset }

func (s *roiSource) splits() []string {
	var out []string
	for _, file := range glob(s.folder, "labels", "*", "roi_labels.json") {
		out = append(out, filepath.Base(filepath.Dir(file)))
	}
	return out
}

// roiLabel is one crop of a roi_labels.json.
type roiLabel struct {
	ID       identifier `json:"roi_id"`
	Class    identifier `json:"class_id"`
	Name     string     `json:"class_name"`
	FileName string     `json:"file_name"`
}

// whole is the box around all of a picture, in shares of its sides.
var whole = wildtrain.Box{X2: 1, Y2: 1}

func (s *roiSource) load(split string, r *Report) *rawSplit {
	out := &rawSplit{}
	labels := filepath.Join(s.folder, "labels", split)
	index, ok := s.classes(filepath.Join(labels, "class_mapping.json"), out, r)
	if !ok {
		return out
	}
	file := filepath.Join(labels, "roi_labels.json")
	data, err := readLimited(file, maxAnnotationBytes)
	if err != nil {
		r.problem(file, 0, "%v", err)
		return out
	}
	s.read(file, split, data, index, out, r)
	return out
}

// read takes the list of crops.
func (s *roiSource) read(file, split string, data []byte, index map[identifier]int, out *rawSplit, r *Report) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	lines := lineCounter{data: data}
	dec := json.NewDecoder(bytes.NewReader(data))
	seen := map[string]int{}
	err := eachElement(dec, "the list of crops", &lines, func(l roiLabel, line int) {
		class, known := index[l.Class]
		path, err := s.fence.resolve(filepath.Join(s.folder, "images", split), l.FileName)
		switch {
		case err != nil:
			r.problem(file, line, "roi %s: %v", l.ID, err)
		case !known:
			r.problem(file, line, "roi %s: class_id %q is not in class_mapping.json", l.ID, l.Class)
		case l.Name != "" && l.Name != out.classes[class].name:
			r.problem(file, line, "roi %s: class_name %q, but class_mapping.json calls %s %q", l.ID, l.Name, l.Class, out.classes[class].name)
		case seen[path] > 0:
			r.problem(file, line, "roi %s: picture %q has a class already, in line %d", l.ID, l.FileName, seen[path])
		default:
			seen[path] = line
			out.images = append(out.images, rawImage{
				id: s.dataset + "/images/" + split + "/" + filepath.ToSlash(l.FileName), sourceID: string(l.ID), path: path, file: file, line: line, fence: &s.fence,
				boxes: []rawBox{{class: class, box: whole, normalised: true, line: line, what: "roi " + string(l.ID)}},
			})
		}
	})
	if err != nil {
		line := lines.line1(dec.InputOffset())
		if at := (*lineError)(nil); errors.As(err, &at) {
			line = at.line
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the file ends in the middle")
		}
		r.problem(file, line, "not valid ROI labels: %v", err)
	}
}

// classes reads the mapping of ids to names, in the order of the ids.
func (s *roiSource) classes(file string, out *rawSplit, r *Report) (index map[identifier]int, ok bool) {
	data, err := readLimited(file, maxLabelBytes)
	if err != nil {
		r.problem(file, 0, "%v", err)
		return nil, false
	}
	var names map[string]string
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &names); err != nil {
		r.problem(file, 0, "not a valid mapping of class ids to names: %v", err)
		return nil, false
	}
	for id, name := range names {
		if _, err := strconv.Atoi(id); err != nil || name == "" {
			r.problem(file, 0, "%q: %q must be a class id with a name", id, name)
			return nil, false
		}
		out.classes = append(out.classes, rawClass{id, name})
	}
	slices.SortFunc(out.classes, func(a, b rawClass) int { return atoi(a.id) - atoi(b.id) })
	index = map[identifier]int{}
	for i, c := range out.classes {
		index[identifier(c.id)] = i
	}
	return index, true
}

// folderSource is pictures in folders called as their classes: <class>/… or
// <split>/<class>/…
type folderSource struct {
	dataset string
	root    string
	fence   fence
	splitOf map[string]string // folder below the root by split; "" for the root itself
	names   []rawClass
}

// splitFolders are the names by which folders are known as splits.
var splitFolders = map[string]string{"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test"}

// openFolders reads an image folder. Where folders are called train, val
// (valid, validation) and test, these are the splits; else all below the root is train.
func openFolders(root string, c Config) (*folderSource, error) {
	f, err := newFence(root)
	if err != nil {
		return nil, err
	}
	f.links = c.AllowLinks
	s := &folderSource{dataset: filepath.Base(mustAbs(root)), root: root, fence: f, splitOf: map[string]string{}}
	for _, folder := range subfolders(root) {
		name := filepath.Base(folder)
		split, known := splitFolders[name]
		if !known && slices.Contains([]string{c.TrainSplit, c.ValSplit, c.TestSplit}, name) {
			split, known = name, true
		}
		if known {
			if first, twice := s.splitOf[split]; twice {
				return nil, fmt.Errorf("folders %s and %s both are the split %q", first, name, split)
			}
			s.splitOf[split] = name
		}
	}
	if len(s.splitOf) == 0 {
		s.splitOf["train"] = ""
	}
	seen := map[string]bool{}
	for _, sub := range s.splitOf {
		for _, folder := range subfolders(filepath.Join(root, sub)) {
			seen[filepath.Base(folder)] = true
		}
	}
	for _, name := range sortedKeys(seen) {
		s.names = append(s.names, rawClass{strconv.Itoa(len(s.names)), name})
	}
	if len(s.names) == 0 {
		return nil, errors.New("no folder of a class is there")
	}
	return s, nil
}

func (s *folderSource) name() string { return s.dataset }

func (s *folderSource) splits() []string { return sortedKeys(s.splitOf) }

func (s *folderSource) load(split string, r *Report) *rawSplit {
	out := &rawSplit{classes: s.names}
	sub, known := s.splitOf[split]
	if !known {
		return out
	}
	for class, c := range s.names {
		folder := filepath.Join(s.root, sub, c.name)
		if !isDir(folder) {
			continue // the class does not occur in this split
		}
		if _, err := s.fence.follow(folder); err != nil {
			r.problem(folder, 0, "%v", err)
			continue
		}
		pictures, err := listPictures(folder)
		if err != nil {
			r.problem(folder, 0, "%v", err)
			continue
		}
		for _, path := range pictures {
			rel, err := filepath.Rel(s.root, path)
			if err != nil {
				rel = path
			}
			out.images = append(out.images, rawImage{
				id: s.dataset + "/" + filepath.ToSlash(rel), path: path, file: path, fence: &s.fence,
				boxes: []rawBox{{class: class, box: whole, normalised: true, what: "class"}},
			})
		}
	}
	return out
}
