package config

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
)

// sweepArgument finds what sort(…) and shuffle(…) work on: list=…, sweep=… or the
// positional arguments.
func (c *call) sweepArgument() ([]any, error) {
	if v, ok := c.named["list"]; ok && v != nil {
		if _, list := v.([]any); !list {
			return nil, problem("%s: list must be a list", c.name)
		}
		return []any{v}, nil
	}
	if v, ok := c.named["sweep"]; ok && v != nil {
		s, sweep := v.(*Sweep)
		if !sweep || s.Kind != ChoiceSweep && s.Kind != RangeSweep {
			return nil, problem("%s: sweep must be a choice or a range", c.name)
		}
		return []any{v}, nil
	}
	for _, a := range c.args {
		if s, ok := a.(*Sweep); a == nil || ok && s.Kind != ChoiceSweep && s.Kind != RangeSweep {
			return nil, problem("%s cannot take %s", c.name, describe(a))
		}
	}
	return c.args, nil
}

func (c *call) shuffle() (any, error) {
	if err := c.only("list", "sweep"); err != nil {
		return nil, err
	}
	args, err := c.sweepArgument()
	if err != nil {
		return nil, err
	}
	if len(args) != 1 {
		for _, a := range args {
			if !parsedElement(a) {
				return nil, problem("shuffle: a sweep cannot stand among values")
			}
		}
		return &Sweep{Kind: ChoiceSweep, Simple: true, choices: args, Shuffle: true}, nil
	}
	switch x := args[0].(type) {
	case *Sweep:
		out := *x
		out.Shuffle = true
		return &out, nil
	case []any:
		out := slices.Clone(x)
		rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		return out, nil
	}
	return []any{args[0]}, nil
}

func (c *call) sort() (any, error) {
	if err := c.only("list", "sweep", "reverse"); err != nil {
		return nil, err
	}
	reverse := false
	if v, ok := c.named["reverse"]; ok {
		if reverse, ok = v.(bool); !ok {
			return nil, problem("sort: reverse must be true or false")
		}
	}
	args, err := c.sweepArgument()
	if err != nil {
		return nil, err
	}
	switch len(args) {
	case 0:
		return nil, problem("sort needs values")
	case 1:
		switch x := args[0].(type) {
		case *Sweep:
			return sortSweep(x, reverse)
		case []any:
			return sorted(x, reverse)
		}
		return args[0], nil
	}
	for _, a := range args {
		switch a.(type) {
		case []any, *pairs, *Sweep:
			return nil, problem("sort: several arguments must be plain values")
		}
	}
	return sortSweep(&Sweep{Kind: ChoiceSweep, Simple: true, choices: args}, reverse)
}

func sortSweep(s *Sweep, reverse bool) (any, error) {
	out := *s
	if s.Kind == ChoiceSweep {
		v, err := sorted(s.choices, reverse)
		out.choices = v
		return &out, err
	}
	// A range is turned round by exchanging its ends.
	descending := toFloat(s.start) > toFloat(s.stop)
	ascending := toFloat(s.start) < toFloat(s.stop)
	if reverse && ascending || !reverse && descending {
		step := absolute(s.step)
		if reverse {
			step = negate(step)
		}
		out.start, out.stop = plus(s.stop, step), plus(s.start, step)
		out.step = negate(s.step)
	}
	return &out, nil
}

// sorted orders values as Python does: numbers among numbers, texts among texts.
func sorted(in []any, reverse bool) ([]any, error) {
	out := slices.Clone(in)
	bad := false
	compare := func(a, b any) int {
		switch x := a.(type) {
		case string:
			if y, ok := b.(string); ok {
				return strings.Compare(x, y)
			}
		case quoted:
		default:
			if isNumber(a) && isNumber(b) {
				return compareNumbers(numberOf(a), numberOf(b))
			}
		}
		bad = true
		return 0
	}
	if len(out) == 1 {
		return out, nil
	}
	slices.SortStableFunc(out, func(a, b any) int {
		if reverse {
			return compare(b, a)
		}
		return compare(a, b)
	})
	if bad {
		return nil, problem("sort: values of different types cannot be ordered")
	}
	return out, nil
}

func compareNumbers(a, b any) int {
	if isWhole(a) && isWhole(b) {
		return toBig(a).Cmp(toBig(b))
	}
	switch x, y := toFloat(a), toFloat(b); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func absolute(v any) any {
	if compareNumbers(v, int64(0)) < 0 {
		return negate(v)
	}
	return v
}

func negate(v any) any {
	if f, ok := v.(float64); ok {
		return -f
	}
	return shrink(new(big.Int).Neg(toBig(v)))
}

func plus(a, b any) any {
	if isWhole(a) && isWhole(b) {
		return shrink(new(big.Int).Add(toBig(a), toBig(b)))
	}
	return toFloat(a) + toFloat(b)
}
