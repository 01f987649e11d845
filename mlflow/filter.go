package mlflow

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The entities that a filter can speak of.
const (
	ofAttribute = "attribute"
	ofMetric    = "metric"
	ofParam     = "parameter"
	ofTag       = "tag"
	ofDataset   = "dataset"
)

// entityNames are the spellings of entities in filters.
var entityNames = map[string]string{
	"metric": ofMetric, "metrics": ofMetric,
	"parameter": ofParam, "parameters": ofParam, "param": ofParam, "params": ofParam,
	"tag": ofTag, "tags": ofTag,
	"attribute": ofAttribute, "attributes": ofAttribute, "attr": ofAttribute, "run": ofAttribute,
	"dataset": ofDataset, "datasets": ofDataset,
}

// comparison is one condition of a filter.
type comparison struct {
	entity  string // ofMetric, …
	key     string
	op      string // "=", "!=", "<", …, "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"
	numeric bool   // number is compared with, not text
	number  float64
	text    string
	list    []string
}

// order is one term of an order.
type order struct {
	entity, key string
	descending  bool
}

// language says what may be asked of one kind of thing.
type language struct {
	entities []string          // besides attributes
	text     []string          // attributes that are texts
	number   []string          // attributes that are numbers
	alias    map[string]string // other spellings of attributes
	orderBy  []string          // attributes to order by, beside the above; entities may be ordered by in runs only
}

var (
	runLanguage = language{
		entities: []string{ofMetric, ofParam, ofTag, ofDataset},
		text:     []string{"run_id", "run_name", "status", "artifact_uri", "user_id", "lifecycle_stage"},
		number:   []string{"start_time", "end_time"},
		alias:    map[string]string{"created": "start_time", "Created": "start_time", "run name": "run_name", "Run name": "run_name", "Run Name": "run_name"},
		orderBy:  []string{"experiment_id"},
	}
	experimentLanguage = language{
		entities: []string{ofTag}, text: []string{"name"}, number: []string{"creation_time", "last_update_time"},
		orderBy: []string{"experiment_id"},
	}
	registeredLanguage = language{
		entities: []string{ofTag}, text: []string{"name"},
		orderBy: []string{"timestamp", "last_updated_timestamp", "creation_timestamp"},
	}
	versionLanguage = language{
		entities: []string{ofTag}, text: []string{"name", "run_id", "source_path"}, number: []string{"version_number"},
		orderBy: []string{"creation_timestamp", "last_updated_timestamp"},
	}
	loggedLanguage = language{
		entities: []string{ofParam, ofTag},
		text:     []string{"name", "model_id", "model_type", "status", "source_run_id"},
		number:   []string{"creation_timestamp", "creation_time", "last_updated_timestamp", "last_updated_time"},
	}
)

const (
	maxFilter      = 1 << 16
	maxComparisons = 100
)

var (
	numberOps = []string{"=", "!=", "<", "<=", ">", ">="}
	textOps   = []string{"=", "!=", "LIKE", "ILIKE"}
)

// parseFilter reads conditions that are joined by AND.
func (l language) parseFilter(filter string) ([]comparison, error) {
	p, err := newFilterParser(filter)
	if err != nil || len(p.tokens) == 0 {
		return nil, err
	}
	var out []comparison
	for {
		c, err := l.comparison(p)
		if err != nil {
			return nil, err
		}
		if out = append(out, c); len(out) > maxComparisons {
			return nil, invalid("the filter has more than %d conditions", maxComparisons)
		}
		if p.done() {
			return out, nil
		}
		if !p.word("AND") {
			return nil, p.unexpected("AND")
		}
	}
}

func (l language) comparison(p *filterParser) (c comparison, err error) {
	if c.entity, c.key, err = l.identifier(p); err != nil {
		return c, err
	}
	if c.op, err = p.operator(); err != nil {
		return c, err
	}
	c.numeric = c.entity == ofMetric || c.entity == ofAttribute && slices.Contains(l.number, c.key)
	if err := c.allowed(); err != nil {
		return c, err
	}
	switch {
	case strings.HasPrefix(c.op, "IS"):
		return c, nil
	case strings.HasSuffix(c.op, "IN"):
		c.list, err = p.list()
		return c, err
	}
	t := p.next()
	switch {
	case c.numeric && t.kind == numberToken:
		if c.number, err = strconv.ParseFloat(t.text, 64); err != nil {
			return c, invalid("filter: %q is no number", t.text)
		}
	case c.numeric:
		return c, invalid("filter: %s %q is compared with a number, not with %s", c.entity, c.key, t)
	case t.kind == stringToken:
		c.text = t.text
	default:
		return c, invalid("filter: %s %q is compared with a quoted text such as 'value', not with %s", c.entity, c.key, t)
	}
	return c, nil
}

// allowed holds the operator against what its left side is.
func (c comparison) allowed() error {
	ops := textOps
	switch {
	case c.numeric:
		ops = numberOps
	case c.entity == ofAttribute || c.entity == ofDataset:
		ops = append(slices.Clone(ops), "IN", "NOT IN")
	default:
		ops = append(slices.Clone(ops), "IS NULL", "IS NOT NULL")
	}
	if !slices.Contains(ops, c.op) {
		return invalid("filter: %s %q cannot be compared by %s: want one of %s", c.entity, c.key, c.op, strings.Join(ops, " "))
	}
	return nil
}

// identifier reads key, entity.key or entity.`any key`.
func (l language) identifier(p *filterParser) (entity, key string, err error) {
	t := p.next()
	if t.kind != wordToken && t.kind != quotedToken {
		return "", "", invalid("filter: want a name such as metrics.AP50, not %s", t)
	}
	entity, key = ofAttribute, t.text
	if prefix, rest, ok := strings.Cut(t.text, "."); ok && t.kind == wordToken {
		if entity, ok = entityNames[prefix]; !ok {
			return "", "", invalid("filter: %q in %q is none of metrics, params, tags, attributes, datasets", prefix, t.text)
		}
		if key = rest; key == "" {
			if t = p.next(); t.kind != quotedToken && t.kind != stringToken {
				return "", "", invalid("filter: a name is missing after %q", prefix+".")
			}
			key = t.text
		}
	}
	switch {
	case entity == ofAttribute:
		if real, ok := l.alias[key]; ok {
			key = real
		}
		if known := slices.Concat(l.text, l.number, l.orderBy); !slices.Contains(known, key) {
			return "", "", invalid("filter: there is no attribute %q: want one of %s", key, strings.Join(known, ", "))
		}
	case !slices.Contains(l.entities, entity):
		return "", "", invalid("filter: a %s cannot be asked for here", entity)
	case entity == ofDataset && key != "name" && key != "digest" && key != "context":
		return "", "", invalid("filter: a dataset has no %q: want name, digest or context", key)
	}
	return entity, key, nil
}

// parseOrder reads terms such as "metrics.AP50 DESC".
func (l language) parseOrder(terms []string) ([]order, error) {
	var out []order
	for _, term := range terms {
		p, err := newFilterParser(term)
		if err != nil {
			return nil, err
		}
		var o order
		if o.entity, o.key, err = l.identifier(p); err != nil {
			return nil, err
		}
		if o.entity == ofDataset {
			return nil, invalid("order_by: runs cannot be ordered by data sets")
		}
		if p.word("DESC") {
			o.descending = true
		} else {
			p.word("ASC")
		}
		if !p.done() {
			return nil, p.unexpected("ASC or DESC")
		}
		if slices.ContainsFunc(out, func(b order) bool { return b.entity == o.entity && b.key == o.key }) {
			return nil, invalid("order_by has %q twice", o.key)
		}
		out = append(out, o)
	}
	return out, nil
}

// tokenKind is what a piece of a filter is.
type tokenKind uint8

const (
	endToken    tokenKind = iota
	wordToken             // AND, metrics.AP50
	quotedToken           // `any key`
	stringToken           // 'value' or "value"
	numberToken
	symbolToken // = != < <= > >= ( ) ,
)

type token struct {
	kind tokenKind
	text string
}

func (t token) String() string {
	if t.kind == endToken {
		return "the end of the filter"
	}
	return strconv.Quote(t.text)
}

// filterParser goes through the tokens of a filter.
type filterParser struct {
	tokens []token
	at     int
}

func newFilterParser(text string) (*filterParser, error) {
	if len(text) > maxFilter {
		return nil, invalid("the filter has %d bytes, more than %d", len(text), maxFilter)
	}
	if !utf8.ValidString(text) {
		return nil, invalid("the filter is no UTF-8 text")
	}
	p := &filterParser{}
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimLeftFunc(text, unicode.IsSpace) {
		t, n, err := scanToken(text)
		if err != nil {
			return nil, err
		}
		p.tokens, text = append(p.tokens, t), text[n:]
	}
	return p, nil
}

// scanToken reads the first token and tells its length.
func scanToken(text string) (token, int, error) {
	r, _ := utf8.DecodeRuneInString(text)
	switch {
	case r == '\'' || r == '"' || r == '`':
		return scanQuoted(text, byte(r))
	case strings.ContainsRune("=<>!(),", r):
		n := 1
		if len(text) > 1 && text[1] == '=' && strings.ContainsRune("<>!=", r) {
			n = 2
		}
		s := text[:n]
		if s == "==" {
			s = "="
		}
		if s == "!" {
			return token{}, 0, invalid("filter: ! stands alone: want !=")
		}
		return token{symbolToken, s}, n, nil
	case r >= '0' && r <= '9' || r == '-' || r == '+':
		n := 1 + strings.IndexFunc(text[1:]+" ", func(r rune) bool { return !strings.ContainsRune("0123456789.eE+-", r) })
		return token{numberToken, text[:n]}, n, nil
	case unicode.IsLetter(r) || r == '_':
		n := strings.IndexFunc(text+" ", func(r rune) bool {
			return !(unicode.IsLetter(r) || unicode.IsNumber(r) || strings.ContainsRune("_./-", r))
		})
		return token{wordToken, text[:n]}, n, nil
	}
	return token{}, 0, invalid("filter: unexpected %q", string(r))
}

// scanQuoted reads up to the closing quote; a doubled one stands for itself.
func scanQuoted(text string, quote byte) (token, int, error) {
	kind := stringToken
	if quote == '`' {
		kind = quotedToken
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != quote {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == quote {
			b.WriteByte(quote)
			i++
			continue
		}
		return token{kind, b.String()}, i + 1, nil
	}
	return token{}, 0, invalid("filter: the quote in %.40q is not closed", text)
}

func (p *filterParser) done() bool { return p.at >= len(p.tokens) }

func (p *filterParser) peek() token {
	if p.done() {
		return token{}
	}
	return p.tokens[p.at]
}

func (p *filterParser) next() token {
	t := p.peek()
	p.at++
	return t
}

// word takes a keyword where it comes next.
func (p *filterParser) word(keyword string) bool {
	t := p.peek()
	if t.kind != wordToken || !strings.EqualFold(t.text, keyword) {
		return false
	}
	p.at++
	return true
}

func (p *filterParser) unexpected(want string) error {
	return invalid("filter: want %s, not %s", want, p.peek())
}

func (p *filterParser) operator() (string, error) {
	t := p.next()
	word := strings.ToUpper(t.text)
	switch {
	case t.kind == symbolToken && slices.Contains(numberOps, t.text):
		return t.text, nil
	case t.kind == wordToken && (word == "LIKE" || word == "ILIKE" || word == "IN"):
		return word, nil
	case t.kind == wordToken && word == "NOT" && p.word("IN"):
		return "NOT IN", nil
	case t.kind == wordToken && word == "IS":
		if p.word("NULL") {
			return "IS NULL", nil
		}
		if p.word("NOT") && p.word("NULL") {
			return "IS NOT NULL", nil
		}
	}
	return "", invalid("filter: want an operator (= != < <= > >= LIKE ILIKE IN), not %s", t)
}

// list reads ('a', 'b').
func (p *filterParser) list() ([]string, error) {
	open := token{symbolToken, "("}
	if t := p.next(); t != open {
		return nil, invalid("filter: IN wants a list such as ('a', 'b'), not %s", t)
	}
	var out []string
	for {
		t := p.next()
		if t.kind != stringToken {
			return nil, invalid("filter: a list holds quoted texts, not %s", t)
		}
		if out = append(out, t.text); len(out) > maxSearch {
			return nil, invalid("filter: the list has more than %d texts", maxSearch)
		}
		switch t := p.next(); t {
		case token{symbolToken, ","}:
		case token{symbolToken, ")"}:
			return out, nil
		default:
			return nil, invalid("filter: want , or ) in a list, not %s", t)
		}
	}
}
