package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"slices"

	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/evaluate/report"
)

// classificationKeys say how classifiers are measured.
func classificationKeys() []key {
	return []key{
		{"multi_label", "BOOL", false, "a picture has any number of classes: labels are written a|b"},
		{"top_k", "LIST", false, "top-k accuracies; 1,5 unless given"},
		{"bins", "N", false, "bins of the calibration error; 15 unless given"},
		{"threshold", "P", false, "probability from which a class counts, with multi-label data, or a picture is answered; 0.5 unless given"},
		{"thresholds", "LIST", false, "such probabilities of single classes, zebra:0.4,kudu:0.3"},
		{"parents", "FILE", false, "CSV with the columns child and parent: species, family, order, for hierarchical numbers"},
	}
}

// classificationConfig reads classificationKeys.
func classificationConfig(v *values) evaluate.ClassificationConfig {
	cfg := evaluate.DefaultClassification(nil)
	cfg.MultiLabel = v.bool("multi_label", false)
	cfg.TopK = v.wholes("top_k", cfg.TopK)
	cfg.Bins = v.number("bins", cfg.Bins)
	cfg.Threshold = v.float("threshold", cfg.Threshold)
	cfg.Thresholds = v.pairs("thresholds")
	if file := v.own["parents"]; file != "" && v.err == nil {
		cfg.Parents, v.err = parents(file)
	}
	return cfg
}

// parents reads the group above each class or group.
func parents(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("parents: %w", err)
	}
	defer f.Close()
	in := csv.NewReader(f)
	in.FieldsPerRecord = 2
	rows, err := in.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("parents: %s: %w", file, err)
	}
	if len(rows) == 0 || !slices.Equal(rows[0], []string{"child", "parent"}) {
		return nil, fmt.Errorf("parents: %s: line 1: want the columns child and parent", file)
	}
	out := map[string]string{}
	for i, row := range rows[1:] {
		if _, twice := out[row[0]]; twice {
			return nil, fmt.Errorf("parents: %s: line %d: %q has a parent already", file, i+2, row[0])
		}
		out[row[0]] = row[1]
	}
	return out, nil
}

func (a *app) evaluateClassification() verb {
	keys := []key{
		{"truth", "FILE", true, "CSV with the columns id and label, and group where pictures of one flight or camera belong together"},
		{"predictions", "FILE", true, "CSV with the columns id and label, or one column of probabilities for each class, or both"},
		{"out", "FOLDER", false, "writes a report with plots and tables"},
	}
	return verb{
		name: "classification", short: "Measure predicted classes in a file against true ones in a file",
		keys: slices.Concat(keys, classificationKeys(), sampleKeys()),
		example: "wildtrain evaluate classification truth=truth.csv predictions=predictions.csv --json\n" +
			"wildtrain evaluate classification truth=truth.csv predictions=predictions.csv parents=taxonomy.csv out=numbers",
		after: "With `out`: `report.html`, `report.md`, `report.json`, `classes.csv`, `plots/`, `predictions/`\n" +
			"as CSV and for FiftyOne and Label Studio, and `evaluation.gz` for `wildtrain evaluate compare`. Guide: docs/evaluation.md.",
		json: []result{
			{"accuracy balanced_accuracy MCC kappa", "as scikit-learn computes them; not with `multi_label`"},
			{"subset_accuracy hamming_loss", "only with `multi_label`"},
			{averageKeys, "over classes"},
			{"AUROC_macro AUROC_weighted AP_macro AP_weighted", "one class against the rest; this and what follows needs probabilities"},
			{"top1_accuracy top5_accuracy log_loss ECE AURC", "of `top_k`; AURC is the mean error rate over all shares of the most confident pictures"},
			{"coverage selective_accuracy", "share of pictures whose class reaches its threshold, and the accuracy among them"},
			{"hierarchical_precision hierarchical_recall hierarchical_F1 level1_accuracy", "with `parents`: over a class with all groups above it, and at each level"},
			{"classes", "list: name, support, precision, recall, F1, AUROC, average_precision, best_threshold, best_F1"},
			{"images confusion calibration selective intervals", "pictures measured, confusion matrix, reliability diagram, accuracy over coverage, bootstrap"},
			{"out report", "only with `out`: what was written"},
		},
		run: a.measureClassification,
	}
}

// measureClassification is the verb classification.
func (a *app) measureClassification(_ context.Context, own map[string]string, _ []string) error {
	v := &values{own: own}
	cfg, o := classificationConfig(v), reportOptions(v)
	if v.err != nil {
		return v.err
	}
	c, err := evaluate.OpenClassification(own["truth"], own["predictions"], cfg, evaluate.DefaultLimits())
	if err != nil {
		return err
	}
	in, err := o.OfClassification(c)
	if err != nil {
		return err
	}
	if own["out"] == "" {
		return a.tellClassification(in, "", "")
	}
	in.Title = "Classification"
	in.Facts = []report.Fact{{Name: "Truth", Value: own["truth"]}, {Name: "Predictions", Value: own["predictions"]}}
	page, err := report.Write(own["out"], in)
	if err != nil {
		return err
	}
	return a.tellClassification(in, own["out"], page)
}

// tellClassification prints the numbers: as JSON everything, else the short table.
func (a *app) tellClassification(in report.Input, out, page string) error {
	s := in.Classification
	if a.json {
		all := numbers(s.Values)
		classes := slices.Clone(s.Classes)
		for i := range classes {
			classes[i].ROC = nil // the report has it
		}
		all["images"], all["classes"], all["intervals"] = s.Pictures, classes, in.Intervals
		if s.Confusion != nil {
			all["confusion"] = s.Confusion
		}
		if s.Bins != nil {
			all["calibration"], all["selective"] = s.Bins, s.Selective
		}
		if out != "" {
			all["out"], all["report"] = out, page
		}
		return a.print(all)
	}
	a.classificationTable(s, "")
	a.tellReport(page)
	return nil
}
