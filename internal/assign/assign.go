// Package assign solves the linear assignment problem: each row of a cost matrix
// gets a column of its own, such that the sum of the costs is least.
package assign

import (
	"fmt"
	"math"
)

// Solve returns the column of each row, −1 for rows that get none, such that
// min(rows, cols) pairs are made and the sum of their costs is least. cost holds
// rows·cols values row by row; a NaN or infinite one is an error. Of assignments
// of equal cost the same is returned every time.
//
// It is the method of shortest augmenting paths (Jonker and Volgenant 1987) in
// the form for rectangular matrices of Crouse, "On implementing 2D rectangular
// assignment algorithms", 2016: O(min² · max) operations.
func Solve(cost []float64, rows, cols int) ([]int, error) {
	if rows < 0 || cols < 0 || len(cost) != rows*cols {
		return nil, fmt.Errorf("assign: solve: %d costs are no %d×%d matrix", len(cost), rows, cols)
	}
	for i, c := range cost {
		if math.IsNaN(c) || math.IsInf(c, 0) {
			return nil, fmt.Errorf("assign: solve: the cost of row %d and column %d is %g", i/cols, i%cols, c)
		}
	}
	if rows <= cols {
		return newProblem(cost, rows, cols).solve(), nil
	}
	out := make([]int, rows)
	for i := range out {
		out[i] = -1
	}
	for col, row := range newProblem(transposed(cost, rows, cols), cols, rows).solve() {
		out[row] = col
	}
	return out, nil
}

func transposed(cost []float64, rows, cols int) []float64 {
	out := make([]float64, len(cost))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = cost[i*cols+j]
		}
	}
	return out
}

// problem is an assignment of no more rows than columns in the making, with its
// dual solution: u[i] + v[j] ≤ cost[i][j], equal where i and j are paired.
type problem struct {
	cost       []float64
	rows, cols int
	u, v       []float64
	colOf      []int // of rows, −1 for none yet
	rowOf      []int // of columns, −1 for none yet

	// The search for one path.
	shortest []float64 // length of the shortest path to each column
	from     []int     // the row before each column on it
	inRow    []bool    // rows and columns whose distance is final
	inCol    []bool
	open     []int // columns whose distance is not final
}

func newProblem(cost []float64, rows, cols int) *problem {
	p := &problem{
		cost: cost, rows: rows, cols: cols,
		u: make([]float64, rows), v: make([]float64, cols), colOf: make([]int, rows), rowOf: make([]int, cols),
		shortest: make([]float64, cols), from: make([]int, cols), inRow: make([]bool, rows), inCol: make([]bool, cols), open: make([]int, cols),
	}
	for i := range p.colOf {
		p.colOf[i] = -1
	}
	for j := range p.rowOf {
		p.rowOf[j] = -1
	}
	return p
}

func (p *problem) solve() []int {
	for row := range p.rows {
		end, length := p.search(row)
		p.adjust(row, length)
		p.augment(row, end)
	}
	return p.colOf
}

// search finds the shortest path of reduced costs from an unpaired row to an
// unpaired column (Dijkstra) and returns the column and the path's length.
func (p *problem) search(row int) (end int, length float64) {
	clear(p.inRow)
	clear(p.inCol)
	open := p.open[:p.cols]
	for j := range p.cols {
		p.shortest[j] = math.Inf(1)
		open[j] = p.cols - 1 - j
	}
	for end = -1; end < 0; {
		p.inRow[row] = true
		nearest, least := -1, math.Inf(1)
		for k, j := range open {
			if d := length + p.cost[row*p.cols+j] - p.u[row] - p.v[j]; d < p.shortest[j] {
				p.shortest[j], p.from[j] = d, row
			}
			// of columns equally near an unpaired one ends the search
			if d := p.shortest[j]; nearest < 0 || d < least || d == least && p.rowOf[j] < 0 {
				nearest, least = k, d
			}
		}
		j := open[nearest]
		length = least
		p.inCol[j] = true
		open[nearest] = open[len(open)-1]
		open = open[:len(open)-1]
		if row = p.rowOf[j]; row < 0 {
			end = j
		}
	}
	return end, length
}

// adjust keeps the dual solution feasible, and tight along the path found.
func (p *problem) adjust(row int, length float64) {
	p.u[row] += length
	for i, in := range p.inRow {
		if in && i != row {
			p.u[i] += length - p.shortest[p.colOf[i]]
		}
	}
	for j, in := range p.inCol {
		if in {
			p.v[j] -= length - p.shortest[j]
		}
	}
}

// augment pairs along the path from row to the column at its end.
func (p *problem) augment(row, end int) {
	for j := end; ; {
		i := p.from[j]
		p.rowOf[j] = i
		p.colOf[i], j = j, p.colOf[i]
		if i == row {
			return
		}
	}
}
