package mlflow

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
)

// What MLflow leaves of a version that was deleted: its number is never used again.
const (
	stageDeleted   = "Deleted_Internal"
	redactedSource = "REDACTED-SOURCE-PATH"
	redactedRun    = "REDACTED-RUN-ID"
	redactedLink   = "REDACTED-RUN-LINK"
)

func versionNumber(version string) (int64, error) {
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return 0, invalid("%q is no version number", version)
	}
	return n, nil
}

// CreateModelVersion implements Registry.
func (s *SQLite) CreateModelVersion(ctx context.Context, v NewModelVersion) (out *ModelVersion, err error) {
	if v.Source == "" {
		return nil, invalid("a version of %q needs a source", v.Name)
	}
	location, err := s.storageLocation(ctx, &v)
	if err != nil {
		return nil, err
	}
	err = s.changeModel(ctx, v.Name, func(tx *sql.Tx, now Millis) error {
		var n int64
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) + 1 FROM model_versions WHERE name = ?`, v.Name).Scan(&n); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, current_stage, source, run_id, status, run_link, storage_location)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'READY', ?, ?)`, v.Name, n, now, now, absent(v.Description), StageNone, v.Source, absent(v.RunID), absent(v.RunLink), location)
		if err != nil {
			return err
		}
		for _, t := range v.Tags {
			if err := setVersionTag(ctx, tx, v.Name, n, t); err != nil {
				return err
			}
		}
		out, err = s.modelVersion(ctx, tx, v.Name, n)
		return err
	})
	return out, err
}

// storageLocation is where the files of a source lie. It completes the run.
func (s *SQLite) storageLocation(ctx context.Context, v *NewModelVersion) (string, error) {
	rest, ok := strings.CutPrefix(v.Source, "models:/")
	if !ok {
		return v.Source, nil
	}
	if strings.HasPrefix(rest, "m-") {
		m, err := s.LoggedModel(ctx, rest)
		if err != nil {
			return "", err
		}
		if v.RunID == "" {
			v.RunID = m.Info.SourceRunID
		}
		return m.Info.ArtifactURI, nil
	}
	name, version, _ := strings.Cut(rest, "/")
	return s.DownloadURI(ctx, name, version)
}

func setVersionTag(ctx context.Context, q querier, name string, n int64, t Tag) error {
	if err := checkRegistryTag(t); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, `INSERT INTO model_version_tags (key, value, name, version) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET value = excluded.value`, t.Key, t.Value, name, n)
	return err
}

func (s *SQLite) modelVersion(ctx context.Context, q querier, name string, n int64) (*ModelVersion, error) {
	v := ModelVersion{Name: name, Version: strconv.FormatInt(n, 10)}
	err := q.QueryRowContext(ctx, `SELECT coalesce(creation_time, 0), coalesce(last_updated_time, 0), coalesce(user_id, ''), coalesce(current_stage, ''), coalesce(description, ''),
		coalesce(source, ''), coalesce(run_id, ''), coalesce(status, ''), coalesce(status_message, ''), coalesce(run_link, '')
		FROM model_versions WHERE name = ? AND version = ? AND current_stage != ?`, name, n, stageDeleted).
		Scan(&v.Created, &v.Updated, &v.User, &v.Stage, &v.Description, &v.Source, &v.RunID, &v.Status, &v.StatusMessage, &v.RunLink)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, missing("registered model %q has no version %d", name, n)
	}
	if err != nil {
		return nil, err
	}
	if id, ok := strings.CutPrefix(v.Source, "models:/"); ok && strings.HasPrefix(id, "m-") {
		v.ModelID = id
	}
	if v.Aliases, err = column[string](ctx, q, `SELECT alias FROM registered_model_aliases WHERE name = ? AND version = ? ORDER BY alias`, name, n); err != nil {
		return nil, err
	}
	v.Tags, err = tagsOf(ctx, q, `SELECT key, value FROM model_version_tags WHERE name = ? AND version = ? ORDER BY key`, name, n)
	return &v, err
}

// ModelVersion implements Registry.
func (s *SQLite) ModelVersion(ctx context.Context, name, version string) (v *ModelVersion, err error) {
	n, err := versionNumber(version)
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		v, err = s.modelVersion(ctx, tx, name, n)
		return err
	})
	return v, err
}

// changeVersion runs fn on a version that is there, and notes the time.
func (s *SQLite) changeVersion(ctx context.Context, name, version string, fn func(tx *sql.Tx, n int64, now Millis) error) error {
	n, err := versionNumber(version)
	if err != nil {
		return err
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		if _, err := s.modelVersion(ctx, tx, name, n); err != nil {
			return err
		}
		now := Now()
		if _, err := tx.ExecContext(ctx, `UPDATE model_versions SET last_updated_time = ? WHERE name = ? AND version = ?`, now, name, n); err != nil {
			return err
		}
		return fn(tx, n, now)
	})
}

// DescribeModelVersion implements Registry.
func (s *SQLite) DescribeModelVersion(ctx context.Context, name, version, description string) error {
	return s.changeVersion(ctx, name, version, func(tx *sql.Tx, n int64, _ Millis) error {
		_, err := tx.ExecContext(ctx, `UPDATE model_versions SET description = ? WHERE name = ? AND version = ?`, description, name, n)
		return err
	})
}

// TransitionStage implements Registry.
func (s *SQLite) TransitionStage(ctx context.Context, name, version, stage string, archive bool) (v *ModelVersion, err error) {
	stage, err = canonicalStage(stage)
	if err != nil {
		return nil, err
	}
	if archive && stage != StageStaging && stage != StageProduction {
		return nil, invalid("versions are only archived when another one moves to Staging or Production, not to %s", stage)
	}
	err = s.changeVersion(ctx, name, version, func(tx *sql.Tx, n int64, now Millis) error {
		if archive {
			if _, err := tx.ExecContext(ctx, `UPDATE model_versions SET current_stage = ?, last_updated_time = ? WHERE name = ? AND version != ? AND current_stage = ?`, StageArchived, now, name, n, stage); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE model_versions SET current_stage = ? WHERE name = ? AND version = ?`, stage, name, n); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE registered_models SET last_updated_time = ? WHERE name = ?`, now, name); err != nil {
			return err
		}
		v, err = s.modelVersion(ctx, tx, name, n)
		return err
	})
	return v, err
}

// DeleteModelVersion implements Registry.
func (s *SQLite) DeleteModelVersion(ctx context.Context, name, version string) error {
	return s.changeVersion(ctx, name, version, func(tx *sql.Tx, n int64, now Millis) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM registered_model_aliases WHERE name = ? AND version = ?`, name, n); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE registered_models SET last_updated_time = ? WHERE name = ?`, now, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE model_versions SET current_stage = ?, description = NULL, user_id = NULL, source = ?, run_id = ?, run_link = ?, status_message = NULL
			WHERE name = ? AND version = ?`, stageDeleted, redactedSource, redactedRun, redactedLink, name, n)
		return err
	})
}

// SetModelVersionTag implements Registry.
func (s *SQLite) SetModelVersionTag(ctx context.Context, name, version string, t Tag) error {
	return s.changeVersion(ctx, name, version, func(tx *sql.Tx, n int64, _ Millis) error {
		return setVersionTag(ctx, tx, name, n, t)
	})
}

// DeleteModelVersionTag implements Registry. A tag that is absent is no error, as in MLflow.
func (s *SQLite) DeleteModelVersionTag(ctx context.Context, name, version, key string) error {
	return s.changeVersion(ctx, name, version, func(tx *sql.Tx, n int64, _ Millis) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM model_version_tags WHERE name = ? AND version = ? AND key = ?`, name, n, key)
		return err
	})
}

// SearchModelVersions implements Registry.
func (s *SQLite) SearchModelVersions(ctx context.Context, q Query) (page Page[ModelVersion], err error) {
	b := builder{table: "model_versions", language: versionLanguage,
		columns: map[string]string{"source_path": "source", "version_number": "version", "creation_timestamp": "creation_time", "last_updated_timestamp": "last_updated_time"},
		tags:    map[string]join{ofTag: {table: "model_version_tags", key: "key", on: []string{"name", "version"}}}}
	b.and("model_versions.current_stage != ?", stageDeleted)
	if len(q.OrderBy) == 0 {
		q.OrderBy = []string{"last_updated_timestamp DESC"}
	}
	if err := b.search(q, versionSearchPage, maxVersionSearch, "name", "version DESC"); err != nil {
		return page, err
	}
	type key struct {
		name    string
		version int64
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		keys, err := list(ctx, tx, b.query("name", "version"), b.args(), func(r *sql.Rows) (k key, err error) { return k, r.Scan(&k.name, &k.version) })
		if err != nil {
			return err
		}
		keys, page.Next = pageOf(&b, keys)
		for _, k := range keys {
			v, err := s.modelVersion(ctx, tx, k.name, k.version)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, *v)
		}
		return nil
	})
	return page, err
}

// DownloadURI implements Registry.
func (s *SQLite) DownloadURI(ctx context.Context, name, version string) (uri string, err error) {
	n, err := versionNumber(version)
	if err != nil {
		return "", err
	}
	err = s.db.QueryRowContext(ctx, `SELECT coalesce(storage_location, source, '') FROM model_versions WHERE name = ? AND version = ? AND current_stage != ?`, name, n, stageDeleted).Scan(&uri)
	if errors.Is(err, sql.ErrNoRows) {
		err = missing("registered model %q has no version %s", name, version)
	}
	return uri, err
}
