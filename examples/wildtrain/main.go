// Command wildtrain trains, evaluates and uses wildlife detectors. It is a thin
// skin over package pipeline: what it does, a Go program can do by calls.
//
//	wildtrain train model=yolo11n data.root=DATA training.epochs=100
//	wildtrain evaluate weights=runs/default/RUN data.root=DATA
//	wildtrain predict weights=runs/default/RUN source='pictures/*.jpg' out=found
//
// It ends with 0 when done, 1 when it failed, 2 on a wrong command line or
// configuration and 130 when interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/pipeline"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// The exit codes.
const (
	done        = 0
	failed      = 1
	usage       = 2
	interrupted = 130
)

// run is main without the process around it.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{out: stdout, err: stderr}
	root := a.command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return done
	}
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "wildtrain: interrupted")
		return interrupted
	case isUsage(err):
		fmt.Fprintln(stderr, "wildtrain:", err)
		return usage
	}
	fmt.Fprintln(stderr, "wildtrain:", err)
	return failed
}

// usageError is a wrong command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func isUsage(err error) bool {
	var u usageError
	var c *config.Error
	var cs config.Errors
	return errors.As(err, &u) || errors.As(err, &c) || errors.As(err, &cs) || errors.Is(err, pipeline.ErrSettings) ||
		strings.HasPrefix(err.Error(), "unknown command") || strings.HasPrefix(err.Error(), "unknown flag") || strings.HasPrefix(err.Error(), "unknown shorthand")
}

// app holds what the verbs share.
type app struct {
	out, err  io.Writer
	json      bool
	quiet     bool
	configDir string
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use: "wildtrain", Short: "Train, evaluate and use wildlife detectors",
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "write results as JSON to standard output")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress")
	f.StringVar(&a.configDir, "config-dir", "", "a further folder of configuration files")
	root.AddCommand(a.train(), a.evaluate(), a.predict(), a.model())
	return root
}

// env is where runs show what they do: on standard error, so that standard
// output holds results alone.
func (a *app) env() *pipeline.Env {
	e := &pipeline.Env{Log: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{ReplaceAttr: dropTime}))}
	if !a.quiet {
		e.Progress, e.Terminal = a.err, isTerminal(a.err)
	}
	return e
}

func dropTime(groups []string, attr slog.Attr) slog.Attr {
	if attr.Key == slog.TimeKey && len(groups) == 0 {
		return slog.Attr{}
	}
	return attr
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// words splits arguments into the verb's own keys and the overrides of the configuration.
func words(args []string, own ...string) (map[string]string, []string, error) {
	mine := map[string]string{}
	var overrides []string
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok && !strings.HasPrefix(arg, "~") {
			return nil, nil, usagef("%q is not of the form key=value", arg)
		}
		taken := false
		for _, k := range own {
			if taken = key == k; taken {
				if value == "" {
					return nil, nil, usagef("%s= has no value", k)
				}
				mine[k] = value
				break
			}
		}
		if !taken {
			overrides = append(overrides, arg)
		}
	}
	return mine, overrides, nil
}

// options says how to compose the configuration.
func (a *app) options(overrides []string) config.Options {
	return config.Options{ConfigDir: a.configDir, Overrides: overrides}
}
