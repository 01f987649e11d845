package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/evaluate"
)

// grid is a table of text: the first row is the head.
type grid [][]string

func (g grid) csv() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll(g); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// exact writes a number so that it reads back as itself and is seen to be no count.
func exact(v float64) string {
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// brief writes a number for people; −1 stands for what is undefined.
func brief(v float64) string {
	if v == -1 {
		return "–"
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// table is the per-class table with full precision.
func table(in Input) grid {
	var g grid
	if d := in.Detection; d != nil {
		g = append(g, []string{"class", "truths", "found", "AP", "AP50", "precision", "recall", "F1", "best_confidence", "best_F1"})
		for _, c := range d.Classes {
			g = append(g, []string{c.Name, strconv.Itoa(c.Truths), strconv.Itoa(c.Found), exact(c.AP), exact(c.AP50), exact(c.Precision), exact(c.Recall), exact(c.F1), exact(c.BestConf), exact(c.BestF1)})
		}
	}
	if s := in.Classification; s != nil {
		g = append(g, []string{"class", "support", "precision", "recall", "F1", "AUROC", "average_precision", "best_threshold", "best_F1"})
		for _, c := range s.Classes {
			g = append(g, []string{c.Name, strconv.Itoa(c.Support), exact(c.Precision), exact(c.Recall), exact(c.F1), exact(c.AUROC), exact(c.AP), exact(c.BestThreshold), exact(c.BestF1)})
		}
	}
	return g
}

// short rounds the numbers of a table for people.
func (g grid) short() grid {
	out := make(grid, len(g))
	for i, row := range g {
		out[i] = make([]string, len(row))
		for k, cell := range row {
			out[i][k] = cell
			v, err := strconv.ParseFloat(cell, 64)
			if i > 0 && k > 0 && err == nil && strings.ContainsAny(cell, ".e") {
				out[i][k] = brief(v)
			}
		}
	}
	return out
}

// countTable has one row per picture: what is there and what was found.
func countTable(in Input) grid {
	head := []string{"picture", "group"}
	for _, c := range in.Detection.Classes {
		head = append(head, c.Name+"_truth", c.Name+"_found")
	}
	g := grid{head}
	for _, p := range in.Counts {
		row := []string{p.ID, p.Group}
		for k := range p.Truth {
			row = append(row, strconv.Itoa(p.Truth[k]), strconv.Itoa(p.Found[k]))
		}
		g = append(g, row)
	}
	return g
}

// countingTable tells how well animals are counted.
func countingTable(all []evaluate.Counting) grid {
	g := grid{{"class", "true", "found", "MAE", "interval", "RMSE", "interval", "bias", "interval", "R²", "interval", "exact"}}
	for _, c := range all {
		g = append(g, []string{
			c.Class, strconv.Itoa(c.Truth), strconv.Itoa(c.Found), fixed(c.MAE), interval(c.MAEInterval), fixed(c.RMSE), interval(c.RMSEInterval),
			fixed(c.Bias), interval(c.BiasInterval), brief(c.R2), interval(c.R2Interval), brief(c.ExactlyCounted),
		})
	}
	return g
}

// presenceTable tells in how many pictures a class is seen rightly, wrongly or
// not at all.
func presenceTable(all []evaluate.Counting) grid {
	g := grid{{"class", "present and seen", "absent but seen", "present but missed", "absent and not seen", "precision", "recall", "F1"}}
	for _, c := range all {
		p := c.Presence
		g = append(g, []string{
			c.Class, strconv.Itoa(p.TP), strconv.Itoa(p.FP), strconv.Itoa(p.FN), strconv.Itoa(c.BothAbsent), brief(p.Precision()), brief(p.Recall()), brief(p.F1()),
		})
	}
	return g
}

// bestTable tells, for each IoU of the grid, where F1 over all objects is best.
func bestTable(points []evaluate.GridPoint) grid {
	g := grid{{"IoU", "confidence of the best F1", "precision", "recall", "F1"}}
	var best evaluate.GridPoint
	for i, p := range points {
		if i == 0 || p.IoU != best.IoU || p.F1 > best.F1 {
			best = p
		}
		if i+1 == len(points) || points[i+1].IoU != p.IoU {
			g = append(g, []string{brief(best.IoU), brief(best.Conf), brief(best.Precision), brief(best.Recall), brief(best.F1)})
		}
	}
	return g
}

// fixed is brief for numbers that may be −1 in earnest.
func fixed(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

func interval(i evaluate.Interval) string {
	if i == (evaluate.Interval{Low: -1, High: -1}) {
		return "–"
	}
	return fixed(i.Low) + " to " + fixed(i.High)
}

// binTable tells how the error of all animals together depends on the herd.
func binTable(c evaluate.Counting) grid {
	g := grid{{"animals in the picture", "pictures", "MAE", "bias"}}
	for _, b := range c.Bins {
		name := herdName(b)
		if b.Pictures == 0 {
			g = append(g, []string{name, "0", "–", "–"})
			continue
		}
		g = append(g, []string{name, strconv.Itoa(b.Pictures), fixed(b.MAE), fixed(b.Bias)})
	}
	return g
}

// herdName names the size of the herds of a bin.
func herdName(b evaluate.CountBin) string {
	switch {
	case b.To < 0:
		return fmt.Sprintf("%d and more", b.From)
	case b.To == b.From:
		return strconv.Itoa(b.From)
	}
	return fmt.Sprintf("%d to %d", b.From, b.To)
}

func intervalTable(all []evaluate.Estimate) grid {
	g := grid{{"number", "value", "interval"}}
	for _, e := range all {
		g = append(g, []string{e.Name, fixed(e.Value), interval(e.Interval)})
	}
	return g
}

func errorTable(r *evaluate.ErrorReport) grid {
	g := grid{{"mistake", "count", "AP50 lost"}}
	for _, e := range r.Errors {
		g = append(g, []string{string(e.Type), strconv.Itoa(e.Count), fixed(e.DeltaAP)})
	}
	return g
}

func confusionTable(c *evaluate.Confusion) grid {
	g := grid{append([]string{"true \\ said"}, c.Classes...)}
	for i, row := range c.Counts {
		line := []string{c.Classes[i]}
		for _, n := range row {
			line = append(line, strconv.Itoa(n))
		}
		g = append(g, line)
	}
	return g
}

// headline are the numbers for all classes.
func headline(in Input) evaluate.Values {
	switch {
	case in.Detection != nil:
		return in.Detection.Values[:max(0, len(in.Detection.Values)-len(in.Detection.Classes))]
	case in.Classification != nil:
		return in.Classification.Values
	}
	return nil
}

// markdown writes the report without pictures.
func markdown(in Input) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n", in.Title)
	for _, f := range in.Facts {
		fmt.Fprintf(&b, "- %s: %s\n", escape(f.Name), escape(f.Value))
	}
	if in.Detection != nil {
		for _, w := range in.Detection.Warnings {
			fmt.Fprintf(&b, "- **warning**: %s\n", escape(w))
		}
	}
	g := grid{{"number", "value"}}
	for _, v := range headline(in) {
		g = append(g, []string{v.Name, brief(v.Value)})
	}
	g.section("Numbers", "").markdown(&b)
	for _, t := range sections(in) {
		t.markdown(&b)
	}
	return b.Bytes()
}

func (s section) markdown(b *bytes.Buffer) {
	if len(s.Rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n", s.Title)
	if s.Note != "" {
		fmt.Fprintf(b, "%s\n\n", escape(s.Note))
	}
	for i, row := range append([][]string{s.Head}, s.Rows...) {
		for _, cell := range row {
			fmt.Fprintf(b, "| %s ", escape(cell))
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
}

// escape keeps names from ending a cell or starting markup.
func escape(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "*", "\\*", "`", "\\`").Replace(s)
}
