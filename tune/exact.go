package tune

import "math"

// Where all parameters are categorical, choices that were seen equally often have
// equal scores but for rounding, and Optuna takes the one that rounding favours.
// To take the same one, exponentials and logarithms have to be rounded as the C
// library rounds them: correctly, but for rare cases. Double-double arithmetic
// (Dekker 1971) does that.

// dd is the unevaluated sum of two numbers, the second below the last bit of the first.
type dd struct{ hi, lo float64 }

func twoSum(a, b float64) dd {
	s := a + b
	v := s - a
	return dd{s, (a - (s - v)) + (b - v)}
}

func (a dd) add(b dd) dd {
	s := twoSum(a.hi, b.hi)
	return twoSum(s.hi, s.lo+a.lo+b.lo)
}

func (a dd) mul(b dd) dd {
	p := a.hi * b.hi
	return twoSum(p, math.FMA(a.hi, b.hi, -p)+a.hi*b.lo+a.lo*b.hi)
}

// exactExpDD is exp(x) as (value, power of two).
func exactExpDD(x float64) (dd, int) {
	const ln2Hi, ln2Lo = 0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56
	const squarings, terms = 6, 12
	k := math.RoundToEven(x / math.Ln2)
	p := k * ln2Hi
	r := twoSum(x, -p).add(dd{-math.FMA(k, ln2Hi, -p), 0}).add(dd{-k * ln2Lo, 0})
	r = dd{r.hi / (1 << squarings), r.lo / (1 << squarings)}
	out := dd{1, 0}
	for n := terms; n > 0; n-- { // Horner's rule on 1 + r/1·(1 + r/2·(…))
		q := r.hi / float64(n)
		step := dd{q, (math.FMA(-q, float64(n), r.hi) + r.lo) / float64(n)}
		out = dd{1, 0}.add(step.mul(out))
	}
	for range squarings {
		out = out.mul(out)
	}
	return out, int(k)
}

// exactExp rounds exp(x) correctly but for rare cases.
func exactExp(x float64) float64 {
	if math.IsInf(x, 0) || x < -700 || x > 700 {
		return math.Exp(x)
	}
	v, k := exactExpDD(x)
	return math.Ldexp(v.hi+v.lo, k)
}

// exactLog rounds log(x) correctly but for rare cases: one Newton step.
func exactLog(x float64) float64 {
	y := math.Log(x)
	if math.IsInf(y, 0) || math.IsNaN(y) || y < -700 || y > 700 {
		return y
	}
	v, k := exactExpDD(-y)
	t := v.mul(dd{math.Ldexp(x, k), 0}).add(dd{-1, 0})
	return y + (t.hi + t.lo - t.hi*t.hi/2)
}
