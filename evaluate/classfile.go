package evaluate

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// ClassificationCSV measures predictions against truth, both CSV with a head.
// truth has the columns id and label, and group if pictures are not independent
// (a flight, a camera: intervals are drawn over groups); predictions id, label, or one probability
// column per class, or both. Without cfg.Classes, the classes are those of both
// files in alphabetical order. Ids must be the same in both. A label holds
// several classes, or none, with multi-label data: they are separated by "|".
func ClassificationCSV(truth, predictions io.Reader, cfg ClassificationConfig, lim Limits) (*ClassificationSummary, error) {
	c, err := readClassification(truth, predictions, cfg, lim)
	if err != nil {
		return nil, err
	}
	return c.Summary()
}

// ClassificationFiles is ClassificationCSV on two files, errors naming them.
func ClassificationFiles(truthPath, predictionsPath string, cfg ClassificationConfig) (*ClassificationSummary, error) {
	c, err := OpenClassification(truthPath, predictionsPath, cfg, DefaultLimits())
	if err != nil {
		return nil, err
	}
	return c.Summary()
}

// OpenClassification reads a pair of CSV files into a Classification.
func OpenClassification(truthPath, predictionsPath string, cfg ClassificationConfig, lim Limits) (*Classification, error) {
	t, err := os.Open(truthPath)
	if err != nil {
		return nil, fmt.Errorf("evaluate: open truth: %w", err)
	}
	defer t.Close()
	p, err := os.Open(predictionsPath)
	if err != nil {
		return nil, fmt.Errorf("evaluate: open predictions: %w", err)
	}
	defer p.Close()
	c, err := readClassification(t, p, cfg, lim)
	if err != nil {
		return nil, fmt.Errorf("evaluate: compare %s with %s: %w", predictionsPath, truthPath, err)
	}
	return c, nil
}

// csvRow is one line of either file.
type csvRow struct {
	id, label, group string
	labelled         bool
	probs            []float64
	line             int
}

// csvTable is a file of rows with the classes of its probability columns.
type csvTable struct {
	rows    []csvRow
	at      map[string]int
	classes []string
	columns columns
}

// columns tells where the columns stand that are no probabilities, −1 for none.
type columns struct{ id, label, group int }

func (c columns) have(i int) bool { return i == c.id || i == c.label || i == c.group }

// readCSV reads columns id and label, in a truth file group, and in the other
// one any further columns as probabilities.
func readCSV(r io.Reader, truth bool, lim Limits) (*csvTable, error) {
	in := csv.NewReader(&limited{r, lim.Bytes + 1})
	in.ReuseRecord = true
	head, err := in.Read()
	if err == io.EOF {
		return nil, errors.New("the file is empty")
	}
	if err != nil {
		return nil, err
	}
	head = slices.Clone(head)
	head[0] = trimBOM(head[0])
	at := columns{slices.Index(head, "id"), slices.Index(head, "label"), -1}
	if truth {
		at.group = slices.Index(head, "group")
	}
	if at.id < 0 {
		return nil, fmt.Errorf("line 1: no column id among %q", head)
	}
	t := &csvTable{at: map[string]int{}, columns: at}
	for i, name := range head {
		if !at.have(i) {
			t.classes = append(t.classes, name)
		}
		if slices.Contains(head[:i], name) {
			return nil, fmt.Errorf("line 1: column %q comes twice", name)
		}
	}
	if truth && len(t.classes) > 0 {
		return nil, fmt.Errorf("line 1: columns %q beside id, label and group", t.classes)
	}
	for {
		record, err := in.Read()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		if err := t.add(record, line, lim); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

func trimBOM(s string) string {
	if len(s) >= 3 && s[:3] == "\uFEFF" {
		return s[3:]
	}
	return s
}

func (t *csvTable) add(record []string, line int, lim Limits) error {
	at := t.columns
	row := csvRow{id: record[at.id], line: line, labelled: at.label >= 0}
	if at.label >= 0 {
		row.label = record[at.label]
	}
	if at.group >= 0 {
		row.group = record[at.group]
	}
	if len(t.rows) >= lim.Entries {
		return fmt.Errorf("more than %d rows", lim.Entries)
	}
	if _, twice := t.at[row.id]; twice {
		return fmt.Errorf("id %q comes twice", row.id)
	}
	for i, cell := range record {
		if at.have(i) {
			continue
		}
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil || !finite(v) {
			return fmt.Errorf("%q is not a probability", cell)
		}
		row.probs = append(row.probs, v)
	}
	t.at[row.id] = len(t.rows)
	t.rows = append(t.rows, row)
	return nil
}

// labels splits a cell.
func labels(cell string, multi bool) []string {
	if !multi {
		return []string{cell}
	}
	var out []string
	for len(cell) > 0 {
		name := cell
		if i := slices.Index([]byte(cell), '|'); i >= 0 {
			name, cell = cell[:i], cell[i+1:]
		} else {
			cell = ""
		}
		if name != "" {
			out = append(out, name)
		}
	}
	return out
}

func readClassification(truth, predictions io.Reader, cfg ClassificationConfig, lim Limits) (*Classification, error) {
	t, err := readCSV(truth, true, lim)
	if err != nil {
		return nil, fmt.Errorf("evaluate: read truth: %w", err)
	}
	p, err := readCSV(predictions, false, lim)
	if err != nil {
		return nil, fmt.Errorf("evaluate: read predictions: %w", err)
	}
	if len(cfg.Classes) == 0 {
		cfg.Classes = classesOf(t, p, cfg.MultiLabel)
	}
	c, err := NewClassification(cfg)
	if err != nil {
		return nil, err
	}
	index := make(map[string]int, len(cfg.Classes))
	for k, name := range cfg.Classes {
		index[name] = k
	}
	answers := make([]answer, 0, len(t.rows))
	for _, row := range t.rows {
		i, ok := p.at[row.id]
		if !ok {
			return nil, fmt.Errorf("evaluate: read predictions: no row for id %q (truth line %d)", row.id, row.line)
		}
		a, err := c.join(row, p.rows[i], p.classes, index)
		if err != nil {
			return nil, err
		}
		answers = append(answers, a)
	}
	for _, row := range p.rows {
		if _, ok := t.at[row.id]; !ok {
			return nil, fmt.Errorf("evaluate: read predictions: line %d: id %q is not among the truth", row.line, row.id)
		}
	}
	return c, c.add(answers)
}

// classesOf lists the names of both files.
func classesOf(t, p *csvTable, multi bool) []string {
	seen := map[string]bool{}
	for _, name := range p.classes {
		seen[name] = true
	}
	for _, table := range []*csvTable{t, p} {
		for _, row := range table.rows {
			if row.labelled {
				for _, name := range labels(row.label, multi) {
					seen[name] = true
				}
			}
		}
	}
	out := make([]string, 0, len(seen))
	for name := range seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// join makes an answer of two rows. Classes without a probability column have 0.
// A stated label is what was said, whatever the probabilities.
func (c *Classification) join(t, p csvRow, columns []string, index map[string]int) (answer, error) {
	a := answer{ID: t.id, Group: t.group}
	if !t.labelled {
		return a, errors.New("evaluate: read truth: line 1: no column label")
	}
	find := func(name, what string, line int) (int, error) {
		k, ok := index[name]
		if !ok {
			return 0, fmt.Errorf("evaluate: read %s: line %d: label %q is no class", what, line, name)
		}
		return k, nil
	}
	for _, name := range labels(t.label, c.cfg.MultiLabel) {
		k, err := find(name, "truth", t.line)
		if err != nil {
			return a, err
		}
		a.Truth = append(a.Truth, k)
	}
	if len(columns) > 0 || c.cfg.MultiLabel {
		a.Probs = make([]float64, len(c.cfg.Classes))
	}
	for i, name := range columns {
		k, err := find(name, "predictions", 1)
		if err != nil {
			return a, err
		}
		a.Probs[k] = p.probs[i]
	}
	switch {
	case p.labelled && len(columns) > 0 && c.cfg.MultiLabel:
		return a, nil // thresholds say what is said
	case !p.labelled && len(columns) > 0:
		return a, nil
	case !p.labelled:
		return a, errors.New("evaluate: read predictions: line 1: neither a column label nor probabilities")
	}
	for _, name := range labels(p.label, c.cfg.MultiLabel) {
		k, err := find(name, "predictions", p.line)
		if err != nil {
			return a, err
		}
		a.Said, a.Stated = k, !c.cfg.MultiLabel
		if c.cfg.MultiLabel {
			a.Probs[k] = 1
		}
	}
	return a, nil
}

// WritePredictions writes what ClassificationCSV reads: id, label, and a column
// of probabilities for each class where all pictures have them.
func (c *Classification) WritePredictions(w io.Writer) error {
	answers := c.sorted()
	probs := len(answers) > 0 && !slices.ContainsFunc(answers, func(a answer) bool { return a.Probs == nil })
	out := csv.NewWriter(w)
	head := []string{"id", "label"}
	if probs {
		head = append(head, c.cfg.Classes...)
	}
	rows := [][]string{head}
	for _, a := range answers {
		var said []string
		for _, k := range c.said(a) {
			said = append(said, c.cfg.Classes[k])
		}
		row := []string{a.ID, strings.Join(said, "|")}
		if probs {
			for _, v := range a.Probs {
				row = append(row, strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
		rows = append(rows, row)
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("evaluate: write predictions: %w", err)
	}
	return nil
}
