package detection

import (
	"embed"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/internal/yamlsafe"
)

//go:embed arch/*.yaml
var shipped embed.FS

// Row is one line of an architecture: a module, how often it is repeated, and
// the rows that it takes its input from.
type Row struct {
	From    []int // indices of rows; negative ones count back from this row
	Repeats int   // before scaling by depth
	Module  string
	Args    []string // as written; "nc" stands for the number of classes
	line    int
}

// Architecture is a parsed model description with one of its scales chosen.
type Architecture struct {
	Name         string
	File         string // for errors
	Depth, Width float64
	MaxChannels  float64
	RegMax       int64 // bins per box edge
	EndToEnd     bool  // the head has one-to-one branches too, whose answer needs no suppression
	Rows         []Row
}

// heads are the modules that an architecture can end in.
var heads = []string{"Detect", "Segment"}

// Masks reports whether objects are found with their masks.
func (a *Architecture) Masks() bool { return a.Rows[len(a.Rows)-1].Module == "Segment" }

// sizes are the scales that every family ships in.
const sizes = "nsmlx"

// families are the shipped descriptions: FAMILY.yaml and FAMILYVARIANT.yaml.
var families = []struct {
	name     string
	variants []string
}{
	{"yolov8", []string{"", "-p2", "-p6", "-seg"}},
	{"yolo11", []string{"", "-seg"}},
	{"yolo12", []string{""}},
	{"yolo26", []string{"", "-p2", "-p6"}},
}

// Architectures lists the names that LookupArchitecture knows.
func Architectures() []string {
	var out []string
	for _, f := range families {
		for _, variant := range f.variants {
			for _, size := range sizes {
				out = append(out, f.name+string(size)+variant)
			}
		}
	}
	return out
}

// LookupArchitecture finds a shipped architecture by name, such as "yolo11n" or
// "yolov8s-p2", or reads an architecture file (.yaml). A file yolov8s-p2.yaml is
// read with scale s; so is yolov8s-p2.yaml where only yolov8-p2.yaml exists.
func LookupArchitecture(name string) (*Architecture, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		return readArchitecture(name)
	}
	for _, f := range families {
		rest, ok := strings.CutPrefix(name, f.name)
		if !ok || rest == "" || !strings.Contains(sizes, rest[:1]) || !slices.Contains(f.variants, rest[1:]) {
			continue
		}
		file := f.name + rest[1:] + ".yaml"
		data, err := shipped.ReadFile("arch/" + file)
		if err != nil {
			return nil, fmt.Errorf("detection: read architecture %s: %w", name, err)
		}
		a, err := ParseArchitecture(file, data, rest[:1])
		if err != nil {
			return nil, err
		}
		a.Name = name
		return a, nil
	}
	return nil, fmt.Errorf("detection: unknown architecture %q: want one of %s, or a .yaml file", name, strings.Join(Architectures(), ", "))
}

// readArchitecture reads a file; the letter after the family's number is the scale.
func readArchitecture(path string) (*Architecture, error) {
	base := filepath.Base(path)
	scale := ""
	data, err := os.ReadFile(path)
	for i := 1; i < len(base); i++ {
		if strings.ContainsRune(sizes, rune(base[i])) && base[i-1] >= '0' && base[i-1] <= '9' {
			scale = base[i : i+1]
			if os.IsNotExist(err) {
				data, err = os.ReadFile(filepath.Join(filepath.Dir(path), base[:i]+base[i+1:]))
			}
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("detection: read architecture: %w", err)
	}
	return ParseArchitecture(path, data, scale)
}

// ParseArchitecture reads a model description: keys nc, scales (or
// depth_multiple and width_multiple), backbone, head, reg_max, end2end. An
// empty scale takes the first of scales.
func ParseArchitecture(file string, data []byte, scale string) (*Architecture, error) {
	doc, err := yamlsafe.Parse(file, data, yamlsafe.DefaultLimits())
	if err != nil {
		return nil, err
	}
	if doc == nil || doc.Kind != yamlsafe.Mapping {
		return nil, doc.Errorf(file, "an architecture is a mapping with backbone and head")
	}
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	a := &Architecture{Name: name, File: file, Depth: 1, Width: 1, MaxChannels: math.Inf(1), RegMax: 16}
	known := []string{"nc", "scales", "scale", "backbone", "head", "reg_max", "end2end", "depth_multiple", "width_multiple", "max_channels"}
	for _, p := range doc.Pairs {
		if !slices.Contains(known, p.Key.Value) {
			return nil, p.Key.Errorf(file, "unknown key %q: an architecture has %s", p.Key.Value, strings.Join(known, ", "))
		}
	}
	for key, dst := range map[string]*float64{"depth_multiple": &a.Depth, "width_multiple": &a.Width, "max_channels": &a.MaxChannels} {
		if n := doc.Get(key); n != nil {
			if *dst, err = number(file, n); err != nil {
				return nil, err
			}
		}
	}
	if n := doc.Get("reg_max"); n != nil {
		v, err := number(file, n)
		if err != nil || v < 1 || v > 64 || v != math.Trunc(v) {
			return nil, n.Errorf(file, "reg_max: want a whole number from 1 to 64")
		}
		a.RegMax = int64(v)
	}
	if n := doc.Get("end2end"); n != nil {
		if a.EndToEnd, err = strconv.ParseBool(n.Value); err != nil {
			return nil, n.Errorf(file, "end2end: %q is not true or false", n.Value)
		}
	}
	if err := a.scale(doc, scale); err != nil {
		return nil, err
	}
	for _, part := range []string{"backbone", "head"} {
		if err := a.rows(doc.Get(part), part); err != nil {
			return nil, err
		}
	}
	if n := len(a.Rows); n == 0 || !slices.Contains(heads, a.Rows[n-1].Module) {
		return nil, doc.Errorf(file, "the last row of head must be one of %s", strings.Join(heads, ", "))
	}
	if a.EndToEnd && a.Masks() {
		return nil, doc.Errorf(file, "end2end: a Segment head has no one-to-one branches")
	}
	return a, nil
}

// scale picks one of the scales [depth, width, most channels].
func (a *Architecture) scale(doc *yamlsafe.Node, want string) error {
	scales := doc.Get("scales")
	if scales == nil {
		return nil
	}
	var names []string
	for _, p := range scales.Pairs {
		names = append(names, p.Key.Value)
		if want != "" && p.Key.Value != want {
			continue
		}
		if len(p.Value.Items) != 3 {
			return p.Value.Errorf(a.File, "scale %s: want [depth, width, max_channels]", p.Key.Value)
		}
		for i, dst := range []*float64{&a.Depth, &a.Width, &a.MaxChannels} {
			v, err := number(a.File, p.Value.Items[i])
			if err != nil {
				return err
			}
			if v <= 0 {
				return p.Value.Items[i].Errorf(a.File, "scale %s: values are above 0", p.Key.Value)
			}
			*dst = v
		}
		return nil
	}
	return scales.Errorf(a.File, "no scale %q: this file has %s", want, strings.Join(names, ", "))
}

func (a *Architecture) rows(list *yamlsafe.Node, part string) error {
	if list == nil || list.Kind != yamlsafe.Sequence {
		return list.Errorf(a.File, "%s: want a list of rows [from, repeats, module, arguments]", part)
	}
	for _, n := range list.Items {
		if n.Kind != yamlsafe.Sequence || len(n.Items) != 4 {
			return n.Errorf(a.File, "%s: a row is [from, repeats, module, arguments]", part)
		}
		r := Row{Module: strings.TrimPrefix(n.Items[2].Value, "nn."), line: n.Line}
		from := n.Items[0].Items
		if n.Items[0].Kind == yamlsafe.Scalar {
			from = []*yamlsafe.Node{n.Items[0]}
		}
		for _, f := range from {
			v, err := strconv.Atoi(f.Value)
			if err != nil || v >= len(a.Rows) || v < -len(a.Rows)-1 || len(a.Rows) == 0 && v != -1 {
				return f.Errorf(a.File, "row %d: no earlier row %s", len(a.Rows), f.Value)
			}
			r.From = append(r.From, v)
		}
		repeats, err := strconv.Atoi(n.Items[1].Value)
		if err != nil || repeats < 1 || repeats > 1000 {
			return n.Items[1].Errorf(a.File, "row %d: repeats: want a number from 1", len(a.Rows))
		}
		r.Repeats = repeats
		for _, arg := range n.Items[3].Items {
			r.Args = append(r.Args, arg.Value)
		}
		a.Rows = append(a.Rows, r)
	}
	return nil
}

func number(file string, n *yamlsafe.Node) (float64, error) {
	v, err := strconv.ParseFloat(n.Value, 64)
	if err != nil || math.IsNaN(v) {
		return 0, n.Errorf(file, "%q is not a number", n.Value)
	}
	return v, nil
}

// errorf names the file and the line of a row.
func (a *Architecture) errorf(r Row, format string, args ...any) error {
	return fmt.Errorf("detection: %s:%d: %s: %s", a.File, r.line, r.Module, fmt.Sprintf(format, args...))
}

// modern reports whether the head's class branch has depthwise convolutions, as
// in YOLO11 and later; descriptions with only the older blocks mean the old head.
func (a *Architecture) modern() bool {
	return slices.ContainsFunc(a.Rows, func(r Row) bool { return r.Module == "C3k2" || r.Module == "C2PSA" })
}
