package tune

import (
	"maps"
	"slices"
)

// intersection finds the parameters that all finished trials have with equal
// distributions. It goes on from the trials it has seen.
type intersection struct {
	space map[string]Distribution // nil before the first trial
	next  int                     // trials below it are taken in
}

// of returns a fresh map. pruned says whether pruned trials count.
func (s *intersection) of(v *View, pruned bool) map[string]Distribution {
	if n := len(v.Trials); n == 0 || v.Trials[n-1].Number+1 < s.next {
		s = &intersection{} // an earlier trial asks, which sees less
	}
	next := -1
	for _, t := range slices.Backward(v.Trials) {
		if t.State == Failed || t.State == Pruned && !pruned {
			continue
		}
		if next == -1 {
			next = t.Number + 1
		}
		if s.next > t.Number {
			break
		}
		if !t.State.Finished() {
			next = t.Number
			continue
		}
		if s.space == nil {
			s.space = map[string]Distribution{}
			for name, p := range t.Params {
				s.space[name] = p.Dist
			}
			continue
		}
		maps.DeleteFunc(s.space, func(name string, d Distribution) bool {
			p, ok := t.Params[name]
			return !ok || !p.Dist.Equal(d)
		})
	}
	s.next = next
	return maps.Clone(s.space)
}

// groups is the coarsest partition of parameter names such that every trial's
// parameters are a union of parts.
type groups struct {
	parts []map[string]Distribution
	next  int // trials below it are taken in
}

func (g *groups) of(v *View) []map[string]Distribution {
	if n := len(v.Trials); n == 0 || v.Trials[n-1].Number+1 < g.next {
		g = &groups{} // an earlier trial asks, which sees less
	}
	next := g.next
	settled := true
	for _, t := range v.Trials {
		if !t.State.Finished() {
			settled = false
		}
		if t.Number >= g.next && (t.State == Complete || t.State == Pruned) {
			g.add(t.Params)
		}
		if settled {
			next = t.Number + 1
		}
	}
	g.next = next
	out := make([]map[string]Distribution, len(g.parts))
	for i, p := range g.parts {
		out[i] = maps.Clone(p)
	}
	return out
}

func (g *groups) add(params map[string]Param) {
	rest := map[string]Distribution{}
	for name, p := range params {
		rest[name] = p.Dist
	}
	var parts []map[string]Distribution
	keep := func(m map[string]Distribution) {
		if len(m) > 0 {
			parts = append(parts, m)
		}
	}
	for _, part := range g.parts {
		in, out := map[string]Distribution{}, map[string]Distribution{}
		for name, d := range part {
			if _, ok := rest[name]; ok {
				in[name] = d
			} else {
				out[name] = d
			}
		}
		keep(in)
		keep(out)
		maps.DeleteFunc(rest, func(name string, _ Distribution) bool { _, ok := part[name]; return ok })
	}
	keep(rest)
	g.parts = parts
}
