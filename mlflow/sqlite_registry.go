package mlflow

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// CreateRegisteredModel implements Registry.
func (s *SQLite) CreateRegisteredModel(ctx context.Context, name, description string, tags []Tag) (*RegisteredModel, error) {
	if err := checkModelName(name); err != nil {
		return nil, err
	}
	err := s.change(ctx, func(tx *sql.Tx) error {
		if n, err := column[string](ctx, tx, `SELECT name FROM registered_models WHERE name = ?`, name); err != nil || len(n) > 0 {
			return errors.Join(err, fail(codeExists, "registered model %q exists", name))
		}
		now := Now()
		if _, err := tx.ExecContext(ctx, `INSERT INTO registered_models (name, creation_time, last_updated_time, description) VALUES (?, ?, ?, ?)`, name, now, now, absent(description)); err != nil {
			return err
		}
		for _, t := range tags {
			if err := setRegisteredTag(ctx, tx, name, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.RegisteredModel(ctx, name)
}

func setRegisteredTag(ctx context.Context, q querier, name string, t Tag) error {
	if err := checkRegistryTag(t); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, `INSERT INTO registered_model_tags (key, value, name) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET value = excluded.value`, t.Key, t.Value, name)
	return err
}

func checkRegistryTag(t Tag) error {
	if err := checkKey("tag", t.Key); err != nil {
		return err
	}
	return checkLength("the value of tag "+strconv.Quote(t.Key), t.Value, maxRegistryTag)
}

func (s *SQLite) registeredModel(ctx context.Context, q querier, name string) (*RegisteredModel, error) {
	m := RegisteredModel{Name: name}
	err := q.QueryRowContext(ctx, `SELECT coalesce(creation_time, 0), coalesce(last_updated_time, 0), coalesce(description, '') FROM registered_models WHERE name = ?`, name).
		Scan(&m.Created, &m.Updated, &m.Description)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, missing("there is no registered model %q", name)
	}
	if err != nil {
		return nil, err
	}
	if m.Tags, err = tagsOf(ctx, q, `SELECT key, value FROM registered_model_tags WHERE name = ? ORDER BY key`, name); err != nil {
		return nil, err
	}
	m.Aliases, err = list(ctx, q, `SELECT alias, version FROM registered_model_aliases WHERE name = ? ORDER BY alias`, []any{name},
		func(r *sql.Rows) (a Alias, err error) { return a, r.Scan(&a.Alias, &a.Version) })
	if err != nil {
		return nil, err
	}
	m.Latest, err = s.latest(ctx, q, name)
	return &m, err
}

// latest is the newest version of each stage.
func (s *SQLite) latest(ctx context.Context, q querier, name string) ([]ModelVersion, error) {
	numbers, err := column[int64](ctx, q, `SELECT max(version) FROM model_versions WHERE name = ? AND current_stage != ? GROUP BY current_stage ORDER BY 1`, name, stageDeleted)
	var out []ModelVersion
	for _, n := range numbers {
		v, verr := s.modelVersion(ctx, q, name, n)
		if verr != nil {
			return nil, verr
		}
		out = append(out, *v)
	}
	return out, err
}

// RegisteredModel implements Registry.
func (s *SQLite) RegisteredModel(ctx context.Context, name string) (m *RegisteredModel, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		m, err = s.registeredModel(ctx, tx, name)
		return err
	})
	return m, err
}

// changeModel runs fn on a registered model that is there, and notes the time.
func (s *SQLite) changeModel(ctx context.Context, name string, fn func(tx *sql.Tx, now Millis) error) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		now := Now()
		n, err := affected(ctx, tx, `UPDATE registered_models SET last_updated_time = ? WHERE name = ?`, now, name)
		switch {
		case err != nil:
			return err
		case n == 0:
			return missing("there is no registered model %q", name)
		}
		return fn(tx, now)
	})
}

// RenameRegisteredModel implements Registry. Versions, tags and aliases follow by their foreign keys.
func (s *SQLite) RenameRegisteredModel(ctx context.Context, name, newName string) error {
	if err := checkModelName(newName); err != nil {
		return err
	}
	return s.changeModel(ctx, name, func(tx *sql.Tx, now Millis) error {
		if n, err := column[string](ctx, tx, `SELECT name FROM registered_models WHERE name = ?`, newName); err != nil || len(n) > 0 {
			return errors.Join(err, fail(codeExists, "registered model %q exists", newName))
		}
		if _, err := tx.ExecContext(ctx, `UPDATE registered_models SET name = ? WHERE name = ?`, newName, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE model_versions SET last_updated_time = ? WHERE name = ?`, now, newName)
		return err
	})
}

// DescribeRegisteredModel implements Registry.
func (s *SQLite) DescribeRegisteredModel(ctx context.Context, name, description string) error {
	return s.changeModel(ctx, name, func(tx *sql.Tx, _ Millis) error {
		_, err := tx.ExecContext(ctx, `UPDATE registered_models SET description = ? WHERE name = ?`, description, name)
		return err
	})
}

// DeleteRegisteredModel implements Registry.
func (s *SQLite) DeleteRegisteredModel(ctx context.Context, name string) error {
	return s.changeModel(ctx, name, func(tx *sql.Tx, _ Millis) error {
		for _, table := range []string{"registered_model_aliases", "registered_model_tags", "model_version_tags", "model_versions", "registered_models"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE name = ?`, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetRegisteredModelTag implements Registry.
func (s *SQLite) SetRegisteredModelTag(ctx context.Context, name string, t Tag) error {
	return s.changeModel(ctx, name, func(tx *sql.Tx, _ Millis) error { return setRegisteredTag(ctx, tx, name, t) })
}

// DeleteRegisteredModelTag implements Registry. A tag that is absent is no error, as in MLflow.
func (s *SQLite) DeleteRegisteredModelTag(ctx context.Context, name, key string) error {
	return s.changeModel(ctx, name, func(tx *sql.Tx, _ Millis) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM registered_model_tags WHERE name = ? AND key = ?`, name, key)
		return err
	})
}

// SearchRegisteredModels implements Registry.
func (s *SQLite) SearchRegisteredModels(ctx context.Context, q Query) (page Page[RegisteredModel], err error) {
	b := builder{table: "registered_models", language: registeredLanguage,
		columns: map[string]string{"timestamp": "last_updated_time", "last_updated_timestamp": "last_updated_time", "creation_timestamp": "creation_time"},
		tags:    map[string]join{ofTag: {table: "registered_model_tags", key: "key", on: []string{"name"}}}}
	if err := b.search(q, registrySearchPage, maxRegistrySearch, "name"); err != nil {
		return page, err
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		names, err := column[string](ctx, tx, b.query("name"), b.args()...)
		if err != nil {
			return err
		}
		names, page.Next = pageOf(&b, names)
		for _, n := range names {
			m, err := s.registeredModel(ctx, tx, n)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, *m)
		}
		return nil
	})
	return page, err
}

// SetAlias implements Registry.
func (s *SQLite) SetAlias(ctx context.Context, name, alias, version string) error {
	if err := checkAlias(alias); err != nil {
		return err
	}
	return s.changeModel(ctx, name, func(tx *sql.Tx, _ Millis) error {
		n, err := versionNumber(version)
		if err != nil {
			return err
		}
		if _, err := s.modelVersion(ctx, tx, name, n); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO registered_model_aliases (alias, version, name) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET version = excluded.version`, alias, n, name)
		return err
	})
}

// DeleteAlias implements Registry. An alias that is absent is no error, as in MLflow.
func (s *SQLite) DeleteAlias(ctx context.Context, name, alias string) error {
	return s.changeModel(ctx, name, func(tx *sql.Tx, _ Millis) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM registered_model_aliases WHERE name = ? AND alias = ?`, name, alias)
		return err
	})
}

// ModelVersionByAlias implements Registry.
func (s *SQLite) ModelVersionByAlias(ctx context.Context, name, alias string) (v *ModelVersion, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		if _, err := s.registeredModel(ctx, tx, name); err != nil {
			return err
		}
		var n int64
		err := tx.QueryRowContext(ctx, `SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?`, name, alias).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return fail(codeInvalid, "registered model %q has no alias %q", name, alias) // MLflow's code
		}
		if err == nil {
			v, err = s.modelVersion(ctx, tx, name, n)
		}
		return err
	})
	return v, err
}

// LatestVersions implements Registry.
func (s *SQLite) LatestVersions(ctx context.Context, name string, stages ...string) (out []ModelVersion, err error) {
	for i, stage := range stages {
		if stages[i], err = canonicalStage(stage); err != nil {
			return nil, err
		}
	}
	m, err := s.RegisteredModel(ctx, name)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(m.Latest, func(v ModelVersion) bool { return len(stages) > 0 && !slices.Contains(stages, v.Stage) }), nil
}

// isLocal tells a path from an address.
func isLocal(uri string) bool { return !strings.Contains(uri, ":/") || strings.HasPrefix(uri, "file:") }
