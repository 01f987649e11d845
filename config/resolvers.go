package config

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/wildtrain/sdk/internal/yamlsafe"
)

// Call is what a Resolver gets: the arguments as plain values (nil, bool, int64,
// *big.Int, float64, string, or *Node for lists, mappings and nodes named by
// interpolations), and where it stands.
type Call struct {
	Args []any
	Node *Node // the node being resolved
	eval *evaluator
}

// Resolver computes the value of ${name:args}. It returns a plain value or a
// *Node.
type Resolver func(Call) (any, error)

// environment is what resolvers see of the outside.
type environment struct {
	lookup    func(string) (string, bool)
	resolvers map[string]Resolver
	started   time.Time
	hydra     func() *Node
	warn      func(string)
}

func newEnvironment(o *Options) *environment {
	env := &environment{lookup: o.Env, started: o.Now, warn: o.Warn}
	if env.lookup == nil {
		env.lookup = os.LookupEnv
	}
	if env.started.IsZero() {
		env.started = time.Now()
	}
	if env.warn == nil {
		env.warn = func(string) {}
	}
	env.hydra = func() *Node { return nil }
	env.resolvers = map[string]Resolver{
		"oc.env": env.ocEnv, "oc.decode": ocDecode, "oc.create": ocCreate,
		"oc.select": ocSelect, "oc.deprecated": env.ocDeprecated,
		"oc.dict.keys": ocDictKeys, "oc.dict.values": ocDictValues,
		"now": env.now, "hydra": env.hydraValue, "python_version": goVersion,
	}
	for name, f := range o.Resolvers {
		env.resolvers[name] = f
	}
	return env
}

// call evaluates a resolver.
func (e *evaluator) call(in *inter, n *Node) (*Node, error) {
	name, err := e.name(in.resolver, n)
	if err != nil {
		return nil, err
	}
	f := e.funcs[name]
	if f == nil {
		x := problem("unknown resolver %q", name)
		var names []string
		for k := range e.funcs {
			names = append(names, k)
		}
		x.Hint = didYouMean(name, names)
		return nil, x
	}
	args := make([]any, len(in.args))
	for i, a := range in.args {
		if args[i], err = e.argument(a, n); err != nil {
			return nil, err
		}
	}
	v, err := f(Call{Args: args, Node: n, eval: e})
	if err != nil {
		return nil, at(err, n)
	}
	return e.result(v, n)
}

// argument evaluates an argument to a plain value or a container *Node.
func (e *evaluator) argument(a element, n *Node) (any, error) {
	switch {
	case a.isList:
		out := make([]any, len(a.list))
		for i, item := range a.list {
			v, err := e.argument(item, n)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	case a.dict != nil:
		out := &pairs{}
		for i, item := range a.dict.values {
			v, err := e.argument(item, n)
			if err != nil {
				return nil, err
			}
			out.set(a.dict.keys[i], v)
		}
		return out, nil
	case a.single:
		v, err := e.inter(a.parts[0].inter, n)
		if err != nil {
			return nil, err
		}
		if v.container() {
			return v, nil
		}
		return v.value, nil
	case a.parts != nil || a.quoted:
		return e.concat(a.parts, n)
	}
	return a.value, nil
}

func (c Call) arity(name string, least, most int) error {
	if len(c.Args) < least || len(c.Args) > most {
		return problem("%s takes %d to %d arguments, not %d", name, least, most, len(c.Args))
	}
	return nil
}

func (c Call) text(name string, i int) (string, error) {
	s, ok := c.Args[i].(string)
	if !ok {
		return "", problem("%s: argument %d must be text, not %s", name, i+1, pyRepr(c.Args[i]))
	}
	return s, nil
}

func (env *environment) ocEnv(c Call) (any, error) {
	if err := c.arity("oc.env", 1, 2); err != nil {
		return nil, err
	}
	name, err := c.text("oc.env", 0)
	if err != nil {
		return nil, err
	}
	if v, ok := env.lookup(name); ok {
		return v, nil
	}
	if len(c.Args) == 1 {
		return nil, problem("environment variable %q is not set", name)
	}
	if c.Args[1] == nil {
		return nil, nil
	}
	return pyStr(c.Args[1]), nil
}

func ocDecode(c Call) (any, error) {
	if err := c.arity("oc.decode", 1, 1); err != nil {
		return nil, err
	}
	if c.Args[0] == nil {
		return nil, nil
	}
	s, err := c.text("oc.decode", 0)
	if err != nil {
		return nil, err
	}
	el, err := parseElement(s)
	if err != nil {
		return nil, err
	}
	return c.eval.argument(el, c.Node)
}

func ocCreate(c Call) (any, error) {
	if err := c.arity("oc.create", 1, 1); err != nil {
		return nil, err
	}
	switch x := c.Args[0].(type) {
	case *Node, []any, *pairs:
	case nil:
		return nil, nil
	case string: // YAML text
		n, err := parseYAML("oc.create", []byte(x), yamlsafe.DefaultLimits())
		if err != nil {
			if n, err = bareWord(x, c.Node.place); err != nil {
				return nil, err
			}
		}
		n.parent, n.key = c.Node.parent, c.Node.key
		return n, nil
	default:
		return nil, problem("oc.create needs a list or a mapping")
	}
	n, err := fromValue(c.Args[0], c.Node.place)
	if err != nil {
		return nil, err
	}
	n.parent, n.key = c.Node.parent, c.Node.key
	return n, nil
}

// bareWord is OmegaConf's reading of YAML that is a single text: a mapping from it
// to null.
func bareWord(text string, p *place) (*Node, error) {
	y, err := yamlsafe.Parse("oc.create", []byte(text), yamlsafe.DefaultLimits())
	if err != nil {
		return nil, fromYAML(err)
	}
	if y == nil || y.Kind != yamlsafe.Scalar {
		return nil, problem("oc.create cannot read %q", shorten(text))
	}
	v, err := scalar(y, "oc.create")
	s, ok := v.(string)
	if err != nil || !ok {
		return nil, problem("oc.create needs a list or a mapping")
	}
	d := newDict(p)
	d.set(s, newNode(Null, nil, p))
	return d, nil
}

func (c Call) selectNode(name string, strict bool) (*Node, error) {
	key, err := c.text(name, 0)
	if err != nil {
		return nil, err
	}
	start, rest, err := startOf(c.Node, key)
	if err != nil {
		return nil, err
	}
	v, err := c.eval.selectNode(start, rest, strict)
	if _, plain := err.(*notContainer); plain {
		return nil, nil
	}
	return v, err
}

func ocSelect(c Call) (any, error) {
	if err := c.arity("oc.select", 1, 2); err != nil {
		return nil, err
	}
	v, err := c.selectNode("oc.select", false)
	if err != nil {
		return nil, err
	}
	if v != nil && !v.Missing() {
		return v, nil
	}
	if len(c.Args) == 2 {
		return c.Args[1], nil
	}
	return nil, nil
}

func (env *environment) ocDeprecated(c Call) (any, error) {
	if err := c.arity("oc.deprecated", 1, 2); err != nil {
		return nil, err
	}
	message := "'$OLD_KEY' is deprecated. Change your code and config to use '$NEW_KEY'"
	if len(c.Args) == 2 {
		var err error
		if message, err = c.text("oc.deprecated", 1); err != nil {
			return nil, err
		}
	}
	v, err := c.selectNode("oc.deprecated", false)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, problem("oc.deprecated: key %v not found", c.Args[0])
	}
	env.warn(strings.NewReplacer("$OLD_KEY", c.Node.Path(), "$NEW_KEY", v.Path()).Replace(message))
	return v, nil
}

func (c Call) dict(name string) (*Node, error) {
	if err := c.arity(name, 1, 1); err != nil {
		return nil, err
	}
	v, err := c.selectNode(name, true)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, problem("%s: key %v not found", name, c.Args[0])
	}
	if v.kind != Dict {
		return nil, problem("%s needs a mapping, %v is a %s", name, c.Args[0], v.kind)
	}
	return v, nil
}

func ocDictKeys(c Call) (any, error) {
	d, err := c.dict("oc.dict.keys")
	if err != nil {
		return nil, err
	}
	list := newList(c.Node.place)
	for _, k := range d.keys {
		item, err := fromValue(k, c.Node.place)
		if err != nil {
			return nil, err
		}
		list.push(item)
	}
	list.parent, list.key = c.Node.parent, c.Node.key
	return list, nil
}

// ocDictValues gives a list of interpolations, so that each value is resolved at
// its own place.
func ocDictValues(c Call) (any, error) {
	d, err := c.dict("oc.dict.values")
	if err != nil {
		return nil, err
	}
	key := c.Args[0].(string)
	if strings.HasPrefix(key, ".") {
		key = "." + key
	}
	list := newList(c.Node.place)
	for _, k := range d.keys {
		list.push(newNode(String, fmt.Sprintf("${%s.%s}", key, pyStr(k)), c.Node.place))
	}
	list.parent, list.key = c.Node.parent, c.Node.key
	return list, nil
}

func (env *environment) now(c Call) (any, error) {
	if err := c.arity("now", 1, 1); err != nil {
		return nil, err
	}
	pattern, err := c.text("now", 0)
	if err != nil {
		return nil, err
	}
	return strftime(env.started, pattern), nil
}

func (env *environment) hydraValue(c Call) (any, error) {
	if err := c.arity("hydra", 1, 1); err != nil {
		return nil, err
	}
	key, err := c.text("hydra", 0)
	if err != nil {
		return nil, err
	}
	root := env.hydra()
	if root == nil {
		return nil, problem("hydra: no run is under way")
	}
	v, err := c.eval.selectNode(root, key, false)
	if _, plain := err.(*notContainer); plain || err == nil && (v == nil || v.Missing()) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// goVersion stands for Hydra's python_version: there is no Python here, so it
// tells the version of Go in the same three forms.
func goVersion(c Call) (any, error) {
	parts := strings.Split(strings.TrimPrefix(strings.Fields(runtime.Version())[0], "go"), ".")
	level := "minor"
	if len(c.Args) == 1 {
		var err error
		if level, err = c.text("python_version", 0); err != nil {
			return nil, err
		}
	}
	n, ok := map[string]int{"major": 1, "minor": 2, "micro": 3}[level]
	if !ok {
		return nil, nil
	}
	return strings.Join(parts[:min(n, len(parts))], "."), nil
}

// strftime formats t by C's pattern letters.
func strftime(t time.Time, pattern string) string {
	layouts := map[byte]string{
		'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'H': "15", 'I': "03", 'M': "04", 'S': "05",
		'p': "PM", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'z': "-0700", 'Z': "MST",
		'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", 'e': "_2",
		'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05", 'h': "Jan",
	}
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' || i+1 == len(pattern) {
			b.WriteByte(pattern[i])
			continue
		}
		i++
		switch c := pattern[i]; {
		case layouts[c] != "":
			b.WriteString(t.Format(layouts[c]))
		case c == 'f':
			fmt.Fprintf(&b, "%06d", t.Nanosecond()/1000)
		case c == 's':
			fmt.Fprintf(&b, "%d", t.Unix())
		case c == 'w':
			fmt.Fprintf(&b, "%d", int(t.Weekday()))
		case c == '%':
			b.WriteByte('%')
		default:
			b.WriteByte('%')
			b.WriteByte(c)
		}
	}
	return b.String()
}
