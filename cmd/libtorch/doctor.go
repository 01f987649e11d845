package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// check is one line of the doctor's report: what was looked at and what was
// found, or what is wrong.
type check struct {
	name string
	run  func() (string, error)
}

// doctor goes through what a build needs, prints one line for each, and fails if
// one of them fails. It downloads nothing.
func doctor(ctx context.Context, find *resolver, out io.Writer) error {
	var compiler string
	var found *install
	checks := []check{
		{"compiler", func() (_ string, err error) {
			compiler, err = findCompiler(find.env)
			return compiler, err
		}},
		{"libtorch", func() (_ string, err error) {
			if found, err = find.resolve(ctx); err != nil {
				return "", err
			}
			return found.describe(), nil
		}},
		{"C++ standard", func() (string, error) {
			return found.Standard, checkStandard(ctx, compiler, found)
		}},
		{"build and start", func() (string, error) {
			_, made, err := prepare(ctx, find)
			if err != nil {
				return "", err
			}
			return made.driver, tryProgram(ctx, made, found)
		}},
	}
	failures := 0
	for _, c := range checks {
		text, err := c.run()
		if err != nil {
			failures++
			fmt.Fprintf(out, "FAIL %s: %v\n", c.name, err)
			break // each check needs the ones before it
		}
		fmt.Fprintf(out, "ok   %s: %s\n", c.name, text)
	}
	reportFetch(find, found, out)
	if failures > 0 {
		return errors.New("doctor: this machine cannot build with libtorch yet; see above")
	}
	return nil
}

// describe says in one line what an install is.
func (in *install) describe() string {
	kind := "CPU"
	if in.CUDA {
		kind = "CUDA"
	}
	abi := ""
	if in.OldABI {
		abi = ", pre-C++11 ABI (the driver sets -D_GLIBCXX_USE_CXX11_ABI=0)"
	}
	return fmt.Sprintf("%s %s in %s (%s%s)", in.Version, kind, in.Root, in.Origin, abi)
}

// reportFetch says whether a fetch would find its clients and space; that is news
// only, since nothing need be fetched where a libtorch was found.
func reportFetch(find *resolver, found *install, out io.Writer) {
	if found != nil {
		return
	}
	for _, c := range []client{maven(""), pip("", "")} {
		if command, err := c.find(); err != nil {
			fmt.Fprintf(out, "note fetch: %v\n", err)
		} else {
			fmt.Fprintf(out, "note fetch: %s is there\n", command[0])
		}
	}
	if free, err := freeSpace(existing(find.cache)); err == nil {
		fmt.Fprintf(out, "note fetch: %d MiB free in %s, %d needed\n", free>>20, find.cache, neededBytes>>20)
	}
}

// existing is the nearest folder above a path that exists.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// tryProgram builds an empty program linked to all of libtorch and starts it: so
// the linker's flags, the rpath and the C library's version are right.
func tryProgram(ctx context.Context, made *kit, in *install) error {
	dir, err := os.MkdirTemp("", "libtorch-doctor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	source, program := filepath.Join(dir, "empty.cpp"), filepath.Join(dir, "empty")
	if err := os.WriteFile(source, []byte("int main() { return 0; }\n"), 0o644); err != nil {
		return err
	}
	args := []string{source, "-o", program, "-Wl,--no-as-needed", "-ltorch_cpu", "-lc10", "-Wl,--as-needed"}
	for _, name := range hardwired {
		args = append(args, "-l"+name)
	}
	if text, err := exec.CommandContext(ctx, made.driver, args...).CombinedOutput(); err != nil {
		return failed(err, "is the compiler's architecture the libraries'?", "cannot link: %s", lastLine(string(text)))
	}
	if text, err := exec.CommandContext(ctx, program).CombinedOutput(); err != nil {
		return failed(err, "the libraries in "+in.Library+" do not load on this system", "cannot start: %s", lastLine(string(text)))
	}
	return nil
}

// checkStandard asks the compiler whether it knows the C++ that the headers need.
func checkStandard(ctx context.Context, compiler string, in *install) error {
	words := append(strings.Fields(compiler), "-std="+in.Standard, "-fsyntax-only", "-x", "c++", os.DevNull)
	text, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return failed(err, "install g++ 11 or newer, or set CXX", "%s cannot compile %s, which libtorch %s needs: %s",
			compiler, in.Standard, in.Version, lastLine(string(text)))
	}
	return nil
}
