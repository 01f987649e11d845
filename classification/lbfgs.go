package classification

import "math"

// minimize finds the minimum of a smooth convex function by L-BFGS (Nocedal 1980)
// with a backtracking line search (Armijo 1966), from the point x, which it changes.
func minimize(x []float64, f func([]float64) (float64, []float64, error)) ([]float64, error) {
	const memory, most, flat, gain = 10, 1000, 1e-10, 1e-4
	loss, slope, err := f(x)
	var steps, turns [][]float64 // the last changes of x and of the slope
	for range most {
		if err != nil || largest(slope) < flat {
			break
		}
		way := direction(slope, steps, turns)
		fall := dot(way, slope)
		if fall >= 0 { // the memory misleads
			steps, turns = nil, nil
			way = direction(slope, nil, nil)
			fall = dot(way, slope)
		}
		length := 1.0
		if len(steps) == 0 {
			length = min(1, 1/largest(slope))
		}
		moved := false
		for range 40 {
			next := make([]float64, len(x))
			for i := range x {
				next[i] = x[i] + length*way[i]
			}
			nextLoss, nextSlope, nextErr := f(next)
			if nextErr != nil {
				return x, nextErr
			}
			if nextLoss <= loss+gain*length*fall {
				steps, turns = append(steps, minus(next, x)), append(turns, minus(nextSlope, slope))
				if len(steps) > memory {
					steps, turns = steps[1:], turns[1:]
				}
				x, loss, slope, moved = next, nextLoss, nextSlope, true
				break
			}
			length /= 2
		}
		if !moved { // as low as the numbers' precision lets it
			break
		}
	}
	return x, err
}

// direction is minus the slope, bent by what the last steps tell of the curvature.
func direction(slope []float64, steps, turns [][]float64) []float64 {
	q := make([]float64, len(slope))
	for i, v := range slope {
		q[i] = -v
	}
	share := make([]float64, len(steps))
	for i := len(steps) - 1; i >= 0; i-- {
		share[i] = dot(steps[i], q) / dot(steps[i], turns[i])
		add(q, -share[i], turns[i])
	}
	if n := len(steps); n > 0 {
		scale := dot(steps[n-1], turns[n-1]) / dot(turns[n-1], turns[n-1])
		for i := range q {
			q[i] *= scale
		}
	}
	for i := range steps {
		add(q, share[i]-dot(turns[i], q)/dot(steps[i], turns[i]), steps[i])
	}
	return q
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func add(to []float64, factor float64, v []float64) {
	for i := range to {
		to[i] += factor * v[i]
	}
}

func minus(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] - b[i]
	}
	return out
}

func largest(v []float64) (top float64) {
	for _, x := range v {
		top = max(top, math.Abs(x))
	}
	return top
}
