// Package yamlsafe reads YAML from untrusted files into a plain tree.
//
// It is the only place of the SDK that imports a YAML library, and uses its
// scanner only: scalars are left as text together with their tag and quoting,
// so that each reader resolves them by its own rules (OmegaConf's differ from
// the library's). Size, depth, number of nodes and alias expansion are limited,
// aliases and merge keys are expanded, duplicate keys refused, and every node
// and error knows its file, line and column.
package yamlsafe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Limits bound what Parse accepts. Zero in a field means nothing is allowed
// there; take DefaultLimits and change it.
type Limits struct {
	Bytes int // length of the text
	Depth int // nesting of sequences and mappings
	Nodes int // nodes of the tree after aliases are expanded
}

// DefaultLimits are far above any hand-written configuration.
func DefaultLimits() Limits { return Limits{Bytes: 16 << 20, Depth: 100, Nodes: 1 << 20} }

// Kind is the shape of a Node.
type Kind uint8

// The kinds of nodes.
const (
	Scalar Kind = iota + 1
	Sequence
	Mapping
)

// String names the kind as messages to users do.
func (k Kind) String() string {
	switch k {
	case Scalar:
		return "value"
	case Sequence:
		return "list"
	case Mapping:
		return "mapping"
	}
	return "nothing"
}

// Node is one value of the tree. Nodes are shared where aliases were expanded:
// treat them as read-only.
type Node struct {
	Kind         Kind
	Tag          string  // explicit tag as written, such as "!!str" or "!env"; "" where there is none
	Value        string  // Scalar: the text without quotes
	Plain        bool    // Scalar: written without quotes and not as a block, so it may be a number, a bool or null
	Items        []*Node // Sequence
	Pairs        []Pair  // Mapping, in file order
	Line, Column int     // from 1
	Head         string  // comment lines directly above, with their "#"
}

// Pair is one entry of a mapping. Keys are scalars.
type Pair struct{ Key, Value *Node }

// Get returns the value of a key, nil where it is absent or n is no mapping.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, p := range n.Pairs {
		if p.Key.Value == key {
			return p.Value
		}
	}
	return nil
}

// Null reports whether the node is absent or a plain YAML null.
func (n *Node) Null() bool {
	if n == nil {
		return true
	}
	if n.Kind != Scalar || !n.Plain {
		return false
	}
	switch n.Value {
	case "", "~", "null", "Null", "NULL":
		return n.Tag == "" || n.Tag == "!!null"
	}
	return false
}

// Error is what is wrong, and where. Line and Column are 0 where unknown.
type Error struct {
	File         string
	Line, Column int
	Message      string
}

// Error implements error in the form file:line:column: message.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
		if e.Column > 0 {
			fmt.Fprintf(&b, ":%d", e.Column)
		}
	}
	b.WriteString(": ")
	b.WriteString(e.Message)
	return b.String()
}

// Errorf makes an Error at the place of a node, for readers of the tree.
func (n *Node) Errorf(file, format string, args ...any) *Error {
	e := &Error{File: file, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	return e
}

// Parse reads one YAML document. name is the file's name, for errors, which are
// of type *Error. An empty document gives a nil Node.
func Parse(name string, data []byte, limits Limits) (*Node, error) {
	if len(data) > limits.Bytes {
		return nil, &Error{File: name, Message: fmt.Sprintf("%d bytes, more than the limit of %d", len(data), limits.Bytes)}
	}
	doc, err := scan(name, data)
	if doc == nil || err != nil {
		return nil, err
	}
	c := converter{name: name, limits: limits, open: map[*yaml.Node]bool{}, anchors: map[string]*yaml.Node{}}
	return c.convert(doc, 0)
}

// scan runs the library; a panic of its scanner on hostile input is an error here.
func scan(name string, data []byte) (doc *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			doc, err = nil, &Error{File: name, Message: fmt.Sprintf("cannot be parsed: %v", r)}
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var n yaml.Node
	if err := dec.Decode(&n); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, syntaxError(name, err)
	}
	var more yaml.Node
	switch err := dec.Decode(&more); {
	case err == nil:
		return nil, &Error{File: name, Line: more.Line, Column: more.Column, Message: "a second document begins; only one is allowed"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(name, err)
	}
	if n.Kind != yaml.DocumentNode || len(n.Content) == 0 {
		return nil, nil
	}
	if n.Content[0].HeadComment == "" {
		n.Content[0].HeadComment = n.HeadComment
	}
	return n.Content[0], nil
}

var linePrefix = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func syntaxError(name string, err error) error {
	text := err.Error()
	m := linePrefix.FindStringSubmatch(text)
	e := &Error{File: name, Message: text}
	if m != nil {
		e.Message = text[len(m[0]):]
		if m[1] != "" {
			e.Line, _ = strconv.Atoi(m[1]) // digits by the pattern; too many of them leave 0, "unknown"
		}
	}
	return e
}

type converter struct {
	name   string
	limits Limits
	nodes  int

	open    map[*yaml.Node]bool   // being expanded, to find cycles
	anchors map[string]*yaml.Node // by name: PyYAML lets each be given once
}

func (c *converter) fail(n *yaml.Node, format string, args ...any) error {
	return &Error{File: c.name, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)}
}

func (c *converter) convert(n *yaml.Node, depth int) (*Node, error) {
	if c.nodes++; c.nodes > c.limits.Nodes {
		return nil, c.fail(n, "more than %d nodes (aliases expanded)", c.limits.Nodes)
	}
	if depth > c.limits.Depth {
		return nil, c.fail(n, "nested deeper than %d levels", c.limits.Depth)
	}
	if n.Anchor != "" && n.Kind != yaml.AliasNode {
		if first := c.anchors[n.Anchor]; first != nil && first != n {
			return nil, c.fail(n, "anchor %q was given already in line %d", n.Anchor, first.Line)
		}
		c.anchors[n.Anchor] = n
	}
	out := &Node{Line: n.Line, Column: n.Column, Head: n.HeadComment, Tag: explicitTag(n)}
	switch n.Kind {
	case yaml.AliasNode:
		if n.Alias == nil || c.open[n.Alias] {
			return nil, c.fail(n, "alias %q contains itself", n.Value)
		}
		return c.convert(n.Alias, depth)
	case yaml.ScalarNode:
		out.Kind, out.Value = Scalar, n.Value
		out.Plain = n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
		return out, nil
	case yaml.SequenceNode, yaml.MappingNode:
	default:
		return nil, c.fail(n, "unexpected node")
	}
	c.open[n] = true
	defer delete(c.open, n)
	if n.Kind == yaml.MappingNode {
		out.Kind = Mapping
		if err := c.mapping(n, out, depth); err != nil {
			return nil, err
		}
		return out, nil
	}
	out.Kind = Sequence
	for _, item := range n.Content {
		v, err := c.convert(item, depth+1)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
	}
	return out, nil
}

// mapping fills out.Pairs. Entries of merge keys ("<<") follow the mapping's
// own and never replace one that is there.
func (c *converter) mapping(n *yaml.Node, out *Node, depth int) error {
	seen := map[string]*Node{}
	var merges []*Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, err := c.convert(n.Content[i], depth+1)
		if err != nil {
			return err
		}
		if k.Kind != Scalar {
			return c.fail(n.Content[i], "a key must be a plain value, not a %s", k.Kind)
		}
		v, err := c.convert(n.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		if k.Value == "<<" && k.Plain {
			merges = append(merges, v)
			continue
		}
		if first := seen[k.Value]; first != nil {
			return c.fail(n.Content[i], "key %q was given already in line %d", k.Value, first.Line)
		}
		seen[k.Value] = k
		out.Pairs = append(out.Pairs, Pair{k, v})
	}
	for _, m := range merges {
		if err := c.merge(m, out, seen); err != nil {
			return err
		}
	}
	return nil
}

func (c *converter) merge(m, out *Node, seen map[string]*Node) error {
	sources := []*Node{m}
	if m.Kind == Sequence {
		sources = m.Items
	}
	for _, s := range sources {
		if s.Kind != Mapping {
			return m.Errorf(c.name, "<< needs a mapping or a list of mappings, not a %s", s.Kind)
		}
		for _, p := range s.Pairs {
			if seen[p.Key.Value] == nil {
				seen[p.Key.Value] = p.Key
				out.Pairs = append(out.Pairs, p)
			}
		}
	}
	return nil
}

// explicitTag leaves out the tags that the library resolves by itself.
func explicitTag(n *yaml.Node) string {
	if n.Style&yaml.TaggedStyle != 0 || (strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!")) {
		return n.Tag
	}
	return ""
}
