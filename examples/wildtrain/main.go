// Command wildtrain trains, evaluates and uses wildlife detectors. It is a thin
// skin over package pipeline: what it does, a Go program can do by calls.
//
//	wildtrain train model=yolo11n data.root=DATA training.epochs=100
//	wildtrain evaluate weights=runs/wildlife_detection/RUN
//	wildtrain predict weights=runs/wildlife_detection/RUN source='pictures/*.jpg' out=found
//
// It ends with 0 when done, 1 when it failed, 2 on a wrong command line or
// configuration and 130 when interrupted. Results go to standard output, all
// else to standard error. The reference is docs/cli.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

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
	ctx, end := interruptible(stderr)
	defer end()
	a := &app{out: stdout, err: stderr}
	root := a.command()
	root.SetArgs(spelled(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return done
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "wildtrain: interrupted")
		return interrupted
	}
	fmt.Fprintln(stderr, a.ink(stderr).red("wildtrain:"), err)
	if isUsage(err) {
		return usage
	}
	return failed
}

// interruptible returns a context that the first interrupt cancels, so that work
// ends in good order. The second one ends the process at once.
func interruptible(stderr io.Writer) (ctx context.Context, end func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	unhook := context.AfterFunc(ctx, func() {
		stop()
		fmt.Fprintln(stderr, "\nwildtrain: finishing the step under way; interrupt again to quit at once")
	})
	return ctx, func() {
		unhook()
		stop()
	}
}

// usageError is a wrong command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// isUsage tells a wrong command line or configuration from work that failed.
func isUsage(err error) bool {
	var u usageError
	var c *config.Error
	var cs config.Errors
	return errors.As(err, &u) || errors.As(err, &c) || errors.As(err, &cs) || errors.Is(err, pipeline.ErrSettings)
}
