package datamodule

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// source is one dataset: it knows its splits and reads them.
type source interface {
	name() string
	splits() []string
	load(split string, r *Report) *rawSplit
}

// rawSplit is what one annotation file (or folder of label files) says, before
// classes of several datasets are merged.
type rawSplit struct {
	classes []rawClass
	images  []rawImage
}

type rawClass struct {
	id   string // as in the file
	name string
}

type rawImage struct {
	id            string // Sample.ID
	sourceID      string
	path          string
	width, height int // as the annotations say; 0: they don't
	file          string
	line          int
	boxes         []rawBox
	labels        string // YOLO: the file that holds the boxes, "" for COCO
	fence         *fence
	seen          stamp // of the picture's file, where it was looked at; its size is 0 else
}

type rawBox struct {
	class      int // index into rawSplit.classes
	box        wildtrain.Box
	area       float64
	crowd      bool
	difficult  bool
	line       int
	what       string // how messages call it
	normalised bool   // box is in shares of the picture's sides
	shape      *outline
}

// openSources finds the datasets under every root.
func openSources(c Config) ([]source, error) {
	roots := slices.Clone(c.Roots)
	if c.Root != "" {
		roots = append([]string{c.Root}, roots...)
	}
	var all []source
	for _, root := range roots {
		found, err := openRoot(root, c)
		if err != nil {
			return nil, fmt.Errorf("datamodule: open %s: %w", root, err)
		}
		all = append(all, found...)
	}
	if len(c.Datasets) == 0 {
		return all, nil
	}
	var chosen []source
	for _, name := range c.Datasets {
		i := slices.IndexFunc(all, func(s source) bool { return s.name() == name })
		if i < 0 {
			return nil, fmt.Errorf("datamodule: no dataset %q under %s; there are %q", name, strings.Join(roots, ", "), sourceNames(all))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func sourceNames(all []source) []string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.name()
	}
	return names
}

// openRoot tells the layout and opens every dataset in it.
func openRoot(root string, c Config) ([]source, error) {
	kind := c.Source
	if strings.HasPrefix(root, "s3://") {
		return nil, errors.New("a root must be a folder: bring it here first with Mirror (wildtrain data fetch from=s3://… out=FOLDER)")
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return openFile(root, c)
	}
	masters := glob(root, "datasets", "*", "annotations")
	exports := glob(root, "framework_formats", "yolo", "*", "data.yaml")
	rois := glob(root, "framework_formats", "roi", "*", "labels")
	if kind == Auto {
		switch {
		case c.labels && len(rois) > 0:
			kind = ROI
		case len(masters) > 0:
			kind = WilData
		case len(exports) > 0:
			kind = WilDataYOLO
		case isFile(filepath.Join(root, "data.yaml")):
			kind = YOLO
		case len(glob(root, "annotations", "*.json")) > 0:
			kind = COCO
		case holdsVOC(root):
			kind = VOC
		case len(taskFiles(root)) > 0:
			kind = LabelStudio
		case len(tableFiles(root)) > 0:
			kind = CSV
		case c.labels && holdsClasses(root):
			kind = Folder
		default:
			return nil, fmt.Errorf("no known layout: neither datasets/*/annotations (WilData), framework_formats/yolo/*/data.yaml, data.yaml (YOLO), annotations/*.json (COCO), Annotations/*.xml (VOC), *.json with a list of tasks (Label Studio) nor *.csv is there")
		}
	}
	switch kind {
	case WilData:
		return openMasters(root, masters, c)
	case WilDataYOLO:
		return openExports(root, exports, c.AllowLinks)
	case YOLO:
		return one(openYOLO(filepath.Join(root, "data.yaml"), c.AllowLinks))
	case VOC:
		return one(openVOC(root, c.AllowLinks))
	case LabelStudio:
		return one(openLabelStudio(root, taskFiles(root), c.AllowLinks))
	case CSV:
		return one(openTables(root, tableFiles(root), c))
	case ROI:
		return openROIs(root, rois, c.AllowLinks)
	case Folder:
		return one(openFolders(root, c))
	default:
		s, err := openCOCO(root, filepath.Base(mustAbs(root)), filepath.Join(root, "annotations"), []string{filepath.Dir(mustAbs(root))}, c)
		return []source{s}, err
	}
}

// openFile opens a root that is a file: a data.yaml, a table or an export.
func openFile(path string, c Config) ([]source, error) {
	kind := c.Source
	is := func(wanted Source, endings ...string) bool {
		return slices.Contains(endings, strings.ToLower(filepath.Ext(path))) && (kind == Auto || kind == wanted)
	}
	switch {
	case is(YOLO, ".yaml", ".yml"), is(WilDataYOLO, ".yaml", ".yml"):
		return one(openYOLO(path, c.AllowLinks))
	case is(CSV, ".csv"):
		return one(openTables(filepath.Dir(path), []string{path}, c))
	case is(LabelStudio, ".json"):
		return one(openLabelStudio(filepath.Dir(path), []string{path}, c.AllowLinks))
	}
	return nil, fmt.Errorf("a root that is a file must be a YOLO data.yaml, a table (.csv) or a Label Studio export (.json)")
}

// holdsClasses tells whether pictures lie in folders below a root.
func holdsClasses(root string) bool {
	return slices.ContainsFunc(subfolders(root), func(folder string) bool {
		pictures, err := listPictures(folder)
		return err == nil && len(pictures) > 0
	})
}

// subfolders lists the folders in a folder, by name; hidden ones are left out.
func subfolders(root string) []string {
	return slices.DeleteFunc(glob(root, "[^.]*"), func(path string) bool { return !isDir(path) })
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// one makes a list of what opening one dataset returned.
func one[S source](s S, err error) ([]source, error) {
	if err != nil {
		return nil, err
	}
	return []source{s}, nil
}

func openMasters(root string, folders []string, c Config) ([]source, error) {
	if len(folders) == 0 {
		return nil, fmt.Errorf("no WilData dataset: datasets/*/annotations is not there")
	}
	var all []source
	sortByDataset(folders)
	for _, annotations := range folders {
		name := filepath.Base(filepath.Dir(annotations))
		s, err := openCOCO(root, name, annotations, []string{filepath.Join(root, "datasets")}, c)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func openExports(root string, files []string, links bool) ([]source, error) {
	if len(files) == 0 {
		return nil, fmt.Errorf("no YOLO export: framework_formats/yolo/*/data.yaml is not there")
	}
	var all []source
	sortByDataset(files)
	for _, f := range files {
		s, err := openYOLO(f, links)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// sortByDataset orders paths <dataset>/<file> by the dataset's name.
func sortByDataset(paths []string) {
	slices.SortFunc(paths, func(a, b string) int {
		return strings.Compare(filepath.Base(filepath.Dir(a)), filepath.Base(filepath.Dir(b)))
	})
}

// glob lists what a pattern finds under a root whose own name is taken as it is.
func glob(root string, pattern ...string) []string {
	found, err := filepath.Glob(filepath.Join(append([]string{escape(root)}, pattern...)...))
	if err != nil {
		return nil // the only error is a bad pattern, and these are constants
	}
	sort.Strings(found)
	return found
}

var globSpecial = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`)

func escape(path string) string { return globSpecial.Replace(path) }
