package config

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"
)

// hydraVersion is the version of Hydra whose behaviour this package follows.
const (
	hydraVersion     = "1.3.8"
	hydraVersionBase = "1.3"
)

// closeHydra closes the mappings of the hydra node whose keys are fixed.
func closeHydra(hydra *Node) {
	if hydra == nil {
		return
	}
	hydra.closed = true
	for _, path := range []string{"run", "sweep", "overrides", "job", "job.config", "job.config.override_dirname", "runtime", "sweeper", "help", "hydra_help"} {
		n := hydra
		for _, k := range strings.Split(path, ".") {
			if n != nil && n.kind == Dict {
				n = n.child(k)
			}
		}
		if n != nil && n.kind == Dict {
			n.closed = true
		}
	}
}

// fillHydra writes what is known only now into the hydra node.
func (c *Config) fillHydra(o *Options) error {
	hydra := c.full.child("hydra")
	if hydra == nil || hydra.kind != Dict {
		return problem("the hydra node must be a mapping")
	}
	job, runtime, lists := hydra.child("job"), hydra.child("runtime"), hydra.child("overrides")
	if job == nil || runtime == nil || lists == nil || job.kind != Dict || runtime.kind != Dict || lists.kind != Dict {
		return problem("hydra.job, hydra.runtime and hydra.overrides must be mappings")
	}
	task := c.listOverrides(lists)
	if err := c.listChoices(runtime); err != nil {
		return err
	}
	fill := func(at *Node, key, value string) {
		if v := at.child(key); v == nil || v.Missing() {
			at.set(key, newNode(String, value, nil))
		}
	}
	dir := o.WorkDir
	if dir == "" {
		dir, _ = os.Getwd() // only shown; an unreadable working folder is not this package's problem
	}
	name := o.JobName
	if name == "" {
		name = "wildtrain"
	}
	fill(runtime, "version", hydraVersion)
	fill(runtime, "version_base", hydraVersionBase)
	fill(runtime, "cwd", dir)
	fill(job, "name", name)
	fill(job, "config_name", c.name)
	runtime.set("config_sources", c.sourceList())
	dirname, err := overrideDirname(job, task)
	if err != nil {
		return err
	}
	job.set("override_dirname", newNode(String, dirname, nil))
	return nil
}

// listOverrides writes the overrides, as typed, into hydra.overrides and returns
// those of the task.
func (c *Config) listOverrides(lists *Node) (task []*Override) {
	for _, x := range c.Overrides {
		name := "task"
		if x.hydra() {
			name = "hydra"
		} else {
			task = append(task, x)
		}
		if list := lists.child(name); list != nil && list.kind == List {
			list.push(newNode(String, x.Line, nil))
		}
	}
	return task
}

// listChoices writes the option of each group into hydra.runtime.choices.
func (c *Config) listChoices(runtime *Node) error {
	at := runtime.child("choices")
	if at == nil || at.kind != Dict {
		return nil
	}
	for i, k := range c.choices.keys {
		v, err := fromValue(c.choices.values[i], nil)
		if err != nil {
			return err
		}
		at.set(k, v)
	}
	return nil
}

func (c *Config) sourceList() *Node {
	list := newList(nil)
	for _, s := range c.Sources {
		d := newDict(nil)
		scheme, path := "file", s.Path
		if i := strings.Index(path, "://"); i >= 0 {
			scheme, path = path[:i], path[i+3:]
		}
		d.set("path", newNode(String, path, nil))
		d.set("schema", newNode(String, scheme, nil))
		d.set("provider", newNode(String, s.Provider, nil))
		list.push(d)
	}
	return list
}

// overrideDirname joins the task's overrides, sorted, for names of folders.
func overrideDirname(job *Node, task []*Override) (string, error) {
	kv, item := "=", ","
	var exclude []string
	if cfg := job.child("config"); cfg != nil && cfg.kind == Dict {
		if d := cfg.child("override_dirname"); d != nil && d.kind == Dict {
			if v := d.child("kv_sep"); v != nil {
				kv = v.Text()
			}
			if v := d.child("item_sep"); v != nil {
				item = v.Text()
			}
			if v := d.child("exclude_keys"); v != nil && v.kind == List {
				for _, k := range v.items {
					exclude = append(exclude, k.Text())
				}
			}
		}
	}
	var lines []string
	for _, x := range task {
		if !slices.Contains(exclude, x.Key) {
			lines = append(lines, x.Line)
		}
	}
	slices.Sort(lines)
	return strings.ReplaceAll(strings.Join(lines, item), "=", kv), nil
}

// Choices returns the option chosen for each group, by override key such as
// "model" or "db@src"; "" where the choice is null.
func (c *Config) Choices() map[string]string {
	out := map[string]string{}
	for i, k := range c.choices.keys {
		s, _ := c.choices.values[i].(string) // nil for null
		out[k.(string)] = s
	}
	return out
}

// Resolve returns the configuration with all interpolations replaced by their
// values. The tree is fresh: changing it does not change c.
func (c *Config) Resolve() (*Node, error) {
	root, err := newEvaluator(c.env).resolveTree(c.Root)
	if err != nil {
		return nil, err
	}
	return root, nil
}

// Get returns the resolved value at a dotted key, nil where there is none.
func (c *Config) Get(key string) (*Node, error) {
	eval := newEvaluator(c.env)
	root := c.Root
	if key == "hydra" || strings.HasPrefix(key, "hydra.") {
		root = c.full
	}
	v, err := eval.selectNode(root, key, false)
	if _, plain := err.(*notContainer); plain || v == nil && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return eval.resolveTree(v)
}

// Written is Get for values that a file of the user's or an override sets; nil for
// those that are built in.
func (c *Config) Written(key string) (*Node, error) {
	n := c.full
	for _, k := range splitKey(key) {
		if n = selectOne(n, k); n == nil {
			return nil, nil
		}
	}
	if file, _, _ := n.Place(); strings.HasPrefix(file, path.Clean(builtIn)) {
		return nil, nil
	}
	return c.Get(key)
}

// Decode resolves the configuration and decodes it into dst, see the function
// Decode. Where dst has a Validate() error method, it is called last, and its
// problems get the place of their keys; those of keys that could be decoded are
// told even if others could not.
func (c *Config) Decode(dst any) error {
	root, err := c.Resolve()
	if err != nil {
		return err
	}
	err = Decode(root, dst)
	var all Errors
	if err != nil && !errors.As(err, &all) {
		return err
	}
	v, ok := dst.(interface{ Validate() error })
	if !ok {
		return err
	}
	invalid := v.Validate()
	var more Errors
	if !errors.As(invalid, &more) {
		return errors.Join(err, invalid)
	}
	for _, x := range more {
		if x.File == "" {
			x.File, x.Line, x.Column = nearestNode(root, x.Key).place.where()
		}
		if !slices.ContainsFunc(all, func(a *Error) bool { return a.Key == x.Key }) {
			all = append(all, x)
		}
	}
	return all.orNil()
}

// nearestNode is the node at a key, or the last one on the way there.
func nearestNode(n *Node, key string) *Node {
	for _, k := range splitKey(key) {
		if next := selectOne(n, k); next != nil {
			n = next
		}
	}
	return n
}
