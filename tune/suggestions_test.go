package tune

import (
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The golden files hold what Optuna suggested (testdata/suggestions.py). Each
// suggestion is compared, then replaced by Optuna's, so that every one is asked
// on Optuna's own history.

const goldenTrials = 60 // suggestions-cmaes.bin.gz has 120

// replay checks one case against the numbers of a golden file.
type replay struct {
	t      *testing.T
	want   []float64
	trials int // of a study
	worst  float64
}

func readGolden(t *testing.T, name string) []float64 {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	raw, err := io.ReadAll(z)
	require.NoError(t, err)
	out := make([]float64, len(raw)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out
}

// ask suggests one parameter and puts Optuna's value in its place.
func (r *replay) ask(l *Live, name string, d Distribution) float64 {
	r.t.Helper()
	_, err := l.Suggest(context.Background(), name, d)
	require.NoError(r.t, err)
	l.mu.Lock() // parameters are stored a little later, by a timer
	defer l.mu.Unlock()
	got, want := l.trial.Params[name].Value, r.want[0]
	r.want = r.want[1:]
	off := math.Abs(got-want) / max(1e-3, math.Abs(want))
	if !(off <= 1e-9) {
		r.t.Fatalf("%s: trial %d parameter %s: got %v, want %v", r.t.Name(), l.Number(), name, got, want)
	}
	r.worst = max(r.worst, off)
	change := Change{Kind: SetParam, Key: name, Value: want, Dist: d}
	l.trial.Apply(change)
	l.pending = append(l.pending, change)
	return want
}

func float(low, high float64, log bool, step float64) Distribution {
	d, err := NewFloat(low, high, log, step)
	if err != nil {
		panic(err)
	}
	return d
}

func (r *replay) mixed(l *Live) []float64 {
	return []float64{
		r.ask(l, "x", float(-5, 5, false, 0)), r.ask(l, "y", float(1e-5, 1e-1, true, 0)), r.ask(l, "z", float(0, 10, false, 0.5)),
		r.ask(l, "n", Int{1, 20, false, 1}), r.ask(l, "m", Int{1, 128, true, 1}),
		r.ask(l, "c", Categorical{[]any{"a", "b", "c", "d"}}),
	}
}

func (r *replay) conditional(l *Live) []float64 {
	kind := r.ask(l, "kind", Categorical{[]any{"sgd", "adam"}})
	second := "momentum"
	low := 0.0
	if kind == 1 {
		second, low = "beta", 0.8
	}
	return []float64{kind, r.ask(l, second, float(low, 1, false, 0)), r.ask(l, "lr", float(1e-5, 1, true, 0))}
}

// sum adds products one by one: float64() keeps the compiler from fusing them.
func sum(terms ...float64) float64 {
	out := terms[0]
	for _, t := range terms[1:] {
		out = float64(out + t)
	}
	return out
}

func sq(v, k float64) float64 { return float64(float64(v*v) * k) }

func mixedLoss(p []float64) float64 {
	return sum(sq(p[0]-1, 1), sq(float64(p[1]*100)-1, 1), sq(p[2]-3, 0.125), sq(p[3]-7, 0.0625), sq(p[4]-30, 0.001), p[5]*0.5)
}

func conditionalLoss(p []float64) float64 {
	return sum(p[0]*0.25, sq(p[1]-0.875, 1), sq(p[2]-0.01, 1))
}

func (r *replay) study(s Sampler, directions ...Direction) *Study {
	out, err := Create(context.Background(), NewMemory(), "golden", Options{Sampler: s, Directions: directions, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(r.t, err)
	return out
}

func (r *replay) begin(s *Study) *Live {
	l, err := s.Ask(context.Background())
	require.NoError(r.t, err)
	return l
}

func (r *replay) tell(s *Study, l *Live, state State, values ...float64) {
	require.NoError(r.t, s.Tell(context.Background(), l, state, values...))
}

func (r *replay) plain(s *Study, trials int, space func(*Live) []float64, loss func([]float64) float64) {
	sign := float64(1)
	if s.Directions()[0] == Maximize {
		sign = -1
	}
	for range trials {
		l := r.begin(s)
		p := space(l)
		r.tell(s, l, Complete, sign*loss(p))
	}
}

func (r *replay) pruned(s *Study) {
	for i := range r.trials {
		l := r.begin(s)
		v := mixedLoss(r.mixed(l))
		switch {
		case i%3 == 1:
			for step := range 1 + i%4 {
				x := v + 1/(float64(step)+1)
				if i%9 == 0 {
					x = math.NaN()
				}
				require.NoError(r.t, l.Report(int64(step), x))
			}
			r.tell(s, l, Pruned)
		case i%7 == 6:
			r.tell(s, l, Pruned)
		case i%11 == 10:
			r.tell(s, l, Failed)
		default:
			r.tell(s, l, Complete, v)
		}
	}
}

func (r *replay) constrained(s *Study) {
	for range r.trials {
		l := r.begin(s)
		p := r.mixed(l)
		require.NoError(r.t, l.SetConstraint(context.Background(), "sum", p[0]+p[2]-4))
		require.NoError(r.t, l.SetConstraint(context.Background(), "n", p[3]-15))
		r.tell(s, l, Complete, mixedLoss(p))
	}
}

func (r *replay) liar(s *Study) {
	type asked struct {
		l *Live
		p []float64
	}
	var queue []asked
	for range r.trials {
		l := r.begin(s)
		p := r.mixed(l)
		if queue = append(queue, asked{l, p}); len(queue) == 3 {
			r.tell(s, queue[0].l, Complete, mixedLoss(queue[0].p))
			queue = queue[1:]
		}
		require.NoError(r.t, l.change(context.Background(), true)) // as Optuna: seen at once
	}
}

func (r *replay) several(s *Study) {
	for range r.trials {
		l := r.begin(s)
		p := r.mixed(l)
		values := []float64{mixedLoss(p), sum(sq(p[0]+2, 1), p[5]), p[2]*0.5 - p[3]}
		r.tell(s, l, Complete, values[:len(s.Directions())]...)
	}
}

func directionsOf(seed int) []Direction {
	return []Direction{Minimize, Minimize, Maximize}[:2+seed%2]
}

func TestSuggestionsOfOptuna5(t *testing.T) {
	runCases(t, "testdata/suggestions-5.0.0.bin.gz", goldenTrials, casesOfOptuna5())
}

// casesOfOptuna5 are those of testdata/suggestions.py, in its order.
func casesOfOptuna5() []goldenCase {
	no, yes := false, true
	with := func(f func(*TPE)) func(seed int) Sampler {
		return func(seed int) Sampler {
			s := NewTPE(uint64(seed))
			f(s)
			return s
		}
	}
	plain := with(func(*TPE) {})
	one := func(int) []Direction { return []Direction{Minimize} }
	mixed := func(r *replay, s *Study) { r.plain(s, r.trials, r.mixed, mixedLoss) }
	conditional := func(r *replay, s *Study) { r.plain(s, r.trials, r.conditional, conditionalLoss) }
	return []goldenCase{
		{"random", func(seed int) Sampler { return NewRandom(uint64(seed)) }, one, mixed},
		{"default", plain, func(seed int) []Direction { return []Direction{Minimize + Direction(seed%2)} }, mixed},
		{"separate", with(func(s *TPE) { s.Multivariate, s.ConstantLiar = &no, false }), one, mixed},
		{"conditional", plain, one, conditional},
		{"group", with(func(s *TPE) { s.Multivariate, s.Group = &yes, true }), one, conditional},
		{"pruned", plain, one, (*replay).pruned},
		{"constrained", plain, one, (*replay).constrained},
		{"liar", plain, one, (*replay).liar},
		{"separate liar", with(func(s *TPE) { s.Multivariate = &no }), one, (*replay).liar},
		{"several", plain, directionsOf, (*replay).several},
	}
}

func TestSuggestionsOfOptuna4(t *testing.T) {
	runCases(t, "testdata/suggestions-4.9.0.bin.gz", goldenTrials, casesOfOptuna4())
}

func casesOfOptuna4() []goldenCase {
	yes := true
	one := func(int) []Direction { return []Direction{Minimize} }
	mixed := func(r *replay, s *Study) { r.plain(s, r.trials, r.mixed, mixedLoss) }
	plain := func(seed int) Sampler { return NewTPE4(uint64(seed)) }
	return []goldenCase{
		{"default", plain, one, mixed},
		{"multivariate", func(seed int) Sampler {
			s := NewTPE4(uint64(seed))
			s.Multivariate = &yes
			return s
		}, one, mixed},
		{"several", plain, directionsOf, (*replay).several},
	}
}

// TestSuggestionsOfCMAES compares with Optuna's CmaEsSampler.
func TestSuggestionsOfCMAES(t *testing.T) {
	runCases(t, "testdata/suggestions-cmaes.bin.gz", 2*goldenTrials, casesOfCMAES())
}

// casesOfCMAES are those of testdata/suggestions_cmaes.py, in its order.
func casesOfCMAES() []goldenCase {
	with := func(f func(*CMAES)) func(seed int) Sampler {
		return func(seed int) Sampler {
			s := NewCMAES(uint64(seed))
			s.Margin, s.Restart = false, false
			f(s)
			return s
		}
	}
	plain := with(func(*CMAES) {})
	one := func(int) []Direction { return []Direction{Minimize} }
	either := func(seed int) []Direction { return []Direction{Minimize + Direction(seed%2)} }
	mixed := func(r *replay, s *Study) { r.plain(s, r.trials, r.mixed, mixedLoss) }
	return []goldenCase{
		{"valley", plain, one, func(r *replay, s *Study) { r.plain(s, r.trials, r.valley, rosenbrock) }},
		{"mixed", plain, either, mixed},
		{"margin", with(func(s *CMAES) { s.Margin = true }), either, mixed},
		{"separable", with(func(s *CMAES) { s.Separable = true }), either, mixed},
		{"warm start", plain, one, (*replay).warm},
	}
}

func (r *replay) valley(l *Live) []float64 {
	out := make([]float64, 5)
	for i := range out {
		out[i] = r.ask(l, fmt.Sprint("x", i), float(-5, 5, false, 0))
	}
	return out
}

func rosenbrock(x []float64) float64 {
	terms := []float64{0}
	for i := range len(x) - 1 {
		terms = append(terms, sum(sq(x[i+1]-float64(x[i]*x[i]), 100), sq(x[i]-1, 1)))
	}
	return sum(terms...)
}

// warm has a random search first.
func (r *replay) warm(s *Study) {
	const source = 70
	sampler := s.options.Sampler.(*CMAES)
	random := r.study(NewRandom(sampler.seed), Minimize)
	r.plain(random, source, r.mixed, mixedLoss)
	v, err := random.View(context.Background())
	require.NoError(r.t, err)
	sampler.WarmStart = v.Trials
	r.plain(s, r.trials-source, r.mixed, mixedLoss)
}

type goldenCase struct {
	name       string
	sampler    func(seed int) Sampler
	directions func(seed int) []Direction
	run        func(*replay, *Study)
}

func runCases(t *testing.T, file string, trials int, cases []goldenCase) {
	want := readGolden(t, file)
	params := func(c goldenCase) int {
		switch c.name {
		case "conditional", "group":
			return 3
		case "valley":
			return 5
		}
		return 6
	}
	each := 0
	for _, c := range cases {
		each += params(c) * trials
	}
	seeds := len(want) / each
	require.Greater(t, seeds, 1)
	for _, c := range cases {
		size := params(c) * trials
		part := want[:size*seeds]
		want = want[size*seeds:]
		t.Run(c.name, func(t *testing.T) {
			worst := 0.0
			for seed := range seeds {
				if testing.Short() && seed == 5 {
					break
				}
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					r := &replay{t: t, want: part[seed*size : (seed+1)*size], trials: trials}
					c.run(r, r.study(c.sampler(seed), c.directions(seed)...))
					require.Empty(t, r.want)
					worst = max(worst, r.worst)
				})
			}
			t.Logf("largest relative difference %.1e", worst)
		})
	}
	require.Empty(t, want)
}
