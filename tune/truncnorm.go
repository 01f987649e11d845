package tune

import "math"

// The truncated normal distribution in log space, as SciPy's truncnorm and
// Optuna's copy of it. a and b are the ends in units of sigma from the mean.

var logSqrt2Pi = math.Log(math.Sqrt(2 * math.Pi))

// ndtr is the normal distribution function.
func ndtr(a float64) float64 {
	x := a / math.Sqrt2
	switch {
	case x < -1/math.Sqrt2:
		return 0.5 * math.Erfc(-x)
	case x < 1/math.Sqrt2:
		return 0.5 + 0.5*math.Erf(x)
	}
	return 1 - 0.5*math.Erfc(x)
}

// logNdtr is its logarithm, by the asymptotic series far to the left.
func logNdtr(a float64) float64 {
	if a > 6 {
		return -ndtr(-a)
	}
	if a > -20 {
		return math.Log(ndtr(a))
	}
	lhs := -0.5*a*a - math.Log(-a) - 0.5*math.Log(2*math.Pi)
	last, sum, numerator, denominator, sign := 0.0, 1.0, 1.0, 1.0, 1.0
	for i := 1.0; math.Abs(last-sum) > 0x1p-52; i++ {
		last, sign = sum, -sign
		denominator /= a * a
		numerator *= 2*i - 1
		sum += sign * numerator * denominator
	}
	return lhs + math.Log(sum)
}

// logGaussMass is the log of the normal mass between a and b.
func logGaussMass(a, b float64) float64 {
	switch {
	case b <= 0:
		return logDiff(logNdtr(b), logNdtr(a))
	case a > 0:
		return logDiff(logNdtr(-a), logNdtr(-b))
	}
	const negligible = 8.5 // erf is ±1 there
	mass := 0.0
	if a > -negligible {
		mass -= 0.5 + 0.5*math.Erf(a/math.Sqrt2)
	}
	if b < negligible {
		mass -= 0.5 + 0.5*math.Erf(-b/math.Sqrt2)
	}
	if mass == 0 {
		return 0
	}
	return math.Log1p(mass)
}

func logDiff(p, q float64) float64 { return p + math.Log1p(-math.Exp(q-p)) }

func logSum(p, q float64) float64 {
	if math.IsInf(p, -1) {
		return q
	}
	hi, lo := max(p, q), min(p, q)
	return hi + math.Log1p(math.Exp(lo-hi))
}

// ndtriExp is the x with logNdtr(x) = y, by Newton's method.
func ndtriExp(y float64) float64 {
	z, flipped := y, y > -1e-2
	if flipped {
		z = math.Log(-math.Expm1(y))
	}
	var x float64
	if z < -5 {
		x = -math.Sqrt(-2 * (z + logSqrt2Pi))
	} else {
		x = -math.Sqrt(3) / math.Pi * math.Log(math.Expm1(-z))
	}
	for range 100 {
		l := logNdtr(x)
		dx := (l - z) * math.Exp(l-(-0.5*x*x-logSqrt2Pi))
		x -= dx
		if math.Abs(dx) < 1e-8*math.Abs(x) {
			break
		}
	}
	if flipped {
		return -x
	}
	return x
}

// truncnormPPF is the quantile q of the normal distribution cut to [a, b].
func truncnormPPF(q, a, b float64) float64 {
	switch {
	case a == b:
		return math.NaN()
	case q == 0:
		return a
	case q == 1:
		return b
	case a < 0:
		return ndtriExp(logSum(logNdtr(a), math.Log(q)+logGaussMass(a, b)))
	}
	return -ndtriExp(logSum(logNdtr(-b), math.Log1p(-q)+logGaussMass(a, b)))
}
