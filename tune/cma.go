package tune

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"
)

// cma is the state of one covariance matrix adaptation, for losses on [0, 1]^d.
// The names are those of Hansen's tutorial (arXiv:1604.00772).
type cma struct {
	d, population, mu int
	generation        int
	separable         bool
	steps             []float64 // of discrete coordinates, 0 for continuous; nil for none
	stretch           []float64 // A of the margin correction, by coordinate

	weights               []float64
	muEff, cSigma, dSigma float64
	cc, c1, cMu, chiN     float64

	mean             []float64
	sigma            float64
	cov              []float64 // d×d
	pathSigma, pathC []float64
	age              int       // generations since the start or the last restart
	basis, axes      []float64 // eigenvectors in columns and root eigenvalues; nil where cov has changed
	history          []float64 // best losses of the last generations
}

func identity(d int) []float64 {
	out := make([]float64, d*d)
	for i := range d {
		out[i*d+i] = 1
	}
	return out
}

func newCMA(mean []float64, sigma float64, cov []float64, population int, separable bool) *cma {
	d := len(mean)
	if population <= 0 {
		population = 4 + int(3*math.Log(float64(d)))
	}
	population = max(population, 4)
	s := &cma{
		d: d, population: population, mu: population / 2, separable: separable && d > 1,
		mean: slices.Clone(mean), sigma: sigma, cov: slices.Clone(cov),
	}
	s.pathSigma, s.pathC, s.stretch = make([]float64, d), make([]float64, d), make([]float64, d)
	for i := range s.stretch {
		s.stretch[i] = 1
	}
	if s.separable {
		s.setSeparable(float64(d))
	} else {
		s.setStrategy(float64(d))
	}
	s.dSigma = 1 + 2*max(0, math.Sqrt((s.muEff-1)/float64(d+1))-1) + s.cSigma
	s.chiN = math.Sqrt(float64(d)) * (1 - 1/(4*float64(d)) + 1/(21*float64(d*d)))
	return s
}

// setStrategy sets the strategy parameters by table 1 of the tutorial.
func (s *cma) setStrategy(n float64) {
	raw := make([]float64, s.population)
	var plus, plus2, minus, minus2 float64
	for i := range raw {
		raw[i] = math.Log((float64(s.population)+1)/2) - math.Log(float64(i+1))
		if i < s.mu {
			plus, plus2 = plus+raw[i], plus2+raw[i]*raw[i]
		} else {
			minus, minus2 = minus+raw[i], minus2+raw[i]*raw[i]
		}
	}
	s.muEff = plus * plus / plus2
	muEffMinus := minus * minus / minus2
	const alpha = 2
	s.c1 = alpha / ((n+1.3)*(n+1.3) + s.muEff)
	s.cMu = min(1-s.c1-1e-8, alpha*(s.muEff-2+1/s.muEff)/((n+2)*(n+2)+alpha*s.muEff/2))
	most := min(1+s.c1/s.cMu, 1+2*muEffMinus/(s.muEff+2), (1-s.c1-s.cMu)/(n*s.cMu))
	sumPlus, sumMinus := 0.0, 0.0
	for _, w := range raw {
		sumPlus, sumMinus = sumPlus+max(w, 0), sumMinus-min(w, 0)
	}
	s.weights = make([]float64, len(raw))
	for i, w := range raw {
		if w >= 0 {
			s.weights[i] = w / sumPlus
		} else {
			s.weights[i] = w * most / sumMinus
		}
	}
	s.cSigma = (s.muEff + 2) / (n + s.muEff + 5)
	s.cc = (4 + s.muEff/n) / (n + 4 + 2*s.muEff/n)
}

// setSeparable sets those of sep-CMA-ES (Ros and Hansen 2008), which learns its
// diagonal (n+2)/3 times as fast, from the better half alone.
func (s *cma) setSeparable(n float64) {
	s.weights = make([]float64, s.population)
	sum, squares := 0.0, 0.0
	for i := range s.mu {
		s.weights[i] = math.Log(float64(s.mu+1)) - math.Log(float64(i+1))
		sum += s.weights[i]
	}
	for i := range s.mu {
		s.weights[i] /= sum
		squares += s.weights[i] * s.weights[i]
	}
	s.muEff = 1 / squares
	s.c1 = 2 / ((n+1.3)*(n+1.3) + s.muEff)
	full := 2/s.muEff/((n+math.Sqrt2)*(n+math.Sqrt2)) + (1-1/s.muEff)*min(1, (2*s.muEff-1)/((n+2)*(n+2)+s.muEff))
	s.cMu = (n + 2) / 3 * full
	s.cSigma = (s.muEff + 2) / (n + s.muEff + 3)
	s.cc = 4 / (n + 4)
}

// decompose finds the principal axes. LAPACK's syev on the lower triangle is
// what NumPy's eigh comes down to: up to 25 coordinates the vectors have the same
// signs, and the same normal numbers give Optuna's points.
func (s *cma) decompose() {
	if s.axes != nil {
		return
	}
	s.axes, s.basis = make([]float64, s.d), identity(s.d)
	ok := false
	if !s.separable {
		vectors := slices.Clone(s.cov)
		lower := blas64.Symmetric{N: s.d, Stride: s.d, Data: vectors, Uplo: blas.Lower}
		size := make([]float64, 1)
		lapack64.Syev(lapack.EVCompute, lower, s.axes, size, -1)
		if ok = lapack64.Syev(lapack.EVCompute, lower, s.axes, make([]float64, int(size[0])), int(size[0])); ok {
			s.basis = vectors
		}
	}
	for i := range s.axes {
		if !ok { // the diagonal
			s.axes[i] = s.cov[i*s.d+i]
		}
		if s.axes[i] <= 0 {
			s.axes[i] = 1e-8
		}
		s.axes[i] = math.Sqrt(s.axes[i])
	}
}

// sample draws a point. One whose continuous coordinates lie outside is drawn
// again, and in the end put onto the border. What discrete coordinates stand for
// is told by grid.
func (s *cma) sample(rng *stream) []float64 {
	s.decompose()
	for range 10 * s.d {
		x := s.draw(rng)
		inside := true
		for i, v := range x {
			inside = inside && (s.step(i) > 0 || 0 <= v && v <= 1)
		}
		if inside {
			return x
		}
	}
	x := s.draw(rng)
	for i := range x {
		if s.step(i) == 0 {
			x[i] = min(max(x[i], 0), 1)
		}
	}
	return x
}

func (s *cma) draw(rng *stream) []float64 {
	z, x := make([]float64, s.d), slices.Clone(s.mean)
	for i := range z {
		z[i] = rng.normal()
	}
	for r := range x {
		y := 0.0
		for i, v := range z {
			y += s.basis[r*s.d+i] * s.axes[i] * v
		}
		x[r] += s.sigma * y
	}
	return x
}

// whiten is C^(−1/2)·y.
func (s *cma) whiten(y []float64) []float64 {
	t, out := make([]float64, s.d), make([]float64, s.d)
	for i := range t {
		for r, v := range y {
			t[i] += s.basis[r*s.d+i] * v
		}
		t[i] /= s.axes[i]
	}
	for r := range out {
		for i, v := range t {
			out[r] += s.basis[r*s.d+i] * v
		}
	}
	return out
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

// update takes in one generation.
func (s *cma) update(xs [][]float64, losses []float64) {
	s.decompose()
	order := make([]int, len(losses))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(losses[a], losses[b]) })
	ys, step := make([][]float64, len(order)), make([]float64, s.d)
	for k, i := range order {
		ys[k] = make([]float64, s.d)
		for j := range step {
			ys[k][j] = (xs[i][j] - s.mean[j]) / s.sigma
			if k < s.mu {
				step[j] += s.weights[k] * ys[k][j]
			}
		}
	}
	for j := range step {
		s.mean[j] += s.sigma * step[j]
	}
	s.generation, s.age = s.generation+1, s.age+1
	s.adapt(ys, step)
	s.history = append(s.history, losses[order[0]])
	s.margin()
}

// adapt changes paths, covariance and step size.
func (s *cma) adapt(ys [][]float64, step []float64) {
	white := s.whiten(step)
	for j := range white {
		s.pathSigma[j] = (1-s.cSigma)*s.pathSigma[j] + math.Sqrt(s.cSigma*(2-s.cSigma)*s.muEff)*white[j]
	}
	length := norm(s.pathSigma)
	n := float64(s.d)
	h := 0.0
	if length/math.Sqrt(1-math.Pow(1-s.cSigma, 2*float64(s.age+1))) < (1.4+2/(n+1))*s.chiN {
		h = 1
	}
	for j := range step {
		s.pathC[j] = (1-s.cc)*s.pathC[j] + h*math.Sqrt(s.cc*(2-s.cc)*s.muEff)*step[j]
	}
	sum, each := 0.0, make([]float64, len(ys))
	for k, w := range s.weights {
		sum += w
		if each[k] = w; w < 0 {
			l := norm(s.whiten(ys[k]))
			each[k] = w * n / (l*l + 1e-8)
		}
	}
	keep := 1 + s.c1*(1-h)*s.cc*(2-s.cc) - s.c1 - s.cMu*sum
	for a := range s.d {
		for b := range s.d {
			if s.separable && a != b {
				continue
			}
			rank := 0.0
			for k, y := range ys {
				rank += each[k] * y[a] * y[b]
			}
			s.cov[a*s.d+b] = keep*s.cov[a*s.d+b] + s.c1*s.pathC[a]*s.pathC[b] + s.cMu*rank
		}
	}
	s.sigma = min(s.sigma*math.Exp(s.cSigma/s.dSigma*(length/s.chiN-1)), 1e4)
	s.axes = nil
}

// step is the distance of a discrete coordinate's values 0, step, … 1, and 0 for
// a continuous one.
func (s *cma) step(j int) float64 {
	if s.steps == nil {
		return 0
	}
	return s.steps[j]
}

// cell is the number of the value nearest to x, and how many values there are.
func (s *cma) cell(j int, x float64) (at, of float64) {
	of = math.Round(1/s.steps[j]) + 1
	return min(max(math.Ceil(x/s.steps[j]-0.5), 0), of-1), of
}

// grid is the value of a discrete coordinate at x of a sample.
func (s *cma) grid(j int, x float64) float64 {
	at, _ := s.cell(j, s.mean[j]+(x-s.mean[j])*s.stretch[j])
	return at * s.steps[j]
}

// margin keeps the probability of leaving the mean's value above 1/(λ·d) in
// every discrete coordinate (Hamano et al. 2022, section 4): at an end by moving
// the mean, between by stretching the samples as well.
func (s *cma) margin() {
	alpha := 1 / float64(s.population*s.d)
	for j, step := range s.steps {
		if step == 0 {
			continue
		}
		at, of := s.cell(j, s.mean[j])
		low := (min(max(at-1, 0), of-2) + 0.5) * step
		high := (min(at, of-2) + 0.5) * step
		deviation := s.sigma * math.Sqrt(s.cov[j*s.d+j])
		down, up := ndtr((low-s.mean[j])/(deviation*s.stretch[j])), ndtr((s.mean[j]-high)/(deviation*s.stretch[j]))
		switch {
		case low < high:
			s.between(j, low, high, down, up, alpha/2)
		case min(down, up) < alpha:
			s.mean[j] = high + math.Copysign(-quantileNormal(alpha)*deviation*s.stretch[j], s.mean[j]-high)
		}
	}
}

// between has both neighbours of a value that reaches from low to high come up
// with a probability of least, where they had down and up.
func (s *cma) between(j int, low, high, down, up, least float64) {
	if down >= least && up >= least {
		return
	}
	mid := 1 - down - up
	down, up = max(down, least), max(up, least)
	excess, spare := down+mid+up-1, down+mid+up-3*least
	zDown := -quantileNormal(down - excess*(down-least)/spare)
	zUp := -quantileNormal(up - excess*(up-least)/spare)
	s.stretch[j] = (high - low) / ((zDown + zUp) * s.sigma * math.Sqrt(s.cov[j*s.d+j]))
	s.mean[j] = (low*zUp + high*zDown) / (zDown + zUp)
}

// quantileNormal is the x below which a normal number lies with probability p.
func quantileNormal(p float64) float64 { return ndtriExp(math.Log(p)) }

// converged tells whether nothing moves any more.
func (s *cma) converged(losses []float64) bool {
	const tolX, tolF = 1e-12, 1e-12
	window := 10 + int(math.Ceil(30*float64(s.d)/float64(s.population)))
	if s.age > window {
		last := s.history[len(s.history)-window:]
		if slices.Max(last)-slices.Min(last) < tolF && slices.Max(losses)-slices.Min(losses) < tolF {
			return true
		}
	}
	s.decompose()
	if slices.Max(s.axes) > 1e7*slices.Min(s.axes) {
		return true
	}
	for j := range s.d {
		if s.sigma*s.stretch[j]*math.Sqrt(s.cov[j*s.d+j]) >= tolX {
			return false
		}
	}
	return true
}

// logDet is the log of a positive determinant.
func logDet(cov []float64, d int) float64 {
	var chol mat.Cholesky
	if !chol.Factorize(mat.NewSymDense(d, slices.Clone(cov))) {
		return 0
	}
	return chol.LogDet()
}
