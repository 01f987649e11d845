package classification

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/wildtrain"
)

// options are the parts of a Config that travel in wildtrain.Description.Options.
type options struct {
	Input       checkpoint.Preprocessing `json:"input"`
	Head        Head                     `json:"head,omitzero"`
	MultiLabel  bool                     `json:"multi_label,omitempty"`
	Parents     map[string]string        `json:"parents,omitempty"`
	Background  string                   `json:"background,omitempty"`
	Temperature float64                  `json:"temperature"`
}

func (c Config) options() json.RawMessage {
	b, err := json.Marshal(options{c.Input, c.Head, c.MultiLabel, c.Parents, c.Background, c.Temperature})
	if err != nil {
		return nil // a number that JSON lacks, which Validate refuses
	}
	return b
}

// FromFile returns the settings for the weights in f, which New then builds and
// loads: what f says of its model (files of this SDK and the Python WildTrain's
// Lightning checkpoints say all), completed by the defaults. An architecture and
// classes that are given count before the file's; the architecture must be given
// where the file does not say it, as torchvision's and timm's do not. f must stay
// open until New has returned.
func FromFile(f *checkpoint.File, architecture string, classes []string) (Config, error) {
	fail := func(err error) (Config, error) {
		return Config{}, fmt.Errorf("classification: open %s: %w", f.Path(), err)
	}
	if _, ok := f.Metadata()["hyper_parameters.backbone"]; ok {
		c, err := fromLightning(f)
		if err != nil {
			return fail(err)
		}
		c.override(architecture, classes)
		return c, nil
	}
	d, known := f.Description()
	if known && d.Task != "classification" {
		return fail(fmt.Errorf("the file holds weights for %s (%s), not a classifier", d.Task, d.Architecture))
	}
	if architecture == "" {
		architecture = d.Architecture
	}
	if architecture == "" {
		return fail(fmt.Errorf("the file does not say what model it is: name the architecture"))
	}
	c := DefaultConfig(architecture, d.Classes)
	c.Weights, c.WeightClasses, c.License = f, d.Classes, d.License
	if len(d.Options) > 0 {
		o := options{Input: c.Input}
		if err := json.Unmarshal(d.Options, &o); err != nil {
			return fail(fmt.Errorf("read its options: %w", err))
		}
		c.Input, c.Head, c.MultiLabel, c.Parents, c.Background, c.Temperature = o.Input, o.Head, o.MultiLabel, o.Parents, o.Background, o.Temperature
	}
	if !known {
		c.Classes = countedClasses(f, architecture)
	}
	c.override(architecture, classes)
	return c, nil
}

// override replaces architecture and classes by those given. What belongs to the
// old classes goes with them.
func (c *Config) override(architecture string, classes []string) {
	if architecture != "" {
		c.Architecture = architecture
	}
	if len(classes) > 0 && !slices.Equal(classes, c.Classes) {
		c.Classes, c.Parents, c.Background, c.Temperature = classes, nil, "", 1
	}
}

// countedClasses names as many classes as the head in a foreign file has.
func countedClasses(f *checkpoint.File, architecture string) []string {
	spec, err := backbone.Lookup(architecture)
	if err != nil {
		return nil
	}
	info, ok := unwrap(f).Info(spec.Head + ".bias")
	if !ok || len(info.Shape) != 1 || info.Shape[0] > 1<<20 {
		return nil
	}
	names := make([]string, info.Shape[0])
	for i := range names {
		names[i] = "class" + strconv.Itoa(i)
	}
	return names
}

// fromLightning reads a checkpoint of the Python WildTrain: a timm backbone under
// model.feature_extractor, an MLP under model.fc, and the settings as
// hyper_parameters. It normalised twice, by the data set's statistics and then by
// the backbone's; here both are one step.
func fromLightning(f *checkpoint.File) (Config, error) {
	meta := f.Metadata()
	number := func(key string, missing float64) float64 {
		if v, err := strconv.ParseFloat(meta["hyper_parameters."+key], 64); err == nil {
			return v
		}
		return missing
	}
	name := meta["hyper_parameters.backbone"]
	if !strings.Contains(name, "/") {
		name = "timm/" + name
	}
	var classes []string
	for {
		class, ok := meta["hyper_parameters.label_to_class_map."+strconv.Itoa(len(classes))]
		if !ok {
			break
		}
		classes = append(classes, class)
	}
	if len(classes) == 0 {
		return Config{}, fmt.Errorf("hyper_parameters.label_to_class_map is missing, or does not begin at 0")
	}
	c := DefaultConfig(name, classes)
	size := number("input_size", float64(c.Input.Height))
	if size < 1 || size > 1<<14 {
		return Config{}, fmt.Errorf("hyper_parameters.input_size is %g", size)
	}
	c.Input.Height, c.Input.Width, c.Input.Sampling = int(size), int(size), "bicubic"
	c.Head = Head{Hidden: int(number("hidden_dim", 128)), Layers: int(number("num_layers", 2)), Dropout: number("dropout", 0.2)}
	if err := c.joinStatistics(f); err != nil {
		return Config{}, err
	}
	c.Weights, c.WeightClasses = lightningNames(f), classes
	return c, nil
}

// joinStatistics makes ((x−m1)/s1−m2)/s2 one step: mean m1+m2·s1, deviation s1·s2.
func (c *Config) joinStatistics(f *checkpoint.File) error {
	var v [4][]float32
	for i, name := range []string{"model.mean", "model.std", "model.backbone_trfs.mean", "model.backbone_trfs.std"} {
		if _, ok := f.Info(name); !ok && i >= 2 { // older ones kept the second step out of the file
			for _, x := range [][]float64{c.Input.Mean, c.Input.Std}[i-2] {
				v[i] = append(v[i], float32(x))
			}
			continue
		}
		var err error
		if v[i], err = f.Float32(name); err != nil {
			return err
		}
		if len(v[i]) != 3 {
			return fmt.Errorf("%s has %d values, want 3", name, len(v[i]))
		}
	}
	mean, std := make([]float64, 3), make([]float64, 3)
	for i := range mean {
		mean[i] = float64(v[0][i]) + float64(v[2][i])*float64(v[1][i])
		std[i] = float64(v[1][i]) * float64(v[3][i])
	}
	c.Input.Mean, c.Input.Std = mean, std
	return nil
}

var lightningHead = regexp.MustCompile(`^model\.fc\.(?:fc\.)?(\d+)(?:\.0)?\.(weight|bias)$`)

// lightningNames views the checkpoint under this package's names.
func lightningNames(f *checkpoint.File) wildtrain.State {
	to := map[string]string{}
	var places []int // of linear layers in the head, which counts activations too
	for _, name := range f.Names() {
		if inner, ok := strings.CutPrefix(name, "model.feature_extractor."); ok {
			to[inner] = name
		} else if m := lightningHead.FindStringSubmatch(name); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil && !slices.Contains(places, n) {
				places = append(places, n)
			}
		}
	}
	slices.Sort(places)
	for _, name := range f.Names() {
		if m := lightningHead.FindStringSubmatch(name); m != nil {
			n, _ := strconv.Atoi(m[1]) // was understood above
			to[fmt.Sprintf("mlp.%d.%s", slices.Index(places, n), m[2])] = name
		}
	}
	return renamed{f, to}
}

// renamed is a State under other names; those that have none are left out.
type renamed struct {
	wildtrain.State
	to map[string]string // new name → old name
}

// Names implements wildtrain.State.
func (r renamed) Names() []string { return slices.Sorted(maps.Keys(r.to)) }

// Info implements wildtrain.State.
func (r renamed) Info(name string) (wildtrain.Info, bool) {
	old, ok := r.to[name]
	if !ok {
		return wildtrain.Info{}, false
	}
	return r.State.Info(old)
}

// Read implements wildtrain.State.
func (r renamed) Read(name string, dst []byte) error { return r.State.Read(r.to[name], dst) }

// unwrap takes off what wrappers of PyTorch put before every name.
func unwrap(s wildtrain.State) wildtrain.State {
	if s == nil {
		return nil
	}
	for _, prefix := range []string{"_orig_mod.", "module.", "model.", "net."} {
		if names := s.Names(); len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) }) {
			s = checkpoint.Trim(s, prefix)
		}
	}
	return s
}

// embeddedSize is the input size for which a ViT is built: the one that the
// position embeddings in source are of, else the pictures' own.
func embeddedSize(spec backbone.Spec, source wildtrain.State, size int) int {
	if spec.Family != "vit" {
		return spec.InputSize
	}
	if source != nil {
		for _, name := range []string{"pos_embed", "encoder.pos_embedding"} {
			info, ok := source.Info(name)
			if !ok || len(info.Shape) != 3 {
				continue
			}
			for _, tokens := range []int64{info.Shape[1], info.Shape[1] - 1} { // with and without a class token
				if side := int64(math.Round(math.Sqrt(float64(tokens)))); side > 0 && side*side == tokens {
					return int(side) * spec.Patch
				}
			}
		}
	}
	return max(size/spec.Patch, 1) * spec.Patch
}
