package checkpoint

import (
	"cmp"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// descriptionKey is the metadata entry under which this package's own files
// carry a wildtrain.Description as JSON.
const descriptionKey = "wildtrain"

// Describe puts a model's description into metadata for Export, where
// File.Description finds it again.
func Describe(d wildtrain.Description) (map[string]string, error) {
	text, err := json.Marshal(d)
	return map[string]string{descriptionKey: string(text)}, err
}

// Description tells what model the weights are of, where this package wrote
// the file with a description.
func (f *File) Description() (d wildtrain.Description, ok bool) {
	text, ok := f.metadata[descriptionKey]
	if !ok || json.Unmarshal([]byte(text), &d) != nil {
		return wildtrain.Description{}, false
	}
	if d.InputSize == [2]int{} { // the first files named it as Go does; the other names differ in case only
		var old struct{ InputSize [2]int }
		_ = json.Unmarshal([]byte(text), &old) // where it fails there is no size
		d.InputSize = old.InputSize
	}
	return d, true
}

// Classes returns the class names that the file holds, by index: those of its
// Description, or the "names" which Ultralytics keeps in its models. It is nil
// where there are none, or where an index is missing.
func (f *File) Classes() []string {
	if d, ok := f.Description(); ok {
		return d.Classes
	}
	for _, prefix := range []string{f.chosen + ".", ""} {
		var names []string
		for {
			name, ok := f.metadata[prefix+"names."+strconv.Itoa(len(names))]
			if !ok {
				break
			}
			names = append(names, name)
		}
		if names != nil {
			return names
		}
	}
	return nil
}

// ultralyticsName is how Ultralytics calls a model's description: the family, a
// size perhaps, a variant perhaps.
var ultralyticsName = regexp.MustCompile(`^(yolo(?:v\d+|\d+))([nsmlx]?)(-[a-z0-9]+)?\.ya?ml$`)

// Origin tells which architecture a whole model of Ultralytics is, such as
// "yolo11n", and the licence that the file states, "AGPL-3.0"; both are empty in
// other files.
func (f *File) Origin() (architecture, license string) {
	file := f.metadata[f.chosen+".yaml.yaml_file"]
	m := ultralyticsName.FindStringSubmatch(file[strings.LastIndexAny(file, `/\`)+1:])
	if m == nil {
		return "", ""
	}
	license, _, _ = strings.Cut(f.metadata["license"], " ")
	return m[1] + cmp.Or(f.metadata[f.chosen+".yaml.scale"], m[2]) + m[3], license
}
