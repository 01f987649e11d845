package classification

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Ranked is a class, or a group above classes, with its probability.
type Ranked struct {
	Name  string  `json:"name"`
	Level int     `json:"level"` // 0 for classes, 1 for the groups straight above them, …
	Prob  float64 `json:"prob"`
}

// Taxonomy is a label map: classes at the bottom, groups above them.
type Taxonomy struct {
	classes []string
	groups  []group
	level   map[string]int
}

// group is a name above classes.
type group struct {
	name    string
	members []int // classes below it
}

// NewTaxonomy reads parents: for a class or a group, the group above it.
func NewTaxonomy(classes []string, parents map[string]string) (*Taxonomy, error) {
	t := &Taxonomy{classes: classes, level: map[string]int{}}
	members := map[string][]int{}
	for i, class := range classes {
		at := class
		for steps := 1; parents[at] != ""; steps++ {
			if steps > len(parents) {
				return nil, fmt.Errorf("classification: the parents of %q go round in a circle", class)
			}
			at = parents[at]
			members[at] = append(members[at], i)
			t.level[at] = max(t.level[at], steps)
		}
	}
	var lost []string
	for name := range parents {
		if !slices.Contains(classes, name) && members[name] == nil {
			lost = append(lost, name)
		}
	}
	if len(lost) > 0 {
		slices.Sort(lost)
		return nil, fmt.Errorf("classification: parents of %s, which are neither classes nor above any", strings.Join(lost, ", "))
	}
	for name, m := range members {
		if slices.Contains(classes, name) {
			return nil, fmt.Errorf("classification: %q is a class and a parent of classes", name)
		}
		t.groups = append(t.groups, group{name, m})
	}
	slices.SortFunc(t.groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(t.level[a.name], t.level[b.name]), cmp.Compare(a.name, b.name))
	})
	return t, nil
}

// Groups are the names above the classes, the lowest level first.
func (t *Taxonomy) Groups() []string {
	names := make([]string, len(t.groups))
	for i, g := range t.groups {
		names[i] = g.name
	}
	return names
}

// RollUp gives every group a probability from those of the classes: their sum, or
// for multi-label classes, which do not exclude each other, the probability that
// one of them is there if they come independently. Order: as Groups.
func (t *Taxonomy) RollUp(probs []float32, multiLabel bool) []Ranked {
	out := make([]Ranked, len(t.groups))
	for i, g := range t.groups {
		sum, none := 0.0, 1.0
		for _, c := range g.members {
			sum += float64(probs[c])
			none *= 1 - float64(probs[c])
		}
		out[i] = Ranked{g.name, t.level[g.name], min(sum, 1)}
		if multiLabel {
			out[i].Prob = 1 - none
		}
	}
	return out
}

// Answer is the most specific statement that is at least as sure as threshold:
// the likeliest class if it is, else the likeliest group of the lowest level that
// is. Where nothing is sure enough it is the likeliest of the top level, as it stands.
func (t *Taxonomy) Answer(probs []float32, threshold float64, multiLabel bool) Ranked {
	all := t.RollUp(probs, multiLabel)
	for i, p := range probs {
		all = append(all, Ranked{t.classes[i], 0, float64(p)})
	}
	slices.SortStableFunc(all, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(b.Prob, a.Prob))
	})
	for _, r := range all {
		if r.Prob >= threshold {
			return r
		}
	}
	top := slices.IndexFunc(all, func(r Ranked) bool { return r.Level == all[len(all)-1].Level })
	return all[top]
}

// TopK are the k likeliest classes, the likeliest first.
func TopK(classes []string, probs []float32, k int) []Ranked {
	all := make([]Ranked, len(probs))
	for i, p := range probs {
		all[i] = Ranked{Name: classes[i], Prob: float64(p)}
	}
	slices.SortStableFunc(all, func(a, b Ranked) int { return cmp.Compare(b.Prob, a.Prob) })
	return all[:min(max(k, 0), len(all))]
}
