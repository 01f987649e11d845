// Command libtorch finds or fetches libtorch and prints the environment with
// which Go packages that need it are built:
//
//	eval "$(go run github.com/wildtrain/sdk/cmd/libtorch env)"
//	go build ./...
//
// Verbs:
//
//	env      print the environment for a shell, fetching libtorch if there is none
//	fetch    fetch the pinned libtorch
//	path     print the folder of the libtorch that env would use
//	doctor   check this machine and say what is missing
//
// The only setting that matters is CXX: it names a small compiler driver which
// adds what gotch's binding and this SDK's C++ need, and passes every other C++
// compilation through. See docs/install.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const usage = `usage: libtorch [flags] env | fetch | path | doctor

  env      print the environment for a shell; fetches libtorch if there is none
  fetch    fetch the pinned libtorch ` + pinnedVersion + ` (CPU)
  path     print the folder of the libtorch that env would use
  doctor   check this machine and say what is missing

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "libtorch: %s\n", strings.TrimPrefix(err.Error(), "libtorch: "))
		if errors.Is(err, context.Canceled) {
			os.Exit(130)
		}
		os.Exit(1)
	}
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("libtorch", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	python := flags.String("python", "", "use the PyTorch of this `interpreter` and look nowhere else")
	fetched := flags.Bool("fetched", false, "use the pinned copy only, whatever else is installed")
	format := flags.String("format", "sh", "how env prints: sh, fish or json")
	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp
	}
	verb := flags.Arg(0)
	if flags.NArg() > 1 { // flags may also follow the verb
		if err := flags.Parse(flags.Args()[1:]); err != nil {
			return flag.ErrHelp
		}
		if flags.NArg() > 0 {
			verb = "" // one at a time
		}
	}
	cache, err := cacheDir(env)
	if err != nil {
		return err
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	fetch := &fetcher{cache: cache, platform: platform, sources: sources(platform, stderr), free: freeSpace, log: stderr}
	find := &resolver{env: env, cache: cache, python: *python, fetched: *fetched, notes: stderr, fetch: fetch.fetch}
	switch verb {
	case "env":
		return printEnv(ctx, find, *format, stdout)
	case "fetch":
		return printFetch(ctx, fetch, stdout)
	case "path":
		find.noFetch = true
		return printPath(ctx, find, stdout)
	case "doctor":
		find.noFetch = true
		return doctor(ctx, find, stdout)
	}
	flags.Usage()
	return flag.ErrHelp
}

// cacheDir is where everything this command writes stands.
func cacheDir(env func(string) string) (string, error) {
	base := env("XDG_CACHE_HOME")
	if base == "" {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", failed(err, "set HOME or XDG_CACHE_HOME", "no user cache folder")
		}
	}
	return filepath.Join(base, "wildtrain", "libtorch"), nil
}
