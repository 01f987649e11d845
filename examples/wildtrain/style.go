package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// ink writes in colour where that is wanted.
type ink bool

// ink tells whether a writer shows colours: a terminal that is not a dumb one,
// unless NO_COLOR is set (no-color.org).
func (a *app) ink(w io.Writer) ink {
	f, ok := w.(*os.File)
	return ink(ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == "")
}

func (i ink) colour(code, text string) string {
	if !i {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (i ink) red(text string) string { return i.colour("31", text) }

// state colours the state of a check.
func (i ink) state(s string) string {
	return i.colour(map[string]string{good: "32", advice: "33", broken: "31"}[s], s)
}
