package config

import (
	"fmt"
	"strings"
)

// Step is one stage of a value's history.
type Step struct {
	Value        string // as written; containers by their kind and size
	File         string // path, the override as typed, or "built in"
	Line, Column int
	Through      []string // the configs whose defaults lists brought the file in, nearest first
}

// Explanation tells where the value at a key came from.
type Explanation struct {
	Key   string
	Value string // resolved; the error's text where resolving fails
	Steps []Step // from the first value to the present one
	Via   []*Explanation
}

// Explain returns the history of the value at a dotted key: every file and
// override that set it, in order, and for interpolations those of the keys they
// name (Via).
func (c *Config) Explain(key string) (*Explanation, error) {
	return c.explain(key, 0)
}

func (c *Config) explain(key string, depth int) (*Explanation, error) {
	n := c.full
	for _, k := range splitKey(key) {
		next := selectOne(n, k)
		if next == nil {
			x := &Error{Key: key, Message: "unknown key"}
			if n.kind == Dict {
				x.Hint = didYouMeanKey(n.Path(), k, n.Keys())
			}
			return nil, x
		}
		n = next
	}
	out := &Explanation{Key: key}
	if r, err := newEvaluator(c.env).resolveTree(n); err != nil {
		out.Value = "error: " + err.Error()
	} else {
		out.Value = strings.TrimSuffix(r.YAML(), "\n")
	}
	for at := n; at != nil; at = at.prev {
		step := Step{Value: brief(at), File: "built in"}
		if at.place != nil {
			step.File, step.Line, step.Column = at.place.where()
			if !at.place.override {
				step.Through = c.through(at.place.file)
			}
		}
		out.Steps = append([]Step{step}, out.Steps...)
	}
	if depth < 10 && n.Interpolation() {
		for _, name := range c.references(n) {
			if x, err := c.explain(name, depth+1); err == nil {
				out.Via = append(out.Via, x)
			}
		}
	}
	return out, nil
}

// brief shows a value in one line.
func brief(n *Node) string {
	if n.container() && len(n.items) > 4 {
		return fmt.Sprintf("%s of %d", n.kind, len(n.items))
	}
	if n.kind == Null {
		return "null"
	}
	return shorten(n.Text())
}

// through lists the configs that brought a file into the defaults list.
func (c *Config) through(path string) []string {
	var out []string
	at := ""
	for name, f := range c.repo.files {
		if f != nil && f.root.place != nil && f.root.place.file == path {
			at = name
		}
	}
	for len(out) < 20 {
		parent := ""
		for _, d := range c.Defaults {
			if d.Path == at && !(d.Self && d.Parent == "") {
				parent = d.Parent
			}
		}
		if parent == "" {
			return out
		}
		out = append(out, parent)
		at = parent
	}
	return out
}

// references lists the full keys of the nodes an interpolation names directly.
func (c *Config) references(n *Node) []string {
	parts, err := parseInterpolation(n.value.(string))
	if err != nil {
		return nil
	}
	var out []string
	for _, p := range parts {
		if p.inter == nil || p.inter.resolver != nil {
			continue
		}
		eval := newEvaluator(c.env)
		key, err := eval.name(p.inter.path, n)
		if err != nil {
			continue
		}
		start, rest, err := startOf(n, key)
		if err != nil {
			continue
		}
		out = append(out, strings.TrimPrefix(start.Path()+"."+rest, "."))
	}
	return out
}

// String shows the explanation, one step a line.
func (x *Explanation) String() string {
	var b strings.Builder
	x.write(&b, "")
	return b.String()
}

func (x *Explanation) write(b *strings.Builder, indent string) {
	value := x.Value
	if strings.Contains(value, "\n") {
		value = "\n" + indent + "  " + strings.ReplaceAll(value, "\n", "\n"+indent+"  ")
	}
	fmt.Fprintf(b, "%s%s = %s\n", indent, x.Key, value)
	for i := len(x.Steps) - 1; i >= 0; i-- {
		s := x.Steps[i]
		word := "replaced"
		if i == len(x.Steps)-1 {
			word = "from"
		}
		fmt.Fprintf(b, "%s  %-8s %s  at %s", indent, word, s.Value, s.File)
		if s.Line > 0 {
			fmt.Fprintf(b, ":%d:%d", s.Line, s.Column)
		}
		if len(s.Through) > 0 {
			fmt.Fprintf(b, "  (listed by %s)", strings.Join(s.Through, ", by "))
		}
		b.WriteByte('\n')
	}
	for _, via := range x.Via {
		via.write(b, indent+"  ")
	}
}
