package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// command runs the program on a machine that has one libtorch, named by
// $LIBTORCH, and a compiler that takes everything.
func command(t *testing.T, args ...string) (out, problems string, err error) {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	script(t, bin, "g++", "exit 0")
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	root := libtorch("2.7.1").write(t, filepath.Join(dir, "it's torch"))
	var stdout, stderr bytes.Buffer
	err = run(t.Context(), args, environ("XDG_CACHE_HOME", filepath.Join(dir, "cache"), "LIBTORCH", root), &stdout, &stderr)
	return stdout.String(), stderr.String(), err
}

func TestEnvIsWhatAShellEvaluates(t *testing.T) {
	out, _, err := command(t, "env")
	require.NoError(t, err)
	shown, err := exec.Command("/bin/sh", "-c", out+`printf '%s\n' "$CXX" "$CGO_ENABLED"`).Output()
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(shown)), "\n")
	require.Len(t, lines, 2)
	assert.FileExists(t, lines[0])
	assert.Equal(t, "1", lines[1])
	assert.Equal(t, 2, strings.Count(out, "\n"), "no other variable is touched")
}

func TestEnvFormats(t *testing.T) {
	out, _, err := command(t, "env", "-format", "json")
	require.NoError(t, err)
	var e environment
	require.NoError(t, json.Unmarshal([]byte(out), &e))
	assert.Equal(t, "2.7.1", e.Version)
	assert.FileExists(t, e.CXX)
	assert.FileExists(t, filepath.Join(e.Library, "libtorch_cpu.so"))
	assert.DirExists(t, filepath.Join(e.Include, "ATen"))

	out, _, err = command(t, "-format=fish", "env")
	require.NoError(t, err)
	assert.Regexp(t, `(?s)^set -gx CXX '.*/cxx';\nset -gx CGO_ENABLED 1;\n$`, out)

	_, _, err = command(t, "env", "-format", "csh")
	assert.ErrorContains(t, err, `unknown format "csh"`)
}

func TestPath(t *testing.T) {
	out, _, err := command(t, "path")
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(strings.TrimSpace(out), "lib", "libtorch_cpu.so"))
}

func TestUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"nothing": nil, "unknown verb": {"install"}, "two verbs": {"env", "path"}, "unknown flag": {"-prefix", "x", "env"}, "help": {"-h"},
	} {
		_, problems, err := command(t, args...)
		assert.ErrorIs(t, err, flag.ErrHelp, name)
		assert.Contains(t, problems, "usage: libtorch", name)
	}
}

func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	env := func(root string) func(string) string {
		return environ("XDG_CACHE_HOME", filepath.Join(dir, "cache"), "LIBTORCH", root)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	good := libtorch("2.7.1").write(t, filepath.Join(dir, "good"))
	// A compiler whose programs are scripts, after the name that follows -o.
	const works = `out=; for a; do [ "$last" = -o ] && out=$a; last=$a; done
[ -z "$out" ] || { printf '#!/bin/sh\nexit %s\n' "${CODE:-0}" >"$out"; chmod +x "$out"; }`
	for name, c := range map[string]struct {
		compiler, root string
		code           string
		want           []string
	}{
		"all well": {works, good, "0", []string{"ok   compiler: g++", "ok   libtorch: 2.7.1 CPU in", "ok   C++ standard: c++17", "ok   build and start"}},
		"old compiler": {"case \"$*\" in *-std=*) echo \"unrecognized option\"; exit 1 ;; esac", good, "0",
			[]string{"FAIL C++ standard: g++ cannot compile c++17, which libtorch 2.7.1 needs: unrecognized option", "hint: install g++ 11"}},
		"does not link": {"case \"$*\" in *-ltorch_cpu*) echo 'skipping incompatible'; exit 1 ;; esac", good, "0",
			[]string{"FAIL build and start: cannot link: skipping incompatible"}},
		"does not start": {works, good, "3", []string{"FAIL build and start: cannot start", "do not load on this system"}},
		"no libtorch":    {works, dir, "0", []string{"ok   compiler", "FAIL libtorch: $LIBTORCH: no libtorch in", "note fetch:"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CODE", c.code)
			script(t, bin, "g++", c.compiler)
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "cache")))
			var out, problems bytes.Buffer
			err := run(t.Context(), []string{"doctor"}, env(c.root), &out, &problems)
			assert.Equal(t, strings.Contains(out.String(), "FAIL"), err != nil, out.String())
			for _, want := range c.want {
				assert.Contains(t, out.String(), want)
			}
		})
	}
}

func TestOldABIIsTold(t *testing.T) {
	in := install{Version: version{2, 1, 2}, OldABI: true, Root: "/r", Origin: "here"}
	assert.Contains(t, in.describe(), "-D_GLIBCXX_USE_CXX11_ABI=0")
}

func TestSourcesPerPlatform(t *testing.T) {
	assert.Len(t, sources("linux/amd64", nil), 2)
	assert.Len(t, sources("linux/arm64", nil), 1)
	assert.Empty(t, sources("darwin/arm64", nil))
	for _, a := range append(assets("linux/amd64"), assets("linux/arm64")...) {
		assert.Len(t, a.sha256, 64)
		assert.Contains(t, a.name, pinnedVersion)
	}
	arm := assets("linux/arm64")[0].place
	assert.Equal(t, "torch/lib/libc10.so", arm("torch/lib/libc10.so"))
	assert.Equal(t, "torch.libs/libgomp-58a43326.so.1.0.0", arm("torch.libs/libgomp-58a43326.so.1.0.0"))
	assert.Empty(t, arm("torch/lib/libtorch_python.so"))
	assert.Empty(t, arm("torch/nn/__init__.py"))
	assert.Contains(t, pinnedDir("/c"), runtime.GOOS+"-"+runtime.GOARCH)
}
