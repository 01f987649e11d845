package config

import "strings"

// Parsed interpolations. A text is a list of parts; a part is literal text or an
// interpolation; an interpolation names a node or calls a resolver.
type (
	part struct {
		text  string
		inter *inter // nil for literal text
	}
	inter struct {
		path     []part // node: keys, dots and brackets, to be joined
		resolver []part // resolver: name, to be joined
		args     []element
	}
	// element is an argument: exactly one field is set, or value (which may be nil).
	element struct {
		value  any
		parts  []part // text put together from several tokens, or one interpolation
		single bool   // parts is one bare interpolation, which keeps its type
		quoted bool   // parts is quoted: always text
		list   []element
		dict   *elementPairs
		isList bool
	}
	elementPairs struct {
		keys   []any
		values []element
	}
)

// maxNesting bounds the recursion of the parsers.
const maxNesting = 100

// interParser parses text with interpolations.
type interParser struct {
	s     string
	i     int
	depth int
}

// parseInterpolation parses a value that contains "${".
func parseInterpolation(s string) ([]part, error) {
	p := interParser{s: s}
	parts, err := p.text(0)
	if err != nil {
		return nil, err
	}
	return parts, nil
}

// parseElement parses text by the rule for arguments (oc.decode).
func parseElement(s string) (element, error) {
	p := interParser{s: s}
	e, err := p.element()
	if err == nil && p.i < len(p.s) {
		err = p.fail("end of text")
	}
	return e, err
}

func (p *interParser) fail(want string) error {
	if p.i >= len(p.s) {
		return problem("interpolation %q ends early: %s expected", shorten(p.s), want)
	}
	return problem("interpolation %q: %s expected at character %d", shorten(p.s), want, p.i+1)
}

func shorten(s string) string {
	if len(s) > 60 {
		return s[:57] + "..."
	}
	return s
}

func (p *interParser) enter() error {
	if p.depth++; p.depth > maxNesting {
		return problem("interpolation %q is nested deeper than %d", shorten(p.s), maxNesting)
	}
	return nil
}

// text reads up to the closing quote, or to the end where quote is 0.
func (p *interParser) text(quote byte) ([]part, error) {
	var parts []part
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			parts = append(parts, part{text: lit.String()})
			lit.Reset()
		}
	}
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case quote != 0 && c == quote:
			flush()
			p.i++
			return parts, nil
		case c == '\\':
			p.backslashes(&lit, quote)
		case strings.HasPrefix(p.s[p.i:], "${"):
			flush()
			in, err := p.interpolation()
			if err != nil {
				return nil, err
			}
			parts = append(parts, part{inter: in})
		default:
			lit.WriteByte(c)
			p.i++
		}
	}
	if quote != 0 {
		return nil, p.fail("closing quote")
	}
	flush()
	return parts, nil
}

// backslashes reads a run of them. An odd run before "${" or the quote escapes
// it; an even run before an interpolation or the end of a quoted text is halved;
// else all are kept.
func (p *interParser) backslashes(lit *strings.Builder, quote byte) {
	start := p.i
	for p.i < len(p.s) && p.s[p.i] == '\\' {
		p.i++
	}
	n := p.i - start
	rest := p.s[p.i:]
	atInter := strings.HasPrefix(rest, "${")
	atQuote := quote != 0 && rest != "" && rest[0] == quote
	if !atInter && !atQuote {
		lit.WriteString(p.s[start:p.i])
		return
	}
	lit.WriteString(strings.Repeat(`\`, n/2))
	switch {
	case n%2 == 0:
	case atInter:
		lit.WriteString("${")
		p.i += 2
	default:
		lit.WriteByte(quote)
		p.i++
	}
}

// interpolation reads "${…}".
func (p *interParser) interpolation() (*inter, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	p.i = skipSpace(p.s, p.i+2)
	in := &inter{}
	onlyNames := true // a resolver's name holds identifiers, interpolations and single dots
	for p.at('.') {
		onlyNames = false
		in.path = append(in.path, part{text: "."})
	}
	for first := true; ; first = false {
		if j := skipSpace(p.s, p.i); !first && j < len(p.s) {
			switch p.s[j] {
			case '}':
				p.i = j + 1
				return in, nil
			case ':':
				if !onlyNames {
					return nil, p.fail("\"}\"")
				}
				p.i = skipSpace(p.s, j+1)
				in.resolver, in.path = in.path, nil
				return in, p.arguments(in)
			}
		}
		named, err := p.step(in, first)
		if err != nil {
			return nil, err
		}
		onlyNames = onlyNames && named
	}
}

func (p *interParser) at(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

// step reads ".key", "[key]" or, as the first, "key". It reports whether the step
// could belong to a resolver's name.
func (p *interParser) step(in *inter, first bool) (bool, error) {
	if p.at('[') {
		k, _, err := p.key()
		if err != nil {
			return false, err
		}
		if !p.at(']') {
			return false, p.fail("\"]\"")
		}
		in.path = append(in.path, part{text: "["}, k, part{text: "]"})
		return false, nil
	}
	if !first {
		if !p.at('.') {
			return false, p.fail("\".\", \"[\" or \"}\"")
		}
		in.path = append(in.path, part{text: "."})
	}
	k, named, err := p.key()
	in.path = append(in.path, k)
	return named, err
}

// key reads one key: an interpolation, an identifier or other plain characters.
func (p *interParser) key() (part, bool, error) {
	if strings.HasPrefix(p.s[p.i:], "${") {
		in, err := p.interpolation()
		return part{inter: in}, true, err
	}
	start := p.i
	for p.i < len(p.s) && strings.IndexByte("\\{}()[]:. \t'\"", p.s[p.i]) < 0 {
		p.i++
	}
	if p.i == start {
		return part{}, false, p.fail("a key")
	}
	return part{text: p.s[start:p.i]}, lexID(p.s, start) == p.i, nil
}

// arguments reads "a, b}" behind the colon of a resolver. A missing argument is
// the empty text, as in OmegaConf.
func (p *interParser) arguments(in *inter) error {
	args, err := p.sequence(tokBraceClose)
	in.args = args
	return err
}

func (p *interParser) sequence(end tokenKind) ([]element, error) {
	var out []element
	if t := lexValue(p.s, p.i, false); t.kind == end {
		p.i = t.end
		return nil, nil
	}
	for pending := true; ; {
		t := lexValue(p.s, p.i, false)
		switch t.kind {
		case tokComma:
			if pending {
				out = append(out, element{value: ""})
			}
			pending = true
			p.i = t.end
		case end:
			if pending {
				out = append(out, element{value: ""})
			}
			p.i = t.end
			return out, nil
		default:
			if !pending {
				return nil, p.fail("\",\"")
			}
			e, err := p.element()
			if err != nil {
				return nil, err
			}
			out = append(out, e)
			pending = false
		}
	}
}

func (p *interParser) element() (element, error) {
	if err := p.enter(); err != nil {
		return element{}, err
	}
	defer func() { p.depth-- }()
	switch t := lexValue(p.s, p.i, false); t.kind {
	case tokOpen:
		p.i = t.end
		list, err := p.sequence(tokClose)
		return element{list: list, isList: true}, err
	case tokBraceOpen:
		p.i = t.end
		return p.dict()
	case tokQuoted:
		p.i = t.end
		parts, err := p.text(p.s[t.start])
		return element{parts: parts, quoted: true}, err
	}
	return p.primitive(true)
}

func (p *interParser) dict() (element, error) {
	out := element{dict: &elementPairs{}}
	if t := lexValue(p.s, p.i, false); t.kind == tokBraceClose {
		p.i = t.end
		return out, nil
	}
	for {
		k, err := p.primitive(false)
		if err != nil {
			return out, err
		}
		t := lexValue(p.s, p.i, false)
		if t.kind != tokColon {
			return out, p.fail("\":\"")
		}
		p.i = t.end
		v, err := p.element()
		if err != nil {
			return out, err
		}
		out.dict.keys = append(out.dict.keys, k.value)
		out.dict.values = append(out.dict.values, v)
		switch t = lexValue(p.s, p.i, false); t.kind {
		case tokComma:
			p.i = t.end
		case tokBraceClose:
			p.i = t.end
			return out, nil
		default:
			return out, p.fail("\",\" or \"}\"")
		}
	}
}

// primitive reads tokens that make up one value. full also allows colons and
// interpolations, which keys may not hold.
func (p *interParser) primitive(full bool) (element, error) {
	var parts []part
	var tokens []token
	for {
		t := lexValue(p.s, p.i, false)
		switch {
		case t.kind == tokInterOpen && full:
			in, err := p.interpolation()
			if err != nil {
				return element{}, err
			}
			parts = append(parts, part{inter: in})
		case t.kind >= tokFloat && t.kind <= tokSpace, t.kind == tokColon && full:
			p.i = t.end
			text := p.s[t.start:t.end]
			if t.kind == tokEsc {
				text = unescape(text)
			}
			parts = append(parts, part{text: text})
		default:
			return p.finish(parts, tokens)
		}
		tokens = append(tokens, t)
	}
}

func (p *interParser) finish(parts []part, tokens []token) (element, error) {
	switch {
	case len(parts) == 0:
		return element{}, p.fail("a value")
	case len(parts) > 1:
		return joined(parts), nil
	case parts[0].inter != nil:
		return element{parts: parts, single: true}, nil
	case tokens[0].kind == tokSpace:
		return element{}, p.fail("a value")
	}
	v, err := literal(tokens[0], p.s)
	return element{value: v}, err
}

// joined folds literal parts into a plain value where no interpolation is among
// them.
func joined(parts []part) element {
	var b strings.Builder
	for _, x := range parts {
		if x.inter != nil {
			return element{parts: parts}
		}
		b.WriteString(x.text)
	}
	return element{value: b.String()}
}
