// Package rdb keeps studies in a database with Optuna's schema (alembic revision
// v3.2.0.a, unchanged since Optuna 3.2): Optuna and optuna-dashboard open what it
// writes, and it opens and continues theirs. OpenURL takes the addresses that Optuna
// takes, of SQLite, Postgres and MySQL; Open takes any database/sql handle.
//
// Writes of one trial are grouped into transactions, and trials that have finished
// are read once: that is where it saves time over Optuna, not on durability.
package rdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/wildtrain/sdk/tune"
)

const (
	revision      = "v3.2.0.a"
	schemaVersion = 12
	library       = "5.0.0" // the Optuna whose times (UTC) and attributes these are
)

// Storage is a tune.Storage and tune.Heartbeater over a database.
type Storage struct {
	db      *sql.DB
	dialect Dialect
	owned   bool // Close closes db

	mu      sync.Mutex
	settled map[int64]*settled // by study
}

var (
	_ tune.Storage     = (*Storage)(nil)
	_ tune.Heartbeater = (*Storage)(nil)
)

// Open takes a database and makes Optuna's tables where they are absent. The
// handle stays the caller's. A schema of another revision is refused.
func Open(ctx context.Context, db *sql.DB, dialect Dialect) (*Storage, error) {
	s := &Storage{db: db, dialect: dialect, settled: map[int64]*settled{}}
	const tries = 10
	for try := 1; ; try++ {
		var found string
		if err := s.row(ctx, db, "SELECT version_num FROM alembic_version").Scan(&found); err == nil {
			return s, checkRevision(found)
		}
		err := s.tx(ctx, s.makeTables)
		if err == nil || try == tries {
			return s, err
		}
		select { // another worker may be making them at this moment
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(time.Duration(try) * 20 * time.Millisecond):
		}
	}
}

func (s *Storage) makeTables(ctx context.Context, tx *sql.Tx) error {
	for _, statement := range s.dialect.schema() {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("rdb: make tables: %w", err)
		}
	}
	_, err := s.exec(ctx, tx, s.dialect.insertOrSet("version_info", []string{"version_info_id"}, "schema_version", "library_version"), 1, schemaVersion, library)
	if err == nil {
		_, err = s.exec(ctx, tx, "INSERT INTO alembic_version (version_num) VALUES (?)"+s.dialect.orKeep("version_num"), revision)
	}
	return err
}

func checkRevision(found string) error {
	if found != revision {
		return fmt.Errorf("rdb: the database has Optuna's schema %s, this version knows %s: run «optuna storage upgrade»", found, revision)
	}
	return nil
}

// Close closes the file that OpenSQLite opened.
func (s *Storage) Close() error {
	if !s.owned {
		return nil
	}
	return s.db.Close()
}

// querier is a database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *Storage) exec(ctx context.Context, q querier, query string, args ...any) (sql.Result, error) {
	r, err := q.ExecContext(ctx, s.dialect.bind(query), args...)
	if err != nil {
		err = fmt.Errorf("rdb: write: %w", err)
	}
	return r, err
}

func (s *Storage) row(ctx context.Context, q querier, query string, args ...any) *sql.Row {
	return q.QueryRowContext(ctx, s.dialect.bind(query), args...)
}

// each calls f on every row of a query.
func (s *Storage) each(ctx context.Context, q querier, query string, args []any, f func(scan func(...any) error) error) error {
	rows, err := q.QueryContext(ctx, s.dialect.bind(query), args...)
	if err != nil {
		return fmt.Errorf("rdb: read: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return fmt.Errorf("rdb: read: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("rdb: read: %w", err)
	}
	return nil
}

// tx runs f in a transaction, again where the database broke a deadlock.
func (s *Storage) tx(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	const tries = 5
	for try := 1; ; try++ {
		err := s.once(ctx, f)
		if err == nil || try == tries || !transient(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * 50 * time.Millisecond):
		}
	}
}

func (s *Storage) once(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
	if err != nil {
		return fmt.Errorf("rdb: begin: %w", err)
	}
	if err := f(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("rdb: commit: %w", err)
	}
	return nil
}

// transient tells errors that a second try can mend, by the words of the drivers.
func transient(err error) bool {
	text := strings.ToLower(err.Error())
	for _, word := range []string{"deadlock", "database is locked", "could not serialize", "lock wait timeout"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// insert adds a row and returns its key.
func (s *Storage) insert(ctx context.Context, tx *sql.Tx, query, key string, args ...any) (id int64, err error) {
	if s.dialect.returning {
		err = s.row(ctx, tx, query+" RETURNING "+key, args...).Scan(&id)
	} else {
		var r sql.Result
		if r, err = s.exec(ctx, tx, query, args...); err == nil {
			id, err = r.LastInsertId()
		}
	}
	if err != nil {
		err = fmt.Errorf("rdb: write: %w", err)
	}
	return id, err
}
