package tune

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// process is a Gaussian process with a Matérn-5/2 kernel over [0, 1]^d.
type process struct {
	x     [][]float64
	y     []float64
	equal []bool    // coordinates that only can be equal or not
	theta []float64 // logs of the d inverse squared length scales, of the scale and of the noise

	chol  mat.Cholesky
	alpha *mat.VecDense // K⁻¹·y
}

// minNoise is the least variance of the noise, of standardised values.
const minNoise = 1e-6

// fitProcess finds the parameters of greatest posterior density, from those of
// the last fit and from the middle of the priors.
func fitProcess(x [][]float64, y []float64, equal []bool, last []float64) *process {
	d := len(equal)
	p := &process{x: slices.Clone(x), y: slices.Clone(y), equal: equal}
	starts := [][]float64{make([]float64, d+2)}
	starts[0][d+1] = math.Log(1e-2)
	if len(last) == d+2 {
		starts = append(starts, last)
	}
	best := math.Inf(1)
	for _, start := range starts {
		if at, v := descend(p.loss, start); v < best {
			best, p.theta = v, at
		}
	}
	if p.theta == nil {
		p.theta = starts[0]
	}
	p.solve()
	return p
}

// prior is the negative log density of the parameters and its gradient: gamma
// priors of Optuna's GP sampler on scale and noise, and one on length scales that
// favours long ones.
func (p *process) prior(t, grad []float64) float64 {
	d := len(p.equal)
	sum := 0.0
	for i := range d {
		v := math.Exp(t[i])
		sum += 0.1/v + 0.1*v
		grad[i] += -0.1/v + 0.1*v
	}
	scale, noise := math.Exp(t[d]), math.Exp(t[d+1])
	sum += scale - math.Log(scale) + 30*noise - 0.1*math.Log(noise)
	grad[d] += scale - 1
	grad[d+1] += 30*noise - 0.1
	return sum
}

// loss is the negative log posterior of the parameters, and its gradient.
func (p *process) loss(t []float64) (float64, []float64) {
	n, d := len(p.x), len(p.equal)
	grad := make([]float64, d+2)
	sum := p.prior(t, grad)
	for _, v := range t {
		if math.Abs(v) > 15 { // far outside of the priors, where matrices are singular
			return math.Inf(1), grad
		}
	}
	k := p.matrix(t)
	var chol mat.Cholesky
	if !chol.Factorize(k) {
		return math.Inf(1), grad
	}
	alpha, y := mat.NewVecDense(n, nil), mat.NewVecDense(n, p.y)
	if err := chol.SolveVecTo(alpha, y); err != nil {
		return math.Inf(1), grad
	}
	sum += 0.5*mat.Dot(y, alpha) + 0.5*chol.LogDet()
	var inverse mat.SymDense
	if err := chol.InverseTo(&inverse); err != nil {
		return math.Inf(1), grad
	}
	scale, noise := math.Exp(t[d]), math.Exp(t[d+1])
	for i := range n {
		grad[d+1] += 0.5 * (inverse.At(i, i) - alpha.AtVec(i)*alpha.AtVec(i)) * noise
		for j := range n {
			w := 0.5 * (inverse.At(i, j) - alpha.AtVec(i)*alpha.AtVec(j))
			r2 := p.distance(p.x[i], p.x[j], t)
			value, slope := matern(r2)
			grad[d] += w * scale * value
			for c := range d {
				grad[c] += w * scale * slope * math.Exp(t[c]) * p.square(p.x[i], p.x[j], c)
			}
		}
	}
	return sum, grad
}

// matern is the Matérn-5/2 correlation at a squared distance, and its derivative.
func matern(r2 float64) (value, slope float64) {
	r := math.Sqrt(5 * r2)
	e := math.Exp(-r)
	return (1 + r + r*r/3) * e, -5.0 / 6 * (1 + r) * e
}

func (p *process) square(a, b []float64, c int) float64 {
	if p.equal[c] {
		if a[c] == b[c] {
			return 0
		}
		return 1
	}
	return (a[c] - b[c]) * (a[c] - b[c])
}

func (p *process) distance(a, b, t []float64) float64 {
	sum := 0.0
	for c := range p.equal {
		if s := p.square(a, b, c); s != 0 {
			sum += math.Exp(t[c]) * s
		}
	}
	return sum
}

func (p *process) matrix(t []float64) *mat.SymDense {
	n, d := len(p.x), len(p.equal)
	k := mat.NewSymDense(n, nil)
	scale, noise := math.Exp(t[d]), math.Exp(t[d+1])+minNoise
	for i := range n {
		for j := i; j < n; j++ {
			v, _ := matern(p.distance(p.x[i], p.x[j], t))
			k.SetSym(i, j, scale*v)
		}
		k.SetSym(i, i, k.At(i, i)+noise)
	}
	return k
}

// solve prepares predictions.
func (p *process) solve() {
	p.alpha = mat.NewVecDense(len(p.x), nil)
	if !p.chol.Factorize(p.matrix(p.theta)) {
		p.theta[len(p.theta)-1] = 0 // much noise makes every matrix regular
		p.chol.Factorize(p.matrix(p.theta))
	}
	if err := p.chol.SolveVecTo(p.alpha, mat.NewVecDense(len(p.y), p.y)); err != nil {
		p.alpha.Zero() // nearly singular: the prior alone predicts
	}
}

// add takes a point in without fitting anew.
func (p *process) add(x []float64, y float64) {
	p.x, p.y = append(p.x, x), append(p.y, y)
	p.solve()
}

// predict is mean and variance at x.
func (p *process) predict(x []float64) (mean, variance float64) {
	n, d := len(p.x), len(p.equal)
	scale := math.Exp(p.theta[d])
	k := mat.NewVecDense(n, nil)
	for i, at := range p.x {
		v, _ := matern(p.distance(at, x, p.theta))
		k.SetVec(i, scale*v)
	}
	mean = mat.Dot(k, p.alpha)
	var solved mat.VecDense
	if err := p.chol.SolveVecTo(&solved, k); err != nil {
		return mean, scale
	}
	return mean, max(scale-mat.Dot(k, &solved), 1e-12)
}

// logEI is the log of the expected improvement below best.
func (p *process) logEI(x []float64, best float64) float64 {
	mean, variance := p.predict(x)
	dev := math.Sqrt(variance)
	z := (best - mean) / dev
	if z > -25 {
		h := math.Exp(-z*z/2)/math.Sqrt(2*math.Pi) + z*ndtr(z)
		if h > 0 {
			return math.Log(h) + math.Log(dev)
		}
	}
	// the asymptotic of the tail
	return -z*z/2 - logSqrt2Pi - 2*math.Log(math.Abs(z)) + math.Log(dev)
}
