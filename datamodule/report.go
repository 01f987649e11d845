package datamodule

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong in a dataset.
type Problem struct {
	File    string `json:"file"` // the file it stands in
	Line    int    `json:"line"` // from 1; 0 where it concerns the whole file
	Message string `json:"message"`
	Warning bool   `json:"warning"` // it changes nothing in what models see, or only as stated
}

// String has the form file:line: message.
func (p Problem) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	return fmt.Sprintf("%s: %s", p.File, p.Message)
}

// Report is what a look through one split found.
type Report struct {
	Split     string
	Images    int   // usable pictures
	Negatives int   // of them without boxes
	Boxes     int   // of the kept classes
	Crowd     int   // of them groups
	PerClass  []int // boxes per class index
	Problems  []Problem
}

func (r *Report) problem(file string, line int, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{File: file, Line: line, Message: fmt.Sprintf(format, args...)})
}

func (r *Report) warn(file string, line int, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{File: file, Line: line, Message: fmt.Sprintf(format, args...), Warning: true})
}

// Errors are the problems that are no warnings.
func (r *Report) Errors() []Problem {
	return slices.DeleteFunc(slices.Clone(r.Problems), func(p Problem) bool { return p.Warning })
}

// listed is how many problems an error message names one by one.
const listed = 20

// Err is nil where nothing is wrong, else a *DataError with every problem.
func (r *Report) Err() error {
	if problems := r.Errors(); len(problems) > 0 {
		return &DataError{Split: r.Split, Problems: problems}
	}
	return nil
}

// count fills the numbers from the usable records.
func (r *Report) count(records []Record, classes int) {
	r.Images, r.Negatives, r.Boxes, r.Crowd = len(records), 0, 0, 0
	r.PerClass = make([]int, classes)
	for _, rec := range records {
		if len(rec.Objects) == 0 {
			r.Negatives++
		}
		for _, o := range rec.Objects {
			r.Boxes++
			r.PerClass[o.Class]++
			if o.Crowd {
				r.Crowd++
			}
		}
	}
}

// DataError lists everything wrong in a split.
type DataError struct {
	Split    string
	Problems []Problem
}

// Error implements error: one line per problem, the first twenty of them.
func (e *DataError) Error() string {
	var b strings.Builder
	if len(e.Problems) == 1 {
		return fmt.Sprintf("datamodule: split %q: %s", e.Split, e.Problems[0])
	}
	fmt.Fprintf(&b, "datamodule: split %q: %d problems:", e.Split, len(e.Problems))
	for i, p := range e.Problems {
		if i == listed {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Problems)-listed)
			break
		}
		fmt.Fprintf(&b, "\n  %s", p)
	}
	return b.String()
}
