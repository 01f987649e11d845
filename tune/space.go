package tune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/internal/yamlsafe"
)

// Space is a declared set of parameters, in the order in which they are asked for.
type Space struct {
	Params []SpaceParam
	// Forbid lists combinations that never run: a trial whose values match all
	// entries of one is drawn anew.
	Forbid []Match
	// Accept refuses values by code, besides Forbid; nil accepts all.
	Accept func(values map[string]any) error
}

// SpaceParam is one parameter.
type SpaceParam struct {
	Name string
	Dist Distribution
	When Match // asked for only where the values before match; empty is always
}

// Match maps names of parameters to the values that match: choices, or a range.
type Match map[string]Distribution

// holds reports whether all entries match.
func (m Match) holds(values map[string]any) bool {
	for name, d := range m {
		v, ok := values[name]
		if !ok {
			return false
		}
		f, err := d.Internal(v)
		if err != nil || !d.Contains(f) {
			return false
		}
	}
	return true
}

// ErrRefused tells that no acceptable values were found.
var ErrRefused = errors.New("tune: every draw was refused")

// SuggestAll suggests values for a whole space. Combinations that the space
// refuses are drawn again before anything is stored, 100 times at most; then the
// error is ErrRefused.
func (l *Live) SuggestAll(ctx context.Context, s Space) (map[string]any, error) {
	const tries = 100
	why := errors.New("no draw")
	for range tries {
		l.drawn = false
		changes, values, err := l.draw(ctx, s)
		if err != nil {
			return nil, err
		}
		if why = s.refuses(values); why == nil {
			return values, l.change(ctx, false, changes...)
		}
	}
	return nil, fmt.Errorf("%w: trial %d: %v", ErrRefused, l.trial.Number, why)
}

func (l *Live) draw(ctx context.Context, s Space) (changes []Change, values map[string]any, err error) {
	values = map[string]any{}
	before := maps.Clone(l.trial.Params)
	defer func() { l.trial.Params = before }() // nothing is drawn yet
	for _, p := range s.Params {
		if !p.When.holds(values) {
			continue
		}
		if known, ok := before[p.Name]; ok {
			values[p.Name] = known.Dist.External(known.Value)
			continue
		}
		v, err := l.value(ctx, p.Name, p.Dist)
		if err != nil {
			return nil, nil, fmt.Errorf("tune: suggest %s: %w", p.Name, err)
		}
		values[p.Name] = p.Dist.External(v)
		changes = append(changes, Change{Kind: SetParam, Key: p.Name, Value: v, Dist: p.Dist})
		put(&l.trial.Params, p.Name, Param{v, p.Dist}) // samplers may look at those before
	}
	return changes, values, nil
}

func (s Space) refuses(values map[string]any) error {
	for i, m := range s.Forbid {
		if m.holds(values) {
			return fmt.Errorf("combination %d is forbidden", i+1)
		}
	}
	if s.Accept == nil {
		return nil
	}
	return s.Accept(values)
}

// forbidKey is the entry of a declaration that is no parameter.
const forbidKey = "forbid"

// ParseSpace reads a declaration: for each parameter a mapping with "choices", or
// with "low" and "high" and optionally "log", "step" and "type" (float or int;
// unless given, both ends whole numbers make an integer). "when" maps earlier
// parameters to values (one, a list, or low and high) for which it exists.
// Mappings of mappings join their keys with dots. "forbid" lists combinations
// that never run. All problems are reported together. Parameters come in order of
// their names, those with "when" after what they look at.
func ParseSpace(v map[string]any) (Space, error) {
	p := &spaceParser{}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if list, ok := v[key].([]any); ok && key == forbidKey {
			p.forbid(list)
			continue
		}
		p.entry(key, v[key])
	}
	p.order()
	if len(p.errs) == 0 && len(p.space.Params) == 0 {
		p.fail("", "holds no parameter")
	}
	return p.space, errors.Join(p.errs...)
}

type spaceParser struct {
	space Space
	errs  []error
}

func (p *spaceParser) fail(key, format string, args ...any) {
	at := "tune.space"
	if key != "" {
		at += "." + key
	}
	p.errs = append(p.errs, fmt.Errorf("%s: %s", at, strings.TrimPrefix(fmt.Sprintf(format, args...), "tune: ")))
}

var entryKeys = []string{"choices", "high", "log", "low", "step", "type", "when"}

func (p *spaceParser) entry(key string, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		p.fail(key, "must be a mapping with low and high, or with choices")
		return
	}
	_, choices := m["choices"]
	_, low := m["low"]
	_, high := m["high"]
	if !choices && !low && !high {
		if len(m) == 0 {
			p.fail(key, "must have low and high, or choices")
		}
		for _, below := range slices.Sorted(maps.Keys(m)) {
			p.entry(key+"."+below, m[below])
		}
		return
	}
	for name := range m {
		if !slices.Contains(entryKeys, name) {
			p.fail(key, "%q is unknown; known are %s", name, strings.Join(entryKeys, ", "))
		}
	}
	d, err := distributionFrom(m)
	if err != nil {
		p.fail(key, "%v", err)
		return
	}
	param := SpaceParam{Name: key, Dist: d}
	if when, ok := m["when"]; ok {
		param.When = p.match(key+".when", when)
	}
	p.space.Params = append(p.space.Params, param)
}

// distributionFrom reads choices, or a range.
func distributionFrom(m map[string]any) (Distribution, error) {
	if c, ok := m["choices"]; ok {
		list, ok := c.([]any)
		if !ok || len(m) > 2 || len(m) == 2 && m["when"] == nil {
			return nil, errors.New("choices must be a list, without low, high, log or step")
		}
		return NewCategorical(list...)
	}
	log, ok := m["log"].(bool)
	if _, given := m["log"]; given && !ok {
		return nil, errors.New("log must be true or false")
	}
	low, okLow := number(m["low"])
	high, okHigh := number(m["high"])
	step, okStep := number(m["step"])
	if m["step"] == nil {
		step, okStep = 0, true
	}
	if !okLow || !okHigh || !okStep {
		return nil, errors.New("low and high must be numbers, and step, where given")
	}
	whole := true
	for _, k := range []string{"low", "high", "step"} {
		if _, ok := m[k].(int64); !ok && m[k] != nil {
			whole = false
		}
	}
	switch kind := m["type"]; kind {
	case nil:
	case "int":
		if !whole {
			return nil, errors.New("an int has whole numbers for low, high and step")
		}
	case "float":
		whole = false
	default:
		return nil, fmt.Errorf("type is %v, must be int or float", kind)
	}
	if !whole {
		return NewFloat(low, high, log, step)
	}
	if m["step"] == nil {
		step = 1
	}
	return NewInt(int64(low), int64(high), log, int64(step))
}

func (p *spaceParser) forbid(list []any) {
	for i, item := range list {
		p.space.Forbid = append(p.space.Forbid, p.match(fmt.Sprintf("%s[%d]", forbidKey, i), item))
	}
}

// match reads what values match.
func (p *spaceParser) match(key string, v any) Match {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 {
		p.fail(key, "must be a mapping of parameters to values")
		return nil
	}
	out := Match{}
	for name, want := range m {
		var d Distribution
		var err error
		switch x := want.(type) {
		case map[string]any:
			d, err = distributionFrom(x)
		case []any:
			d, err = NewCategorical(x...)
		default:
			d, err = NewCategorical(x)
		}
		if err != nil {
			p.fail(key+"."+name, "%v", err)
			continue
		}
		out[name] = d
	}
	return out
}

// order puts parameters with conditions behind those they look at.
func (p *spaceParser) order() {
	rest := p.space.Params
	var out []SpaceParam
	known := map[string]bool{}
	for len(rest) > 0 {
		var later []SpaceParam
		for _, param := range rest {
			ready := true
			for name := range param.When {
				ready = ready && known[name]
			}
			if ready {
				out, known[param.Name] = append(out, param), true
			} else {
				later = append(later, param)
			}
		}
		if len(later) == len(rest) {
			for _, param := range later {
				p.fail(param.Name, "its condition looks at a parameter that does not come before it: %s", strings.Join(slices.Sorted(maps.Keys(param.When)), ", "))
			}
			return
		}
		rest = later
	}
	for i, m := range p.space.Forbid {
		for name := range m {
			if !known[name] {
				p.fail(fmt.Sprintf("%s[%d].%s", forbidKey, i, name), "there is no such parameter")
			}
		}
	}
	p.space.Params = out
}

// ReadSpace is ParseSpace of YAML text; name is the file's, for errors.
func ReadSpace(name string, text []byte) (Space, error) {
	n, err := yamlsafe.Parse(name, text, yamlsafe.DefaultLimits())
	if err != nil {
		return Space{}, err
	}
	m, ok := plain(n).(map[string]any)
	if !ok {
		return Space{}, n.Errorf(name, "a space is a mapping of parameters")
	}
	s, err := ParseSpace(m)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return s, err
}

// plain resolves scalars by YAML's core rules, as far as spaces need them.
func plain(n *yamlsafe.Node) any {
	switch {
	case n.Null():
		return nil
	case n.Kind == yamlsafe.Sequence:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = plain(item)
		}
		return out
	case n.Kind == yamlsafe.Mapping:
		out := map[string]any{}
		for _, p := range n.Pairs {
			out[p.Key.Value] = plain(p.Value)
		}
		return out
	case !n.Plain:
		return n.Value
	}
	switch n.Value {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	}
	return plainNumber(n.Value)
}

// plainNumber is text as a number where it is one; 1e-5 is one, too.
func plainNumber(text string) any {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	if strings.Trim(text, "+-.0123456789eE") != "" {
		return text // ParseFloat also takes words and hexadecimals
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return text
}
