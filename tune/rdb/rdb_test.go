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
