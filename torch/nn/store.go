package nn

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Entry is one tensor of a Store.
type Entry struct {
	Name   string
	Tensor *torch.Tensor
	Buffer bool           // not a parameter: no gradient, no optimiser
	Role   wildtrain.Role // what kind of parameter it is
	Fixed  bool           // a parameter that never trains
	frozen bool
}

// Trains reports whether the optimiser may change the entry.
func (e *Entry) Trains() bool { return !e.Buffer && !e.Fixed && !e.frozen }

// Store owns the parameters and buffers of one model, in the order in which
// they were built. It is not safe for concurrent use.
type Store struct {
	root    *torch.Scope
	entries []*Entry
	index   map[string]*Entry
	source  wildtrain.State
	load    LoadReport
	unit    *torch.Tensor // the constant 1
	modules []any
}

// NewStore returns an empty store on a device. A source, which may be nil,
// gives values to what is built; names that it lacks are initialised.
func NewStore(dev torch.Device, source wildtrain.State) *Store {
	return &Store{root: torch.NewRoot(dev), index: map[string]*Entry{}, source: source}
}

// Root returns the builder of the empty prefix.
func (s *Store) Root() *Builder { return &Builder{store: s} }

// Scope is the root scope that owns the tensors.
func (s *Store) Scope() *torch.Scope { return s.root }

// Device is where the tensors are.
func (s *Store) Device() torch.Device { return s.root.Device() }

// Close frees all tensors.
func (s *Store) Close() error {
	s.root.Close()
	s.entries, s.index = nil, map[string]*Entry{}
	return nil
}

// Entries returns all entries in building order.
func (s *Store) Entries() []*Entry { return s.entries }

// Lookup finds an entry by its full name.
func (s *Store) Lookup(name string) (*Entry, bool) {
	e, ok := s.index[name]
	return e, ok
}

// Parameters counts the numbers in all parameters, buffers excluded.
func (s *Store) Parameters() int64 {
	var n int64
	for _, e := range s.entries {
		if !e.Buffer {
			n += e.Tensor.Len()
		}
	}
	return n
}

// Register notes a module, so that Modules finds it whatever it is nested in.
func (s *Store) Register(module any) { s.modules = append(s.modules, module) }

// Modules returns what was registered, in building order.
func (s *Store) Modules() []any { return s.modules }

// State is a view of all entries.
func (s *Store) State() torch.State {
	st := make(torch.State, len(s.entries))
	for _, e := range s.entries {
		st[e.Name] = e.Tensor
	}
	return st
}

// Trainable returns the entries that the optimiser may change, in building order.
func (s *Store) Trainable() []*Entry {
	var out []*Entry
	for _, e := range s.entries {
		if e.Trains() {
			out = append(out, e)
		}
	}
	return out
}

// Freeze stops training of all parameters whose name starts with one of the
// prefixes (at a dot) and lets the others train. A prefix that matches nothing is an error.
func (s *Store) Freeze(prefixes ...string) error {
	used := make([]bool, len(prefixes))
	for _, e := range s.entries {
		e.frozen = false
		for i, p := range prefixes {
			if e.Name == p || strings.HasPrefix(e.Name, strings.TrimSuffix(p, ".")+".") {
				e.frozen, used[i] = true, true
			}
		}
		if e.Buffer {
			continue
		}
		if err := e.Tensor.SetRequiresGrad(e.Trains()); err != nil {
			return err
		}
	}
	for i, p := range prefixes {
		if !used[i] {
			return fmt.Errorf("nn: freeze: no parameter under %q", p)
		}
	}
	return nil
}

// Frozen reports whether the entry of that name was frozen.
func (s *Store) Frozen(name string) bool {
	e, ok := s.index[name]
	return ok && e.frozen
}

// ChannelsLast gives all kernels the NHWC layout, in which convolutions are
// fastest on most devices. Stored files do not change by it.
func (s *Store) ChannelsLast() error {
	return torch.Run(context.Background(), s.Device(), torch.Inference, func(sc *torch.Scope) error {
		for _, e := range s.entries {
			if e.Tensor.Dim() == 4 {
				if err := e.Tensor.SetData(sc.Borrow(e.Tensor).ToChannelsLast()); err != nil {
					return err
				}
			}
		}
		return sc.Err()
	})
}

// LoadReport tells how names and shapes of a source met those of a model.
type LoadReport struct {
	Loaded     int
	Missing    []string // in the model, not in the source
	Unexpected []string // in the source, not in the model
	Misshaped  []string // "name: model [64 3 3 3], source [32 3 3 3]"
}

// Complete reports whether every tensor met its like.
func (r LoadReport) Complete() bool {
	return len(r.Missing)+len(r.Unexpected)+len(r.Misshaped) == 0
}

// Err describes what did not fit, nil where everything did.
func (r LoadReport) Err() error {
	if r.Complete() {
		return nil
	}
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"missing", r.Missing}, {"unexpected", r.Unexpected}, {"mis-shaped", r.Misshaped}} {
		if n := len(p.names); n > 0 {
			shown := p.names[:min(n, 8)]
			text := fmt.Sprintf("%d %s: %s", n, p.what, strings.Join(shown, ", "))
			if n > len(shown) {
				text += ", …"
			}
			parts = append(parts, text)
		}
	}
	return fmt.Errorf("nn: load state: %s", strings.Join(parts, "; "))
}

// Finish ends building: it reports how the source's names met the model's.
// Without a source the report is empty and complete.
func (s *Store) Finish() LoadReport {
	if s.source != nil {
		for _, n := range s.source.Names() {
			if _, ok := s.index[n]; !ok {
				s.load.Unexpected = append(s.load.Unexpected, n)
			}
		}
		s.source = nil
	}
	sort.Strings(s.load.Missing)
	return s.load
}

// Load writes the values of src into the model by name, converting types.
// What does not fit is left as it is and reported.
func (s *Store) Load(src wildtrain.State) LoadReport {
	s.source, s.load = src, LoadReport{}
	for _, e := range s.entries {
		s.fill(e)
	}
	return s.Finish()
}

// fill gives e its value from the source and reports whether it had one.
func (s *Store) fill(e *Entry) bool {
	if s.source == nil {
		return false
	}
	info, ok := s.source.Info(e.Name)
	if !ok {
		s.load.Missing = append(s.load.Missing, e.Name)
		return false
	}
	shape := e.Tensor.Shape()
	if !sameShape(shape, info.Shape) {
		s.load.Misshaped = append(s.load.Misshaped, fmt.Sprintf("%s: model %v, source %v", e.Name, shape, info.Shape))
		return false
	}
	raw := make([]byte, info.Bytes())
	err := s.source.Read(e.Name, raw)
	if err == nil {
		err = writeAs(e.Tensor, raw, info)
	}
	if err != nil {
		s.load.Misshaped = append(s.load.Misshaped, fmt.Sprintf("%s: %v", e.Name, err))
		return false
	}
	s.load.Loaded++
	return true
}

// writeAs writes raw values of the source's type into t.
func writeAs(t *torch.Tensor, raw []byte, info wildtrain.Info) error {
	if t.DType().Stored() == info.DType {
		return t.Write(raw)
	}
	return torch.Run(context.Background(), torch.CPU, torch.Inference, func(sc *torch.Scope) error {
		tmp := sc.Empty(torch.FromStored(info.DType), info.Shape...)
		if err := tmp.Write(raw); err != nil {
			return err
		}
		return t.CopyFrom(tmp)
	})
}

func sameShape(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
