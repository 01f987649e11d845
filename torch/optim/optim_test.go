package optim_test

import (
	"context"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

// hash is the pseudo-random number of testdata/make.py.
func hash(k, i int) float32 {
	x := uint32(k)*2654435761 + uint32(i)*40503 + 12345
	x = x*1664525 + 1013904223
	x ^= x >> 13
	x = x*1664525 + 1013904223
	return float32(float64(x)/2147483648 - 1)
}

func filled(k int, n int64, factor float32) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = hash(k, i) * factor
	}
	return out
}

// problem is three parameters of three roles.
type problem struct {
	store *nn.Store
	names []string
}

func newProblem(t testing.TB, channelsLast bool) *problem {
	p := &problem{store: nn.NewStore(torch.CPU, nil), names: []string{"w", "n", "b"}}
	t.Cleanup(func() { require.NoError(t, p.store.Close()) })
	b := p.store.Root()
	b.Parameter("w", wildtrain.Weights, nil, 4, 3, 3, 3)
	b.Parameter("n", wildtrain.Norms, nil, 8)
	b.Parameter("b", wildtrain.Biases, nil, 5)
	if channelsLast {
		require.NoError(t, p.store.ChannelsLast())
	}
	require.NoError(t, torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		for j, e := range p.store.Entries() {
			if err := e.Tensor.CopyFrom(torch.Of(s, filled(j, e.Tensor.Len(), 1), e.Tensor.Shape()...)); err != nil {
				return err
			}
		}
		return s.Err()
	}))
	return p
}

// gradients gives the parameters the gradients of a step, through Backward.
func (p *problem) gradients(t testing.TB, step int) {
	err := torch.Run(context.Background(), torch.CPU, torch.Training, func(s *torch.Scope) error {
		var loss *torch.Tensor
		for j, e := range p.store.Entries() {
			if e.Name == "b" && step%3 == 1 {
				continue
			}
			g := torch.Of(s, filled(1000+step*10+j, e.Tensor.Len(), float32(1+step%7)), e.Tensor.Shape()...)
			part := s.Borrow(e.Tensor).Mul(g).Sum()
			if loss == nil {
				loss = part
			} else {
				loss = loss.Add(part)
			}
		}
		return loss.Backward()
	})
	require.NoError(t, err)
}

func (p *problem) values() map[string][]float64 {
	out := map[string][]float64{}
	for _, e := range p.store.Entries() {
		out[e.Name] = e.Tensor.Float64s(nil)
	}
	return out
}

type result struct {
	Params map[string][]float64 `json:"params"`
	Mean   map[string][]float64 `json:"mean"`
	Norms  []float64            `json:"norms"`
}

type goldens struct {
	Cases  map[string]result `json:"cases"`
	Scales []float64         `json:"scales"`
}

// Goldens: 100 steps against torch.optim, with groups, clipping, a moving
// average, missing gradients and a learning rate that changes.
func TestStepsEqualPyTorch(t *testing.T) {
	var g goldens
	torchtest.Load(t, "optim.json", &g)
	base := func(name string) wildtrain.OptimizerConfig {
		c := wildtrain.DefaultOptimizer(name)
		c.WeightDecay, c.Nesterov, c.Momentum = 0.05, false, 0.9
		return c
	}
	cases := map[string]struct {
		cfg  func() wildtrain.OptimizerConfig
		clip wildtrain.Clip
		ema  float64
	}{
		"sgd":              {cfg: func() wildtrain.OptimizerConfig { c := base("sgd"); c.Momentum = 0; return c }},
		"sgd_momentum":     {cfg: func() wildtrain.OptimizerConfig { return base("SGD") }},
		"sgd_clip_value":   {cfg: func() wildtrain.OptimizerConfig { return base("SGD") }, clip: wildtrain.Clip{Value: 0.5}},
		"adam":             {cfg: func() wildtrain.OptimizerConfig { return base("Adam") }},
		"adamw_clip":       {cfg: func() wildtrain.OptimizerConfig { c := base("adamw"); c.Momentum = 0.937; return c }, clip: wildtrain.Clip{Norm: 3}},
		"rmsprop_momentum": {cfg: func() wildtrain.OptimizerConfig { c := base("RMSprop"); c.LR, c.Alpha = 0.001, 0.9; return c }},
		"rmsprop":          {cfg: func() wildtrain.OptimizerConfig { c := base("RMSprop"); c.LR, c.Momentum = 0.001, 0; return c }},
		"sgd_nesterov_clip_ema": {cfg: func() wildtrain.OptimizerConfig {
			c := base("SGD")
			c.Momentum, c.Nesterov = 0.937, true
			return c
		}, clip: wildtrain.Clip{Norm: 10}, ema: 0.97},
	}
	require.Len(t, cases, len(g.Cases))
	for name, c := range cases {
		for _, channelsLast := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				torchtest.Handles(t)
				want, ok := g.Cases[name]
				require.True(t, ok)
				p := newProblem(t, channelsLast)
				norms, mean := train(t, p, c.cfg(), c.clip, c.ema)
				for n, v := range p.values() {
					torchtest.Close(t, n, v, want.Params[n], 1e-6)
				}
				for n, v := range mean {
					torchtest.Close(t, "mean of "+n, v, want.Mean[n], 1e-6)
				}
				if c.clip.Norm > 0 {
					torchtest.Close(t, "norms", norms, want.Norms, 1e-6)
				}
				w, _ := p.store.Lookup("w")
				require.Equal(t, channelsLast, w.Tensor.ChannelsLast())
			})
		}
	}
}

func train(t *testing.T, p *problem, cfg wildtrain.OptimizerConfig, clip wildtrain.Clip, ema float64) (norms []float64, mean map[string][]float64) {
	o, err := optim.New(cfg, optim.Groups(p.store))
	require.NoError(t, err)
	defer func() { require.NoError(t, o.Close()) }()
	average := nn.NewAverage(p.store)
	defer func() { require.NoError(t, average.Close()) }()
	for step := range 100 {
		if step == 50 {
			require.NoError(t, o.SetGroup("norms", cfg.LR/2, cfg.Momentum, 0))
		}
		o.ZeroGrad()
		p.gradients(t, step)
		report, err := o.Step(clip)
		require.NoError(t, err)
		require.False(t, report.Skipped)
		norms = append(norms, report.GradNorm)
		if ema > 0 {
			require.NoError(t, average.Update(ema))
		}
	}
	if ema > 0 {
		mean = map[string][]float64{}
		for n, v := range average.State() {
			mean[n] = v.Float64s(nil)
		}
	}
	return norms, mean
}

func TestUnknownName(t *testing.T) {
	p := newProblem(t, false)
	_, err := optim.New(wildtrain.OptimizerConfig{Name: "LBFGS"}, optim.Groups(p.store))
	require.ErrorContains(t, err, `"LBFGS"`)
	for _, n := range optim.Names() {
		require.ErrorContains(t, err, n)
	}
}

func TestBadSettings(t *testing.T) {
	torchtest.Handles(t)
	p := newProblem(t, false)
	groups := optim.Groups(p.store)
	for want, c := range map[string]wildtrain.OptimizerConfig{
		"lr is -1":     {Name: "SGD", LR: -1},
		"lr is NaN":    {Name: "SGD", LR: math.NaN()},
		"nesterov":     {Name: "SGD", Nesterov: true},
		"beta2":        {Name: "Adam", Beta2: 1},
		"eps":          {Name: "AdamW", Eps: -1},
		"alpha":        {Name: "RMSprop", Alpha: -1},
		"weight decay": {Name: "SGD", WeightDecay: -1},
	} {
		_, err := optim.New(c, groups)
		require.ErrorContains(t, err, want)
	}
	good := wildtrain.DefaultOptimizer("SGD")
	_, err := optim.New(good, nil)
	require.ErrorContains(t, err, "no parameters")
	_, err = optim.New(good, append(groups, groups[0]))
	require.ErrorContains(t, err, `two groups named "weights"`)
	_, err = optim.New(good, []optim.Group{groups[0], {Name: "again", Entries: groups[0].Entries}})
	require.ErrorContains(t, err, "is in the groups")
}

func TestGroups(t *testing.T) {
	torchtest.Handles(t)
	p := newProblem(t, false)
	require.NoError(t, p.store.Freeze("n"))
	o, err := optim.New(wildtrain.DefaultOptimizer("SGD"), optim.Groups(p.store))
	require.NoError(t, err)
	defer o.Close()
	require.Equal(t, []wildtrain.Group{
		{Name: "weights", Role: wildtrain.Weights, LR: 0.01, Momentum: 0.937, Decay: 5e-4, Parameters: 1},
		{Name: "biases", Role: wildtrain.Biases, LR: 0.01, Momentum: 0.937, Parameters: 1},
	}, o.Groups())
	require.NoError(t, o.SetGroup("biases", 0.1, 0.8, 0.2))
	require.Equal(t, 0.1, o.Groups()[1].LR)
	require.ErrorContains(t, o.SetGroup("norms", 1, 1, 1), `"norms"`)
	require.Error(t, o.SetGroup("biases", math.NaN(), 1, 1))
}

func TestLayerGroups(t *testing.T) {
	p := newProblem(t, false)
	depth := map[string]int{"w": 2, "n": 0, "b": 2}
	groups := optim.LayerGroups(p.store, 0.5, func(name string) int { return depth[name] })
	var names []string
	var factors []float64
	for _, g := range groups {
		names = append(names, g.Name)
		factors = append(factors, g.Factor)
	}
	require.Equal(t, []string{"norms", "weights.2", "biases.2"}, names)
	require.Equal(t, []float64{1, 0.25, 0.25}, factors)
}

// A run that is saved and resumed in the middle, or before the first step, is
// equal to the bit to one that goes through.
func TestResumeIsExact(t *testing.T) {
	for _, name := range optim.Names() {
		for _, stop := range []int{0, 4} {
			t.Run(name, func(t *testing.T) {
				torchtest.Handles(t)
				cfg := wildtrain.DefaultOptimizer(name)
				whole, half, resumed := newProblem(t, true), newProblem(t, true), newProblem(t, true)
				steps := func(p *problem, o wildtrain.Optimizer, from, to int) {
					for i := from; i < to; i++ {
						o.ZeroGrad()
						p.gradients(t, i)
						_, err := o.Step(wildtrain.Clip{Norm: 10})
						require.NoError(t, err)
					}
				}
				open := func(p *problem) *optim.Optimizer {
					o, err := optim.New(cfg, optim.Groups(p.store))
					require.NoError(t, err)
					o.UseScaler(optim.NewScaler())
					return o
				}
				a, b, c := open(whole), open(half), open(resumed)
				defer a.Close()
				defer b.Close()
				defer c.Close()
				steps(whole, a, 0, 9)
				steps(half, b, 0, stop)
				copyState(t, resumed.store.State(), half.store.State())
				copyState(t, c.State(), b.State())
				steps(resumed, c, stop, 9)
				require.Equal(t, whole.values(), resumed.values())
			})
		}
	}
}

func copyState(t *testing.T, dst, src wildtrain.State) {
	require.Equal(t, src.Names(), dst.Names())
	for _, n := range src.Names() {
		info, ok := src.Info(n)
		require.True(t, ok)
		raw := make([]byte, info.Bytes())
		require.NoError(t, src.Read(n, raw))
		require.NoError(t, dst.Write(n, raw))
	}
}

func TestStateNames(t *testing.T) {
	torchtest.Handles(t)
	p := newProblem(t, false)
	o, err := optim.New(wildtrain.DefaultOptimizer("AdamW"), optim.Groups(p.store))
	require.NoError(t, err)
	defer o.Close()
	o.UseScaler(optim.NewScaler())
	st := o.State()
	require.Equal(t, []string{
		"exp_avg/b", "exp_avg/n", "exp_avg/w", "exp_avg_sq/b", "exp_avg_sq/n", "exp_avg_sq/w",
		"scaler/growth_tracker", "scaler/scale", "step/b", "step/n", "step/w",
	}, st.Names())
	info, ok := st.Info("exp_avg/w")
	require.True(t, ok)
	require.Equal(t, wildtrain.Info{DType: wildtrain.Float32, Shape: []int64{4, 3, 3, 3}}, info)
	info, ok = st.Info("step/w")
	require.True(t, ok)
	require.Equal(t, int64(8), info.Bytes())
	require.Error(t, st.Read("step/w", make([]byte, 4)))
	require.Error(t, st.Write("step/w", nil))
	require.Error(t, st.Read("step/x", make([]byte, 8)))
	_, ok = st.Info("step/x")
	require.False(t, ok)
}

// A gradient that is not finite changes nothing, with and without a Scaler.
func TestNonFiniteIsSkipped(t *testing.T) {
	for name, bad := range map[string]float64{"nan": math.NaN(), "inf": math.Inf(-1)} {
		t.Run(name, func(t *testing.T) { checkSkipped(t, bad) })
	}
}

func checkSkipped(t *testing.T, bad float64) {
	torchtest.Handles(t)
	p := newProblem(t, false)
	o, err := optim.New(wildtrain.DefaultOptimizer("AdamW"), optim.Groups(p.store))
	require.NoError(t, err)
	defer o.Close()
	scaler := optim.NewScaler()
	o.UseScaler(scaler)
	before := p.values()
	p.gradients(t, 0)
	w, _ := p.store.Lookup("n")
	require.NoError(t, torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		return s.Borrow(s.Grad(w.Tensor)).Narrow(0, 3, 1).Fill(bad)
	}))
	report, err := o.Step(wildtrain.Clip{Norm: 1})
	require.NoError(t, err)
	require.True(t, report.Skipped)
	require.Equal(t, before, p.values())
	require.Equal(t, 32768.0, scaler.Scale())
	raw := []byte{1, 1, 1, 1, 1, 1, 1, 1}
	require.NoError(t, o.State().Read("step/w", raw))
	require.Equal(t, make([]byte, 8), raw)
}

// Finite gradients whose norm overflows float32 are no reason to skip: PyTorch
// scales them to zero.
func TestNormOverflows(t *testing.T) {
	torchtest.Handles(t)
	p := newProblem(t, false)
	cfg := wildtrain.DefaultOptimizer("SGD")
	cfg.WeightDecay = 0
	o, err := optim.New(cfg, optim.Groups(p.store))
	require.NoError(t, err)
	defer o.Close()
	before := p.values()
	p.gradients(t, 0)
	w, _ := p.store.Lookup("w")
	require.NoError(t, torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		return s.Grad(w.Tensor).Fill(1e38)
	}))
	report, err := o.Step(wildtrain.Clip{Norm: 1})
	require.NoError(t, err)
	require.False(t, report.Skipped)
	require.True(t, math.IsInf(report.GradNorm, 1))
	require.Equal(t, before, p.values())
}

// With a Scaler the result is that of unscaled gradients.
func TestScalerUnscales(t *testing.T) {
	torchtest.Handles(t)
	plain, scaled := newProblem(t, false), newProblem(t, false)
	for p, scale := range map[*problem]float64{plain: 1, scaled: 1024} {
		o, err := optim.New(wildtrain.DefaultOptimizer("SGD"), optim.Groups(p.store))
		require.NoError(t, err)
		defer o.Close()
		s := optim.NewScaler()
		o.UseScaler(s)
		for i := range 6 {
			for s.Scale() > scale {
				s.Update(false)
			}
			o.ZeroGrad()
			p.gradients(t, i)
			var ts []*torch.Tensor
			for _, e := range p.store.Entries() {
				ts = append(ts, e.Tensor)
			}
			require.NoError(t, torch.ScaleGrads(ts, scale))
			_, err := o.Step(wildtrain.Clip{Norm: 5})
			require.NoError(t, err)
		}
	}
	require.Equal(t, plain.values(), scaled.values())
}

func TestScalerEqualsPyTorch(t *testing.T) {
	var g goldens
	torchtest.Load(t, "optim.json", &g)
	s := optim.NewScaler()
	s.Interval = 4
	for i, want := range g.Scales {
		s.Update(i%13 != 5)
		require.Equal(t, want, s.Scale(), "step %d", i)
	}
}
