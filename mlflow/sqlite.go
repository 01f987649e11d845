package mlflow

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed" // the schemas
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// The schemas as MLflow itself creates them; testdata/schema.py made the files.
var (
	//go:embed schema/3.1.sql
	schema31 string
	//go:embed schema/2.22.sql
	schema222 string
)

// Schema names the revision of MLflow's schema that a new SQLite file gets.
type Schema string

// The schemas. MLflow upgrades an older file when it opens it, and refuses a
// newer one: Schema31 opens in every MLflow 3 (3.2 and 3.3 upgrade it, too), Schema222 is
// for installations that still run MLflow 2.22, and is upgraded by 3.4 and later.
const (
	Schema31  Schema = "3.1"  // revision bda7b8c39065
	Schema222 Schema = "2.22" // revision 0584bdc529eb
)

// SQLiteOptions say how to open a file. Zero fields take the defaults.
type SQLiteOptions struct {
	Artifacts string // folder of artifacts of new experiments; "" for ./mlruns
	Relative  bool   // store Artifacts as it is, so that file and folder can be moved together
	Schema    Schema // of a new file; "" for Schema31
	ReadOnly  bool   // the file must exist and is not changed
}

// SQLite is a Store in one file, in MLflow's own schema. Several processes,
// MLflow's own among them, may use the file at once.
type SQLite struct {
	db        *sql.DB
	path      string
	artifacts string
	logged    bool       // has logged models (MLflow 3)
	steps     bool       // table inputs has a column step
	write     sync.Mutex // SQLite has one writer at a time: waiting here is fairer than its busy loop
}

var _ Store = (*SQLite)(nil)

// OpenSQLite opens a file and makes it where it is absent. A file that lacks
// MLflow's tables is refused.
func OpenSQLite(ctx context.Context, path string, o SQLiteOptions) (*SQLite, error) {
	s, err := openSQLite(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("mlflow: open %s: %w", path, err)
	}
	return s, nil
}

func openSQLite(ctx context.Context, path string, o SQLiteOptions) (*SQLite, error) {
	if o.Artifacts == "" {
		o.Artifacts = "./mlruns"
	}
	if !o.Relative && isLocal(o.Artifacts) {
		abs, err := filepath.Abs(o.Artifacts)
		if err != nil {
			return nil, err
		}
		o.Artifacts = abs
	}
	if _, err := os.Stat(path); err != nil && o.ReadOnly {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dataSource(path, o.ReadOnly))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	s := &SQLite{db: db, path: path, artifacts: o.Artifacts}
	if !o.ReadOnly {
		err = s.create(ctx, o.Schema)
	}
	if err == nil {
		err = s.check(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// dataSource names the file with the settings that MLflow's own connections have.
func dataSource(path string, readOnly bool) string {
	escaped := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(filepath.ToSlash(path))
	dsn := "file:" + escaped + "?_pragma=busy_timeout(20000)&_pragma=foreign_keys(1)&_pragma=case_sensitive_like(1)&_txlock=immediate"
	if readOnly {
		dsn += "&mode=ro"
	}
	return dsn
}

// create fills a new file. Of several processes that find it new, one does.
func (s *SQLite) create(ctx context.Context, schema Schema) error {
	var text string
	switch schema {
	case "", Schema31:
		text = schema31
	case Schema222:
		text = schema222
	default:
		return fmt.Errorf("there is no schema %q: want %q or %q", schema, Schema31, Schema222)
	}
	if n, err := s.tables(ctx, s.db); err != nil || n > 0 {
		return err
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		if n, err := s.tables(ctx, tx); err != nil || n > 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
		now := Now()
		_, err := tx.ExecContext(ctx, `INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
			VALUES (0, 'Default', ?, 'active', ?, ?)`, s.artifactPath("0"), now, now)
		return err
	})
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (s *SQLite) tables(ctx context.Context, q querier) (n int, err error) {
	err = q.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE type = 'table'`).Scan(&n)
	return n, err
}

// needed are the columns that this package writes, by table. Later revisions
// add columns with defaults: what counts is that these are there.
var needed = map[string]string{
	"experiments":              "experiment_id name artifact_location lifecycle_stage creation_time last_update_time",
	"experiment_tags":          "key value experiment_id",
	"runs":                     "run_uuid name source_type source_name entry_point_name user_id status start_time end_time deleted_time source_version lifecycle_stage artifact_uri experiment_id",
	"metrics":                  "key value timestamp run_uuid step is_nan",
	"latest_metrics":           "key value timestamp step is_nan run_uuid",
	"params":                   "key value run_uuid",
	"tags":                     "key value run_uuid",
	"datasets":                 "dataset_uuid experiment_id name digest dataset_source_type dataset_source dataset_schema dataset_profile",
	"inputs":                   "input_uuid source_type source_id destination_type destination_id",
	"input_tags":               "input_uuid name value",
	"registered_models":        "name creation_time last_updated_time description",
	"registered_model_tags":    "key value name",
	"registered_model_aliases": "alias version name",
	"model_versions":           "name version creation_time last_updated_time description user_id current_stage source run_id status status_message run_link storage_location",
	"model_version_tags":       "key value name version",
}

// check looks for the tables and columns.
func (s *SQLite) check(ctx context.Context) error {
	for table, columns := range needed {
		have, err := s.columns(ctx, table)
		if err != nil {
			return err
		}
		for _, c := range strings.Fields(columns) {
			if !slices.Contains(have, c) {
				return fmt.Errorf("this is no file of MLflow 2.22 or later: column %s of table %s is missing (an older one is brought up by: mlflow db upgrade sqlite:///%s)", c, table, s.path)
			}
		}
		s.steps = s.steps || table == "inputs" && slices.Contains(have, "step")
	}
	have, err := s.columns(ctx, "logged_models")
	s.logged = slices.Contains(have, "model_id")
	return err
}

func (s *SQLite) columns(ctx context.Context, table string) ([]string, error) {
	return column[string](ctx, s.db, `SELECT name FROM pragma_table_info(?)`, table)
}

// change runs fn in one transaction.
func (s *SQLite) change(ctx context.Context, fn func(tx *sql.Tx) error) error {
	s.write.Lock()
	defer s.write.Unlock()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		if rerr := tx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			err = errors.Join(err, rerr)
		}
		return err
	}
	return tx.Commit()
}

// read runs fn in one transaction that sees one state of the file.
func (s *SQLite) read(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(fn(tx), tx.Rollback())
}

// column reads a query's only column.
func column[T any](ctx context.Context, q querier, query string, args ...any) ([]T, error) {
	return list(ctx, q, query, args, func(r *sql.Rows) (v T, err error) { return v, r.Scan(&v) })
}

// list reads all rows of a query.
func list[T any](ctx context.Context, q querier, query string, args []any, scan func(*sql.Rows) (T, error)) (out []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// affected runs a statement and tells how many rows it changed.
func affected(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	r, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// marks is "?, ?, ?".
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// anys turns values into arguments.
func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// newID is 32 hexadecimal digits.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}

// artifactPath is where the artifacts of a new experiment, or a part of it, go.
func (s *SQLite) artifactPath(elem ...string) string { return joinURI(s.artifacts, elem...) }

// joinURI appends path elements to a path or an address.
func joinURI(base string, elem ...string) string {
	return strings.TrimRight(filepath.ToSlash(base), "/") + "/" + strings.Join(elem, "/")
}

// URI implements Store.
func (s *SQLite) URI() string { return "sqlite:///" + filepath.ToSlash(s.path) }

// HasLoggedModels implements Tracking.
func (s *SQLite) HasLoggedModels(context.Context) (bool, error) { return s.logged, nil }

// Close closes the file.
func (s *SQLite) Close() error { return s.db.Close() }
