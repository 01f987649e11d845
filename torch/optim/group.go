package optim

import (
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// Group is a set of parameters that are trained alike.
type Group struct {
	Name    string
	Role    wildtrain.Role
	Entries []*nn.Entry
	Factor  float64 // of the learning rate; 0 means 1
}

var roleNames = [...]string{wildtrain.Weights: "weights", wildtrain.Norms: "norms", wildtrain.Biases: "biases"}

// Groups sorts the trainable entries of a store into the groups "weights",
// "norms" and "biases", in this order and inside in building order. Empty
// groups are left out.
func Groups(store *nn.Store) []Group {
	return byRole(store.Trainable(), "", 1)
}

// LayerGroups is Groups with learning rates that fall by decay from layer to
// layer away from the head (Clark et al. 2020, Bao et al. 2022). depth tells how
// far from the head a parameter lies, 0 for the head itself. Groups are named
// "weights", "weights.1", "weights.2", …
func LayerGroups(store *nn.Store, decay float64, depth func(name string) int) []Group {
	layers := map[int][]*nn.Entry{}
	deepest := 0
	for _, e := range store.Trainable() {
		d := max(depth(e.Name), 0)
		layers[d] = append(layers[d], e)
		deepest = max(deepest, d)
	}
	var groups []Group
	for d := range deepest + 1 {
		suffix := ""
		if d > 0 {
			suffix = fmt.Sprintf(".%d", d)
		}
		groups = append(groups, byRole(layers[d], suffix, math.Pow(decay, float64(d)))...)
	}
	return groups
}

func byRole(entries []*nn.Entry, suffix string, factor float64) []Group {
	var groups []Group
	for role, name := range roleNames {
		g := Group{Name: name + suffix, Role: wildtrain.Role(role), Factor: factor}
		for _, e := range entries {
			if e.Role == g.Role {
				g.Entries = append(g.Entries, e)
			}
		}
		if len(g.Entries) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// group is a Group at work.
type group struct {
	wildtrain.Group
	names  []string
	params []*torch.Tensor
	slots  [][]*torch.Tensor // buffers by the method's slots
	steps  []int64           // steps done, by parameter
}
