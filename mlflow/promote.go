package mlflow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Rule says when a version may take an alias or a stage. The zero Rule always lets it.
type Rule struct {
	Metric     string  `json:"metric,omitempty"`   // the version must be better in this one than the present holder
	MinGain    float64 `json:"min_gain,omitempty"` // by at least so much
	Lower      bool    `json:"lower,omitempty"`    // lower is better
	AnyData    bool    `json:"any_data,omitempty"` // compare metrics of different data, too
	AtLeast    float64 `json:"at_least,omitempty"` // smallest value (largest with Lower); counts where HasAtLeast
	HasAtLeast bool    `json:"has_at_least,omitempty"`
}

func (r Rule) check() error {
	if r.Metric == "" && r != (Rule{}) {
		return errors.New("mlflow: promotion rule: limits need Metric, the value that they are for")
	}
	if r.MinGain < 0 || math.IsNaN(r.MinGain) || math.IsNaN(r.AtLeast) {
		return fmt.Errorf("mlflow: promotion rule: MinGain is %v, must not be negative", r.MinGain)
	}
	return nil
}

// Promotion says what a version shall get: an alias or a stage.
type Promotion struct {
	Alias   string
	Stage   string
	Rule    Rule
	Archive bool // move the versions that are in the stage to Archived
}

// Decision is what came of a promotion.
type Decision struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Alias    string   `json:"alias,omitempty"`
	Stage    string   `json:"stage,omitempty"`
	Promoted bool     `json:"promoted"`
	Reason   string   `json:"reason"`
	Before   string   `json:"before,omitempty"` // the version that had it
	Metric   string   `json:"metric,omitempty"`
	Value    *float64 `json:"value,omitempty"`        // of this version
	Held     *float64 `json:"before_value,omitempty"` // of the one before
}

// Promote gives a version an alias or a stage where the rule allows it. What
// the rule holds back is no error: the Decision tells why.
func Promote(ctx context.Context, store Store, name, version string, p Promotion) (*Decision, error) {
	if (p.Alias == "") == (p.Stage == "") {
		return nil, errors.New("mlflow: promote: want an alias or a stage, one of them")
	}
	if err := p.Rule.check(); err != nil {
		return nil, err
	}
	v, err := store.ModelVersion(ctx, name, version)
	if err != nil {
		return nil, err
	}
	holder, err := holderOf(ctx, store, name, p)
	if err != nil {
		return nil, err
	}
	d := &Decision{Name: name, Version: v.Version, Alias: p.Alias, Stage: p.Stage, Metric: p.Rule.Metric, Promoted: true, Reason: "no rule"}
	if holder != nil {
		d.Before = holder.Version
	}
	p.Rule.decide(d, v, holder)
	if !d.Promoted {
		return d, nil
	}
	if p.Alias != "" {
		return d, store.SetAlias(ctx, name, p.Alias, version)
	}
	stage, err := canonicalStage(p.Stage)
	if err != nil {
		return nil, err
	}
	d.Stage = stage
	archive := p.Archive && (stage == StageProduction || stage == StageStaging)
	_, err = store.TransitionStage(ctx, name, version, stage, archive)
	return d, err
}

// holderOf is the version that has the alias or the stage now, nil where none has.
func holderOf(ctx context.Context, store Store, name string, p Promotion) (*ModelVersion, error) {
	if p.Alias != "" {
		if err := checkAlias(p.Alias); err != nil {
			return nil, err
		}
		m, err := store.RegisteredModel(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, a := range m.Aliases {
			if a.Alias == p.Alias {
				return store.ModelVersion(ctx, name, a.Version)
			}
		}
		return nil, nil
	}
	stage, err := canonicalStage(p.Stage)
	if err != nil {
		return nil, err
	}
	list, err := store.LatestVersions(ctx, name, stage)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// decide fills in whether and why.
func (r Rule) decide(d *Decision, v, holder *ModelVersion) {
	if r.Metric == "" {
		return
	}
	hold := func(format string, args ...any) { d.Promoted, d.Reason = false, fmt.Sprintf(format, args...) }
	value, ok := v.Metric(r.Metric)
	if !ok {
		hold("version %s has no metric %s", v.Version, r.Metric)
		return
	}
	d.Value = &value
	if r.HasAtLeast && (r.Lower && value > r.AtLeast || !r.Lower && value < r.AtLeast) {
		hold("%s is %.4g, the rule asks for %.4g", r.Metric, value, r.AtLeast)
		return
	}
	if holder == nil || holder.Version == v.Version {
		d.Reason = "no other version has it"
		return
	}
	before, ok := holder.Metric(r.Metric)
	if !ok {
		hold("version %s, which has it now, has no metric %s", holder.Version, r.Metric)
		return
	}
	d.Held = &before
	if a, b := v.Tag(TagDataHash), holder.Tag(TagDataHash); !r.AnyData && (a != b || a == "") {
		hold("version %s was measured on other data than version %s (tag %s %q and %q)", v.Version, holder.Version, TagDataHash, a, b)
		return
	}
	gain := value - before
	if r.Lower {
		gain = -gain
	}
	if gain < r.MinGain || gain <= 0 {
		hold("%s %.4g is not better than %.4g of version %s by more than %.4g", r.Metric, value, before, holder.Version, r.MinGain)
		return
	}
	d.Reason = fmt.Sprintf("%s %.4g is better than %.4g of version %s", r.Metric, value, before, holder.Version)
}

// Metric returns a metric of the version, from its tags.
func (v ModelVersion) Metric(name string) (float64, bool) {
	text := v.Tag(CleanKey(metricPrefix + name))
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// Metrics are all metrics of the version, from its tags.
func (v ModelVersion) Metrics() map[string]float64 {
	out := map[string]float64{}
	for _, t := range v.Tags {
		if name, ok := strings.CutPrefix(t.Key, metricPrefix); ok {
			if f, ok := v.Metric(name); ok {
				out[name] = f
			}
		}
	}
	return out
}

// Comparison holds versions side by side.
type Comparison struct {
	Name     string         `json:"name"`
	Versions []ModelVersion `json:"versions"`
	Metrics  []MetricRow    `json:"metrics"`
	SameData bool           `json:"same_data"` // all were measured on the same data
}

// MetricRow is one metric of all versions; null where one lacks it.
type MetricRow struct {
	Metric string     `json:"metric"`
	Values []*float64 `json:"values"`
}

// Compare reads versions of a model; without any it takes all, newest first.
func Compare(ctx context.Context, store Store, name string, versions ...string) (*Comparison, error) {
	c := &Comparison{Name: name, SameData: true}
	if len(versions) == 0 {
		p, err := store.SearchModelVersions(ctx, Query{Filter: "name = '" + strings.ReplaceAll(name, "'", "''") + "'", OrderBy: []string{"version_number DESC"}})
		if err != nil {
			return nil, err
		}
		c.Versions = p.Items
	}
	for _, n := range versions {
		v, err := store.ModelVersion(ctx, name, n)
		if err != nil {
			return nil, err
		}
		c.Versions = append(c.Versions, *v)
	}
	if len(c.Versions) == 0 {
		return nil, missing("registered model %q has no versions", name)
	}
	var rows []string
	for _, v := range c.Versions {
		for m := range v.Metrics() {
			rows = append(rows, m)
		}
		h := v.Tag(TagDataHash)
		c.SameData = c.SameData && h != "" && h == c.Versions[0].Tag(TagDataHash)
	}
	slices.Sort(rows)
	for _, m := range slices.Compact(rows) {
		row := MetricRow{Metric: m}
		for _, v := range c.Versions {
			var value *float64
			if f, ok := v.Metric(m); ok {
				value = &f
			}
			row.Values = append(row.Values, value)
		}
		c.Metrics = append(c.Metrics, row)
	}
	return c, nil
}
