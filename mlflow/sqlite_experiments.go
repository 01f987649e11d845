package mlflow

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
)

const experimentColumns = `experiment_id, name, coalesce(artifact_location, ''), coalesce(lifecycle_stage, ''), coalesce(creation_time, 0), coalesce(last_update_time, 0)`

func scanExperiment(row interface{ Scan(...any) error }) (e Experiment, err error) {
	var id int64
	err = row.Scan(&id, &e.Name, &e.ArtifactLocation, &e.Lifecycle, &e.Created, &e.Updated)
	e.ID = strconv.FormatInt(id, 10)
	return e, err
}

// CreateExperiment implements Tracking.
func (s *SQLite) CreateExperiment(ctx context.Context, e NewExperiment) (id string, err error) {
	switch {
	case e.Name == "":
		return "", invalid("an experiment needs a name")
	case checkLength("the experiment's name", e.Name, maxExperimentName) != nil:
		return "", checkLength("the experiment's name", e.Name, maxExperimentName)
	}
	err = s.change(ctx, func(tx *sql.Tx) error {
		old, err := scanExperiment(tx.QueryRowContext(ctx, `SELECT `+experimentColumns+` FROM experiments WHERE name = ?`, e.Name))
		switch {
		case err == nil && old.Lifecycle == Deleted:
			return fail(codeExists, "experiment %q exists and is deleted: restore it, or take another name", e.Name)
		case err == nil:
			return fail(codeExists, "experiment %q exists", e.Name)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		now := Now()
		r, err := tx.ExecContext(ctx, `INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time) VALUES (?, ?, 'active', ?, ?)`,
			e.Name, e.ArtifactLocation, now, now)
		if err != nil {
			return err
		}
		n, err := r.LastInsertId()
		if err != nil {
			return err
		}
		id = strconv.FormatInt(n, 10)
		if e.ArtifactLocation == "" {
			if _, err := tx.ExecContext(ctx, `UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?`, s.artifactPath(id), n); err != nil {
				return err
			}
		}
		for _, t := range e.Tags {
			if err := setExperimentTag(ctx, tx, n, t); err != nil {
				return err
			}
		}
		return nil
	})
	return id, err
}

// rowID reads the number of an experiment.
func rowID(id string) (int64, error) {
	if err := checkExperimentID(id); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, missing("there is no experiment %q", id)
	}
	return n, nil
}

func (s *SQLite) experiment(ctx context.Context, q querier, where string, arg any) (*Experiment, error) {
	e, err := scanExperiment(q.QueryRowContext(ctx, `SELECT `+experimentColumns+` FROM experiments WHERE `+where, arg))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, missing("there is no experiment %v", arg)
	}
	if err != nil {
		return nil, err
	}
	e.Tags, err = tagsOf(ctx, q, `SELECT key, value FROM experiment_tags WHERE experiment_id = ? ORDER BY key`, e.ID)
	return &e, err
}

// tagsOf reads keys and values.
func tagsOf(ctx context.Context, q querier, query string, args ...any) ([]Tag, error) {
	return list(ctx, q, query, args, func(r *sql.Rows) (t Tag, err error) {
		var v sql.NullString
		err = r.Scan(&t.Key, &v)
		t.Value = v.String
		return t, err
	})
}

// Experiment implements Tracking.
func (s *SQLite) Experiment(ctx context.Context, id string) (*Experiment, error) {
	n, err := rowID(id)
	if err != nil {
		return nil, err
	}
	return s.experiment(ctx, s.db, "experiment_id = ?", n)
}

// ExperimentByName implements Tracking.
func (s *SQLite) ExperimentByName(ctx context.Context, name string) (*Experiment, error) {
	return s.experiment(ctx, s.db, "name = ?", name)
}

// changeExperiment runs a statement on one experiment that is in the given stage.
func (s *SQLite) changeExperiment(ctx context.Context, id string, stage Lifecycle, fn func(tx *sql.Tx, n int64, now Millis) error) error {
	n, err := rowID(id)
	if err != nil {
		return err
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		e, err := s.experiment(ctx, tx, "experiment_id = ?", n)
		if err != nil {
			return err
		}
		if stage != "" && e.Lifecycle != stage {
			return invalid("experiment %s is %s, it must be %s for this", id, e.Lifecycle, stage)
		}
		return fn(tx, n, Now())
	})
}

// RenameExperiment implements Tracking.
func (s *SQLite) RenameExperiment(ctx context.Context, id, name string) error {
	if name == "" {
		return invalid("an experiment needs a name")
	}
	return s.changeExperiment(ctx, id, Active, func(tx *sql.Tx, n int64, now Millis) error {
		var taken int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM experiments WHERE name = ? AND experiment_id != ?`, name, n).Scan(&taken); err != nil {
			return err
		}
		if taken > 0 {
			return fail(codeExists, "experiment %q exists", name)
		}
		_, err := tx.ExecContext(ctx, `UPDATE experiments SET name = ?, last_update_time = ? WHERE experiment_id = ?`, name, now, n)
		return err
	})
}

// DeleteExperiment implements Tracking: its runs are deleted with it.
func (s *SQLite) DeleteExperiment(ctx context.Context, id string) error {
	return s.moveExperiment(ctx, id, Active, Deleted)
}

// RestoreExperiment implements Tracking: its runs come back with it.
func (s *SQLite) RestoreExperiment(ctx context.Context, id string) error {
	return s.moveExperiment(ctx, id, Deleted, Active)
}

func (s *SQLite) moveExperiment(ctx context.Context, id string, from, to Lifecycle) error {
	return s.changeExperiment(ctx, id, "", func(tx *sql.Tx, n int64, now Millis) error {
		moved, err := affected(ctx, tx, `UPDATE experiments SET lifecycle_stage = ?, last_update_time = ? WHERE experiment_id = ? AND lifecycle_stage = ?`, to, now, n, from)
		switch {
		case err != nil:
			return err
		case moved == 0:
			return missing("there is no experiment %s that is %s", id, from)
		}
		deleted := any(now)
		if to == Active {
			deleted = nil
		}
		_, err = tx.ExecContext(ctx, `UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE experiment_id = ?`, to, deleted, n)
		return err
	})
}

// SetExperimentTag implements Tracking.
func (s *SQLite) SetExperimentTag(ctx context.Context, id string, t Tag) error {
	return s.changeExperiment(ctx, id, Active, func(tx *sql.Tx, n int64, _ Millis) error {
		return setExperimentTag(ctx, tx, n, t)
	})
}

func setExperimentTag(ctx context.Context, q querier, n int64, t Tag) error {
	if err := checkKey("tag", t.Key); err != nil {
		return err
	}
	if err := checkLength("the value of tag "+strconv.Quote(t.Key), t.Value, maxExperimentTag); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, `INSERT INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?)
		ON CONFLICT (key, experiment_id) DO UPDATE SET value = excluded.value`, t.Key, t.Value, n)
	return err
}

// DeleteExperimentTag implements Tracking.
func (s *SQLite) DeleteExperimentTag(ctx context.Context, id, key string) error {
	return s.changeExperiment(ctx, id, Active, func(tx *sql.Tx, n int64, _ Millis) error {
		gone, err := affected(ctx, tx, `DELETE FROM experiment_tags WHERE key = ? AND experiment_id = ?`, key, n)
		if err == nil && gone == 0 {
			err = missing("experiment %s has no tag %q", id, key)
		}
		return err
	})
}

// SearchExperiments implements Tracking.
func (s *SQLite) SearchExperiments(ctx context.Context, q Query) (page Page[Experiment], err error) {
	b := builder{table: "experiments", id: "experiment_id", language: experimentLanguage,
		tags: map[string]join{ofTag: {table: "experiment_tags", key: "key", on: []string{"experiment_id"}}}}
	b.view(q.View, "lifecycle_stage")
	if err := b.search(q, defaultSearch, maxSearch, "creation_time DESC", "experiment_id DESC"); err != nil {
		return page, err
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		ids, err := column[int64](ctx, tx, b.query("experiment_id"), b.args()...)
		if err != nil {
			return err
		}
		ids, page.Next = pageOf(&b, ids)
		for _, id := range ids {
			e, err := s.experiment(ctx, tx, "experiment_id = ?", id)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, *e)
		}
		return nil
	})
	return page, err
}
