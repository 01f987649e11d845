package pipeline

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/tune"
)

const (
	spaceKey     = "tune.space"
	tuneSection  = "tune."
	defaultScore = "mAP50-95" // tune.metric unless given
)

// scores are the names under which users know values of the loop.
var scores = map[string]string{defaultScore: "AP", "mAP50": "AP50", "mAP75": "AP75"}

// ComposeTuning turns overrides over the configuration tree into a tuning. The
// space is tune.space (see tune.ParseSpace) together with tune.params, whose
// values are sweeps: choice(…), range(…) or interval(…), the last also as
// tag(log, …) and tag(int, …).
func ComposeTuning(o config.Options) (*Tuning, error) {
	base := o
	o.Overrides = slices.Clone(o.Overrides)
	for i, line := range o.Overrides {
		if strings.HasPrefix(line, spaceKey+"=") || strings.HasPrefix(line, spaceKey+".") {
			o.Overrides[i] = "++" + line // declares keys, rather than changing some
		}
	}
	c, err := Tree(o)
	if err != nil {
		return nil, err
	}
	section := config.DefaultRun().Tune
	n, err := c.Get("tune")
	if err == nil {
		err = config.Decode(n, &section)
	}
	if err != nil {
		return nil, err
	}
	t := &Tuning{options: base, files: len(section.Space) > 0 && !mentionsSpace(base.Overrides)}
	t.Study, t.Storage, t.Sampler, t.Pruner = section.Study, section.Storage, section.Sampler, section.Pruner
	t.Trials, t.Jobs, t.Timeout = section.Trials, section.Jobs, time.Duration(section.Timeout*float64(time.Second))
	t.Metrics = strings.Split(section.Metric, ",")
	var errs []error
	for _, d := range strings.Split(section.Direction, ",") {
		parsed, err := tune.ParseDirection(strings.TrimSpace(d))
		errs = append(errs, err)
		t.Directions = append(t.Directions, parsed)
	}
	if len(t.Metrics) != len(t.Directions) {
		errs = append(errs, fmt.Errorf("tune.direction: %d directions for the %d values of tune.metric", len(t.Directions), len(t.Metrics)))
	}
	space, err := spaceOf(section.Space, section.Params)
	errs = append(errs, err)
	t.Space = space
	if err := errors.Join(errs...); err != nil {
		return nil, badSettings(fmt.Errorf("pipeline: tune: %w", err))
	}
	return t, t.fixed()
}

func mentionsSpace(overrides []string) bool {
	return slices.ContainsFunc(overrides, func(o string) bool { return strings.HasPrefix(strings.TrimLeft(o, "+~"), spaceKey) })
}

// spaceOf joins both ways of declaring parameters.
func spaceOf(declared map[string]any, sweeps map[string]string) (tune.Space, error) {
	all := map[string]any{}
	maps.Copy(all, declared)
	for key, text := range sweeps {
		entry, err := sweepEntry(key, text)
		if err != nil {
			return tune.Space{}, err
		}
		all[key] = entry
	}
	if len(all) == 0 {
		return tune.Space{}, errors.New("there is nothing to search: give tune.space={training.lr0:{low:1e-5,high:1e-2,log:true}}")
	}
	return tune.ParseSpace(all)
}

// sweepEntry is a sweep as an entry of a declared space.
func sweepEntry(key, text string) (map[string]any, error) {
	o, err := config.ParseOverride(key + "=" + text)
	if err != nil {
		return nil, err
	}
	s := o.Sweep()
	if s == nil {
		return nil, fmt.Errorf("tune.params.%s: %s is one value: give several, a range(…) or an interval(…)", key, text)
	}
	if s.Kind == config.IntervalSweep {
		low, high := s.Interval()
		entry := map[string]any{"low": low, "high": high, "log": slices.Contains(s.Tags, "log")}
		if slices.Contains(s.Tags, "int") {
			entry["low"], entry["high"], entry["type"] = int64(low), int64(high), "int"
		}
		return entry, nil
	}
	lines, err := config.Jobs([]*config.Override{o}, nil, 0)
	if err != nil {
		return nil, err
	}
	var choices []any
	for _, line := range lines {
		_, value, _ := strings.Cut(line[0], "=")
		choices = append(choices, plainValue(value))
	}
	return map[string]any{"choices": choices}, nil
}

// plainValue reads a simple override value.
func plainValue(text string) any {
	switch strings.ToLower(text) {
	case "null":
		return nil
	case "true", "false":
		return strings.EqualFold(text, "true")
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return strings.ReplaceAll(strings.Trim(text, `'"`), `\`, "")
}

// overrideOf writes one parameter as an override.
func overrideOf(key string, v any) string {
	switch x := v.(type) {
	case nil:
		return key + "=null"
	case float64:
		return key + "=" + strconv.FormatFloat(x, 'g', -1, 64)
	case string:
		if strings.Trim(strings.ToLower(x), "abcdefghijklmnopqrstuvwxyz_") == "" && x != "" {
			return key + "=" + x // may be the option of a group
		}
		if _, text := plainValue(x).(string); text && strings.Trim(strings.ToLower(x), "abcdefghijklmnopqrstuvwxyz0123456789_-./") == "" && x != "" {
			return key + "=" + x
		}
		return key + "='" + strings.ReplaceAll(x, "'", `\'`) + "'"
	}
	return fmt.Sprintf("%s=%v", key, v)
}

// overrides are those of a trial: what all share, but for the tuning itself and
// the keys that are searched, and the values.
func (t *Tuning) overrides(values map[string]any) []string {
	var out []string
	for _, o := range t.options.Overrides {
		key, _, _ := strings.Cut(strings.TrimLeft(o, "+~"), "=")
		if _, searched := values[key]; !searched && !strings.HasPrefix(key, tuneSection) && key != "tune" {
			out = append(out, o)
		}
	}
	if t.files {
		out = append(out, "~"+spaceKey) // declared in a file, which training does not look at
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		out = append(out, overrideOf(key, values[key]))
	}
	return out
}

// fixed finds what is wrong with settings that no trial changes before any runs,
// and where trials are kept: in RUNS/EXPERIMENT/STUDY.
func (t *Tuning) fixed() error {
	first := map[string]any{}
	for _, p := range t.Space.Params {
		first[p.Name] = firstValue(p.Dist)
	}
	o := t.options
	o.Overrides = t.overrides(first)
	s, err := Compose(o)
	if err != nil {
		return err
	}
	t.Runs, t.Experiment, t.Seed, t.Epochs, t.tracking = s.Runs, s.Experiment, s.Seed, s.Loop.Epochs, s.Tracking
	if strings.ContainsAny(t.Study, `/\`) || t.Study == "" {
		return badSettings(fmt.Errorf("pipeline: tune.study is %q, must be a name without slashes", t.Study))
	}
	_, err = tune.NewSampler(t.Sampler, t.Seed, t.Space)
	_, prunerErr := tune.NewPruner(t.Pruner, int64(t.Epochs))
	return badSettings(errors.Join(err, prunerErr))
}

func firstValue(d tune.Distribution) any {
	switch x := d.(type) {
	case tune.Categorical:
		return x.Choices[0]
	case tune.Int:
		return x.Low
	case tune.Float:
		return x.Low
	}
	return nil
}

// TrialRun is the run folder of a trial, "" where it has none.
func TrialRun(t *tune.Trial) string {
	run, err := strconv.Unquote(t.UserAttrs[runAttr])
	if err != nil {
		return ""
	}
	return run
}

// WriteBest writes a trial's configuration as the option of a group: training
// takes it with +tuned=best where the folder above file's is a folder of
// configurations. It holds all that the trials had in common, too.
func (t *Tuning) WriteBest(file string, trial *tune.Trial) error {
	o := t.options
	o.Overrides = t.overrides(nil)
	var groups, values []string
	c, err := Tree(o)
	if err != nil {
		return err
	}
	for _, line := range t.overrides(trial.External()) {
		key, value, ok := strings.Cut(strings.TrimLeft(line, "+"), "=")
		switch {
		case !ok || strings.HasPrefix(line, "~") || key == "name": // a run's own
		case len(c.Options(key)) > 0:
			groups = append(groups, "  - override /"+key+": "+value)
		default:
			values = append(values, line)
		}
	}
	text := "# @package _global_\n" + fmt.Sprintf("# trial %d of study %s: %v\n", trial.Number, t.Study, trial.Values)
	if len(groups) > 0 {
		text += "defaults:\n" + strings.Join(groups, "\n") + "\n"
	}
	if text, err = appendYAML(text, values); err != nil {
		return fmt.Errorf("pipeline: tune: best configuration: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("pipeline: tune: %w", err)
	}
	return checkpoint.WriteFile(file, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
}

// appendYAML nests key=value lines as YAML mappings.
func appendYAML(text string, lines []string) (string, error) {
	last := []string{}
	slices.Sort(lines)
	for _, line := range lines {
		key, value, _ := strings.Cut(strings.TrimLeft(line, "+"), "=")
		parts := strings.Split(key, ".")
		common := 0
		for common < len(parts)-1 && common < len(last) && parts[common] == last[common] {
			common++
		}
		for depth := common; depth < len(parts)-1; depth++ {
			text += strings.Repeat("  ", depth) + parts[depth] + ":\n"
		}
		last = parts[:len(parts)-1]
		o, err := config.ParseOverride(line)
		if err != nil {
			return "", err
		}
		if o.Sweep() != nil {
			return "", fmt.Errorf("%s is a sweep", line)
		}
		text += strings.Repeat("  ", len(parts)-1) + parts[len(parts)-1] + ": " + yamlValue(value) + "\n"
	}
	return text, nil
}

// yamlValue writes an override's value as YAML: numbers, lists and mappings are
// the same in both grammars but for the space behind a colon.
func yamlValue(text string) string {
	if strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{") || strings.HasPrefix(text, "'") || strings.HasPrefix(text, `"`) {
		return strings.ReplaceAll(strings.ReplaceAll(text, ":", ": "), `\'`, "''")
	}
	if _, ok := plainValue(text).(string); !ok || strings.HasPrefix(text, "${") {
		return text
	}
	return strconv.Quote(plainValue(text).(string))
}
