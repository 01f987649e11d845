// Package pyjson reads and writes JSON as Python's json module does: numbers may
// be NaN, Infinity or -Infinity, and integers stay apart from floats. Optuna's
// stores hold such JSON, which encoding/json refuses.
package pyjson

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds nesting: stores are untrusted files.
const maxDepth = 200

// Parse reads one JSON value: nil, bool, int64, float64, string, []any or
// map[string]any. Integers beyond int64 become float64.
func Parse(text string) (any, error) {
	p := parser{text: text}
	v, err := p.value(0)
	if err == nil {
		if p.space(); p.at < len(text) {
			err = errors.New("text after the value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("pyjson: byte %d: %w", p.at, err)
	}
	return v, nil
}

type parser struct {
	text string
	at   int
}

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) take(word string) bool {
	if strings.HasPrefix(p.text[p.at:], word) {
		p.at += len(word)
		return true
	}
	return false
}

var words = []struct {
	text  string
	value any
}{
	{"null", nil}, {"true", true}, {"false", false},
	{"NaN", math.NaN()}, {"Infinity", math.Inf(1)}, {"-Infinity", math.Inf(-1)},
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	p.space()
	if p.at >= len(p.text) {
		return nil, errors.New("the text ends early")
	}
	switch p.text[p.at] {
	case '"':
		return p.str()
	case '[':
		return p.list(depth)
	case '{':
		return p.object(depth)
	}
	for _, w := range words {
		if p.take(w.text) {
			return w.value, nil
		}
	}
	return p.number()
}

func (p *parser) list(depth int) (any, error) {
	p.at++
	out := []any{}
	for {
		p.space()
		if len(out) == 0 && p.take("]") {
			return out, nil
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		p.space()
		if p.take("]") {
			return out, nil
		}
		if !p.take(",") {
			return nil, errors.New("want , or ] in a list")
		}
	}
}

func (p *parser) object(depth int) (any, error) {
	p.at++
	out := map[string]any{}
	for {
		p.space()
		if len(out) == 0 && p.take("}") {
			return out, nil
		}
		if p.at >= len(p.text) || p.text[p.at] != '"' {
			return nil, errors.New("want a key in an object")
		}
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		if p.space(); !p.take(":") {
			return nil, errors.New("want : after a key")
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out[key] = v
		p.space()
		if p.take("}") {
			return out, nil
		}
		if !p.take(",") {
			return nil, errors.New("want , or } in an object")
		}
	}
}

func (p *parser) number() (any, error) {
	start := p.at
	for p.at < len(p.text) && strings.IndexByte("+-0123456789.eE", p.text[p.at]) >= 0 {
		p.at++
	}
	text := p.text[start:p.at]
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || digits[0] < '0' || digits[0] > '9' || len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		p.at = start
		return nil, errors.New("this is no value")
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		p.at = start
		return nil, fmt.Errorf("%q is no number", text)
	}
	return f, nil
}

func (p *parser) str() (string, error) {
	p.at++
	start := p.at
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return p.text[start : p.at-1], nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", errors.New("a control character in a string")
		}
	}
	return "", errors.New("a string does not end")
}

var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escaped reads on where a string has its first backslash.
func (p *parser) escaped(start int) (string, error) {
	out := []byte(p.text[start:p.at])
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch {
		case c == '"':
			return string(out), nil
		case c < ' ':
			return "", errors.New("a control character in a string")
		case c != '\\':
			out = append(out, c)
			continue
		}
		if p.at >= len(p.text) {
			break
		}
		e := p.text[p.at]
		p.at++
		if plain, ok := escapes[e]; ok {
			out = append(out, plain)
			continue
		}
		if e != 'u' {
			return "", fmt.Errorf("unknown escape \\%c", e)
		}
		r, err := p.hex()
		if err != nil {
			return "", err
		}
		if utf16.IsSurrogate(r) && p.take(`\u`) {
			low, err := p.hex()
			if err != nil {
				return "", err
			}
			r = utf16.DecodeRune(r, low)
		}
		out = utf8.AppendRune(out, r)
	}
	return "", errors.New("a string does not end")
}

func (p *parser) hex() (rune, error) {
	if p.at+4 > len(p.text) {
		return 0, errors.New("\\u wants four digits")
	}
	v, err := strconv.ParseUint(p.text[p.at:p.at+4], 16, 32)
	if err != nil {
		return 0, errors.New("\\u wants four digits")
	}
	p.at += 4
	return rune(v), nil
}

// Marshal writes what Parse reads, and int and []float64 besides, in the form of
// json.dumps with its separators given: ", " and ": " by default, "," and ":" in
// journals. Keys are sorted.
func Marshal(v any, compact bool) (string, error) {
	w := writer{comma: ", ", colon: ": "}
	if compact {
		w.comma, w.colon = ",", ":"
	}
	if err := w.value(v, 0); err != nil {
		return "", fmt.Errorf("pyjson: %w", err)
	}
	return w.b.String(), nil
}

type writer struct {
	b            strings.Builder
	comma, colon string
}

func (w *writer) value(v any, depth int) error {
	if depth > maxDepth {
		return errors.New("nested too deeply")
	}
	switch x := v.(type) {
	case nil:
		w.b.WriteString("null")
	case bool:
		w.b.WriteString(strconv.FormatBool(x))
	case int:
		w.b.WriteString(strconv.Itoa(x))
	case int64:
		w.b.WriteString(strconv.FormatInt(x, 10))
	case float64:
		w.b.WriteString(Float(x))
	case string:
		w.str(x)
	case []float64:
		return writeList(w, x, depth)
	case []string:
		return writeList(w, x, depth)
	case []any:
		return writeList(w, x, depth)
	case map[string]any:
		return w.object(x, depth)
	default:
		return fmt.Errorf("a %T is no JSON value", v)
	}
	return nil
}

func writeList[T any](w *writer, list []T, depth int) error {
	w.b.WriteByte('[')
	for i, v := range list {
		if i > 0 {
			w.b.WriteString(w.comma)
		}
		if err := w.value(v, depth+1); err != nil {
			return err
		}
	}
	w.b.WriteByte(']')
	return nil
}

func (w *writer) object(m map[string]any, depth int) error {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	w.b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			w.b.WriteString(w.comma)
		}
		w.str(k)
		w.b.WriteString(w.colon)
		if err := w.value(m[k], depth+1); err != nil {
			return err
		}
	}
	w.b.WriteByte('}')
	return nil
}

// str escapes everything outside ASCII, as json.dumps does by default.
func (w *writer) str(s string) {
	w.b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.b.WriteByte('\\')
			w.b.WriteRune(r)
		case r == '\n':
			w.b.WriteString(`\n`)
		case r == '\t':
			w.b.WriteString(`\t`)
		case r == '\r':
			w.b.WriteString(`\r`)
		case r >= ' ' && r < 0x7f:
			w.b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&w.b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&w.b, `\u%04x`, r)
		}
	}
	w.b.WriteByte('"')
}

// Float writes a number as Python's repr: the shortest digits that read back,
// always with a point or an exponent.
func Float(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
