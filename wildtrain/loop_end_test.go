package wildtrain_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// on makes a callback that answers one kind of event.
func on(kind wildtrain.Kind, fn func(e *wildtrain.Event) error) wildtrain.Callback {
	return wildtrain.CallbackFunc(func(_ context.Context, e *wildtrain.Event) error {
		if e.Kind == kind {
			return fn(e)
		}
		return nil
	})
}

func TestEventsComeInOrder(t *testing.T) {
	data := wildtraintest.NewBlobs(24, 8)
	var got []string
	all := wildtrain.CallbackFunc(func(_ context.Context, e *wildtrain.Event) error {
		got = append(got, fmt.Sprintf("%s %d/%d", e.Kind, e.Batch, e.Batches))
		return nil
	})
	cfg := small(1)
	cfg.SavePeriod = 1
	_, err := trainer(t, cfg, wildtrain.WithCallbacks(all), wildtrain.WithSaver(&wildtraintest.Memory{})).
		Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.NoError(t, err)
	require.Equal(t, []string{
		"fit_start 0/0", "epoch_start 0/3", "step_end 1/3", "step_end 2/3", "step_end 3/3",
		"validate_start 0/3", "validate_step 1/3", "validate_step 2/3", "validate_step 3/3", "validate_end 0/0",
		"saved 0/3", "saved 0/3", "saved 0/3", "epoch_end 0/3", "fit_end 0/3",
	}, got)
}

func TestStopInGoodOrder(t *testing.T) {
	for _, c := range []struct {
		kind   wildtrain.Kind
		epochs int  // finished
		middle bool // of an epoch
	}{
		{wildtrain.FitStart, 0, false},
		{wildtrain.EpochStart, 0, false},
		{wildtrain.StepEnd, 0, true},
		{wildtrain.ValidateStep, 1, false},
		{wildtrain.EpochEnd, 1, false},
	} {
		for _, end := range []error{wildtrain.ErrStop, wildtrain.ErrPruned} {
			t.Run(fmt.Sprintf("%s %v", c.kind, end), func(t *testing.T) {
				data := wildtraintest.NewBlobs(40, 8)
				saver := &wildtraintest.Memory{}
				fitEnds := 0
				l := trainer(t, small(3), wildtrain.WithSaver(saver), wildtrain.WithCallbacks(
					on(c.kind, func(*wildtrain.Event) error { return fmt.Errorf("enough: %w", end) }),
					on(wildtrain.FitEnd, func(e *wildtrain.Event) error {
						fitEnds++
						require.NotNil(t, e.Result)
						return nil
					})))
				res, err := l.Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
				if errors.Is(end, wildtrain.ErrPruned) {
					require.ErrorIs(t, err, wildtrain.ErrPruned)
				} else {
					require.NoError(t, err)
				}
				require.Contains(t, res.Stopped, "enough")
				require.Equal(t, c.epochs, res.Progress.Epoch)
				require.Equal(t, c.middle, res.Progress.Batch > 0)
				require.Equal(t, 1, fitEnds)
				last, saved := saver.Get("last")
				require.Equal(t, c.epochs > 0 || c.middle, saved)
				require.Zero(t, last.Progress.Accumulated)
				require.Equal(t, data.Yielded, data.Released)
			})
		}
	}
}

// Cancelling in the middle of an accumulation window fills the window, saves,
// and returns an error by which a program knows that it was interrupted.
func TestCancelInTheMiddleOfAnEpoch(t *testing.T) {
	data := wildtraintest.NewBlobs(80, 8)
	model := wildtraintest.ForBlobs(data, 1)
	saver := &wildtraintest.Memory{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	model.Hook = func(call int, _ *wildtrain.Batch) error {
		if call == 6 {
			cancel()
		}
		return nil
	}
	cfg := small(3)
	cfg.NominalBatch, cfg.WarmupEpochs = 32, 0
	var endErr error
	res, err := trainer(t, cfg, wildtrain.WithSaver(saver), wildtrain.WithCallbacks(
		on(wildtrain.FitEnd, func(e *wildtrain.Event) error { endErr = e.Err; return nil }))).Fit(ctx, model, data)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "epoch 1 after batch 8")
	require.ErrorIs(t, endErr, context.Canceled)
	require.Equal(t, "cancelled", res.Stopped)
	require.Equal(t, "memory:last", res.LastPath)
	last, ok := saver.Get("last")
	require.True(t, ok)
	require.Equal(t, 8, last.Progress.Batch)
	require.Equal(t, int64(2), last.Progress.Step)
	require.Equal(t, data.Yielded, data.Released)
}

// A state that may be broken must not replace a good one.
func TestFailuresKeepLast(t *testing.T) {
	boom := errors.New("boom")
	cases := map[string]struct {
		set   func(*wildtraintest.Blobs, *wildtraintest.Linear)
		calls []wildtrain.Callback
		want  string
	}{
		"a model's panic": {set: func(_ *wildtraintest.Blobs, m *wildtraintest.Linear) {
			m.Hook = func(call int, _ *wildtrain.Batch) error {
				if call == 8 {
					panic("index out of range")
				}
				return nil
			}
		}, want: "panic: index out of range"},
		"a model's error": {set: func(_ *wildtraintest.Blobs, m *wildtraintest.Linear) {
			m.Hook = func(call int, _ *wildtrain.Batch) error {
				if call == 8 {
					return boom
				}
				return nil
			}
		}, want: "train epoch 2, batch 3 (samples [\"train/"},
		"a NaN": {set: func(_ *wildtraintest.Blobs, m *wildtraintest.Linear) { m.Poison = 8 },
			want: "train epoch 2, batch 3 (samples [\"train/"},
		"a callback's error": {calls: []wildtrain.Callback{on(wildtrain.StepEnd, func(e *wildtrain.Event) error {
			if e.Progress.Epoch == 1 && e.Batch == 3 {
				return boom
			}
			return nil
		})}, want: "callback on step_end: boom"},
		"a callback's panic": {calls: []wildtrain.Callback{on(wildtrain.ValidateStep, func(e *wildtrain.Event) error {
			if e.Progress.Epoch == 1 {
				panic(boom)
			}
			return nil
		})}, want: "panic: boom"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			data := wildtraintest.NewBlobs(40, 8)
			model := wildtraintest.ForBlobs(data, 1)
			if c.set != nil {
				c.set(data, model)
			}
			saver := &wildtraintest.Memory{}
			ended := false
			calls := append(c.calls, on(wildtrain.FitEnd, func(e *wildtrain.Event) error {
				ended = e.Err != nil
				return nil
			}))
			res, err := trainer(t, small(3), wildtrain.WithSaver(saver), wildtrain.WithCallbacks(calls...)).Fit(t.Context(), model, data)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, res)
			require.True(t, ended, "FitEnd tells of the error")
			last, ok := saver.Get("last")
			require.True(t, ok)
			require.Equal(t, 1, last.Progress.Epoch)
			require.Zero(t, last.Progress.Batch)
			require.Equal(t, data.Yielded, data.Released)
		})
	}
}

func TestNonFiniteLoss(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	model := wildtraintest.ForBlobs(data, 1)
	model.Poison = 3
	_, err := trainer(t, small(1)).Fit(t.Context(), model, data)
	require.ErrorIs(t, err, wildtrain.ErrNonFinite)
	require.ErrorContains(t, err, "loss=NaN")

	// Tolerated: a warning names the samples, the step is left out, training learns on.
	model = wildtraintest.ForBlobs(data, 1)
	model.Poison = 3
	cfg := small(10)
	cfg.NonFinite = 1
	var warnings []string
	res, err := trainer(t, cfg, wildtrain.WithCallbacks(on(wildtrain.Warning, func(e *wildtrain.Event) error {
		warnings = append(warnings, e.Text)
		return nil
	}))).Fit(t.Context(), model, data)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "epoch 1, batch 3 (samples [\"train/")
	require.Equal(t, int64(1), res.Progress.Skipped)
	require.Greater(t, value(t, res.Metrics, "accuracy"), 0.9)
}

func TestBrokenPicture(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	data.Broken = 5
	_, err := trainer(t, small(1)).Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.ErrorContains(t, err, "load epoch 1, batch")
	require.ErrorContains(t, err, "train 4: wildtraintest: this picture is broken")
	require.Equal(t, data.Yielded, data.Released)
}

func TestFullDisk(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	full := errors.New("no space left on device")
	_, err := trainer(t, small(3), wildtrain.WithSaver(&wildtraintest.Memory{Fail: full})).
		Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.ErrorIs(t, err, full)
	require.ErrorContains(t, err, "save best")
}

func TestEarlyStop(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	cfg := small(50)
	cfg.Patience = 3
	res, err := trainer(t, cfg).Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.NoError(t, err)
	require.Equal(t, 3, res.Progress.Epoch-res.Progress.BestEpoch)
	require.Less(t, res.Progress.Epoch, 50)
	require.Equal(t, "no better accuracy for 3 epochs", res.Stopped)
}

func TestTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := wildtraintest.NewBlobs(40, 8)
		model := wildtraintest.ForBlobs(data, 1)
		model.Hook = func(int, *wildtrain.Batch) error {
			time.Sleep(time.Second)
			return nil
		}
		cfg := small(50)
		cfg.MaxSeconds, cfg.NominalBatch = 12, 0
		saver := &wildtraintest.Memory{}
		res, err := trainer(t, cfg, wildtrain.WithSaver(saver)).Fit(t.Context(), model, data)
		require.NoError(t, err)
		require.Equal(t, "time limit of 12 s reached", res.Stopped)
		require.Equal(t, 12.0, res.Progress.Seconds)
		last, _ := saver.Get("last")
		require.Equal(t, []int{2, 2}, []int{last.Progress.Epoch, last.Progress.Batch})
	})
}

// A long epoch is saved on the way, between accumulation windows only.
func TestSaveWithinAnEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := wildtraintest.NewBlobs(80, 8)
		model := wildtraintest.ForBlobs(data, 1)
		model.Hook = func(int, *wildtrain.Batch) error {
			time.Sleep(time.Minute)
			return nil
		}
		cfg := small(1)
		cfg.SaveSeconds, cfg.NominalBatch, cfg.WarmupEpochs = 180, 16, 0
		var at []string
		_, err := trainer(t, cfg, wildtrain.WithSaver(&wildtraintest.Memory{}), wildtrain.WithCallbacks(
			on(wildtrain.Saved, func(e *wildtrain.Event) error {
				require.Zero(t, e.Progress.Accumulated)
				at = append(at, fmt.Sprintf("%s %d", e.Text, e.Progress.Batch))
				return nil
			}))).Fit(t.Context(), model, data)
		require.NoError(t, err)
		require.Equal(t, []string{"last 4", "last 8", "best 0", "last 0"}, at)
	})
}

func TestNoValidationSplit(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	data.NoVal = true
	var warnings []string
	res, err := trainer(t, small(3), wildtrain.WithCallbacks(on(wildtrain.Warning, func(e *wildtrain.Event) error {
		warnings = append(warnings, e.Text)
		return nil
	}))).Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Equal(t, "train/loss", res.Monitor)
	require.Equal(t, 3, res.Progress.BestEpoch, "the training loss falls: lower is better")

	cfg := small(3)
	cfg.Monitor = "accuracy"
	_, err = trainer(t, cfg).Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.ErrorContains(t, err, "there is no validation")
	_, err = trainer(t, cfg).Validate(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.ErrorIs(t, err, wildtrain.ErrNoSplit)
}

// A misspelt monitor is told before any time is spent.
func TestUnknownMonitor(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	model := wildtraintest.ForBlobs(data, 1)
	model.Hook = func(int, *wildtrain.Batch) error { return errors.New("a step was taken") }
	cfg := small(3)
	cfg.Monitor = "acuracy"
	_, err := trainer(t, cfg).Fit(t.Context(), model, data)
	require.ErrorContains(t, err, `Monitor is "acuracy", which no metric gives; there are ["accuracy"]`)
}

func TestClassesMustFit(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	model := wildtraintest.NewLinear([]string{"zebra", "giraffe"}, 16, 1)
	_, err := trainer(t, small(1)).Fit(t.Context(), model, data)
	require.ErrorContains(t, err, "the model knows 2 classes, the data has 3")
	_, err = trainer(t, small(1)).Validate(t.Context(), model, data)
	require.ErrorContains(t, err, "the model knows 2 classes, the data has 3")
}

func TestEmptyData(t *testing.T) {
	data := wildtraintest.NewBlobs(0, 8)
	_, err := trainer(t, small(1)).Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.ErrorIs(t, err, wildtrain.ErrEmpty)
}

// A tracking server that is away must not end a night's training.
func TestLoggerFailureIsAWarning(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	warnings := 0
	res, err := trainer(t, small(2), wildtrain.WithLoggers(failingLogger{}), wildtrain.WithCallbacks(
		on(wildtrain.Warning, func(*wildtrain.Event) error { warnings++; return nil }))).
		Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.NoError(t, err)
	require.Equal(t, 2, res.Progress.Epoch)
	require.Equal(t, 2, warnings)
}

type failingLogger struct{}

func (failingLogger) Log(context.Context, int64, ...wildtrain.Value) error {
	return errors.New("connection refused")
}

// The average is what is validated, the raw weights are what is trained on and kept.
func TestValidationUsesTheAverage(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	model := wildtraintest.ForBlobs(data, 1)
	cfg := small(4)
	cfg.EMADecay, cfg.EMATau = 1, 0 // the average stays at the initial weights
	first, err := trainer(t, cfg).Validate(t.Context(), model, data)
	require.NoError(t, err)
	res, err := trainer(t, cfg).Fit(t.Context(), model, data)
	require.NoError(t, err)
	require.Equal(t, value(t, first, "val/loss"), value(t, res.Metrics, "val/loss"))
	raw, err := trainer(t, cfg).Validate(t.Context(), model, data)
	require.NoError(t, err)
	require.Less(t, value(t, raw, "val/loss"), value(t, first, "val/loss"))
}
