package wildtrain_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// A run that is interrupted anywhere, as often as one likes, and resumed by a
// new process ends bit for bit where the uninterrupted one does: weights,
// average, optimiser, random state, every counter and every logged value.
func TestResumeEqualsUninterrupted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := small(rapid.IntRange(1, 6).Draw(t, "epochs"))
		cfg.NominalBatch = rapid.SampledFrom([]int{0, 8, 24, 64}).Draw(t, "nominal")
		cfg.AverageAccumulated = rapid.Bool().Draw(t, "average accumulated")
		cfg.WarmupEpochs = rapid.SampledFrom([]float64{0, 0.5, 3}).Draw(t, "warm-up")
		cfg.Schedule = rapid.SampledFrom([]string{wildtrain.Linear, wildtrain.Cosine}).Draw(t, "schedule")
		cfg.EMADecay = rapid.SampledFrom([]float64{0, 0.9}).Draw(t, "average")
		cfg.ValidateEvery = rapid.IntRange(0, 2).Draw(t, "validate every")
		cfg.Patience = rapid.IntRange(0, 3).Draw(t, "patience")
		samples := rapid.IntRange(1, 70).Draw(t, "samples")
		batches := (samples + 7) / 8
		stops := rapid.SliceOfN(rapid.IntRange(1, batches*2), 0, 5).Draw(t, "steps until each interruption")

		var whole, parts wildtraintest.Memory
		wantRes, err := fitOnce(cfg, &whole, samples, false, 0)
		require.NoError(t, err)

		var history []wildtrain.Epoch
		var gotRes *wildtrain.Result
		resume := false
		for _, after := range append(stops, 0) {
			gotRes, err = fitOnce(cfg, &parts, samples, resume, after)
			require.NotNil(t, gotRes)
			history = append(history, gotRes.History...)
			resume = len(parts.Order) > 0
			if err == nil {
				break
			}
			require.ErrorIs(t, err, context.Canceled)
		}
		require.NoError(t, err)
		want, _ := whole.Get("last")
		got, _ := parts.Get("last")
		requireSame(t, got, want)
		ignoreTime := cmp.Options{
			cmpopts.IgnoreFields(wildtrain.Progress{}, "Seconds"), cmpopts.EquateEmpty(),
			cmpopts.IgnoreSliceElements(func(v wildtrain.Value) bool { return strings.HasPrefix(v.Name, "time/") }),
		}
		require.Empty(t, cmp.Diff(wantRes.History, history, ignoreTime))
		require.Empty(t, cmp.Diff(wantRes.Progress, gotRes.Progress, ignoreTime))
		require.Equal(t, wantRes.Stopped, gotRes.Stopped)
	})
}

// fitOnce trains with fresh objects, as a new process would, and cancels in the
// middle of the so-many-th training step (0: never).
func fitOnce(cfg wildtrain.Config, saver *wildtraintest.Memory, samples int, resume bool, cancelAt int) (*wildtrain.Result, error) {
	data := wildtraintest.NewBlobs(samples, 8)
	seed := uint64(1)
	if resume {
		seed = 77 // other weights and random state: all must come from the checkpoint
	}
	model := wildtraintest.ForBlobs(data, seed)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	model.Hook = func(call int, _ *wildtrain.Batch) error {
		if call == cancelAt {
			cancel()
		}
		return nil
	}
	opts := []wildtrain.Option{wildtrain.WithSaver(saver), wildtrain.WithMetrics(&wildtraintest.Accuracy{})}
	if resume {
		opts = append(opts, wildtrain.WithResume())
	}
	l, err := wildtrain.NewTrainer(cfg, opts...)
	if err != nil {
		return nil, err
	}
	res, err := l.Fit(ctx, model, data)
	if data.Yielded != data.Released {
		err = errors.Join(err, errors.New("a batch was not released"))
	}
	return res, err
}

func requireSame(t require.TestingT, got, want wildtrain.Snapshot) {
	for _, p := range [][2]wildtrain.State{{got.Model, want.Model}, {got.Averaged, want.Averaged}, {got.Optimizer, want.Optimizer}} {
		diff, err := wildtraintest.Diff(p[0], p[1])
		require.NoError(t, err)
		require.Empty(t, diff)
	}
	require.Equal(t, want.Random, got.Random)
	require.Equal(t, want.Metrics, got.Metrics)
	got.Progress.Seconds = want.Progress.Seconds
	require.Equal(t, want.Progress, got.Progress)
}

// An epoch may be added to a finished run, and a run that stopped early goes on
// when it is given more patience.
func TestResumeExtends(t *testing.T) {
	var saver wildtraintest.Memory
	_, err := fitOnce(small(2), &saver, 40, false, 0)
	require.NoError(t, err)
	res, err := fitOnce(small(2), &saver, 40, true, 0)
	require.NoError(t, err)
	require.Equal(t, 2, res.Progress.Epoch)
	require.Empty(t, res.History, "a finished run has nothing left to do")
	require.NotEmpty(t, res.Metrics, "the last metrics come from the checkpoint")
	res, err = fitOnce(small(5), &saver, 40, true, 0)
	require.NoError(t, err)
	require.Equal(t, 5, res.Progress.Epoch)
	require.Len(t, res.History, 3)
}

func TestResumeWithoutCheckpoint(t *testing.T) {
	_, err := fitOnce(small(1), &wildtraintest.Memory{}, 40, true, 0)
	require.ErrorIs(t, err, wildtrain.ErrNoCheckpoint)

	_, err = wildtrain.NewTrainer(small(1), wildtrain.WithResume())
	require.ErrorContains(t, err, "Resumer")
}

func TestResumeOnOtherData(t *testing.T) {
	var saver wildtraintest.Memory
	_, err := fitOnce(small(2), &saver, 60, false, 6)
	require.ErrorIs(t, err, context.Canceled)
	_, err = fitOnce(small(2), &saver, 10, true, 0)
	require.ErrorContains(t, err, "the data has changed")
}

// An average that is switched on later begins with the weights that were
// reached by then, not with those that the process began with.
func TestResumeWithAnAverageThatWasOff(t *testing.T) {
	var saver wildtraintest.Memory
	cfg := small(3)
	cfg.EMADecay = 0
	_, err := fitOnce(cfg, &saver, 40, false, 0)
	require.NoError(t, err)
	before, _ := saver.Get("last")
	require.Nil(t, before.Averaged)
	cfg.Epochs, cfg.EMADecay, cfg.EMATau = 4, 1, 0 // it never moves from where it begins
	_, err = fitOnce(cfg, &saver, 40, true, 0)
	require.NoError(t, err)
	after, _ := saver.Get("last")
	diff, err := wildtraintest.Diff(after.Averaged, before.Model)
	require.NoError(t, err)
	require.Empty(t, diff)
}

// The monitored value of a resumed run may be another one: the old best must
// not be compared with it.
func TestResumeWithAnotherMonitor(t *testing.T) {
	var saver wildtraintest.Memory
	_, err := fitOnce(small(3), &saver, 40, false, 0)
	require.NoError(t, err)
	cfg := small(4)
	cfg.Monitor = "val/loss"
	res, err := fitOnce(cfg, &saver, 40, true, 0)
	require.NoError(t, err)
	require.Equal(t, "val/loss", res.Monitor)
	require.Equal(t, 4, res.Progress.BestEpoch)
	require.Equal(t, value2(res.Metrics, "val/loss"), res.Best)
}

func value2(values []wildtrain.Value, name string) float64 {
	for _, v := range values {
		if v.Name == name {
			return v.Value
		}
	}
	return -1
}
