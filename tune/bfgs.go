package tune

import (
	"math"
	"slices"
)

// descend minimises f by the BFGS method with backtracking (Nocedal and Wright
// 2006, algorithm 6.1) for a few dozen iterations at most.
func descend(f func(x []float64) (float64, []float64), x []float64) ([]float64, float64) {
	const iterations, flat = 60, 1e-3
	n := len(x)
	x = slices.Clone(x)
	v, g := f(x)
	h := identity(n) // inverse Hessian
	for range iterations {
		if norm(g) < flat || math.IsInf(v, 0) || math.IsNaN(v) {
			break
		}
		step := make([]float64, n)
		slope := 0.0
		for i := range n {
			for j := range n {
				step[i] -= h[i*n+j] * g[j]
			}
			slope += step[i] * g[i]
		}
		if slope >= 0 { // curvature is lost: begin anew along the gradient
			h = identity(n)
			for i := range step {
				step[i] = -g[i]
			}
			slope = -norm(g) * norm(g)
		}
		next, nv, ng, ok := backtrack(f, x, step, v, slope)
		if !ok {
			break
		}
		s, y, sy := make([]float64, n), make([]float64, n), 0.0
		for i := range n {
			s[i], y[i] = next[i]-x[i], ng[i]-g[i]
			sy += s[i] * y[i]
		}
		if sy > 1e-10 {
			updateInverse(h, s, y, sy)
		}
		x, v, g = next, nv, ng
	}
	return x, v
}

// backtrack shortens a step until it satisfies Armijo's condition.
func backtrack(f func([]float64) (float64, []float64), x, step []float64, v, slope float64) (next []float64, nv float64, ng []float64, ok bool) {
	t := min(1, 2/max(norm(step), 1e-300)) // parameters are logs: a factor of e² at once is enough
	for range 30 {
		next = slices.Clone(x)
		for i := range next {
			next[i] += t * step[i]
		}
		if nv, ng = f(next); nv <= v+1e-4*t*slope {
			return next, nv, ng, true
		}
		t /= 2
	}
	return nil, 0, nil, false
}

// updateInverse is the BFGS formula on the inverse Hessian.
func updateInverse(h, s, y []float64, sy float64) {
	n := len(s)
	hy, yhy := make([]float64, n), 0.0
	for i := range n {
		for j := range n {
			hy[i] += h[i*n+j] * y[j]
		}
		yhy += y[i] * hy[i]
	}
	for i := range n {
		for j := range n {
			h[i*n+j] += (1+yhy/sy)*s[i]*s[j]/sy - (hy[i]*s[j]+s[i]*hy[j])/sy
		}
	}
}
