package optim

import (
	"fmt"
	"math"
	"slices"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Optimizer changes the parameters of its groups by one update rule.
type Optimizer struct {
	cfg    wildtrain.OptimizerConfig
	method method
	root   *torch.Scope
	groups []*group
	params []*torch.Tensor // of all groups
	scaler *Scaler
}

var _ wildtrain.Optimizer = (*Optimizer)(nil)

// New returns the optimiser that cfg names over the groups, whose names must
// differ. It owns its buffers, which Close frees, not the parameters.
func New(cfg wildtrain.OptimizerConfig, groups []Group) (*Optimizer, error) {
	m, err := find(cfg.Name)
	if err != nil {
		return nil, err
	}
	if err := checkConfig(cfg, m, groups); err != nil {
		return nil, err
	}
	o := &Optimizer{cfg: cfg, method: m, root: torch.NewRoot(groups[0].Entries[0].Tensor.Device())}
	for _, g := range groups {
		o.groups = append(o.groups, o.open(g))
		o.params = append(o.params, o.groups[len(o.groups)-1].params...)
	}
	return o, nil
}

// checkConfig refuses settings and groups that no training can mean.
func checkConfig(cfg wildtrain.OptimizerConfig, m method, groups []Group) error {
	for _, v := range []struct {
		name  string
		value float64
	}{{"lr", cfg.LR}, {"momentum", cfg.Momentum}, {"weight decay", cfg.WeightDecay}} {
		if v.value < 0 || math.IsNaN(v.value) || math.IsInf(v.value, 0) {
			return fmt.Errorf("optim: %s: %s is %g", m.name, v.name, v.value)
		}
	}
	if err := m.check(cfg); err != nil {
		return err
	}
	names := map[string]bool{}
	seen := map[*torch.Tensor]string{}
	for _, g := range groups {
		if names[g.Name] {
			return fmt.Errorf("optim: two groups named %q", g.Name)
		}
		names[g.Name] = true
		if len(g.Entries) == 0 {
			return fmt.Errorf("optim: group %q has no parameters", g.Name)
		}
		for _, e := range g.Entries {
			if other, ok := seen[e.Tensor]; ok {
				return fmt.Errorf("optim: parameter %s is in the groups %q and %q", e.Name, other, g.Name)
			}
			seen[e.Tensor] = g.Name
		}
	}
	if len(groups) == 0 {
		return fmt.Errorf("optim: no parameters to train")
	}
	return nil
}

// open makes the buffers of a group: zeros in the parameters' layouts.
func (o *Optimizer) open(g Group) *group {
	factor := g.Factor
	if factor == 0 {
		factor = 1
	}
	w := &group{Group: wildtrain.Group{Name: g.Name, Role: g.Role, LR: o.cfg.LR * factor, Momentum: o.cfg.Momentum, Parameters: len(g.Entries)}}
	if g.Role == wildtrain.Weights {
		w.Decay = o.cfg.WeightDecay
	}
	for _, e := range g.Entries {
		w.names = append(w.names, e.Name)
		w.params = append(w.params, e.Tensor)
	}
	for range o.method.slots {
		buffers := make([]*torch.Tensor, len(w.params))
		for i, p := range w.params {
			buffers[i] = o.root.ZerosLike(p)
		}
		w.slots = append(w.slots, buffers)
	}
	if o.method.steps {
		w.steps = make([]int64, len(w.params))
	}
	return w
}

// UseScaler makes Step unscale the gradients by s and lets s follow what it
// finds. The model multiplies its loss by s.Scale() before Backward. Give it
// before the State is saved or restored.
func (o *Optimizer) UseScaler(s *Scaler) { o.scaler = s }

// Groups implements wildtrain.Optimizer.
func (o *Optimizer) Groups() []wildtrain.Group {
	out := make([]wildtrain.Group, len(o.groups))
	for i, g := range o.groups {
		out[i] = g.Group
	}
	return out
}

// SetGroup implements wildtrain.Optimizer.
func (o *Optimizer) SetGroup(name string, lr, momentum, decay float64) error {
	i := slices.IndexFunc(o.groups, func(g *group) bool { return g.Name == name })
	if i < 0 {
		return fmt.Errorf("optim: set group: no group named %q", name)
	}
	for _, v := range []float64{lr, momentum, decay} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("optim: set group %q: lr %g, momentum %g, decay %g", name, lr, momentum, decay)
		}
	}
	g := o.groups[i]
	g.LR, g.Momentum, g.Decay = lr, momentum, decay
	return nil
}

// Step implements wildtrain.Optimizer: unscale, measure, clip by norm, clip by
// value, update. Where a gradient is not finite it changes nothing.
func (o *Optimizer) Step(clip wildtrain.Clip) (wildtrain.Report, error) {
	report := wildtrain.Report{GradNorm: math.NaN()}
	if o.scaler != nil {
		if err := torch.ScaleGrads(o.params, 1/o.scaler.Scale()); err != nil {
			return report, fmt.Errorf("optim: unscale: %w", err)
		}
	}
	norm, finite, err := torch.GradNorm(o.params)
	if err != nil {
		return report, fmt.Errorf("optim: measure gradients: %w", err)
	}
	report.GradNorm = norm
	if o.scaler != nil {
		o.scaler.Update(finite)
	}
	if !finite {
		report.Skipped = true
		return report, nil
	}
	if clip.Norm > 0 {
		if err := torch.ClipGradNorm(o.params, norm, clip.Norm); err != nil {
			return report, fmt.Errorf("optim: clip: %w", err)
		}
	}
	if clip.Value > 0 {
		if err := torch.ClipGradValue(o.params, clip.Value); err != nil {
			return report, fmt.Errorf("optim: clip: %w", err)
		}
	}
	return report, o.update()
}

func (o *Optimizer) update() error {
	for _, g := range o.groups {
		if o.method.steps {
			has, err := torch.HasGrads(g.params)
			if err != nil {
				return fmt.Errorf("optim: step group %q: %w", g.Name, err)
			}
			for i, ok := range has {
				if ok {
					g.steps[i]++
				}
			}
		}
		if err := o.method.step(o.cfg, g); err != nil {
			return fmt.Errorf("optim: step group %q: %w", g.Name, err)
		}
	}
	return nil
}

// ZeroGrad implements wildtrain.Optimizer: it drops the gradients.
func (o *Optimizer) ZeroGrad() {
	// it fails only for freed parameters, which the next Step reports
	_ = torch.ZeroGrads(o.params)
}

// Close frees the buffers.
func (o *Optimizer) Close() error {
	o.root.Close()
	return nil
}
