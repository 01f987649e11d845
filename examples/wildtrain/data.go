package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/pipeline"
	"github.com/wildtrain/sdk/wildtrain"
)

// data are the verbs that look at data and change its form.
func (a *app) data() *cobra.Command {
	data := group("data", "Check, measure, show, convert and tile data")
	data.AddCommand(a.dataCheck().command(), a.dataStats().command(), a.dataShow().command(), a.dataConvert().command(), a.dataTile().command(), a.dataSelect().command(), a.dataFetch().command())
	return data
}

// pictures is data of either kind. Of pictures with classes, these count as boxes
// around all of them.
type pictures interface {
	Classes() []wildtrain.Class
	Splits() []string
	Pictures(context.Context) ([]datamodule.Split, error)
	Audit(context.Context, datamodule.LeakOptions) (*datamodule.Audit, error)
	Close() error
}

// openData opens the data of a configuration: pictures with boxes, or with
// classes where the format or the task says so.
func (a *app) openData(overrides []string) (pictures, error) {
	s, err := a.dataSettings(overrides)
	if err != nil {
		return nil, err
	}
	labels := s.Data.Source == datamodule.ROI || s.Data.Source == datamodule.Folder || slices.Contains(overrides, "task=classification")
	if labels {
		return datamodule.NewClassification(s.Labels)
	}
	return datamodule.NewDetection(s.Data)
}

// dataSettings are those that concern data. No batches are made: the size of
// pictures, which a model would tell, does not matter.
func (a *app) dataSettings(overrides []string) (pipeline.Settings, error) {
	s, err := pipeline.Compose(a.options(overrides))
	s.Data.ImageSize, s.Labels.ImageSize = datamodule.DefaultConfig().ImageSize, datamodule.DefaultClassification().ImageSize
	return s, err
}

// chosen are the splits of data that a key names, all unless given.
func chosen(ctx context.Context, d pictures, list string) ([]datamodule.Split, error) {
	splits, err := d.Pictures(ctx)
	if err != nil || list == "" {
		return splits, err
	}
	var out []datamodule.Split
	for _, name := range strings.Split(list, ",") {
		i := slices.IndexFunc(splits, func(s datamodule.Split) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("the data has no split %q; there are %q: %w", name, d.Splits(), wildtrain.ErrNoSplit)
		}
		out = append(out, splits[i])
	}
	return out, nil
}

var splitKey = key{"split", "NAMES", false, "splits to take, with commas; all unless given"}

func (a *app) dataCheck() verb {
	leaks := datamodule.DefaultLeakOptions()
	return verb{
		name: "check", short: "Report all that is wrong in data, what is in it and what is in two splits", settings: true,
		keys: []key{{"distance", "BITS", false, fmt.Sprintf("how much near duplicates may differ, 0 to 15; %d unless given", leaks.Distance)}},
		example: "wildtrain data check data.root=DATA\n" +
			"wildtrain data check data.root=DATA data.format=coco distance=8 --json\n" +
			"wildtrain data check data.root=DATA data.format=folder",
		after: "Told are: labels that are wrong, with file and line; pictures that cannot be read; how many boxes each class has in each split; sizes of boxes and pictures; pictures that are, wholly or in part, in two splits. Errors end with exit code 1; warnings and leaks do not.",
		json: []result{
			{"root", "of the data"}, {"classes", "names in the order of class ids"},
			{"splits", "of each: `split`, `images`, `negatives`, `boxes`, `crowd`, `difficult`, `classes`, `box_sizes`, `image_sizes` and more"},
			{"problems", "of each: `split`, `file`, `line`, `message`, `warning`"}, {"leaks", "of each: `kind`, the places `a` and `b`, `distance`"},
		},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			v := values{own: own}
			leaks.Distance = v.number("distance", leaks.Distance)
			if v.err != nil {
				return v.err
			}
			d, err := a.openData(overrides)
			if err != nil {
				return err
			}
			defer d.Close()
			audit, err := d.Audit(ctx, leaks)
			if err != nil {
				return err
			}
			if a.json {
				err = a.print(audit)
			} else {
				err = audit.WriteText(a.out)
			}
			if n := audit.Errors(); err == nil && n > 0 {
				err = fmt.Errorf("%d errors in the data of %s; data.on_error=skip trains without what is wrong", n, audit.Root)
			}
			return err
		},
	}
}

func (a *app) dataStats() verb {
	return verb{
		name: "stats", short: "Measure mean and standard deviation of the pixels", settings: true,
		keys: []key{{"split", "NAMES", false, "splits to measure, with commas; train unless given"}},
		example: "wildtrain data stats data.root=DATA\n" +
			"wildtrain data stats data.root=DATA split=train,val --json",
		json: []result{{"split images pixels", "what was measured"}, {"mean std", "of red, green and blue, as shares of 255"}},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			d, err := a.openData(overrides)
			if err != nil {
				return err
			}
			defer d.Close()
			list := own["split"]
			if list == "" {
				list = "train"
			}
			splits, err := chosen(ctx, d, list)
			if err != nil {
				return err
			}
			stats, err := datamodule.MeasurePixels(ctx, splits, 0)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(struct {
					Split string `json:"split"`
					datamodule.PixelStatistics
				}{list, stats})
			}
			fmt.Fprintf(a.out, "%d images of %s, %d pixels\nmean %s\nstd  %s\n", stats.Pictures, list, stats.Pixels, triple(stats.Mean), triple(stats.Std))
			return nil
		},
	}
}

// triple writes a value per channel as the configuration takes it.
func triple(v [3]float64) string { return fmt.Sprintf("[%.6f, %.6f, %.6f]", v[0], v[1], v[2]) }

func (a *app) dataShow() verb {
	c := datamodule.DefaultGallery()
	return verb{
		name: "show", short: "Write a page of pictures with their boxes", settings: true,
		keys: []key{
			{"out", "FILE", false, "the page; gallery.html unless given"}, splitKey,
			{"limit", "NUMBER", false, fmt.Sprintf("most pictures of a split, drawn at random; %d unless given, 0 for all", c.Limit)},
			{"side", "PIXELS", false, fmt.Sprintf("longest side of a picture; %d unless given", c.Side)},
		},
		example: "wildtrain data show data.root=DATA\n" +
			"wildtrain data show data.root=DATA split=val limit=50 out=val.html",
		after: "The page needs no other file. Pictures can be filtered by split, class and name; a click shows one in full width.",
		json:  []result{{"out", "the page"}, {"images", "how many it shows"}},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			v := values{own: own}
			c.Limit, c.Side = v.number("limit", c.Limit), v.number("side", c.Side)
			out := v.text("out", "gallery.html")
			if v.err != nil {
				return v.err
			}
			d, err := a.openData(overrides)
			if err != nil {
				return err
			}
			defer d.Close()
			splits, err := chosen(ctx, d, own["split"])
			if err != nil {
				return err
			}
			shown := 0
			if err := writeWhole(out, func(w io.Writer) error {
				shown, err = datamodule.WriteGallery(ctx, w, d.Classes(), splits, c)
				return err
			}); err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"out": out, "images": shown})
			}
			fmt.Fprintf(a.out, "%d images: %s\n", shown, out)
			return nil
		},
	}
}

// writeWhole writes a file as a whole or not at all.
func writeWhole(path string, fill func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // not there any more where all went well
	if err := fill(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// values reads a verb's own keys; the first that is wrong stays in err.
type values struct {
	own map[string]string
	err error
}

func (v *values) text(name, unless string) string {
	if s, given := v.own[name]; given {
		return s
	}
	return unless
}

func (v *values) number(name string, unless int) int {
	return read(v, name, unless, "a whole number", strconv.Atoi)
}

func (v *values) float(name string, unless float64) float64 {
	return read(v, name, unless, "a number", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

func (v *values) bool(name string, unless bool) bool {
	return read(v, name, unless, "true or false", strconv.ParseBool)
}

func read[T any](v *values, name string, unless T, want string, parse func(string) (T, error)) T {
	s, given := v.own[name]
	if !given {
		return unless
	}
	x, err := parse(s)
	if err != nil {
		if v.err == nil {
			v.err = usagef("%s=%s: must be %s", name, s, want)
		}
		return unless
	}
	return x
}
