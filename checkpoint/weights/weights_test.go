package weights

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// content is what the test's server has for every name; its SHA-256 is sum.
func content(n int) (data []byte, sum string) {
	r := rand.New(rand.NewPCG(1, 2))
	data = make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	hash := sha256.Sum256(data)
	return data, hex.EncodeToString(hash[:])
}

// server counts requests, remembers ranges and breaks the first transfers off.
type server struct {
	*httptest.Server
	data     []byte
	requests atomic.Int64
	breaks   atomic.Int64 // transfers still to be broken off in the middle
	header   http.Header
	mu       sync.Mutex
	ranges   []string
	paths    []string
}

func serve(t *testing.T, data []byte) *server {
	s := &server{data: data, header: http.Header{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.requests.Add(1)
		s.mu.Lock()
		s.ranges, s.paths = append(s.ranges, q.Header.Get("Range")), append(s.paths, q.URL.Path)
		s.mu.Unlock()
		for k, v := range s.header {
			w.Header()[k] = v
		}
		if s.breaks.Add(-1) >= 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(s.data)))
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write(s.data[:len(s.data)/3])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(s.data))
	}))
	t.Cleanup(s.Close)
	return s
}

// client sends all requests, whatever their host, to the test's server.
func (s *server) client() *http.Client {
	to, _ := url.Parse(s.URL)
	return &http.Client{Transport: rewrite{to}}
}

type rewrite struct{ to *url.URL }

func (r rewrite) RoundTrip(q *http.Request) (*http.Response, error) {
	q = q.Clone(q.Context())
	q.URL.Scheme, q.URL.Host = r.to.Scheme, r.to.Host
	return http.DefaultTransport.RoundTrip(q)
}

func request(t *testing.T, s *server) Request {
	return Request{Architecture: "resnet18", From: "true", Folder: filepath.Join(t.TempDir(), "weights"), Client: s.client(), Log: slog.New(slog.DiscardHandler)}
}

// address is one on this machine whose name ends in the beginning of the checksum.
func (s *server) address(sum string) string { return s.URL + "/models/tiny-" + sum[:8] + ".pth" }

func TestFetchedOnce(t *testing.T) {
	data, sum := content(1 << 20)
	s := serve(t, data)
	r := request(t, s)
	r.From = s.address(sum)
	var last, total int64
	r.Progress = func(d, n int64) { last, total = d, n }
	found, err := Find(t.Context(), r)
	require.NoError(t, err)
	require.True(t, found.Fetched)
	require.Equal(t, filepath.Join(r.Folder, "tiny-"+sum[:8]+".pth"), found.Path)
	got, err := os.ReadFile(found.Path)
	require.NoError(t, err)
	require.Equal(t, data, got)
	require.Equal(t, int64(len(data)), last)
	require.Equal(t, int64(len(data)), total)

	again, err := Find(t.Context(), r)
	require.NoError(t, err)
	require.False(t, again.Fetched)
	require.Equal(t, int64(1), s.requests.Load(), "what is there is not fetched again")
	record, err := readRecord(found.Path)
	require.NoError(t, err)
	require.Equal(t, sum, record.SHA256)
	require.Equal(t, r.From, record.Address)
}

// The file of the table does not come from the test's server, whose bytes have
// another checksum: it must be refused and nothing kept.
func TestChecksum(t *testing.T) {
	data, sum := content(1000)
	s := serve(t, data)
	r := request(t, s)
	_, err := Find(t.Context(), r)
	require.ErrorContains(t, err, "the SHA-256 is "+sum+", want f37072fd…")
	require.Equal(t, []string{"/models/resnet18-f37072fd.pth"}, s.paths)
	left, err := filepath.Glob(filepath.Join(r.Folder, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(r.Folder, "resnet18-f37072fd.pth.lock")}, left)

	r.From = s.URL + "/any.safetensors#sha256=" + strings.Repeat("0", 64)
	_, err = Find(t.Context(), r)
	require.ErrorContains(t, err, "damaged")
	r.From = s.URL + "/any.safetensors#sha256=" + sum
	_, err = Find(t.Context(), r)
	require.NoError(t, err)
}

// A large file store states the checksum in its redirection.
func TestStatedChecksum(t *testing.T) {
	data, sum := content(1000)
	s := serve(t, data)
	s.header.Set("X-Linked-Etag", `"`+sum+`"`)
	r := request(t, s)
	r.Architecture, r.From = "timm/vit_small_patch14_dinov2.lvd142m", "true"
	found, err := Find(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, "Apache-2.0", found.License)
	require.Equal(t, "vit_small_patch14_dinov2.lvd142m.safetensors", filepath.Base(found.Path))
	require.Equal(t, []string{"/timm/vit_small_patch14_dinov2.lvd142m/resolve/main/model.safetensors"}, s.paths)

	s.header.Set("X-Linked-Etag", `"`+strings.Repeat("ab", 32)+`"`)
	r.Folder = t.TempDir()
	_, err = Find(t.Context(), r)
	require.ErrorContains(t, err, "damaged")
}

func TestBrokenTransferGoesOn(t *testing.T) {
	data, sum := content(1 << 20)
	s := serve(t, data)
	s.header.Set("Etag", `"one"`)
	s.breaks.Store(1)
	r := request(t, s)
	r.From = s.address(sum)
	found, err := Find(t.Context(), r)
	require.NoError(t, err)
	got, err := os.ReadFile(found.Path)
	require.NoError(t, err)
	require.Equal(t, data, got)
	require.Len(t, s.ranges, 2)
	require.Equal(t, "", s.ranges[0])
	require.Regexp(t, `^bytes=[1-9]\d*-$`, s.ranges[1])
}

// What an earlier process left is used where a checksum tells that it fits.
func TestLeftPartGoesOn(t *testing.T) {
	data, sum := content(50_000)
	s := serve(t, data)
	r := request(t, s)
	r.From = s.address(sum)
	part := filepath.Join(r.Folder, "tiny-"+sum[:8]+".pth.part")
	leave := func(b []byte) {
		require.NoError(t, os.RemoveAll(r.Folder))
		require.NoError(t, os.MkdirAll(r.Folder, 0o755))
		require.NoError(t, os.WriteFile(part, b, 0o644))
	}
	leave(data[:20_000])
	_, err := Find(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, []string{"bytes=20000-"}, s.ranges)

	leave(data) // whole, but not renamed
	_, err = Find(t.Context(), r)
	require.NoError(t, err)

	leave(bytes.Repeat([]byte{7}, 20_000)) // of another file
	_, err = Find(t.Context(), r)
	require.ErrorContains(t, err, "damaged")
	_, err = Find(t.Context(), r)
	require.NoError(t, err, "the damaged part is gone")
}

func TestLicenses(t *testing.T) {
	data, _ := content(10)
	s := serve(t, data)
	r := request(t, s)
	r.Architecture = "yolo11n"
	_, err := Find(t.Context(), r)
	require.ErrorIs(t, err, ErrLicense)
	require.ErrorContains(t, err, "model.accept_license=AGPL-3.0")
	require.Zero(t, s.requests.Load(), "nothing is fetched before the licence is accepted")
	r.AcceptLicense = "AGPL-3.0"
	_, err = Find(t.Context(), r)
	require.NotErrorIs(t, err, ErrLicense)
	require.ErrorContains(t, err, "damaged", "the test's server has no such file")

	r = request(t, s)
	r.Architecture, r.From = "vit_b_16", "IMAGENET1K_SWAG_E2E_V1"
	_, err = Find(t.Context(), r)
	require.ErrorContains(t, err, "model.accept_license=CC-BY-NC-4.0")

	r.From = s.URL + "/ultralytics/assets/x.pt"
	_, err = Find(t.Context(), r)
	require.ErrorIs(t, err, ErrLicense)
	r.AcceptLicense = "agpl-3.0"
	found, err := Find(t.Context(), r)
	require.NoError(t, err)
	var record Record
	b, err := os.ReadFile(found.Path + ".license.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &record))
	require.Equal(t, "AGPL-3.0", record.License)

	// The licence stays with the file, also where it is named by its path.
	r.From, r.AcceptLicense = found.Path, ""
	_, err = Find(t.Context(), r)
	require.ErrorIs(t, err, ErrLicense)
}

func TestWithoutNetwork(t *testing.T) {
	s := serve(t, nil)
	r := request(t, s)
	s.Close()
	_, err := Find(t.Context(), r)
	require.ErrorContains(t, err, "https://download.pytorch.org/models/resnet18-f37072fd.pth")
	require.ErrorContains(t, err, "put that file at "+filepath.Join(r.Folder, "resnet18-f37072fd.pth"))
	require.NotContains(t, err.Error(), "\n")

	gone := serve(t, nil)
	gone.Config.Handler = http.NotFoundHandler()
	r.Client = gone.client()
	_, err = Find(t.Context(), r)
	require.ErrorContains(t, err, "404 Not Found")
}

// A file that the user put into the folder is used without a network, but only
// if it is what it is called.
func TestFileOfTheUser(t *testing.T) {
	data, sum := content(100)
	s := serve(t, data)
	s.Close()
	r := request(t, s)
	r.From = s.address(sum)
	path := filepath.Join(r.Folder, "tiny-"+sum[:8]+".pth")
	require.NoError(t, os.MkdirAll(r.Folder, 0o755))
	require.NoError(t, os.WriteFile(path, data[1:], 0o644))
	_, err := Find(t.Context(), r)
	require.ErrorContains(t, err, "is not the published file")
	require.NoError(t, os.WriteFile(path, data, 0o644))
	found, err := Find(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, path, found.Path)

	r.From = filepath.Base(path) // by its name in the folder
	found, err = Find(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, path, found.Path)
	r.From = "nowhere.pt"
	_, err = Find(t.Context(), r)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, r.Folder)
}

func TestTagsAndAddresses(t *testing.T) {
	s := serve(t, nil)
	r := request(t, s)
	for from, want := range map[string]string{
		"IMAGENET1K_V9":        `"IMAGENET1K_V9" is neither a file nor a tag of resnet50, which has IMAGENET1K_V2, IMAGENET1K_V1, a1_in1k`,
		"http://example.org/x": "must begin with https://",
		"ftp://example.org/x":  "must begin with https://",
		"https://example.org":  "names no file",
	} {
		r.Architecture, r.From = "resnet50", from
		_, err := Find(t.Context(), r)
		require.ErrorContains(t, err, want, from)
	}
	r.Architecture, r.From = "my_own", "true"
	_, err := Find(t.Context(), r)
	require.ErrorContains(t, err, "no official weights of my_own are known")
	require.Zero(t, s.requests.Load())
}

func TestManyAtOnce(t *testing.T) {
	data, sum := content(1 << 18)
	s := serve(t, data)
	r := request(t, s)
	r.From = s.address(sum)
	var group sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		group.Go(func() { _, errs[i] = Find(context.Background(), r) })
	}
	group.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, int64(1), s.requests.Load())
}

func TestCancelled(t *testing.T) {
	data, sum := content(1 << 20)
	s := serve(t, data)
	s.breaks.Store(100)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r := request(t, s)
	r.From = s.address(sum)
	_, err := Find(ctx, r)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestSources(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range table() {
		require.True(t, strings.HasPrefix(s.Address, "https://"), s.Address)
		require.False(t, seen[s.File], "two files named %s", s.File)
		seen[s.File] = true
		require.NotEmpty(t, s.License, s.File)
		require.NotEmpty(t, s.Architecture)
		if strings.HasPrefix(s.Address, torchvisionAddress) {
			require.Len(t, s.SHA256, 8, s.File)
		}
	}
	first := func(architecture string) string {
		all := Sources(architecture)
		if len(all) == 0 {
			return ""
		}
		return all[0].File
	}
	require.Equal(t, "resnet50-11ad3fa6.pth", first("resnet50"))
	require.Equal(t, "resnet50-11ad3fa6.pth", first("torchvision/resnet50"))
	require.Equal(t, "resnet50.a1_in1k.safetensors", first("timm/resnet50"))
	require.Equal(t, "resnet50.a1_in1k.safetensors", first("resnet50.a1_in1k"))
	require.Equal(t, "vit_small_patch16_224.augreg_in1k.safetensors", first("timm/vit_small_patch16_224.augreg_in1k"))
	require.Equal(t, "vit_b_16-c867db91.pth", first("vit_b_16"), "not the ones for non-commercial use")
	require.Empty(t, first("torchvision/vit_small_patch16_224"))
}

func TestDefaultFolder(t *testing.T) {
	t.Setenv("WILDTRAIN_WEIGHTS", "here")
	dir, err := DefaultFolder()
	require.NoError(t, err)
	require.Equal(t, "here", dir)
	t.Setenv("WILDTRAIN_WEIGHTS", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir, err = DefaultFolder()
	require.NoError(t, err)
	require.Equal(t, "weights", filepath.Base(dir))
}

func TestDamagedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pt")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	require.NoError(t, os.WriteFile(path+recordSuffix, []byte("{"), 0o644))
	_, err := Find(t.Context(), Request{From: path, Folder: t.TempDir()})
	require.ErrorContains(t, err, path+recordSuffix)
	require.ErrorContains(t, err, "unexpected end of JSON input")
}

// A server that falls silent is not waited for for ever.
func TestSilence(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write(make([]byte, 10))
		w.(http.Flusher).Flush()
		<-hang
	}))
	defer server.Close()
	defer close(hang)
	x := &transfer{Request: Request{Client: http.DefaultClient}, source: Source{Address: server.URL + "/x"}, part: filepath.Join(t.TempDir(), "x.part"), quiet: 100 * time.Millisecond}
	again, err := x.attempt(t.Context())
	require.True(t, again)
	require.ErrorContains(t, err, "nothing came for 100ms")
	info, err := os.Stat(x.part)
	require.NoError(t, err)
	require.Equal(t, int64(10), info.Size(), "what came is kept")
}
