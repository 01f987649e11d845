package datamodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/wildtrain/sdk/wildtrain"
)

// Audit is all that one look through the data found: what is wrong, what is
// there, and what is in two splits.
type Audit struct {
	Root     string    `json:"root"`
	Classes  []string  `json:"classes"`
	Splits   []Summary `json:"splits"`
	Problems []Finding `json:"problems"` // in the order of the data
	Leaks    []Leak    `json:"leaks"`
}

// Finding is a problem and the split it is in.
type Finding struct {
	Split string `json:"split"`
	Problem
}

// Audit decodes every picture of every split once and reports all it finds. An
// error is what kept it from looking, not what it found.
func (d *Detection) Audit(ctx context.Context, o LeakOptions) (*Audit, error) {
	out := &Audit{Root: d.where(), Classes: wildtrain.Names(d.Classes()), Problems: []Finding{}, Leaks: []Leak{}}
	var splits []Split
	for _, stage := range []wildtrain.Stage{wildtrain.Train, wildtrain.Val, wildtrain.Test} {
		records, report, err := d.examine(ctx, stage, true)
		if errors.Is(err, wildtrain.ErrNoSplit) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if report.Images == 0 {
			report.problem(d.where(), 0, "split %q has no usable picture", report.Split)
		}
		for _, p := range report.Problems {
			out.Problems = append(out.Problems, Finding{report.Split, p})
		}
		s := Split{report.Split, records}
		splits = append(splits, s)
		out.Splits = append(out.Splits, Summarize(d.classes.classes, s))
	}
	if len(splits) == 0 {
		return nil, fmt.Errorf("datamodule: check %s: none of its splits %q is %q, %q or %q: %w",
			d.where(), d.Splits(), d.config.TrainSplit, d.config.ValSplit, d.config.TestSplit, wildtrain.ErrNoSplit)
	}
	if o.MaxPixels == 0 {
		o.MaxPixels = d.config.MaxPixels
	}
	leaks, err := FindLeaks(ctx, splits, o)
	if err != nil {
		return nil, err
	}
	out.Leaks = append(out.Leaks, leaks...)
	return out, nil
}

// Errors is how many of the problems are no warnings.
func (a *Audit) Errors() (n int) {
	for _, p := range a.Problems {
		if !p.Warning {
			n++
		}
	}
	return n
}

// WriteText writes the audit for people: problems first.
func (a *Audit) WriteText(w io.Writer) error {
	var b strings.Builder
	wrong := a.Errors()
	fmt.Fprintf(&b, "%s: %d errors, %d warnings, %d leaks\n", a.Root, wrong, len(a.Problems)-wrong, len(a.Leaks))
	for _, p := range a.Problems {
		kind := "error"
		if p.Warning {
			kind = "warning"
		}
		fmt.Fprintf(&b, "  %s: %s: %s\n", p.Split, kind, p.Problem)
	}
	for _, l := range a.Leaks {
		fmt.Fprintf(&b, "  leak: %s\n", l)
	}
	a.counts(&b)
	a.balance(&b)
	a.sizes(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// table lays columns out under a title.
func table(b *strings.Builder, title string, fill func(w io.Writer)) {
	fmt.Fprintf(b, "\n%s\n", title)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fill(w)
	w.Flush() // a strings.Builder takes everything
}

func (a *Audit) counts(b *strings.Builder) {
	table(b, "pictures and boxes", func(w io.Writer) {
		fmt.Fprintln(w, "split\timages\tnegatives\tboxes\tcrowd\tdifficult\tmost in one\tsides, px\twidth/height\tpassing the edge\t")
		for _, s := range a.Splits {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.0f…%.0f\t%.2f…%.2f\t%d\t\n", s.Split, s.Images, s.Negatives, s.Boxes,
				s.Crowd, s.Difficult, s.MostBoxes, s.SmallestBox, s.LargestBox, s.NarrowestBox, s.FlattestBox, s.BoxesOutside)
		}
	})
}

// balance is a row per class: boxes, their share of the split, and pictures.
func (a *Audit) balance(b *strings.Builder) {
	table(b, "classes: boxes (share) in images", func(w io.Writer) {
		fmt.Fprint(w, "class\t")
		for _, s := range a.Splits {
			fmt.Fprintf(w, "%s\t", s.Split)
		}
		fmt.Fprintln(w)
		for i, name := range a.Classes {
			fmt.Fprintf(w, "%s\t", name)
			for _, s := range a.Splits {
				c := s.Classes[i]
				fmt.Fprintf(w, "%d (%.1f%%) in %d\t", c.Boxes, 100*float64(c.Boxes)/float64(max(s.Boxes, 1)), c.Images)
			}
			fmt.Fprintln(w)
		}
	})
}

// mostSizes is how many sizes of pictures a text lists.
const mostSizes = 8

func (a *Audit) sizes(b *strings.Builder) {
	table(b, "box sizes: side of a square of the same area, px", func(w io.Writer) {
		fmt.Fprint(w, "split\t")
		for _, bin := range a.Splits[0].BoxSizes {
			fmt.Fprintf(w, "≥%.0f\t", bin.From)
		}
		fmt.Fprintln(w)
		for _, s := range a.Splits {
			fmt.Fprintf(w, "%s\t", s.Split)
			for _, bin := range s.BoxSizes {
				fmt.Fprintf(w, "%d\t", bin.Boxes)
			}
			fmt.Fprintln(w)
		}
	})
	table(b, "image sizes", func(w io.Writer) {
		for _, s := range a.Splits {
			fmt.Fprintf(w, "%s\t", s.Split)
			for i, size := range s.ImageSizes {
				if i == mostSizes {
					fmt.Fprintf(w, "and %d more\t", len(s.ImageSizes)-mostSizes)
					break
				}
				fmt.Fprintf(w, "%d×%d: %d\t", size.Width, size.Height, size.Images)
			}
			fmt.Fprintln(w)
		}
	})
}
