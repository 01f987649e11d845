package config

import (
	"math"
	"regexp"
	"strings"
)

// YAML writes the tree as OmegaConf.to_yaml does: block style, 2 spaces, keys in
// their order, text quoted where it would read as another type, long lines folded
// at 80 characters. Interpolations stay as written.
func (n *Node) YAML() string {
	w := &yamlWriter{whitespace: true, indention: true}
	w.node(n, -1, false)
	w.newline()
	return w.b.String()
}

// yamlWriter keeps the state that PyYAML's emitter keeps, so that lines fold at
// the same place.
type yamlWriter struct {
	b          strings.Builder
	column     int
	indent     int
	whitespace bool // the last character written was a blank or an indicator
	indention  bool // only indention has been written in this line
}

const (
	yamlWidth = 80
	yamlBreak = "\n\u0085\u2028\u2029"
)

func (w *yamlWriter) write(s string) {
	w.b.WriteString(s)
	w.column += len([]rune(s))
}

func (w *yamlWriter) newline() {
	w.b.WriteByte('\n')
	w.column = 0
	w.whitespace, w.indention = true, true
}

// startLine moves to the indention of the current block.
func (w *yamlWriter) startLine() {
	indent := max(w.indent, 0)
	if !w.indention || w.column > indent || w.column == indent && !w.whitespace {
		w.newline()
	}
	if w.column < indent {
		w.whitespace = true
		w.write(strings.Repeat(" ", indent-w.column))
	}
}

func (w *yamlWriter) indicator(s string, needSpace, whitespace, indention bool) {
	if !w.whitespace && needSpace {
		s = " " + s
	}
	w.whitespace = whitespace
	w.indention = w.indention && indention
	w.write(s)
}

// node writes a value; indent is that of its parent, inMapping tells that it
// follows a key.
func (w *yamlWriter) node(n *Node, indent int, inMapping bool) {
	outer := w.indent
	defer func() { w.indent = outer }()
	switch {
	case n.kind == Dict && len(n.items) == 0:
		w.indicator("{}", true, false, false)
	case n.kind == List && len(n.items) == 0:
		w.indicator("[]", true, false, false)
	case n.kind == Dict:
		w.indent = indent + 2
		if indent < 0 {
			w.indent = 0
		}
		for i, k := range n.keys {
			w.startLine()
			w.key(k)
			w.node(n.items[i], w.indent, true)
		}
	case n.kind == List:
		w.indent = indent + 2
		if indent < 0 {
			w.indent = 0
		} else if inMapping && !w.indention {
			w.indent = indent
		}
		for _, item := range n.items {
			w.startLine()
			w.indicator("-", true, false, true)
			w.node(item, w.indent, false)
		}
	default:
		w.indent = indent + 2
		if indent < 0 {
			w.indent = 0
		}
		w.scalar(n.value, false)
	}
}

func (w *yamlWriter) key(k any) {
	s, _ := scalarText(k)
	a := analyze(s)
	if len([]rune(s)) < 128 && s != "" && !a.multiline {
		w.scalar(k, true)
		w.indicator(":", false, false, false)
		return
	}
	w.indicator("?", true, false, true)
	outer := w.indent
	w.indent += 2
	w.scalar(k, false)
	w.indent = outer
	w.startLine()
	w.indicator(":", true, false, true)
}

// scalarText is the text of a scalar and whether it is a String.
func scalarText(v any) (string, bool) {
	switch x := v.(type) {
	case nil:
		return "null", false
	case bool:
		return strings.ToLower(pyStr(x)), false
	case float64:
		return yamlFloatText(x), false
	case string:
		return x, true
	}
	return pyStr(v), false
}

func yamlFloatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return ".nan"
	case math.IsInf(f, 1):
		return ".inf"
	case math.IsInf(f, -1):
		return "-.inf"
	}
	s := pyFloat(f)
	if !strings.Contains(s, ".") {
		s = strings.Replace(s, "e", ".0e", 1)
	}
	return s
}

func (w *yamlWriter) scalar(v any, isKey bool) {
	s, text := scalarText(v)
	split := !isKey
	if !text {
		w.plain(s, split)
		return
	}
	a := analyze(s)
	quote := readsAsBool(s) || pyIsInt(s) || pyIsFloat(s)
	switch {
	case !quote && dumpsAsText(s) && !(isKey && (s == "" || a.multiline)) && a.plain:
		w.plain(s, split)
	case a.single && !(isKey && a.multiline):
		w.single([]rune(s), split)
	default:
		w.double([]rune(s), split)
	}
}

func readsAsBool(s string) bool {
	switch s {
	case "y", "Y", "n", "N":
		return true
	}
	_, ok := yamlBool[s]
	return ok
}

func pyIsInt(s string) bool {
	_, err := pyIntText(s)
	return err == nil
}

func pyIsFloat(s string) bool {
	_, err := castFloat(s)
	return err == nil
}

var yamlTimestamp = regexp.MustCompile(`^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?)$`)

// dumpsAsText reports whether PyYAML's own rules read the plain text as text.
func dumpsAsText(s string) bool {
	if s == "" || s == "<<" || s == "=" || s == "!" || s == "&" || s == "*" {
		return false
	}
	switch implicitTag(s) {
	case "!!str":
		return !yamlTimestamp.MatchString(s)
	case "!!float":
		return !yamlFloatBase.MatchString(s)
	}
	return false
}

// analysis says in which styles a text can be written.
type analysis struct{ multiline, plain, single bool }

func analyze(s string) analysis {
	if s == "" {
		return analysis{plain: true, single: true}
	}
	r := []rune(s)
	a := analysis{}
	indicators := strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...")
	special, edges, breakSpace, spaceBreak := false, false, false, false
	afterSpace, afterBreak, afterBlank := false, false, true
	for i, c := range r {
		blankNext := i+1 >= len(r) || isYAMLBlank(r[i+1])
		isBreak := strings.ContainsRune(yamlBreak, c)
		indicators = indicators || isIndicator(c, i == 0, afterBlank, blankNext)
		a.multiline = a.multiline || isBreak
		special = special || !printable(c)
		edges = edges || (i == 0 || i == len(r)-1) && (c == ' ' || isBreak)
		breakSpace = breakSpace || c == ' ' && afterBreak
		spaceBreak = spaceBreak || isBreak && afterSpace
		afterSpace, afterBreak = c == ' ', isBreak
		afterBlank = isYAMLBlank(c)
	}
	a.single = !breakSpace && !spaceBreak && !special
	a.plain = a.single && !edges && !a.multiline && !indicators
	return a
}

func isYAMLBlank(c rune) bool { return strings.ContainsRune("\x00 \t\r"+yamlBreak, c) }

func isIndicator(c rune, first, afterBlank, blankNext bool) bool {
	if first {
		return strings.ContainsRune("#,[]{}&*!|>'\"%@`", c) || blankNext && strings.ContainsRune("?:-", c)
	}
	return c == ':' && blankNext || c == '#' && afterBlank
}

func printable(c rune) bool {
	switch {
	case c == '\n' || c >= 0x20 && c <= 0x7e:
		return true
	case c == 0xfeff:
		return false
	}
	return c == 0x85 || c >= 0xa0 && c <= 0xd7ff || c >= 0xe000 && c <= 0xfffd || c >= 0x10000 && c < 0x10ffff
}

func (w *yamlWriter) plain(s string, split bool) {
	if s == "" {
		return
	}
	if !w.whitespace {
		w.write(" ")
	}
	w.whitespace, w.indention = false, false
	r := []rune(s)
	for start := 0; start < len(r); {
		end := start
		if r[start] == ' ' {
			for end < len(r) && r[end] == ' ' {
				end++
			}
			if end-start == 1 && w.column > yamlWidth && split {
				w.startLine()
				w.whitespace, w.indention = false, false
			} else {
				w.write(string(r[start:end]))
			}
		} else {
			for end < len(r) && r[end] != ' ' {
				end++
			}
			w.write(string(r[start:end]))
		}
		start = end
	}
}

func (w *yamlWriter) single(r []rune, split bool) {
	w.indicator("'", true, false, false)
	for start := 0; start < len(r); {
		end := start
		switch c := r[start]; {
		case c == ' ':
			for end < len(r) && r[end] == ' ' {
				end++
			}
			if end-start == 1 && w.column > yamlWidth && split && start != 0 && end != len(r) {
				w.startLine()
			} else {
				w.write(string(r[start:end]))
			}
		case strings.ContainsRune(yamlBreak, c):
			for end < len(r) && strings.ContainsRune(yamlBreak, r[end]) {
				end++
			}
			w.breaks(r[start:end])
		case c == '\'':
			w.write("''")
			end++
		default:
			for end < len(r) && !strings.ContainsRune(" '"+yamlBreak, r[end]) {
				end++
			}
			w.write(string(r[start:end]))
		}
		start = end
	}
	w.indicator("'", false, false, false)
}

// breaks writes line breaks inside quotes: the first is doubled, as one alone
// would read as a blank.
func (w *yamlWriter) breaks(r []rune) {
	if r[0] == '\n' {
		w.newline()
	}
	for _, c := range r {
		if c != '\n' {
			w.b.WriteRune(c)
			w.column, w.whitespace, w.indention = 0, true, true
			continue
		}
		w.newline()
	}
	w.startLine()
}

var yamlEscapes = map[rune]string{0: "0", 7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 27: "e", '"': `"`, '\\': `\`, 0x85: "N", 0xa0: "_", 0x2028: "L", 0x2029: "P"}

func yamlEscape(c rune) string {
	if e, ok := yamlEscapes[c]; ok {
		return `\` + e
	}
	e := pyEscape(c)
	return e[:2] + strings.ToUpper(e[2:]) // \x1B, \uFEFF
}

func (w *yamlWriter) double(r []rune, split bool) {
	w.indicator(`"`, true, false, false)
	start := 0
	for end := 0; end <= len(r); end++ {
		atEnd := end == len(r)
		var c rune
		if !atEnd {
			c = r[end]
		}
		if atEnd || strings.ContainsRune("\"\\\u0085\u2028\u2029\ufeff", c) || !(c >= 0x20 && c <= 0x7e || c >= 0xa0 && c <= 0xd7ff || c >= 0xe000 && c <= 0xfffd) {
			if start < end {
				w.write(string(r[start:end]))
				start = end
			}
			if !atEnd {
				w.write(yamlEscape(c))
				start = end + 1
			}
		}
		if end > 0 && end < len(r)-1 && (c == ' ' || start >= end) && w.column+(end-start) > yamlWidth && split {
			w.write(string(r[min(start, end):end]) + `\`)
			start = max(start, end)
			w.startLine()
			w.whitespace, w.indention = false, false
			if r[start] == ' ' {
				w.write(`\`)
			}
		}
	}
	w.indicator(`"`, false, false, false)
}
