package rdb

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/internal/storagetest"
)

func TestSQLite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "study with a %.db")
	storagetest.Run(t, func(t *testing.T) tune.Storage {
		s, err := OpenSQLite(context.Background(), file)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	})
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
