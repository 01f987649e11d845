package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/pipeline"
)

// configuration are the verbs that look at configurations.
func (a *app) configuration() *cobra.Command {
	c := group("config", "Show, explain, compose, check and migrate configurations")
	c.AddCommand(a.configShow().command(), a.configCompose().command(), a.configValidate().command(),
		a.configSchema().command(), a.configMigrate().command())
	return c
}

// shown says which part of a configuration is printed, and how.
type shown struct {
	what, pkg string
	resolve   bool
}

func (s *shown) flags(f *pflag.FlagSet) {
	f.StringVarP(&s.pkg, "package", "p", "", "show the part at this `key` only")
	f.BoolVar(&s.resolve, "resolve", false, "replace interpolations by their values")
}

func (a *app) configShow() verb {
	s, explain := shown{what: "job"}, ""
	return verb{
		name: "show", short: "Show the configuration, or explain where a value comes from", settings: true,
		flags: func(f *pflag.FlagSet) {
			s.flags(f)
			f.StringVar(&explain, "explain", "", "tell the value at `key`, where it was written, what it replaced and which files brought it in")
		},
		example: "wildtrain config show model=yolo11s training=quick\n" +
			"wildtrain config show --package training --resolve\n" +
			"wildtrain config show training=quick training.lr0=0.02 --explain training.lr0",
		after: "`--json` prints the values as an object, with interpolations replaced; with `--explain`\n" +
			"the history.",
		run: func(_ context.Context, _ map[string]string, overrides []string) error {
			c, err := pipeline.Tree(a.options(overrides))
			if err != nil {
				return err
			}
			if explain == "" {
				return a.printConfig(c, s)
			}
			x, err := c.Explain(explain)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(x)
			}
			_, err = fmt.Fprint(a.out, x)
			return err
		},
	}
}

// printConfig prints a configuration as Hydra's --cfg does.
func (a *app) printConfig(c *config.Config, s shown) error {
	if a.json {
		n, err := c.Get(s.pkg)
		if err != nil {
			return err
		}
		if n == nil {
			return usagef("there is nothing at %q", s.pkg)
		}
		return a.print(jsonable(n.Value()))
	}
	text, err := c.Show(s.what, s.pkg, s.resolve)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.out, text)
	return err
}

// jsonable gives a tree of values the form that JSON can say: what is not finite
// is null.
func jsonable(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, item := range x {
			x[k] = jsonable(item)
		}
	case []any:
		for i, item := range x {
			x[i] = jsonable(item)
		}
	case float64:
		return number(x)
	}
	return v
}

func (a *app) configCompose() verb {
	s := shown{what: "job"}
	return verb{
		name: "compose", short: "Compose any tree of YAML files, and print it as Hydra's --cfg does", settings: true,
		long: "With `--config-path` the tree is that folder alone, of any schema; without it the shipped\n" +
			"one with ./configs before it. `--config-dir` adds a folder.",
		flags: func(f *pflag.FlagSet) {
			s.flags(f)
			f.StringVarP(&s.what, "cfg", "c", "job", "`what` to print: job, hydra or all")
		},
		example: "wildtrain config compose --config-path conf --config-name config db=postgres +db.port=5433\n" +
			"wildtrain config compose --config-path conf --config-name config --resolve --package db",
		run: func(_ context.Context, _ map[string]string, overrides []string) error {
			o := a.options(overrides)
			o.Foreign = a.configPath != ""
			c, err := pipeline.Tree(o)
			if err != nil {
				return err
			}
			return a.printConfig(c, s)
		},
	}
}

func (a *app) configValidate() verb {
	return verb{
		name: "validate", short: "Check a configuration: keys, types, values and what they mean together", settings: true,
		long: "All problems are told at once, each with file, line, column and key. Data and weights are\n" +
			"not looked at: `wildtrain train --dry-run` does that.",
		example: "wildtrain config validate\nwildtrain config validate --config-name detection/yolo training.epochs=3 --json",
		json: []result{
			{"valid", "whether it can be used"},
			{"problems", "file, line, column, key, message and hint of each; empty where valid"},
		},
		run: func(_ context.Context, _ map[string]string, overrides []string) error {
			_, err := pipeline.Compose(a.options(overrides))
			if !a.json {
				if err == nil {
					fmt.Fprintln(a.out, "valid")
				}
				return err
			}
			return errors.Join(err, a.print(map[string]any{"valid": err == nil, "problems": problems(err)}))
		},
	}
}

// problems are the single problems of an error, as JSON shows them.
func problems(err error) []map[string]any {
	list := []map[string]any{}
	var all config.Errors
	var one *config.Error
	switch {
	case err == nil:
	case errors.As(err, &all):
		for _, x := range all {
			list = append(list, problems(x)...)
		}
	case errors.As(err, &one):
		list = append(list, map[string]any{"file": one.File, "line": one.Line, "column": one.Column, "key": one.Key, "message": one.Message, "hint": one.Hint})
	default:
		list = append(list, map[string]any{"message": err.Error()})
	}
	return list
}

func (a *app) configSchema() verb {
	return verb{
		name: "schema", short: "Print the JSON Schema of configuration files, for editors",
		keys:    []key{{"out", "FILE", false, "write it there instead of to standard output"}},
		example: "wildtrain config schema out=wildtrain.schema.json",
		after: "A first line `# yaml-language-server: $schema=wildtrain.schema.json` in a YAML file lets\n" +
			"editors complete keys and show what they mean.",
		run: func(_ context.Context, own map[string]string, _ []string) error {
			data, err := config.JSONSchema()
			if err != nil {
				return err
			}
			return a.deliver(own["out"], data)
		},
	}
}

// deliver writes a result into a file, or to standard output where none is named.
func (a *app) deliver(file string, data []byte) error {
	if file == "" {
		_, err := a.out.Write(data)
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

func (a *app) configMigrate() verb {
	return verb{
		name: "migrate", short: "Turn a file of the Python WildTrain into one of these",
		long: "The new configuration goes to standard output or `out=`, a report of every key to standard\n" +
			"error: what became of it, or why it has no counterpart.",
		args:    []key{{"file", "FILE", true, "configuration of the Python WildTrain"}},
		keys:    []key{{"out", "FILE", false, "write the configuration there instead of to standard output"}},
		example: "wildtrain config migrate old/yolo.yaml out=configs/elephants.yaml\nwildtrain train --config-name elephants",
		json: []result{
			{"kind", "what the file was: detection, classification, …"},
			{"yaml", "the new configuration"},
			{"mapped dropped", "from, to, note and line of each key"},
		},
		run: func(_ context.Context, own map[string]string, _ []string) error {
			data, err := os.ReadFile(own["file"])
			if err != nil {
				return err
			}
			m, err := config.Migrate(own["file"], data)
			if err != nil {
				return err
			}
			if a.json {
				if own["out"] != "" {
					if err := a.deliver(own["out"], []byte(m.YAML)); err != nil {
						return err
					}
				}
				return a.print(map[string]any{"kind": m.Kind, "yaml": m.YAML, "mapped": moved(m.Mapped), "dropped": moved(m.Dropped)})
			}
			fmt.Fprint(a.err, m)
			return a.deliver(own["out"], []byte(m.YAML))
		},
	}
}

func moved(list []config.Moved) []map[string]any {
	out := []map[string]any{}
	for _, m := range list {
		out = append(out, map[string]any{"from": m.From, "to": m.To, "note": strings.TrimSpace(m.Note), "line": m.Line})
	}
	return out
}
