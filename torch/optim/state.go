package optim

import (
	"encoding/binary"
	"fmt"
	"math"
	"sort"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// number is a host value that a state shows as a scalar of eight bytes.
type number struct {
	dtype wildtrain.DType
	read  func() uint64
	write func(bits uint64)
}

// state joins the buffers and the host's counters under one set of names.
type state struct {
	tensors torch.State
	numbers map[string]number
	names   []string
}

// State implements wildtrain.Optimizer. Names are a slot and a parameter
// ("exp_avg/head.weight"), "step/head.weight" for the counters of Adam (int64
// scalars), and "scaler/scale" and "scaler/growth_tracker" with a Scaler. It is
// a live view; groups' settings are not in it.
func (o *Optimizer) State() wildtrain.State {
	s := &state{tensors: torch.State{}, numbers: map[string]number{}}
	for _, g := range o.groups {
		for slot, buffers := range g.slots {
			for i, t := range buffers {
				s.tensors[o.method.slots[slot]+"/"+g.names[i]] = t
			}
		}
		for i := range g.steps {
			s.numbers["step/"+g.names[i]] = integer(&g.steps[i])
		}
	}
	if sc := o.scaler; sc != nil {
		s.numbers["scaler/growth_tracker"] = integer(&sc.finite)
		s.numbers["scaler/scale"] = number{
			dtype: wildtrain.Float64,
			read:  func() uint64 { return math.Float64bits(sc.scale) },
			write: func(bits uint64) { sc.scale = math.Float64frombits(bits) },
		}
	}
	s.names = s.tensors.Names()
	for n := range s.numbers {
		s.names = append(s.names, n)
	}
	sort.Strings(s.names)
	return s
}

func integer(p *int64) number {
	return number{dtype: wildtrain.Int64, read: func() uint64 { return uint64(*p) }, write: func(bits uint64) { *p = int64(bits) }}
}

// Names implements wildtrain.State.
func (s *state) Names() []string { return s.names }

// Info implements wildtrain.State.
func (s *state) Info(name string) (wildtrain.Info, bool) {
	if n, ok := s.numbers[name]; ok {
		return wildtrain.Info{DType: n.dtype}, true
	}
	return s.tensors.Info(name)
}

// Read implements wildtrain.State.
func (s *state) Read(name string, dst []byte) error {
	n, ok := s.numbers[name]
	if !ok {
		return s.tensors.Read(name, dst)
	}
	if len(dst) != 8 {
		return fmt.Errorf("optim: read state %s: 8 bytes into a buffer of %d", name, len(dst))
	}
	binary.LittleEndian.PutUint64(dst, n.read())
	return nil
}

// Write implements wildtrain.State.
func (s *state) Write(name string, src []byte) error {
	n, ok := s.numbers[name]
	if !ok {
		return s.tensors.Write(name, src)
	}
	if len(src) != 8 {
		return fmt.Errorf("optim: write state %s: 8 bytes from a buffer of %d", name, len(src))
	}
	n.write(binary.LittleEndian.Uint64(src))
	return nil
}
