package datamodule

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// Detection is a wildtrain.DataModule of pictures with boxes. Setup, Audit and
// Loader may be called from several goroutines.
type Detection struct {
	config  Config
	log     *slog.Logger
	sources []source
	classes *classMap
	rawMu   sync.Mutex
	raw     map[rawKey]*loaded
	made    map[string][]Record // by split, of WithSplits; without sources
	buffers imageio.Buffers
	cache   *cache // of all pictures, if so configured
	recent  *cache // of those that mosaics are about to draw from
	disk    *diskCache

	mu      sync.Mutex
	sampler *sampler // of the training pictures, made with their first loader
	ready   map[wildtrain.Stage][]Record
	reports map[wildtrain.Stage]*Report
}

type rawKey struct {
	source int
	split  string
}

// loaded is an annotation file as read once, with what was wrong in it.
type loaded struct {
	split    *rawSplit // nil: forgotten
	problems []Problem
}

var _ wildtrain.DataModule = (*Detection)(nil)

// NewDetection opens the roots and reads the class lists of all their splits,
// so that every stage has the same classes. Pictures and boxes are checked by Setup.
func NewDetection(c Config) (*Detection, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	sources, err := openSources(c)
	if err != nil {
		return nil, err
	}
	d := newDetection(c, sources, nil)
	if d.classes, err = newClassMap(c, d.classLists()); err != nil {
		return nil, d.explain(err)
	}
	return d, nil
}

// newDetection reads what all splits of the sources say.
func newDetection(c Config, sources []source, classes *classMap) *Detection {
	c.ByWindow = c.ByWindow || c.Windows.Size > 0
	d := &Detection{
		config: c, log: c.Logger, sources: sources, classes: classes, raw: map[rawKey]*loaded{},
		ready: map[wildtrain.Stage][]Record{}, reports: map[wildtrain.Stage]*Report{},
	}
	d.cache, d.recent = newCache(c.CacheBytes, false, &d.buffers), newCache(0, true, &d.buffers)
	if d.log == nil {
		d.log = slog.Default()
	}
	for i, s := range sources {
		for _, split := range s.splits() {
			var r Report
			raw := s.load(split, &r)
			d.raw[rawKey{i, split}] = &loaded{raw, r.Problems}
		}
	}
	return d
}

// classLists are those of all splits of all sources, in order.
func (d *Detection) classLists() (lists [][]rawClass) {
	for i, s := range d.sources {
		for _, split := range orderedSplits(s.splits(), d.config) {
			lists = append(lists, d.raw[rawKey{i, split}].split.classes)
		}
	}
	return lists
}

// explain adds what is wrong in the files to an error that may follow from it.
func (d *Detection) explain(err error) error {
	for i, s := range d.sources {
		for _, split := range s.splits() {
			if l := d.raw[rawKey{i, split}]; l != nil && len(l.problems) > 0 {
				return fmt.Errorf("%w\n  %s", err, l.problems[0])
			}
		}
	}
	return err
}

// orderedSplits puts the training split first: it decides the order of classes.
func orderedSplits(splits []string, c Config) []string {
	first := []string{c.TrainSplit, c.ValSplit, c.TestSplit}
	rank := func(s string) int {
		if i := slices.Index(first, s); i >= 0 {
			return i
		}
		return len(first)
	}
	out := slices.Clone(splits)
	slices.SortStableFunc(out, func(a, b string) int { return rank(a) - rank(b) })
	return out
}

// splitOf is the configured name of a stage's split, "" for an unknown stage.
func (d *Detection) splitOf(stage wildtrain.Stage) string {
	switch stage {
	case wildtrain.Train:
		return d.config.TrainSplit
	case wildtrain.Val:
		return d.config.ValSplit
	case wildtrain.Test:
		return d.config.TestSplit
	}
	return ""
}

// aliases are other names that annotation files give a split.
var aliases = map[string][]string{"val": {"valid", "validation", "instances_val2017"}, "train": {"instances_train2017"}, "test": {"instances_test2017"}}

// Classes implements wildtrain.DataModule.
func (d *Detection) Classes() []wildtrain.Class { return slices.Clone(d.classes.classes) }

// Splits lists the splits that exist in at least one dataset.
func (d *Detection) Splits() []string {
	var out []string
	for _, s := range d.sources {
		out = append(out, s.splits()...)
	}
	out = slices.AppendSeq(out, maps.Keys(d.made))
	slices.Sort(out)
	return slices.Compact(out)
}

// Setup implements wildtrain.DataModule: it reads the annotations of a stage
// and the header of every picture. Anything wrong is one error of type
// *DataError (policy Fail), or left out and logged (policy Skip).
func (d *Detection) Setup(ctx context.Context, stage wildtrain.Stage) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ready[stage] != nil {
		return nil
	}
	records, report, err := d.examine(ctx, stage, d.config.OnError == Skip)
	if err != nil {
		return err
	}
	if d.config.OnError == Fail {
		if err := report.Err(); err != nil {
			return err
		}
	}
	if problems := report.Errors(); len(problems) > 0 {
		d.log.Warn("left out what is wrong in the data", "split", report.Split, "problems", len(problems), "first", problems[0].String())
	}
	if len(records) == 0 {
		return fmt.Errorf("datamodule: split %q of %s has no picture: %w", report.Split, d.where(), wildtrain.ErrEmpty)
	}
	if stage == wildtrain.Train && report.Boxes == 0 {
		return fmt.Errorf("datamodule: split %q of %s has %d pictures and no box of the classes kept: %w", report.Split, d.where(), len(records), wildtrain.ErrEmpty)
	}
	d.ready[stage], d.reports[stage] = records, report
	d.forget(report.Split)
	return nil
}

// rawSplit returns what a source's files say of a split, nil where it has none.
func (d *Detection) rawSplit(i int, split string, r *Report) *rawSplit {
	d.rawMu.Lock()
	defer d.rawMu.Unlock()
	for _, name := range append([]string{split}, aliases[split]...) {
		switch l := d.raw[rawKey{i, name}]; {
		case l == nil:
		case l.split == nil: // forgotten: read anew
			return d.sources[i].load(name, r)
		default:
			r.Problems = append(r.Problems, l.problems...)
			return l.split
		}
	}
	return nil
}

// forget lets go of what the files of a split say, once it is set up: of a
// million pictures that is as much memory again.
func (d *Detection) forget(split string) {
	d.rawMu.Lock()
	defer d.rawMu.Unlock()
	for key, l := range d.raw {
		if key.split == split || slices.Contains(aliases[split], key.split) {
			l.split = nil
		}
	}
}

func (d *Detection) where() string {
	roots := slices.Clone(d.config.Roots)
	if d.config.Root != "" {
		roots = append([]string{d.config.Root}, roots...)
	}
	return strings.Join(roots, ", ")
}

// examine builds the records of a stage from every dataset that has its split.
func (d *Detection) examine(ctx context.Context, stage wildtrain.Stage, deep bool) ([]Record, *Report, error) {
	split := d.splitOf(stage)
	report := &Report{Split: split}
	records, found := d.made[split]
	records = slices.Clone(records)
	for i, s := range d.sources {
		raw := d.rawSplit(i, split, report)
		if raw == nil {
			continue
		}
		found = true
		more, err := buildRecords(ctx, s.name(), raw, d.classes, d.config, deep, report)
		if err != nil {
			return nil, nil, err
		}
		records = append(records, more...)
	}
	if !found {
		return nil, nil, fmt.Errorf("datamodule: %s has no split %q for stage %q; there are %q: %w", d.where(), split, stage, d.Splits(), wildtrain.ErrNoSplit)
	}
	uniqueIDs(records)
	report.count(records, len(d.classes.classes))
	return records, report, nil
}

// Report returns what Setup found in a stage, nil before Setup.
func (d *Detection) Report(stage wildtrain.Stage) *Report {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reports[stage]
}

// Records returns the pictures of a stage in the order of the data, nil before
// Setup. The slice is shared: read it only.
func (d *Detection) Records(stage wildtrain.Stage) []Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ready[stage]
}

// Close implements wildtrain.DataModule: it forgets cached pictures.
func (d *Detection) Close() error {
	d.cache.clear()
	d.recent.clear()
	return nil
}

// SetEpochs tells how long the training is, for Augment.CloseMosaic. It affects
// loaders made afterwards.
func (d *Detection) SetEpochs(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config.Epochs = n
}
