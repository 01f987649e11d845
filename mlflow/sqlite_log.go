package mlflow

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strconv"
)

// truncates tells whether long params and tags are cut, as MLflow does unless
// MLFLOW_TRUNCATE_LONG_VALUES says otherwise.
func truncates() bool {
	on, err := strconv.ParseBool(os.Getenv("MLFLOW_TRUNCATE_LONG_VALUES"))
	return err != nil || on
}

// fitted is a value of at most so many characters: cut, or refused.
func fitted(kind, key, value string, limit int) (string, error) {
	if len(value) <= limit { // bytes are at least as many
		return value, nil
	}
	err := checkLength("the value of "+kind+" "+strconv.Quote(key), value, limit)
	if err != nil && truncates() {
		return cut(value, limit), nil
	}
	return value, err
}

// LogBatch implements Tracking.
func (s *SQLite) LogBatch(ctx context.Context, runID string, b Batch) error {
	if err := checkBatch(b); err != nil {
		return err
	}
	return s.changeRun(ctx, runID, Active, func(tx *sql.Tx, _ RunInfo) error {
		if err := logParams(ctx, tx, runID, b.Params); err != nil {
			return err
		}
		if err := logMetrics(ctx, tx, runID, b.Metrics); err != nil {
			return err
		}
		return setRunTags(ctx, tx, runID, b.Tags)
	})
}

// logParams writes params that are new; one that has another value is refused.
func logParams(ctx context.Context, tx *sql.Tx, runID string, params []Param) error {
	for _, p := range params {
		var err error
		if p.Value, err = fitted("param", p.Key, p.Value, maxParam); err != nil {
			return err
		}
		var old string
		err = tx.QueryRowContext(ctx, `SELECT value FROM params WHERE key = ? AND run_uuid = ?`, p.Key, runID).Scan(&old)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if _, err := tx.ExecContext(ctx, `INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)`, p.Key, p.Value, runID); err != nil {
				return err
			}
		case err != nil:
			return err
		case old != p.Value:
			return invalid("param %q of run %s is %q already and cannot become %q", p.Key, runID, cut(old, 100), cut(p.Value, 100))
		}
	}
	return nil
}

// logMetrics writes metrics, skips those that are there, and keeps the latest of each.
func logMetrics(ctx context.Context, tx *sql.Tx, runID string, metrics []Metric) (err error) {
	if len(metrics) == 0 {
		return nil
	}
	insert, err := tx.PrepareContext(ctx, `INSERT OR IGNORE INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	latest := map[string]Metric{}
	var keys []string
	for _, m := range metrics {
		value, nan := storedValue(m.Value)
		if _, err := insert.ExecContext(ctx, m.Key, value, m.Timestamp, runID, m.Step, nan); err != nil {
			return err
		}
		old, seen := latest[m.Key]
		if !seen {
			keys = append(keys, m.Key)
		}
		if !seen || later(m, old) {
			latest[m.Key] = m
		}
	}
	for _, key := range keys {
		m := latest[key]
		value, nan := storedValue(m.Value)
		_, err := tx.ExecContext(ctx, `INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
			WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)`, m.Key, value, m.Timestamp, m.Step, nan, runID)
		if err != nil {
			return err
		}
	}
	return nil
}

// later tells whether a is newer than b: by step, then time, then value.
func later(a, b Metric) bool {
	switch {
	case a.Step != b.Step:
		return a.Step > b.Step
	case a.Timestamp != b.Timestamp:
		return a.Timestamp > b.Timestamp
	}
	x, _ := storedValue(a.Value)
	y, _ := storedValue(b.Value)
	return x > y
}

// setRunTags writes tags; the run's name is a tag and a column.
func setRunTags(ctx context.Context, tx *sql.Tx, runID string, tags []Tag) error {
	for _, t := range tags {
		var err error
		if t.Value, err = fitted("tag", t.Key, t.Value, maxTag); err != nil {
			return err
		}
		if t.Key == tagRunName {
			if _, err := tx.ExecContext(ctx, `UPDATE runs SET name = ? WHERE run_uuid = ?`, t.Value, runID); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)
			ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value`, t.Key, t.Value, runID); err != nil {
			return err
		}
	}
	return nil
}

// DeleteTag implements Tracking.
func (s *SQLite) DeleteTag(ctx context.Context, runID, key string) error {
	return s.changeRun(ctx, runID, Active, func(tx *sql.Tx, _ RunInfo) error {
		n, err := affected(ctx, tx, `DELETE FROM tags WHERE key = ? AND run_uuid = ?`, key, runID)
		if err == nil && n == 0 {
			err = missing("run %s has no tag %q", runID, key)
		}
		return err
	})
}

// MetricHistory implements Tracking.
func (s *SQLite) MetricHistory(ctx context.Context, runID, key string, most int, token string) (page Page[Metric], err error) {
	if most < 0 || most > historyPage {
		return page, invalid("max_results is %d; it must be between 1 and %d", most, historyPage)
	}
	offset, err := parseToken(token)
	if err != nil {
		return page, err
	}
	if most == 0 {
		most = historyPage
	}
	if _, err := runInfo(ctx, s.db, runID); err != nil {
		return page, err
	}
	items, err := list(ctx, s.db, `SELECT run_uuid, key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? AND key = ?
		ORDER BY timestamp, step, value LIMIT ? OFFSET ?`, []any{runID, key, most + 1, offset}, func(r *sql.Rows) (Metric, error) {
		_, m, err := scanMetric(r)
		return m, err
	})
	if len(items) > most {
		items, page.Next = items[:most], pageToken(offset+most)
	}
	page.Items = items
	return page, err
}

// LogInputs implements Tracking.
func (s *SQLite) LogInputs(ctx context.Context, runID string, inputs []DatasetInput) error {
	for _, in := range inputs {
		if err := in.check(); err != nil {
			return err
		}
	}
	return s.changeRun(ctx, runID, Active, func(tx *sql.Tx, i RunInfo) error {
		for _, in := range inputs {
			if err := s.logInput(ctx, tx, i, in); err != nil {
				return err
			}
		}
		return nil
	})
}

// check holds a data set against the limits.
func (in DatasetInput) check() error {
	d := in.Dataset
	if d.Name == "" || d.Digest == "" {
		return invalid("a data set needs a name and a digest, this one has %q and %q", d.Name, d.Digest)
	}
	err := errors.Join(checkLength("the data set's name", d.Name, maxDatasetName), checkLength("the data set's digest", d.Digest, maxDatasetDigest),
		checkLength("the data set's source", d.Source, maxDatasetSource), checkLength("the data set's schema", d.Schema, maxDatasetSchema),
		checkLength("the data set's profile", d.Profile, maxDatasetProfile))
	for _, t := range in.Tags {
		err = errors.Join(err, checkLength("an input's tag", t.Key, maxInputTagKey), checkLength("the value of an input's tag", t.Value, maxInputTagValue))
	}
	return err
}

func (s *SQLite) logInput(ctx context.Context, tx *sql.Tx, i RunInfo, in DatasetInput) error {
	d := in.Dataset
	var dataset string
	err := tx.QueryRowContext(ctx, `SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?`, i.ExperimentID, d.Name, d.Digest).Scan(&dataset)
	if errors.Is(err, sql.ErrNoRows) {
		dataset = newID()
		_, err = tx.ExecContext(ctx, `INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source, dataset_schema, dataset_profile)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, dataset, i.ExperimentID, d.Name, d.Digest, d.SourceType, d.Source, absent(d.Schema), absent(d.Profile))
	}
	if err != nil {
		return err
	}
	var input string
	err = tx.QueryRowContext(ctx, `SELECT input_uuid FROM inputs WHERE source_type = 'DATASET' AND source_id = ? AND destination_type = 'RUN' AND destination_id = ?`, dataset, i.ID).Scan(&input)
	if !errors.Is(err, sql.ErrNoRows) {
		return err // it is there: its first tags stay, as in MLflow
	}
	input = newID()
	if _, err := tx.ExecContext(ctx, `INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id) VALUES (?, 'DATASET', ?, 'RUN', ?)`, input, dataset, i.ID); err != nil {
		return err
	}
	for _, t := range in.Tags {
		if _, err := tx.ExecContext(ctx, `INSERT INTO input_tags (input_uuid, name, value) VALUES (?, ?, ?)`, input, t.Key, t.Value); err != nil {
			return err
		}
	}
	return nil
}

// absent turns "" into NULL.
func absent(text string) any {
	if text == "" {
		return nil
	}
	return text
}
