package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/wildtrain/sdk/evaluate"
)

// averageKeys are the means over classes that detectors and classifiers share.
const averageKeys = "precision_micro precision_macro precision_weighted recall_micro recall_macro recall_weighted F1_micro F1_macro F1_weighted"

// detectionTable prints the numbers over all classes and a line for each. What
// was measured stands behind the number of images.
func (a *app) detectionTable(s *evaluate.Summary, what string) {
	fmt.Fprintf(a.out, "%d images%s: %s\n", s.Pictures, what, line(s.Values, "AP", "AP50", "AP75", "precision", "recall", "F1"))
	rows := [][]string{{"class", "objects", "AP", "AP50", "precision", "recall", "F1"}}
	for _, c := range s.Classes {
		rows = append(rows, []string{c.Name, strconv.Itoa(c.Truths), share(c.AP), share(c.AP50), share(c.Precision), share(c.Recall), share(c.F1)})
	}
	a.columns(rows)
}

// classificationTable is detectionTable of a classifier.
func (a *app) classificationTable(s *evaluate.ClassificationSummary, what string) {
	fmt.Fprintf(a.out, "%d images%s: %s\n", s.Pictures, what,
		line(s.Values, "accuracy", "subset_accuracy", "balanced_accuracy", "F1_macro", "MCC", "AUROC_macro", "ECE"))
	rows := [][]string{{"class", "images", "precision", "recall", "F1", "AUROC", "AP"}}
	for _, c := range s.Classes {
		rows = append(rows, []string{c.Name, strconv.Itoa(c.Support), share(c.Precision), share(c.Recall), share(c.F1), share(c.AUROC), share(c.AP)})
	}
	a.columns(rows)
}

// columns prints rows below each other, flush right.
func (a *app) columns(rows [][]string) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t")+"\t")
	}
	w.Flush()
}

// tellReport ends a table with the path of the report, if there is one.
func (a *app) tellReport(page string) {
	if page != "" {
		fmt.Fprintln(a.out, "report:", page)
	}
}

// line writes those of the named numbers that there are.
func line(list evaluate.Values, names ...string) string {
	var parts []string
	for _, n := range names {
		if v, ok := list.Get(n); ok {
			parts = append(parts, n+" "+share(v))
		}
	}
	return strings.Join(parts, "  ")
}

// share writes a number of 0…1; −1 stands for one that is not defined.
func share(v float64) string {
	if v == -1 {
		return "-"
	}
	return fmt.Sprintf("%.3f", v)
}
