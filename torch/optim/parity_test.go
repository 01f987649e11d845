package optim_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

// parityFile is testdata/optim.safetensors, which parity/optim.py makes.
type parityFile struct {
	cases      map[string]parityCase
	decay      map[string]float64
	parameters []parityParameter
	tensors    map[string][]float64
}

type parityCase struct {
	Kind         string
	LR, Momentum float64
	Nesterov     bool
	Betas        [2]float64
	Eps, Alpha   float64
	Clip         float64
	Norms        map[string]float64
}

type parityParameter struct {
	name, group string
	shape       []int64
}

func readParity(t *testing.T) (f parityFile) {
	raw, err := os.ReadFile("testdata/optim.safetensors")
	require.NoError(t, err)
	n := binary.LittleEndian.Uint64(raw)
	var header map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(raw[8:8+n], &header))
	data := raw[8+n:]
	var notes map[string]string
	require.NoError(t, json.Unmarshal(header["__metadata__"], &notes))
	require.NoError(t, json.Unmarshal([]byte(notes["cases"]), &f.cases))
	require.NoError(t, json.Unmarshal([]byte(notes["decay"]), &f.decay))
	var parameters [][3]any
	require.NoError(t, json.Unmarshal([]byte(notes["parameters"]), &parameters))
	for _, p := range parameters {
		q := parityParameter{name: p[0].(string), group: p[2].(string), shape: []int64{}}
		for _, d := range p[1].([]any) {
			q.shape = append(q.shape, int64(d.(float64)))
		}
		f.parameters = append(f.parameters, q)
	}
	f.tensors = map[string][]float64{}
	for name, text := range header {
		var entry struct {
			DType       string    `json:"dtype"`
			DataOffsets [2]uint64 `json:"data_offsets"`
		}
		if name == "__metadata__" {
			continue
		}
		require.NoError(t, json.Unmarshal(text, &entry))
		require.Equal(t, "F32", entry.DType)
		for b := data[entry.DataOffsets[0]:entry.DataOffsets[1]]; len(b) > 0; b = b[4:] {
			f.tensors[name] = append(f.tensors[name], float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		}
	}
	return f
}

var parityRoles = map[string]wildtrain.Role{"weight": wildtrain.Weights, "norm": wildtrain.Norms, "bias": wildtrain.Biases}

// 100 gradient sets through warm-up, groups, clipping and a moving average: the
// parameters, the averages and the optimiser's buffers are PyTorch's within 1e-6.
func TestParity(t *testing.T) {
	f := readParity(t)
	require.Contains(t, f.cases, "sgd")
	require.Contains(t, f.cases, "adamw")
	for name, c := range f.cases {
		t.Run(name, func(t *testing.T) {
			torchtest.Handles(t)
			p := &parityRun{file: f, name: name, c: c, store: nn.NewStore(torch.CPU, nil)}
			defer p.store.Close()
			for _, q := range f.parameters {
				x := p.store.Root().Parameter(q.name, parityRoles[q.group], nil, q.shape...)
				require.NoError(t, x.Write(float32Bytes(ruled("optim.start."+q.name, x.Len(), 1))))
			}
			p.train(t)
		})
	}
}

type parityRun struct {
	file  parityFile
	name  string
	c     parityCase
	store *nn.Store
}

func (p *parityRun) config() wildtrain.OptimizerConfig {
	c := wildtrain.OptimizerConfig{Name: p.c.Kind, LR: p.c.LR, Momentum: p.c.Momentum, Nesterov: p.c.Nesterov, Eps: p.c.Eps, Alpha: p.c.Alpha, WeightDecay: p.file.decay["weight"]}
	if strings.HasPrefix(p.c.Kind, "Adam") {
		c.Momentum, c.Beta2 = p.c.Betas[0], p.c.Betas[1]
	}
	return c
}

func (p *parityRun) train(t *testing.T) {
	o, err := optim.New(p.config(), optim.Groups(p.store))
	require.NoError(t, err)
	defer o.Close()
	average := nn.NewAverage(p.store)
	defer average.Close()
	for step := 1; step <= 100; step++ {
		p.schedule(t, o, step)
		o.ZeroGrad()
		p.gradients(t, step)
		report, err := o.Step(wildtrain.Clip{Norm: p.c.Clip})
		require.NoError(t, err)
		require.NoError(t, average.Update(0.9999*(1-math.Exp(-float64(step)/2000))))
		if want, ok := p.c.Norms[strconv.Itoa(step)]; ok {
			require.InEpsilon(t, want, report.GradNorm, 1e-6)
			p.check(t, p.name+"/"+strconv.Itoa(step)+".", p.store.State())
		}
	}
	p.check(t, p.name+"/average.", average.State())
	checked := 0
	for _, n := range o.State().Names() {
		slot, parameter, _ := strings.Cut(n, "/")
		want, ok := p.file.tensors[p.name+"/state."+slot+"."+parameter]
		if ok { // PyTorch keeps no momentum buffer where the momentum is 0
			torchtest.Close(t, n, number(t, o.State(), n), want, 1e-6)
			checked++
		}
	}
	require.True(t, checked > 0 || p.c.Kind == "SGD" && p.c.Momentum == 0)
}

// schedule is the warm-up and the fall of the learning rate of parity/README.md.
func (p *parityRun) schedule(t *testing.T, o *optim.Optimizer, step int) {
	part := float64(step-1) / 20
	for _, g := range o.Groups() {
		lr, momentum := p.c.LR*part, g.Momentum
		switch {
		case step > 20:
			lr = p.c.LR * (1 - 0.99*float64(step-20)/80)
		case p.c.Kind == "SGD" && g.Role == wildtrain.Biases:
			lr = 0.1 + (p.c.LR-0.1)*part
		}
		if p.c.Kind == "SGD" && p.c.Momentum > 0 {
			momentum = p.c.Momentum
			if step <= 20 {
				momentum = 0.8 + (p.c.Momentum-0.8)*part
			}
		}
		require.NoError(t, o.SetGroup(g.Name, lr, momentum, g.Decay))
	}
}

// gradients of the loss Σ parameter·gradient.
func (p *parityRun) gradients(t *testing.T, step int) {
	half := 0.3
	if step%10 == 0 {
		half = 30
	}
	require.NoError(t, torch.Run(t.Context(), torch.CPU, torch.Training, func(s *torch.Scope) error {
		loss := s.Zeros(torch.Float)
		for _, e := range p.store.Entries() {
			g := torch.Of(s, ruled("optim."+strconv.Itoa(step)+"."+e.Name, e.Tensor.Len(), half), e.Tensor.Shape()...)
			loss = loss.Add(s.Borrow(e.Tensor).Mul(g).Sum())
		}
		return loss.Backward()
	}))
}

func (p *parityRun) check(t *testing.T, prefix string, st torch.State) {
	for _, q := range p.file.parameters {
		want, ok := p.file.tensors[prefix+q.name]
		require.True(t, ok, prefix+q.name)
		torchtest.Close(t, prefix+q.name, st[q.name].Float64s(nil), want, 1e-6)
	}
}

func ruled(name string, n int64, half float64) []float32 {
	return rule.Values(name, int(n), 0, half)
}

func float32Bytes(values []float32) []byte {
	out := make([]byte, 0, 4*len(values))
	for _, v := range values {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return out
}

// number reads float32 tensors and int64 counters.
func number(t *testing.T, st wildtrain.State, name string) (out []float64) {
	info, ok := st.Info(name)
	require.True(t, ok)
	raw := make([]byte, info.Bytes())
	require.NoError(t, st.Read(name, raw))
	if info.DType == wildtrain.Int64 {
		return []float64{float64(int64(binary.LittleEndian.Uint64(raw)))}
	}
	for ; len(raw) > 0; raw = raw[4:] {
		out = append(out, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
	}
	return out
}
