package tune

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// cma is the state of one covariance matrix adaptation, for losses on [0, 1]^d.
// The names are those of Hansen's tutorial (arXiv:1604.00772).
type cma struct {
	d, population, mu int
	generation        int
	separable         bool
	cells             []float64 // width of a cell of discrete coordinates, 0 for continuous; nil for none
	scale             []float64 // of coordinates, by the margin correction

	weights               []float64
	muEff, cSigma, dSigma float64
	cc, c1, cMu, chiN     float64

	mean             []float64
	sigma            float64
	cov              []float64 // d×d
	pathSigma, pathC []float64
	steps            int       // generations since the start or the last restart
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

func newCMA(mean []float64, sigma float64, cov []float64, population int) *cma {
	d := len(mean)
	if population <= 0 {
		population = 4 + int(3*math.Log(float64(d)))
	}
	population = max(population, 4)
	s := &cma{d: d, population: population, mu: population / 2, mean: slices.Clone(mean), sigma: sigma, cov: slices.Clone(cov)}
	s.pathSigma, s.pathC, s.scale = make([]float64, d), make([]float64, d), make([]float64, d)
	for i := range s.scale {
		s.scale[i] = 1
	}
	s.setStrategy(float64(d))
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
	s.dSigma = 1 + 2*max(0, math.Sqrt((s.muEff-1)/(n+1))-1) + s.cSigma
	s.cc = (4 + s.muEff/n) / (n + 4 + 2*s.muEff/n)
	s.chiN = math.Sqrt(n) * (1 - 1/(4*n) + 1/(21*n*n))
}

// decompose finds the principal axes.
func (s *cma) decompose() {
	if s.axes != nil {
		return
	}
	const least = 1e-8
	var eig mat.EigenSym
	s.axes, s.basis = make([]float64, s.d), identity(s.d)
	if !eig.Factorize(mat.NewSymDense(s.d, slices.Clone(s.cov)), true) { // keep the diagonal
		for i := range s.axes {
			s.axes[i] = math.Sqrt(max(s.cov[i*s.d+i], least*least))
		}
		return
	}
	var vectors mat.Dense
	eig.VectorsTo(&vectors)
	for i, v := range eig.Values(nil) {
		s.axes[i] = math.Sqrt(max(v, least*least))
		for r := range s.d {
			s.basis[r*s.d+i] = vectors.At(r, i)
		}
	}
}

// sample draws a point. Those outside are drawn again, and in the end put onto
// the border.
func (s *cma) sample(rng *stream) []float64 {
	s.decompose()
	var x []float64
	for range 10 * s.d {
		x = s.draw(rng)
		if !slices.ContainsFunc(x, func(v float64) bool { return v < 0 || v > 1 }) {
			return x
		}
	}
	for i := range x {
		x[i] = min(max(x[i], 0), 1)
	}
	return x
}

func (s *cma) draw(rng *stream) []float64 {
	z, x := make([]float64, s.d), slices.Clone(s.mean)
	for i := range z {
		z[i] = rng.normal() * s.axes[i]
	}
	for r := range x {
		for i, v := range z {
			x[r] += s.sigma * s.scale[r] * s.basis[r*s.d+i] * v
		}
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
			ys[k][j] = (xs[i][j] - s.mean[j]) / (s.sigma * s.scale[j])
			if k < s.mu {
				step[j] += s.weights[k] * ys[k][j]
			}
		}
	}
	for j := range step {
		s.mean[j] = min(max(s.mean[j]+s.sigma*s.scale[j]*step[j], 0), 1)
	}
	s.generation, s.steps = s.generation+1, s.steps+1
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
	if length/math.Sqrt(1-math.Pow(1-s.cSigma, 2*float64(s.steps+1))) < (1.4+2/(n+1))*s.chiN {
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

// margin keeps the probability of leaving the cell of the mean above 1/(λ·d) in
// every discrete coordinate.
func (s *cma) margin() {
	alpha := 1 / (float64(s.population) * float64(s.d))
	for j, width := range s.cells {
		if width <= 0 {
			continue
		}
		spread := s.sigma * s.scale[j] * math.Sqrt(s.cov[j*s.d+j])
		n := math.Round(1 / width)
		cell := min(max(math.Floor(s.mean[j]/width), 0), n-1)
		low, high := cell*width, (cell+1)*width
		switch {
		case n < 2:
		case cell == 0: // the only way out is up
			s.mean[j] = high - min(high-s.mean[j], -quantileNormal(alpha)*spread)
		case cell == n-1:
			s.mean[j] = low + min(s.mean[j]-low, -quantileNormal(alpha)*spread)
		default:
			s.between(j, low, high, alpha/2, spread)
		}
	}
}

// between moves mean and scale so that both neighbours have probability least.
func (s *cma) between(j int, low, high, least, spread float64) {
	down, up := ndtr((low-s.mean[j])/spread), ndtr((s.mean[j]-high)/spread)
	if down >= least && up >= least {
		return
	}
	down, up = max(down, least), max(up, least)
	mid := max(1-down-up, least)
	rest := down + up + mid
	spare := rest - 3*least
	down += (1 - rest) / spare * (down - least)
	up += (1 - rest) / spare * (up - least)
	zDown, zUp := -quantileNormal(down), -quantileNormal(up)
	if zDown+zUp <= 0 {
		return
	}
	s.mean[j] = (low*zUp + high*zDown) / (zDown + zUp)
	s.scale[j] = (high - low) / (s.sigma * math.Sqrt(s.cov[j*s.d+j]) * (zDown + zUp))
}

func quantileNormal(p float64) float64 { return ndtriExp(math.Log(p)) }

// converged tells whether nothing moves any more.
func (s *cma) converged(losses []float64) bool {
	const tolX, tolF = 1e-12, 1e-12
	window := 10 + int(math.Ceil(30*float64(s.d)/float64(s.population)))
	if s.steps > window {
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
		if s.sigma*s.scale[j]*math.Sqrt(s.cov[j*s.d+j]) >= tolX {
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
