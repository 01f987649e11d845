package config

import (
	"path"
	"strings"
)

// Files returns what a run writes about its configuration, by name relative to
// the run's folder: .hydra/config.yaml (not resolved), .hydra/hydra.yaml and
// .hydra/overrides.yaml. hydra.output_subdir renames the folder; null switches the
// files off.
func (c *Config) Files() (map[string][]byte, error) {
	dir := ".hydra"
	if n := c.Hydra.child("output_subdir"); n != nil {
		v, err := newEvaluator(c.env).deref(n)
		if err != nil {
			return nil, err
		}
		if v.kind == Null {
			return nil, nil
		}
		dir = v.Text()
	}
	hydra := newDict(nil)
	hydra.set("hydra", c.Hydra.clone())
	task := newList(nil)
	for _, o := range c.Overrides {
		if !o.hydra() {
			task.push(newNode(String, o.Line, nil))
		}
	}
	return map[string][]byte{
		path.Join(dir, "config.yaml"):    []byte(c.Root.YAML()),
		path.Join(dir, "hydra.yaml"):     []byte(hydra.YAML()),
		path.Join(dir, "overrides.yaml"): []byte(task.YAML()),
	}, nil
}

// Show prints the configuration as Hydra's --cfg does: what is "job" (without the
// hydra node), "hydra" or "all". resolve replaces interpolations; pkg shows the
// part at that key only, under a package header.
func (c *Config) Show(what, pkg string, resolve bool) (string, error) {
	var n *Node
	switch what {
	case "job":
		n = c.Root
	case "all":
		n = c.full
	case "hydra":
		n = newDict(nil)
		n.set("hydra", c.Hydra.clone())
	default:
		return "", problem("cannot show %q: it is job, hydra or all", what)
	}
	head := ""
	if pkg != "" && pkg != "_global_" {
		part, err := newEvaluator(c.env).selectNode(n, pkg, false)
		if err != nil {
			return "", err
		}
		if part == nil {
			x := problem("there is nothing at %q", pkg)
			x.Hint = didYouMean(strings.Split(pkg, ".")[0], n.Keys())
			return "", x
		}
		if n = part; !n.container() {
			return n.Text() + "\n", nil
		}
		head = "# @package " + pkg + "\n"
	}
	if resolve {
		e := newEvaluator(c.env)
		e.lenient = true
		r, err := e.resolveTree(n)
		if err != nil {
			return "", err
		}
		n = r
	}
	return head + n.YAML(), nil
}

// Jobs returns the overrides of each job of a sweep: those of hydra.sweeper.params
// and of the command line, multiplied. Compose with Multirun first, then each job
// with its own overrides and HydraOverrides.
func (c *Config) Jobs(seed uint64) ([][]string, error) {
	var all []*Override
	if sweeper := c.Hydra.child("sweeper"); sweeper != nil && sweeper.kind == Dict {
		if params := sweeper.child("params"); params != nil && params.kind == Dict {
			for i, k := range params.keys {
				v, err := newEvaluator(c.env).resolveTree(params.items[i])
				if err != nil {
					return nil, err
				}
				o, err := ParseOverride(pyStr(k) + "=" + v.Text())
				if err != nil {
					return nil, at(err, params.items[i])
				}
				all = append(all, o)
			}
		}
	}
	for _, o := range c.Overrides {
		if !o.hydra() {
			all = append(all, o)
		}
	}
	return Jobs(all, c.Options, seed)
}

// HydraOverrides are the overrides of the hydra node, which every job of a sweep
// repeats.
func (c *Config) HydraOverrides() []string {
	var out []string
	for _, o := range c.Overrides {
		if o.hydra() {
			out = append(out, o.Line)
		}
	}
	return out
}
