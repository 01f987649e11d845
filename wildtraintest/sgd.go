package wildtraintest

import (
	"fmt"
	"math"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// sgd is stochastic gradient descent with momentum for Linear, as PyTorch does it.
type sgd struct {
	model    *Linear
	nesterov bool
	groups   []wildtrain.Group
	buffers  [2][]float64 // momentum of weight and bias
}

// Optimizer implements wildtrain.Model: SGD only.
func (m *Linear) Optimizer(c wildtrain.OptimizerConfig) (wildtrain.Optimizer, error) {
	if !strings.EqualFold(c.Name, "SGD") {
		return nil, fmt.Errorf("wildtraintest: linear: optimizer %q, want SGD", c.Name)
	}
	return &sgd{
		model: m, nesterov: c.Nesterov,
		groups: []wildtrain.Group{
			{Name: "weights", Role: wildtrain.Weights, LR: c.LR, Momentum: c.Momentum, Decay: c.WeightDecay, Parameters: len(m.weight)},
			{Name: "biases", Role: wildtrain.Biases, LR: c.LR, Momentum: c.Momentum, Parameters: len(m.bias)},
		},
		buffers: [2][]float64{make([]float64, len(m.weight)), make([]float64, len(m.bias))},
	}, nil
}

func (o *sgd) Groups() []wildtrain.Group { return append([]wildtrain.Group(nil), o.groups...) }

func (o *sgd) SetGroup(name string, lr, momentum, decay float64) error {
	for i := range o.groups {
		if g := &o.groups[i]; g.Name == name {
			g.LR, g.Momentum, g.Decay = lr, momentum, decay
			return nil
		}
	}
	return fmt.Errorf("wildtraintest: sgd: no group %q", name)
}

func (o *sgd) Step(clip wildtrain.Clip) (wildtrain.Report, error) {
	grads := [2][]float64{o.model.gradW, o.model.gradB}
	norm := 0.0
	for _, g := range grads {
		for _, v := range g {
			norm += v * v
		}
	}
	norm = math.Sqrt(norm)
	report := wildtrain.Report{GradNorm: norm}
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		report.Skipped = true
		return report, nil
	}
	factor := 1.0
	if clip.Norm > 0 {
		factor = min(clip.Norm/(norm+1e-6), 1)
	}
	for i, params := range [2][]float64{o.model.weight, o.model.bias} {
		o.update(o.groups[i], params, grads[i], o.buffers[i], factor, clip.Value)
	}
	return report, nil
}

func (o *sgd) update(group wildtrain.Group, params, grads, buffer []float64, factor, limit float64) {
	for j := range params {
		g := grads[j] * factor
		if limit > 0 {
			g = max(min(g, limit), -limit)
		}
		g += group.Decay * params[j]
		buffer[j] = group.Momentum*buffer[j] + g
		if o.nesterov {
			g += group.Momentum * buffer[j]
		} else {
			g = buffer[j]
		}
		params[j] -= group.LR * g
	}
}

func (o *sgd) ZeroGrad() {
	clear(o.model.gradW)
	clear(o.model.gradB)
}

func (o *sgd) State() wildtrain.State {
	return newFloats("bias.momentum", o.buffers[1], nil, "weight.momentum", o.buffers[0], nil)
}

func (o *sgd) Close() error { return nil }
