package config_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/config"
)

var fourJobs = [][]string{{"a=1"}, {"a=2"}, {"a=3"}, {"a=4"}}

func TestMultirunGoesOnAfterFailureAndResumes(t *testing.T) {
	dir := t.TempDir()
	bad := errors.New("broken")
	var ran []string
	err := config.Multirun{Dir: dir, Names: []string{"one", "two"}}.Run(t.Context(), fourJobs, func(_ context.Context, j config.Job) error {
		ran = append(ran, j.Overrides[0])
		assert.Equal(t, filepath.Join(dir, []string{"one", "two", "2", "3"}[j.Num]), j.Dir)
		if j.Num == 1 {
			return bad
		}
		return nil
	})
	assert.ErrorIs(t, err, bad)
	assert.ErrorContains(t, err, "job 1 [a=2]")
	assert.Equal(t, []string{"a=1", "a=2", "a=3", "a=4"}, ran)

	// A crash leaves half a line; only what is not done runs again.
	f, err := os.OpenFile(filepath.Join(dir, "multirun.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"num":`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	ran = nil
	var skipped int
	err = config.Multirun{Dir: dir, Resume: true, Notify: func(_ config.Job, state string, _ error) {
		if state == "skipped" {
			skipped++
		}
	}}.Run(t.Context(), fourJobs, func(_ context.Context, j config.Job) error {
		ran = append(ran, j.Overrides[0])
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"a=2"}, ran)
	assert.Equal(t, 3, skipped)
}

func TestMultirunFailFast(t *testing.T) {
	ran := 0
	err := config.Multirun{Dir: t.TempDir(), FailFast: true}.Run(t.Context(), fourJobs, func(context.Context, config.Job) error {
		ran++
		return errors.New("no")
	})
	assert.Error(t, err)
	assert.Equal(t, 1, ran)
}

func TestMultirunParallelAndCancel(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		start := time.Now()
		err := config.Multirun{Dir: dir, Parallel: 2}.Run(t.Context(), fourJobs, func(context.Context, config.Job) error {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Second)
			now.Add(-1)
			return nil
		})
		require.NoError(t, err)
		assert.EqualValues(t, 2, most.Load())
		assert.Equal(t, 2*time.Second, time.Since(start))

		ctx, cancel := context.WithCancel(t.Context())
		var states []string
		note := func(_ config.Job, state string, _ error) { states = append(states, state) }
		err = config.Multirun{Dir: dir, Notify: note}.Run(ctx, fourJobs, func(context.Context, config.Job) error {
			cancel()
			return ctx.Err()
		})
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, []string{"running", "interrupted"}, states)
	})
}
