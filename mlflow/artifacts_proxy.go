package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
)

// proxy is Artifacts behind a server: /api/2.0/mlflow-artifacts.
type proxy struct {
	rest *REST
	root string // path of this root among the server's artifacts
}

const proxyPath = "/api/2.0/mlflow-artifacts"

// openProxy understands mlflow-artifacts:/EXP/RUN/artifacts,
// mlflow-artifacts://HOST/… and what servers write as http://HOST/api/2.0/mlflow-artifacts/artifacts/….
func openProxy(store Store, uri string) (Artifacts, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, fmt.Errorf("mlflow: open artifacts %q: %w", uri, err)
	}
	rest, _ := store.(*REST)
	root := strings.Trim(u.Path, "/")
	if u.Scheme != "mlflow-artifacts" {
		base, rel, ok := strings.Cut(u.Path, proxyPath+"/artifacts")
		if !ok {
			return nil, fmt.Errorf("mlflow: open artifacts %q: it is no address of a server's artifact proxy", uri)
		}
		root = strings.Trim(rel, "/")
		address := u.Scheme + "://" + u.Host + base
		if rest == nil || rest.base != strings.TrimRight(address, "/") {
			c := Connection{}
			if c, err = DefaultConnection(); err != nil {
				return nil, err
			}
			if rest != nil && !sameHost(rest.base, u) {
				c.Username, c.Password, c.Token = "", "", "" // they are meant for the tracking server alone
			}
			if rest, err = OpenREST(address, c); err != nil {
				return nil, err
			}
		}
	}
	if rest == nil {
		return nil, fmt.Errorf("mlflow: open artifacts %q: these lie behind a server: name it as the tracking address, not %s", uri, store.URI())
	}
	if err := checkArtifactPath(root); err != nil {
		return nil, err
	}
	return &proxy{rest, root}, nil
}

func sameHost(base string, u *url.URL) bool {
	b, err := url.Parse(base)
	return err == nil && b.Host == u.Host && b.Scheme == u.Scheme
}

func (p *proxy) address(name string) string {
	return p.rest.base + proxyPath + "/artifacts/" + escapePath(path.Join(p.root, name))
}

// do sends a request whose body may be long: there is no time limit.
func (p *proxy) do(ctx context.Context, what, method, address string, body io.Reader, size int64, header map[string]string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("mlflow: %s: %w", what, err)
	}
	q.ContentLength = size
	for k, v := range header {
		q.Header.Set(k, v)
	}
	if strings.HasPrefix(address, p.rest.base+"/") { // presigned addresses carry what they need
		p.rest.authorise(q)
	}
	a, err := p.rest.http.Do(q)
	if err != nil {
		return nil, &unreachable{fmt.Errorf("mlflow: %s: %w", what, err)}
	}
	if a.StatusCode < 200 || a.StatusCode > 299 {
		defer a.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(a.Body, 1<<16))
		return nil, answerError(what, a.StatusCode, text)
	}
	return a, nil
}

func (p *proxy) Put(ctx context.Context, name, file string) error {
	if err := checkArtifactPath(name); err != nil {
		return err
	}
	st, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("mlflow: store artifact: %w", err)
	}
	if p.rest.conn.Multipart && st.Size() >= p.rest.conn.MultipartMinimum {
		err := p.putParts(ctx, name, file, st.Size())
		var e *Error
		if !errors.As(err, &e) || e.Status != http.StatusNotImplemented {
			return err
		}
	}
	kind := mime.TypeByExtension(path.Ext(name))
	return p.rest.again(ctx, func() (time.Duration, error) {
		return 0, p.putPart(ctx, "store artifact "+name, p.address(name), file, 0, st.Size(), map[string]string{"Content-Type": first(kind, "application/octet-stream")}, nil)
	})
}

// putPart sends some bytes of a file. tag gets the answer's ETag unless it is nil.
func (p *proxy) putPart(ctx context.Context, what, address, file string, offset, size int64, header map[string]string, tag *string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("mlflow: %s: %w", what, err)
	}
	defer f.Close()
	a, err := p.do(ctx, what, http.MethodPut, address, io.NewSectionReader(f, offset, size), size, header)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if tag != nil {
		*tag = a.Header.Get("ETag")
	}
	_, err = io.Copy(io.Discard, a.Body)
	return err
}

// credential is where one part goes.
type credential struct {
	URL     string            `json:"url"`
	Number  int               `json:"part_number"`
	Headers map[string]string `json:"headers"`
}

type uploadedPart struct {
	Number int    `json:"part_number"`
	ETag   string `json:"etag"`
	URL    string `json:"url,omitempty"`
}

// putParts uploads in parts to presigned addresses, which the server makes and joins.
func (p *proxy) putParts(ctx context.Context, name, file string, size int64) error {
	what, chunk := "store artifact "+name, p.rest.conn.MultipartChunk
	full := path.Join(p.root, name)
	multipart := func(verb string, in fields, out any) error {
		in["path"] = path.Base(full)
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		answer, err := p.rest.send(ctx, what, func(ctx context.Context) (*http.Request, error) {
			q, err := http.NewRequestWithContext(ctx, http.MethodPost, p.rest.base+proxyPath+"/mpu/"+verb+"/"+escapePath(path.Dir(full)), bytes.NewReader(data))
			if err == nil {
				q.Header.Set("Content-Type", "application/json")
			}
			return q, err
		})
		if err != nil || out == nil {
			return err
		}
		return json.Unmarshal(answer, out)
	}
	var created struct {
		ID          string       `json:"upload_id"`
		Credentials []credential `json:"credentials"`
	}
	parts := (size + chunk - 1) / chunk
	if err := multipart("create", fields{"num_parts": parts}, &created); err != nil {
		return err
	}
	var done []uploadedPart
	err := func() error {
		if int64(len(created.Credentials)) != parts {
			return fmt.Errorf("mlflow: %s: the server gave addresses for %d parts of %d", what, len(created.Credentials), parts)
		}
		for i, c := range created.Credentials {
			offset, tag := int64(i)*chunk, ""
			err := p.rest.again(ctx, func() (time.Duration, error) {
				return 0, p.putPart(ctx, what, c.URL, file, offset, min(chunk, size-offset), c.Headers, &tag)
			})
			if err != nil {
				return err
			}
			done = append(done, uploadedPart{c.Number, tag, c.URL})
		}
		return multipart("complete", fields{"upload_id": created.ID, "parts": done}, nil)
	}()
	if err != nil {
		err = errors.Join(err, multipart("abort", fields{"upload_id": created.ID}, nil))
	}
	return err
}

func (p *proxy) Get(ctx context.Context, name string, offset int64, w io.Writer) error {
	if err := checkArtifactPath(name); err != nil {
		return err
	}
	count := &counter{w: w, n: offset}
	return p.rest.again(ctx, func() (time.Duration, error) {
		header := map[string]string{}
		if count.n > 0 {
			header["Range"] = fmt.Sprintf("bytes=%d-", count.n)
		}
		a, err := p.do(ctx, "read artifact "+name, http.MethodGet, p.address(name), nil, 0, header)
		if err != nil {
			return 0, err
		}
		defer a.Body.Close()
		return 0, copyFrom(count, a)
	})
}

// counter knows how many bytes of a file are there.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// copyFrom appends the body of an answer. MLflow's proxy knows no ranges: what is there already is skipped.
func copyFrom(c *counter, a *http.Response) error {
	if a.StatusCode != http.StatusPartialContent && c.n > 0 {
		if _, err := io.CopyN(io.Discard, a.Body, c.n); err != nil {
			return &unreachable{fmt.Errorf("mlflow: read artifact: %w", err)}
		}
	}
	if _, err := io.Copy(c, a.Body); err != nil {
		return &unreachable{fmt.Errorf("mlflow: read artifact: %w", err)}
	}
	return nil
}

func (p *proxy) List(ctx context.Context, name string) ([]FileInfo, error) {
	if err := checkArtifactPath(name); err != nil {
		return nil, err
	}
	address := p.rest.base + proxyPath + "/artifacts?" + url.Values{"path": {path.Join(p.root, name)}}.Encode()
	answer, err := p.rest.send(ctx, "list artifacts", func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	})
	if err != nil {
		return nil, err
	}
	var out struct {
		Files []FileInfo `json:"files"`
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return nil, fmt.Errorf("mlflow: list artifacts: %w", err)
	}
	for i := range out.Files { // the server's paths are relative to the folder that was asked for
		out.Files[i].Path = path.Join(name, out.Files[i].Path)
	}
	return sortInfos(out.Files), nil
}
