package augment

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/internal/resample"
)

// Named is a transform as configurations write it: a name of torchvision's
// transforms.v2, or one of this package's, and its parameters.
type Named struct {
	Name   string         `yaml:"name"`
	Params map[string]any `yaml:"params"`
}

// Parse makes a chain of a list of named transforms. Names are those of
// torchvision, in any case and with or without "Random" and "_"; parameters have
// torchvision's names, defaults and meanings, and every transform takes p, its
// probability. What only turns pictures into tensors (ToTensor, ToImage, …) does
// nothing here. Normalize is refused: models normalise, once. Unknown names and
// parameters are errors; all of them are returned together.
func Parse(list []Named) (Chain, error) {
	var out Chain
	var errs []error
	for i, n := range list {
		t, err := n.parse()
		if err != nil {
			errs = append(errs, fmt.Errorf("augment: transform %d: %w", i+1, err))
		} else if t != nil {
			out = append(out, t)
		}
	}
	return out, errors.Join(errs...)
}

// Names lists the transforms that Parse knows, in order.
func Names() []string {
	var out []string
	for _, m := range makers {
		out = append(out, m.name)
	}
	slices.Sort(out)
	return out
}

// maker makes a transform of its parameters. p is the probability where none is given.
type maker struct {
	name string
	p    float64
	make func(*params) Transform
}

// makers are the families of transforms, one file each.
var makers = slices.Concat(resizes, flips, warps, colours, histograms, blurs, noises, erasers, automatics)

// conversions do nothing to bytes.
var conversions = []string{"totensor", "toimage", "topilimage", "piltotensor", "todtype", "convertimagedtype", "identity", "topuretensor"}

func plain(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
}

func (n Named) parse() (Transform, error) {
	name := plain(n.Name)
	switch {
	case name == "":
		return nil, errors.New("name is empty")
	case slices.Contains(conversions, name):
		return nil, nil
	case name == "normalize":
		//lint:ignore ST1005 it begins with the transform's name
		return nil, errors.New("Normalize is not for the data: models normalise their input themselves; leave it out")
	}
	i := slices.IndexFunc(makers, func(m maker) bool { return plain(m.name) == name })
	if i < 0 {
		i = slices.IndexFunc(makers, func(m maker) bool {
			return strings.TrimPrefix(plain(m.name), "random") == strings.TrimPrefix(name, "random")
		})
	}
	if i < 0 {
		return nil, fmt.Errorf("%q is unknown; there are %s", n.Name, strings.Join(Names(), ", "))
	}
	p := &params{given: n.Params, known: map[string]bool{}}
	chance := p.share("p", makers[i].p)
	t := makers[i].make(p)
	if err := p.done(makers[i].name); err != nil {
		return nil, err
	}
	if chance == 1 {
		return t, nil
	}
	return maybe{chance, t}, nil
}

// params reads the parameters of one transform and keeps what is wrong.
type params struct {
	given map[string]any
	known map[string]bool
	errs  []error
}

func (p *params) fail(key, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(key+" "+format, args...))
}

// done reports what was wrong, unknown parameters included.
func (p *params) done(name string) error {
	for _, key := range slices.Sorted(maps.Keys(p.given)) {
		if !p.known[key] {
			p.fail(key, "is unknown; there are %q", slices.Sorted(maps.Keys(p.known)))
		}
	}
	if len(p.errs) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", name, errors.Join(p.errs...))
}

func (p *params) get(key string) (any, bool) {
	p.known[key] = true
	v, ok := p.given[key]
	return v, ok && v != nil
}

// number is one finite number between low and high.
func (p *params) number(key string, usual, low, high float64) float64 {
	v, ok := p.get(key)
	if !ok {
		return usual
	}
	f, ok := asNumber(v)
	if !ok {
		p.fail(key, "is %v, must be a number", v)
		return usual
	}
	return p.within(key, f, low, high)
}

func (p *params) within(key string, v, low, high float64) float64 {
	if !(v >= low && v <= high) {
		p.fail(key, "is %v, must be between %v and %v", v, low, high)
	}
	return v
}

func (p *params) share(key string, usual float64) float64 { return p.number(key, usual, 0, 1) }

func (p *params) whole(key string, usual, low, high int) int {
	f := p.number(key, float64(usual), float64(low), float64(high))
	if f != float64(int(f)) {
		p.fail(key, "is %v, must be a whole number", f)
	}
	return int(f)
}

func (p *params) text(key, usual string) string {
	v, ok := p.get(key)
	if !ok {
		return usual
	}
	s, ok := v.(string)
	if !ok {
		p.fail(key, "is %v, must be text", v)
	}
	return strings.ToLower(s)
}

func (p *params) flag(key string, usual bool) bool {
	v, ok := p.get(key)
	if !ok {
		return usual
	}
	b, ok := v.(bool)
	if !ok {
		p.fail(key, "is %v, must be true or false", v)
	}
	return b
}

// list is one number or several.
func (p *params) list(key string, usual ...float64) []float64 {
	v, ok := p.get(key)
	if !ok {
		return usual
	}
	if f, ok := asNumber(v); ok {
		return []float64{f}
	}
	items, ok := v.([]any)
	if !ok {
		p.fail(key, "is %v, must be a number or a list of numbers", v)
		return usual
	}
	var out []float64
	for _, item := range items {
		f, ok := asNumber(item)
		if !ok {
			p.fail(key, "holds %v, must be numbers", item)
		}
		out = append(out, f)
	}
	return out
}

// span is a range. One number stands for what single makes of it.
func (p *params) span(key string, usual [2]float64, low, high float64, single func(float64) [2]float64) [2]float64 {
	out := usual
	switch l := p.list(key, usual[:]...); len(l) {
	case 1:
		out = single(l[0])
	case 2:
		out = [2]float64{l[0], l[1]}
	default:
		p.fail(key, "has %d numbers, must have one or two", len(l))
	}
	if !(out[0] >= low && out[1] <= high && out[0] <= out[1]) {
		p.fail(key, "is %v, must rise and lie between %v and %v", out, low, high)
		return usual
	}
	return out
}

// around makes ± of a number.
func around(v float64) [2]float64 { return [2]float64{-v, v} }

// factors makes 1 ± a number of it, not below zero.
func factors(v float64) [2]float64 { return [2]float64{max(1-v, 0), 1 + v} }

// exactly makes a range of one value.
func exactly(v float64) [2]float64 { return [2]float64{v, v} }

// size is height and width; one number is either side of a square or, as second
// result tells, left open.
func (p *params) size(key string) (height, width int, single bool) {
	l := p.list(key)
	if len(l) == 1 {
		l, single = []float64{l[0], l[0]}, true
	}
	if len(l) != 2 {
		p.fail(key, "must be a side or [height, width]")
		return 1, 1, single
	}
	for _, v := range l {
		if v != float64(int(v)) || v < 1 || v > 1<<15 {
			p.fail(key, "is %v, must be whole numbers between 1 and %d", l, 1<<15)
			return 1, 1, single
		}
	}
	return int(l[0]), int(l[1]), single
}

// interpolation reads Pillow's names; integers are Pillow's numbers of them.
func (p *params) interpolation(usual resample.Filter) resample.Filter {
	numbered := map[float64]string{0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
	v, ok := p.get("interpolation")
	if !ok {
		return usual
	}
	name, _ := v.(string)
	if f, ok := asNumber(v); ok {
		name = numbered[f]
	}
	name = strings.ToLower(name)
	if i := strings.LastIndexByte(name, '.'); i >= 0 { // InterpolationMode.BILINEAR
		name = name[i+1:]
	}
	f, err := resample.ParseFilter(name)
	if err != nil {
		p.fail("interpolation", "is %v: %v", v, err)
	}
	return f
}

// warping is the interpolation of warps.
func (p *params) warping() resample.Filter {
	f := p.interpolation(resample.Nearest)
	if f != resample.Nearest && f != resample.Bilinear {
		p.fail("interpolation", "is %v, must be nearest or bilinear", f)
	}
	return f
}

// grey is a level for what no picture covers.
func (p *params) grey(usual int) byte { return byte(p.whole("fill", usual, 0, 255)) }

func asNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
