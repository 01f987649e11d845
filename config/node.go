package config

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Kind is the type of a Node's value.
type Kind uint8

// The kinds. Int holds integers of any size.
const (
	Null Kind = iota
	Bool
	Int
	Float
	String
	List
	Dict
)

// String names the kind as in messages.
func (k Kind) String() string {
	return [...]string{"null", "bool", "int", "float", "string", "list", "mapping"}[k]
}

// Node is a value of a configuration tree. Strings may hold interpolations
// ("${a.b}") and the marker "???" for a value that must be given; they are kept
// as written until resolved.
type Node struct {
	kind   Kind
	value  any     // bool, int64, *big.Int, float64 or string
	keys   []any   // Dict: string, int64, *big.Int, float64 or bool
	items  []*Node // Dict and List
	index  map[any]int
	parent *Node
	key    any // under the parent: a key or an int index
	place  *place
	prev   *Node // what this value replaced, for Explain
	closed bool  // Dict: unknown keys are refused even while merging
	opaque bool  // result of a resolver: cannot be entered by a path
}

// place is where a value was written.
type place struct {
	file         string // path of the file, or the override as typed
	line, column int
	override     bool
}

func (p *place) where() (string, int, int) {
	if p == nil {
		return "", 0, 0
	}
	if p.override {
		return "override " + p.file, 0, 0
	}
	return p.file, p.line, p.column
}

func (p *place) String() string {
	switch {
	case p == nil:
		return "built in"
	case p.override:
		return "override " + p.file
	case p.line == 0:
		return p.file
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
}

// bigDict is the size from which a Dict keeps a map beside its list of keys.
const bigDict = 8

func newNode(kind Kind, value any, p *place) *Node {
	return &Node{kind: kind, value: value, place: p}
}

func newDict(p *place) *Node { return newNode(Dict, nil, p) }
func newList(p *place) *Node { return newNode(List, nil, p) }

// Kind returns the kind of the value; an unresolved interpolation is a String.
func (n *Node) Kind() Kind { return n.kind }

// Len returns the number of entries of a Dict or List.
func (n *Node) Len() int { return len(n.items) }

// Keys returns the keys of a Dict as text, in order.
func (n *Node) Keys() []string {
	out := make([]string, len(n.keys))
	for i, k := range n.keys {
		out[i] = pyStr(k)
	}
	return out
}

// Items returns the entries of a Dict or List in order. Do not change the slice.
func (n *Node) Items() []*Node { return n.items }

// Place returns file (or override), line and column of the value.
func (n *Node) Place() (file string, line, column int) { return n.place.where() }

// Missing reports whether the value is the marker "???".
func (n *Node) Missing() bool { return n.kind == String && n.value.(string) == "???" }

// Interpolation reports whether the value is text that needs resolving.
func (n *Node) Interpolation() bool {
	return n.kind == String && strings.Contains(n.value.(string), "${")
}

func (n *Node) container() bool { return n.kind == Dict || n.kind == List }

// Path returns the full dotted key, "" for the root.
func (n *Node) Path() string {
	if n.parent == nil {
		return ""
	}
	head := n.parent.Path()
	if i, ok := n.key.(int); ok && n.parent.kind == List {
		return fmt.Sprintf("%s[%d]", head, i)
	}
	if head == "" {
		return pyStr(n.key)
	}
	return head + "." + pyStr(n.key)
}

// canonicalKey makes keys comparable as Python compares them: 1, 1.0 and True
// are one key.
func canonicalKey(k any) any {
	switch v := k.(type) {
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	case *big.Int:
		return "\x00" + v.String()
	}
	return k
}

func (n *Node) find(key any) int {
	key = canonicalKey(key)
	if len(n.keys) <= bigDict {
		for i, k := range n.keys {
			if canonicalKey(k) == key {
				return i
			}
		}
		return -1
	}
	if n.index == nil {
		n.index = make(map[any]int, len(n.keys))
		for i, k := range n.keys {
			n.index[canonicalKey(k)] = i
		}
	}
	if i, ok := n.index[key]; ok {
		return i
	}
	return -1
}

// child returns the entry of a Dict, nil if absent.
func (n *Node) child(key any) *Node {
	if i := n.find(key); i >= 0 {
		return n.items[i]
	}
	return nil
}

// set puts v under key of a Dict and remembers what it replaced.
func (n *Node) set(key any, v *Node) {
	v.parent = n
	if i := n.find(key); i >= 0 {
		if v.prev == nil && v != n.items[i] {
			v.prev = n.items[i]
		}
		v.key = n.keys[i]
		n.items[i] = v
		return
	}
	v.key = key
	n.keys = append(n.keys, key)
	n.items = append(n.items, v)
	if n.index != nil {
		n.index[canonicalKey(key)] = len(n.keys) - 1
	}
}

func (n *Node) remove(key any) {
	i := n.find(key)
	if i < 0 {
		return
	}
	n.keys = append(n.keys[:i:i], n.keys[i+1:]...)
	n.items = append(n.items[:i:i], n.items[i+1:]...)
	n.index = nil
}

// push appends to a List.
func (n *Node) push(v *Node) {
	v.parent, v.key = n, len(n.items)
	n.items = append(n.items, v)
}

// put replaces entry i of a List.
func (n *Node) put(i int, v *Node) {
	v.parent, v.key, v.prev = n, i, n.items[i]
	n.items[i] = v
}

// clone copies the tree below n; the copy has no parent.
func (n *Node) clone() *Node {
	c := *n
	c.parent, c.key, c.index = nil, nil, nil
	c.keys = append([]any(nil), n.keys...)
	c.items = make([]*Node, len(n.items))
	for i, item := range n.items {
		x := item.clone()
		x.parent, x.key = &c, item.key
		c.items[i] = x
	}
	return &c
}

// Value returns the tree as plain Go values: nil, bool, int64, *big.Int, float64,
// string, []any and map[string]any. Interpolations stay text; see Resolve.
func (n *Node) Value() any {
	switch n.kind {
	case Dict:
		m := make(map[string]any, len(n.keys))
		for i, k := range n.keys {
			m[pyStr(k)] = n.items[i].Value()
		}
		return m
	case List:
		l := make([]any, len(n.items))
		for i, item := range n.items {
			l[i] = item.Value()
		}
		return l
	}
	return n.value
}

// Text returns the value of a scalar as Python's str() shows it.
func (n *Node) Text() string { return pyNode(n, false) }

// fromValue makes a tree of plain values as the grammars give them.
func fromValue(v any, p *place) (*Node, error) {
	switch x := v.(type) {
	case nil:
		return newNode(Null, nil, p), nil
	case bool:
		return newNode(Bool, x, p), nil
	case int:
		return newNode(Int, int64(x), p), nil
	case int64, *big.Int:
		return newNode(Int, x, p), nil
	case float64:
		return newNode(Float, x, p), nil
	case string:
		return textNode(x, p)
	case quoted:
		return textNode(x.text, p)
	case *Node:
		return x.clone(), nil
	case []any:
		list := newList(p)
		for _, item := range x {
			c, err := fromValue(item, p)
			if err != nil {
				return nil, err
			}
			list.push(c)
		}
		return list, nil
	case *pairs:
		return fromPairs(x, p)
	}
	return nil, problem("unsupported value of type %T", v)
}

func fromPairs(x *pairs, p *place) (*Node, error) {
	dict := newDict(p)
	for i, k := range x.keys {
		if q, ok := k.(quoted); ok {
			k = q.text
		}
		if k == nil {
			return nil, problem("null cannot be a key")
		}
		c, err := fromValue(x.values[i], p)
		if err != nil {
			return nil, err
		}
		dict.set(k, c)
	}
	return dict, nil
}

// textNode makes a String; interpolations in it must be well formed.
func textNode(s string, p *place) (*Node, error) {
	if strings.Contains(s, "${") {
		if _, err := parseInterpolation(s); err != nil {
			return nil, err
		}
	}
	return newNode(String, s, p), nil
}

// pairs is an ordered mapping of parsed values.
type pairs struct {
	keys, values []any
	index        map[any]int
}

func (p *pairs) set(k, v any) {
	if p.index == nil {
		p.index = map[any]int{}
	}
	c := canonicalKey(k)
	if i, ok := p.index[c]; ok {
		p.values[i] = v
		return
	}
	p.index[c] = len(p.keys)
	p.keys, p.values = append(p.keys, k), append(p.values, v)
}

// pyStr is Python's str() of a plain value.
func pyStr(v any) string {
	switch x := v.(type) {
	case nil:
		return "None"
	case bool:
		if x {
			return "True"
		}
		return "False"
	case int:
		return strconv.Itoa(x)
	case int64:
		return strconv.FormatInt(x, 10)
	case *big.Int:
		return x.String()
	case float64:
		return pyFloat(x)
	case string:
		return x
	case quoted:
		return x.text
	case *Node:
		return pyNode(x, false)
	case []any, *pairs:
		return pyRepr(v)
	}
	return fmt.Sprint(v)
}

// pyRepr is Python's repr() of a plain value.
func pyRepr(v any) string {
	switch x := v.(type) {
	case string:
		return pyQuote(x)
	case quoted:
		return pyQuote(x.text)
	case *Node:
		return pyNode(x, true)
	case []any:
		parts := make([]string, len(x))
		for i, item := range x {
			parts[i] = pyRepr(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *pairs:
		parts := make([]string, len(x.keys))
		for i, k := range x.keys {
			parts[i] = pyRepr(k) + ": " + pyRepr(x.values[i])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return pyStr(v)
}

func pyNode(n *Node, repr bool) string {
	var b strings.Builder
	writePy(&b, n, repr)
	return b.String()
}

func writePy(b *strings.Builder, n *Node, repr bool) {
	switch n.kind {
	case Dict:
		b.WriteByte('{')
		for i, k := range n.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(pyRepr(k))
			b.WriteString(": ")
			writePy(b, n.items[i], true)
		}
		b.WriteByte('}')
	case List:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteString(", ")
			}
			writePy(b, item, true)
		}
		b.WriteByte(']')
	default:
		if repr {
			b.WriteString(pyRepr(n.value))
		} else {
			b.WriteString(pyStr(n.value))
		}
	}
}

// pyFloat is the shortest text that reads back, in Python's layout: 1.0, 1e-05,
// 1e+16, inf, nan.
func pyFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	exp, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:]) // always digits: FormatFloat wrote them
	if exp < -4 || exp >= 16 {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// pyQuote is Python's repr() of text.
func pyQuote(s string) string {
	q := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = '"'
	}
	var b strings.Builder
	b.WriteByte(q)
	for _, r := range s {
		switch {
		case r == rune(q) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f || r >= 0x80 && !strconv.IsPrint(r):
			b.WriteString(pyEscape(r))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte(q)
	return b.String()
}

func pyEscape(r rune) string {
	switch {
	case r <= 0xff:
		return fmt.Sprintf(`\x%02x`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}
