package main

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/evaluate"
)

// wholes reads whole numbers with commas between them.
func (v *values) wholes(name string, unless []int) []int {
	return read(v, name, unless, "whole numbers with commas between them", func(s string) ([]int, error) { return each(s, strconv.Atoi) })
}

// floats reads a list with commas, or FROM:TO:STEP with both ends in it.
func (v *values) floats(name string, unless []float64) []float64 {
	return read(v, name, unless, "numbers with commas between them, or FROM:TO:STEP", func(s string) ([]float64, error) {
		if !strings.Contains(s, ":") {
			return each(s, finite)
		}
		ends, err := each(strings.ReplaceAll(s, ":", ","), finite)
		if err != nil || len(ends) != 3 || !(ends[2] > 0 && ends[1] > ends[0]) {
			return nil, errors.New("no range")
		}
		if (ends[1]-ends[0])/ends[2] > 1000 {
			return nil, errors.New("too many")
		}
		return spaced(ends[0], ends[1], int(math.Round((ends[1]-ends[0])/ends[2]))), nil
	})
}

// spaced gives n steps from one number to another, both among them, rounded as
// numpy.linspace rounds.
func spaced(from, to float64, n int) []float64 {
	out := make([]float64, n+1)
	step := (to - from) / float64(n)
	for i := range out {
		out[i] = float64(float64(i)*step) + from
	}
	out[n] = to
	return out
}

// pairs reads NAME:NUMBER with commas between them.
func (v *values) pairs(name string) map[string]float64 {
	return read(v, name, nil, "NAME:NUMBER with commas between them", func(s string) (map[string]float64, error) {
		out := map[string]float64{}
		_, err := each(s, func(part string) (float64, error) {
			at := strings.LastIndex(part, ":") // names may have colons
			if at <= 0 {
				return 0, errors.New("no pair")
			}
			x, err := finite(part[at+1:])
			out[part[:at]] = x
			return x, err
		})
		return out, err
	})
}

// areas reads size classes: NAME:MAX with commas between them, each beginning
// where the one before ends; the last needs no MAX.
func (v *values) areas(name string, unless []evaluate.AreaRange) []evaluate.AreaRange {
	return read(v, name, unless, "NAME:MAX with commas between them, in px², rising; the last one may stand without :MAX", func(s string) ([]evaluate.AreaRange, error) {
		out := evaluate.COCOAreas()[:1]
		most, from := out[0].Max, 0.0
		parts := strings.Split(s, ",")
		for i, part := range parts {
			label, end, ok := strings.Cut(part, ":")
			to := most
			if ok {
				var err error
				if to, err = finite(end); err != nil {
					return nil, err
				}
			}
			if label == "" || to <= from || !ok && i+1 < len(parts) {
				return nil, errors.New("no size class")
			}
			out = append(out, evaluate.AreaRange{Name: label, Min: from, Max: to})
			from = to
		}
		return out, nil
	})
}

// each splits at commas.
func each[T any](list string, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for _, part := range strings.Split(list, ",") {
		x, err := parse(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func finite(s string) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err == nil && (math.IsNaN(x) || math.IsInf(x, 0)) {
		err = errors.New("not finite")
	}
	return x, err
}
