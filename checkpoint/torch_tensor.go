package checkpoint

import (
	"errors"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/wildtrain"
)

// maxExpanded limits a tensor that has more elements than its storage (a
// broadcast one), in bytes: a few bytes of file must not ask for terabytes.
const maxExpanded = 256 << 20

// maxDims is PyTorch's own limit on dimensions.
const maxDims = 64

// rebuild makes the tensor that torch._utils' function of that name would make.
func rebuild(name string, a tuple) (value, error) {
	switch name {
	case "_rebuild_parameter", "_rebuild_parameter_with_state":
		if t, ok := first(a).(*tensor); ok {
			return t, nil
		}
		return nil, errors.New("argument is not a tensor")
	case "_rebuild_tensor", "_rebuild_tensor_v2":
		return rebuildTensor(a, nil)
	case "_rebuild_tensor_v3": // storage, offset, size, stride, grad, hooks, dtype, metadata
		if len(a) < 7 {
			return nil, errors.New("wrong number of arguments")
		}
		g, ok := a[6].(*global)
		if !ok {
			return nil, errors.New("type is missing")
		}
		return rebuildTensor(a, g)
	}
	// Sparse, quantised, meta and wrapped tensors: an error only for whoever reads them.
	return &tensor{err: fmt.Errorf("tensors made by torch._utils.%s are not supported", name)}, nil
}

// rebuildTensor makes a tensor of (storage, offset, size, stride, …) and checks
// that it lies inside its storage.
func rebuildTensor(a tuple, as *global) (value, error) {
	if len(a) < 4 {
		return nil, errors.New("wrong number of arguments")
	}
	ref, ok := a[0].(*storageRef)
	offset, ok2 := a[1].(int64)
	shape, ok3 := ints(a[2])
	strides, ok4 := ints(a[3])
	if !ok || !ok2 || !ok3 || !ok4 || len(shape) != len(strides) || len(shape) > maxDims {
		return nil, errors.New("wrong arguments")
	}
	dtype := ref.dtype
	if as != nil {
		if dtype, ok = dtypeOfTorch(as.name); !ok {
			return &tensor{err: fmt.Errorf("element type %s is not supported", as)}, nil
		}
	} else if !ref.ok {
		return &tensor{err: fmt.Errorf("element type of %s is not supported", ref.typeName)}, nil
	}
	t := &tensor{entry: entry{info: wildtrain.Info{DType: dtype, Shape: shape}, storage: ref.storage, offset: offset + ref.offset, strides: strides}}
	if offset < 0 || t.entry.offset < 0 {
		return nil, errors.New("negative storage offset")
	}
	if err := t.entry.place(ref.bytes / int64(dtype.Size())); err != nil {
		return nil, err
	}
	return t, nil
}

// place checks a tensor against its storage of numel elements, and drops the
// strides where they are those of contiguous memory.
func (e *entry) place(numel int64) error {
	size, err := byteSize(e.info)
	if err != nil {
		return err
	}
	contiguous, expect, last := true, int64(1), e.offset
	for d := len(e.info.Shape) - 1; d >= 0; d-- {
		n, stride := e.info.Shape[d], e.strides[d]
		if stride < 0 {
			return fmt.Errorf("negative stride in %v", e.strides)
		}
		contiguous = contiguous && (n == 1 || stride == expect)
		expect *= max(n, 1)
		if n > 1 {
			if stride > (math.MaxInt64-last)/(n-1) {
				return fmt.Errorf("shape %v with strides %v overflows", e.info.Shape, e.strides)
			}
			last += (n - 1) * stride
		}
	}
	if size == 0 { // nothing to look at, wherever it says it is
		e.offset, e.strides = 0, nil
		return nil
	}
	if last >= numel {
		return fmt.Errorf("tensor of shape %v, strides %v and offset %d ends behind its storage of %d elements", e.info.Shape, e.strides, e.offset, numel)
	}
	if contiguous {
		e.strides = nil
	} else if e.info.Elements() > numel && size > maxExpanded {
		return fmt.Errorf("tensor of shape %v is broadcast from %d elements to %d bytes", e.info.Shape, numel, size)
	}
	return nil
}

func ints(v value) ([]int64, bool) {
	var items []value
	switch v := v.(type) {
	case tuple:
		items = v
	case *list:
		items = v.items
	default:
		return nil, false
	}
	out := make([]int64, len(items))
	for i, item := range items {
		n, ok := item.(int64)
		if !ok {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}

// persistentID reads ("storage", type, key, location, size[, view]); find
// returns the storage with that key, of that many bytes.
func persistentID(id value, find func(key string, bytes, elem int64) (*storage, error)) (value, error) {
	t, ok := id.(tuple)
	if !ok || len(t) < 1 {
		return nil, errors.New("malformed reference to a storage")
	}
	if kind, _ := t[0].(string); kind == "module" && len(t) >= 2 {
		return t[1], nil // a class with its source text, in legacy files
	}
	if len(t) < 5 {
		return nil, errors.New("malformed reference to a storage")
	}
	class, ok := t[1].(*global)
	key, ok2 := storageKey(t[2])
	numel, ok3 := t[4].(int64)
	if !ok || !ok2 || !ok3 || numel < 0 {
		return nil, errors.New("malformed reference to a storage")
	}
	ref := &storageRef{typeName: class.String()}
	elem := int64(1)
	if class.module == "torch" {
		if ref.dtype, ref.ok = dtypeOfStorage(class.name); ref.ok {
			elem = int64(ref.dtype.Size())
		} else {
			elem = oddSizes[class.name]
		}
	}
	if elem == 0 || numel > math.MaxInt64/16 {
		return nil, fmt.Errorf("storage type %s is not supported", class)
	}
	ref.bytes = numel * elem
	if len(t) > 5 {
		if view, ok := t[5].(tuple); ok && len(view) == 3 {
			ref.offset, _ = view[1].(int64)
		}
	}
	var err error
	ref.storage, err = find(key, ref.bytes, elem)
	return ref, err
}

// oddSizes are the element sizes of storages whose numbers we cannot represent;
// they may occur beside the weights.
var oddSizes = map[string]int64{
	"ComplexFloatStorage": 8, "ComplexDoubleStorage": 16, "QInt8Storage": 1, "QUInt8Storage": 1, "QInt32Storage": 4,
	"QUInt4x2Storage": 1, "QUInt2x4Storage": 1,
}

func storageKey(v value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return fmt.Sprint(v), true
	}
	return "", false
}
