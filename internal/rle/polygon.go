package rle

import (
	"fmt"
	"math"
	"slices"
)

// scale is how much finer than pixels the boundary of a polygon is walked.
const scale = 5

// MaxBoundary bounds the points of one polygon's finely walked boundary.
const MaxBoundary = 1 << 24

// Polygon fills a polygon, given as x, y in turn, by the rule of the COCO API.
func Polygon(height, width int, xy []float64) (*Mask, error) {
	if err := checkSize(height, width); err != nil {
		return nil, err
	}
	if len(xy) < 6 || len(xy)%2 != 0 {
		return nil, fmt.Errorf("rle: fill polygon: %d numbers, want an even number of at least 6", len(xy))
	}
	if !finite(xy) {
		return nil, fmt.Errorf("rle: fill polygon: a coordinate is not finite or beyond ±%d", 1<<20)
	}
	u, v, err := boundary(xy)
	if err != nil {
		return nil, err
	}
	return fill(height, width, crossings(height, width, u, v)), nil
}

// Rectangle is the mask of a box, as the COCO API makes it of its corners.
func Rectangle(height, width int, x, y, w, h float64) (*Mask, error) {
	return Polygon(height, width, []float64{x, y, x, y + h, x + w, y + h, x + w, y})
}

func abs(x int) int { return max(x, -x) }

// boundary walks the polygon's edges on the fine grid.
func boundary(xy []float64) (u, v []int, err error) {
	k := len(xy) / 2
	x, y := make([]int, k+1), make([]int, k+1)
	for j := range k {
		x[j] = int(float64(scale*xy[2*j]) + .5)
		y[j] = int(float64(scale*xy[2*j+1]) + .5)
	}
	x[k], y[k] = x[0], y[0]
	n := 0
	for j := range k {
		n += max(abs(x[j]-x[j+1]), abs(y[j]-y[j+1])) + 1
		if n > MaxBoundary {
			return nil, nil, fmt.Errorf("rle: fill polygon: its boundary has more than %d points", MaxBoundary)
		}
	}
	u, v = make([]int, 0, n), make([]int, 0, n)
	for j := range k {
		u, v = edge(u, v, x[j], x[j+1], y[j], y[j+1])
	}
	return u, v, nil
}

// edge appends the points of one edge, in its direction.
func edge(u, v []int, xs, xe, ys, ye int) ([]int, []int) {
	dx, dy := abs(xe-xs), abs(ys-ye)
	if dx == 0 && dy == 0 {
		return append(u, xs), append(v, ys)
	}
	flip := dx >= dy && xs > xe || dx < dy && ys > ye
	if flip {
		xs, xe, ys, ye = xe, xs, ye, ys
	}
	n := max(dx, dy)
	for d := range n + 1 {
		t := d
		if flip {
			t = n - d
		}
		if dx >= dy {
			s := float64(ye-ys) / float64(dx)
			u, v = append(u, t+xs), append(v, int(float64(ys)+float64(s*float64(t))+.5))
		} else {
			s := float64(xe-xs) / float64(dy)
			u, v = append(u, int(float64(xs)+float64(s*float64(t))+.5)), append(v, t+ys)
		}
	}
	return u, v
}

// crossings are the places, counted down the columns, where the boundary
// crosses the middle of a column: there the mask changes its value.
func crossings(height, width int, u, v []int) []uint32 {
	var out []uint32
	for j := 1; j < len(u); j++ {
		if u[j] == u[j-1] {
			continue
		}
		low := u[j] - 1
		if u[j] < u[j-1] {
			low = u[j]
		}
		x := (float64(low)+.5)/scale - .5
		if math.Floor(x) != x || x < 0 || x > float64(width-1) {
			continue
		}
		y := (float64(min(v[j], v[j-1]))+.5)/scale - .5
		y = math.Ceil(min(max(y, 0), float64(height)))
		out = append(out, uint32(int(x)*height+int(y)))
	}
	return out
}

// fill turns crossings into runs; two at one place cancel out.
func fill(height, width int, at []uint32) *Mask {
	at = append(at, uint32(height*width))
	slices.Sort(at)
	var before uint32
	for j, t := range at {
		at[j] = t - before
		before = t
	}
	runs := []uint32{at[0]}
	for j := 1; j < len(at); j++ {
		if at[j] > 0 {
			runs = append(runs, at[j])
			continue
		}
		if j++; j < len(at) {
			runs[len(runs)-1] += at[j]
		}
	}
	return &Mask{height, width, runs}
}
