package mlflow_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/mlflow"
)

func TestRequestsAreRepeatedAsMLflowDoes(t *testing.T) {
	for status, want := range map[int]int{408: 4, 429: 4, 500: 4, 502: 4, 503: 4, 504: 4, 400: 1, 401: 1, 404: 1, 501: 1, -1: 4} {
		srv := newServer(t)
		var n atomic.Int64
		srv.Fail(func(*http.Request) int { n.Add(1); return status })
		c := quick(t)
		c.Retries = 3
		s, err := mlflow.OpenREST(srv.URL, c)
		require.NoError(t, err)
		_, err = s.Experiment(t.Context(), "0")
		require.Error(t, err)
		require.EqualValues(t, want, n.Load(), status)
		require.Equal(t, want > 1, mlflow.Transient(err), status)
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	var first time.Time
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 1 {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, `{"experiment":{"experiment_id":"7","name":"x","creation_time":"12"}}`)
	}))
	defer srv.Close()
	s, err := mlflow.OpenREST(srv.URL, quick(t))
	require.NoError(t, err)
	e, err := s.Experiment(t.Context(), "7")
	require.NoError(t, err)
	require.Equal(t, mlflow.Millis(12), e.Created, "numbers may come as texts")
	require.GreaterOrEqual(t, time.Since(first), time.Second)
}

func TestAuthentication(t *testing.T) {
	var got http.Header
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		fmt.Fprint(w, `{"experiment":{}}`)
	}))
	defer srv.Close()
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	home := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(home, ".mlflow"), 0o755))
	ask := func(env map[string]string) error {
		t.Setenv("HOME", home)
		t.Setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
		for k, v := range env {
			t.Setenv(k, v)
		}
		defer func() {
			for k := range env {
				os.Unsetenv(k)
			}
		}()
		s, err := mlflow.Open(t.Context(), srv.URL)
		if err != nil {
			return err
		}
		_, err = s.Experiment(t.Context(), "0")
		return err
	}
	trusted := func(env map[string]string) map[string]string {
		env["MLFLOW_TRACKING_SERVER_CERT_PATH"] = certificate
		return env
	}
	require.ErrorContains(t, ask(nil), "certificate")
	require.NoError(t, ask(map[string]string{"MLFLOW_TRACKING_INSECURE_TLS": "true"}))
	require.NoError(t, ask(trusted(map[string]string{"MLFLOW_TRACKING_TOKEN": "abc", "MLFLOW_WORKSPACE": "north"})))
	require.Equal(t, "Bearer abc", got.Get("Authorization"))
	require.Equal(t, "north", got.Get("X-MLFLOW-WORKSPACE"))
	require.NoError(t, ask(trusted(map[string]string{"MLFLOW_TRACKING_TOKEN": "abc", "MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "pw"})))
	require.True(t, strings.HasPrefix(got.Get("Authorization"), "Basic "))
	require.NoError(t, os.WriteFile(filepath.Join(home, ".mlflow", "credentials"), []byte("# mine\n[other]\nmlflow_tracking_username = no\n[mlflow]\nmlflow_tracking_username = eve\nmlflow_tracking_password = secret\n"), 0o600))
	require.NoError(t, ask(trusted(map[string]string{})))
	r := &http.Request{Header: got}
	user, password, _ := r.BasicAuth()
	require.Equal(t, "eve secret", user+" "+password)

	for name, env := range map[string]map[string]string{
		"exclude each other": trusted(map[string]string{"MLFLOW_TRACKING_INSECURE_TLS": "true"}),
		"SIGV4":              {"MLFLOW_TRACKING_AWS_SIGV4": "true"},
		"TRACKING_AUTH":      {"MLFLOW_TRACKING_AUTH": "plugin"},
		"want a number":      {"MLFLOW_HTTP_REQUEST_TIMEOUT": "soon"},
		"want true or false": {"MLFLOW_TRACKING_INSECURE_TLS": "maybe"},
		"no certificate":     {"MLFLOW_TRACKING_SERVER_CERT_PATH": filepath.Join(home, ".mlflow", "credentials")},
	} {
		require.ErrorContains(t, ask(env), name)
	}
}

func TestAnswersThatAreNotMLflows(t *testing.T) {
	for body, want := range map[string]string{"<html>proxy</html>": "Bad Gateway", `{"error_code":"X","message":"why"}`: "why (X)"} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, body)
		}))
		c := quick(t)
		c.Retries = 0
		s, err := mlflow.OpenREST(srv.URL, c)
		require.NoError(t, err)
		_, err = s.Run(t.Context(), "abc")
		require.ErrorContains(t, err, want)
		srv.Close()
	}
}

// FuzzAnswer reads what a server may answer.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"run":{"info":{"run_id":"a","start_time":"12","end_time":1.5e3},"data":{"metrics":[{"key":"a","value":"NaN","timestamp":"1","step":2}],"tags":[{"key":"k","value":"v"}]}}}`,
		`{"run":null}`, `[]`, `{"run":{"data":{"metrics":[{"value":1e999}]}}}`, `{"run":{"info":{"start_time":{}}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var out struct {
			Run     mlflow.Run             `json:"run"`
			Model   mlflow.RegisteredModel `json:"registered_model"`
			Metrics []mlflow.Metric        `json:"metrics"`
		}
		if json.Unmarshal(data, &out) != nil {
			return
		}
		text, err := json.Marshal(out)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
	})
}

// bucket is a storage with S3's interface, far enough for the client: it holds
// every body against the digest that the request is signed with.
type bucket struct {
	objects map[string][]byte
	parts   map[string][]byte
	aborted bool
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key, q := strings.TrimPrefix(r.URL.Path, "/data/"), r.URL.Query()
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AK/") || digest(body) != r.Header.Get("X-Amz-Content-Sha256") {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>`)
		return
	}
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>`)
	case r.Method == http.MethodPut && q.Has("partNumber"):
		b.parts[q.Get("partNumber")] = body
		w.Header().Set("ETag", `"`+q.Get("partNumber")+`"`)
	case r.Method == http.MethodPost:
		var all []byte
		for i := 1; i <= len(b.parts); i++ {
			all = append(all, b.parts[fmt.Sprint(i)]...)
		}
		b.objects[key] = all
	case r.Method == http.MethodDelete:
		b.aborted = true
	case r.Method == http.MethodPut:
		b.objects[key] = body
		if r.Header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" {
			w.WriteHeader(http.StatusForbidden)
		}
	case q.Get("list-type") == "2":
		fmt.Fprint(w, `<ListBucketResult>`)
		for k, v := range b.objects {
			if rest, ok := strings.CutPrefix(k, q.Get("prefix")); ok && !strings.Contains(rest, "/") {
				fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>%d</Size></Contents>`, k, len(v))
			} else if ok {
				fmt.Fprintf(w, `<CommonPrefixes><Prefix>%s/</Prefix></CommonPrefixes>`, q.Get("prefix")+strings.SplitN(rest, "/", 2)[0])
			}
		}
		fmt.Fprint(w, `</ListBucketResult>`)
	default:
		http.ServeContent(w, r, key, time.Time{}, bytes.NewReader(b.objects[key]))
	}
}

func TestS3(t *testing.T) {
	b := &bucket{objects: map[string][]byte{}, parts: map[string][]byte{}}
	srv := httptest.NewServer(b)
	defer srv.Close()
	for k, v := range map[string]string{"MLFLOW_S3_ENDPOINT_URL": srv.URL, "AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK", "MLFLOW_S3_UPLOAD_EXTRA_ARGS": `{"ServerSideEncryption": "aws:kms"}`, "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "6000000"} {
		t.Setenv(k, v)
	}
	a, err := mlflow.OpenArtifacts(openFile(t, mlflow.SQLiteOptions{}), "s3://data/runs/1/artifacts")
	require.NoError(t, err)
	small, large := filepath.Join(t.TempDir(), "s"), filepath.Join(t.TempDir(), "l")
	require.NoError(t, os.WriteFile(small, []byte("abcdef"), 0o644))
	content := bytes.Repeat([]byte("0123456789"), 1_300_000)
	require.NoError(t, os.WriteFile(large, content, 0o644))
	require.NoError(t, a.Put(t.Context(), "plots/a b+c.txt", small))
	require.NoError(t, a.Put(t.Context(), "large.bin", large))
	require.Len(t, b.parts, 2)
	require.True(t, bytes.Equal(content, b.objects["runs/1/artifacts/large.bin"]))
	list, err := a.List(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []mlflow.FileInfo{{Path: "large.bin", Size: mlflow.Millis(len(content))}, {Path: "plots", Dir: true}}, list)
	var out strings.Builder
	require.NoError(t, a.Get(t.Context(), "plots/a b+c.txt", 2, &out))
	require.Equal(t, "cdef", out.String())
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, err = mlflow.OpenArtifacts(openFile(t, mlflow.SQLiteOptions{}), "s3://data/x")
	require.ErrorContains(t, err, "AWS_ACCESS_KEY_ID")
}

// A proxy before object storage uploads large files in parts, to addresses that it signs.
func TestProxyUploadsInParts(t *testing.T) {
	var base string
	parts, completed := map[string]string{}, ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(r.URL.Path, "/mpu/create/0/r/artifacts/deep"):
			fmt.Fprintf(w, `{"upload_id":"u","credentials":[{"url":"%s/signed/1","part_number":1,"headers":{}},{"url":"%s/signed/2","part_number":2,"headers":{}}]}`, base, base)
		case strings.HasPrefix(r.URL.Path, "/signed/"):
			parts[r.URL.Path] = string(body)
			w.Header().Set("ETag", "tag"+r.URL.Path[len(r.URL.Path)-1:])
		case strings.Contains(r.URL.Path, "/mpu/complete/"):
			completed = string(body)
			fmt.Fprint(w, `{}`)
		}
	}))
	defer srv.Close()
	base = srv.URL
	c := quick(t)
	c.Multipart, c.MultipartMinimum, c.MultipartChunk = true, 5, 4
	s, err := mlflow.OpenREST(srv.URL, c)
	require.NoError(t, err)
	a, err := mlflow.OpenArtifacts(s, "mlflow-artifacts:/0/r/artifacts")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, []byte("abcdefg"), 0o644))
	require.NoError(t, a.Put(t.Context(), "deep/f.bin", file))
	require.Equal(t, map[string]string{"/signed/1": "abcd", "/signed/2": "efg"}, parts)
	require.Contains(t, completed, `"etag":"tag2"`)

	// a server without object storage answers 501: then it is one upload
	own := newServer(t)
	c.Multipart = true
	s, err = mlflow.OpenREST(own.URL, c)
	require.NoError(t, err)
	a, err = mlflow.OpenArtifacts(s, "mlflow-artifacts:/0/r/artifacts")
	require.NoError(t, err)
	require.NoError(t, a.Put(t.Context(), "deep/f.bin", file))
	var b strings.Builder
	require.NoError(t, a.Get(t.Context(), "deep/f.bin", 0, &b))
	require.Equal(t, "abcdefg", b.String())
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
