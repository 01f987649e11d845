package config

import (
	"slices"
	"strings"
)

// Options lists the options of a group, sorted, over the whole search path.
func (c *Config) Options(group string) []string { return c.repo.list(group, false) }

// Groups lists the groups below a group ("" for the root), sorted.
func (c *Config) Groups(parent string) []string {
	return slices.DeleteFunc(c.repo.list(parent, true), func(g string) bool { return parent == "" && g == "hydra" })
}

// Complete lists what can follow a word of the command line: groups and keys
// ending in "=", then options or values. Each result is a whole word.
func (c *Config) Complete(word string) []string {
	prefix := ""
	for strings.HasPrefix(word[len(prefix):], "+") || strings.HasPrefix(word[len(prefix):], "~") {
		prefix = word[:len(prefix)+1]
	}
	rest := word[len(prefix):]
	var all []string
	if key, _, ok := strings.Cut(rest, "="); ok {
		values := Values(key)
		if name, _, _ := strings.Cut(key, "@"); c.repo.groupExists(name) && name != "" {
			values = append(values, c.Options(name)...)
		}
		for _, v := range values {
			all = append(all, prefix+key+"="+v)
		}
	} else {
		for _, g := range c.allGroups("", 0) {
			all = append(all, prefix+g+"=")
		}
		for _, k := range c.leaves(c.Root, nil) {
			all = append(all, prefix+k+"=")
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, word) })
}

func (c *Config) allGroups(parent string, depth int) []string {
	var out []string
	if depth > 8 {
		return nil
	}
	for _, g := range c.Groups(parent) {
		full := strings.TrimPrefix(parent+"/"+g, "/")
		if len(c.Options(full)) > 0 {
			out = append(out, full)
		}
		out = append(out, c.allGroups(full, depth+1)...)
	}
	return out
}

func (c *Config) leaves(n *Node, out []string) []string {
	for _, item := range n.items {
		if item.kind == Dict && len(item.items) > 0 {
			out = c.leaves(item, out)
			continue
		}
		out = append(out, item.Path())
	}
	return out
}
