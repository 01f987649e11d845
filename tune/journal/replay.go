package journal

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/internal/pyjson"
)

// The operations of a journal.
const (
	opCreateStudy = iota
	opDeleteStudy
	opStudyUserAttr
	opStudySystemAttr
	opCreateTrial
	opSetParam
	opSetState
	opSetReport
	opTrialUserAttr
	opTrialSystemAttr
	opDiscard // of other writers; nothing to do
)

// replay is the state that the records so far make. Ids count from 0.
type replay struct {
	studies []*study // nil where deleted
	trials  []*tune.Trial
	home    []*study // by trial
	dists   map[string]tune.Distribution
}

type study struct {
	record tune.StudyRecord
	trials []*tune.Trial
	spaces map[string]tune.Distribution // first of every parameter
}

func (r *replay) byName(name string) *study {
	for _, s := range r.studies {
		if s != nil && s.record.Name == name {
			return s
		}
	}
	return nil
}

func (r *replay) study(id int64) (*study, error) {
	if id < 0 || id >= int64(len(r.studies)) || r.studies[id] == nil {
		return nil, fmt.Errorf("%w: study %d", tune.ErrNotFound, id)
	}
	return r.studies[id], nil
}

func (r *replay) trial(id int64) (*tune.Trial, error) {
	if id < 0 || id >= int64(len(r.trials)) {
		return nil, fmt.Errorf("%w: trial %d", tune.ErrNotFound, id)
	}
	return r.trials[id], nil
}

// record is one line. The first field that is absent or of another kind is kept
// as an error.
type record struct {
	fields map[string]any
	err    error
}

func (l *record) fail(key string) {
	l.err = errors.Join(l.err, fmt.Errorf("field %q is missing or wrong", key))
}

func (l *record) int(key string) int64 {
	v, ok := l.fields[key].(int64)
	if !ok {
		l.fail(key)
	}
	return v
}

func (l *record) text(key string) string {
	v, ok := l.fields[key].(string)
	if !ok {
		l.fail(key)
	}
	return v
}

func (l *record) float(key string) float64 {
	v, ok := toFloat(l.fields[key])
	if !ok {
		l.fail(key)
	}
	return v
}

func (l *record) list(key string) []any {
	v, ok := l.fields[key].([]any)
	if !ok && l.fields[key] != nil {
		l.fail(key)
	}
	return v
}

func (l *record) object(key string) map[string]any {
	v, ok := l.fields[key].(map[string]any)
	if !ok && l.fields[key] != nil {
		l.fail(key)
	}
	return v
}

// time reads a time, zero where it is null. Without a zone it is local: Optuna 4
// and older wrote it so.
func (l *record) time(key string) time.Time {
	if l.fields[key] == nil {
		return time.Time{}
	}
	text := l.text(key)
	t, err := time.Parse("2006-01-02T15:04:05.999999Z07:00", text)
	if err != nil {
		t, err = time.ParseInLocation("2006-01-02T15:04:05.999999", text, time.Local)
	}
	if err != nil && l.err == nil {
		l.fail(key)
	}
	return t.UTC()
}

func toFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case float64:
		return x, true
	case int64:
		return float64(x), true
	}
	return 0, false
}

func (l *record) floats(key string) []float64 {
	var out []float64
	for _, v := range l.list(key) {
		f, ok := toFloat(v)
		if !ok {
			l.fail(key)
		}
		out = append(out, f)
	}
	return out
}

// apply takes one line. Records of things that are gone, or of trials that have
// finished, have no effect: their writers were too late.
func (r *replay) apply(line []byte) error {
	v, err := pyjson.Parse(string(line))
	if err != nil {
		return err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return errors.New("the record is no object")
	}
	l := &record{fields: fields}
	switch op := l.int("op_code"); op {
	case opCreateStudy:
		r.createStudy(l)
	case opDeleteStudy, opStudyUserAttr, opStudySystemAttr, opCreateTrial:
		r.changeStudy(l, op)
	case opSetParam, opSetState, opSetReport, opTrialUserAttr, opTrialSystemAttr:
		r.changeTrial(l, op)
	case opDiscard:
	default:
		return fmt.Errorf("op_code %d is unknown", op)
	}
	return l.err
}

func (r *replay) createStudy(l *record) {
	name := l.text("study_name")
	if l.err != nil || r.byName(name) != nil {
		return
	}
	s := &study{record: tune.StudyRecord{ID: int64(len(r.studies)), Name: name}, spaces: map[string]tune.Distribution{}}
	for _, d := range l.list("directions") {
		n, _ := d.(int64)
		s.record.Directions = append(s.record.Directions, tune.Direction(n))
	}
	r.studies = append(r.studies, s)
}

func (r *replay) changeStudy(l *record, op int64) {
	s, err := r.study(l.int("study_id"))
	if err != nil || l.err != nil {
		return
	}
	switch op {
	case opDeleteStudy:
		r.studies[s.record.ID] = nil
	case opStudyUserAttr:
		l.attrs("user_attr", func(key, json string) { s.record.SetAttr(false, key, json) })
	case opStudySystemAttr:
		l.attrs("system_attr", func(key, json string) { s.record.SetAttr(true, key, json) })
	case opCreateTrial:
		r.createTrial(l, s)
	}
}

// attrs calls set with every attribute of a field, as JSON text.
func (l *record) attrs(field string, set func(key, json string)) {
	for key, v := range l.object(field) {
		json, err := pyjson.Marshal(v, false)
		l.err = errors.Join(l.err, err)
		set(key, json)
	}
}

func (r *replay) createTrial(l *record, s *study) {
	t := &tune.Trial{ID: int64(len(r.trials)), Number: len(s.trials), Start: l.time("datetime_start"), End: l.time("datetime_complete"), Values: l.floats("values")}
	if l.fields["state"] != nil {
		t.State = tune.State(l.int("state"))
	}
	if l.fields["value"] != nil && t.Values == nil {
		t.Values = []float64{l.float("value")}
	}
	dists := &record{fields: l.object("distributions")}
	for name, v := range l.object("params") {
		f, ok := toFloat(v)
		d, err := r.distribution(dists.text(name))
		if !ok {
			l.fail("params")
		}
		l.err = errors.Join(l.err, dists.err, err)
		t.Apply(tune.Change{Kind: tune.SetParam, Key: name, Value: f, Dist: d})
	}
	for step, v := range l.object("intermediate_values") {
		n, err := strconv.ParseInt(step, 10, 64)
		f, ok := toFloat(v)
		if !ok || err != nil {
			l.fail("intermediate_values")
		}
		t.Apply(tune.Change{Kind: tune.SetReport, Step: n, Value: f})
	}
	l.attrs("user_attrs", func(key, json string) { t.Apply(tune.Change{Kind: tune.SetUserAttr, Key: key, JSON: json}) })
	l.attrs("system_attrs", func(key, json string) { t.Apply(tune.Change{Kind: tune.SetSystemAttr, Key: key, JSON: json}) })
	if l.err != nil {
		return
	}
	r.trials, r.home, s.trials = append(r.trials, t), append(r.home, s), append(s.trials, t)
}

// distribution parses, once for each text.
func (r *replay) distribution(text string) (tune.Distribution, error) {
	if d, ok := r.dists[text]; ok {
		return d, nil
	}
	d, err := tune.UnmarshalDistribution(text)
	if err != nil {
		return nil, err
	}
	if r.dists == nil {
		r.dists = map[string]tune.Distribution{}
	}
	r.dists[text] = d
	return d, nil
}

func (r *replay) changeTrial(l *record, op int64) {
	id := l.int("trial_id")
	t, err := r.trial(id)
	if err != nil || l.err != nil || t.State.Finished() {
		return
	}
	switch op {
	case opSetParam:
		r.setParam(l, t, r.home[id])
	case opSetState:
		c := tune.Change{Kind: tune.SetState, State: tune.State(l.int("state")), Values: l.floats("values"), Time: l.time("datetime_complete")}
		if c.State == tune.Running {
			if t.State == tune.Running {
				return // another worker took it first
			}
			c.Time = l.time("datetime_start")
		}
		if l.err == nil {
			t.Apply(c)
		}
	case opSetReport:
		// Python's replay takes the last value of a step; writers send one only
		t.Apply(tune.Change{Kind: tune.SetReport, Step: l.int("step"), Value: l.float("intermediate_value")})
	case opTrialUserAttr:
		l.attrs("user_attr", func(key, json string) { t.Apply(tune.Change{Kind: tune.SetUserAttr, Key: key, JSON: json}) })
	case opTrialSystemAttr:
		l.attrs("system_attr", func(key, json string) { t.Apply(tune.Change{Kind: tune.SetSystemAttr, Key: key, JSON: json}) })
	}
}

func (r *replay) setParam(l *record, t *tune.Trial, s *study) {
	name, value := l.text("param_name"), l.float("param_value_internal")
	d, err := r.distribution(l.text("distribution"))
	if l.err = errors.Join(l.err, err); l.err != nil {
		return
	}
	if first, ok := s.spaces[name]; ok && tune.Compatible(name, first, d) != nil {
		return // its writer got an error
	}
	s.spaces[name] = d
	t.Apply(tune.Change{Kind: tune.SetParam, Key: name, Value: value, Dist: d})
}

func isoTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000+00:00")
}

// template is the record that makes a trial like t.
func template(study int64, t *tune.Trial) (map[string]any, error) {
	out := map[string]any{"op_code": opCreateTrial, "study_id": study, "datetime_start": isoTime(t.Start)}
	if t.State == tune.Running && len(t.Params)+len(t.Reports)+len(t.UserAttrs)+len(t.SystemAttrs) == 0 {
		return out, nil
	}
	out["state"], out["value"], out["values"] = int64(t.State), nil, nil
	switch len(t.Values) {
	case 0:
	case 1:
		out["value"] = t.Values[0]
	default:
		out["values"] = t.Values
	}
	if !t.End.IsZero() {
		out["datetime_complete"] = isoTime(t.End)
	}
	params, dists, reports := map[string]any{}, map[string]any{}, map[string]any{}
	for name, p := range t.Params {
		text, err := tune.MarshalDistribution(p.Dist)
		if err != nil {
			return nil, err
		}
		params[name], dists[name] = p.Value, text
	}
	for step, v := range t.Reports {
		reports[strconv.FormatInt(step, 10)] = v
	}
	user, err := parsed(t.UserAttrs)
	system, err2 := parsed(t.SystemAttrs)
	out["params"], out["distributions"], out["intermediate_values"] = params, dists, reports
	out["user_attrs"], out["system_attrs"] = user, system
	return out, errors.Join(err, err2)
}

func parsed(attrs map[string]string) (map[string]any, error) {
	out := map[string]any{}
	for key, text := range attrs {
		v, err := pyjson.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", key, err)
		}
		out[key] = v
	}
	return out, nil
}

// changeRecord is the record of one change.
func changeRecord(trial int64, c tune.Change) (map[string]any, error) {
	out := map[string]any{"trial_id": trial}
	var err error
	switch c.Kind {
	case tune.SetParam:
		out["op_code"], out["param_name"], out["param_value_internal"] = opSetParam, c.Key, c.Value
		out["distribution"], err = tune.MarshalDistribution(c.Dist)
	case tune.SetReport:
		out["op_code"], out["step"], out["intermediate_value"] = opSetReport, c.Step, c.Value
	case tune.SetUserAttr, tune.SetSystemAttr:
		op, field := opTrialUserAttr, "user_attr"
		if c.Kind == tune.SetSystemAttr {
			op, field = opTrialSystemAttr, "system_attr"
		}
		var v any
		v, err = pyjson.Parse(c.JSON)
		out["op_code"], out[field] = op, map[string]any{c.Key: v}
	case tune.SetState:
		out["op_code"], out["state"], out["values"] = opSetState, int64(c.State), nil
		if len(c.Values) > 0 {
			out["values"] = c.Values
		}
		if c.State == tune.Running {
			out["datetime_start"] = isoTime(c.Time)
		} else if c.State.Finished() {
			out["datetime_complete"] = isoTime(c.Time)
		}
	default:
		err = fmt.Errorf("change %d is unknown", c.Kind)
	}
	if math.IsNaN(c.Value) && c.Kind == tune.SetParam {
		err = errors.New("a parameter is NaN")
	}
	return out, err
}
