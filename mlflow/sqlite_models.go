package mlflow

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
)

// modelStates are the numbers of the states in the file.
var modelStates = map[string]int{ModelPending: 1, ModelReady: 2, ModelFailed: 3}

func modelState(n int) string {
	for name, number := range modelStates {
		if number == n {
			return name
		}
	}
	return "LOGGED_MODEL_STATUS_UNSPECIFIED"
}

// needLogged refuses calls on a file of MLflow 2.
func (s *SQLite) needLogged() error {
	if !s.logged {
		return fail(codeEndpoint, "a file of MLflow 2 has no logged models")
	}
	return nil
}

// CreateLoggedModel implements Tracking.
func (s *SQLite) CreateLoggedModel(ctx context.Context, m NewLoggedModel) (*LoggedModel, error) {
	if err := s.needLogged(); err != nil {
		return nil, err
	}
	if m.Name == "" {
		m.Name = randomName()
	}
	id := "m-" + newID()
	err := s.changeExperiment(ctx, m.ExperimentID, Active, func(tx *sql.Tx, n int64, now Millis) error {
		var location string
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(artifact_location, '') FROM experiments WHERE experiment_id = ?`, n).Scan(&location); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id)
			VALUES (?, ?, ?, ?, ?, ?, 1, 'active', ?, ?)`, id, n, m.Name, joinURI(location, "models", id, artifactsDir), now, now, absent(m.Type), absent(m.SourceRunID))
		if err != nil {
			return err
		}
		for _, p := range m.Params {
			if _, err := tx.ExecContext(ctx, `INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value) VALUES (?, ?, ?, ?)`, id, n, p.Key, p.Value); err != nil {
				return err
			}
		}
		return setLoggedTags(ctx, tx, id, n, m.Tags)
	})
	if err != nil {
		return nil, err
	}
	return s.LoggedModel(ctx, id)
}

func setLoggedTags(ctx context.Context, q querier, id string, experiment int64, tags []Tag) error {
	for _, t := range tags {
		if _, err := q.ExecContext(ctx, `INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value) VALUES (?, ?, ?, ?)
			ON CONFLICT (model_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value`, id, experiment, t.Key, t.Value); err != nil {
			return err
		}
	}
	return nil
}

const loggedColumns = `model_id, experiment_id, name, artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, status, coalesce(model_type, ''), coalesce(source_run_id, '')`

func (s *SQLite) loggedModel(ctx context.Context, q querier, id string) (*LoggedModel, error) {
	var m LoggedModel
	var experiment int64
	var state int
	i := &m.Info
	err := q.QueryRowContext(ctx, `SELECT `+loggedColumns+` FROM logged_models WHERE model_id = ? AND lifecycle_stage = 'active'`, id).
		Scan(&i.ID, &experiment, &i.Name, &i.ArtifactURI, &i.Created, &i.Updated, &state, &i.Type, &i.SourceRunID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, missing("there is no logged model %q", id)
	}
	if err != nil {
		return nil, err
	}
	i.ExperimentID, i.Status = strconv.FormatInt(experiment, 10), modelState(state)
	if i.Tags, err = tagsOf(ctx, q, `SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ? ORDER BY tag_key`, id); err != nil {
		return nil, err
	}
	m.Data.Params, err = list(ctx, q, `SELECT param_key, param_value FROM logged_model_params WHERE model_id = ? ORDER BY param_key`, []any{id},
		func(r *sql.Rows) (p Param, err error) { return p, r.Scan(&p.Key, &p.Value) })
	return &m, err
}

// LoggedModel implements Tracking.
func (s *SQLite) LoggedModel(ctx context.Context, id string) (*LoggedModel, error) {
	if err := s.needLogged(); err != nil {
		return nil, err
	}
	return s.loggedModel(ctx, s.db, id)
}

// changeLogged runs fn on a logged model that is there.
func (s *SQLite) changeLogged(ctx context.Context, id string, fn func(tx *sql.Tx, m *LoggedModel) error) error {
	if err := s.needLogged(); err != nil {
		return err
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		m, err := s.loggedModel(ctx, tx, id)
		if err != nil {
			return err
		}
		return fn(tx, m)
	})
}

// FinishLoggedModel implements Tracking.
func (s *SQLite) FinishLoggedModel(ctx context.Context, id, status string) error {
	state, ok := modelStates[status]
	if !ok {
		return invalid("there is no state %q of logged models", status)
	}
	return s.changeLogged(ctx, id, func(tx *sql.Tx, _ *LoggedModel) error {
		_, err := tx.ExecContext(ctx, `UPDATE logged_models SET status = ?, last_updated_timestamp_ms = ? WHERE model_id = ?`, state, Now(), id)
		return err
	})
}

// SetLoggedModelTags implements Tracking.
func (s *SQLite) SetLoggedModelTags(ctx context.Context, id string, tags []Tag) error {
	return s.changeLogged(ctx, id, func(tx *sql.Tx, m *LoggedModel) error {
		n, err := rowID(m.Info.ExperimentID)
		if err != nil {
			return err
		}
		return setLoggedTags(ctx, tx, id, n, tags)
	})
}

// DeleteLoggedModel implements Tracking.
func (s *SQLite) DeleteLoggedModel(ctx context.Context, id string) error {
	return s.changeLogged(ctx, id, func(tx *sql.Tx, _ *LoggedModel) error {
		_, err := tx.ExecContext(ctx, `UPDATE logged_models SET lifecycle_stage = 'deleted', last_updated_timestamp_ms = ? WHERE model_id = ?`, Now(), id)
		return err
	})
}

// LogOutputs implements Tracking.
func (s *SQLite) LogOutputs(ctx context.Context, runID string, models []ModelOutput) error {
	if err := s.needLogged(); err != nil {
		return err
	}
	return s.changeRun(ctx, runID, Active, func(tx *sql.Tx, _ RunInfo) error {
		for _, m := range models {
			if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)
				VALUES (?, 'RUN_OUTPUT', ?, 'MODEL_OUTPUT', ?, ?)`, newID(), runID, m.ModelID, m.Step); err != nil {
				return err
			}
		}
		return nil
	})
}

// SearchLoggedModels implements Tracking.
func (s *SQLite) SearchLoggedModels(ctx context.Context, experimentIDs []string, q Query) (page Page[LoggedModel], err error) {
	if err := s.needLogged(); err != nil {
		return page, err
	}
	on := []string{"model_id"}
	b := builder{table: "logged_models", language: loggedLanguage,
		columns: map[string]string{"creation_timestamp": "creation_timestamp_ms", "creation_time": "creation_timestamp_ms",
			"last_updated_timestamp": "last_updated_timestamp_ms", "last_updated_time": "last_updated_timestamp_ms"},
		tags: map[string]join{
			ofTag:   {table: "logged_model_tags", key: "tag_key", value: "tag_value", on: on},
			ofParam: {table: "logged_model_params", key: "param_key", value: "param_value", on: on},
		}}
	var experiments []any
	for _, id := range experimentIDs {
		n, err := rowID(id)
		if err != nil {
			return page, err
		}
		experiments = append(experiments, n)
	}
	b.and("logged_models.experiment_id IN ("+marks(len(experiments))+")", experiments...)
	b.view(q.View, "lifecycle_stage")
	if err := b.search(q, 100, maxSearch, "creation_timestamp_ms DESC", "model_id"); err != nil {
		return page, err
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		ids, err := column[string](ctx, tx, b.query("model_id"), b.args()...)
		if err != nil {
			return err
		}
		ids, page.Next = pageOf(&b, ids)
		for _, id := range ids {
			m, err := s.loggedModel(ctx, tx, id)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, *m)
		}
		return nil
	})
	return page, err
}
