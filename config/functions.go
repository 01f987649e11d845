package config

import (
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// call is a function of the override grammar and its arguments.
type call struct {
	name  string
	args  []any
	named map[string]any
	order []string
}

func (c *call) add(key string, v any) error {
	if q, ok := v.(quoted); ok {
		v = q.text
	}
	switch {
	case key == "" && len(c.named) > 0:
		return problem("%s: a positional argument follows a named one", c.name)
	case key == "":
		c.args = append(c.args, v)
		return nil
	case c.named == nil:
		c.named = map[string]any{}
	}
	if _, ok := c.named[key]; !ok {
		c.order = append(c.order, key)
	}
	c.named[key] = v
	return nil
}

// only refuses named arguments other than those listed.
func (c *call) only(names ...string) error {
	for _, k := range c.order {
		if !slices.Contains(names, k) {
			return problem("%s has no argument %q", c.name, k)
		}
	}
	return nil
}

// bind orders the arguments by name; missing ones are nil and reported in given.
func (c *call) bind(names ...string) (values []any, given []bool, err error) {
	if err := c.only(names...); err != nil {
		return nil, nil, err
	}
	if len(c.args) > len(names) {
		return nil, nil, problem("%s takes at most %d arguments", c.name, len(names))
	}
	values, given = make([]any, len(names)), make([]bool, len(names))
	for i, v := range c.args {
		values[i], given[i] = v, true
	}
	for i, name := range names {
		v, ok := c.named[name]
		if !ok {
			continue
		}
		if given[i] {
			return nil, nil, problem("%s: argument %q is given twice", c.name, name)
		}
		values[i], given[i] = v, true
	}
	return values, given, nil
}

func (c *call) eval() (any, error) {
	switch c.name {
	case "int", "float", "str", "bool":
		return c.cast()
	case "choice":
		return c.choice()
	case "range":
		return c.rangeSweep()
	case "interval":
		return c.interval()
	case "tag":
		return c.tag()
	case "sort":
		return c.sort()
	case "shuffle":
		return c.shuffle()
	case "glob":
		return c.glob()
	}
	x := problem("unknown function %q", c.name)
	x.Hint = didYouMean(c.name, []string{"int", "float", "str", "bool", "choice", "range", "interval", "tag", "sort", "shuffle", "glob"})
	return nil, x
}

// cast applies int(…), float(…), str(…) or bool(…); several arguments make a sweep.
func (c *call) cast() (any, error) {
	if err := c.only("value"); err != nil {
		return nil, err
	}
	v, ok := c.named["value"]
	switch {
	case ok && v != nil && len(c.args) > 0:
		return nil, problem("%s: give the value once", c.name)
	case ok && v != nil:
	case len(c.args) == 1:
		v = c.args[0]
	case len(c.args) > 1:
		for _, a := range c.args {
			if !parsedElement(a) {
				return nil, problem("%s: a sweep cannot stand among values", c.name)
			}
		}
		v = &Sweep{Kind: ChoiceSweep, Simple: true, choices: c.args}
	default:
		return nil, problem("%s needs a value", c.name)
	}
	return castValue(c.name, v)
}

// parsedElement reports whether v may stand where Hydra wants a plain value.
func parsedElement(v any) bool {
	_, sweep := v.(*Sweep)
	return !sweep
}

func castValue(to string, v any) (any, error) {
	switch x := v.(type) {
	case quoted:
		return castValue(to, x.text)
	case []any:
		return castAll(to, x)
	case *pairs:
		values, err := castAll(to, x.values)
		if err != nil {
			return nil, err
		}
		return &pairs{keys: x.keys, values: values.([]any), index: x.index}, nil
	case *Sweep:
		return castSweep(to, x)
	case nil:
		return nil, problem("null cannot be cast to %s", to)
	}
	switch to {
	case "int":
		return castInt(v)
	case "float":
		return castFloat(v)
	case "str":
		if b, ok := v.(bool); ok {
			return strings.ToLower(pyStr(b)), nil
		}
		return pyStr(v), nil
	}
	return castBool(v)
}

func castAll(to string, in []any) (any, error) {
	out := make([]any, len(in))
	for i, item := range in {
		v, err := castValue(to, item)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func castSweep(to string, s *Sweep) (any, error) {
	out := *s
	out.Shuffle = false
	switch s.Kind {
	case ChoiceSweep:
		out.Tags = nil
		v, err := castAll(to, s.choices)
		if err != nil {
			return nil, err
		}
		out.choices = v.([]any)
		return &out, nil
	case GlobSweep:
		return nil, problem("a glob cannot be cast")
	}
	if to == "str" || to == "bool" {
		return nil, problem("a range or interval can be cast to int or float only")
	}
	var err error
	for _, f := range []*any{&out.start, &out.stop, &out.step} {
		if *f == nil {
			continue
		}
		if *f, err = castValue(to, *f); err != nil {
			return nil, err
		}
	}
	if s.Kind == RangeSweep {
		out.Tags = nil
	}
	return &out, nil
}

func castInt(v any) (any, error) {
	switch x := v.(type) {
	case bool:
		if x {
			return int64(1), nil
		}
		return int64(0), nil
	case float64:
		if math.IsInf(x, 0) || math.IsNaN(x) {
			return nil, problem("%s is not a whole number", pyFloat(x))
		}
		i, _ := big.NewFloat(x).Int(nil)
		return shrink(i), nil
	case string:
		return pyIntText(x)
	}
	return v, nil
}

// pyIntText is int() of any text: blanks around, one underscore between digits.
func pyIntText(s string) (any, error) {
	t := strings.TrimSpace(s)
	digits := strings.TrimLeft(t, "+-")
	if len(t)-len(digits) > 1 || digits == "" || strings.Contains(digits, "__") ||
		strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Trim(digits, "0123456789_") != "" {
		return nil, problem("%q is not a whole number", shorten(s))
	}
	return pyInt(t)
}

// looseUnderscore finds underscores that do not stand between digits.
var looseUnderscore = regexp.MustCompile(`(?:^|[^0-9])_|_(?:[^0-9]|$)`)

func castFloat(v any) (any, error) {
	switch x := v.(type) {
	case bool:
		if x {
			return 1.0, nil
		}
		return 0.0, nil
	case float64:
		return x, nil
	case string:
		t := strings.TrimSpace(x)
		if looseUnderscore.MatchString(t) {
			return nil, problem("%q is not a number", shorten(x))
		}
		return pyParseFloat(t)
	}
	f := toFloat(v)
	if math.IsInf(f, 0) {
		return nil, problem("%s is too large for a float", shorten(pyStr(v)))
	}
	return f, nil
}

func castBool(v any) (any, error) {
	switch x := v.(type) {
	case string:
		switch strings.ToLower(x) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, problem("%q is neither true nor false", shorten(x))
	case float64:
		return x != 0, nil
	case bool:
		return x, nil
	}
	return toBig(v).Sign() != 0, nil
}

func (c *call) choice() (any, error) {
	if err := c.only(); err != nil {
		return nil, err
	}
	if len(c.args) == 0 {
		return nil, problem("choice needs a value")
	}
	if s, ok := c.args[0].(*Sweep); ok && len(c.args) == 1 && s.Kind == ChoiceSweep {
		if !s.Simple {
			return nil, problem("choices cannot be nested")
		}
		out := *s
		out.Simple = false
		return &out, nil
	}
	for _, a := range c.args {
		s, sweep := a.(*Sweep)
		if a == nil || sweep && s.Kind != ChoiceSweep {
			return nil, problem("choice cannot hold %s", describe(a))
		}
	}
	return &Sweep{Kind: ChoiceSweep, choices: c.args}, nil
}

func describe(v any) string {
	if _, ok := v.(*Sweep); ok {
		return "a sweep"
	}
	return overrideText(v)
}

func isNumber(v any) bool {
	_, float := v.(float64)
	_, boolean := v.(bool) // a bool is an int in Python
	return float || boolean || isWhole(v)
}

func numberOf(v any) any {
	if b, ok := v.(bool); ok {
		n, _ := castInt(b) // cannot fail for a bool
		return n
	}
	return v
}

func (c *call) rangeSweep() (any, error) {
	v, given, err := c.bind("start", "stop", "step")
	if err != nil {
		return nil, err
	}
	for i := range v {
		if given[i] && !isNumber(v[i]) && !(i == 1 && v[i] == nil) {
			return nil, problem("range needs numbers, not %s", describe(v[i]))
		}
		v[i] = numberOf(v[i])
	}
	if !given[0] {
		return nil, problem("range needs a start")
	}
	if v[1] == nil {
		v[0], v[1] = int64(0), v[0]
	}
	if !given[2] {
		v[2] = int64(1)
	}
	return &Sweep{Kind: RangeSweep, start: v[0], stop: v[1], step: v[2]}, nil
}

func (c *call) interval() (any, error) {
	v, given, err := c.bind("start", "end")
	if err != nil {
		return nil, err
	}
	for i := range v {
		if !given[i] || !isNumber(v[i]) {
			return nil, problem("interval needs two numbers")
		}
		if v[i], err = castFloat(v[i]); err != nil {
			return nil, err
		}
	}
	return &Sweep{Kind: IntervalSweep, start: v[0], stop: v[1]}, nil
}

func (c *call) tag() (any, error) {
	if err := c.only("sweep"); err != nil {
		return nil, err
	}
	args := c.args
	if s, ok := c.named["sweep"]; ok {
		args = append(args[:len(args):len(args)], s)
	}
	if len(c.args) == 0 {
		return nil, problem("tag needs a sweep")
	}
	s, ok := args[len(args)-1].(*Sweep)
	if !ok || s.Kind == GlobSweep {
		return nil, problem("the last argument of tag must be a choice, range or interval")
	}
	out := *s
	out.Tags = nil
	for _, a := range args[:len(args)-1] {
		t, ok := a.(string)
		if !ok {
			return nil, problem("tags are text, not %s", describe(a))
		}
		if !slices.Contains(out.Tags, t) {
			out.Tags = append(out.Tags, t)
		}
	}
	return &out, nil
}

func (c *call) glob() (any, error) {
	v, given, err := c.bind("include", "exclude")
	if err != nil {
		return nil, err
	}
	if !given[0] {
		return nil, problem("glob needs a pattern")
	}
	s := &Sweep{Kind: GlobSweep}
	for i, to := range []*[]string{&s.include, &s.exclude} {
		switch x := v[i].(type) {
		case string:
			*to = []string{x}
		case []any:
			for _, p := range x {
				if q, ok := p.(quoted); ok {
					p = q.text
				}
				*to = append(*to, pyStr(p))
			}
		case nil:
			if i == 0 {
				return nil, problem("glob needs a pattern")
			}
		default:
			return nil, problem("glob needs text or a list of texts")
		}
	}
	return s, nil
}
