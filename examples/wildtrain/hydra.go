package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/pipeline"
)

// takesSettings marks, in a command's annotations, verbs that take settings.
const takesSettings = "settings"

// hydraFlags are those of Hydra that look at a configuration instead of using it.
type hydraFlags struct {
	shown
	info string
}

func (h *hydraFlags) flags(f *pflag.FlagSet) {
	f.StringVarP(&h.what, "cfg", "c", "", "print the configuration instead of working: `what` is job, hydra or all")
	h.shown.flags(f)
	f.StringVar(&h.info, "info", "", "tell instead of working: `what` is config, defaults, defaults-tree, searchpath or all")
}

// hydra gives a verb that takes settings Hydra's flags, unless it prints
// configurations anyway.
func (a *app) hydra(c *cobra.Command) {
	if c.Annotations[takesSettings] == "" || c.Flags().Lookup("resolve") != nil {
		return
	}
	var h hydraFlags
	h.flags(c.Flags())
	work := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if h.what == "" && h.info == "" {
			if h.resolve || h.pkg != "" {
				return usagef("--resolve and --package say how --cfg prints: give --cfg job")
			}
			return work(c, args)
		}
		own := strings.Fields(c.Annotations[ownKeys])
		o := a.options(slices.DeleteFunc(slices.Clone(args), func(arg string) bool {
			name, _, _ := strings.Cut(arg, "=")
			return slices.Contains(own, name)
		}))
		o.Multirun = c.Flags().Lookup("multirun") != nil && c.Flags().Changed("multirun")
		tree, err := pipeline.Tree(o)
		switch {
		case err != nil:
			return err
		case h.what != "":
			return a.printConfig(tree, h.shown)
		}
		return a.making(tree, h.info)
	}
}

// making tells of the making of a configuration.
func (a *app) making(c *config.Config, what string) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	known := false
	part := func(name string, tell func()) {
		if what == name || what == "all" {
			tell()
			known = true
		}
	}
	part("searchpath", func() {
		fmt.Fprintln(w, "provider\tsearch path")
		for _, s := range c.Sources {
			fmt.Fprintf(w, "%s\t%s\n", s.Provider, s.Path)
		}
		fmt.Fprintln(w)
	})
	part("defaults", func() {
		fmt.Fprintln(w, "config\tpackage\tits own values\tlisted by")
		for _, d := range c.Defaults {
			fmt.Fprintf(w, "%s\t%s\t%t\t%s\n", d.Path, d.Package, d.Self, d.Parent)
		}
		fmt.Fprintln(w)
	})
	part("defaults-tree", func() {
		for _, line := range defaultsTree(c.Defaults, "", 0) {
			fmt.Fprintln(w, line)
		}
		fmt.Fprintln(w)
	})
	err := w.Flush()
	part("config", func() { err = errors.Join(err, a.printConfig(c, shown{what: "all"})) })
	if !known {
		return usagef("--info %s: it is config, defaults, defaults-tree, searchpath or all", what)
	}
	return err
}

// defaultsTree shows which config listed which, in the order of merging.
func defaultsTree(list []config.Default, parent string, depth int) (lines []string) {
	for _, d := range list {
		if d.Parent != parent || depth > 0 && d.Path == parent || depth > 20 {
			continue
		}
		lines = append(lines, strings.Repeat("  ", depth)+d.Path)
		lines = append(lines, defaultsTree(list, d.Path, depth+1)...)
	}
	return lines
}

// spelled puts a name for Hydra's flags of two letters, which pflag would read as
// two flags of one.
func spelled(args []string) []string {
	long := map[string]string{"-cp": "--config-path", "-cn": "--config-name", "-cd": "--config-dir"}
	out := slices.Clone(args)
	for i, arg := range out {
		if arg == "--" {
			break
		}
		name, value, with := strings.Cut(arg, "=")
		if full := long[name]; full != "" {
			if out[i] = full; with {
				out[i] += "=" + value
			}
		}
	}
	return out
}

// options says how to compose the configuration.
func (a *app) options(overrides []string) config.Options {
	o := config.Options{Name: a.configName, ConfigDir: a.configDir, Overrides: overrides}
	if a.configPath != "" {
		o.Dirs = []string{a.configPath}
	}
	if !a.quiet {
		o.Warn = func(text string) { fmt.Fprintln(a.err, "wildtrain: warning:", text) }
	}
	if a.verbose {
		o.Composed = a.composed
	}
	return o
}

// composed tells of which files and overrides a configuration was made.
func (a *app) composed(c *config.Config) {
	fmt.Fprint(a.err, "configuration:")
	for _, d := range c.Defaults {
		if !strings.HasPrefix(d.Path, "hydra/") {
			fmt.Fprint(a.err, " ", d.Path)
		}
	}
	for _, o := range c.Overrides {
		fmt.Fprint(a.err, " ", o.Line)
	}
	fmt.Fprintln(a.err)
}
