package main

import (
	"errors"
	"fmt"
)

// problem is an error that a user can act on: what is wrong in one line, and
// what to do about it in another.
type problem struct {
	what string
	hint string
	err  error
}

// Error gives the one line and, after it, the hint.
func (p *problem) Error() string {
	text := p.what
	if p.err != nil {
		text += ": " + p.err.Error()
	}
	if p.hint != "" {
		text += "\n  hint: " + p.hint
	}
	return text
}

// Unwrap gives the cause.
func (p *problem) Unwrap() error { return p.err }

// failf makes a problem without a cause.
func failf(hint, format string, args ...any) error {
	return &problem{what: fmt.Sprintf(format, args...), hint: hint}
}

// failed makes a problem with a cause, so that errors.Is sees through it.
func failed(err error, hint, format string, args ...any) error {
	return &problem{what: fmt.Sprintf(format, args...), hint: hint, err: err}
}

// errChecksum marks bytes that are not the pinned ones.
var errChecksum = errors.New("checksum mismatch")

// errAbsent marks a place where no libtorch lies; the resolver goes on to the next.
var errAbsent = errors.New("no libtorch here")
