package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/internal/yamlsafe"
)

// Error is one problem of a configuration and its place. File is a path, or the
// override as typed; Line and Column are 0 where unknown; Key is the full dotted
// key, "" where the problem is not about one.
type Error struct {
	File         string
	Line, Column int
	Key          string
	Message      string
	Hint         string // what to do about it, "" where we do not know
}

// Error implements error: file:line:column: key: message (hint).
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
			if e.Column > 0 {
				fmt.Fprintf(&b, ":%d", e.Column)
			}
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	return b.String()
}

// Errors are all problems found in one pass, in the order of the file.
type Errors []*Error

// Error joins the problems, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the single problems.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, x := range e {
		out[i] = x
	}
	return out
}

// orNil avoids a typed nil in an error interface.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// errorAt makes an Error at the place of a node.
func errorAt(n *Node, format string, args ...any) *Error {
	e := &Error{Message: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Key = n.Path()
		e.File, e.Line, e.Column = n.place.where()
	}
	return e
}

func problem(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...)}
}

// fromYAML turns a parser's error into this package's.
func fromYAML(err error) error {
	var y *yamlsafe.Error
	if errors.As(err, &y) {
		return &Error{File: y.File, Line: y.Line, Column: y.Column, Message: y.Message}
	}
	return err
}

// maxNear is how many candidates a hint names.
const maxNear = 6

// nearest returns the candidates with the smallest edit distance to word, in
// their order; none if no one is near enough to be a likely typo.
func nearest(word string, candidates []string) []string {
	var best []string
	limit := min(len(word)/2+1, 4)
	for _, c := range candidates {
		d := distance(strings.ToLower(word), strings.ToLower(c), limit+1)
		switch {
		case d > limit || d == limit && best == nil:
		case d < limit:
			best, limit = []string{c}, d
		case len(best) < maxNear:
			best = append(best, c)
		}
	}
	return best
}

// distance is the optimal string alignment distance (Damerau 1964), cut at limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}

func didYouMean(word string, candidates []string) string {
	return didYouMeanOneOf(nearest(word, candidates))
}

// didYouMeanKey is didYouMean for a key below head, and names candidates in full.
func didYouMeanKey(head, word string, candidates []string) string {
	near := nearest(word, candidates)
	for i, c := range near {
		near[i] = joinKey(head, c)
	}
	return didYouMeanOneOf(near)
}

func didYouMeanOneOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	for i, n := range names {
		names[i] = strconv.Quote(n)
	}
	text := names[len(names)-1]
	if rest := names[:len(names)-1]; len(rest) > 0 {
		text = strings.Join(rest, ", ") + " or " + text
	}
	return "did you mean " + text + "?"
}
