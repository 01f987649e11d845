package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits on walking the object graph, which may share and loop.
const (
	maxVisits   = 1 << 20
	maxDepth    = 128
	maxMetadata = 20000 // entries
	maxText     = 64 << 10
)

// walker turns an object graph into named tensors.
type walker struct {
	f      *File
	visits int
	tensor map[string]*tensor
}

// take chooses the weights in a PyTorch file's object and names its tensors.
func (f *File) take(root value, o Options) error {
	v, path, err := choose(root, o)
	if err != nil {
		return err
	}
	f.chosen = strings.Join(path, ".")
	w := &walker{f: f, tensor: map[string]*tensor{}}
	if err := w.weights(v); err != nil {
		return err
	}
	if len(w.tensor) == 0 {
		return errors.New("the file holds no tensors")
	}
	for name, t := range w.tensor {
		if t.err != nil {
			return fmt.Errorf("tensor %q: %w", name, t.err)
		}
		f.entries[name] = &t.entry
	}
	w.describe(root, "", 0)
	return nil
}

// choose finds the set of weights in an object: the entry that Key names, the
// preferred entry of a nested one, or the object itself.
func choose(root value, o Options) (v value, path []string, err error) {
	v = root
	if o.Key != "" {
		path = strings.Split(o.Key, ".")
		for i, key := range path {
			next, ok := member(v, key)
			if !ok {
				return nil, nil, fmt.Errorf("key %q is not in the file: there are %s", strings.Join(path[:i+1], "."), members(v))
			}
			v = next
		}
	}
	for range maxDepth {
		if isModule(v) || hasTensors(v) && !nested(v, o.Prefer) {
			return v, path, nil
		}
		key, ok := preferred(v, o.Prefer)
		if !ok {
			return nil, nil, noWeights(v)
		}
		v, _ = member(v, key)
		path = append(path, key)
	}
	return nil, nil, errors.New("nested too deeply")
}

// preferred returns the first preferred key with something inside, else the
// only key with something inside.
func preferred(v value, prefer []string) (string, bool) {
	for _, key := range prefer {
		if inner, ok := member(v, key); ok && container(inner) {
			return key, true
		}
	}
	found := ""
	d := dictOf(v)
	if d == nil {
		return "", false
	}
	for i, k := range d.keys {
		key, ok := k.(string)
		if ok && container(d.values[i]) {
			if found != "" {
				return "", false
			}
			found = key
		}
	}
	return found, found != ""
}

func nested(v value, prefer []string) bool {
	for _, key := range prefer {
		if inner, ok := member(v, key); ok && container(inner) {
			return true
		}
	}
	return false
}

// container reports whether a value is a module or holds tensors a few levels
// down. The search is bounded: dictionaries may share and loop.
func container(v value) bool {
	budget := 1 << 16
	var search func(v value, depth int) bool
	search = func(v value, depth int) bool {
		if isModule(v) || hasTensors(v) {
			return true
		}
		d := dictOf(v)
		if d == nil || depth == 0 {
			return false
		}
		for i, k := range d.keys {
			if budget--; budget < 0 {
				return false
			}
			if _, ok := k.(string); ok && search(d.values[i], depth-1) {
				return true
			}
		}
		return false
	}
	return search(v, 4)
}

// hasTensors reports whether a value is a tensor or holds some directly.
func hasTensors(v value) bool {
	isTensor := func(v value) bool { _, ok := v.(*tensor); return ok }
	switch c := v.(type) {
	case *tensor:
		return true
	case *list:
		return slices.ContainsFunc(c.items, isTensor)
	case tuple:
		return slices.ContainsFunc(c, isTensor)
	}
	d := dictOf(v)
	return d != nil && slices.ContainsFunc(d.values, isTensor)
}

func dictOf(v value) *dict {
	switch c := v.(type) {
	case *dict:
		return c
	case *instance:
		if len(c.items.keys) > 0 {
			return &c.items
		}
		return c.state
	}
	return nil
}

func member(v value, key string) (value, bool) {
	if v, ok := dictOf(v).get(key); ok {
		return v, true
	}
	if i, ok := v.(*instance); ok { // by attribute name of a module
		for _, part := range []string{"_modules", "_parameters", "_buffers"} {
			sub, _ := i.state.get(part)
			if v, ok := dictOf(sub).get(key); ok {
				return v, true
			}
		}
	}
	return nil, false
}

func members(v value) string {
	d := dictOf(v)
	if d == nil || len(d.keys) == 0 {
		return "none"
	}
	var names []string
	for _, k := range d.keys[:min(len(d.keys), 20)] {
		names = append(names, strconv.Quote(keyText(k)))
	}
	return strings.Join(names, ", ")
}

func noWeights(v value) error {
	return fmt.Errorf("no set of weights can be told from the file's entries (%s): name one with Options.Key", members(v))
}

// isModule reports whether a value is a pickled torch.nn.Module, or an object of TorchScript.
func isModule(v value) bool {
	i, ok := v.(*instance)
	if !ok || i.state == nil {
		return false
	}
	if scripted(i) {
		return true
	}
	_, p := i.state.get("_parameters")
	_, m := i.state.get("_modules")
	return p && m
}

func scripted(i *instance) bool {
	return i.class.module == "__torch__" || strings.HasPrefix(i.class.module, "__torch__.")
}

// weights names the tensors of a state dict, a module, a list or a single tensor.
func (w *walker) weights(v value) error {
	switch c := v.(type) {
	case *tensor:
		return w.add("tensor", c)
	case *list:
		return w.sequence(c.items)
	case tuple:
		return w.sequence(c)
	}
	if isModule(v) {
		return w.module(v.(*instance), "", 0)
	}
	return w.mapping(dictOf(v), "", 0)
}

func (w *walker) sequence(items []value) error {
	for i, v := range items {
		if t, ok := v.(*tensor); ok {
			if err := w.add(strconv.Itoa(i), t); err != nil {
				return err
			}
		}
	}
	return nil
}

// mapping names the tensors of a state dict; dictionaries inside it (extra
// state) get dotted names, everything else is metadata.
func (w *walker) mapping(d *dict, prefix string, depth int) error {
	if d == nil {
		return nil
	}
	if err := w.visit(depth); err != nil {
		return err
	}
	for i, k := range d.keys {
		name := prefix + keyText(k)
		switch v := d.values[i].(type) {
		case *tensor:
			if err := w.add(name, v); err != nil {
				return err
			}
		case *dict:
			if err := w.mapping(v, name+".", depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// module names a module's tensors as its state_dict() would: parameters and
// persistent buffers of itself, then of its children.
func (w *walker) module(i *instance, prefix string, depth int) error {
	if err := w.visit(depth); err != nil {
		return err
	}
	if scripted(i) {
		return w.script(i, prefix, depth)
	}
	part := func(name string) *dict { v, _ := i.state.get(name); return dictOf(v) }
	skip := map[value]bool{}
	if v, _ := i.state.get("_non_persistent_buffers_set"); v != nil {
		if s, ok := v.(*set); ok {
			for _, k := range s.items {
				if name, ok := k.(string); ok {
					skip[name] = true
				}
			}
		}
	}
	for _, name := range []string{"_parameters", "_buffers"} {
		d := part(name)
		if d == nil {
			continue
		}
		for n, k := range d.keys {
			key, ok := k.(string)
			t, isTensor := d.values[n].(*tensor)
			if !ok || !isTensor || name == "_buffers" && skip[key] {
				continue
			}
			if err := w.add(prefix+key, t); err != nil {
				return err
			}
		}
	}
	return w.children(part("_modules"), prefix, depth)
}

func (w *walker) children(d *dict, prefix string, depth int) error {
	if d == nil {
		return nil
	}
	for n, k := range d.keys {
		key, ok := k.(string)
		child, isObject := d.values[n].(*instance)
		if !ok || !isObject || !isModule(child) {
			continue
		}
		if err := w.module(child, prefix+key+".", depth+1); err != nil {
			return err
		}
	}
	return nil
}

// script names the tensors of a TorchScript object, whose attributes hold all kinds.
func (w *walker) script(i *instance, prefix string, depth int) error {
	for n, k := range i.state.keys {
		key, ok := k.(string)
		if !ok {
			continue
		}
		if t, ok := i.state.values[n].(*tensor); ok {
			if err := w.add(prefix+key, t); err != nil {
				return err
			}
		}
	}
	return w.children(i.state, prefix, depth)
}

func (w *walker) add(name string, t *tensor) error {
	if err := w.visit(0); err != nil {
		return err
	}
	if len(name) > maxText {
		return fmt.Errorf("tensor name of %d bytes", len(name))
	}
	if _, ok := w.tensor[name]; ok {
		return fmt.Errorf("tensor %q occurs twice", name)
	}
	w.tensor[name] = t
	return nil
}

func (w *walker) visit(depth int) error {
	if w.visits++; w.visits > maxVisits || depth > maxDepth {
		return errors.New("the object graph is too large or too deep")
	}
	return nil
}

// describe fills the metadata with the plain values of the graph. It stops in
// silence at its limits: metadata is a courtesy.
func (w *walker) describe(v value, path string, depth int) {
	if len(w.f.metadata) >= maxMetadata || w.visits >= maxVisits || depth > 8 || len(path) > 1024 {
		return
	}
	w.visits++
	if text, ok := scalarText(v); ok {
		if path != "" && len(text) <= maxText {
			w.f.metadata[path] = text
		}
		return
	}
	join := func(key string) string { return strings.TrimPrefix(path+"."+key, ".") }
	var items []value
	switch c := v.(type) {
	case *list:
		items = c.items
	case tuple:
		items = c
	case *dict:
		w.describeDict(c, join, depth)
	case *instance:
		w.f.metadata[join("__class__")] = c.class.String()
		w.describeDict(c.state, join, depth)
		w.describeDict(&c.items, join, depth)
	}
	for i, item := range items {
		w.describe(item, join(strconv.Itoa(i)), depth+1)
	}
}

func (w *walker) describeDict(d *dict, join func(string) string, depth int) {
	if d == nil {
		return
	}
	for i, k := range d.keys {
		if key, ok := scalarText(k); ok && !strings.HasPrefix(key, "_") {
			w.describe(d.values[i], join(key), depth+1)
		}
	}
}
