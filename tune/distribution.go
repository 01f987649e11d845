package tune

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/wildtrain/sdk/tune/internal/pyjson"
)

// Distribution is the set of values of one parameter. Values have two forms, as
// in Optuna: what the objective sees (float64, int64 or a choice) and an internal
// number, which for a choice is its index. The implementations are Float, Int
// and Categorical.
type Distribution interface {
	// Single reports whether there is one value only.
	Single() bool
	// Contains reports whether an internal number is one of the values.
	Contains(internal float64) bool
	// Internal gives the number for a value; the value may lie out of range.
	Internal(value any) (float64, error)
	// External gives the value for a number.
	External(internal float64) any
	// Equal reports whether both are the same set on the same scale.
	Equal(Distribution) bool

	json() map[string]any
}

// Float is a range of real numbers [Low, High]; with Log it is searched on a
// logarithmic scale, with a Step above 0 it holds Low, Low+Step, …
type Float struct {
	Low, High float64
	Log       bool
	Step      float64
}

// Int is a range of integers in steps of Step (1 or more); Log needs a step of 1.
type Int struct {
	Low, High int64
	Log       bool
	Step      int64
}

// Categorical is a list of choices: nil, bool, int64, float64 or string.
type Categorical struct{ Choices []any }

// NewFloat checks a range. A High that no step reaches is lowered to the last one.
func NewFloat(low, high float64, log bool, step float64) (Float, error) {
	d := Float{Low: low, High: high, Log: log, Step: step}
	switch {
	case math.IsNaN(low) || math.IsNaN(high) || math.IsInf(low, 0) || math.IsInf(high, 0):
		return d, fmt.Errorf("tune: range [%v, %v] is not finite", low, high)
	case low > high:
		return d, fmt.Errorf("tune: range [%v, %v]: low is above high", low, high)
	case log && low <= 0:
		return d, fmt.Errorf("tune: range [%v, %v]: a logarithmic one begins above 0", low, high)
	case log && step != 0:
		return d, fmt.Errorf("tune: range [%v, %v]: a logarithmic one has no step", low, high)
	case step < 0 || math.IsNaN(step) || math.IsInf(step, 0):
		return d, fmt.Errorf("tune: range [%v, %v]: step %v is not positive", low, high, step)
	}
	if step > 0 {
		d.High = lastStep(low, high, step)
	}
	return d, nil
}

// lastStep is the greatest low + k·step not above high, in exact arithmetic on
// the printed decimals, as Optuna does it.
func lastStep(low, high, step float64) float64 {
	l, h, s := decimal(low), decimal(high), decimal(step)
	q := new(big.Rat).Quo(new(big.Rat).Sub(h, l), s)
	if q.IsInt() {
		return high
	}
	k := new(big.Rat).SetInt(new(big.Int).Quo(q.Num(), q.Denom()))
	out, _ := k.Add(k.Mul(k, s), l).Float64()
	return out
}

func decimal(v float64) *big.Rat {
	r, _ := new(big.Rat).SetString(strconv.FormatFloat(v, 'g', -1, 64)) // finite numbers always parse
	return r
}

// NewInt checks a range. A High that no step reaches is lowered to the last one.
func NewInt(low, high int64, log bool, step int64) (Int, error) {
	d := Int{Low: low, High: high, Log: log, Step: step}
	const most = 1 << 53 // internal numbers are float64
	switch {
	case low > high:
		return d, fmt.Errorf("tune: range [%d, %d]: low is above high", low, high)
	case low < -most || high > most:
		return d, fmt.Errorf("tune: range [%d, %d] leaves ±2⁵³", low, high)
	case step < 1:
		return d, fmt.Errorf("tune: range [%d, %d]: step %d is below 1", low, high, step)
	case log && low < 1:
		return d, fmt.Errorf("tune: range [%d, %d]: a logarithmic one begins at 1 or above", low, high)
	case log && step != 1:
		return d, fmt.Errorf("tune: range [%d, %d]: a logarithmic one has a step of 1", low, high)
	}
	d.High = low + (high-low)/step*step
	return d, nil
}

// NewCategorical checks choices: at least one, each a scalar. Go integers of any
// size become int64, float32 becomes float64.
func NewCategorical(choices ...any) (Categorical, error) {
	if len(choices) == 0 {
		return Categorical{}, errors.New("tune: a categorical parameter wants at least one choice")
	}
	out := make([]any, len(choices))
	for i, c := range choices {
		v, err := scalar(c)
		if err != nil {
			return Categorical{}, fmt.Errorf("tune: choice %d: %w", i, err)
		}
		out[i] = v
	}
	return Categorical{out}, nil
}

// scalar brings a Go value to one of the five types that a store can hold.
func scalar(v any) (any, error) {
	switch x := v.(type) {
	case nil, bool, int64, float64, string:
		return x, nil
	case int:
		return int64(x), nil
	case int32:
		return int64(x), nil
	case float32:
		return float64(x), nil
	}
	return nil, fmt.Errorf("a %T is neither null, bool, number nor text", v)
}

// Single reports whether there is one value only.
func (d Float) Single() bool {
	return d.Low == d.High || d.Step > 0 && new(big.Rat).Sub(decimal(d.High), decimal(d.Low)).Cmp(decimal(d.Step)) < 0
}

// Single reports whether there is one value only.
func (d Int) Single() bool { return d.High-d.Low < d.Step }

// Single reports whether there is one value only.
func (d Categorical) Single() bool { return len(d.Choices) == 1 }

// Contains reports whether v is one of the values.
func (d Float) Contains(v float64) bool {
	if !(d.Low <= v && v <= d.High) {
		return false
	}
	k := (v - d.Low) / d.Step
	return d.Step == 0 || math.Abs(k-math.RoundToEven(k)) < 1e-8
}

// Contains reports whether v is one of the values.
func (d Int) Contains(v float64) bool {
	return float64(d.Low) <= v && v <= float64(d.High) && math.Mod(v-float64(d.Low), float64(d.Step)) == 0
}

// Contains reports whether v is the index of a choice.
func (d Categorical) Contains(v float64) bool { return v >= 0 && int(v) < len(d.Choices) }

// Internal takes any number.
func (d Float) Internal(v any) (float64, error) {
	f, ok := number(v)
	if !ok || math.IsNaN(f) || d.Log && f <= 0 {
		return 0, fmt.Errorf("tune: %v does not fit a real parameter", v)
	}
	return f, nil
}

// Internal takes any number.
func (d Int) Internal(v any) (float64, error) {
	f, ok := number(v)
	if !ok || math.IsNaN(f) || d.Log && f <= 0 {
		return 0, fmt.Errorf("tune: %v does not fit an integer parameter", v)
	}
	return f, nil
}

// Internal gives the index of a choice; 1 and 1.0 are the same, as in Python.
func (d Categorical) Internal(v any) (float64, error) {
	want, err := scalar(v)
	if err != nil {
		return 0, fmt.Errorf("tune: choice: %w", err)
	}
	for i, c := range d.Choices {
		if sameChoice(c, want) {
			return float64(i), nil
		}
	}
	return 0, fmt.Errorf("tune: %v is not one of the choices %v", v, d.Choices)
}

func sameChoice(a, b any) bool {
	if a == b {
		return true
	}
	x, ok := number(a)
	y, ok2 := number(b)
	return ok && ok2 && (x == y || math.IsNaN(x) && math.IsNaN(y))
}

// number reads a Go or JSON number; bool counts, as in Python.
func number(v any) (float64, bool) {
	switch x := v.(type) {
	case float64:
		return x, true
	case int64:
		return float64(x), true
	case int:
		return float64(x), true
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// External is the number itself.
func (d Float) External(v float64) any { return v }

// External is an int64.
func (d Int) External(v float64) any { return int64(v) }

// External is the choice, nil for an index outside.
func (d Categorical) External(v float64) any {
	if !d.Contains(v) {
		return nil
	}
	return d.Choices[int(v)]
}

// Equal reports whether o is the same range.
func (d Float) Equal(o Distribution) bool { x, ok := o.(Float); return ok && x == d }

// Equal reports whether o is the same range.
func (d Int) Equal(o Distribution) bool { x, ok := o.(Int); return ok && x == d }

// Equal reports whether o has the same choices in the same order.
func (d Categorical) Equal(o Distribution) bool {
	x, ok := o.(Categorical)
	return ok && slices.EqualFunc(d.Choices, x.Choices, sameChoice)
}

// Compatible tells whether a parameter of a study may change from a to b: ranges
// may, kind, scale and choices may not.
func Compatible(name string, a, b Distribution) error {
	switch x := a.(type) {
	case Float:
		if y, ok := b.(Float); ok && x.Log == y.Log {
			return nil
		}
	case Int:
		if y, ok := b.(Int); ok && x.Log == y.Log {
			return nil
		}
	case Categorical:
		if x.Equal(b) {
			return nil
		}
	}
	return fmt.Errorf("tune: parameter %s: kind, scale and choices cannot change within a study: it was %v, now %v", name, a, b)
}

func (d Float) json() map[string]any {
	a := map[string]any{"step": nil, "low": d.Low, "high": d.High, "log": d.Log}
	if d.Step > 0 {
		a["step"] = d.Step
	}
	return map[string]any{"name": "FloatDistribution", "attributes": a}
}

func (d Int) json() map[string]any {
	return map[string]any{"name": "IntDistribution", "attributes": map[string]any{"log": d.Log, "step": d.Step, "low": d.Low, "high": d.High}}
}

func (d Categorical) json() map[string]any {
	return map[string]any{"name": "CategoricalDistribution", "attributes": map[string]any{"choices": d.Choices}}
}

// MarshalDistribution writes a distribution as Optuna's stores hold it.
func MarshalDistribution(d Distribution) (string, error) { return pyjson.Marshal(d.json(), false) }

// UnmarshalDistribution reads what MarshalDistribution and Optuna write, the old
// names and the short form (with "type") included.
func UnmarshalDistribution(text string) (Distribution, error) {
	v, err := pyjson.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("tune: distribution: %w", err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("tune: distribution %s is no object", shorten(text))
	}
	name, _ := m["name"].(string)
	attributes, _ := m["attributes"].(map[string]any)
	if short, ok := m["type"].(string); ok {
		name, attributes = short, m
	}
	d, err := distributionOf(name, attributes)
	if err != nil {
		return nil, fmt.Errorf("tune: distribution %s: %w", shorten(text), err)
	}
	return d, nil
}

func shorten(text string) string {
	const most = 100
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

func distributionOf(name string, a map[string]any) (Distribution, error) {
	log, _ := a["log"].(bool)
	switch name {
	case "CategoricalDistribution", "categorical":
		choices, _ := a["choices"].([]any)
		return NewCategorical(choices...)
	case "FloatDistribution", "float", "UniformDistribution", "LogUniformDistribution", "DiscreteUniformDistribution":
		step, _ := number(a["step"])
		if name == "DiscreteUniformDistribution" {
			step, _ = number(a["q"])
		}
		low, ok := number(a["low"])
		high, ok2 := number(a["high"])
		if !ok || !ok2 {
			return nil, errors.New("low or high is missing")
		}
		return NewFloat(low, high, log || name == "LogUniformDistribution", step)
	case "IntDistribution", "int", "IntUniformDistribution", "IntLogUniformDistribution":
		low, ok := a["low"].(int64)
		high, ok2 := a["high"].(int64)
		if !ok || !ok2 {
			return nil, errors.New("low or high is missing or no integer")
		}
		step := int64(1)
		if s, ok := number(a["step"]); ok {
			step = int64(s)
		}
		return NewInt(low, high, log || name == "IntLogUniformDistribution", step)
	}
	return nil, fmt.Errorf("%q is no kind of distribution", name)
}
