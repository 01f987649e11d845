package rdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/wildtrain/sdk/tune"
)

// timeLayout is how SQLAlchemy stores times in SQLite; other databases take it, too.
const timeLayout = "2006-01-02 15:04:05.000000"

func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(timeLayout)
}

// CreateTrial implements tune.Storage. A running trial gets its first heartbeat.
func (s *Storage) CreateTrial(ctx context.Context, study int64, t *tune.Trial) (*tune.Trial, error) {
	out := *t
	err := s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var id int64
		err := s.row(ctx, tx, "SELECT study_id FROM studies WHERE study_id = ?"+s.dialect.lock, study).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: study %d", tune.ErrNotFound, study)
		}
		if err != nil {
			return fmt.Errorf("rdb: read: %w", err)
		}
		if err := s.row(ctx, tx, "SELECT COUNT(*) FROM trials WHERE study_id = ?", study).Scan(&out.Number); err != nil {
			return fmt.Errorf("rdb: read: %w", err)
		}
		out.ID, err = s.insert(ctx, tx, "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) VALUES (?, ?, ?, ?, ?)",
			"trial_id", out.Number, study, t.State.String(), stamp(t.Start), stamp(t.End))
		if err == nil {
			err = s.write(ctx, tx, out.ID, contents(t)...)
		}
		if err == nil && t.State == tune.Running {
			err = s.beat(ctx, tx, out.ID)
		}
		return err
	})
	return &out, err
}

// contents are the changes that make an empty trial into t, its state aside.
func contents(t *tune.Trial) []tune.Change {
	var out []tune.Change
	for name, p := range t.Params {
		out = append(out, tune.Change{Kind: tune.SetParam, Key: name, Value: p.Value, Dist: p.Dist})
	}
	for step, v := range t.Reports {
		out = append(out, tune.Change{Kind: tune.SetReport, Step: step, Value: v})
	}
	for key, json := range t.UserAttrs {
		out = append(out, tune.Change{Kind: tune.SetUserAttr, Key: key, JSON: json})
	}
	for key, json := range t.SystemAttrs {
		out = append(out, tune.Change{Kind: tune.SetSystemAttr, Key: key, JSON: json})
	}
	slices.SortFunc(out, func(a, b tune.Change) int {
		if a.Kind != b.Kind {
			return int(a.Kind - b.Kind)
		}
		if a.Step != b.Step {
			return int(a.Step - b.Step)
		}
		return strings.Compare(a.Key, b.Key)
	})
	if t.State.Finished() {
		out = append(out, tune.Change{Kind: tune.SetState, State: t.State, Values: t.Values, Time: t.End})
	}
	return out
}

// Claim implements tune.Storage.
func (s *Storage) Claim(ctx context.Context, trial int64) (mine bool, err error) {
	err = s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := s.exec(ctx, tx, "UPDATE trials SET state = 'RUNNING', datetime_start = ? WHERE trial_id = ? AND state = 'WAITING'", stamp(time.Now()), trial)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		if mine = n > 0; err != nil || !mine {
			return err
		}
		return s.beat(ctx, tx, trial)
	})
	return mine, err
}

// Update implements tune.Storage.
func (s *Storage) Update(ctx context.Context, trial int64, changes ...tune.Change) error {
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var state string
		err := s.row(ctx, tx, "SELECT state FROM trials WHERE trial_id = ?"+s.dialect.lock, trial).Scan(&state)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: trial %d", tune.ErrNotFound, trial)
		}
		if err != nil {
			return fmt.Errorf("rdb: read: %w", err)
		}
		parsed, err := tune.ParseState(state)
		if err == nil && parsed.Finished() {
			err = fmt.Errorf("%w: trial %d", tune.ErrFinished, trial)
		}
		if err != nil {
			return err
		}
		return s.write(ctx, tx, trial, changes...)
	})
}

// write makes changes, with one statement for each kind.
func (s *Storage) write(ctx context.Context, tx *sql.Tx, trial int64, changes ...tune.Change) error {
	var params, reports, user, system rows
	var states []tune.Change
	for _, c := range changes {
		switch c.Kind {
		case tune.SetParam:
			json, err := tune.MarshalDistribution(c.Dist)
			if err != nil {
				return err
			}
			params.set(c.Key, trial, c.Key, c.Value, json)
		case tune.SetReport:
			if value, kind := typed(c.Value); !reports.has(c.Step) { // the first value of a step counts
				reports.set(c.Step, trial, c.Step, value, kind)
			}
		case tune.SetUserAttr:
			user.set(c.Key, trial, c.Key, c.JSON)
		case tune.SetSystemAttr:
			system.set(c.Key, trial, c.Key, c.JSON)
		case tune.SetState:
			states = append(states, c)
		}
	}
	d := &s.dialect
	ofKey := []string{"trial_id", d.key}
	for _, p := range []struct {
		rows            rows
		table, conflict string
		columns         []string
	}{
		{params, "trial_params", d.orSet([]string{"trial_id", "param_name"}, "param_value", "distribution_json"), []string{"trial_id", "param_name", "param_value", "distribution_json"}},
		{reports, "trial_intermediate_values", d.orKeep("trial_id", "step"), []string{"trial_id", "step", "intermediate_value", "intermediate_value_type"}},
		{user, attributes("trial", false), d.orSet(ofKey, "value_json"), append(ofKey, "value_json")},
		{system, attributes("trial", true), d.orSet(ofKey, "value_json"), append(ofKey, "value_json")},
	} {
		if err := s.insertRows(ctx, tx, p.rows, p.table, p.conflict, p.columns...); err != nil {
			return err
		}
	}
	for _, c := range states {
		if err := s.writeState(ctx, tx, trial, c); err != nil {
			return err
		}
	}
	return nil
}

// rows are those of one table to insert, one for each key.
type rows struct {
	at   map[any]int
	rows [][]any
}

func (r *rows) has(key any) bool {
	_, ok := r.at[key]
	return ok
}

// set takes a row in the place of an earlier one of its key.
func (r *rows) set(key any, row ...any) {
	if r.has(key) {
		r.rows[r.at[key]] = row
		return
	}
	if r.at == nil {
		r.at = map[any]int{}
	}
	r.at[key] = len(r.rows)
	r.rows = append(r.rows, row)
}

func (s *Storage) insertRows(ctx context.Context, tx *sql.Tx, r rows, table, conflict string, columns ...string) error {
	const most = 200 // databases bound the number of placeholders
	for part := range slices.Chunk(r.rows, most) {
		if _, err := s.exec(ctx, tx, insert(table, len(part), columns...)+conflict, slices.Concat(part...)...); err != nil {
			return err
		}
	}
	return nil
}

func (s *Storage) writeState(ctx context.Context, tx *sql.Tx, trial int64, c tune.Change) error {
	var values rows
	for i, v := range c.Values {
		value, kind := typed(v)
		values.set(i, trial, i, value, kind)
	}
	err := s.insertRows(ctx, tx, values, "trial_values", s.dialect.orSet([]string{"trial_id", "objective"}, "value", "value_type"), "trial_id", "objective", "value", "value_type")
	if err != nil {
		return err
	}
	column := "datetime_complete"
	if c.State == tune.Running {
		column = "datetime_start"
	}
	_, err = s.exec(ctx, tx, "UPDATE trials SET state = ?, "+column+" = ? WHERE trial_id = ?", c.State.String(), stamp(c.Time), trial)
	return err
}

// typed is a number as two columns: databases have neither NaN nor infinity.
func typed(v float64) (value any, kind string) {
	switch {
	case math.IsNaN(v):
		return nil, "NAN"
	case math.IsInf(v, 1):
		return nil, "INF_POS"
	case math.IsInf(v, -1):
		return nil, "INF_NEG"
	}
	return v, "FINITE"
}

func untyped(value sql.NullFloat64, kind string) float64 {
	switch kind {
	case "INF_POS":
		return math.Inf(1)
	case "INF_NEG":
		return math.Inf(-1)
	case "FINITE":
		return value.Float64
	}
	return math.NaN()
}

// Beat implements tune.Heartbeater.
func (s *Storage) Beat(ctx context.Context, trial int64) error { return s.beat(ctx, s.db, trial) }

func (s *Storage) beat(ctx context.Context, q querier, trial int64) error {
	_, err := s.exec(ctx, q, "INSERT INTO trial_heartbeats (trial_id, heartbeat) VALUES (?, CURRENT_TIMESTAMP)"+s.dialect.orSet([]string{"trial_id"}, "heartbeat"), trial)
	return err
}

// Stale implements tune.Heartbeater.
func (s *Storage) Stale(ctx context.Context, study int64, grace time.Duration) ([]int64, error) {
	s.mu.Lock()
	after := s.settledOf(study).last()
	s.mu.Unlock()
	var out []int64
	query := "SELECT t.trial_id FROM trials t JOIN trial_heartbeats h ON h.trial_id = t.trial_id WHERE t.study_id = ? AND t.trial_id > ? AND t.state = 'RUNNING' AND " +
		fmt.Sprintf(s.dialect.age, "h.heartbeat") + " > ?"
	err := s.each(ctx, s.db, query, []any{study, after, grace.Seconds()}, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		out = append(out, id)
		return err
	})
	return out, err
}

// settled are a study's finished trials that were read: they do not change any more.
type settled struct {
	first []*tune.Trial         // numbers 0, 1, 2 … without a gap
	later map[int64]*tune.Trial // those behind a trial that is not finished, by ID
}

func (s *Storage) settledOf(study int64) *settled {
	out := s.settled[study]
	if out == nil {
		out = &settled{later: map[int64]*tune.Trial{}}
		s.settled[study] = out
	}
	return out
}

// last is the ID up to which nothing changes; 0 where that is none.
func (k *settled) last() int64 {
	if len(k.first) == 0 {
		return 0
	}
	return k.first[len(k.first)-1].ID
}

// take keeps the finished ones of all trials of the study, by number.
func (k *settled) take(all []*tune.Trial) {
	for i := len(k.first); i < len(all); i++ {
		switch t := all[i]; {
		case !t.State.Finished():
		case t.Number == len(k.first) && i == len(k.first):
			k.first = append(k.first, t)
			delete(k.later, t.ID)
		default:
			k.later[t.ID] = t
		}
	}
}

// Trials implements tune.Storage.
func (s *Storage) Trials(ctx context.Context, study int64) ([]*tune.Trial, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.settledOf(study)
	all, fresh, err := s.heads(ctx, study, known)
	if err == nil {
		err = s.bodies(ctx, fresh)
	}
	if err != nil {
		return nil, err
	}
	known.take(all)
	return all, nil
}

// heads lists all trials; fresh are those of which only the head is read, by ID.
func (s *Storage) heads(ctx context.Context, study int64, known *settled) (all []*tune.Trial, fresh map[int64]*tune.Trial, err error) {
	all, fresh = slices.Clone(known.first), map[int64]*tune.Trial{}
	query := "SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials WHERE study_id = ? AND trial_id > ? ORDER BY trial_id"
	err = s.each(ctx, s.db, query, []any{study, known.last()}, func(scan func(...any) error) error {
		t := &tune.Trial{}
		var state string
		var start, end any
		if err := scan(&t.ID, &t.Number, &state, &start, &end); err != nil {
			return err
		}
		if k := known.later[t.ID]; k != nil {
			all = append(all, k)
			return nil
		}
		var err error
		if t.State, err = tune.ParseState(state); err == nil {
			t.Start, err = readTime(start)
		}
		if err == nil {
			t.End, err = readTime(end)
		}
		all, fresh[t.ID] = append(all, t), t
		return err
	})
	return all, fresh, err
}

// readTime takes what drivers make of a time without a zone, which is UTC.
func readTime(v any) (time.Time, error) {
	switch x := v.(type) {
	case nil:
		return time.Time{}, nil
	case time.Time:
		return time.Date(x.Year(), x.Month(), x.Day(), x.Hour(), x.Minute(), x.Second(), x.Nanosecond(), time.UTC), nil
	case []byte:
		return readTime(string(x))
	case string:
		return time.Parse("2006-01-02 15:04:05.999999", strings.Replace(strings.TrimSuffix(x, "Z"), "T", " ", 1))
	}
	return time.Time{}, fmt.Errorf("a %T is no time", v)
}

// bodies reads what belongs to the fresh trials.
func (s *Storage) bodies(ctx context.Context, fresh map[int64]*tune.Trial) error {
	const most = 200                        // databases bound the number of placeholders
	dists := map[string]tune.Distribution{} // most trials share them
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(fresh)), most) {
		if err := s.bodiesOf(ctx, ids, fresh, dists); err != nil {
			return err
		}
	}
	return nil
}

func (s *Storage) bodiesOf(ctx context.Context, ids []int64, fresh map[int64]*tune.Trial, dists map[string]tune.Distribution) error {
	var id, step int64
	var key, text string
	var value sql.NullFloat64
	args := make([]any, len(ids))
	for i, x := range ids {
		args[i] = x
	}
	among := " WHERE trial_id IN (" + strings.TrimSuffix(strings.Repeat("?, ", len(ids)), ", ") + ") ORDER BY trial_id"
	read := func(columns, table, order string, into []any, add func(t *tune.Trial) error) error {
		return s.each(ctx, s.db, "SELECT trial_id, "+columns+" FROM "+table+among+order, args, func(scan func(...any) error) error {
			if err := scan(append([]any{&id}, into...)...); err != nil {
				return err
			}
			return add(fresh[id])
		})
	}
	err := read("param_name, param_value, distribution_json", "trial_params", "", []any{&key, &value, &text}, func(t *tune.Trial) error {
		d := dists[text]
		if d == nil {
			var err error
			if d, err = tune.UnmarshalDistribution(text); err != nil {
				return err
			}
			dists[text] = d
		}
		t.Apply(tune.Change{Kind: tune.SetParam, Key: key, Value: value.Float64, Dist: d})
		return nil
	})
	if err == nil {
		err = read("value, value_type", "trial_values", ", objective", []any{&value, &text}, func(t *tune.Trial) error {
			t.Values = append(t.Values, untyped(value, text))
			return nil
		})
	}
	if err == nil {
		err = read("step, intermediate_value, intermediate_value_type", "trial_intermediate_values", "", []any{&step, &value, &text}, func(t *tune.Trial) error {
			t.Apply(tune.Change{Kind: tune.SetReport, Step: step, Value: untyped(value, text)})
			return nil
		})
	}
	for _, kind := range []tune.ChangeKind{tune.SetUserAttr, tune.SetSystemAttr} {
		if err != nil {
			return err
		}
		err = read(s.dialect.key+", value_json", attributes("trial", kind == tune.SetSystemAttr), "", []any{&key, &text}, func(t *tune.Trial) error {
			t.Apply(tune.Change{Kind: kind, Key: key, JSON: text})
			return nil
		})
	}
	return err
}
