package datamodule

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// predictSplit is the only split of Images; it stands for the stage Test.
const predictSplit = "predict"

// Images is a data module over pictures without annotations, for prediction:
// each path is a file, a folder (with all below it) or a glob pattern. Set up
// and load the stage wildtrain.Test; Sample.ID is the picture's path. Of the
// configuration, what concerns annotations and training is not used. Flat
// batches (Rect) are padded to the stride only, and sort the pictures by aspect
// ratio; Records keeps the order of the paths.
func Images(c Config, paths ...string) (*Detection, error) {
	c.Root, c.TestSplit, c.RectPad = strings.Join(paths, ", "), predictSplit, 0
	c.Roots, c.Datasets, c.Classes, c.Keep, c.Discard, c.Rename, c.SingleClass = nil, nil, nil, nil, nil, nil, ""
	if err := c.Validate(); err != nil {
		return nil, err
	}
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	return newDetection(c, []source{pictureList(files)}, &classMap{}), nil
}

// ClassificationImages makes a module of pictures without labels, which are the
// test stage: paths as Images takes them, IDs likewise.
func ClassificationImages(c ClassificationConfig, paths ...string) (*Classification, error) {
	c.Root, c.Roots, c.Datasets, c.Classes, c.Keep, c.Discard, c.Rename, c.SingleClass = strings.Join(paths, ", "), nil, nil, nil, nil, nil, nil, ""
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := Images(c.detection(), paths...)
	if err != nil {
		return nil, err
	}
	return &Classification{config: c, data: d, plain: true, ready: map[wildtrain.Stage][]Example{}}, nil
}

// expand lists the pictures that paths name, each once.
func expand(paths []string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, p := range paths {
		found, err := expandOne(p)
		if err != nil {
			return nil, fmt.Errorf("datamodule: find pictures in %q: %w", p, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("datamodule: no picture in %q: %w", p, wildtrain.ErrEmpty)
		}
		for _, f := range found {
			if !seen[f] {
				seen[f] = true
				out = append(out, f)
			}
		}
	}
	return out, nil
}

func expandOne(path string) ([]string, error) {
	switch {
	case isDir(path):
		return listPictures(path)
	case isFile(path):
		return []string{path}, nil
	case !strings.ContainsAny(path, "*?["):
		return nil, fmt.Errorf("is neither there nor a pattern")
	}
	found, err := filepath.Glob(path)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(f string) bool { return !imageio.IsPicture(f) || !isFile(f) }), nil
}

// pictureList is a source of pictures without annotations.
type pictureList []string

func (l pictureList) name() string { return "images" }

func (l pictureList) splits() []string { return []string{predictSplit} }

func (l pictureList) load(string, *Report) *rawSplit {
	out := &rawSplit{}
	for _, path := range l {
		out.images = append(out.images, rawImage{id: filepath.ToSlash(path), path: path, file: path, fence: &anywhere})
	}
	return out
}

// anywhere fences nothing: the caller named these files.
var anywhere = fence{root: string(filepath.Separator), real: string(filepath.Separator), dirs: &folders{}}
