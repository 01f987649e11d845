package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
)

var compilerLine = regexp.MustCompile(`(?m)^compiler='(.*)'$`)

// findCompiler gives the C++ compiler that the driver calls: $CXX unless that is
// a driver of ours (then the one it names), else the first usual name on PATH.
func findCompiler(env func(string) string) (string, error) {
	if words := strings.Fields(env("CXX")); len(words) > 0 {
		path, err := exec.LookPath(words[0])
		switch {
		case err == nil:
			return firstOf(compilerOfDriver(path), env("CXX")), nil
		case !strings.Contains(words[0], "/kit-"): // a driver of ours that was cleaned away is no matter
			return "", failed(err, "correct or unset it", "CXX names a compiler that is not there")
		}
	}
	for _, name := range []string{"g++", "clang++", "c++"} {
		if _, err := exec.LookPath(name); err == nil {
			return name, nil
		}
	}
	return "", failf("install g++ (on Debian: apt-get install g++) or set CXX", "no C++ compiler found")
}

// compilerOfDriver reads the compiler's name out of one of our drivers.
func compilerOfDriver(path string) string {
	text, err := os.ReadFile(path)
	if err != nil || len(text) > 1<<16 || !strings.HasPrefix(string(text), "#!/bin/sh\n# C++ compiler driver written by cmd/libtorch") {
		return ""
	}
	if m := compilerLine.FindStringSubmatch(string(text)); m != nil {
		return m[1]
	}
	return ""
}
