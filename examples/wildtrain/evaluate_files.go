package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/evaluate/report"
)

// evaluateCommand is the verb that measures a model, with the verbs beside it
// that measure files alone.
func (a *app) evaluateCommand() *cobra.Command {
	c := a.evaluate().command()
	c.AddCommand(a.evaluateDetections().command(), a.evaluateClassification().command(), a.evaluateCompare().command())
	c.Args = func(c *cobra.Command, args []string) error {
		for _, arg := range args {
			if strings.Contains(arg, "=") || strings.HasPrefix(arg, "~") {
				continue
			}
			c.SuggestionsMinimumDistance = 3
			if near := c.SuggestionsFor(arg); len(near) > 0 {
				return usagef("%s has no verb %q (did you mean %q?); see %s --help", c.CommandPath(), arg, near[0], c.CommandPath())
			}
		}
		return nil // words tells of the rest
	}
	return c
}

// detectionKeys say how detections are measured.
func detectionKeys() []key {
	return []key{
		{"iou_type", "bbox|segm", false, "overlap of boxes or of masks; bbox unless given"},
		{"iou_thresholds", "LIST", false, "IoUs that AP and AR average over, 0.5,0.75 or 0.5:0.95:0.05; COCO's ten unless given"},
		{"max_dets", "LIST", false, "detections per picture and class that count; 1,10,100 unless given"},
		{"area_bins", "LIST", false, "size classes in px², small:1024,medium:9216,large; COCO's unless given"},
		{"class_agnostic", "BOOL", false, "match boxes whatever their classes"},
		{"single_class", "NAME", false, "take every class for this one"},
		{"lvis", "BOOL", false, "LVIS's rules for classes that were not looked for or not marked completely"},
		{"at_iou", "IOU", false, "where precision, recall, F1, confusion and counts are told; 0.5 unless given"},
		{"at_conf", "SCORE", false, "least score for those; 0.25 unless given"},
		{"class_conf", "LIST", false, "least scores of single classes, zebra:0.4,kudu:0.3"},
	}
}

// sampleKeys say how intervals are drawn.
func sampleKeys() []key {
	return []key{
		{"resamples", "N", false, "resamples of the bootstrap; 1000 unless given, 0 for no intervals"},
		{"level", "SHARE", false, "of the intervals; 0.95 unless given"},
		{"seed", "N", false, "of the bootstrap; 1 unless given"},
	}
}

// groupKeys say which pictures belong together.
func groupKeys() []key {
	return []key{{"group", "KIND", false, "pictures that are not independent are drawn together: flight, camp, folder, source, time, gps or name:PATTERN as `data convert` has them, or key:NAME, a key of the annotation file's images"}}
}

// detectionConfig reads detectionKeys and groupKeys.
func detectionConfig(v *values) evaluate.DetectionConfig {
	cfg := evaluate.DefaultDetectionConfig(nil)
	cfg.IoUType = evaluate.IoUType(v.text("iou_type", string(cfg.IoUType)))
	cfg.Thresholds = v.floats("iou_thresholds", cfg.Thresholds)
	if cfg.LVIS = v.bool("lvis", false); cfg.LVIS {
		cfg.MaxDets = []int{300} // its own limit
	}
	cfg.MaxDets = v.wholes("max_dets", cfg.MaxDets)
	cfg.Areas = v.areas("area_bins", cfg.Areas)
	cfg.Agnostic = v.bool("class_agnostic", false)
	cfg.SingleClass = v.text("single_class", "")
	cfg.IoU, cfg.Conf = v.float("at_iou", cfg.IoU), v.float("at_conf", cfg.Conf)
	cfg.Confs = v.pairs("class_conf")
	if name, ok := strings.CutPrefix(v.own["group"], "key:"); ok {
		cfg.GroupBy = name
	}
	checked := cfg
	checked.Classes, checked.Confs = []string{"any"}, nil // those are known once the files are read
	if err := checked.Validate(); err != nil && v.err == nil {
		v.err = usageError{err}
	}
	return cfg
}

// bootstrap reads sampleKeys.
func bootstrap(v *values) evaluate.Bootstrap {
	b := evaluate.DefaultBootstrap()
	b.Resamples = v.number("resamples", b.Resamples)
	b.Level = v.float("level", b.Level)
	b.Seed = uint64(v.number("seed", int(b.Seed)))
	return b
}

// reportOptions read what is gathered for a report.
func reportOptions(v *values) report.Options {
	o := report.DefaultOptions()
	o.Bootstrap = bootstrap(v)
	o.CountBins = v.wholes("count_bins", o.CountBins)
	if folder := v.own["images"]; folder != "" {
		o.File = func(p evaluate.Picture) string { return filepath.Join(folder, filepath.FromSlash(p.File)) }
	}
	return o
}

func (a *app) evaluateDetections() verb {
	keys := []key{
		{"gt", "FILE", true, "COCO annotations"},
		{"dt", "FILE", true, "COCO results: a list of detections"},
		{"out", "FOLDER", false, "writes a report with plots and tables, and predictions for FiftyOne and Label Studio"},
		{"images", "FOLDER", false, "where the pictures lie: the report shows those with the most mistakes"},
		{"count_bins", "LIST", false, "upper ends of the herd sizes of the report; 0,1,5,20 unless given"},
	}
	return verb{
		name: "detections", short: "Measure detections in a file against annotations in a file",
		keys: slices.Concat(keys, detectionKeys(), groupKeys(), sampleKeys()),
		long: "The numbers equal those of pycocotools; −1 stands for one that is not defined. Detections of\n" +
			"classes or pictures that the annotations do not know are told of.",
		example: "wildtrain evaluate detections gt=annotations.json dt=detections.json --json\n" +
			"wildtrain evaluate detections gt=annotations.json dt=detections.json iou_type=segm max_dets=1,10,300\n" +
			"wildtrain evaluate detections gt=annotations.json dt=detections.json out=numbers images=pictures group=flight",
		after: "With `out`: `report.html`, `report.md`, `report.json`, `classes.csv`, `counts.csv`, `plots/`,\n" +
			"`predictions/` for COCO's tools, FiftyOne and Label Studio, and `evaluation.gz` for\n" +
			"`wildtrain evaluate compare`. Guide: docs/evaluation.md.",
		json: []result{
			{"AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl", "as pycocotools computes them; AR has the limits of `max_dets`, and AP_NAME and AR_NAME stand for size classes of one's own"},
			{"APr APc APf", "where the categories state their frequency, as in LVIS"},
			{"precision recall F1", "over all objects at `at_iou` and `at_conf`"},
			{averageKeys, "over classes at the same point, as scikit-learn has them"},
			{"best_precision best_recall best_F1 best_confidence", "where the mean F1 of the classes is best"},
			{"AP/CLASS", "for each class"},
			{"classes", "list: name, truths, found, AP, AP50, precision, recall, F1, best_confidence, best_F1"},
			{"images warnings", "pictures measured, and what is to be known of the files"},
			{"counting", "of all animals and of each class: MAE, RMSE, bias, R2, herd sizes, presence; intervals with `out` or `resamples`"},
			{"errors confusion", "mistakes after TIDE, confusion matrix with background"},
			{"out report intervals grid", "only with `out`: what was written, intervals of the main numbers, F1 over IoU and confidence"},
		},
		run: a.measureDetections,
	}
}

// measureDetections is the verb detections.
func (a *app) measureDetections(ctx context.Context, own map[string]string, _ []string) error {
	v := &values{own: own}
	cfg, o := detectionConfig(v), reportOptions(v)
	if v.err != nil {
		return v.err
	}
	d, err := openDetections(ctx, own["dt"], own, cfg)
	if err != nil {
		return err
	}
	if own["out"] == "" {
		if _, asked := own["resamples"]; !asked {
			o.Bootstrap.Resamples = 0 // intervals take longer than all the rest
		}
		in, err := brief(d, o, a.json)
		if err != nil {
			return err
		}
		return a.tellDetections(in, "", "")
	}
	in, err := o.Of(d)
	if err != nil {
		return err
	}
	in.Title = "Detections"
	in.Facts = []report.Fact{{Name: "Annotations", Value: own["gt"]}, {Name: "Detections", Value: own["dt"]}}
	page, err := report.Write(own["out"], in)
	if err != nil {
		return err
	}
	return a.tellDetections(in, own["out"], page)
}

// brief is what is told without a report: with everything, all that JSON shows.
func brief(d *evaluate.Detection, o report.Options, everything bool) (in report.Input, err error) {
	if in.Detection, err = d.Summary(); err != nil || !everything {
		return in, err
	}
	in.Confusion = d.Confusion()
	if in.Errors, err = d.Errors(o.Errors); err != nil {
		return in, err
	}
	in.Counting, err = d.Counting(evaluate.CountingConfig{Bins: o.CountBins, Bootstrap: o.Bootstrap})
	return in, err
}

// openDetections reads a pair of files and groups the pictures.
func openDetections(ctx context.Context, dt string, own map[string]string, cfg evaluate.DetectionConfig) (*evaluate.Detection, error) {
	d, err := evaluate.OpenDetections(own["gt"], dt, cfg, evaluate.DefaultLimits())
	if err != nil || own["group"] == "" || cfg.GroupBy != "" {
		return d, err
	}
	files := map[string]string{}
	for _, p := range d.Pictures() {
		files[p.ID] = filepath.Join(own["images"], filepath.FromSlash(p.File))
	}
	groups, err := groupsOf(ctx, own["group"], files)
	if err != nil {
		return nil, err
	}
	d.SetGroups(func(id, _ string) string { return groups[id] })
	return d, nil
}

// groupsOf finds the group of every picture by its file.
func groupsOf(ctx context.Context, kind string, files map[string]string) (map[string]string, error) {
	records := make([]datamodule.Record, 0, len(files))
	for _, id := range slices.Sorted(maps.Keys(files)) {
		records = append(records, datamodule.Record{ID: id, Path: files[id]})
	}
	by, err := datamodule.ParseGrouping(ctx, kind, records)
	if errors.Is(err, datamodule.ErrGrouping) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, r := range records {
		if out[r.ID], err = by(r); err != nil {
			return nil, fmt.Errorf("group=%s: %s: %w", kind, r.ID, err)
		}
	}
	return out, nil
}

// tellDetections prints the numbers: as JSON everything, else the short table.
func (a *app) tellDetections(in report.Input, out, page string) error {
	s := in.Detection
	if a.json {
		all := numbers(s.Values)
		classes := slices.Clone(s.Classes)
		for i := range classes {
			classes[i].Curve = nil // the report has it
		}
		all["images"], all["classes"], all["warnings"] = s.Pictures, classes, append([]string{}, s.Warnings...)
		all["counting"], all["errors"], all["confusion"] = in.Counting, in.Errors, in.Confusion
		if out != "" {
			all["out"], all["report"], all["intervals"], all["grid"] = out, page, in.Intervals, in.Grid
		}
		return a.print(all)
	}
	for _, w := range s.Warnings {
		fmt.Fprintln(a.err, "warning:", w)
	}
	a.detectionTable(s, "")
	a.tellReport(page)
	return nil
}
