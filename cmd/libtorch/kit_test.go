package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// driver makes a kit whose compiler only prints its arguments, one a line, and
// gives a function that calls it in dir and returns them with the kit's own
// places named K (kit), I (include) and L (library).
func driver(t *testing.T, in tree) func(dir string, args ...string) []string {
	t.Helper()
	base := filepath.Join(t.TempDir(), "a folder's name") // quoting is part of the test
	found, err := inspect(in.write(t, filepath.Join(base, "torch")), "here")
	require.NoError(t, err)
	script(t, base, "print", `printf '%s\n' "$@"`)
	t.Setenv("PATH", base+":"+os.Getenv("PATH"))
	cache := filepath.Join(base, "cache")
	require.NoError(t, os.Mkdir(cache, 0o755))
	made, err := makeKit(cache, found, "print")
	require.NoError(t, err)
	return func(dir string, args ...string) []string {
		t.Helper()
		cmd := exec.Command(made.driver, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		text := strings.NewReplacer(made.dir, "K", found.Include, "I", found.Library, "L").Replace(string(out))
		return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
}

// The command lines below are those that `go build -x` shows, with shorter paths.
var (
	libtchCompile = strings.Fields(`-I . -fPIC -m64 -pthread -fmessage-length=0 -ffile-prefix-map=$WORK/b001=/tmp/go-build -I $WORK/b001/ ` +
		`-O2 -g -std=c++17 -I/mod/gotch@v0.9.1/libtch -g -O3 -I/mod/gotch@v0.9.1/libtch/libtorch/include -o $WORK/b001/_x009.o -c torch_api.cpp`)
	shimCompile = strings.Fields(`-I . -fPIC -m64 -pthread -I $WORK/b002/ -O2 -g -DWILDTRAIN_SHIM -o $WORK/b002/_x003.o -c ops.cpp`)
	userCompile = strings.Fields(`-I . -fPIC -m64 -pthread -I $WORK/b003/ -O3 -g -std=c++14 -DNAME="a b" -o $WORK/b003/_x003.o -c user.cpp`)
	finalLink   = strings.Fields(`-m64 -o $WORK/b001/exe/a.out -Wl,--export-dynamic-symbol=_cgo_panic -rdynamic /tmp/go-link/go.o /tmp/go-link/000001.o ` +
		`-O2 -g -lstdc++ -ltorch -lc10 -ltorch_cpu -L/usr/local/cuda/lib64 -lcuda -lcudart -lc10_cuda -ltorch_cuda -lpthread`)
)

func libtchFolder(t *testing.T) string {
	return tree{"torch_api.cpp": "x", "torch_api_generated.cpp.h": "x"}.write(t, t.TempDir())
}

func TestDriverCompilesLibtch(t *testing.T) {
	call := driver(t, libtorch("2.7.1"))
	want := strings.Fields(`-O1 -w -include K/compat.h -std=c++17 -D_GLIBCXX_USE_CXX11_ABI=1 -DNDEBUG -isystem I -isystem I/torch/csrc/api/include ` +
		`-I . -fPIC -m64 -pthread -fmessage-length=0 -ffile-prefix-map=$WORK/b001=/tmp/go-build -I $WORK/b001/ ` +
		`-I/mod/gotch@v0.9.1/libtch -I/mod/gotch@v0.9.1/libtch/libtorch/include -o $WORK/b001/_x009.o -c torch_api.cpp`)
	folder := libtchFolder(t)
	assert.Equal(t, want, call(folder, libtchCompile...))

	// Bazel and friends name the file by its path and work elsewhere.
	elsewhere := slices.Clone(libtchCompile)
	elsewhere[len(elsewhere)-1] = filepath.Join(folder, "torch_api.cpp")
	assert.Contains(t, call(t.TempDir(), elsewhere...), "K/compat.h")
	// A file of that name which is not gotch's is not touched.
	assert.Equal(t, libtchCompile, call(t.TempDir(), libtchCompile...))
}

func TestDriverFollowsTheInstall(t *testing.T) {
	call := driver(t, libtorch("2.15.0").
		with("include/torch/csrc/api/include/torch/all.h", "__cplusplus < 202002L").
		with("include/ATen/core/TensorBody.h", "nothing").
		with("lib/libtorch_cuda.so", "x").with("lib/libc10_cuda.so", "x").
		with("lib/libc10.so", string(elfFile(ownMachine(), oldABISymbol))))
	got := call(libtchFolder(t), libtchCompile...)
	for _, want := range []string{"-std=c++20", "-D_GLIBCXX_USE_CXX11_ABI=0", "-DWILDTRAIN_NO_ALIGN_AS", "-DWILDTRAIN_CUDA"} {
		assert.Contains(t, got, want)
	}
	assert.Subset(t, call(t.TempDir(), finalLink...),
		[]string{"-Wl,--as-needed", "-Wl,--allow-shlib-undefined", "-Wl,--unresolved-symbols=ignore-in-shared-libs"})
}

func TestDriverCompilesTheShim(t *testing.T) {
	call := driver(t, libtorch("2.7.1"))
	assert.Equal(t, strings.Fields(`-O2 -std=c++17 -D_GLIBCXX_USE_CXX11_ABI=1 -DNDEBUG -isystem I -isystem I/torch/csrc/api/include `+
		`-I . -fPIC -m64 -pthread -I $WORK/b002/ -DWILDTRAIN_SHIM -o $WORK/b002/_x003.o -c ops.cpp`),
		call(t.TempDir(), shimCompile...))
}

func TestDriverLinks(t *testing.T) {
	call := driver(t, libtorch("2.7.1"))
	own := []string{"-LK/stubs", "-LL", "-Wl,-rpath,L"}
	assert.Equal(t, append(own, finalLink...), call(t.TempDir(), finalLink...))

	response := filepath.Join(t.TempDir(), "response")
	require.NoError(t, os.WriteFile(response, []byte("go.o\n-lstdc++\n-ltorch\n"), 0o644))
	assert.Equal(t, append(own, "@"+response), call(t.TempDir(), "@"+response), "long links come in a response file")
}

func TestDriverPassesOthersThrough(t *testing.T) {
	call := driver(t, libtorch("2.7.1"))
	for name, args := range map[string][]string{
		"user's C++":       userCompile,
		"probe by go":      {"-###", "-x", "c++", "-c", "-"},
		"link without":     {"-o", "a.out", "go.o", "-lstdc++", "-ltorchvision"},
		"spaces and empty": {"-DTEXT=a  b 'c' \"d\" $e", "-c", "user.cpp"},
		"shim's probe":     {"-DWILDTRAIN_SHIM", "-c", "trivial.c"},
	} {
		assert.Equal(t, args, call(t.TempDir(), args...), name)
	}
}

func TestKitIsStableAndFollowsItsContents(t *testing.T) {
	cache := t.TempDir()
	found, err := inspect(libtorch("2.7.1").write(t, t.TempDir()), "here")
	require.NoError(t, err)
	first, err := makeKit(cache, found, "g++")
	require.NoError(t, err)
	again, err := makeKit(cache, found, "g++")
	require.NoError(t, err)
	assert.Equal(t, first, again, "the same inputs give the same CXX, so that Go's build cache holds")
	other, err := makeKit(cache, found, "clang++")
	require.NoError(t, err)
	assert.NotEqual(t, first.driver, other.driver)
	cuda := *found
	cuda.CUDA = true
	third, err := makeKit(cache, &cuda, "g++")
	require.NoError(t, err)
	assert.NotEqual(t, first.driver, third.driver)

	entries, err := os.ReadDir(cache)
	require.NoError(t, err)
	assert.Len(t, entries, 3, "no side folder stays")
}

func TestStubsStandInForAbsentLibrariesOnly(t *testing.T) {
	found, err := inspect(libtorch("2.15.0").with("lib/libtorch_cuda.so", "x").with("lib/libc10_cuda.so", "x").write(t, t.TempDir()), "here")
	require.NoError(t, err)
	made, err := makeKit(t.TempDir(), found, "g++")
	require.NoError(t, err)
	for _, name := range hardwired {
		text, err := os.ReadFile(filepath.Join(made.dir, "stubs", "lib"+name+".a"))
		if name == "torch_cuda" || name == "c10_cuda" {
			assert.ErrorIs(t, err, os.ErrNotExist)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, "!<arch>\n", string(text))
	}
}

func TestMakeKitBySeveralAtOnce(t *testing.T) {
	cache := t.TempDir()
	found, err := inspect(libtorch("2.7.1").write(t, t.TempDir()), "here")
	require.NoError(t, err)
	done := make(chan error)
	for range 8 {
		go func() {
			made, err := makeKit(cache, found, "g++")
			if err == nil {
				_, err = os.Stat(made.driver)
			}
			done <- err
		}()
	}
	for range 8 {
		assert.NoError(t, <-done)
	}
}
