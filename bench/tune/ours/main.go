// Command ours is our side of bench/tune: it runs a study and prints JSON.
//
//	ours quality SAMPLER PROBLEM TRIALS SEEDS    one number a seed: smaller is better
//	ours speed STORE TRIALS                      milliseconds a trial of TPE with ten parameters
//
// STORE is memory, or an address of rdb.OpenURL, or journal:FILE. quality.py and
// speed.py are the other side, and compare.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/journal"
	"github.com/wildtrain/sdk/tune/rdb"
)

func main() {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	out, err := run(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) (any, error) {
	switch {
	case len(args) == 5 && args[0] == "quality":
		return quality(args[1], args[2], args[3], args[4])
	case len(args) == 3 && args[0] == "speed":
		return speed(args[1], args[2])
	}
	return nil, errors.New("usage: ours quality SAMPLER PROBLEM TRIALS SEEDS | ours speed STORE TRIALS")
}

// problem is a function of x0 … (floats) and, where mixed, of n0, n1 (integers)
// and c (a choice).
type problem struct {
	floats    int
	low, high float64
	mixed     bool
	values    func(x []float64, n []int64, c string) []float64
}

// problems are those of quality.py.
var problems = map[string]problem{
	"sphere": {5, -5, 5, false, func(x []float64, _ []int64, _ string) []float64 { return []float64{sphere(x)} }},
	"rosenbrock": {5, -5, 5, false, func(x []float64, _ []int64, _ string) []float64 {
		sum := 0.0
		for i := range len(x) - 1 {
			a, b := x[i+1]-x[i]*x[i], 1-x[i]
			sum += 100*a*a + b*b
		}
		return []float64{sum}
	}},
	"rastrigin": {5, -5.12, 5.12, false, func(x []float64, _ []int64, _ string) []float64 {
		sum := 10 * float64(len(x))
		for _, v := range x {
			sum += v*v - 10*math.Cos(2*math.Pi*v)
		}
		return []float64{sum}
	}},
	"mixed": {3, -5, 5, true, func(x []float64, n []int64, c string) []float64 {
		a, b := float64(n[0]-7), float64(n[1]-30)
		return []float64{sphere(x) + a*a/4 + b*b/100 + 2*float64(strings.Index("abcd", c))}
	}},
	"zdt1": {10, 0, 1, false, func(x []float64, _ []int64, _ string) []float64 {
		sum := 0.0
		for _, v := range x[1:] {
			sum += v
		}
		g := 1 + 9*sum/float64(len(x)-1)
		return []float64{x[0], g * (1 - math.Sqrt(x[0]/g))}
	}},
}

func sphere(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return sum
}

func (p problem) objective(_ context.Context, l *tune.Live) ([]float64, error) {
	x := make([]float64, p.floats)
	for i := range x {
		v, err := l.Float("x"+strconv.Itoa(i), p.low, p.high, false)
		if err != nil {
			return nil, err
		}
		x[i] = v
	}
	if !p.mixed {
		return p.values(x, nil, ""), nil
	}
	n0, err := l.Int("n0", 1, 20, false)
	n1, err1 := l.Int("n1", 1, 100, false)
	c, err2 := l.Categorical("c", "a", "b", "c", "d")
	if err := errors.Join(err, err1, err2); err != nil {
		return nil, err
	}
	return p.values(x, []int64{n0, n1}, c.(string)), nil
}

func quality(sampler, name, trials, seeds string) (any, error) {
	p, ok := problems[name]
	n, err := strconv.Atoi(trials)
	most, err2 := strconv.Atoi(seeds)
	if err := errors.Join(err, err2); err != nil || !ok {
		return nil, errors.Join(err, fmt.Errorf("problem %q", name))
	}
	out := []float64{}
	for seed := range uint64(most) {
		s, err := tune.NewSampler(sampler, seed, tune.Space{})
		if err != nil {
			return nil, err
		}
		v, err := score(s, p, n, name == "zdt1")
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// score is the best value of a study, or how much of [0, 1.1]² its front misses.
func score(s tune.Sampler, p problem, trials int, several bool) (float64, error) {
	ctx, directions := context.Background(), []tune.Direction{tune.Minimize}
	if several {
		directions = append(directions, tune.Minimize)
	}
	study, err := tune.Create(ctx, tune.NewMemory(), "quality", tune.Options{Sampler: s, Directions: directions})
	if err == nil {
		err = study.Optimize(ctx, tune.Plan{Trials: trials}, p.objective)
	}
	if err != nil {
		return 0, err
	}
	v, err := study.View(ctx)
	if err != nil || !several {
		return v.Best().Values[0], err
	}
	return 1.1*1.1 - area(v.Pareto(), 1.1), nil
}

// area is what a front of two objectives dominates below (reference, reference).
func area(front []*tune.Trial, reference float64) float64 {
	slices.SortFunc(front, func(a, b *tune.Trial) int { return int(math.Copysign(1, a.Values[0]-b.Values[0])) })
	sum, top := 0.0, reference
	for _, t := range front {
		if x, y := t.Values[0], t.Values[1]; x < reference && y < top {
			sum, top = sum+(reference-x)*(top-y), y
		}
	}
	return sum
}

func speed(store, trials string) (any, error) {
	n, err := strconv.Atoi(trials)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	var s tune.Storage = tune.NewMemory()
	if file, ok := strings.CutPrefix(store, "journal:"); ok {
		s, err = journal.Open(file)
	} else if store != "memory" {
		s, err = rdb.OpenURL(ctx, store)
	}
	if err != nil {
		return nil, err
	}
	study, err := tune.Create(ctx, s, "speed", tune.Options{Sampler: tune.NewTPE(1)})
	if err != nil {
		return nil, err
	}
	p := problem{10, -5, 5, false, problems["sphere"].values}
	begun, used := time.Now(), processorSeconds()
	err = study.Optimize(ctx, tune.Plan{Trials: n}, p.objective)
	each := func(seconds float64) float64 { return 1000 * seconds / float64(n) }
	return map[string]float64{
		"ms_per_trial": each(time.Since(begun).Seconds()), "cpu_ms_per_trial": each(processorSeconds() - used),
	}, errors.Join(err, s.Close())
}

// processorSeconds are those of all threads of this process.
func processorSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return math.NaN()
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
