package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// ErrMismatch is what errors.Is finds in a MismatchError.
var ErrMismatch = errors.New("checkpoint: names or shapes of tensors do not match")

// MismatchError lists all the differences between a stored set of tensors and
// the one that is to be filled.
type MismatchError struct {
	Source     string       // the file
	Missing    []string     // wanted, but not stored
	Unexpected []string     // stored, but not wanted
	Shapes     []Difference // of different shape or type
}

// Difference is one tensor that is stored otherwise than wanted.
type Difference struct {
	Name           string
	Wanted, Stored wildtrain.Info
}

// Error implements error. Long lists are shortened; the fields hold all names.
func (e *MismatchError) Error() string {
	var parts []string
	add := func(what string, names []string) {
		if n := len(names); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s (%s)", n, what, shorten(names)))
		}
	}
	add("missing", e.Missing)
	add("unexpected", e.Unexpected)
	var shapes []string
	for _, d := range e.Shapes {
		shapes = append(shapes, fmt.Sprintf("%s: %s %v stored, %s %v wanted", d.Name, d.Stored.DType, d.Stored.Shape, d.Wanted.DType, d.Wanted.Shape))
	}
	add("of another shape or type", shapes)
	return fmt.Sprintf("%s does not fit: %s", e.Source, strings.Join(parts, "; "))
}

// Is makes errors.Is(err, ErrMismatch) true.
func (e *MismatchError) Is(target error) bool { return target == ErrMismatch }

func (e *MismatchError) empty() bool {
	return len(e.Missing)+len(e.Unexpected)+len(e.Shapes) == 0
}

func shorten(names []string) string {
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// FillOptions say how Fill treats differences.
type FillOptions struct {
	// Partial fills what fits and leaves the rest of dst alone: transfer
	// learning to another number of classes, say.
	Partial bool
	// Exact refuses to convert between floating-point types.
	Exact bool
}

// Fill copies the tensors of src into dst, converting between floating-point
// types. Everything is compared before anything is written: names that are
// missing or unexpected and tensors of another shape come back together in a
// MismatchError, with dst untouched. With Partial what fits is copied, and the
// differences are returned as the first result, nil where there are none.
func Fill(dst, src wildtrain.State, o FillOptions) (*MismatchError, error) {
	diff, common := compare(dst, src, o.Exact)
	if diff != nil && !o.Partial {
		return diff, fmt.Errorf("checkpoint: load weights: %w", diff)
	}
	if diff != nil && len(common) == 0 {
		return diff, fmt.Errorf("checkpoint: load weights: nothing fits: %w", diff)
	}
	var in, out []byte
	for _, name := range common {
		from, _ := src.Info(name)
		to, _ := dst.Info(name)
		in = grown(in, from.Bytes())
		if err := src.Read(name, in); err != nil {
			return diff, fmt.Errorf("checkpoint: load weights: %w", err)
		}
		data := in
		if from.DType != to.DType {
			out = grown(out, to.Bytes())
			convert(out, to.DType, in, from.DType)
			data = out
		}
		if err := dst.Write(name, data); err != nil {
			return diff, fmt.Errorf("checkpoint: load weights: tensor %q: %w", name, err)
		}
	}
	return diff, nil
}

func grown(b []byte, n int64) []byte { return slices.Grow(b[:0], int(n))[:n] }

// compare finds the differences, nil for none, and the names that can be copied.
func compare(dst, src wildtrain.State, exact bool) (*MismatchError, []string) {
	diff := &MismatchError{Source: "the stored state"}
	if f, ok := src.(*File); ok {
		diff.Source = f.Path()
	}
	var common []string
	for _, name := range dst.Names() {
		want, _ := dst.Info(name)
		got, ok := src.Info(name)
		switch {
		case !ok:
			diff.Missing = append(diff.Missing, name)
		case !slices.Equal(want.Shape, got.Shape) || !convertible(want.DType, got.DType, exact):
			diff.Shapes = append(diff.Shapes, Difference{Name: name, Wanted: want, Stored: got})
		default:
			common = append(common, name)
		}
	}
	for _, name := range src.Names() {
		if _, ok := dst.Info(name); !ok {
			diff.Unexpected = append(diff.Unexpected, name)
		}
	}
	if diff.empty() {
		return nil, common
	}
	return diff, common
}

func convertible(a, b wildtrain.DType, exact bool) bool {
	return a == b || !exact && isFloat(a) && isFloat(b)
}

// Trim views the tensors of s whose names begin with prefix, under the rest of
// their names: "module." for weights saved under data parallelism, "model." for
// those of a Lightning module.
func Trim(s wildtrain.State, prefix string) wildtrain.State { return trimmed{s, prefix} }

type trimmed struct {
	wildtrain.State
	prefix string
}

func (t trimmed) Names() []string {
	var out []string
	for _, name := range t.State.Names() {
		if rest, ok := strings.CutPrefix(name, t.prefix); ok && rest != "" {
			out = append(out, rest)
		}
	}
	return out
}

func (t trimmed) Info(name string) (wildtrain.Info, bool) { return t.State.Info(t.prefix + name) }

func (t trimmed) Read(name string, dst []byte) error { return t.State.Read(t.prefix+name, dst) }

func (t trimmed) Write(name string, src []byte) error { return t.State.Write(t.prefix+name, src) }
