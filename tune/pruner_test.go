package tune

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// decide plays one table of testdata/decisions.py and returns the decisions.
func decide(t *testing.T, table int, p Pruner) string {
	const trials, steps = 9, 12
	ctx, rng := context.Background(), newStream(uint64(table))
	study, err := Create(ctx, NewMemory(), fmt.Sprintf("table%d", table), Options{
		Directions: []Direction{Minimize + Direction(table%2)}, Sampler: NewRandom(0), Pruner: p, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	type item struct {
		live  *Live
		step  int64
		level float64
	}
	parallel := []int{1, 4}[table/2%2]
	eighths := func() float64 { return math.Floor(rng.float()*16) / 8 }
	var out strings.Builder
	var running []*item
	for begun := 0; begun < trials || len(running) > 0; {
		for ; len(running) < parallel && begun < trials; begun++ {
			live, err := study.Ask(ctx)
			require.NoError(t, err)
			running = append(running, &item{live, 0, eighths()})
		}
		var still []*item
		for _, it := range running {
			value := it.level + eighths()
			if rng.float() < 0.03 {
				value = math.NaN()
			}
			if rng.float() < 0.9 {
				require.NoError(t, it.live.change(ctx, true, Change{Kind: SetReport, Step: it.step, Value: value}))
				prune, err := it.live.ShouldPrune(ctx)
				require.NoError(t, err)
				if prune {
					out.WriteByte('1')
					require.NoError(t, study.Tell(ctx, it.live, Pruned))
					continue
				}
				out.WriteByte('0')
			}
			if it.step++; it.step == steps {
				require.NoError(t, study.Tell(ctx, it.live, Complete, it.level))
				continue
			}
			still = append(still, it)
		}
		running = still
	}
	return out.String()
}

func TestDecisionsOfOptuna(t *testing.T) { sameDecisions(t, "testdata/decisions.gz") }

// sameDecisions compares with a file of testdata/decisions.py.
func sameDecisions(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	raw, err := io.ReadAll(z)
	require.NoError(t, err)
	want := strings.Split(string(raw), "\n")
	pruners := []struct {
		name string
		make func() Pruner
	}{
		{"median", func() Pruner { return &Percentile{Percentile: 50, Startup: 2, MinTrials: 1} }},
		{"median at intervals", func() Pruner {
			return &Percentile{Percentile: 50, Interval: Interval{Warmup: 2, Every: 3}, MinTrials: 2}
		}},
		{"percentile", func() Pruner { return &Percentile{Percentile: 25, Startup: 1, MinTrials: 1} }},
		{"halving", func() Pruner { return NewSuccessiveHalving() }},
		{"halving later", func() Pruner { return &SuccessiveHalving{MinResource: 1, Factor: 2, Rate: 1, Bootstrap: 1} }},
		{"hyperband", func() Pruner { return NewHyperband() }},
		{"hyperband of 12", func() Pruner { return &Hyperband{MinResource: 1, MaxResource: 12, Factor: 2} }},
		{"wilcoxon", func() Pruner { return &Wilcoxon{P: 0.3, Startup: 2} }},
		{"patient median", func() Pruner {
			return &Patient{Wrapped: &Percentile{Percentile: 50, Startup: 1, MinTrials: 1}, Patience: 1}
		}},
		{"patient", func() Pruner { return &Patient{Patience: 2, MinDelta: 0.5} }},
		{"threshold", func() Pruner { return &Threshold{Lower: 0.3, Upper: 3.5, Interval: Interval{Warmup: 1, Every: 2}} }},
	}
	tables := len(want) / len(pruners)
	require.Len(t, want, tables*len(pruners))
	require.Greater(t, tables, 20)
	for i, p := range pruners {
		t.Run(p.name, func(t *testing.T) {
			cut := 0
			for table := range tables {
				got := decide(t, table, p.make())
				require.Equal(t, want[tables*i+table], got, "table %d", table)
				cut += strings.Count(got, "1")
			}
			require.Positive(t, cut, "a pruner that never prunes shows nothing")
			t.Logf("%d trials pruned", cut)
		})
	}
}
