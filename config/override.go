package config

import (
	"slices"
	"strings"
)

// Override is one command-line argument such as key=value, +key=value,
// ++key=value, ~key or group=option.
type Override struct {
	Line    string // as typed
	Key     string // dotted key, or group path
	Package string // behind "@"; see HasPackage
	Op      Op
	HasPackage,
	HasValue bool
	value any // parsed: plain values, quoted, []any, *pairs or *Sweep
}

// Op is what an override does.
type Op uint8

// The operations: key=v, +key=v, ++key=v, ~key and key+=[v] (the last is an
// extension of ours).
const (
	Change Op = iota
	Add
	ForceAdd
	Delete
	Extend
)

// quoted is text that was written in quotes, which keeps them when passed on.
type quoted struct {
	text string
	by   byte
}

// Sweep returns the sweep of the value, nil if it is a single value.
func (o *Override) Sweep() *Sweep {
	s, _ := o.value.(*Sweep)
	return s
}

// hydra reports whether the override is about the hydra node.
func (o *Override) hydra() bool {
	return strings.HasPrefix(o.Key, "hydra.") || strings.HasPrefix(o.Key, "hydra/")
}

// name is the key with its package.
func (o *Override) name() string {
	if o.HasPackage {
		return o.Key + "@" + o.Package
	}
	return o.Key
}

// element is the key with operator and package, as sweeps repeat it.
func (o *Override) element() string {
	return [...]string{"", "+", "++", "~", ""}[o.Op] + o.name()
}

// ParseOverride parses one argument.
func ParseOverride(line string) (*Override, error) {
	o, err := parseOverride(line)
	if err != nil {
		x := problem("%s", strings.TrimPrefix(err.Error(), "config: "))
		x.File = "override " + shorten(line)
		return nil, x
	}
	return o, nil
}

// overrideParser parses the value of an override.
type overrideParser struct {
	s     string
	i     int
	depth int
}

func (p *overrideParser) fail(want string) error {
	if p.i >= len(p.s) {
		return problem("ends early: %s expected", want)
	}
	return problem("%s expected at character %d", want, p.i+1)
}

func parseOverride(line string) (*Override, error) {
	o := &Override{Line: line}
	i := 0
	switch {
	case strings.HasPrefix(line, "++"):
		o.Op, i = ForceAdd, 2
	case strings.HasPrefix(line, "+"):
		o.Op, i = Add, 1
	case strings.HasPrefix(line, "~"):
		o.Op, i = Delete, 1
	}
	p := &overrideParser{s: line, i: i}
	if err := p.key(o); err != nil {
		return nil, err
	}
	if o.Op == Change && strings.HasPrefix(line[p.i:], "+=") {
		o.Op = Extend
		p.i++
	}
	if p.i == len(line) && o.Op == Delete {
		return o, nil
	}
	if p.i >= len(line) || line[p.i] != '=' {
		if p.i >= len(line) {
			return nil, problem("an override has the form key=value")
		}
		return nil, p.fail("\"=\"")
	}
	o.HasValue = true
	p.i = skipSpace(line, p.i+1)
	if p.i == len(line) {
		o.value = ""
		return o, nil
	}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if s, ok := v.(*Sweep); ok && holdsSweep(s.choices) || !ok && holdsSweep(v) {
		return nil, problem("a sweep cannot stand inside another value")
	}
	o.value = v
	return o, nil
}

// holdsSweep looks for a sweep in a value.
func holdsSweep(v any) bool {
	switch x := v.(type) {
	case *Sweep:
		return true
	case []any:
		return slices.ContainsFunc(x, holdsSweep)
	case *pairs:
		return slices.ContainsFunc(x.values, holdsSweep)
	}
	return false
}

// key reads group/sub@package or a.b.c. Keys hold letters, digits, "_", "-" and
// "$"; those of a dotted path may be numbers.
func (p *overrideParser) key(o *Override) error {
	var kind keyKind
	o.Key, kind = p.keyToken()
	for kind == keyID && p.i < len(p.s) && p.s[p.i] == '/' {
		p.i++
		next, k := p.keyToken()
		if k != keyID {
			return p.fail("the name of a group")
		}
		o.Key += "/" + next
	}
	if kind == keyBad {
		return p.fail("a key")
	}
	if p.i < len(p.s) && p.s[p.i] == '@' {
		p.i++
		o.HasPackage = true
		o.Package, kind = p.keyToken()
		if kind == keyBad {
			return p.fail("a package")
		}
	}
	return nil
}

type keyKind uint8

const (
	keyEmpty keyKind = iota
	keyID
	keySpecial
	keyPath
	keyBad
)

func (p *overrideParser) keyToken() (string, keyKind) {
	start := p.i
	ends, special, number := 0, false, false
	for {
		j := p.i
		if j < len(p.s) && (isLetter(p.s[j]) || p.s[j] == '$') {
			for j < len(p.s) && (isLetter(p.s[j]) || isDigit(p.s[j]) || p.s[j] == '-' || p.s[j] == '$') {
				special = special || p.s[j] == '$'
				j++
			}
		} else {
			j += len(unsignedInt(p.s[j:]))
			number = number || j > p.i
		}
		if j == p.i {
			break
		}
		ends++
		p.i = j
		if j >= len(p.s) || p.s[j] != '.' {
			break
		}
		p.i++
	}
	text := p.s[start:p.i]
	switch {
	case text == "":
		return "", keyEmpty
	case strings.HasSuffix(text, ".") || ends == 1 && number:
		return text, keyBad
	case ends > 1:
		return text, keyPath
	case special:
		return text, keySpecial
	}
	return text, keyID
}

// unsignedInt returns the longest prefix such as 0 or 1_000.
func unsignedInt(s string) string {
	if s == "" || !isDigit(s[0]) {
		return ""
	}
	return reInt.FindString(s)
}

// value reads a value or the simple sweep a,b,c, up to the end.
func (p *overrideParser) value() (any, error) {
	first, err := p.element()
	if err != nil {
		return nil, err
	}
	t := lexValue(p.s, p.i, true)
	if t.kind == tokEOF {
		return first, nil
	}
	sweep := &Sweep{Kind: ChoiceSweep, Simple: true, choices: []any{first}}
	for t.kind == tokComma {
		p.i = t.end
		v, err := p.element()
		if err != nil {
			return nil, err
		}
		sweep.choices = append(sweep.choices, v)
		t = lexValue(p.s, p.i, true)
	}
	if t.kind != tokEOF {
		return nil, p.fail("\",\" or the end")
	}
	return sweep, nil
}

func (p *overrideParser) element() (any, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, problem("nested deeper than %d", maxNesting)
	}
	defer func() { p.depth-- }()
	switch t := lexValue(p.s, p.i, true); t.kind {
	case tokOpen:
		p.i = t.end
		return p.list()
	case tokBraceOpen:
		p.i = t.end
		return p.dict()
	case tokQuoted:
		p.i = t.end
		return unquote(p.s[t.start:t.end]), nil
	case tokID:
		if open := lexValue(p.s, t.end, true); open.kind == tokPOpen {
			p.i = open.end
			return p.function(p.s[t.start:t.end])
		}
	}
	return p.primitive(true)
}

func (p *overrideParser) list() (any, error) {
	out := []any{}
	if t := lexValue(p.s, p.i, true); t.kind == tokClose {
		p.i = t.end
		return out, nil
	}
	for {
		v, err := p.element()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		t := lexValue(p.s, p.i, true)
		p.i = t.end
		switch t.kind {
		case tokComma:
		case tokClose:
			return out, nil
		default:
			p.i = t.start
			return nil, p.fail("\",\" or \"]\"")
		}
	}
}

func (p *overrideParser) dict() (any, error) {
	out := &pairs{}
	if t := lexValue(p.s, p.i, true); t.kind == tokBraceClose {
		p.i = t.end
		return out, nil
	}
	for {
		k, err := p.primitive(false)
		if err != nil {
			return nil, err
		}
		t := lexValue(p.s, p.i, true)
		if t.kind != tokColon {
			return nil, p.fail("\":\"")
		}
		p.i = t.end
		v, err := p.element()
		if err != nil {
			return nil, err
		}
		out.set(k, v)
		t = lexValue(p.s, p.i, true)
		p.i = t.end
		switch t.kind {
		case tokComma:
		case tokBraceClose:
			return out, nil
		default:
			p.i = t.start
			return nil, p.fail("\",\" or \"}\"")
		}
	}
}

// primitive reads the tokens of one unquoted value. full also allows colons and
// interpolations, which keys may not hold.
func (p *overrideParser) primitive(full bool) (any, error) {
	var tokens []token
	for {
		t := lexValue(p.s, p.i, true)
		if t.kind >= tokFloat && t.kind <= tokSpace || full && (t.kind == tokColon || t.kind == tokInterOpen) {
			tokens = append(tokens, t)
			p.i = t.end
			continue
		}
		break
	}
	if len(tokens) > 0 && tokens[0].kind == tokSpace {
		tokens = tokens[1:]
	}
	if len(tokens) > 0 && tokens[len(tokens)-1].kind == tokSpace {
		tokens = tokens[:len(tokens)-1]
	}
	switch len(tokens) {
	case 0:
		return nil, p.fail("a value (quote text that holds other characters)")
	case 1:
		return literal(tokens[0], p.s)
	}
	var b strings.Builder
	for _, t := range tokens {
		text := p.s[t.start:t.end]
		if t.kind == tokEsc {
			text = unescape(text)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// function reads the arguments behind name( and evaluates the call.
func (p *overrideParser) function(name string) (any, error) {
	c := call{name: name}
	if t := lexValue(p.s, p.i, true); t.kind == tokPClose {
		p.i = t.end
		return c.eval()
	}
	for {
		key := ""
		if t := lexValue(p.s, p.i, true); t.kind == tokID {
			if eq := lexValue(p.s, t.end, true); eq.kind == tokEqual {
				key = p.s[t.start:t.end]
				p.i = eq.end
			}
		}
		v, err := p.element()
		if err != nil {
			return nil, err
		}
		if err := c.add(key, v); err != nil {
			return nil, err
		}
		t := lexValue(p.s, p.i, true)
		p.i = t.end
		switch t.kind {
		case tokComma:
		case tokPClose:
			return c.eval()
		default:
			p.i = t.start
			return nil, p.fail("\",\" or \")\"")
		}
	}
}

// unquote removes the quotes and the backslashes that protect inner ones.
func unquote(s string) quoted {
	q, body := s[0], s[1:len(s)-1]
	var b strings.Builder
	for i := 0; i < len(body); {
		j := i
		for j < len(body) && body[j] == '\\' {
			j++
		}
		n := j - i
		switch {
		case n == 0:
			b.WriteByte(body[i])
			i++
			continue
		case j == len(body) || body[j] == q: // before a quote backslashes come in pairs
			b.WriteString(strings.Repeat(`\`, n/2))
			if j < len(body) {
				b.WriteByte(q)
				j++
			}
		default:
			b.WriteString(body[i:j])
		}
		i = j
	}
	return quoted{b.String(), q}
}

// withQuotes is the inverse of unquote.
func (q quoted) withQuotes() string {
	var b strings.Builder
	b.WriteByte(q.by)
	for i := 0; i < len(q.text); {
		j := i
		for j < len(q.text) && q.text[j] == '\\' {
			j++
		}
		run := q.text[i:j]
		switch {
		case j == len(q.text):
			b.WriteString(run + run)
		case q.text[j] == q.by:
			b.WriteString(run + run + `\`)
			b.WriteByte(q.by)
			j++
		default:
			b.WriteString(run)
			b.WriteByte(q.text[j])
			j++
		}
		i = j
	}
	b.WriteByte(q.by)
	return b.String()
}

// overrideText writes a parsed value so that it parses back to itself.
func overrideText(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case quoted:
		return x.withQuotes()
	case []any:
		parts := make([]string, len(x))
		for i, item := range x {
			parts[i] = overrideText(item)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case *pairs:
		parts := make([]string, len(x.keys))
		for i, k := range x.keys {
			parts[i] = overrideText(k) + ":" + overrideText(x.values[i])
		}
		return "{" + strings.Join(parts, ",") + "}"
	case string:
		var b strings.Builder
		for i := 0; i < len(x); i++ {
			if strings.IndexByte(escapable, x[i]) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(x[i])
		}
		return b.String()
	}
	return pyStr(v)
}

// Quote writes text so that an override takes it as it is, whatever it holds but
// interpolations.
func Quote(text string) string {
	return quoted{text, '\''}.withQuotes()
}
