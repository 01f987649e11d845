package weights

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Where official weights lie.
const (
	torchvisionAddress = "https://download.pytorch.org/models/"
	timmAddress        = "https://huggingface.co/timm/"
	ultralyticsAddress = "https://github.com/ultralytics/assets/releases/download/v8.3.0/"
)

// Source is one published file of weights.
type Source struct {
	Architecture string // "resnet18"
	Tag          string // "IMAGENET1K_V1", "lvd142m"; "" where there is one only
	Address      string
	File         string // its name in a weights folder
	SHA256       string // in hexadecimal, or the first digits of it; "" where the publisher gives it with the file
	License      string // SPDX identifier
}

// ultralyticsFiles are the COCO detectors of the release that ultralyticsAddress
// names.
var ultralyticsFiles = []struct{ name, sha256 string }{
	{"yolo11n", "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1"},
	{"yolo11s", "85a76fe86dd8afe384648546b56a7a78580c7cb7b404fc595f97969322d502d5"},
	{"yolo11m", "d5ffc1a674953a08e11a8d21e022781b1b23a19b730afc309290bd9fb5305b95"},
	{"yolo11l", "9ebd0e09d59811db4b1d61e2bc6730649608b1ac47f8dd01e2da6bca7c20023f"},
	{"yolo11x", "7bc158aa95c0ebfdd87f70f01653c1131b93e92522dbe15c228bcd742e773a24"},
	{"yolov8n", "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36"},
}

const (
	apache = "Apache-2.0"
	bsd    = "BSD-3-Clause"
	mit    = "MIT"
	agpl   = "AGPL-3.0"
)

// table is all sources, an architecture's default before its others.
var table = sync.OnceValue(func() []Source {
	var all []Source
	for _, f := range torchvisionFiles {
		s := Source{Architecture: f.architecture, Tag: f.tag, Address: torchvisionAddress + f.file, File: f.file, SHA256: digestIn(f.file), License: bsd}
		if strings.Contains(f.tag, "SWAG") {
			s.License = "CC-BY-NC-4.0"
		}
		all = append(all, s)
	}
	for _, f := range timmFiles {
		name, tag, _ := strings.Cut(f.name, ".")
		all = append(all, Source{Architecture: "timm/" + name, Tag: tag, Address: timmAddress + f.name + "/resolve/main/model.safetensors", File: f.name + ".safetensors", License: f.license})
	}
	for _, f := range ultralyticsFiles {
		all = append(all, Source{Architecture: f.name, Address: ultralyticsAddress + f.name + ".pt", File: f.name + ".pt", SHA256: f.sha256, License: agpl})
	}
	return all
})

// Sources lists the official weights of an architecture, the default first. A
// library before the name ("timm/resnet50") or a tag behind it
// ("vit_small_patch14_dinov2.lvd142m") selects; without a library torchvision
// comes before timm.
func Sources(architecture string) []Source {
	name, tag, _ := strings.Cut(strings.TrimPrefix(architecture, "torchvision/"), ".")
	_, onlyTorchvision := strings.CutPrefix(architecture, "torchvision/")
	var found []Source
	for _, s := range table() {
		bare, isTimm := strings.CutPrefix(s.Architecture, "timm/")
		if s.Architecture != name && (bare != name || isTimm && onlyTorchvision) || tag != "" && !strings.EqualFold(tag, s.Tag) {
			continue
		}
		found = append(found, s)
	}
	slices.SortStableFunc(found, func(a, b Source) int {
		return cmp.Compare(strings.Count(a.Architecture, "/"), strings.Count(b.Architecture, "/"))
	})
	return found
}

// ofAddress describes a file of which only the address is known: the table's
// entry where it stands there.
func ofAddress(address string) Source {
	bare, want, _ := strings.Cut(address, "#sha256=")
	for _, s := range table() {
		if s.Address == bare {
			return s
		}
	}
	s := Source{Address: bare, File: path.Base(strings.SplitN(bare, "?", 2)[0]), SHA256: strings.ToLower(want)}
	if s.SHA256 == "" {
		s.SHA256 = digestIn(s.File)
	}
	if strings.Contains(bare, "/ultralytics/") || strings.Contains(bare, "/Ultralytics/") {
		s.License = agpl // of all that is published there
	}
	return s
}

var digest = regexp.MustCompile(`-([0-9a-f]{8,64})\.[a-z]+$`)

// digestIn is the beginning of the SHA-256 that PyTorch's file names end in.
func digestIn(file string) string {
	if m := digest.FindStringSubmatch(file); m != nil {
		return m[1]
	}
	return ""
}
