// Package report writes what came out of a study: one HTML page without outside
// parts, a table as CSV and everything as JSON.
package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/wildtrain/sdk/tune"
)

// Write writes report.html, trials.csv and study.json into a folder. metrics are
// the names of the objectives; missing ones are numbered.
func Write(dir string, v *tune.View, metrics []string) error {
	metrics = named(v, metrics)
	page, err := HTML(v, metrics)
	if err != nil {
		return err
	}
	table, err := CSV(v, metrics)
	if err != nil {
		return err
	}
	data, err := JSON(v, metrics)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"report.html": page, "trials.csv": table, "study.json": data} {
		if err := replace(filepath.Join(dir, name), content); err != nil {
			return fmt.Errorf("report: write %s: %w", name, err)
		}
	}
	return nil
}

// replace writes a file as a whole or not at all.
func replace(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".report-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func named(v *tune.View, metrics []string) []string {
	out := slices.Clone(metrics)
	for i := len(out); i < len(v.Directions); i++ {
		out = append(out, fmt.Sprintf("value %d", i))
	}
	return out
}

// params lists the names of all parameters.
func params(v *tune.View) []string {
	all := map[string]bool{}
	for _, t := range v.Trials {
		for name := range t.Params {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func text(x any) string {
	switch x := x.(type) {
	case nil:
		return "null"
	case float64:
		return strconv.FormatFloat(x, 'g', 6, 64)
	}
	return fmt.Sprint(x)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// CSV is a line for each trial: number, state, times, values and parameters.
func CSV(v *tune.View, metrics []string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	names := params(v)
	head := append([]string{"number", "state", "start", "end"}, named(v, metrics)...)
	if err := w.Write(append(head, names...)); err != nil {
		return nil, fmt.Errorf("report: csv: %w", err)
	}
	for _, t := range v.Trials {
		row := []string{strconv.Itoa(t.Number), t.State.String(), stamp(t.Start), stamp(t.End)}
		for i := range v.Directions {
			cell := ""
			if i < len(t.Values) {
				cell = strconv.FormatFloat(t.Values[i], 'g', -1, 64)
			}
			row = append(row, cell)
		}
		for _, name := range names {
			cell := ""
			if x, ok := t.Value(name); ok {
				if cell = text(x); cell != "" {
					if f, ok := x.(float64); ok {
						cell = strconv.FormatFloat(f, 'g', -1, 64)
					}
				}
			}
			row = append(row, cell)
		}
		if err := w.Write(row); err != nil {
			return nil, fmt.Errorf("report: csv: %w", err)
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// number is a float as JSON can say it: what is not finite is text.
func number(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Sprint(f)
	}
	return f
}

// JSON is the whole study: name, directions, importances, best trials and all trials.
func JSON(v *tune.View, metrics []string) ([]byte, error) {
	metrics = named(v, metrics)
	var directions []string
	for _, d := range v.Directions {
		directions = append(directions, d.String())
	}
	trials := []map[string]any{}
	for _, t := range v.Trials {
		values := map[string]any{}
		for i, x := range t.Values {
			values[metrics[i]] = number(x)
		}
		reports := map[string]any{}
		for step, x := range t.Reports {
			reports[strconv.FormatInt(step, 10)] = number(x)
		}
		attrs := map[string]json.RawMessage{}
		for key, raw := range t.UserAttrs {
			if json.Valid([]byte(raw)) {
				attrs[key] = json.RawMessage(raw)
			}
		}
		outer := t.External()
		for k, x := range outer {
			if f, ok := x.(float64); ok {
				outer[k] = number(f)
			}
		}
		trials = append(trials, map[string]any{
			"number": t.Number, "state": t.State.String(), "start": stamp(t.Start), "end": stamp(t.End),
			"values": values, "params": outer, "reports": reports, "user_attrs": attrs,
		})
	}
	var best []int
	for _, t := range front(v) {
		best = append(best, t.Number)
	}
	shares := map[string]float64{}
	for _, im := range tune.PEDANOVA(v) {
		shares[im.Name] = im.Share
	}
	out, err := json.MarshalIndent(map[string]any{
		"study": v.Study, "metrics": metrics, "directions": directions, "best": best, "importance": shares, "trials": trials,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report: json: %w", err)
	}
	return append(out, '\n'), nil
}

// front are the best trials.
func front(v *tune.View) []*tune.Trial {
	if len(v.Directions) > 1 {
		return v.Pareto()
	}
	if t := v.Best(); t != nil {
		return []*tune.Trial{t}
	}
	return nil
}

// section is one figure of the page.
type section struct {
	Title, Text string
	Figures     []template.HTML
}

// row is one line of the table of best trials.
type row struct {
	Number int
	Cells  []string
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Study {{.Study}}</title><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1b2733;background:#fff}
h1{margin-bottom:.2rem}h2{margin-top:2.2rem;border-bottom:1px solid #d5dde5}
table{border-collapse:collapse;display:block;overflow-x:auto}td,th{padding:.25rem .7rem;text-align:left;border-bottom:1px solid #e3e9ef}
figure{display:inline-block;margin:.4rem .6rem .4rem 0}svg{max-width:100%;height:auto}p{max-width:48rem}
</style></head><body>
<h1>Study {{.Study}}</h1><p>{{.Summary}}</p>
<h2>Best</h2><table><tr><th>trial</th>{{range .Columns}}<th>{{.}}</th>{{end}}</tr>
{{range .Best}}<tr><td>{{.Number}}</td>{{range .Cells}}<td>{{.}}</td>{{end}}</tr>{{end}}</table>
{{range .Sections}}<h2>{{.Title}}</h2><p>{{.Text}}</p>{{range .Figures}}<figure>{{.}}</figure>{{end}}
{{end}}</body></html>
`))

// HTML is one page with all figures as SVG.
func HTML(v *tune.View, metrics []string) ([]byte, error) {
	metrics = named(v, metrics)
	names := params(v)
	var best []row
	for _, t := range front(v) {
		r := row{Number: t.Number}
		for _, x := range t.Values {
			r.Cells = append(r.Cells, text(x))
		}
		for _, n := range names {
			cell := ""
			if x, ok := t.Value(n); ok {
				cell = text(x)
			}
			r.Cells = append(r.Cells, cell)
		}
		best = append(best, r)
	}
	summary := fmt.Sprintf("%d trials: %d complete, %d pruned, %d failed, %d running or waiting.", len(v.Trials),
		len(v.In(tune.Complete)), len(v.In(tune.Pruned)), len(v.In(tune.Failed)), len(v.In(tune.Running, tune.Waiting)))
	var b bytes.Buffer
	err := page.Execute(&b, map[string]any{
		"Study": v.Study, "Summary": summary, "Columns": append(slices.Clone(metrics), names...), "Best": best, "Sections": sections(v, metrics, names),
	})
	if err != nil {
		return nil, fmt.Errorf("report: page: %w", err)
	}
	return b.Bytes(), nil
}

func sections(v *tune.View, metrics, names []string) []section {
	d := &drawer{view: v, metrics: metrics, names: names}
	var out []section
	add := func(title, text string, figures ...template.HTML) {
		figures = slices.DeleteFunc(figures, func(f template.HTML) bool { return f == "" })
		if len(figures) > 0 {
			out = append(out, section{title, text, figures})
		}
	}
	var history, slicesOf, contours []template.HTML
	for i := range metrics {
		history = append(history, d.history(i))
		for _, n := range names {
			slicesOf = append(slicesOf, d.slice(n, i))
		}
	}
	important := tune.PEDANOVA(v)
	for i := range important {
		for j := range i {
			if i < 4 { // of the four that matter most
				contours = append(contours, d.contour(important[j].Name, important[i].Name))
			}
		}
	}
	add("Importance", "Share of each parameter. PED-ANOVA compares the best tenth of the trials with all, fANOVA explains the variance of the value by a random forest.",
		d.bars("PED-ANOVA", important), d.bars("fANOVA", tune.FANOVA(v, 0, 0)))
	add("History", "Every complete trial, and the best so far.", history...)
	if len(metrics) > 1 {
		add("Pareto front", "Trials that no other beats in every objective are filled.", d.pareto())
	}
	add("Intermediate values", "What trials reported while they ran; pruned ones are red.", d.intermediate())
	add("Slices", "The value along each parameter; later trials are darker.", slicesOf...)
	add("Parallel coordinates", "Each line is a trial; better ones are darker.", d.parallel())
	add("Contours", "Two parameters at a time; better trials are darker.", contours...)
	add("Timeline", "When each trial ran.", d.timeline())
	return out
}
