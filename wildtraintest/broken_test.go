package wildtraintest

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

// The suites are worth something only if they find broken implementations. Each
// test breaks one promise and names the property that must notice.

func requireFound(t *testing.T, want string, checks []check) {
	t.Helper()
	name, err := firstFailure(t.Context(), checks)
	require.Error(t, err)
	require.Equal(t, want, name, "found by another property: %v", err)
}

// alteredLoader changes what a loader does.
type alteredLoader struct {
	wildtrain.Loader
	length  int
	batches func(ctx context.Context) iter.Seq2[*wildtrain.Batch, error]
}

func (l alteredLoader) Len() int { return l.Loader.Len() + l.length }

func (l alteredLoader) Batches(ctx context.Context) iter.Seq2[*wildtrain.Batch, error] {
	if l.batches == nil {
		return l.Loader.Batches(ctx)
	}
	return l.batches(ctx)
}

func TestBrokenLoadersAreFound(t *testing.T) {
	data := NewBlobs(40, 4)
	load := func(at wildtrain.Position) wildtrain.Loader {
		l, err := data.Loader(wildtrain.Train, at)
		require.NoError(t, err)
		return l
	}
	for want, f := range map[string]func(at wildtrain.Position, workers int) wildtrain.Loader{
		"yields Len batches of consistent shape": func(at wildtrain.Position, _ int) wildtrain.Loader {
			return alteredLoader{Loader: load(at), length: 1}
		},
		"does not depend on the number of workers": func(at wildtrain.Position, workers int) wildtrain.Loader {
			if workers > 1 {
				at.Epoch += 7
			}
			return load(at)
		},
		"one loader can be walked twice": func(at wildtrain.Position, _ int) wildtrain.Loader {
			inner, walks := load(at), 0
			return alteredLoader{Loader: inner, batches: func(ctx context.Context) iter.Seq2[*wildtrain.Batch, error] {
				if walks++; walks > 1 {
					at.Epoch = 99
				}
				return load(at).Batches(ctx)
			}}
		},
		"a position in the epoch gives the rest of it": func(at wildtrain.Position, _ int) wildtrain.Loader {
			at.Batch = 0
			return load(at)
		},
		"ranks share the samples out": func(at wildtrain.Position, _ int) wildtrain.Loader {
			if at.World > 1 {
				at.Rank = 0
			}
			return load(at)
		},
		"pixels stay until Release": func(at wildtrain.Position, _ int) wildtrain.Loader {
			inner := load(at)
			return alteredLoader{Loader: inner, batches: func(ctx context.Context) iter.Seq2[*wildtrain.Batch, error] {
				return func(yield func(*wildtrain.Batch, error) bool) {
					var buffer []uint8 // one for all batches
					for b, err := range inner.Batches(ctx) {
						if err == nil {
							buffer = append(buffer[:0], b.Pixels.U8...)
							b.Pixels.U8 = buffer
						}
						if !yield(b, err) {
							return
						}
					}
				}
			}}
		},
		"break ends the workers": func(at wildtrain.Position, _ int) wildtrain.Loader {
			inner := load(at)
			return alteredLoader{Loader: inner, batches: func(ctx context.Context) iter.Seq2[*wildtrain.Batch, error] {
				return func(yield func(*wildtrain.Batch, error) bool) {
					for b, err := range inner.Batches(ctx) {
						if !yield(b, err) {
							go func() { <-t.Context().Done() }() // a worker that waits to hand out the next batch
							return
						}
					}
				}
			}}
		},
		"cancellation ends with the context's error": func(at wildtrain.Position, _ int) wildtrain.Loader {
			inner := load(at)
			return alteredLoader{Loader: inner, batches: func(ctx context.Context) iter.Seq2[*wildtrain.Batch, error] {
				return func(yield func(*wildtrain.Batch, error) bool) {
					for b, err := range inner.Batches(ctx) {
						if err != nil || !yield(b, nil) {
							return // ends silently, as if the epoch were over
						}
					}
				}
			}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			requireFound(t, want, loaderChecks(func(at wildtrain.Position, workers int) (wildtrain.Loader, error) {
				return f(at, workers), nil
			}))
		})
	}
}

// alteredState changes what a state does.
type alteredState struct {
	wildtrain.State
	names func([]string) []string
	read  func(name string, dst []byte) error
	write func(name string, src []byte) error
}

func (s alteredState) Names() []string {
	if s.names != nil {
		return s.names(s.State.Names())
	}
	return s.State.Names()
}

func (s alteredState) Read(name string, dst []byte) error {
	if s.read != nil {
		return s.read(name, dst)
	}
	return s.State.Read(name, dst)
}

func (s alteredState) Write(name string, src []byte) error {
	if s.write != nil {
		return s.write(name, src)
	}
	return s.State.Write(name, src)
}

func TestBrokenStatesAreFound(t *testing.T) {
	for want, alter := range map[string]func(s *Tensors) wildtrain.State{
		"names are sorted and unique": func(s *Tensors) wildtrain.State {
			return alteredState{State: s, names: func(n []string) []string { slices.Reverse(n); return n }}
		},
		"every name has an info of a known type": func(s *Tensors) wildtrain.State {
			return alteredState{State: s, names: func(n []string) []string { return append(n, "z.more") }}
		},
		"written data comes back": func(s *Tensors) wildtrain.State { // two names, one storage
			return alteredState{State: s, write: func(name string, src []byte) error {
				return s.Write("a", src)
			}}
		},
		"an unknown name is an error": func(s *Tensors) wildtrain.State {
			return alteredState{State: s, read: func(name string, dst []byte) error {
				if _, ok := s.Info(name); !ok {
					return nil
				}
				return s.Read(name, dst)
			}}
		},
		"a wrong length is an error that changes nothing": func(s *Tensors) wildtrain.State {
			return alteredState{State: s, read: func(name string, dst []byte) error {
				full := make([]byte, 8)
				err := s.Read(name, full)
				copy(dst, full)
				return err
			}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			s := &Tensors{}
			s.AddFloat32("a", []int64{2}, 1, 2)
			s.AddFloat32("b", []int64{2}, 3, 4)
			requireFound(t, want, stateChecks(alter(s)))
		})
	}
}

// alteredSaver changes what a saver does.
type alteredSaver struct {
	*Memory
	save func(ctx context.Context, s *wildtrain.Snapshot) (string, error)
	load func(ctx context.Context, which string, s *wildtrain.Snapshot) error
}

func (a alteredSaver) Save(ctx context.Context, s *wildtrain.Snapshot) (string, error) {
	if a.save != nil {
		return a.save(ctx, s)
	}
	return a.Memory.Save(ctx, s)
}

func (a alteredSaver) Load(ctx context.Context, which string, s *wildtrain.Snapshot) error {
	if a.load != nil {
		return a.load(ctx, which, s)
	}
	return a.Memory.Load(ctx, which, s)
}

func TestBrokenSaversAreFound(t *testing.T) {
	for want, alter := range map[string]func(m *Memory) alteredSaver{
		"a snapshot comes back bit by bit": func(m *Memory) alteredSaver {
			return alteredSaver{Memory: m, save: func(ctx context.Context, s *wildtrain.Snapshot) (string, error) {
				s.Progress.LossCount = 0 // a counter that was forgotten
				return m.Save(ctx, s)
			}}
		},
		"saving again replaces": func(m *Memory) alteredSaver {
			return alteredSaver{Memory: m, save: func(ctx context.Context, s *wildtrain.Snapshot) (string, error) {
				if _, ok := m.Get(s.Which); ok {
					return "there already", nil
				}
				return m.Save(ctx, s)
			}}
		},
		"best does not touch last": func(m *Memory) alteredSaver {
			return alteredSaver{Memory: m, save: func(ctx context.Context, s *wildtrain.Snapshot) (string, error) {
				s.Which = "last"
				return m.Save(ctx, s)
			}}
		},
		"a save that fails leaves the previous one": func(m *Memory) alteredSaver {
			return alteredSaver{Memory: m, save: func(ctx context.Context, s *wildtrain.Snapshot) (string, error) {
				path, err := m.Save(ctx, s)
				if err != nil {
					half := *s
					half.Optimizer = nil
					if _, err := m.Save(ctx, &half); err != nil {
						return "", err
					}
				}
				return path, err
			}}
		},
		"a model of another shape is an error": func(m *Memory) alteredSaver {
			return alteredSaver{Memory: m, load: func(ctx context.Context, which string, s *wildtrain.Snapshot) error {
				if len(s.Model.Names()) == 1 {
					return nil
				}
				return m.Load(ctx, which, s)
			}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			stay := func(s wildtrain.Saver) (wildtrain.Saver, error) { return s, nil }
			requireFound(t, want, resumeChecks(func() (wildtrain.Saver, error) { return alter(&Memory{}), nil }, stay))
		})
	}
}

// brokenModel is Linear with one fault.
type brokenModel struct {
	*Linear
	fault string
}

func (m brokenModel) TrainStep(ctx context.Context, b *wildtrain.Batch, s wildtrain.Step) (wildtrain.Losses, error) {
	switch m.fault {
	case "keeps batches":
		b = wildtrain.NewBatch(b.Pixels, b.Samples, nil)
	case "ignores scale":
		s.Scale = 1
	case "does not accumulate":
		clear(m.gradW)
		clear(m.gradB)
	case "climbs":
		s.Scale = -s.Scale
	}
	return m.Linear.TrainStep(ctx, b, s)
}

func (m brokenModel) Predict(ctx context.Context, b *wildtrain.Batch) ([]wildtrain.Prediction, error) {
	p, err := m.Linear.Predict(ctx, b)
	switch m.fault {
	case "mixes up the order":
		slices.Reverse(p)
	case "learns from predicting":
		m.bias[0]++
	}
	return p, err
}

func (m brokenModel) RandomState() ([]byte, error) {
	if m.fault == "forgets its random state" {
		return NewLinear(nil, 0, 99).RandomState()
	}
	return m.Linear.RandomState()
}

func (m brokenModel) WithAverage(fn func() error) error {
	if m.fault == "does not take the average back" {
		copy(m.weight, m.averageW)
		copy(m.bias, m.averageB)
		return fn()
	}
	return m.Linear.WithAverage(fn)
}

func TestBrokenModelsAreFound(t *testing.T) {
	for fault, want := range map[string]string{
		"keeps batches":                  "a training step gives a loss and releases the batch",
		"ignores scale":                  "gradients add up and follow the loss scale",
		"does not accumulate":            "gradients add up and follow the loss scale",
		"climbs":                         "the loss falls",
		"mixes up the order":             "prediction is sound and changes nothing",
		"learns from predicting":         "prediction is sound and changes nothing",
		"forgets its random state":       "the states are all that a resumed run needs",
		"does not take the average back": "the average is kept and taken back",
	} {
		t.Run(fault, func(t *testing.T) {
			requireFound(t, want, modelChecks(faulty(t, fault)))
		})
	}
}

func faulty(t *testing.T, fault string) ModelCase {
	d := NewBlobs(96, 8)
	seed := uint64(0)
	return ModelCase{
		New: func() (wildtrain.Model, error) {
			seed++
			m := ForBlobs(d, seed)
			if fault != "forgets its random state" {
				m.Dropout = 0
			}
			return brokenModel{Linear: m, fault: fault}, nil
		},
		Batch: func(number int) *wildtrain.Batch {
			l, err := d.Loader(wildtrain.Train, wildtrain.Position{Batch: number})
			require.NoError(t, err)
			for b := range l.Batches(t.Context()) {
				return b
			}
			return nil
		},
		LR: 0.05, Steps: 50, Random: fault == "forgets its random state",
	}
}

// brokenSGD is sgd with one fault.
type brokenSGD struct {
	*sgd
	fault string
}

func (m brokenModel) Optimizer(c wildtrain.OptimizerConfig) (wildtrain.Optimizer, error) {
	o, err := m.Linear.Optimizer(c)
	if err != nil {
		return nil, err
	}
	return brokenSGD{o.(*sgd), m.fault}, nil
}

func (o brokenSGD) Groups() []wildtrain.Group {
	g := o.sgd.Groups()
	if o.fault == "decays biases" {
		g[1].Decay = g[0].Decay
	}
	return g
}

func (o brokenSGD) SetGroup(name string, lr, momentum, decay float64) error {
	if o.fault == "sets any group" {
		_ = o.sgd.SetGroup(name, lr, momentum, decay)
		return nil
	}
	return o.sgd.SetGroup(name, lr, momentum, decay)
}

func (o brokenSGD) Step(clip wildtrain.Clip) (wildtrain.Report, error) {
	if o.fault == "does not clip" {
		clip = wildtrain.Clip{}
	}
	report, err := o.sgd.Step(clip)
	if report.Skipped && o.fault == "hides skipped steps" {
		report.Skipped = false
	}
	return report, err
}

func (o brokenSGD) State() wildtrain.State {
	if o.fault == "keeps no momentum" {
		return newFloats("bias.momentum", o.buffers[1], nil)
	}
	return o.sgd.State()
}

func TestBrokenOptimizersAreFound(t *testing.T) {
	for fault, want := range map[string]string{
		"sets any group":      "groups are stable, named once and can be set",
		"decays biases":       "groups hold the configuration",
		"hides skipped steps": "gradients that are not finite are left out",
		"keeps no momentum":   "the states are all that a resumed run needs",
		"does not clip":       "clipping bounds the step",
	} {
		t.Run(fault, func(t *testing.T) {
			requireFound(t, want, optimizerChecks(faulty(t, fault), wildtrain.DefaultOptimizer("SGD")))
		})
	}
}

// brokenMetric is Accuracy with one fault.
type brokenMetric struct {
	*Accuracy
	fault string
}

func (m brokenMetric) Reset() {
	if m.fault != "remembers" {
		m.Accuracy.Reset()
	}
}

func (m brokenMetric) Update(p []wildtrain.Prediction, s []wildtrain.Sample) error {
	switch m.fault {
	case "takes any lengths":
		n := min(len(p), len(s))
		p, s = p[:n], s[:n]
	case "last batch only":
		m.Accuracy.Reset()
	}
	return m.Accuracy.Update(p, s)
}

func (m brokenMetric) Merge(b []byte) error {
	if m.fault == "merges nothing" && !bytes.HasPrefix(b, []byte{0}) {
		return nil
	}
	return m.Accuracy.Merge(b)
}

func TestBrokenMetricsAreFound(t *testing.T) {
	for fault, want := range map[string]string{
		"remembers":         "Reset forgets",
		"takes any lengths": "lists of different lengths are an error",
		"last batch only":   "cutting into batches does not matter",
		"merges nothing":    "merged halves are the whole",
	} {
		t.Run(fault, func(t *testing.T) {
			requireFound(t, want, metricChecks(
				func() wildtrain.Metric { return brokenMetric{&Accuracy{}, fault} },
				func() (p []wildtrain.Prediction, s []wildtrain.Sample) {
					for i := range 5 {
						p = append(p, wildtrain.Prediction{Probs: []float32{0.4, float32(i) / 4}})
						s = append(s, wildtrain.Sample{Targets: []wildtrain.Target{{Class: 1, Weight: 1}}})
					}
					return p, s
				}))
		})
	}
}
