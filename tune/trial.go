package tune

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wildtrain/sdk/tune/internal/pyjson"
)

// State says how far a trial is. The numbers are Optuna's.
type State int

// The states. Complete, Pruned and Failed are final.
const (
	Running State = iota
	Complete
	Pruned
	Failed
	Waiting // enqueued, not yet taken by a worker
)

var stateNames = []string{"RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING"}

// String is Optuna's name: "RUNNING", "COMPLETE", "PRUNED", "FAIL" or "WAITING".
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return "State(" + strconv.Itoa(int(s)) + ")"
	}
	return stateNames[s]
}

// ParseState reads what String writes.
func ParseState(name string) (State, error) {
	i := slices.Index(stateNames, name)
	if i < 0 {
		return 0, fmt.Errorf("tune: %q is no state of a trial", name)
	}
	return State(i), nil
}

// Finished reports whether the trial has ended.
func (s State) Finished() bool { return s == Complete || s == Pruned || s == Failed }

// Direction says which values are better. The numbers are Optuna's.
type Direction int

// The directions.
const (
	Minimize Direction = 1
	Maximize Direction = 2
)

// String is Optuna's name.
func (d Direction) String() string {
	switch d {
	case Minimize:
		return "MINIMIZE"
	case Maximize:
		return "MAXIMIZE"
	}
	return "NOT_SET"
}

// ParseDirection reads "minimize" or "maximize" in any case.
func ParseDirection(name string) (Direction, error) {
	switch strings.ToUpper(name) {
	case "MINIMIZE":
		return Minimize, nil
	case "MAXIMIZE":
		return Maximize, nil
	}
	return 0, fmt.Errorf("tune: %q is no direction: want minimize or maximize", name)
}

// loss is v so that smaller is better.
func (d Direction) loss(v float64) float64 {
	if d == Maximize {
		return -v
	}
	return v
}

// Param is one parameter of a trial: its internal value and where it came from.
type Param struct {
	Value float64
	Dist  Distribution
}

// Trial is what a storage keeps of one trial. Trials that a storage or a View
// gives out are shared: read them only.
type Trial struct {
	ID          int64 // within the storage
	Number      int   // within the study, from 0
	State       State
	Values      []float64
	Start, End  time.Time // zero where not yet
	Params      map[string]Param
	Reports     map[int64]float64 // intermediate values by step
	UserAttrs   map[string]string // JSON text by key
	SystemAttrs map[string]string
}

// Value is a parameter as the objective saw it.
func (t *Trial) Value(name string) (any, bool) {
	p, ok := t.Params[name]
	if !ok {
		return nil, false
	}
	return p.Dist.External(p.Value), true
}

// External lists all parameters as the objective saw them.
func (t *Trial) External() map[string]any {
	out := make(map[string]any, len(t.Params))
	for name, p := range t.Params {
		out[name] = p.Dist.External(p.Value)
	}
	return out
}

// LastStep is the greatest reported step; ok is false without a report.
func (t *Trial) LastStep() (step int64, ok bool) {
	step = math.MinInt64
	for s := range t.Reports {
		step, ok = max(step, s), true
	}
	return step, ok
}

// Steps lists the reported steps, ascending.
func (t *Trial) Steps() []int64 { return slices.Sorted(maps.Keys(t.Reports)) }

// constraintKey prefixes a constraint's system attribute; the bare word holds the
// list of Optuna before 5.0.
const constraintKey = "constraints"

// Constraints are the trial's constraint values by name; above 0 is violated.
func (t *Trial) Constraints() map[string]float64 {
	var out map[string]float64
	set := func(key string, v any) {
		if f, ok := number(v); ok {
			if out == nil {
				out = map[string]float64{}
			}
			out[key] = f
		}
	}
	if text, ok := t.SystemAttrs[constraintKey]; ok {
		v, err := pyjson.Parse(text)
		list, _ := v.([]any)
		if err != nil { // an attribute of that name that is something else
			list = nil
		}
		for i, c := range list {
			set(strconv.Itoa(i), c)
		}
	}
	for key, text := range t.SystemAttrs {
		name, ok := strings.CutPrefix(key, constraintKey+":")
		if !ok {
			continue
		}
		if v, err := pyjson.Parse(text); err == nil {
			set(name, v)
		}
	}
	return out
}

// Violation is the sum of the violated constraints, 0 for a feasible trial.
func (t *Trial) Violation() float64 {
	constrained := false
	for key := range t.SystemAttrs {
		constrained = constrained || strings.HasPrefix(key, constraintKey)
	}
	if !constrained { // most trials: samplers ask of all of them again and again
		return 0
	}
	sum := 0.0
	for _, v := range t.Constraints() {
		sum += max(v, 0)
	}
	return sum
}

// Clone copies a trial, so that the copy can be changed.
func (t *Trial) Clone() *Trial {
	c := *t
	c.Values = slices.Clone(t.Values)
	c.Params, c.Reports = maps.Clone(t.Params), maps.Clone(t.Reports)
	c.UserAttrs, c.SystemAttrs = maps.Clone(t.UserAttrs), maps.Clone(t.SystemAttrs)
	return &c
}

// Apply makes changes on a trial of one's own: storages keep their copies with it.
func (t *Trial) Apply(changes ...Change) {
	for _, c := range changes {
		switch c.Kind {
		case SetParam:
			put(&t.Params, c.Key, Param{c.Value, c.Dist})
		case SetReport:
			if _, ok := t.Reports[c.Step]; !ok { // the first value of a step counts
				put(&t.Reports, c.Step, c.Value)
			}
		case SetUserAttr:
			put(&t.UserAttrs, c.Key, c.JSON)
		case SetSystemAttr:
			put(&t.SystemAttrs, c.Key, c.JSON)
		case SetState:
			t.State = c.State
			if c.State == Running {
				t.Start = c.Time
				continue
			}
			t.End, t.Values = c.Time, c.Values
		}
	}
}

func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}
