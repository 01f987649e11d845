package wildtrain_test

import (
	"context"
	"errors"
	"iter"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// spy is a model that writes down what the loop asks of it, and has faults.
type spy struct {
	*wildtraintest.Linear
	config    wildtrain.OptimizerConfig
	steps     []wildtrain.Step
	clips     []wildtrain.Clip
	zeroed    int
	groups    []wildtrain.Group // as set before each optimiser step
	averages  []float64
	skip      func(step int) bool // pretend that gradients were not finite
	keeps     bool                // never releases a batch
	forgetful bool                // leaves a prediction out
}

func newSpy(d *wildtraintest.Blobs) *spy { return &spy{Linear: wildtraintest.ForBlobs(d, 1)} }

// held is a batch whose buffers stay with their owner until the loop releases it.
func (m *spy) held(b *wildtrain.Batch) *wildtrain.Batch {
	if m.keeps {
		return wildtrain.NewBatch(b.Pixels, b.Samples, nil)
	}
	return b
}

func (m *spy) TrainStep(ctx context.Context, b *wildtrain.Batch, s wildtrain.Step) (wildtrain.Losses, error) {
	m.steps = append(m.steps, s)
	return m.Linear.TrainStep(ctx, m.held(b), s)
}

func (m *spy) Evaluate(ctx context.Context, b *wildtrain.Batch) (wildtrain.Losses, []wildtrain.Prediction, error) {
	l, p, err := m.Linear.Evaluate(ctx, m.held(b))
	if m.forgetful {
		p = p[1:]
	}
	return l, p, err
}

func (m *spy) Average(decay float64) error {
	m.averages = append(m.averages, decay)
	return m.Linear.Average(decay)
}

func (m *spy) Optimizer(c wildtrain.OptimizerConfig) (wildtrain.Optimizer, error) {
	m.config = c
	o, err := m.Linear.Optimizer(c)
	return &spyOptimizer{o, m}, err
}

type spyOptimizer struct {
	wildtrain.Optimizer
	m *spy
}

func (o *spyOptimizer) ZeroGrad() {
	o.m.zeroed++
	o.Optimizer.ZeroGrad()
}

func (o *spyOptimizer) Step(c wildtrain.Clip) (wildtrain.Report, error) {
	o.m.clips = append(o.m.clips, c)
	o.m.groups = append(o.m.groups, o.Groups()...)
	if o.m.skip != nil && o.m.skip(len(o.m.clips)) {
		return wildtrain.Report{Skipped: true}, nil
	}
	return o.Optimizer.Step(c)
}

// 7 batches of 8 pictures, nominal 24: windows of 3, 3 and, at the epoch's end, 1.
func TestCallsOfAnEpoch(t *testing.T) {
	data := wildtraintest.NewBlobs(56, 8)
	m := newSpy(data)
	cfg := small(2)
	cfg.NominalBatch, cfg.WarmupEpochs, cfg.AverageAccumulated = 24, 0, true
	cfg.ClipNorm, cfg.ClipValue = 3, 0.5
	opt := wildtrain.DefaultOptimizer("SGD")
	cfg.Batch = 10 // not what the batches hold, to show in the decay: 10·round(24/10)/24
	res, err := trainer(t, cfg, wildtrain.WithOptimizer(opt)).Fit(t.Context(), m, data)
	require.NoError(t, err)

	require.InDelta(t, 5e-4*20/24, m.config.WeightDecay, 1e-15)
	var sync []bool
	var scale []float64
	var number []int64
	for _, s := range m.steps[:7] {
		sync, scale, number = append(sync, s.Sync), append(scale, s.Scale), append(number, s.Number)
	}
	require.Equal(t, []bool{false, true, false, true, false, true, true}, sync)
	require.Equal(t, []float64{.5, .5, .5, .5, .5, .5, 1}, scale)
	require.Equal(t, []int64{0, 0, 1, 1, 2, 2, 3}, number)
	require.Equal(t, int64(8), res.Progress.Step)
	require.Len(t, m.clips, 8)
	require.Equal(t, wildtrain.Clip{Norm: 3, Value: 0.5}, m.clips[0])
	require.Equal(t, 9, m.zeroed, "once at the beginning, then after every step")

	// Average: a copy at first, then 0.9999·(1−exp(−n/10)).
	require.Len(t, m.averages, 9)
	require.Zero(t, m.averages[0])
	for n, d := range m.averages[1:] {
		require.InDelta(t, 0.9999*(1-math.Exp(-float64(n+1)/10)), d, 1e-15)
	}
	require.Equal(t, int64(8), res.Progress.Averages)

	// Learning rates: epoch 0 at the full rate, epoch 1 at (1+0.01)/2 of it.
	require.Equal(t, 0.01, m.groups[0].LR)
	require.InDelta(t, 0.00505, m.groups[len(m.groups)-1].LR, 1e-15)
	require.InDelta(t, 0.00505, value(t, res.History[1].Values, "lr/biases"), 1e-15)
	require.InDelta(t, 5e-4*20/24, m.groups[0].Decay, 1e-15)
	require.Zero(t, m.groups[1].Decay)
}

func TestReportAndRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := wildtraintest.NewBlobs(40, 8)
		m := wildtraintest.ForBlobs(data, 1)
		m.Hook = func(int, *wildtrain.Batch) error {
			time.Sleep(2 * time.Second)
			return nil
		}
		cfg := small(1)
		cfg.NominalBatch, cfg.WarmupEpochs = 16, 0
		var reported []bool
		res, err := trainer(t, cfg, wildtrain.WithCallbacks(on(wildtrain.StepEnd, func(e *wildtrain.Event) error {
			reported = append(reported, e.Report != nil && e.Report.GradNorm > 0)
			return nil
		}), on(wildtrain.ValidateStep, func(*wildtrain.Event) error {
			time.Sleep(time.Hour) // validation does not count
			return nil
		}))).Fit(t.Context(), m, data)
		require.NoError(t, err)
		require.Equal(t, []bool{false, true, false, true, true}, reported)
		require.InDelta(t, 4, value(t, res.History[0].Values, "time/images_per_second"), 1e-9)
	})
}

// The first step of a warm-up has no learning rate but for the biases.
func TestWarmupReachesTheOptimizer(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	m := newSpy(data)
	cfg := small(4)
	cfg.NominalBatch, cfg.WarmupEpochs = 0, 2 // 10 batches
	_, err := trainer(t, cfg).Fit(t.Context(), m, data)
	require.NoError(t, err)
	require.Equal(t, wildtrain.Group{Name: "weights", Role: wildtrain.Weights, LR: 0, Momentum: 0.8, Decay: 5e-4, Parameters: 48}, m.groups[0])
	require.Equal(t, 0.1, m.groups[1].LR)
	half, factor := m.groups[2*5], 1-0.99/4
	require.InDelta(t, 0.01*factor/2, half.LR, 1e-15)
	require.InDelta(t, 0.8685, half.Momentum, 1e-15)
	require.Equal(t, 0.937, m.groups[2*10].Momentum)
}

// The logged training loss is the mean over this epoch's batches, no more.
func TestTrainLossIsTheEpochsMean(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	var sums [2]float64
	res, err := trainer(t, small(2), wildtrain.WithCallbacks(on(wildtrain.StepEnd, func(e *wildtrain.Event) error {
		v, err := e.Losses.Values()
		sums[e.Progress.Epoch] += v[0]
		return err
	}))).Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.NoError(t, err)
	for i, sum := range sums {
		require.InDelta(t, sum/5, value(t, res.History[i].Values, "train/loss"), 1e-12)
	}
}

func TestValidationInterval(t *testing.T) {
	data := wildtraintest.NewBlobs(24, 8)
	cfg := small(5)
	cfg.ValidateEvery, cfg.Patience = 2, 1
	cfg.Mode = "min" // accuracy is never lower than at first: epochs 4 and 5 are no better
	var validated []int
	res, err := trainer(t, cfg, wildtrain.WithCallbacks(on(wildtrain.ValidateStart, func(e *wildtrain.Event) error {
		validated = append(validated, e.Progress.Epoch+1)
		return nil
	}))).Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.NoError(t, err)
	require.Equal(t, []int{2, 4}, validated)
	require.Equal(t, 4, res.Progress.Epoch, "patience is asked where there was a validation")

	cfg.Patience, validated = 0, nil
	_, err = trainer(t, cfg, wildtrain.WithCallbacks(on(wildtrain.ValidateStart, func(e *wildtrain.Event) error {
		validated = append(validated, e.Progress.Epoch+1)
		return nil
	}))).Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.NoError(t, err)
	require.Equal(t, []int{2, 4, 5}, validated, "the last epoch is always validated")
}

func TestSavePeriod(t *testing.T) {
	data := wildtraintest.NewBlobs(24, 8)
	saver := &wildtraintest.Memory{}
	cfg := small(4)
	cfg.SavePeriod, cfg.Mode = 2, "min"
	_, err := trainer(t, cfg, wildtrain.WithSaver(saver)).Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.NoError(t, err)
	require.Equal(t, []string{"best", "last", "epoch0002", "last", "last", "epoch0004", "last"}, saver.Order)
}

// A callback that is interrupted by the cancellation is no failure of its own.
func TestCancelledCallback(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	saver := &wildtraintest.Memory{}
	slow := wildtrain.CallbackFunc(func(ctx context.Context, e *wildtrain.Event) error {
		if e.Kind == wildtrain.EpochEnd {
			cancel()
			return ctx.Err() // as an upload would
		}
		return nil
	})
	res, err := trainer(t, small(3), wildtrain.WithSaver(saver), wildtrain.WithCallbacks(slow)).Fit(ctx, wildtraintest.ForBlobs(data, 1), data)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "fit: cancelled in epoch 2")
	require.NotNil(t, res)
	require.Equal(t, 1, res.Progress.Epoch)
}

func TestSkippedSteps(t *testing.T) {
	data := wildtraintest.NewBlobs(80, 8)
	cfg := small(2)
	cfg.NominalBatch, cfg.SkippedSteps = 0, 3
	m := newSpy(data)
	m.skip = func(step int) bool { return step%4 != 0 } // three, then one that works
	res, err := trainer(t, cfg).Fit(t.Context(), m, data)
	require.NoError(t, err)
	require.Equal(t, int64(15), res.Progress.Skipped)
	require.Equal(t, int64(5), res.Progress.Step)
	require.Len(t, m.averages, 6, "a skipped step leaves the average")

	m = newSpy(data)
	m.skip = func(step int) bool { return step > 2 }
	_, err = trainer(t, cfg).Fit(t.Context(), m, data)
	require.ErrorIs(t, err, wildtrain.ErrNonFinite)
	require.ErrorContains(t, err, "epoch 1, batch 6: 4 steps in a row")
}

// Single bad batches are tolerated again and again, so many in a row are not.
func TestNonFiniteInARow(t *testing.T) {
	data := wildtraintest.NewBlobs(80, 8)
	cfg := small(1)
	cfg.NonFinite, cfg.NominalBatch = 1, 0
	run := func(bad ...int) error {
		_, err := trainer(t, cfg).Fit(t.Context(), &poisoned{Linear: wildtraintest.ForBlobs(data, 1), bad: bad}, data)
		return err
	}
	require.NoError(t, run(2, 4, 6))
	err := run(2, 5, 6)
	require.ErrorIs(t, err, wildtrain.ErrNonFinite)
	require.ErrorContains(t, err, "batch 6 ")
}

type poisoned struct {
	*wildtraintest.Linear
	bad   []int
	calls int
}

func (m *poisoned) TrainStep(ctx context.Context, b *wildtrain.Batch, s wildtrain.Step) (wildtrain.Losses, error) {
	m.calls++
	l, err := m.Linear.TrainStep(ctx, b, s)
	for _, n := range m.bad {
		if n == m.calls {
			l = wildtrain.LossValues{Keys: []string{"loss"}, Numbers: []float64{math.Inf(1)}}
		}
	}
	return l, err
}

// A model that forgets to release batches must not starve the loader.
func TestTheLoopReleasesToo(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	m := newSpy(data)
	m.keeps = true
	_, err := trainer(t, small(2)).Fit(t.Context(), m, data)
	require.NoError(t, err)
	require.Equal(t, data.Yielded, data.Released)
	require.NotZero(t, data.Yielded)
}

func TestMissingPrediction(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	m := newSpy(data)
	m.forgetful = true
	l, err := wildtrain.NewTrainer(small(1)) // without a metric that would notice
	require.NoError(t, err)
	_, err = l.Validate(t.Context(), m, data)
	require.ErrorContains(t, err, "7 predictions for 8 samples")
}

// A loader that ends too early must not pass for an epoch.
func TestShortLoader(t *testing.T) {
	data := short{wildtraintest.NewBlobs(40, 8)}
	_, err := trainer(t, small(1)).Fit(t.Context(), wildtraintest.ForBlobs(data.Blobs, 1), data)
	require.ErrorContains(t, err, "load epoch 1: the loader ended after 2 of 5 batches")
}

type short struct{ *wildtraintest.Blobs }

func (d short) Loader(s wildtrain.Stage, at wildtrain.Position) (wildtrain.Loader, error) {
	l, err := d.Blobs.Loader(s, at)
	return shortLoader{l}, err
}

type shortLoader struct{ wildtrain.Loader }

func (l shortLoader) Batches(ctx context.Context) iter.Seq2[*wildtrain.Batch, error] {
	return func(yield func(*wildtrain.Batch, error) bool) {
		n := 0
		for b, err := range l.Loader.Batches(ctx) {
			if !yield(b, err) {
				return
			}
			if n++; n == 2 {
				return
			}
		}
	}
}

// Gradients that a model has from before are not part of the first step.
func TestOldGradientsAreForgotten(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	fit := func(dirty bool) wildtrain.State {
		m := wildtraintest.ForBlobs(data, 1)
		m.Dropout = 0
		if dirty {
			l, err := data.Loader(wildtrain.Train, wildtrain.Position{})
			require.NoError(t, err)
			for b := range l.Batches(t.Context()) {
				_, err := m.TrainStep(t.Context(), b, wildtrain.Step{Scale: 100})
				require.NoError(t, err)
				break
			}
			random, err := wildtraintest.ForBlobs(data, 1).RandomState()
			require.NoError(t, err)
			require.NoError(t, m.SetRandomState(random))
		}
		_, err := trainer(t, small(1)).Fit(t.Context(), m, data)
		require.NoError(t, err)
		return m.State()
	}
	diff, err := wildtraintest.Diff(fit(false), fit(true))
	require.NoError(t, err)
	require.Empty(t, diff)
}

// libtorch's worker threads belong to the thread that calls it: the loop must
// not wander.
func TestFitStaysOnOneThread(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	m := wildtraintest.ForBlobs(data, 1)
	busy, stop := make(chan struct{}), make(chan struct{})
	for range 4 * runtime.GOMAXPROCS(0) { // others that want the threads
		go func() {
			for {
				select {
				case <-stop:
					return
				case busy <- struct{}{}:
				case <-busy:
				}
			}
		}()
	}
	defer close(stop)
	threads := map[int]bool{}
	m.Hook = func(int, *wildtrain.Batch) error {
		threads[threadID()] = true
		return nil
	}
	_, err := trainer(t, small(4)).Fit(t.Context(), m, data)
	require.NoError(t, err)
	require.Len(t, threads, 1)
}

// What is not a number is never the best, not even the first time.
func TestBestIsANumber(t *testing.T) {
	data := wildtraintest.NewBlobs(24, 8)
	epoch := 0
	odd := oddMetric(func() float64 {
		epoch++
		return []float64{math.NaN(), math.Inf(1), 0.5, math.NaN(), 0.25}[epoch-1]
	})
	saver := &wildtraintest.Memory{}
	l, err := wildtrain.NewTrainer(small(5), wildtrain.WithMetrics(odd), wildtrain.WithSaver(saver))
	require.NoError(t, err)
	res, err := l.Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.NoError(t, err)
	require.Equal(t, 0.5, res.Best)
	require.Equal(t, 3, res.Progress.BestEpoch)
	require.Equal(t, 2, res.Progress.SinceBest)
	require.Equal(t, []string{"last", "last", "best", "last", "last", "last"}, saver.Order)
}

type oddMetric func() float64

func (oddMetric) Name() string                                            { return "odd" }
func (oddMetric) Reset()                                                  {}
func (oddMetric) Update([]wildtrain.Prediction, []wildtrain.Sample) error { return nil }
func (m oddMetric) Compute() ([]wildtrain.Value, error) {
	return []wildtrain.Value{{Name: "odd", Value: m()}}, nil
}

func TestNoResultWithoutGoodOrder(t *testing.T) {
	data := wildtraintest.NewBlobs(40, 8)
	boom := errors.New("boom")
	res, err := trainer(t, small(1), wildtrain.WithCallbacks(on(wildtrain.FitEnd, func(*wildtrain.Event) error { return boom }))).
		Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.ErrorIs(t, err, boom, "a failure at the very end is told")
	require.NotNil(t, res, "but what was trained is there")
}

// scheduled is a model whose loss goes by the epoch.
type scheduled struct {
	*spy
	told [][3]int // epoch, of so many, and the batches that came before
}

func (m *scheduled) Schedule(epoch, epochs int) {
	m.told = append(m.told, [3]int{epoch, epochs, len(m.steps)})
}

// A Scheduled model is told each epoch before its first batch, also where a run goes on.
func TestScheduledModelsAreToldTheEpoch(t *testing.T) {
	data, saver := wildtraintest.NewBlobs(60, 8), &wildtraintest.Memory{}
	stop := wildtrain.CallbackFunc(func(_ context.Context, e *wildtrain.Event) error {
		if e.Kind == wildtrain.EpochEnd && e.Progress.Epoch == 2 {
			return wildtrain.ErrStop
		}
		return nil
	})
	m := &scheduled{spy: newSpy(data)}
	_, err := trainer(t, small(3), wildtrain.WithSaver(saver), wildtrain.WithCallbacks(stop)).Fit(t.Context(), m, data)
	require.NoError(t, err)
	require.Equal(t, [][3]int{{0, 3, 0}, {1, 3, 8}}, m.told)
	again := &scheduled{spy: newSpy(data)}
	_, err = trainer(t, small(3), wildtrain.WithSaver(saver), wildtrain.WithResume()).Fit(t.Context(), again, data)
	require.NoError(t, err)
	require.Equal(t, [][3]int{{2, 3, 0}}, again.told)
}
