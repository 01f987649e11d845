package config

import (
	"fmt"
	"slices"
	"sync"
)

// Registry builds objects from configuration nodes that name a constructor under
// "_target_". Only what was registered can be built: a configuration cannot reach
// anything else of the program. The zero value is ready; it is safe for concurrent
// use.
type Registry struct {
	mu    sync.RWMutex
	build map[string]func(*Node) (any, error)
}

// Register adds a constructor of objects that are configured by a C: def gives
// the defaults that the node is decoded over. It panics where the name is taken.
func Register[C, T any](r *Registry, name string, def func() C, build func(C) (T, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.build == nil {
		r.build = map[string]func(*Node) (any, error){}
	}
	if r.build[name] != nil {
		panic("config: " + name + " is registered twice")
	}
	r.build[name] = func(n *Node) (any, error) {
		c := def()
		if err := Decode(n, &c); err != nil {
			return nil, err
		}
		return build(c)
	}
}

// Names lists what can be built, sorted.
func (r *Registry) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []string
	for k := range r.build {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Instantiate builds the object that n names. The other keys of n configure it;
// "_recursive_", "_convert_" and "_partial_" are for Python and are ignored.
func (r *Registry) Instantiate(n *Node) (any, error) {
	if n == nil || n.kind != Dict {
		return nil, errorAt(n, "only a mapping with _target_ can be instantiated")
	}
	target := n.child("_target_")
	if target == nil || target.kind != String {
		return nil, errorAt(n, "_target_ must name what to build")
	}
	name := target.value.(string)
	r.mu.RLock()
	build := r.build[name]
	r.mu.RUnlock()
	if build == nil {
		x := errorAt(target, "%q is not registered", name)
		x.Hint = didYouMean(name, r.Names())
		return nil, x
	}
	c := n.clone()
	c.parent, c.key = n.parent, n.key // relative interpolations keep their place
	for _, k := range []string{"_target_", "_recursive_", "_convert_", "_partial_"} {
		c.remove(k)
	}
	v, err := build(c)
	if err != nil {
		return nil, fmt.Errorf("config: instantiate %s: %w", name, err)
	}
	return v, nil
}
