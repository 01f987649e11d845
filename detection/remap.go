package detection

import (
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"slices"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// classOutputs are the tensors of the head with one row per class.
var classOutputs = regexp.MustCompile(`^model\.\d+\.(one2one_)?cv3\.\d+\.2\.(weight|bias)$`)

// remap carries the rows of classes over from weights of a model that tells other
// classes apart: those of equal names are copied, the others begin anew.
type remap struct {
	wildtrain.State
	from    []int // by class of the model its row in the weights, −1 for none
	carried []string
}

// newRemap returns nil where the weights do not name their classes, or name the same.
func newRemap(weights wildtrain.State, classes []string) *remap {
	named, ok := weights.(interface{ Classes() []string })
	if !ok {
		return nil
	}
	theirs := named.Classes()
	if len(theirs) == 0 || slices.Equal(theirs, classes) {
		return nil
	}
	r := &remap{State: weights}
	for _, name := range classes {
		row := slices.Index(theirs, name)
		if r.from = append(r.from, row); row >= 0 {
			r.carried = append(r.carried, name)
		}
	}
	return r
}

// Read implements wildtrain.State: the class outputs are not loaded as they are,
// which the report of loading says in these words.
func (r *remap) Read(name string, dst []byte) error {
	if classOutputs.MatchString(name) {
		return fmt.Errorf("rows go by the names of classes: %d of %d are in the weights", len(r.carried), len(r.from))
	}
	return r.State.Read(name, dst)
}

// copyRows writes the carried rows over the fresh ones.
func (r *remap) copyRows(store *nn.Store) error {
	for _, e := range store.Entries() {
		info, ok := r.State.Info(e.Name)
		shape := e.Tensor.Shape()
		if !ok || !classOutputs.MatchString(e.Name) || len(info.Shape) != len(shape) || !slices.Equal(info.Shape[1:], shape[1:]) {
			continue
		}
		theirs, err := checkpoint.Float32(r.State, e.Name)
		if err != nil {
			return err
		}
		ours := e.Tensor.Float32s(nil)
		width := len(ours) / len(r.from)
		for class, row := range r.from {
			if row >= 0 && (row+1)*width <= len(theirs) {
				copy(ours[class*width:(class+1)*width], theirs[row*width:])
			}
		}
		raw := make([]byte, 0, 4*len(ours))
		for _, v := range ours {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		if err := e.Tensor.Write(raw); err != nil {
			return err
		}
	}
	return nil
}
