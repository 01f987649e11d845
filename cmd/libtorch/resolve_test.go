package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// machine is a fake one: some Pythons, some folders.
type machine struct {
	root    string
	notes   bytes.Buffer
	fetches int
}

func newMachine(t *testing.T) *machine {
	t.Setenv("PATH", "/nowhere")
	return &machine{root: t.TempDir()}
}

// python makes an interpreter whose torch is the given tree, or absent.
func (m *machine) python(t *testing.T, name string, torch tree) string {
	where := ""
	if torch != nil {
		where = torch.write(t, filepath.Join(m.root, name, "site-packages", "torch"))
	}
	return script(t, filepath.Join(m.root, name, "bin"), "python", "echo '"+where+"'")
}

func (m *machine) resolver(env ...string) *resolver {
	return &resolver{env: environ(env...), cache: filepath.Join(m.root, "cache"), notes: &m.notes,
		fetch: func(context.Context) (*install, error) { m.fetches++; return &install{Origin: "just fetched"}, nil }}
}

func TestResolveOrder(t *testing.T) {
	m := newMachine(t)
	named := m.python(t, "named", libtorch("2.15.0"))
	venv := filepath.Dir(filepath.Dir(m.python(t, "venv", libtorch("2.5.0"))))
	bare := filepath.Dir(filepath.Dir(m.python(t, "bare", nil)))
	dir := libtorch("2.2.0").write(t, filepath.Join(m.root, "libtorch"))
	gotch := libtorch("2.1.0").write(t, filepath.Join(m.root, "gotch"))

	everything := []string{"WILDTRAIN_PYTHON", named, "LIBTORCH", dir, "GOTCH_LIBTORCH", gotch, "VIRTUAL_ENV", venv}
	for want, env := range map[string][]string{
		"2.15.0": everything,
		"2.2.0":  everything[2:],
		"2.1.0":  everything[4:],
		"2.5.0":  everything[6:],
	} {
		found, err := m.resolver(env...).resolve(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, found.Version.String())
	}
	assert.Zero(t, m.fetches)

	// With none of them the pinned one is fetched, and found the next time.
	found, err := m.resolver("VIRTUAL_ENV", bare).resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "just fetched", found.Origin)
	r := m.resolver("VIRTUAL_ENV", bare)
	libtorch("2.7.1").write(t, pinnedRoot(r.cache))
	found, err = r.resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, fetchedCopy, found.Origin)
	assert.Equal(t, 1, m.fetches)

	// -fetched goes past all of them, -python past the environment.
	r = m.resolver(everything...)
	r.fetched = true
	found, err = r.resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "2.7.1", found.Version.String())
	r = m.resolver(everything...)
	r.python = filepath.Join(venv, "bin", "python")
	found, err = r.resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "2.5.0", found.Version.String())
	assert.Empty(t, m.notes.String())
}

func TestResolveNamedPlacesMustWork(t *testing.T) {
	m := newMachine(t)
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"folder without libtorch":  {[]string{"LIBTORCH", m.root}, "$LIBTORCH: no libtorch in " + m.root},
		"python without torch":     {[]string{"WILDTRAIN_PYTHON", m.python(t, "bare", nil)}, "no PyTorch in Python"},
		"python that does not run": {[]string{"WILDTRAIN_PYTHON", filepath.Join(m.root, "none")}, "cannot run Python"},
		"python that fails": {[]string{"WILDTRAIN_PYTHON", script(t, m.root, "broken", "echo 'line one' >&2; echo 'no module encodings' >&2; exit 1")},
			"no module encodings"},
		"python with an old torch": {[]string{"WILDTRAIN_PYTHON", m.python(t, "old", libtorch("1.13.1"))}, "libtorch 1.13.1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.resolver(c.env...).resolve(t.Context())
			assert.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, "hint: ")
		})
	}
	assert.Zero(t, m.fetches)
}

func TestResolvePassesOverAnUnusableActivePython(t *testing.T) {
	m := newMachine(t)
	venv := filepath.Dir(filepath.Dir(m.python(t, "old", libtorch("1.13.1"))))
	found, err := m.resolver("VIRTUAL_ENV", venv).resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "just fetched", found.Origin)
	assert.Contains(t, m.notes.String(), "passed over the active Python")
	assert.Contains(t, m.notes.String(), "1.13.1")
}

func TestResolveWithoutFetching(t *testing.T) {
	m := newMachine(t)
	r := m.resolver()
	r.noFetch = true
	_, err := r.resolve(t.Context())
	assert.ErrorIs(t, err, errAbsent)
	assert.ErrorContains(t, err, `"libtorch fetch" gets it`)

	// A damaged copy is fetched anew.
	r.noFetch = false
	libtorch("2.7.1").with("lib/libc10.so", "").write(t, pinnedRoot(r.cache))
	found, err := r.resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "just fetched", found.Origin)
}

func TestFindCompiler(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	_, err := findCompiler(environ())
	assert.ErrorContains(t, err, "no C++ compiler found")
	assert.ErrorContains(t, err, "apt-get install g++")

	script(t, bin, "c++", "")
	script(t, bin, "clang++-18", "")
	got, err := findCompiler(environ())
	require.NoError(t, err)
	assert.Equal(t, "c++", got)
	got, err = findCompiler(environ("CXX", "clang++-18 -m64"))
	require.NoError(t, err)
	assert.Equal(t, "clang++-18 -m64", got)
	_, err = findCompiler(environ("CXX", "icpc"))
	assert.ErrorContains(t, err, "CXX names a compiler that is not there")

	// The environment of an earlier run must not make the driver call itself.
	found, err := inspect(libtorch("2.7.1").write(t, t.TempDir()), "here")
	require.NoError(t, err)
	made, err := makeKit(t.TempDir(), found, "clang++-18 -m64")
	require.NoError(t, err)
	got, err = findCompiler(environ("CXX", made.driver))
	require.NoError(t, err)
	assert.Equal(t, "clang++-18 -m64", got)
	require.NoError(t, os.RemoveAll(made.dir))
	got, err = findCompiler(environ("CXX", made.driver))
	require.NoError(t, err)
	assert.Equal(t, "c++", got)
}

func TestProblemsShowTheirHint(t *testing.T) {
	cause := errors.New("cause")
	err := failed(cause, "do this", "cannot %s", "work")
	assert.EqualError(t, err, "cannot work: cause\n  hint: do this")
	assert.ErrorIs(t, err, cause)
	assert.EqualError(t, failf("", "bad"), "bad")
}
