package tune

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

func quadratic(_ context.Context, l *Live) ([]float64, error) {
	x, err := l.Float("x", -10, 10, false)
	if err != nil {
		return nil, err
	}
	n, err := l.Int("n", 1, 8, false)
	return []float64{(x-2)*(x-2) + float64(n)}, err
}

func newStudy(t *testing.T, s Storage, o Options) *Study {
	t.Helper()
	study, err := Create(context.Background(), s, "s", o)
	require.NoError(t, err)
	return study
}

// With a window, what is suggested does not depend on the number of workers.
func TestWindowMakesWorkersAgree(t *testing.T) {
	var want []map[string]any
	for _, jobs := range []int{1, 2, 4} {
		s := NewTPE(3)
		s.PerTrial()
		study := newStudy(t, NewMemory(), Options{Sampler: s, Window: 4})
		err := study.Optimize(context.Background(), Plan{Trials: 40, Jobs: jobs}, func(ctx context.Context, l *Live) ([]float64, error) {
			time.Sleep(time.Duration(l.Number()%3) * time.Millisecond)
			return quadratic(ctx, l)
		})
		require.NoError(t, err)
		v, err := study.View(context.Background())
		require.NoError(t, err)
		var got []map[string]any
		for _, tr := range v.Trials {
			got = append(got, tr.External())
		}
		if want == nil {
			want = got
		}
		require.Equal(t, want, got, "%d workers", jobs)
	}
}

func TestEnqueuedAndFixedValues(t *testing.T) {
	ctx := context.Background()
	study := newStudy(t, NewMemory(), Options{})
	require.NoError(t, study.Enqueue(ctx, map[string]any{"x": 1.5}, map[string]string{"why": `"guess"`}))
	l, err := study.Ask(ctx)
	require.NoError(t, err)
	x, err := l.Float("x", -10, 10, false)
	require.NoError(t, err)
	require.Equal(t, 1.5, x)
	again, err := l.Float("x", -10, 10, false)
	require.NoError(t, err)
	require.Equal(t, x, again)
	_, err = l.Int("x", 0, 1, false)
	require.ErrorContains(t, err, "cannot change")
	require.Equal(t, `"guess"`, l.UserAttrs()["why"])
}

func TestOutcomes(t *testing.T) {
	ctx := context.Background()
	study := newStudy(t, NewMemory(), Options{Directions: []Direction{Maximize}})
	results := []func(l *Live) ([]float64, error){
		func(*Live) ([]float64, error) { return []float64{1}, nil },
		func(*Live) ([]float64, error) { return []float64{math.NaN()}, nil },
		func(*Live) ([]float64, error) { return nil, errors.New("broken") },
		func(*Live) ([]float64, error) { panic("broken, too") },
		func(l *Live) ([]float64, error) {
			require.NoError(t, l.Report(2, 7))
			return nil, wildtrain.ErrPruned
		},
		func(*Live) ([]float64, error) { return []float64{math.Inf(-1)}, nil },
		func(*Live) ([]float64, error) { return []float64{1, 2}, nil },
		func(*Live) ([]float64, error) { return []float64{3}, nil },
	}
	err := study.Optimize(ctx, Plan{Trials: 4, Keep: true}, func(_ context.Context, l *Live) ([]float64, error) { return results[l.Number()](l) })
	require.NoError(t, err)
	v, err := study.View(ctx)
	require.NoError(t, err)
	var states []State
	for _, tr := range v.Trials {
		states = append(states, tr.State)
	}
	require.Equal(t, []State{Complete, Failed, Failed, Failed, Pruned, Complete, Failed, Complete}, states)
	require.Equal(t, []float64{7}, v.Trials[4].Values)
	best, err := study.Best(ctx)
	require.NoError(t, err)
	require.Equal(t, 7, best.Number)
}

func TestDeadTrialIsTriedAgain(t *testing.T) {
	ctx, m := context.Background(), NewMemory()
	o := Options{Grace: 20 * time.Millisecond, Beat: time.Hour, Retry: 1, Existing: true}
	study := newStudy(t, m, o)
	l, err := study.Ask(ctx)
	require.NoError(t, err)
	x, err := l.Float("x", 0, 1, false)
	require.NoError(t, err)
	require.NoError(t, l.SetUserAttr(ctx, "checkpoint", "here"))
	require.NoError(t, l.Report(1, 5))
	time.Sleep(40 * time.Millisecond) // its worker is gone
	again, err := newStudy(t, m, o).Ask(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, again.Number())
	y, err := again.Float("x", 0, 1, false)
	require.NoError(t, err)
	require.Equal(t, x, y)
	require.Equal(t, `"here"`, again.UserAttrs()["checkpoint"])
	require.ErrorIs(t, study.Tell(ctx, l, Complete, 1), ErrFinished, "the dead one came back too late")
	time.Sleep(40 * time.Millisecond)
	third, err := newStudy(t, m, o).Ask(ctx)
	require.NoError(t, err)
	v, err := study.View(ctx)
	require.NoError(t, err)
	require.Len(t, v.Trials, 3)
	require.NotContains(t, third.trial.SystemAttrs, "retry_history", "it is tried again once")
}

func TestPlateauAndStop(t *testing.T) {
	ctx := context.Background()
	study := newStudy(t, NewMemory(), Options{})
	require.NoError(t, study.Optimize(ctx, Plan{Trials: 100, Plateau: 5}, func(_ context.Context, l *Live) ([]float64, error) {
		return []float64{math.Max(0, float64(5-l.Number()))}, nil
	}))
	v, err := study.View(ctx)
	require.NoError(t, err)
	require.Len(t, v.Trials, 11)
	study.Stop()
	require.NoError(t, study.Optimize(ctx, Plan{Trials: 100}, quadratic))
	after, err := study.View(ctx)
	require.NoError(t, err)
	require.Len(t, after.Trials, 11)
}

// A time per trial of TPE with ten parameters over a thousand trials.
func BenchmarkThousandTrials(b *testing.B) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	for b.Loop() {
		study, err := Create(context.Background(), NewMemory(), "s", Options{Sampler: NewTPE(1)})
		require.NoError(b, err)
		err = study.Optimize(context.Background(), Plan{Trials: 1000}, func(_ context.Context, l *Live) ([]float64, error) {
			sum := 0.0
			for _, n := range names {
				x, err := l.Float(n, -5, 5, false)
				if err != nil {
					return nil, err
				}
				sum += x * x
			}
			return []float64{sum}, nil
		})
		require.NoError(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/trial")
}
