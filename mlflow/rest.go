package mlflow

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// maxAnswer bounds what is read of one JSON answer: 50,000 runs with many metrics are far smaller.
const maxAnswer = 1 << 30

// REST is a Store on a server of MLflow 2.x or 3.x.
type REST struct {
	base string // without a slash at the end
	conn Connection
	http *http.Client

	versionOnce sync.Mutex
	version     string // "" before the first question
}

var _ Store = (*REST)(nil)

// OpenREST makes a client of the server at an http or https address. It sends
// nothing yet.
func OpenREST(address string, c Connection) (*REST, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("mlflow: open server: %q is no http or https address", address)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if u.User != nil { // http://user:password@host
		password, _ := u.User.Password()
		c.Username, c.Password = first(c.Username, u.User.Username()), first(c.Password, password)
		u.User = nil
	}
	transport, err := c.transport()
	if err != nil {
		return nil, fmt.Errorf("mlflow: open server: %w", err)
	}
	return &REST{base: strings.TrimRight(u.String(), "/"), conn: c, http: &http.Client{Transport: transport}}, nil
}

// transport sets TLS up.
func (c Connection) transport() (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: c.InsecureTLS} //nolint:gosec // asked for by name
	if c.ServerCert != "" {
		pool, err := certificates(c.ServerCert)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if c.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientCert)
		if err != nil {
			return nil, fmt.Errorf("client certificate %s: %w", c.ClientCert, err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func certificates(path string) (*x509.CertPool, error) {
	files := []string{path}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*")); err != nil {
			return nil, err
		}
	}
	pool, found := x509.NewCertPool(), false
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		found = pool.AppendCertsFromPEM(data) || found
	}
	if !found {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}

// URI implements Store.
func (r *REST) URI() string { return r.base }

// Close closes idle connections.
func (r *REST) Close() error {
	r.http.CloseIdleConnections()
	return nil
}

// authorise adds what says who asks.
func (r *REST) authorise(q *http.Request) {
	switch c := r.conn; {
	case c.Username != "" && c.Password != "":
		q.SetBasicAuth(c.Username, c.Password)
	case c.Token != "":
		q.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if r.conn.Workspace != "" {
		q.Header.Set("X-MLFLOW-WORKSPACE", r.conn.Workspace)
	}
	for k, v := range r.conn.Headers {
		q.Header.Set(k, v)
	}
	q.Header.Set("User-Agent", "wildtrain-mlflow-go/1")
}

// call asks /api/2.0/mlflow/PATH and reads the answer into out, unless that is nil.
// GET parameters go into the address, all else into a JSON body.
func (r *REST) call(ctx context.Context, method, path string, in, out any) error {
	address := r.base + "/api/2.0/mlflow/" + path
	var body []byte
	if values, ok := in.(url.Values); ok {
		address += "?" + values.Encode()
	} else if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("mlflow: %s: %w", path, err)
		}
	}
	answer, err := r.send(ctx, path, func(ctx context.Context) (*http.Request, error) {
		q, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
		if err == nil && body != nil {
			q.Header.Set("Content-Type", "application/json")
		}
		return q, err
	})
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("mlflow: %s: %s answers no JSON of MLflow's: %w", path, r.base, err)
	}
	return nil
}

// retried are the statuses after which MLflow's own client tries again.
func retried(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Transient tells whether an error may be gone on another try: no connection,
// a time-out, a server that is overloaded or restarts.
func Transient(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return retried(e.Status)
	}
	var lost *unreachable
	return errors.As(err, &lost) || isBusy(err)
}

// isBusy tells a SQLite file that cannot be written now: another process holds
// it, the disk is full or gone.
func isBusy(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff { // the primary code, see sqlite.org/rescode.html
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN:
		return true
	}
	return false
}

// denied tells a store that does not let us in: with other credentials it would.
func denied(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
}

// unreachable is a request that got no answer.
type unreachable struct{ err error }

func (e *unreachable) Error() string { return e.err.Error() }
func (e *unreachable) Unwrap() error { return e.err }

// send tries a small request until it is answered, and returns the body.
func (r *REST) send(ctx context.Context, what string, make func(context.Context) (*http.Request, error)) (body []byte, err error) {
	err = r.again(ctx, func() (wait time.Duration, err error) {
		body, wait, err = r.try(ctx, what, make)
		return wait, err
	})
	return body, err
}

// again repeats what fails for a passing reason, as MLflow's own client does.
func (r *REST) again(ctx context.Context, fn func() (wait time.Duration, err error)) error {
	for try := 0; ; try++ {
		wait, err := fn()
		if err == nil || !Transient(err) || try >= r.conn.Retries || ctx.Err() != nil {
			return err
		}
		if wait == 0 && try > 0 { // the first new try comes at once, as with urllib3
			wait = time.Duration(math.Min(120, r.conn.Backoff*math.Pow(2, float64(try)))*float64(time.Second)) +
				time.Duration(rand.Float64()*r.conn.Jitter*float64(time.Second))
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// try sends a request once. wait is what the server asks for.
func (r *REST) try(ctx context.Context, what string, make func(context.Context) (*http.Request, error)) (body []byte, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.conn.Timeout)
	defer cancel()
	q, err := make(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("mlflow: %s: %w", what, err)
	}
	r.authorise(q)
	a, err := r.http.Do(q)
	if err != nil {
		return nil, 0, &unreachable{fmt.Errorf("mlflow: %s: %w", what, err)}
	}
	defer a.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(a.Body, maxAnswer)); err != nil {
		return nil, 0, &unreachable{fmt.Errorf("mlflow: %s: read answer: %w", what, err)}
	}
	if a.StatusCode >= 200 && a.StatusCode < 300 {
		return body, 0, nil
	}
	if r.conn.RetryAfter {
		wait = retryAfter(a.Header.Get("Retry-After"))
	}
	return nil, wait, answerError(what, a.StatusCode, body)
}

// retryAfter reads seconds or a date, at most ten minutes.
func retryAfter(text string) time.Duration {
	var wait time.Duration
	if n, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(text); err == nil {
		wait = time.Until(t)
	}
	return min(max(wait, 0), 10*time.Minute)
}

// answerError makes an Error of an answer. Servers and proxies before them also
// answer HTML.
func answerError(what string, status int, body []byte) *Error {
	var e struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &e) == nil && e.Code != "" {
		return &Error{Code: e.Code, Message: e.Message, Status: status, Call: what}
	}
	text := strings.TrimSpace(string(body))
	if strings.HasPrefix(text, "<") || text == "" {
		text = http.StatusText(status)
	}
	out := &Error{Message: cut(text, 300), Status: status, Call: what}
	if status == http.StatusNotFound {
		out.Code = codeEndpoint
	}
	return out
}

// Version is the server's, such as "3.17.2"; "" where it does not tell.
func (r *REST) Version(ctx context.Context) (string, error) {
	r.versionOnce.Lock()
	defer r.versionOnce.Unlock()
	if r.version != "" {
		return r.version, nil
	}
	body, err := r.send(ctx, "version", func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, r.base+"/version", nil)
	})
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound {
		return "", nil
	}
	if err == nil {
		r.version = strings.TrimSpace(cut(string(body), 50))
	}
	return r.version, err
}

// HasLoggedModels implements Tracking: servers from 3.0 on have them.
func (r *REST) HasLoggedModels(ctx context.Context) (bool, error) {
	v, err := r.Version(ctx)
	major, _, _ := strings.Cut(v, ".")
	n, _ := strconv.Atoi(major) // 0 where the server tells none: an old one
	return n >= 3, err
}
