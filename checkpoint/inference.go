package checkpoint

import (
	"slices"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// Auxiliary is the name prefix of tensors that serve training only, such as heads
// of further losses. They are in checkpoints, so that a run resumes to the bit, and
// in no final model and no export.
const Auxiliary = "auxiliary."

// Inference is a State without its auxiliary tensors; s itself where it has none.
func Inference(s wildtrain.State) wildtrain.State {
	if s == nil || !slices.ContainsFunc(s.Names(), auxiliary) {
		return s
	}
	return inference{s}
}

func auxiliary(name string) bool { return strings.HasPrefix(name, Auxiliary) }

// inference is a State that shows no auxiliary tensors.
type inference struct{ wildtrain.State }

// Names implements wildtrain.State.
func (i inference) Names() []string {
	return slices.DeleteFunc(slices.Clone(i.State.Names()), auxiliary)
}

// Info implements wildtrain.State.
func (i inference) Info(name string) (wildtrain.Info, bool) {
	if auxiliary(name) {
		return wildtrain.Info{}, false
	}
	return i.State.Info(name)
}

// Classes are what the file behind the State says of its model's, nil where it says nothing.
func (i inference) Classes() []string {
	if named, ok := i.State.(interface{ Classes() []string }); ok {
		return named.Classes()
	}
	return nil
}
