package checkpoint

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/wildtrain/sdk/wildtrain"
)

// value is what a pickle holds: nil, bool, int64, *big.Int, float64, string,
// []byte, tuple, *list, *dict, *set, *global, *instance, *storageRef, *tensor.
type value any

type tuple []value

type list struct{ items []value }

// set is a Python set, frozen or not; nobody needs to look things up in it.
type set struct{ items []value }

// dict keeps the order of insertion. String and integer keys are found again;
// other keys are kept as they come.
type dict struct {
	keys   []value
	values []value
	index  map[value]int
}

func (d *dict) set(k, v value) {
	switch k.(type) {
	case string, int64, bool:
		if i, ok := d.index[k]; ok {
			d.values[i] = v
			return
		}
		if d.index == nil {
			d.index = map[value]int{}
		}
		d.index[k] = len(d.keys)
	}
	d.keys, d.values = append(d.keys, k), append(d.values, v)
}

func (d *dict) get(key string) (value, bool) {
	if d == nil {
		return nil, false
	}
	i, ok := d.index[key]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

// global is a class or function by name.
type global struct{ module, name string }

func (g *global) String() string { return g.module + "." + g.name }

// instance is an inert object: the class it would have, what it would have
// been made of, and the state it would have got.
type instance struct {
	class *global
	args  tuple
	state *dict
	items dict // of subclasses of dict
	list  list // of subclasses of list and set
}

// storageRef is a storage as a tensor refers to it, with the element type of
// that reference. numel counts elements; ok is false for types we cannot store.
type storageRef struct {
	storage  *storage
	typeName string
	dtype    wildtrain.DType
	ok       bool
	bytes    int64 // size of the storage
	offset   int64 // in elements: views of very old files
}

// tensor is a tensor of the file; err says why it cannot be read, where it cannot.
type tensor struct {
	entry entry
	err   error
}

// scalarText shows a plain value as metadata does, and whether it is one.
func scalarText(v value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case *big.Int:
		return v.String(), true
	case *instance:
		return numpyScalar(v)
	}
	return "", false
}

// keyText shows a dictionary key as part of a name.
func keyText(k value) string {
	if s, ok := scalarText(k); ok {
		return s
	}
	return fmt.Sprintf("%T", k)
}
