package config

import (
	"slices"
)

// Options lists the options of a group, sorted, over the whole search path.
func (c *Config) Options(group string) []string { return c.repo.list(group, false) }

// Groups lists the groups below a group ("" for the root), sorted.
func (c *Config) Groups(parent string) []string {
	return slices.DeleteFunc(c.repo.list(parent, true), func(g string) bool { return parent == "" && g == "hydra" })
}
