package torch

import (
	"fmt"
	"sort"

	"github.com/wildtrain/sdk/wildtrain"
)

// State is a wildtrain.State over named tensors, which it does not own.
type State map[string]*Tensor

var _ wildtrain.State = State(nil)

// Names implements wildtrain.State.
func (s State) Names() []string {
	names := make([]string, 0, len(s))
	for n := range s {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Info implements wildtrain.State.
func (s State) Info(name string) (wildtrain.Info, bool) {
	t, ok := s[name]
	if !ok {
		return wildtrain.Info{}, false
	}
	return wildtrain.Info{DType: t.DType().Stored(), Shape: t.Shape()}, true
}

// Read implements wildtrain.State.
func (s State) Read(name string, dst []byte) error {
	t, ok := s[name]
	if !ok {
		return fmt.Errorf("torch: read state: no tensor named %q", name)
	}
	return t.Read(dst)
}

// Write implements wildtrain.State.
func (s State) Write(name string, src []byte) error {
	t, ok := s[name]
	if !ok {
		return fmt.Errorf("torch: write state: no tensor named %q", name)
	}
	return t.Write(src)
}
