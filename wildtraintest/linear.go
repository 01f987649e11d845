package wildtraintest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// Linear is a Model: softmax regression on pixels, trained by stochastic
// gradient descent in float64, with dropout on its input, a moving average and
// a random state. It is small, it learns, and it does the same thing every time.
type Linear struct {
	Dropout float64 // share of inputs set to zero in training
	// Hook is called as a training step begins, with the number of the call from
	// 1; an error or panic of it is the step's.
	Hook func(call int, b *wildtrain.Batch) error
	// Poison makes loss and gradient of this call NaN; 0: none.
	Poison int

	names    []string
	inputs   int
	weight   []float64 // classes × inputs
	bias     []float64
	gradW    []float64
	gradB    []float64
	averageW []float64 // nil before the first Average
	averageB []float64
	random   *rand.PCG
	calls    int
	closed   bool
}

var (
	_ wildtrain.Model      = (*Linear)(nil)
	_ wildtrain.Evaluator  = (*Linear)(nil)
	_ wildtrain.Averager   = (*Linear)(nil)
	_ wildtrain.Randomizer = (*Linear)(nil)
)

// NewLinear makes a model for pictures of so many pixel values, with small
// random weights.
func NewLinear(classes []string, inputs int, seed uint64) *Linear {
	m := &Linear{
		Dropout: 0.1, names: classes, inputs: inputs, random: rand.NewPCG(seed, 1),
		weight: make([]float64, len(classes)*inputs), bias: make([]float64, len(classes)),
		gradW: make([]float64, len(classes)*inputs), gradB: make([]float64, len(classes)),
	}
	r := rand.New(rand.NewPCG(seed, 2))
	for i := range m.weight {
		m.weight[i] = r.NormFloat64() * 0.01
	}
	return m
}

// ForBlobs makes a model that fits the data.
func ForBlobs(d *Blobs, seed uint64) *Linear {
	return NewLinear(wildtrain.Names(d.Classes()), d.Size*d.Size, seed)
}

// Describe implements wildtrain.Model.
func (m *Linear) Describe() wildtrain.Description {
	return wildtrain.Description{
		Task: "classification", Architecture: "linear", Classes: slices.Clone(m.names),
		Parameters: int64(len(m.weight) + len(m.bias)),
	}
}

// TrainStep implements wildtrain.Model. The loss is the sum of the pictures'
// cross-entropies.
func (m *Linear) TrainStep(_ context.Context, b *wildtrain.Batch, s wildtrain.Step) (wildtrain.Losses, error) {
	defer b.Release()
	m.calls++
	if m.Hook != nil {
		if err := m.Hook(m.calls, b); err != nil {
			return nil, err
		}
	}
	x, err := m.features(b)
	if err != nil {
		return nil, err
	}
	r := rand.New(m.random)
	total, correct := 0.0, 0.0
	for i, row := range x {
		for j := range row {
			if r.Float64() < m.Dropout {
				row[j] = 0
			} else {
				row[j] /= 1 - m.Dropout
			}
		}
		p := m.probabilities(row)
		loss, hit := crossEntropy(p, b.Samples[i].Targets)
		total, correct = total+loss, correct+hit
		m.backward(row, p, b.Samples[i].Targets, s.Scale)
	}
	if m.calls == m.Poison {
		total, m.gradB[0] = math.NaN(), math.NaN()
	}
	return wildtrain.LossValues{Keys: []string{"loss", "wrong"}, Numbers: []float64{total, float64(len(x)) - correct}}, nil
}

func (m *Linear) backward(x, p []float64, targets []wildtrain.Target, scale float64) {
	d := slices.Clone(p)
	for _, t := range targets {
		d[t.Class] -= float64(t.Weight)
	}
	for k, dk := range d {
		m.gradB[k] += scale * dk
		for j, v := range x {
			m.gradW[k*m.inputs+j] += scale * dk * v
		}
	}
}

// Predict implements wildtrain.Model.
func (m *Linear) Predict(ctx context.Context, b *wildtrain.Batch) ([]wildtrain.Prediction, error) {
	_, p, err := m.Evaluate(ctx, b)
	return p, err
}

// Evaluate implements wildtrain.Evaluator.
func (m *Linear) Evaluate(ctx context.Context, b *wildtrain.Batch) (wildtrain.Losses, []wildtrain.Prediction, error) {
	defer b.Release()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	x, err := m.features(b)
	if err != nil {
		return nil, nil, err
	}
	out := make([]wildtrain.Prediction, len(x))
	total := 0.0
	for i, row := range x {
		p := m.probabilities(row)
		loss, _ := crossEntropy(p, b.Samples[i].Targets)
		total += loss
		out[i].ID = b.Samples[i].ID
		for _, v := range p {
			out[i].Probs = append(out[i].Probs, float32(v))
		}
	}
	return wildtrain.LossValues{Keys: []string{"loss"}, Numbers: []float64{total}}, out, nil
}

// features copies the pixels, 0…1, and releases the batch.
func (m *Linear) features(b *wildtrain.Batch) ([][]float64, error) {
	if m.closed {
		return nil, errors.New("wildtraintest: linear: the model is closed")
	}
	p := b.Pixels
	n := p.Height * p.Width * p.Channels
	if n != m.inputs || p.U8 == nil {
		return nil, fmt.Errorf("wildtraintest: linear: pictures of %d 8-bit values, want %d", n, m.inputs)
	}
	x := make([][]float64, p.N)
	for i := range x {
		x[i] = make([]float64, n)
		for j, v := range p.U8[i*n : (i+1)*n] {
			x[i][j] = float64(v) / 255
		}
	}
	b.Release()
	return x, nil
}

func (m *Linear) probabilities(x []float64) []float64 {
	p := slices.Clone(m.bias)
	for k := range p {
		for j, v := range x {
			p[k] += m.weight[k*m.inputs+j] * v
		}
	}
	top, sum := slices.Max(p), 0.0
	for k := range p {
		p[k] = math.Exp(p[k] - top)
		sum += p[k]
	}
	for k := range p {
		p[k] /= sum
	}
	return p
}

func crossEntropy(p []float64, targets []wildtrain.Target) (loss, hit float64) {
	best := slices.Index(p, slices.Max(p))
	for _, t := range targets {
		loss -= float64(t.Weight) * math.Log(max(p[t.Class], 1e-300))
		if t.Class == best {
			hit += float64(t.Weight)
		}
	}
	return loss, hit
}

// State implements wildtrain.Model.
func (m *Linear) State() wildtrain.State {
	return newFloats("linear.bias", m.bias, nil, "linear.weight", m.weight, []int64{int64(len(m.names)), int64(m.inputs)})
}

// Average implements wildtrain.Averager.
func (m *Linear) Average(decay float64) error {
	if m.averageW == nil {
		m.averageW, m.averageB = slices.Clone(m.weight), slices.Clone(m.bias)
		return nil
	}
	for i, v := range m.weight {
		m.averageW[i] = decay*m.averageW[i] + (1-decay)*v
	}
	for i, v := range m.bias {
		m.averageB[i] = decay*m.averageB[i] + (1-decay)*v
	}
	return nil
}

// Averaged implements wildtrain.Averager.
func (m *Linear) Averaged() wildtrain.State {
	if m.averageW == nil {
		return nil
	}
	return newFloats("linear.bias", m.averageB, nil, "linear.weight", m.averageW, []int64{int64(len(m.names)), int64(m.inputs)})
}

// WithAverage implements wildtrain.Averager.
func (m *Linear) WithAverage(fn func() error) error {
	if m.averageW == nil {
		return errors.New("wildtraintest: linear: there is no average yet")
	}
	w, b := m.weight, m.bias
	m.weight, m.bias = m.averageW, m.averageB
	defer func() { m.weight, m.bias = w, b }()
	return fn()
}

// RandomState implements wildtrain.Randomizer.
func (m *Linear) RandomState() ([]byte, error) { return m.random.MarshalBinary() }

// SetRandomState implements wildtrain.Randomizer.
func (m *Linear) SetRandomState(b []byte) error { return m.random.UnmarshalBinary(b) }

// Close implements wildtrain.Model.
func (m *Linear) Close() error {
	m.closed = true
	return nil
}

// floats is a State over slices of float64, which it shares.
type floats struct {
	names  []string
	values map[string][]float64
	shapes map[string][]int64
}

// newFloats takes name, values, shape in turn; a nil shape is one dimension.
func newFloats(entries ...any) *floats {
	f := &floats{values: map[string][]float64{}, shapes: map[string][]int64{}}
	for i := 0; i < len(entries); i += 3 {
		name, values := entries[i].(string), entries[i+1].([]float64)
		shape, _ := entries[i+2].([]int64)
		if shape == nil {
			shape = []int64{int64(len(values))}
		}
		f.names, f.values[name], f.shapes[name] = append(f.names, name), values, shape
	}
	slices.Sort(f.names)
	return f
}

func (f *floats) Names() []string { return slices.Clone(f.names) }

func (f *floats) Info(name string) (wildtrain.Info, bool) {
	shape, ok := f.shapes[name]
	return wildtrain.Info{DType: wildtrain.Float64, Shape: shape}, ok
}

func (f *floats) get(name string, n int) ([]float64, error) {
	v, ok := f.values[name]
	if !ok || n != 8*len(v) {
		return nil, fmt.Errorf("wildtraintest: tensor %q: no such name, or a buffer of %d bytes for %d values", name, n, len(v))
	}
	return v, nil
}

func (f *floats) Read(name string, dst []byte) error {
	v, err := f.get(name, len(dst))
	for i, x := range v {
		binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(x))
	}
	return err
}

func (f *floats) Write(name string, src []byte) error {
	v, err := f.get(name, len(src))
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
	}
	return err
}
