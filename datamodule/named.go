package datamodule

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// namedSource is a dataset whose files write the names of classes and have no
// list of them: VOC, Label Studio, CSV. All splits are read at once; the classes
// are the names that occur in any of them, sorted by their bytes.
type namedSource struct {
	dataset string
	fence   fence
	labels  bool     // pictures have classes, and no boxes
	order   []string // of splits
	parts   map[string]*namedSplit
}

type namedSplit struct {
	images  []rawImage // whose boxes' classes index the source's list
	report  Report
	byPath  map[string]int
	classes []rawClass
}

func newNamedSource(root string, links bool) (*namedSource, error) {
	f, err := newFence(root)
	if err != nil {
		return nil, err
	}
	f.links = links
	return &namedSource{dataset: filepath.Base(mustAbs(root)), fence: f, parts: map[string]*namedSplit{}}, nil
}

func (s *namedSource) name() string { return s.dataset }

func (s *namedSource) splits() []string { return s.order }

func (s *namedSource) load(split string, r *Report) *rawSplit {
	p := s.parts[split]
	if p == nil {
		return &rawSplit{}
	}
	r.Problems = append(r.Problems, p.report.Problems...)
	return &rawSplit{classes: p.classes, images: p.images}
}

// part returns a split, which it adds where it is new.
func (s *namedSource) part(split string) *namedSplit {
	p := s.parts[split]
	if p == nil {
		p = &namedSplit{byPath: map[string]int{}}
		s.parts[split] = p
		s.order = append(s.order, split)
	}
	return p
}

// picture returns the picture of a path, which it adds where it is new.
func (s *namedSource) picture(p *namedSplit, path, file string, line int) (im *rawImage, isNew bool) {
	i, known := p.byPath[path]
	if !known {
		i = len(p.images)
		p.byPath[path] = i
		p.images = append(p.images, rawImage{id: s.sampleID(path), path: path, file: file, line: line, fence: &s.fence})
	}
	return &p.images[i], !known
}

func (s *namedSource) sampleID(path string) string {
	rel, err := filepath.Rel(mustAbs(s.fence.root), mustAbs(path))
	if err != nil || !filepath.IsLocal(rel) {
		rel = filepath.Base(path)
	}
	return s.dataset + "/" + filepath.ToSlash(rel)
}

// nameIndex numbers class names as they come.
type nameIndex struct{ index map[string]int }

func (n *nameIndex) of(name string) int {
	i, ok := n.index[name]
	if !ok {
		if n.index == nil {
			n.index = map[string]int{}
		}
		i = len(n.index)
		n.index[name] = i
	}
	return i
}

// finish sorts the classes and gives every split their list.
func (s *namedSource) finish(n *nameIndex) {
	sorted := slices.Sorted(maps.Keys(n.index))
	place := make([]int, len(sorted))
	classes := make([]rawClass, len(sorted))
	for i, name := range sorted {
		place[n.index[name]] = i
		classes[i] = rawClass{strconv.Itoa(i), name}
	}
	for _, p := range s.parts {
		p.classes = classes
		for i := range p.images {
			for k := range p.images[i].boxes {
				p.images[i].boxes[k].class = place[p.images[i].boxes[k].class]
			}
		}
	}
}

// locate finds the picture that a file names, below the usual folders.
func (s *namedSource) locate(home, split, name string) (string, error) {
	images := filepath.Join(home, "images")
	path, _, err := s.fence.find([]string{home, filepath.Join(images, split), images, filepath.Join(home, split)}, name)
	return path, err
}

// stem is a file's name without folder and ending.
func stem(path string) string {
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}
