package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ErrForbidden is what errors.Is finds in a GlobalError.
var ErrForbidden = errors.New("checkpoint: class or function is not allowed in a weights file")

// GlobalError tells of a pickle that names a class or function outside the
// allow-list. Nothing of it was executed.
type GlobalError struct {
	Module, Name string // as Python would import it
}

// Error implements error.
func (e *GlobalError) Error() string {
	return fmt.Sprintf("the pickle asks for %s.%s, which is not allowed in a weights file (if you know it, allow its module in Options.Allow: it is never executed)", e.Module, e.Name)
}

// Is makes errors.Is(err, ErrForbidden) true.
func (e *GlobalError) Is(target error) bool { return target == ErrForbidden }

// plainGlobals are the classes and functions that occur in ordinary
// checkpoints beside modules; what this package does not evaluate stays inert.
var plainGlobals = map[string]bool{
	"collections.OrderedDict": true, "collections.defaultdict": true, "collections.Counter": true, "collections.deque": true,
	"builtins.set": true, "builtins.frozenset": true, "builtins.list": true, "builtins.dict": true, "builtins.tuple": true,
	"builtins.int": true, "builtins.float": true, "builtins.str": true, "builtins.bool": true, "builtins.bytes": true,
	"builtins.bytearray": true, "builtins.complex": true, "builtins.slice": true, "builtins.range": true, "builtins.object": true,
	"_codecs.encode": true, "copyreg._reconstructor": true, "functools.partial": true, "types.SimpleNamespace": true,
	"argparse.Namespace": true, "datetime.datetime": true, "datetime.date": true, "datetime.timedelta": true, "datetime.timezone": true,
	"pathlib.PosixPath": true, "pathlib.WindowsPath": true, "pathlib.PurePosixPath": true, "pathlib.PureWindowsPath": true, "pathlib.Path": true,
	"pathlib._local.PosixPath": true, "pathlib._local.WindowsPath": true,
	"numpy.dtype": true, "numpy.ndarray": true, "numpy.core.multiarray.scalar": true, "numpy._core.multiarray.scalar": true,
	"numpy.core.multiarray._reconstruct": true, "numpy._core.multiarray._reconstruct": true,
	"torch.Size": true, "torch.device": true, "torch.Tensor": true, "torch.nn.parameter.Parameter": true,
	"torch.serialization._get_layout": true, "torch._tensor._rebuild_from_type_v2": true,
	"torch.storage.UntypedStorage": true, "torch.storage._UntypedStorage": true, "torch.storage.TypedStorage": true,
	"typing.Any": true, "torch.torch_version.TorchVersion": true,
	"torch.Generator": true, "torch.per_tensor_affine": true, "torch.per_channel_affine": true,
}

// inertModules are packages whose classes stand for whole modules or settings.
// Values of them are kept as name and state.
var inertModules = []string{
	"torch.nn", "torch.optim", "torch.distributions", "torch.amp", "torch.cuda.amp.grad_scaler", "torch.jit._pickle", "torch.ao.nn", "torch._C._nn", "numpy.dtypes",
	"torchvision.models", "torchvision.ops", "torchvision.transforms", "torchmetrics",
	"ultralytics", "models", "utils", "timm", "transformers", "mmengine", "mmdet", "mmcv",
	"lightning", "lightning_fabric", "pytorch_lightning", "lightning_utilities", "omegaconf", "wildtrain", "__torch__",
}

// oldModules are Python 2's names of modules.
var oldModules = map[string]string{"__builtin__": "builtins", "copy_reg": "copyreg", "commands": "subprocess"}

// global pushes a class or function if it is allowed.
func (m *machine) global(module, name string) {
	if m.err != nil {
		return
	}
	if newer, ok := oldModules[module]; ok {
		module = newer
	}
	if !m.allowed(module, name) {
		m.fail(&GlobalError{Module: module, Name: name})
		return
	}
	m.made(&global{module, name})
}

func (m *machine) allowed(module, name string) bool {
	path := module + "." + name
	if plainGlobals[path] {
		return true
	}
	if module == "torch" {
		_, isType := dtypeOfTorch(name)
		return isType || isTypeName(name)
	}
	if module == "torch._utils" {
		return strings.HasPrefix(name, "_rebuild_")
	}
	inside := func(prefix string) bool { return module == prefix || strings.HasPrefix(module, prefix+".") }
	return slices.ContainsFunc(inertModules, inside) || slices.ContainsFunc(m.allow, inside)
}

// isTypeName reports whether a name in module torch is that of a storage
// class, a tensor class, a layout or a type that we know but cannot store.
func isTypeName(name string) bool {
	for _, suffix := range []string{"Storage", "Tensor"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	for _, prefix := range []string{"uint", "int", "float", "complex", "quint", "qint", "bits"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "strided" || name == "contiguous_format" || name == "channels_last" || name == "preserve_format"
}

// call makes what calling f with args would make, for the functions that plain
// data needs, and an inert instance for the rest.
func (m *machine) call(f, args value) {
	if m.err != nil {
		return
	}
	a, _ := args.(tuple)
	g, ok := f.(*global)
	if !ok {
		m.fail(fmt.Errorf("call of %T", f))
		return
	}
	v, err := m.evaluate(g, a)
	if err != nil {
		m.fail(fmt.Errorf("%s: %w", g, err))
		return
	}
	m.made(v)
}

func (m *machine) evaluate(g *global, a tuple) (value, error) {
	switch g.String() {
	case "collections.OrderedDict":
		return pairs(a), nil
	case "builtins.set", "builtins.frozenset":
		return &set{items: itemsOf(a)}, nil
	case "builtins.list":
		return &list{items: itemsOf(a)}, nil
	case "builtins.tuple", "torch.Size":
		return tuple(itemsOf(a)), nil
	case "builtins.dict":
		return pairs(a), nil
	case "_codecs.encode":
		return encodeLatin1(a)
	case "copyreg._reconstructor":
		if c, ok := first(a).(*global); ok {
			return &instance{class: c}, nil
		}
		return nil, errors.New("argument is not a class")
	case "torch._tensor._rebuild_from_type_v2":
		return m.rebuildFromType(a)
	case "torch.nn.parameter.Parameter":
		if t, ok := first(a).(*tensor); ok {
			return t, nil
		}
		return nil, errors.New("argument is not a tensor")
	case "torch.serialization._get_layout":
		return first(a), nil
	}
	switch g.module {
	case "torch._utils":
		return rebuild(g.name, a)
	case "torch.jit._pickle":
		return first(a), nil
	}
	return &instance{class: g, args: a}, nil
}

// rebuildFromType unwraps (function, type, args, state): a tensor with attributes.
func (m *machine) rebuildFromType(a tuple) (value, error) {
	if len(a) < 3 {
		return nil, errors.New("wrong number of arguments")
	}
	g, ok := a[0].(*global)
	args, ok2 := a[2].(tuple)
	if !ok || !ok2 || g.module != "torch._utils" {
		return nil, errors.New("wrong arguments")
	}
	return rebuild(g.name, args)
}

func first(a tuple) value {
	if len(a) == 0 {
		return nil
	}
	return a[0]
}

// itemsOf returns the members of a container given as the only argument.
func itemsOf(a tuple) []value {
	switch c := first(a).(type) {
	case *list:
		return slices.Clone(c.items)
	case tuple:
		return slices.Clone(c)
	case *set:
		return slices.Clone(c.items)
	}
	return nil
}

// pairs makes a dictionary of a list of pairs or of another dictionary.
func pairs(a tuple) *dict {
	d := &dict{}
	if src, ok := first(a).(*dict); ok {
		for i, k := range src.keys {
			d.set(k, src.values[i])
		}
	}
	for _, item := range itemsOf(a) {
		switch p := item.(type) {
		case tuple:
			if len(p) == 2 {
				d.set(p[0], p[1])
			}
		case *list:
			if len(p.items) == 2 {
				d.set(p.items[0], p.items[1])
			}
		}
	}
	return d
}

// encodeLatin1 is how protocol 2 writes bytes.
func encodeLatin1(a tuple) (value, error) {
	s, ok := first(a).(string)
	if !ok {
		return nil, errors.New("argument is not a string")
	}
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 255 {
			return nil, errors.New("argument is not latin-1")
		}
		out = append(out, byte(r))
	}
	return out, nil
}

// numpyScalar shows a numpy number: metrics in checkpoints often are some.
func numpyScalar(i *instance) (string, bool) {
	if !strings.HasSuffix(i.class.module, "core.multiarray") || i.class.name != "scalar" || len(i.args) != 2 {
		return "", false
	}
	kind, _ := i.args[0].(*instance)
	raw, _ := i.args[1].([]byte)
	if kind == nil {
		return "", false
	}
	code, _ := first(kind.args).(string)
	switch {
	case code == "f8" && len(raw) == 8:
		return strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(raw)), 'g', -1, 64), true
	case code == "f4" && len(raw) == 4:
		return strconv.FormatFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))), 'g', -1, 32), true
	case code == "i8" && len(raw) == 8:
		return strconv.FormatInt(int64(binary.LittleEndian.Uint64(raw)), 10), true
	}
	return "", false
}
