package optim

import (
	"fmt"
	"strings"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// method is an update rule over the parameters of one group.
type method struct {
	name  string
	slots []string // the buffers of each parameter, under torch.optim's names
	steps bool     // counts steps per parameter
	check func(c wildtrain.OptimizerConfig) error
	step  func(c wildtrain.OptimizerConfig, g *group) error
}

var methods = []method{
	{name: "SGD", slots: []string{"momentum_buffer"}, check: checkSGD, step: stepSGD},
	{name: "MuSGD", slots: []string{"momentum_buffer", "muon_buffer"}, check: checkSGD, step: stepMuSGD},
	{name: "Adam", slots: []string{"exp_avg", "exp_avg_sq"}, steps: true, check: checkAdam, step: stepAdam(false)},
	{name: "AdamW", slots: []string{"exp_avg", "exp_avg_sq"}, steps: true, check: checkAdam, step: stepAdam(true)},
	{name: "RMSprop", slots: []string{"square_avg", "momentum_buffer"}, check: checkRMSprop, step: stepRMSprop},
}

// Names returns the optimisers that exist.
func Names() []string {
	out := make([]string, len(methods))
	for i, m := range methods {
		out[i] = m.name
	}
	return out
}

func find(name string) (method, error) {
	for _, m := range methods {
		if strings.EqualFold(m.name, name) {
			return m, nil
		}
	}
	return method{}, fmt.Errorf("optim: no optimiser named %q: there are %s", name, strings.Join(Names(), ", "))
}

func checkSGD(c wildtrain.OptimizerConfig) error {
	if c.Nesterov && c.Momentum <= 0 {
		return fmt.Errorf("optim: SGD: nesterov needs a momentum above 0, have %g", c.Momentum)
	}
	return nil
}

func checkAdam(c wildtrain.OptimizerConfig) error {
	if c.Momentum >= 1 || c.Beta2 < 0 || c.Beta2 >= 1 {
		return fmt.Errorf("optim: %s: momentum (beta1) %g and beta2 %g must lie in [0, 1)", c.Name, c.Momentum, c.Beta2)
	}
	if c.Eps < 0 {
		return fmt.Errorf("optim: %s: eps %g is negative", c.Name, c.Eps)
	}
	return nil
}

func checkRMSprop(c wildtrain.OptimizerConfig) error {
	if c.Alpha < 0 || c.Eps < 0 {
		return fmt.Errorf("optim: RMSprop: alpha %g and eps %g must not be negative", c.Alpha, c.Eps)
	}
	return nil
}

func stepSGD(c wildtrain.OptimizerConfig, g *group) error {
	return torch.StepSGD(g.params, g.slots[0], torch.SGDOptions{LR: g.LR, Momentum: g.Momentum, Decay: g.Decay, Nesterov: c.Nesterov})
}

// muonShare is the learning rate of MuSGD's Muon step, as a share of SGD's.
const muonShare = 0.2

// stepMuSGD is YOLO26's optimiser: SGD, and for kernels and matrices a step of
// Muon on the same gradient besides.
func stepMuSGD(c wildtrain.OptimizerConfig, g *group) error {
	var matrices, buffers []*torch.Tensor
	for i, p := range g.params {
		if p.Dim() >= 2 {
			matrices, buffers = append(matrices, p), append(buffers, g.slots[1][i])
		}
	}
	if err := torch.StepMuon(matrices, buffers, torch.MuonOptions{LR: muonShare * g.LR, Momentum: g.Momentum, Nesterov: c.Nesterov}); err != nil {
		return err
	}
	return stepSGD(c, g)
}

func stepAdam(decoupled bool) func(wildtrain.OptimizerConfig, *group) error {
	return func(c wildtrain.OptimizerConfig, g *group) error {
		return torch.StepAdam(g.params, g.slots[0], g.slots[1], g.steps, torch.AdamOptions{
			LR: g.LR, Beta1: g.Momentum, Beta2: c.Beta2, Eps: c.Eps, Decay: g.Decay, Decoupled: decoupled,
		})
	}
}

func stepRMSprop(c wildtrain.OptimizerConfig, g *group) error {
	return torch.StepRMSprop(g.params, g.slots[0], g.slots[1], torch.RMSpropOptions{
		LR: g.LR, Alpha: c.Alpha, Eps: c.Eps, Momentum: g.Momentum, Decay: g.Decay,
	})
}
