package mlflow

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
)

// The tags that MLflow itself reads.
const (
	tagRunName   = "mlflow.runName"
	tagUser      = "mlflow.user"
	tagParent    = "mlflow.parentRunId"
	tagContext   = "mlflow.data.context"
	tagSource    = "mlflow.source.name"
	tagSourceIs  = "mlflow.source.type"
	tagCommit    = "mlflow.source.git.commit"
	tagBranch    = "mlflow.source.git.branch"
	tagRepo      = "mlflow.source.git.repoURL"
	tagHistory   = "mlflow.log-model.history"
	tagVersions  = "mlflow.modelVersions"
	artifactsDir = "artifacts"
)

// randomName names a run that has no name, as MLflow does.
func randomName() string {
	adjectives := []string{"swift", "quiet", "bold", "golden", "misty", "amber", "keen", "gentle", "rapid", "sunlit", "dusty", "clever", "wary", "lively", "proud", "tall"}
	nouns := []string{"kudu", "oryx", "zebra", "eland", "heron", "lynx", "bison", "otter", "ibex", "gazelle", "stork", "tapir", "hyena", "marten", "puffin", "giraffe"}
	return fmt.Sprintf("%s-%s-%d", adjectives[rand.IntN(len(adjectives))], nouns[rand.IntN(len(nouns))], rand.IntN(1000))
}

// CreateRun implements Tracking.
func (s *SQLite) CreateRun(ctx context.Context, r NewRun) (*Run, error) {
	for _, t := range r.Tags {
		if err := checkKey("tag", t.Key); err != nil {
			return nil, err
		}
	}
	named := tagValue(r.Tags, tagRunName)
	switch {
	case r.Name != "" && named != "" && named != r.Name:
		return nil, invalid("the run's name %q and its tag %s %q differ", r.Name, tagRunName, named)
	case r.Name == "":
		r.Name = named
	}
	if r.Name == "" {
		r.Name = randomName()
	}
	if r.Started == 0 {
		r.Started = Now()
	}
	id := newID()
	err := s.changeExperiment(ctx, r.ExperimentID, Active, func(tx *sql.Tx, n int64, _ Millis) error {
		var location string
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(artifact_location, '') FROM experiments WHERE experiment_id = ?`, n).Scan(&location); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
			VALUES (?, ?, 'UNKNOWN', '', '', ?, 'RUNNING', ?, '', 'active', ?, ?)`, id, r.Name, r.User, r.Started, joinURI(location, id, artifactsDir), n)
		if err != nil {
			return err
		}
		tags := r.Tags
		if named == "" {
			tags = append(slices.Clone(tags), Tag{tagRunName, r.Name})
		}
		return setRunTags(ctx, tx, id, tags)
	})
	if err != nil {
		return nil, err
	}
	return s.Run(ctx, id)
}

const runColumns = `run_uuid, coalesce(name, ''), experiment_id, coalesce(user_id, ''), coalesce(status, ''), coalesce(start_time, 0), coalesce(end_time, 0), coalesce(artifact_uri, ''), coalesce(lifecycle_stage, '')`

func scanRun(row interface{ Scan(...any) error }) (i RunInfo, err error) {
	var experiment int64
	err = row.Scan(&i.ID, &i.Name, &experiment, &i.User, &i.Status, &i.Started, &i.Ended, &i.ArtifactURI, &i.Lifecycle)
	i.ExperimentID = strconv.FormatInt(experiment, 10)
	return i, err
}

func runInfo(ctx context.Context, q querier, id string) (RunInfo, error) {
	if err := checkRunID(id); err != nil {
		return RunInfo{}, err
	}
	i, err := scanRun(q.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs WHERE run_uuid = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = missing("there is no run %q", id)
	}
	return i, err
}

// Run implements Tracking.
func (s *SQLite) Run(ctx context.Context, id string) (run *Run, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		info, err := runInfo(ctx, tx, id)
		if err != nil {
			return err
		}
		runs, err := s.fill(ctx, tx, []RunInfo{info})
		if err == nil {
			run = &runs[0]
		}
		return err
	})
	return run, err
}

// fill reads what was logged of runs, in few queries.
func (s *SQLite) fill(ctx context.Context, q querier, infos []RunInfo) ([]Run, error) {
	runs, at := make([]Run, len(infos)), map[string]*Run{}
	for i, info := range infos {
		runs[i].Info = info
		at[info.ID] = &runs[i]
	}
	for part := range slices.Chunk(infos, 500) {
		var ids []any
		for _, i := range part {
			ids = append(ids, i.ID)
		}
		in := " IN (" + marks(len(ids)) + ")"
		err := errors.Join(
			each(ctx, q, `SELECT run_uuid, key, value, timestamp, step, is_nan FROM latest_metrics WHERE run_uuid`+in+` ORDER BY key`, ids, func(r *sql.Rows) error {
				id, m, err := scanMetric(r)
				if err == nil {
					at[id].Data.Metrics = append(at[id].Data.Metrics, m)
				}
				return err
			}),
			each(ctx, q, `SELECT run_uuid, key, value FROM params WHERE run_uuid`+in+` ORDER BY key`, ids, func(r *sql.Rows) error {
				var id, key, value string
				err := r.Scan(&id, &key, &value)
				if err == nil {
					at[id].Data.Params = append(at[id].Data.Params, Param{key, value})
				}
				return err
			}),
			each(ctx, q, `SELECT run_uuid, key, coalesce(value, '') FROM tags WHERE run_uuid`+in+` ORDER BY key`, ids, func(r *sql.Rows) error {
				var id, key, value string
				err := r.Scan(&id, &key, &value)
				if err == nil {
					at[id].Data.Tags = append(at[id].Data.Tags, Tag{key, value})
				}
				return err
			}),
			s.fillInputs(ctx, q, in, ids, at))
		if err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// each calls fn with every row.
func each(ctx context.Context, q querier, query string, args []any, fn func(*sql.Rows) error) error {
	_, err := list(ctx, q, query, args, func(r *sql.Rows) (struct{}, error) { return struct{}{}, fn(r) })
	return err
}

func scanMetric(r *sql.Rows) (run string, m Metric, err error) {
	var nan sql.NullBool
	err = r.Scan(&run, &m.Key, &m.Value, &m.Timestamp, &m.Step, &nan)
	m.Value = loadedValue(m.Value, nan.Bool)
	return run, m, err
}

// fillInputs reads data sets and models.
func (s *SQLite) fillInputs(ctx context.Context, q querier, in string, ids []any, at map[string]*Run) error {
	tags := map[string][]Tag{}
	err := each(ctx, q, `SELECT t.input_uuid, t.name, t.value FROM input_tags t JOIN inputs i ON i.input_uuid = t.input_uuid
		WHERE i.destination_id`+in+` ORDER BY t.name`, ids, func(r *sql.Rows) error {
		var id string
		var t Tag
		err := r.Scan(&id, &t.Key, &t.Value)
		tags[id] = append(tags[id], t)
		return err
	})
	if err != nil {
		return err
	}
	err = each(ctx, q, `SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, coalesce(d.dataset_schema, ''), coalesce(d.dataset_profile, '')
		FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id WHERE i.source_type = 'DATASET' AND i.destination_id`+in+` ORDER BY i.rowid`, ids, func(r *sql.Rows) error {
		var run, input string
		var d Dataset
		err := r.Scan(&run, &input, &d.Name, &d.Digest, &d.SourceType, &d.Source, &d.Schema, &d.Profile)
		if err == nil {
			at[run].Inputs.Datasets = append(at[run].Inputs.Datasets, DatasetInput{d, tags[input]})
		}
		return err
	})
	if err != nil || !s.steps {
		return err
	}
	return each(ctx, q, `SELECT source_id, source_type, destination_id, coalesce(step, 0) FROM inputs WHERE source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND source_id`+in+` ORDER BY rowid`, ids, func(r *sql.Rows) error {
		var run, kind, model string
		var step Millis
		err := r.Scan(&run, &kind, &model, &step)
		switch {
		case err != nil:
		case kind == "RUN_INPUT":
			at[run].Inputs.Models = append(at[run].Inputs.Models, ModelInput{model})
		default:
			at[run].Outputs.Models = append(at[run].Outputs.Models, ModelOutput{model, step})
		}
		return err
	})
}

// changeRun runs fn in a transaction on a run that is in the given stage, or in any for "".
func (s *SQLite) changeRun(ctx context.Context, id string, stage Lifecycle, fn func(tx *sql.Tx, i RunInfo) error) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		i, err := runInfo(ctx, tx, id)
		if err != nil {
			return err
		}
		if stage != "" && i.Lifecycle != stage {
			return invalid("run %s is %s, it must be %s for this", id, i.Lifecycle, stage)
		}
		return fn(tx, i)
	})
}

// UpdateRun implements Tracking.
func (s *SQLite) UpdateRun(ctx context.Context, id string, u RunUpdate) error {
	switch u.Status {
	case "", Running, Scheduled, Finished, Failed, Killed:
	default:
		return invalid("there is no status %q", u.Status)
	}
	return s.changeRun(ctx, id, Active, func(tx *sql.Tx, i RunInfo) error {
		if u.Name != "" {
			if err := setRunTags(ctx, tx, id, []Tag{{tagRunName, u.Name}}); err != nil {
				return err
			}
		}
		if u.Status == "" {
			u.Status = i.Status
		}
		ended := any(u.Ended)
		if u.Ended == 0 {
			if ended = any(i.Ended); i.Ended == 0 || u.Status == Running { // a resumed run has no end
				ended = nil
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?`, u.Status, ended, id)
		return err
	})
}

// DeleteRun implements Tracking. A run that is deleted already stays so.
func (s *SQLite) DeleteRun(ctx context.Context, id string) error {
	return s.changeRun(ctx, id, "", func(tx *sql.Tx, _ RunInfo) error {
		_, err := tx.ExecContext(ctx, `UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = ? WHERE run_uuid = ?`, Now(), id)
		return err
	})
}

// RestoreRun implements Tracking. A run that is active stays so.
func (s *SQLite) RestoreRun(ctx context.Context, id string) error {
	return s.changeRun(ctx, id, "", func(tx *sql.Tx, _ RunInfo) error {
		_, err := tx.ExecContext(ctx, `UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL WHERE run_uuid = ?`, id)
		return err
	})
}

// SearchRuns implements Tracking.
func (s *SQLite) SearchRuns(ctx context.Context, q RunQuery) (page Page[Run], err error) {
	run := []string{"run_uuid"}
	b := builder{table: "runs", id: "run_uuid", language: runLanguage,
		columns: map[string]string{"run_id": "run_uuid"},
		tags: map[string]join{
			ofMetric: {table: "latest_metrics", key: "key", on: run, nan: true},
			ofParam:  {table: "params", key: "key", on: run},
			ofTag:    {table: "tags", key: "key", on: run},
		},
		// runs of MLflow before 1.30 have their name in the tag only
		exprs: map[string]func(comparison) (string, []any){"run_name": func(c comparison) (string, []any) {
			condition, args := c.sql("j.value")
			return `EXISTS (SELECT 1 FROM tags j WHERE j.run_uuid = runs.run_uuid AND j.key = 'mlflow.runName' AND ` + condition + `)`, args
		}},
	}
	var experiments []any
	for _, id := range q.ExperimentIDs {
		n, err := rowID(id)
		if err != nil {
			return page, err
		}
		experiments = append(experiments, n)
	}
	b.and("runs.experiment_id IN ("+marks(len(experiments))+")", experiments...)
	b.view(q.View, "lifecycle_stage")
	if err := b.search(q.Query, defaultSearch, maxSearch, "start_time DESC", "run_uuid"); err != nil {
		return page, err
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		infos, err := list(ctx, tx, `SELECT `+runColumns+` FROM (`+b.query("run_uuid", "name", "experiment_id", "user_id", "status", "start_time", "end_time", "artifact_uri", "lifecycle_stage")+`)`,
			b.args(), func(r *sql.Rows) (RunInfo, error) { return scanRun(r) })
		if err != nil {
			return err
		}
		infos, page.Next = pageOf(&b, infos)
		page.Items, err = s.fill(ctx, tx, infos)
		return err
	})
	return page, err
}
