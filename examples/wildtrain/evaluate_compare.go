package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/evaluate/report"
)

func (a *app) evaluateCompare() verb {
	words := []key{
		{"a", "A", false, "evaluation folder, or run folder with an evaluation"},
		{"b", "B", false, "the other one: differences are b − a"},
	}
	keys := []key{
		{"a", "FOLDER_OR_FILE", true, "A by name: a folder, or with `gt` or `truth` a file of detections or predictions"},
		{"b", "FOLDER_OR_FILE", true, "B by name"},
		{"gt", "FILE", false, "COCO annotations, where a and b are files of detections"},
		{"truth", "FILE", false, "CSV of true classes, where a and b are files of predictions"},
	}
	return verb{
		name: "compare", short: "Compare two models on the same pictures, with intervals by paired bootstrap",
		args: words, keys: slices.Concat(keys, detectionKeys(), groupKeys(), classificationKeys(), sampleKeys()),
		example: "wildtrain evaluate compare runs/elephants/first runs/elephants/second\n" +
			"wildtrain evaluate compare gt=annotations.json a=first.json b=second.json --json\n" +
			"wildtrain evaluate compare truth=truth.csv a=first.csv b=second.csv resamples=5000",
		json: []result{
			{"a b", "what was compared"},
			{"differences", "list: name, a, b, difference (b − a), interval (low, high), p (of a difference of either sign)"},
			{"resamples level", "of the bootstrap"},
		},
		run: func(ctx context.Context, own map[string]string, _ []string) error {
			v := &values{own: own}
			boot := bootstrap(v)
			if own["gt"] != "" && own["truth"] != "" {
				return usagef("gt= is for detections, truth= for classes: give one of them")
			}
			left, err := open(ctx, v, "a")
			if err != nil {
				return err
			}
			right, err := open(ctx, v, "b")
			if err != nil {
				return err
			}
			differences, err := compare(left, right, boot)
			if err != nil {
				return err
			}
			return a.tellDifferences(own, differences, boot)
		},
	}
}

// open reads one side.
func open(ctx context.Context, v *values, side string) (evaluate.Saved, error) {
	name := v.own[side]
	switch {
	case v.own["gt"] != "":
		cfg := detectionConfig(v)
		if v.err != nil {
			return evaluate.Saved{}, v.err
		}
		d, err := openDetections(ctx, name, v.own, cfg)
		return evaluate.Saved{Detection: d}, err
	case v.own["truth"] != "":
		cfg := classificationConfig(v)
		if v.err != nil {
			return evaluate.Saved{}, v.err
		}
		c, err := evaluate.OpenClassification(v.own["truth"], name, cfg, evaluate.DefaultLimits())
		return evaluate.Saved{Classification: c}, err
	case v.err != nil:
		return evaluate.Saved{}, v.err
	}
	for _, k := range slices.Concat(detectionKeys(), groupKeys(), classificationKeys()) {
		if _, given := v.own[k.name]; given {
			return evaluate.Saved{}, usagef("%s= goes with gt= or truth=: evaluation folders are compared as they were measured", k.name)
		}
	}
	path, err := savedIn(name)
	if err != nil {
		return evaluate.Saved{}, err
	}
	return evaluate.OpenSaved(path, evaluate.DefaultLimits())
}

// savedIn finds the saved evaluation in an evaluation folder or a run folder.
func savedIn(folder string) (string, error) {
	if st, err := os.Stat(folder); err != nil {
		return "", err
	} else if !st.IsDir() {
		return "", usagef("%s is a file: name what it is measured against, gt=ANNOTATIONS or truth=CSV", folder)
	}
	for _, path := range []string{filepath.Join(folder, report.Saved), filepath.Join(folder, "evaluation", report.Saved)} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s holds no evaluation (%s): make one with wildtrain evaluate weights=%s", folder, report.Saved, folder)
}

func compare(a, b evaluate.Saved, boot evaluate.Bootstrap) ([]evaluate.Difference, error) {
	switch {
	case a.Detection != nil && b.Detection != nil:
		return evaluate.CompareDetections(a.Detection, b.Detection, boot)
	case a.Classification != nil && b.Classification != nil:
		return evaluate.CompareClassification(a.Classification, b.Classification, boot)
	}
	return nil, fmt.Errorf("one side is an evaluation of detections, the other of classes")
}

func (a *app) tellDifferences(own map[string]string, list []evaluate.Difference, boot evaluate.Bootstrap) error {
	if a.json {
		return a.print(map[string]any{"a": own["a"], "b": own["b"], "differences": list, "resamples": boot.Resamples, "level": boot.Level})
	}
	fmt.Fprintf(a.out, "a: %s\nb: %s\n", own["a"], own["b"])
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\ta\tb\tb − a\t%g %% interval\tp\t\n", 100*boot.Level)
	for _, d := range list {
		interval, p := "-", "-"
		if boot.Resamples > 0 {
			interval, p = fmt.Sprintf("%+.3f to %+.3f", d.Interval.Low, d.Interval.High), fmt.Sprintf("%.3f", d.P)
		}
		fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%+.3f\t%s\t%s\t\n", d.Name, d.A, d.B, d.Difference, interval, p)
	}
	return w.Flush()
}
