package config

import (
	"strings"
)

// Limits of one resolving pass; they are far above honest use and stop
// configurations that grow exponentially.
const (
	maxSteps     = 200_000
	maxTextBytes = 16 << 20
	maxDepth     = 200
)

// evaluator resolves interpolations of one tree.
type evaluator struct {
	funcs   map[string]Resolver
	env     *environment
	open    map[*Node]bool
	steps   int
	bytes   int
	depth   int
	lenient bool // an interpolation of a missing value stays missing instead of failing
}

func newEvaluator(env *environment) *evaluator {
	return &evaluator{env: env, funcs: env.resolvers, open: map[*Node]bool{}}
}

func (e *evaluator) step() error {
	if e.steps++; e.steps > maxSteps {
		return problem("interpolations need more than %d steps", maxSteps)
	}
	return nil
}

// deref returns the node that n stands for: n itself unless it is an
// interpolation.
func (e *evaluator) deref(n *Node) (*Node, error) {
	if !n.Interpolation() {
		return n, nil
	}
	if e.open[n] {
		return nil, errorAt(n, "interpolation refers to itself")
	}
	if e.depth >= maxDepth {
		return nil, errorAt(n, "interpolations are chained deeper than %d", maxDepth)
	}
	e.open[n] = true
	e.depth++
	defer func() { delete(e.open, n); e.depth-- }()
	parts, err := parseInterpolation(n.value.(string))
	if err != nil {
		return nil, at(err, n)
	}
	v, err := e.text(parts, n)
	if err != nil {
		return nil, at(err, n)
	}
	return v, nil
}

// at gives an error the place of n where it has none.
func at(err error, n *Node) error {
	if x, ok := err.(*Error); ok && x.File == "" && x.Key == "" {
		y := errorAt(n, "%s", x.Message)
		y.Hint = x.Hint
		return y
	}
	return err
}

// text evaluates the parts of n's value.
func (e *evaluator) text(parts []part, n *Node) (*Node, error) {
	if len(parts) == 1 && parts[0].inter != nil {
		return e.inter(parts[0].inter, n)
	}
	s, err := e.concat(parts, n)
	if err != nil {
		return nil, err
	}
	return e.result(s, n)
}

// result wraps a value that an interpolation gave.
func (e *evaluator) result(v any, n *Node) (*Node, error) {
	if x, ok := v.(*Node); ok {
		return x, nil
	}
	r, err := rawNode(v, n.place)
	if err != nil {
		return nil, err
	}
	r.parent, r.key = n.parent, n.key
	r.opaque = r.container()
	return r, nil
}

// rawNode is fromValue for results, whose text is no longer checked for
// interpolations.
func rawNode(v any, p *place) (*Node, error) {
	if s, ok := v.(string); ok {
		return newNode(String, s, p), nil
	}
	return fromValue(v, p)
}

// concat is text with interpolations in it, their values as Python's str() shows them.
func (e *evaluator) concat(parts []part, n *Node) (string, error) {
	return e.join(parts, n, func(v *Node) (string, error) { return pyNode(v, false), nil })
}

// name joins the keys of a path or of a resolver's name. Nested interpolations
// must give text.
func (e *evaluator) name(parts []part, n *Node) (string, error) {
	return e.join(parts, n, func(v *Node) (string, error) {
		if v.kind != String {
			return "", problem("an interpolation inside a key must give text, not %s", v.kind)
		}
		return v.value.(string), nil
	})
}

// join puts parts together, within the limit of text; show writes the value of an
// interpolation.
func (e *evaluator) join(parts []part, n *Node, show func(*Node) (string, error)) (string, error) {
	var b strings.Builder
	for _, x := range parts {
		text := x.text
		if x.inter != nil {
			v, err := e.inter(x.inter, n)
			if err != nil {
				return "", err
			}
			if text, err = show(v); err != nil {
				return "", err
			}
		}
		if b.WriteString(text); b.Len() > maxTextBytes {
			return "", problem("text grows beyond %d bytes", maxTextBytes)
		}
	}
	if e.bytes += b.Len(); e.bytes > maxTextBytes {
		return "", problem("text grows beyond %d bytes", maxTextBytes)
	}
	return b.String(), nil
}

func (e *evaluator) inter(in *inter, n *Node) (*Node, error) {
	if err := e.step(); err != nil {
		return nil, err
	}
	if in.resolver != nil {
		return e.call(in, n)
	}
	key, err := e.name(in.path, n)
	if err != nil {
		return nil, err
	}
	return e.lookup(key, n)
}

// lookup finds the node that ${key} in n names.
func (e *evaluator) lookup(key string, n *Node) (*Node, error) {
	start, rest, err := startOf(n, key)
	if err != nil {
		return nil, err
	}
	v, err := e.selectNode(start, rest, true)
	if plain, ok := err.(*notContainer); ok {
		return nil, problem("interpolation ${%s} leads through %q, which is a plain value", key, plain.path)
	}
	if err != nil {
		return nil, err
	}
	if v == nil {
		x := problem("interpolation key %q not found", key)
		x.Hint = e.suggest(start, rest)
		return nil, x
	}
	for p := n.parent; p != nil; p = p.parent {
		if p == v {
			return nil, problem("interpolation ${%s} refers to a parent of itself", key)
		}
	}
	return v, nil
}

// startOf applies the leading dots of a relative key: one is the container of
// the node, each further one its parent.
func startOf(n *Node, key string) (*Node, string, error) {
	at := n.parent
	if at == nil {
		at = n
	}
	if !strings.HasPrefix(key, ".") {
		for at.parent != nil {
			at = at.parent
		}
		return at, key, nil
	}
	for key = key[1:]; strings.HasPrefix(key, "."); key = key[1:] {
		if at.parent == nil {
			return nil, "", problem("interpolation has more dots than there are parents")
		}
		at = at.parent
	}
	return at, key, nil
}

func (e *evaluator) suggest(start *Node, key string) string {
	cur := start
	for _, k := range splitKey(key) {
		next := selectOne(cur, k)
		if next == nil {
			if cur.kind == Dict {
				return didYouMean(k, cur.Keys())
			}
			return ""
		}
		cur = next
	}
	return ""
}

// selectNode follows a path and dereferences what it finds. It returns nil where
// a key is absent. strict makes a "???" an error.
func (e *evaluator) selectNode(start *Node, key string, strict bool) (*Node, error) {
	if key == "" {
		return start, nil
	}
	cur := start
	keys := splitKey(key)
	for i, k := range keys {
		if err := e.step(); err != nil {
			return nil, err
		}
		if cur.kind == List && !isIndex(k) {
			return nil, problem("%q is no index of the list %q", k, cur.Path())
		}
		next := selectOne(cur, k)
		if next == nil {
			return nil, nil
		}
		if strict && next.Missing() {
			return nil, &missingValue{*errorAt(next, "a value must be given (it is \"???\")")}
		}
		if next.Missing() && i < len(keys)-1 {
			return nil, &notContainer{next.Path()}
		}
		d, err := e.deref(next)
		if err != nil {
			return nil, err
		}
		if i < len(keys)-1 && (!d.container() || d.opaque) {
			return nil, &notContainer{next.Path()}
		}
		cur = d
	}
	return cur, nil
}

// missingValue tells that an interpolation names a value that must be given.
type missingValue struct{ problem Error }

func (e *missingValue) Error() string { return e.problem.Error() }

// Unwrap gives the plain error.
func (e *missingValue) Unwrap() error { return &e.problem }

// notContainer tells that a path leads through a plain value.
type notContainer struct{ path string }

func (e *notContainer) Error() string {
	return "config: " + e.path + " is a plain value and has no keys"
}

// selectOne returns the entry of a container, nil if absent.
func selectOne(n *Node, k string) *Node {
	switch n.kind {
	case Dict:
		return n.child(k)
	case List:
		if i, ok := listIndex(k); ok && i < len(n.items) {
			return n.items[i]
		}
	}
	return nil
}

// isIndex reports whether k reads as a whole number.
func isIndex(k string) bool {
	_, err := pyIntText(k)
	return err == nil
}

func listIndex(k string) (int, bool) {
	v, err := pyIntText(k)
	i, ok := v.(int64)
	return int(i), err == nil && ok && i >= 0 && i < 1<<31
}

// splitKey cuts a path such as a.b[0].c into its keys.
func splitKey(key string) []string {
	head := 0
	for head < len(key) && key[head] == '.' {
		head++
	}
	for head < len(key) && key[head] != '.' && key[head] != '[' {
		head++
	}
	keys := strings.Split(key[:head], ".")
	if head < len(key) && key[head] == '[' && keys[len(keys)-1] == "" {
		keys = keys[:len(keys)-1]
	}
	for i := head; i < len(key); {
		switch key[i] {
		case '.':
			j := i + 1
			for j < len(key) && key[j] != '.' && key[j] != '[' {
				j++
			}
			keys = append(keys, key[i+1:j])
			i = j
		case '[':
			j := strings.IndexByte(key[i:], ']')
			if j < 0 {
				return keys
			}
			keys = append(keys, key[i+1:i+j])
			i += j + 1
		default:
			i++
		}
	}
	return keys
}

// resolveTree returns a copy of n with all interpolations replaced by their
// values. Missing values stay "???".
func (e *evaluator) resolveTree(n *Node) (*Node, error) {
	if err := e.step(); err != nil {
		return nil, err
	}
	d, err := e.deref(n)
	if _, missing := err.(*missingValue); missing && e.lenient {
		return newNode(String, "???", n.place), nil
	}
	if err != nil {
		return nil, err
	}
	if !d.container() {
		c := *d
		c.parent, c.key = nil, nil
		if n.place != d.place {
			c.place, c.prev = n.place, n
		}
		return &c, nil
	}
	if e.depth++; e.depth > maxDepth {
		return nil, errorAt(n, "nested deeper than %d", maxDepth)
	}
	defer func() { e.depth-- }()
	out := &Node{kind: d.kind, place: n.place, prev: n.prev}
	for i, item := range d.items {
		r, err := e.resolveTree(item)
		if err != nil {
			return nil, err
		}
		if d.kind == Dict {
			p := r.prev
			out.set(d.keys[i], r)
			r.prev = p
		} else {
			out.push(r)
		}
	}
	return out, nil
}
