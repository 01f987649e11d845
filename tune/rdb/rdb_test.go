package rdb

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/internal/storagetest"
)

func TestSQLite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "study with a %.db")
	storagetest.Run(t, func(t *testing.T) tune.Storage { return opened(t, "sqlite:///"+file) })
}

func opened(t *testing.T, address string) *Storage {
	t.Helper()
	s, err := OpenURL(context.Background(), address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// freshDatabase makes an empty database on the server that a variable names
// (parity/optuna-servers.sh) and returns its address.
func freshDatabase(t *testing.T, variable string) string {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		t.Skip(variable + " names no server (parity/optuna-servers.sh)")
	}
	ctx, name := context.Background(), "test_"+strings.ToLower(rand.Text())
	admin := opened(t, address)
	_, err := admin.db.ExecContext(ctx, "CREATE DATABASE "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.db.ExecContext(ctx, "DROP DATABASE "+name)
		require.NoError(t, err)
	})
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

func TestServers(t *testing.T) {
	for _, variable := range []string{"WILDTRAIN_POSTGRES", "WILDTRAIN_MYSQL"} {
		t.Run(variable, func(t *testing.T) {
			address := freshDatabase(t, variable)
			t.Run("tables are made once", func(t *testing.T) {
				var wait sync.WaitGroup
				errs := make([]error, 6)
				for i := range errs {
					wait.Go(func() {
						s, err := OpenURL(context.Background(), address)
						if errs[i] = err; err == nil {
							errs[i] = s.Close()
						}
					})
				}
				wait.Wait()
				for _, err := range errs {
					require.NoError(t, err)
				}
			})
			storagetest.Run(t, func(t *testing.T) tune.Storage { return opened(t, address) })
		})
	}
}

func TestAddressesOfOptuna(t *testing.T) {
	for address, want := range map[string]string{
		"mysql://u:p%40ss@h:3307/d":                     "u:p@ss@tcp(h:3307)/d",
		"mysql+pymysql://u@h/d?charset=utf8mb4":         "u@tcp(h:3306)/d?charset=utf8mb4",
		"mysql://u@localhost/d?unix_socket=/run/s":      "u@unix(/run/s)/d",
		"mysql://u@[::1]/d":                             "u@tcp([::1]:3306)/d",
		"mariadb+mariadbconnector://u:x@h:1/d?tls=true": "u:x@tcp(h:1)/d?tls=true",
	} {
		_, rest, _ := strings.Cut(address, "://")
		got, err := mysqlDSN("mysql://" + rest)
		require.NoError(t, err, address)
		require.Equal(t, want, got)
	}
	ctx := context.Background()
	for _, bad := range []string{"study.db", "sqlite://study.db", "sqlite:///", "redis://h/0", "mysql://u:secret@h:x/d", "postgresql://u:secret@h:x/d"} {
		_, err := OpenURL(ctx, bad)
		require.ErrorContains(t, err, "rdb: ", bad)
		require.NotContains(t, err.Error(), "secret")
	}
	s := opened(t, fmt.Sprintf("sqlite+pysqlite:///%s/s.db", t.TempDir()))
	require.Equal(t, "sqlite", s.dialect.name)
}

func TestOtherRevisionIsRefused(t *testing.T) {
	ctx, file := context.Background(), filepath.Join(t.TempDir(), "old.db")
	s, err := OpenSQLite(ctx, file)
	require.NoError(t, err)
	_, err = s.db.Exec("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
	require.NoError(t, err)
	require.NoError(t, s.Close())
	_, err = OpenSQLite(ctx, file)
	require.ErrorContains(t, err, "v2.6.0.a")
}

func TestPlaceholders(t *testing.T) {
	require.Equal(t, "a = $1 AND b = $2", Postgres.bind("a = ? AND b = ?"))
	require.Equal(t, "a = ?", MySQL.bind("a = ?"))
}

// FuzzForeignRows reads what another program may have put into the columns.
func FuzzForeignRows(f *testing.F) {
	const date = "2026-01-02 03:04:05.000006"
	f.Add("RUNNING", date, 0.5, `{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}`, "FINITE", `"x"`, int64(3))
	f.Add("COMPLETE", "2026-01-02", -1.0, `{"name": "CategoricalDistribution", "attributes": {"choices": [1, null]}}`, "INF_NEG", "[1", int64(-1))
	f.Add("PRUNED", "", 1e300, `{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 1, "high": 9}}`, "NAN", "{}", int64(1)<<62)
	ctx := context.Background()
	s, err := OpenSQLite(ctx, filepath.Join(f.TempDir(), "fuzz.db"))
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, s.Close()) })
	_, err = s.db.Exec("PRAGMA synchronous = OFF")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, state, date string, value float64, dist, kind, json string, step int64) {
		for _, row := range []struct {
			insert string
			args   []any
		}{
			{"studies (study_id, study_name) VALUES (1, 's')", nil},
			{"study_directions (study_direction_id, direction, study_id, objective) VALUES (1, 'MINIMIZE', 1, 0)", nil},
			{"trials (trial_id, number, study_id, state, datetime_start, datetime_complete) VALUES (1, 0, 1, ?, ?, ?)", []any{state, date, date}},
			{"trial_params (param_id, trial_id, param_name, param_value, distribution_json) VALUES (1, 1, 'x', ?, ?)", []any{value, dist}},
			{"trial_values (trial_value_id, trial_id, objective, value, value_type) VALUES (1, 1, 0, ?, ?)", []any{value, kind}},
			{"trial_intermediate_values (trial_intermediate_value_id, trial_id, step, intermediate_value, intermediate_value_type) VALUES (1, 1, ?, ?, ?)", []any{step, value, kind}},
			{`trial_system_attributes (trial_system_attribute_id, trial_id, "key", value_json) VALUES (1, 1, 'constraints', ?)`, []any{json}},
		} {
			_, err := s.db.Exec("INSERT OR REPLACE INTO "+row.insert, row.args...)
			require.NoError(t, err)
		}
		clear(s.settled)
		trials, err := s.Trials(ctx, 1)
		if err != nil {
			return
		}
		require.Len(t, trials, 1)
		trials[0].External()
		trials[0].Violation()
		v := &tune.View{Study: "s", Directions: []tune.Direction{tune.Minimize}, Trials: trials}
		v.Best()
	})
}
