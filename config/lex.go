package config

import (
	"math/big"
	"regexp"
	"strings"
)

// The override grammar (Hydra) and the interpolation grammar (OmegaConf) share
// their value tokens. As in a generated lexer the longest match wins, and among
// equals the first kind below.
type tokenKind uint8

const (
	tokEOF    tokenKind = iota
	tokPOpen            // "(" (overrides only)
	tokPClose           // ")" (overrides only)
	tokComma
	tokOpen
	tokClose
	tokBraceOpen
	tokBraceClose
	tokColon
	tokEqual // overrides only
	tokFloat
	tokInt
	tokBool
	tokNull
	tokChar // one of the characters allowed in unquoted text
	tokID
	tokEsc // escaped characters
	tokSpace
	tokQuoted    // overrides: the quoted text; interpolations: the opening quote
	tokInterOpen // overrides: a whole "${…}"; interpolations: "${"
	tokBad
)

type token struct {
	kind       tokenKind
	start, end int
}

const (
	unquotedChars = `/-\+.$%*@?|`
	escapable     = "\\()[]{}:=, \t"
)

var (
	reFloat = regexp.MustCompile(`^[+-]?(?:(?:(?:(?:0|[1-9](?:_?[0-9])*)?\.[0-9](?:_?[0-9])*|(?:0|[1-9](?:_?[0-9])*)\.?)[eE][+-]?[0-9](?:_?[0-9])*)|(?:0|[1-9](?:_?[0-9])*)?\.[0-9](?:_?[0-9])*|(?:0|[1-9](?:_?[0-9])*)\.|[Ii][Nn][Ff]|[Nn][Aa][Nn])`)
	reInt   = regexp.MustCompile(`^[+-]?(?:0|[1-9](?:_?[0-9])*)`)
)

func isSpace(c byte) bool { return c == ' ' || c == '\t' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// skipSpace returns the first index from i on that holds no blank.
func skipSpace(s string, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

// lexID returns the end of an identifier at i, or i.
func lexID(s string, i int) int {
	if i >= len(s) || !isLetter(s[i]) {
		return i
	}
	for i < len(s) && (isLetter(s[i]) || isDigit(s[i]) || s[i] == '-') {
		i++
	}
	return i
}

// lexEsc returns the end of a run of escaped characters at i, or i.
func lexEsc(s string, i int) int {
	for i+1 < len(s) && s[i] == '\\' && strings.IndexByte(escapable, s[i+1]) >= 0 {
		i += 2
	}
	return i
}

// lexValue reads the value token at i. hydra chooses the override grammar.
func lexValue(s string, i int, hydra bool) token {
	if i >= len(s) {
		return token{tokEOF, i, i}
	}
	if t := lexPunctuation(s, i, hydra); t.kind != tokBad {
		return t
	}
	best := token{tokBad, i, i + 1}
	longer := func(kind tokenKind, end int) {
		if end > i && (best.kind == tokBad || end > best.end) {
			best = token{kind, i, end}
		}
	}
	c := s[i]
	if isDigit(c) || strings.IndexByte("+-.iInN", c) >= 0 {
		longer(tokFloat, i+len(reFloat.FindString(s[i:])))
		longer(tokInt, i+len(reInt.FindString(s[i:])))
	}
	longer(tokBool, i+wordLen(s[i:], "true", "false"))
	longer(tokNull, i+wordLen(s[i:], "null"))
	if strings.IndexByte(unquotedChars, c) >= 0 {
		longer(tokChar, i+1)
	}
	longer(tokID, lexID(s, i))
	longer(tokEsc, lexEsc(s, i))
	longer(tokSpace, skipSpace(s, i))
	if c == '\'' || c == '"' {
		if !hydra {
			return token{tokQuoted, i, i + 1}
		}
		longer(tokQuoted, closingQuote(s, i))
	}
	if c == '$' && i+1 < len(s) && s[i+1] == '{' {
		longer(tokInterOpen, lexInter(s, i, hydra))
	}
	return best
}

func lexInter(s string, i int, hydra bool) int {
	if !hydra {
		return skipSpace(s, i+2)
	}
	if end := strings.IndexByte(s[i:], '}'); end > 2 {
		return i + end + 1
	}
	return i
}

// lexPunctuation reads separators, which take the blanks around them along.
func lexPunctuation(s string, i int, hydra bool) token {
	j := skipSpace(s, i)
	if j >= len(s) {
		return token{tokBad, i, i}
	}
	kind, before, after := tokBad, true, true
	switch s[j] {
	case ',':
		kind = tokComma
	case ':':
		kind = tokColon
	case '[':
		kind, before = tokOpen, false
	case ']':
		kind, after = tokClose, false
	case '{':
		kind, before = tokBraceOpen, false
	case '}':
		kind, after = tokBraceClose, false
	case '(':
		kind = tokPOpen
	case ')':
		kind, after = tokPClose, false
	case '=':
		kind = tokEqual
	}
	if kind == tokBad || !before && j > i || !hydra && (kind == tokPOpen || kind == tokPClose || kind == tokEqual) {
		return token{tokBad, i, i}
	}
	end := j + 1
	if after {
		end = skipSpace(s, end)
	}
	return token{kind, i, end}
}

func wordLen(s string, words ...string) int {
	for _, w := range words {
		if len(s) >= len(w) && strings.EqualFold(s[:len(w)], w) {
			return len(w)
		}
	}
	return 0
}

// closingQuote returns the index behind the quote that ends the text opened at i
// (the first one after an even number of backslashes), or i.
func closingQuote(s string, i int) int {
	backslashes := 0
	for j := i + 1; j < len(s); j++ {
		switch {
		case s[j] == '\\':
			backslashes++
			continue
		case s[j] == s[i] && backslashes%2 == 0:
			return j + 1
		}
		backslashes = 0
	}
	return i
}

// unescape drops every first character of pairs: \, becomes a comma.
func unescape(s string) string {
	b := make([]byte, 0, len(s)/2)
	for i := 1; i < len(s); i += 2 {
		b = append(b, s[i])
	}
	return string(b)
}

// literal gives the value of a single token of a primitive.
func literal(t token, s string) (any, error) {
	text := s[t.start:t.end]
	switch t.kind {
	case tokNull:
		return nil, nil
	case tokBool:
		return len(text) == 4, nil
	case tokInt:
		return pyInt(text)
	case tokFloat:
		return pyParseFloat(text)
	case tokEsc:
		return unescape(text), nil
	}
	return text, nil
}

// pyInt is Python's int() of decimal text.
func pyInt(text string) (any, error) {
	digits := strings.ReplaceAll(text, "_", "")
	v, ok := new(big.Int), len(digits) <= maxDigits
	if ok {
		_, ok = v.SetString(strings.TrimPrefix(digits, "+"), 10)
	}
	if !ok {
		return nil, problem("%.40q is not a whole number", text)
	}
	return shrink(v), nil
}

// pyParseFloat is Python's float() of text.
func pyParseFloat(text string) (any, error) {
	f, ok := parseFloat(strings.ReplaceAll(text, "_", ""))
	if !ok {
		v, special := parseYAMLFloat(specialFloat(text))
		if !special {
			return nil, problem("%.40q is not a number", text)
		}
		return v, nil
	}
	return f, nil
}

// specialFloat puts the dot of YAML before inf and nan.
func specialFloat(text string) string {
	t := strings.ToLower(text)
	sign := ""
	if t != "" && (t[0] == '+' || t[0] == '-') {
		sign, t = t[:1], t[1:]
	}
	switch t {
	case "inf", "infinity":
		return sign + ".inf"
	case "nan":
		return ".nan"
	}
	return ""
}
