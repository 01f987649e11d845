package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/wildtrain/sdk/pipeline"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// app holds what the verbs share.
type app struct {
	out, err io.Writer
	json     bool
	quiet    bool
	verbose  bool

	configDir, configPath, configName string
}

func (a *app) command() *cobra.Command {
	root := group("wildtrain", "Train, evaluate and use wildlife detectors")
	root.SilenceUsage, root.SilenceErrors = true, true
	root.CompletionOptions.DisableDefaultCmd = true // there is a verb for it
	root.Version = version()
	root.SetVersionTemplate("wildtrain {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w; settings are written key=value, without dashes: see %s --help", err, c.CommandPath())
	})
	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "write results as JSON to standard output")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "say nothing but warnings and errors: no progress")
	f.BoolVar(&a.verbose, "verbose", false, "say more: which files and overrides the configuration is made of, and details of the work")
	f.StringVar(&a.configName, "config-name", "", "the primary file of the configuration, `NAME` without .yaml (-cn); main unless given")
	f.StringVar(&a.configPath, "config-path", "", "`FOLDER` of configuration files that is searched first (-cp); ./configs unless given")
	f.StringVar(&a.configDir, "config-dir", "", "a further `FOLDER` of configuration files, searched after that (-cd)")
	model := group("model", "List, describe, run and convert models")
	model.AddCommand(a.list().command(), a.info().command(), a.forward().command(), a.convert().command(), a.explain().command(), a.probe().command())
	root.AddCommand(a.train().command(), a.evaluateCommand(), a.predict().command(), model, a.data(), a.configuration(),
		a.export().command(), a.register().command(), a.registry(), a.mlflow(),
		a.tune().command(), a.doctor().command(), a.completion(root).command(), a.man(root).command())
	root.SetHelpCommand(help(root))
	visit(root, a.hydra)
	visit(root, a.completes)
	return root
}

func version() string {
	v := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok {
		v = info.Main.Version
	}
	return v + ", libtorch " + torch.Version()
}

// group is a command that only has verbs below it. Without one of them it is
// wrong usage, not help for standard output.
func group(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				fmt.Fprint(c.ErrOrStderr(), c.UsageString(), "\n")
				return usagef("%s wants a verb", c.CommandPath())
			}
			c.SuggestionsMinimumDistance = 2
			hint := ""
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf(" (did you mean %q?)", near[0])
			}
			return usagef("%s has no verb %q%s; see %s --help", c.CommandPath(), args[0], hint, c.CommandPath())
		},
	}
}

func help(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [verb]", Short: "Explain a verb", Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("there is no verb %q to explain", strings.Join(args, " "))
			}
			return c.Help()
		},
	}
}

// env is where runs show what they do: on standard error, so that standard
// output holds results alone.
func (a *app) env() *pipeline.Env {
	level := slog.LevelInfo
	switch {
	case a.quiet:
		level = slog.LevelWarn
	case a.verbose:
		level = slog.LevelDebug
	}
	e := &pipeline.Env{Log: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{ReplaceAttr: dropTime, Level: level}))}
	if a.quiet {
		return e
	}
	e.Progress = a.err
	if f, ok := a.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		e.Terminal = true
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			e.Width = width
		}
	}
	return e
}

func dropTime(groups []string, attr slog.Attr) slog.Attr {
	if attr.Key == slog.TimeKey && len(groups) == 0 {
		return slog.Attr{}
	}
	return attr
}

// print writes a result as JSON.
func (a *app) print(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// numbers are values by name as JSON can say them: what is not finite is null.
func numbers(list []wildtrain.Value) map[string]any {
	out := map[string]any{}
	for _, v := range list {
		out[v.Name] = number(v.Value)
	}
	return out
}

func number(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}
