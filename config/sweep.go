package config

import (
	"math/big"
	"math/rand/v2"
	"path"
	"strconv"
)

// SweepKind says how a Sweep's values are given.
type SweepKind uint8

// The kinds: listed choices, a range with a step, an interval (which only a
// tuner can search) and a pattern over the options of a group.
const (
	ChoiceSweep SweepKind = iota
	RangeSweep
	IntervalSweep
	GlobSweep
)

// Sweep is a set of values for one key: a,b,c or choice(…), range(…),
// interval(…), glob(…).
type Sweep struct {
	Kind             SweepKind
	Simple           bool     // written a,b,c
	Tags             []string // of tag(…)
	Shuffle          bool
	choices          []any
	start, stop      any // int64, *big.Int or float64
	step             any
	include, exclude []string
}

// Interval returns the bounds of an interval(…).
func (s *Sweep) Interval() (low, high float64) {
	return toFloat(s.start), toFloat(s.stop)
}

// maxSweep bounds the values of one range and the jobs of one sweep.
const maxSweep = 20_000

// values lists the sweep's values. options are those of the group, for glob.
func (s *Sweep) values(options []string, rnd *rand.Rand) ([]any, error) {
	var out []any
	switch s.Kind {
	case ChoiceSweep:
		out = append(out, s.choices...)
	case GlobSweep:
		for _, o := range options {
			if matches(o, s.include) && !matches(o, s.exclude) {
				out = append(out, o)
			}
		}
		return out, nil
	case RangeSweep:
		var err error
		if out, err = s.numbers(); err != nil {
			return nil, err
		}
	default:
		return nil, problem("an interval cannot be listed; a tuner can search it")
	}
	if s.Shuffle && rnd != nil {
		rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out, nil
}

// matches is Python's fnmatch without its case folding.
func matches(name string, patterns []string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); err == nil && ok {
			return true
		}
	}
	return false
}

// numbers lists the range. Fractions add up exactly in decimals of 28 digits, as
// in Hydra.
func (s *Sweep) numbers() ([]any, error) {
	if isWhole(s.start) && isWhole(s.stop) && isWhole(s.step) {
		return wholeRange(toBig(s.start), toBig(s.stop), toBig(s.step))
	}
	start, stop, step := toDecimal(s.start), toDecimal(s.stop), toDecimal(s.step)
	if start == nil || stop == nil || step == nil || step.Sign() == 0 {
		return nil, problem("range from %s to %s by %s is not valid", pyStr(s.start), pyStr(s.stop), pyStr(s.step))
	}
	count := new(big.Rat).Quo(new(big.Rat).Sub(stop, start), step)
	if count.Cmp(big.NewRat(maxSweep, 1)) > 0 {
		return nil, problem("range has more than %d values", maxSweep)
	}
	var out []any
	for start.Cmp(stop)*step.Sign() < 0 {
		f, _ := start.Float64()
		out = append(out, f)
		start = round28(new(big.Rat).Add(start, step))
	}
	return out, nil
}

func wholeRange(start, stop, step *big.Int) ([]any, error) {
	if step.Sign() == 0 {
		return nil, problem("a range needs a step other than 0")
	}
	count := new(big.Int).Quo(new(big.Int).Sub(stop, start), step)
	if count.Cmp(big.NewInt(maxSweep)) > 0 {
		return nil, problem("range has more than %d values", maxSweep)
	}
	var out []any
	for at := start; at.Cmp(stop)*step.Sign() < 0; at = new(big.Int).Add(at, step) {
		out = append(out, shrink(at))
	}
	return out, nil
}

// round28 rounds half to even to 28 significant digits: Python's decimal context.
func round28(r *big.Rat) *big.Rat {
	if r.Sign() == 0 {
		return r
	}
	f := new(big.Float).SetPrec(400).SetRat(r)
	out, ok := new(big.Rat).SetString(f.Text('e', 27))
	if !ok {
		return r
	}
	return out
}

func toDecimal(v any) *big.Rat {
	switch x := v.(type) {
	case float64:
		return new(big.Rat).SetFloat64(x)
	case int64, *big.Int:
		return new(big.Rat).SetInt(toBig(x))
	}
	return nil
}

func isWhole(v any) bool {
	switch v.(type) {
	case int64, *big.Int:
		return true
	}
	return false
}

func toBig(v any) *big.Int {
	switch x := v.(type) {
	case int64:
		return big.NewInt(x)
	case *big.Int:
		return x
	}
	return new(big.Int)
}

func toFloat(v any) float64 {
	switch x := v.(type) {
	case float64:
		return x
	case int64:
		return float64(x)
	case *big.Int:
		f, _ := strconv.ParseFloat(x.String(), 64) // out of range gives infinity, which is wanted
		return f
	}
	return 0
}

// Jobs expands overrides that hold sweeps into the overrides of each job: the
// product of all values in the order of the arguments, the first varying slowest.
// options lists the options of a group, for glob(…). Shuffled sweeps draw from
// seed.
func Jobs(overrides []*Override, options func(group string) []string, seed uint64) ([][]string, error) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	var lists [][]string
	at := map[string]int{}
	for _, o := range overrides {
		list, err := o.lines(options, rnd)
		if err != nil {
			x := problem("%s", err.Error())
			x.File = "override " + shorten(o.Line)
			return nil, x
		}
		if i, ok := at[o.element()]; ok {
			lists[i] = list
			continue
		}
		at[o.element()] = len(lists)
		lists = append(lists, list)
	}
	jobs := [][]string{nil}
	for _, list := range lists {
		if len(jobs)*len(list) > maxSweep {
			return nil, problem("the sweep has more than %d jobs", maxSweep)
		}
		next := make([][]string, 0, len(jobs)*len(list))
		for _, job := range jobs {
			for _, line := range list {
				next = append(next, append(job[:len(job):len(job)], line))
			}
		}
		jobs = next
	}
	return jobs, nil
}

// lines writes the override once for each value of its sweep.
func (o *Override) lines(options func(string) []string, rnd *rand.Rand) ([]string, error) {
	key := o.element()
	switch {
	case o.Op == Delete && !o.HasValue:
		return []string{key}, nil
	case o.Op == Extend:
		return []string{key + "+=" + overrideText(o.value)}, nil
	}
	s := o.Sweep()
	if s == nil {
		return []string{key + "=" + overrideText(o.value)}, nil
	}
	var names []string
	if options != nil {
		names = options(o.Key)
	}
	values, err := s.values(names, rnd)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = key + "=" + overrideText(v)
	}
	return out, nil
}
