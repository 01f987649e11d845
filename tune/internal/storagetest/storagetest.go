// Package storagetest checks what every tune.Storage promises.
package storagetest

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/tune"
)

// Run runs the suite. Each call of open opens the same, at first empty, store.
func Run(t *testing.T, open func(t *testing.T) tune.Storage) {
	s := open(t)
	t.Run("studies", func(t *testing.T) { studies(t, s) })
	t.Run("round trip", func(t *testing.T) { roundTrip(t, s, open(t)) })
	t.Run("finished", func(t *testing.T) { finished(t, s) })
	t.Run("claim", func(t *testing.T) { claim(t, s, open(t)) })
	t.Run("numbers", func(t *testing.T) { numbers(t, open) })
	t.Run("stale", func(t *testing.T) { stale(t, s) })
}

var one = []tune.Direction{tune.Minimize}

func studies(t *testing.T, s tune.Storage) {
	ctx := context.Background()
	made, err := s.CreateStudy(ctx, "first é", []tune.Direction{tune.Minimize, tune.Maximize})
	require.NoError(t, err)
	_, err = s.CreateStudy(ctx, "first é", one)
	require.ErrorIs(t, err, tune.ErrExists)
	_, err = s.Study(ctx, "absent")
	require.ErrorIs(t, err, tune.ErrNotFound)
	require.NoError(t, s.SetStudyAttr(ctx, made.ID, false, "note", `"x"`))
	require.NoError(t, s.SetStudyAttr(ctx, made.ID, false, "note", `"y"`))
	require.NoError(t, s.SetStudyAttr(ctx, made.ID, true, "study:metric_names", `["a", "b"]`))
	got, err := s.Study(ctx, "first é")
	require.NoError(t, err)
	require.Equal(t, tune.StudyRecord{
		ID: made.ID, Name: "first é", Directions: []tune.Direction{tune.Minimize, tune.Maximize},
		UserAttrs: map[string]string{"note": `"y"`}, SystemAttrs: map[string]string{"study:metric_names": `["a", "b"]`},
	}, got)
	_, err = s.CreateTrial(ctx, made.ID, &tune.Trial{State: tune.Waiting, UserAttrs: map[string]string{"k": "1"}})
	require.NoError(t, err)
	require.NoError(t, s.DeleteStudy(ctx, made.ID))
	require.ErrorIs(t, s.DeleteStudy(ctx, made.ID), tune.ErrNotFound)
	_, err = s.Study(ctx, "first é")
	require.ErrorIs(t, err, tune.ErrNotFound)
}

// whole is a trial that uses every field.
func whole() *tune.Trial {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	return &tune.Trial{
		State: tune.Complete, Values: []float64{math.Inf(1), -0.25}, Start: at, End: at.Add(time.Second),
		Params: map[string]tune.Param{
			"lr": {Value: 0.001, Dist: tune.Float{Low: 1e-5, High: 0.1, Log: true}},
			"q":  {Value: 0.3, Dist: tune.Float{Low: 0.1, High: 0.9, Step: 0.1}},
			"n":  {Value: 4, Dist: tune.Int{Low: 2, High: 8, Step: 2}},
			"c":  {Value: 3, Dist: tune.Categorical{Choices: []any{nil, true, int64(2), 2.5, "two \"ü\""}}},
		},
		Reports:     map[int64]float64{0: 1.5, 3: math.NaN(), 4: math.Inf(-1)},
		UserAttrs:   map[string]string{"note": `"a"`, "list": `[1, 2.5, null]`},
		SystemAttrs: map[string]string{"constraints:c": "0.5"},
	}
}

func diff(a, b *tune.Trial) string {
	return cmp.Diff(a, b, cmpopts.EquateNaNs(), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(tune.Trial{}, "ID", "Number"))
}

func roundTrip(t *testing.T, s, other tune.Storage) {
	ctx := context.Background()
	study, err := s.CreateStudy(ctx, "round trip", []tune.Direction{tune.Minimize, tune.Minimize})
	require.NoError(t, err)
	want := whole()
	_, err = s.CreateTrial(ctx, study.ID, want)
	require.NoError(t, err)

	made, err := s.CreateTrial(ctx, study.ID, &tune.Trial{State: tune.Running, Start: want.Start})
	require.NoError(t, err)
	require.Equal(t, 1, made.Number)
	var changes []tune.Change
	for name, p := range want.Params {
		changes = append(changes, tune.Change{Kind: tune.SetParam, Key: name, Value: p.Value, Dist: p.Dist})
	}
	for step, v := range want.Reports {
		changes = append(changes, tune.Change{Kind: tune.SetReport, Step: step, Value: v})
	}
	for key, v := range want.UserAttrs {
		changes = append(changes, tune.Change{Kind: tune.SetUserAttr, Key: key, JSON: v})
	}
	changes = append(changes, tune.Change{Kind: tune.SetSystemAttr, Key: "constraints:c", JSON: "0.5"})
	require.NoError(t, s.Update(ctx, made.ID, changes...))
	require.NoError(t, s.Update(ctx, made.ID, tune.Change{Kind: tune.SetReport, Step: 0, Value: 99}), "a second value of a step is passed over")
	running, err := s.Trials(ctx, study.ID)
	require.NoError(t, err)
	require.Equal(t, tune.Running, running[1].State)
	require.NoError(t, s.Update(ctx, made.ID, tune.Change{Kind: tune.SetState, State: tune.Complete, Values: want.Values, Time: want.End}))
	for _, reader := range []tune.Storage{s, other} {
		record, err := reader.Study(ctx, "round trip")
		require.NoError(t, err)
		got, err := reader.Trials(ctx, record.ID)
		require.NoError(t, err)
		require.Len(t, got, 2)
		assert.Empty(t, diff(want, got[0]), "made whole")
		assert.Empty(t, diff(want, got[1]), "made by changes")
	}
	require.Equal(t, 1.5, running[1].Reports[0], "a list given out does not change later")
	require.Equal(t, tune.Running, running[1].State)
}

func finished(t *testing.T, s tune.Storage) {
	ctx := context.Background()
	study, err := s.CreateStudy(ctx, "finished", one)
	require.NoError(t, err)
	made, err := s.CreateTrial(ctx, study.ID, &tune.Trial{State: tune.Failed})
	require.NoError(t, err)
	require.ErrorIs(t, s.Update(ctx, made.ID, tune.Change{Kind: tune.SetUserAttr, Key: "k", JSON: "1"}), tune.ErrFinished)
	require.ErrorIs(t, s.Update(ctx, made.ID+1000, tune.Change{Kind: tune.SetUserAttr, Key: "k", JSON: "1"}), tune.ErrNotFound)
}

func claim(t *testing.T, a, b tune.Storage) {
	ctx := context.Background()
	study, err := a.CreateStudy(ctx, "claim", one)
	require.NoError(t, err)
	made, err := a.CreateTrial(ctx, study.ID, &tune.Trial{State: tune.Waiting})
	require.NoError(t, err)
	mine, err := b.Claim(ctx, made.ID)
	require.NoError(t, err)
	require.True(t, mine)
	mine, err = a.Claim(ctx, made.ID)
	require.NoError(t, err)
	require.False(t, mine)
	trials, err := a.Trials(ctx, study.ID)
	require.NoError(t, err)
	require.Equal(t, tune.Running, trials[0].State)
	require.False(t, trials[0].Start.IsZero())
}

// numbers lets several handles make trials at once: no number is lost or doubled.
func numbers(t *testing.T, open func(t *testing.T) tune.Storage) {
	ctx := context.Background()
	first := open(t)
	study, err := first.CreateStudy(ctx, "numbers", one)
	require.NoError(t, err)
	const workers, each = 4, 10
	var wait sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		s := open(t)
		wait.Go(func() {
			for i := range each {
				made, err := s.CreateTrial(ctx, study.ID, &tune.Trial{State: tune.Running})
				if err == nil {
					err = s.Update(ctx, made.ID, tune.Change{Kind: tune.SetUserAttr, Key: "from", JSON: fmt.Sprintf(`"%d-%d"`, w, i)},
						tune.Change{Kind: tune.SetState, State: tune.Complete, Values: []float64{1}})
				}
				if err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	trials, err := first.Trials(ctx, study.ID)
	require.NoError(t, err)
	require.Len(t, trials, workers*each)
	seen := map[string]bool{}
	for i, trial := range trials {
		require.Equal(t, i, trial.Number)
		seen[trial.UserAttrs["from"]] = true
	}
	require.Len(t, seen, workers*each)
}

func stale(t *testing.T, s tune.Storage) {
	ctx := context.Background()
	h := s.(tune.Heartbeater)
	study, err := s.CreateStudy(ctx, "stale", one)
	require.NoError(t, err)
	dead, err := s.CreateTrial(ctx, study.ID, &tune.Trial{State: tune.Running})
	require.NoError(t, err)
	ended, err := s.CreateTrial(ctx, study.ID, &tune.Trial{State: tune.Running})
	require.NoError(t, err)
	require.NoError(t, s.Update(ctx, ended.ID, tune.Change{Kind: tune.SetState, State: tune.Failed}))
	none, err := h.Stale(ctx, study.ID, time.Minute)
	require.NoError(t, err)
	require.Empty(t, none)
	time.Sleep(2100 * time.Millisecond) // a database's clock may count whole seconds
	alive, err := s.CreateTrial(ctx, study.ID, &tune.Trial{State: tune.Running})
	require.NoError(t, err)
	require.NoError(t, h.Beat(ctx, alive.ID))
	got, err := h.Stale(ctx, study.ID, 1050*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, []int64{dead.ID}, got)
}
