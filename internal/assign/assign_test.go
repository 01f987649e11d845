package assign

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func total(cost []float64, cols int, colOf []int) float64 {
	sum := 0.0
	for i, j := range colOf {
		if j >= 0 {
			sum += cost[i*cols+j]
		}
	}
	return sum
}

// brute is the least sum over all ways to give rows columns of their own.
func brute(cost []float64, rows, cols int) float64 {
	if rows > cols {
		cost, rows, cols = transposed(cost, rows, cols), cols, rows
	}
	used := make([]bool, cols)
	var best func(row int) float64
	best = func(row int) float64 {
		if row == rows {
			return 0
		}
		least := math.Inf(1)
		for j := range cols {
			if !used[j] {
				used[j] = true
				least = min(least, cost[row*cols+j]+best(row+1))
				used[j] = false
			}
		}
		return least
	}
	return best(0)
}

func TestSolveIsOptimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(0, 6).Draw(t, "rows"), rapid.IntRange(0, 6).Draw(t, "cols")
		value := rapid.OneOf(rapid.Float64Range(-100, 100), rapid.Map(rapid.IntRange(-2, 2), func(i int) float64 { return float64(i) }))
		cost := rapid.SliceOfN(value, rows*cols, rows*cols).Draw(t, "cost")
		before := slices.Clone(cost)
		got, err := Solve(cost, rows, cols)
		require.NoError(t, err)
		require.Equal(t, before, cost, "the costs are left alone")
		require.Len(t, got, rows)
		taken, pairs := map[int]bool{}, 0
		for _, j := range got {
			require.GreaterOrEqual(t, j, -1)
			require.Less(t, j, cols)
			if j >= 0 {
				require.False(t, taken[j], "column %d twice", j)
				taken[j] = true
				pairs++
			}
		}
		require.Equal(t, min(rows, cols), pairs)
		require.InDelta(t, brute(cost, rows, cols), total(cost, cols, got), 1e-9)
		again, err := Solve(cost, rows, cols)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

// The pairs, not only their sum, are scipy's; the sizes are those of detectors
// and the costs have ties.
func TestSolveEqualsScipy(t *testing.T) {
	data, err := os.ReadFile("testdata/scipy.json")
	require.NoError(t, err)
	var golden struct {
		Cases []struct {
			Rows, Cols int
			Cost       []float64
			Columns    []int
		}
	}
	require.NoError(t, json.Unmarshal(data, &golden))
	require.Len(t, golden.Cases, 12)
	for i, c := range golden.Cases {
		t.Run(fmt.Sprintf("%d %dx%d", i, c.Rows, c.Cols), func(t *testing.T) {
			got, err := Solve(c.Cost, c.Rows, c.Cols)
			require.NoError(t, err)
			require.Equal(t, c.Columns, got)
		})
	}
}

func TestBadCostsAreRefused(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := Solve([]float64{1, 2, 3, bad}, 2, 2)
		require.ErrorContains(t, err, "row 1 and column 1")
	}
	_, err := Solve([]float64{1, 2, 3}, 2, 2)
	require.ErrorContains(t, err, "2×2")
	got, err := Solve([]float64{math.MaxFloat32, 1, 2, math.MaxFloat32}, 2, 2)
	require.NoError(t, err)
	require.Equal(t, []int{1, 0}, got)
}

func BenchmarkSolve(b *testing.B) {
	const queries, objects = 300, 40
	cost := make([]float64, queries*objects)
	for i := range cost {
		cost[i] = math.Mod(float64(i)*0.618033988749895, 1)
	}
	for b.Loop() {
		if _, err := Solve(cost, queries, objects); err != nil {
			b.Fatal(err)
		}
	}
}
