package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shop is a machine with fake package clients: scripts named mvn and python3
// which give prepared archives, and note each call in a file.
type shop struct {
	dir    string
	assets []asset
	log    bytes.Buffer
}

// split parts a tree as the real archives do: libraries here, headers there.
func split(whole tree) (libraries, headers tree) {
	libraries, headers = tree{}, tree{}
	for name, text := range whole {
		if rest, ok := strings.CutPrefix(name, "include/"); ok {
			headers[rest] = text
		} else if rest, ok := strings.CutPrefix(name, "lib/"); ok {
			libraries[rest] = text
		}
	}
	headers["torch/csrc/api/include/torch/version.h"] =
		"#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 7\n#define TORCH_VERSION_PATCH 1\n"
	return libraries, headers
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{dir: t.TempDir(), assets: assets("linux/amd64")}
	t.Setenv("PATH", filepath.Join(s.dir, "bin")+":/usr/bin:/bin")
	libraries, headers := split(libtorch(pinnedVersion))
	for i, packed := range []struct {
		tree   tree
		prefix string
	}{{libraries, "pytorch/cpu/linux-x86_64/"}, {headers, "torch/include/"}} {
		archive, sum := packed.tree.zipped(t, packed.prefix)
		s.assets[i].sha256 = sum
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, s.assets[i].name), archive, 0o644))
	}
	s.client(t, "mvn", s.gives(0, `${a#-DoutputDirectory=}`, `-DoutputDirectory=*`))
	s.client(t, "python3", s.gives(1, `$a`, `/*`))
	return s
}

// gives is a script line that copies an asset to the folder named by the argument
// that fits the pattern.
func (s *shop) gives(i int, folder, pattern string) string {
	return fmt.Sprintf(`for a; do case $a in %s) cp '%s' "%s/" ;; esac; done`, pattern, filepath.Join(s.dir, s.assets[i].name), folder)
}

// client installs a program which answers --version and else notes that it was
// called and runs the body.
func (s *shop) client(t *testing.T, name, body string) {
	script(t, filepath.Join(s.dir, "bin"), name,
		fmt.Sprintf("case \"$*\" in *--version) exit 0 ;; esac\necho %s >>'%s'\n%s", name, filepath.Join(s.dir, "calls"), body))
}

func (s *shop) calls(t *testing.T, name string) int {
	text, err := os.ReadFile(filepath.Join(s.dir, "calls"))
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	return strings.Count(string(text), name+"\n")
}

func (s *shop) fetcher(more ...source) *fetcher {
	return &fetcher{cache: filepath.Join(s.dir, "cache"), platform: "linux/amd64",
		sources: append(more, fromPackages(s.assets, &s.log)), log: &s.log,
		free: func(string) (uint64, error) { return neededBytes, nil }}
}

// left are the names in the cache.
func (s *shop) left(t *testing.T) (names []string) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "cache"))
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFetchFromPackageClients(t *testing.T) {
	s := newShop(t)
	found, err := s.fetcher().fetch(t.Context())
	require.NoError(t, err)
	assert.Equal(t, version{2, 7, 1}, found.Version)
	assert.Equal(t, pinnedRoot(filepath.Join(s.dir, "cache")), found.Root)
	assert.Equal(t, []string{filepath.Base(pinnedDir("")), "lock"}, s.left(t), "archives and side folders are gone")

	_, err = s.fetcher().fetch(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, s.calls(t, "mvn"), "what is there is not fetched again")
}

func TestFetchAsksTheClientsForThePinnedFiles(t *testing.T) {
	s := newShop(t)
	seen := filepath.Join(s.dir, "seen")
	s.client(t, "mvn", `echo mvn "$@" >>'`+seen+`'; exit 1`)
	s.client(t, "python3", `echo python3 "$@" >>'`+seen+`'; exit 1`)
	_, err := s.fetcher().fetch(t.Context())
	require.Error(t, err)
	text, err := os.ReadFile(seen)
	require.NoError(t, err)
	assert.Contains(t, string(text), "dependency:copy -Dartifact=ai.djl.pytorch:pytorch-native-cpu:2.7.1:jar:linux-x86_64")
	assert.Contains(t, string(text), "-m pip download --quiet --no-deps --only-binary=:all: --platform manylinux_2_28_aarch64")
	assert.Contains(t, string(text), "torch==2.7.1")
}

func TestFetchOnceWhenTwoRunAtOnce(t *testing.T) {
	s := newShop(t)
	s.client(t, "mvn", "sleep 0.3\n"+s.gives(0, `${a#-DoutputDirectory=}`, `-DoutputDirectory=*`))
	var group sync.WaitGroup
	problems := make([]error, 3)
	for i := range problems {
		f := s.fetcher()
		f.log = io.Discard
		f.sources = []source{fromPackages(s.assets, io.Discard)}
		group.Go(func() { _, problems[i] = f.fetch(t.Context()) })
	}
	group.Wait()
	assert.Equal(t, make([]error, 3), problems)
	assert.Equal(t, 1, s.calls(t, "mvn"))
	assert.Equal(t, 1, s.calls(t, "python3"))
}

func TestFetchWaitingCanBeCancelled(t *testing.T) {
	s := newShop(t)
	require.NoError(t, os.MkdirAll(filepath.Join(s.dir, "cache"), 0o755))
	unlock, err := lock(t.Context(), filepath.Join(s.dir, "cache", "lock"), io.Discard)
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.fetcher().fetch(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, s.log.String(), "another process is fetching")
	assert.Zero(t, s.calls(t, "mvn"))
}

func TestFetchRefusesOtherBytes(t *testing.T) {
	s := newShop(t)
	s.client(t, "mvn", s.gives(0, `${a#-DoutputDirectory=}`, `-DoutputDirectory=*`)+
		"\nfor a; do case $a in -DoutputDirectory=*) echo more >>\"${a#-DoutputDirectory=}/"+s.assets[0].name+"\" ;; esac; done")
	_, err := s.fetcher().fetch(t.Context())
	assert.ErrorIs(t, err, errChecksum)
	assert.ErrorContains(t, err, s.assets[0].name)
	assert.ErrorContains(t, err, "not the pinned file")
	assert.Equal(t, 2, s.calls(t, "mvn"), "one more try, no more")
	assert.Equal(t, []string{"downloads", "lock"}, s.left(t), "nothing is installed")
}

func TestFetchGoesOnAfterABreak(t *testing.T) {
	s := newShop(t)
	works := s.gives(0, `${a#-DoutputDirectory=}`, `-DoutputDirectory=*`)
	s.client(t, "mvn", "echo '[ERROR] Connection reset' ; exit 1")
	_, err := s.fetcher().fetch(t.Context())
	assert.ErrorContains(t, err, "mvn could not fetch "+s.assets[0].name+": [ERROR] Connection reset")

	// The other archive came through: only the missing one is asked for again.
	// A leftover of a killed process and a damaged archive do not matter.
	partial := pinnedDir(filepath.Join(s.dir, "cache")) + ".partial"
	tree{"torch/lib/old.so": "x"}.write(t, partial)
	s.client(t, "mvn", works)
	found, err := s.fetcher().fetch(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, s.calls(t, "python3"))
	assert.NoFileExists(t, filepath.Join(found.Library, "old.so"))

	require.NoError(t, os.RemoveAll(pinnedDir(filepath.Join(s.dir, "cache"))))
	tree{s.assets[1].name: "half"}.write(t, filepath.Join(s.dir, "cache", "downloads"))
	_, err = s.fetcher().fetch(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, s.calls(t, "python3"))
}

func TestFetchSecondTryOfAClient(t *testing.T) {
	s := newShop(t)
	flag := filepath.Join(s.dir, "failed once")
	s.client(t, "mvn", fmt.Sprintf("[ -f '%s' ] || { touch '%s'; exit 1; }\n", flag, flag)+s.gives(0, `${a#-DoutputDirectory=}`, `-DoutputDirectory=*`))
	_, err := s.fetcher().fetch(t.Context())
	require.NoError(t, err)
	assert.Contains(t, s.log.String(), "once more")
}

func TestFetchBadSituations(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*testing.T, *shop, *fetcher)
		want  []string
	}{
		"no Maven": {func(t *testing.T, s *shop, _ *fetcher) {
			require.NoError(t, os.Remove(filepath.Join(s.dir, "bin", "mvn")))
			t.Setenv("PATH", filepath.Join(s.dir, "bin"))
		}, []string{"cannot fetch libtorch without Maven (mvn)", "hint: install Maven"}},
		"no pip": {func(t *testing.T, s *shop, _ *fetcher) {
			require.NoError(t, os.Remove(filepath.Join(s.dir, "bin", "python3")))
			t.Setenv("PATH", filepath.Join(s.dir, "bin"))
		}, []string{"cannot fetch libtorch without pip", "hint: install Python 3 with pip"}},
		"no network": {func(t *testing.T, s *shop, _ *fetcher) {
			s.client(t, "python3", "echo 'WARNING: Retrying' >&2; echo 'ERROR: No matching distribution found' >&2; echo 'advice' >&2; exit 1")
		}, []string{"python3 could not fetch", "ERROR: No matching distribution found", "hint: check the network"}},
		"little space": {func(_ *testing.T, _ *shop, f *fetcher) {
			f.free = func(string) (uint64, error) { return 5 << 20, nil }
		}, []string{"not enough disk space", "5 MiB free, 900 MiB needed", "XDG_CACHE_HOME"}},
		"disk full": {func(_ *testing.T, _ *shop, f *fetcher) {
			f.sources = []source{{name: "x", fill: func(context.Context, string, string) error {
				return fmt.Errorf("write: %w", syscall.ENOSPC)
			}}}
		}, []string{"the disk of", "is full", "hint: free some space"}},
		"no libraries": {func(_ *testing.T, _ *shop, f *fetcher) {
			f.platform, f.sources = "plan9/mips", sources("plan9/mips", io.Discard)
		}, []string{"no libtorch 2.7.1 is known for plan9/mips", "hint: set LIBTORCH"}},
		"no cache": {func(t *testing.T, s *shop, f *fetcher) {
			f.cache = filepath.Join(script(t, s.dir, "file", ""), "cache")
		}, []string{"cannot make the cache folder", "hint: set XDG_CACHE_HOME"}},
		"archive without libtorch": {func(t *testing.T, s *shop, f *fetcher) {
			s.assets[0].place = func(string) string { return "" }
		}, []string{"nothing of libtorch in it"}},
		"archive that leaves its folder": {func(t *testing.T, s *shop, f *fetcher) {
			s.assets[0].place = func(name string) string { return "../../" + name }
		}, []string{"leaves the folder"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			f := s.fetcher()
			c.spoil(t, s, f)
			_, err := f.fetch(t.Context())
			for _, want := range c.want {
				assert.ErrorContains(t, err, want)
			}
			assert.NoDirExists(t, pinnedDir(f.cache))
			assert.NoDirExists(t, pinnedDir(f.cache)+".partial")
		})
	}
}

// official serves the archive as the official download does. cut breaks the first
// so many transfers off in the middle; ranges says whether it can continue.
func official(t *testing.T, archive []byte, cut int32, ranges bool) (address string, asked *[]string) {
	asked = new([]string)
	var served atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wanted := r.Header.Get("Range")
		*asked = append(*asked, wanted)
		from := 0
		if ranges && wanted != "" {
			from, _ = strconv.Atoi(strings.Trim(strings.TrimPrefix(wanted, "bytes="), "-"))
			if from >= len(archive) {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(archive)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		if served.Add(1) <= cut {
			w.Write(archive[from : from+(len(archive)-from)/2])
			return // a body shorter than announced: the connection breaks
		}
		w.Write(archive[from:])
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func officialArchiveOf(t *testing.T) (archive []byte, pins map[string]string) {
	whole := libtorch("9.9.9").with("lib/unwanted.a", "static")
	_, headers := split(whole)
	for name, text := range headers {
		whole["include/"+name] = text
	}
	archive, _ = whole.zipped(t, "libtorch/")
	pins = map[string]string{}
	for _, name := range []string{"lib/libtorch_cpu.so", "lib/libc10.so"} {
		pins["torch/"+name] = sumOf(whole[name])
	}
	return archive, pins
}

func TestFetchOfficialArchive(t *testing.T) {
	archive, pins := officialArchiveOf(t)
	for name, c := range map[string]struct {
		cut    int32
		ranges bool
		asked  []string
	}{
		"at once":             {0, true, []string{""}},
		"continued":           {1, true, []string{"", fmt.Sprintf("bytes=%d-", len(archive)/2)}},
		"begun anew":          {1, false, []string{"", fmt.Sprintf("bytes=%d-", len(archive)/2)}},
		"twice broken in two": {2, false, []string{"", fmt.Sprintf("bytes=%d-", len(archive)/2), fmt.Sprintf("bytes=%d-", len(archive)/2)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			address, asked := official(t, archive, c.cut, c.ranges)
			found, err := s.fetcher(fromArchive(address, pins, &s.log)).fetch(t.Context())
			require.NoError(t, err)
			assert.Equal(t, version{2, 7, 1}, found.Version)
			assert.Equal(t, c.asked, *asked)
			assert.Zero(t, s.calls(t, "mvn"))
			assert.NoFileExists(t, filepath.Join(found.Library, "unwanted.a"))
		})
	}
}

func TestFetchOfficialArchiveGoesOnWithALaterRun(t *testing.T) {
	archive, pins := officialArchiveOf(t)
	address, asked := official(t, archive, 0, true)
	s := newShop(t)
	part := filepath.Join(s.dir, "cache", "downloads", "libtorch-"+pinnedVersion+".zip.part")
	tree{filepath.Base(part): string(archive[:100])}.write(t, filepath.Dir(part))
	_, err := s.fetcher(fromArchive(address, pins, &s.log)).fetch(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"bytes=100-"}, *asked)

	// A part that is longer than the file is dropped.
	require.NoError(t, os.RemoveAll(pinnedDir(filepath.Join(s.dir, "cache"))))
	tree{filepath.Base(part): string(archive) + "tail"}.write(t, filepath.Dir(part))
	_, err = s.fetcher(fromArchive(address, pins, &s.log)).fetch(t.Context())
	require.NoError(t, err)
	assert.Zero(t, s.calls(t, "mvn"))
}

func TestFetchFallsBackToPackages(t *testing.T) {
	archive, pins := officialArchiveOf(t)
	for name, c := range map[string]struct {
		archive []byte
		cut     int32
		status  bool
		log     string
	}{
		"unreachable":   {nil, 0, false, "cannot download libtorch"},
		"always broken": {archive, 100, false, "the transfer broke off"},
		"not found":     {archive, 0, true, "404 Not Found"},
		"other bytes":   {bytes.Replace(archive, []byte("library"), []byte("viruses"), 1), 0, false, "did not work"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			address, _ := official(t, c.archive, c.cut, false)
			switch {
			case c.status:
				server := httptest.NewServer(http.NotFoundHandler())
				defer server.Close()
				address = server.URL
			case c.archive == nil:
				address = "http://127.0.0.1:1/none"
			}
			found, err := s.fetcher(fromArchive(address, pins, &s.log)).fetch(t.Context())
			require.NoError(t, err)
			assert.Equal(t, version{2, 7, 1}, found.Version)
			assert.Equal(t, 1, s.calls(t, "mvn"))
			assert.Contains(t, s.log.String(), c.log)
		})
	}
}

func TestFetchOfficialLibrariesArePinned(t *testing.T) {
	archive, pins := officialArchiveOf(t)
	pins["torch/lib/libc10.so"] = strings.Repeat("0", 64)
	address, _ := official(t, archive, 0, true)
	s := newShop(t)
	f := s.fetcher(fromArchive(address, pins, &s.log))
	f.sources = f.sources[:1]
	_, err := f.fetch(t.Context())
	assert.ErrorIs(t, err, errChecksum)
	assert.NoDirExists(t, pinnedDir(f.cache))
}
