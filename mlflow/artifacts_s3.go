package mlflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	storage "github.com/wildtrain/sdk/internal/s3"
)

// S3Options say how to reach a storage with S3's interface.
type S3Options struct {
	Endpoint                           string // "" for Amazon's, by region
	InsecureTLS                        bool
	Region                             string
	AccessKey, SecretKey, SessionToken string
	ExtraArgs                          string // JSON of upload headers by boto3's names, such as {"ServerSideEncryption": "aws:kms"}
}

// s3 is Artifacts in a bucket. Requests are signed by Signature Version 4 and
// carry the SHA-256 of what they send, which the storage checks.
type s3 struct {
	rest   *REST // for transport and retries
	o      S3Options
	bucket string
	root   string
	extra  map[string]string
	now    func() time.Time
}

// extraHeaders are the headers of boto3's names.
var extraHeaders = map[string]string{
	"ACL": "x-amz-acl", "ServerSideEncryption": "x-amz-server-side-encryption", "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
	"StorageClass": "x-amz-storage-class", "CacheControl": "cache-control", "ContentType": "content-type", "Tagging": "x-amz-tagging",
	"BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
}

func openS3(uri string, c Connection) (*s3, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("mlflow: open artifacts %q: want s3://BUCKET/PATH", uri)
	}
	if c.S3.AccessKey == "" || c.S3.SecretKey == "" {
		return nil, fmt.Errorf("mlflow: open artifacts %q: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set", uri)
	}
	s := &s3{o: c.S3, bucket: u.Host, root: strings.Trim(u.Path, "/"), extra: map[string]string{}, now: time.Now}
	if s.o.Region == "" {
		s.o.Region = storage.DefaultRegion
	}
	if s.o.Endpoint == "" {
		s.o.Endpoint = storage.Endpoint(s.o.Region)
	}
	if s.o.ExtraArgs != "" {
		var args map[string]any
		if err := json.Unmarshal([]byte(s.o.ExtraArgs), &args); err != nil {
			return nil, fmt.Errorf("mlflow: MLFLOW_S3_UPLOAD_EXTRA_ARGS: %w", err)
		}
		for k, v := range args {
			header, ok := extraHeaders[k]
			if !ok {
				return nil, fmt.Errorf("mlflow: MLFLOW_S3_UPLOAD_EXTRA_ARGS: %q is not supported", k)
			}
			s.extra[header] = fmt.Sprint(v)
		}
	}
	c.InsecureTLS, c.ServerCert, c.ClientCert = s.o.InsecureTLS, "", ""
	if c.MultipartChunk < 5<<20 { // the smallest part that S3 takes
		c.MultipartChunk = 5 << 20
	}
	if c.MultipartMinimum == 0 {
		c.MultipartMinimum = 500 << 20
	}
	s.rest, err = OpenREST(s.o.Endpoint, c)
	return s, err
}

// request is one signed request. The body is read anew at each try.
type request struct {
	method, key string
	query       url.Values
	header      map[string]string
	body        func() io.Reader // nil for none
	size        int64
	digest      string // SHA-256 of the body; "" for none
}

func (s *s3) do(ctx context.Context, what string, r request, read func(*http.Response) error) error {
	return s.rest.again(ctx, func() (time.Duration, error) {
		q, err := s.sign(ctx, r)
		if err != nil {
			return 0, fmt.Errorf("mlflow: %s: %w", what, err)
		}
		a, err := s.rest.http.Do(q)
		if err != nil {
			return 0, &unreachable{fmt.Errorf("mlflow: %s: %w", what, err)}
		}
		defer a.Body.Close()
		if a.StatusCode < 200 || a.StatusCode > 299 {
			text, _ := io.ReadAll(io.LimitReader(a.Body, 1<<16))
			if code, message, ok := storage.Fault(text); ok {
				return 0, &Error{Code: code, Message: message, Status: a.StatusCode, Call: what}
			}
			return 0, answerError(what, a.StatusCode, text)
		}
		if read == nil {
			return 0, nil
		}
		return 0, read(a)
	})
}

// sign makes a signed request.
func (s *s3) sign(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		body = r.body()
	}
	q, err := http.NewRequestWithContext(ctx, r.method, storage.Address(s.rest.base, s.bucket, r.key, r.query), body)
	if err != nil {
		return nil, err
	}
	q.ContentLength = r.size
	digest := r.digest
	if digest == "" {
		digest = storage.Digest(nil)
	}
	for k, v := range r.header {
		q.Header.Set(k, v)
	}
	storage.Credentials{Region: s.o.Region, AccessKey: s.o.AccessKey, SecretKey: s.o.SecretKey, SessionToken: s.o.SessionToken}.Sign(q, digest, s.now())
	return q, nil
}

func (s *s3) Put(ctx context.Context, name, file string) error {
	if err := checkArtifactPath(name); err != nil {
		return err
	}
	st, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("mlflow: store artifact: %w", err)
	}
	header := map[string]string{"content-type": first(mime.TypeByExtension(path.Ext(name)), "application/octet-stream")}
	for k, v := range s.extra {
		header[k] = v
	}
	what, key := "store artifact "+name, path.Join(s.root, name)
	if st.Size() >= s.rest.conn.MultipartMinimum {
		return s.putParts(ctx, what, key, file, st.Size(), header)
	}
	return s.putSection(ctx, what, request{method: http.MethodPut, key: key, header: header}, file, 0, st.Size(), nil)
}

// putSection sends some bytes of a file.
func (s *s3) putSection(ctx context.Context, what string, r request, file string, offset, size int64, read func(*http.Response) error) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("mlflow: %s: %w", what, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, offset, size)); err != nil {
		return fmt.Errorf("mlflow: %s: %w", what, err)
	}
	r.size, r.digest, r.body = size, hex.EncodeToString(h.Sum(nil)), func() io.Reader { return io.NewSectionReader(f, offset, size) }
	return s.do(ctx, what, r, read)
}

type completedPart struct {
	XMLName xml.Name `xml:"Part"`
	Number  int      `xml:"PartNumber"`
	ETag    string   `xml:"ETag"`
}

// putParts is a multipart upload; what a failed one has left is taken away.
func (s *s3) putParts(ctx context.Context, what, key, file string, size int64, header map[string]string) error {
	var created struct {
		ID string `xml:"UploadId"`
	}
	begin := request{method: http.MethodPost, key: key, query: url.Values{"uploads": {""}}, header: header}
	if err := s.do(ctx, what, begin, func(a *http.Response) error { return xml.NewDecoder(a.Body).Decode(&created) }); err != nil {
		return err
	}
	chunk := max(s.rest.conn.MultipartChunk, (size+9999)/10000) // S3 takes 10,000 parts
	var parts []completedPart
	err := func() error {
		for offset, n := int64(0), 1; offset < size; offset, n = offset+chunk, n+1 {
			tag := ""
			r := request{method: http.MethodPut, key: key, query: url.Values{"partNumber": {strconv.Itoa(n)}, "uploadId": {created.ID}}}
			err := s.putSection(ctx, what, r, file, offset, min(chunk, size-offset), func(a *http.Response) error {
				tag = a.Header.Get("ETag")
				return nil
			})
			if err != nil {
				return err
			}
			parts = append(parts, completedPart{Number: n, ETag: tag})
		}
		data, err := xml.Marshal(struct {
			XMLName xml.Name        `xml:"CompleteMultipartUpload"`
			Parts   []completedPart `xml:"Part"`
		}{Parts: parts})
		if err != nil {
			return err
		}
		end := request{method: http.MethodPost, key: key, query: url.Values{"uploadId": {created.ID}}, size: int64(len(data)),
			digest: storage.Digest(data), body: func() io.Reader { return bytes.NewReader(data) }}
		return s.do(ctx, what, end, func(a *http.Response) error { // S3 may answer 200 with an error inside
			text, err := io.ReadAll(io.LimitReader(a.Body, 1<<16))
			if err == nil && bytes.Contains(text, []byte("<Error>")) {
				err = fmt.Errorf("mlflow: %s: %s", what, text)
			}
			return err
		})
	}()
	if err != nil {
		err = errors.Join(err, s.do(context.WithoutCancel(ctx), what, request{method: http.MethodDelete, key: key, query: url.Values{"uploadId": {created.ID}}}, nil))
	}
	return err
}

func (s *s3) Get(ctx context.Context, name string, offset int64, w io.Writer) error {
	if err := checkArtifactPath(name); err != nil {
		return err
	}
	c := &counter{w: w, n: offset}
	r := request{method: http.MethodGet, key: path.Join(s.root, name), header: map[string]string{}}
	if offset > 0 {
		r.header["range"] = fmt.Sprintf("bytes=%d-", offset)
	}
	return s.do(ctx, "read artifact "+name, r, func(a *http.Response) error {
		defer func() { r.header["range"] = fmt.Sprintf("bytes=%d-", c.n) }() // should the answer break off
		return copyFrom(c, a)
	})
}

func (s *s3) List(ctx context.Context, name string) ([]FileInfo, error) {
	if err := checkArtifactPath(name); err != nil {
		return nil, err
	}
	prefix := path.Join(s.root, name)
	if prefix != "" {
		prefix += "/"
	}
	rel := func(key string) string { return path.Join(name, strings.TrimPrefix(key, prefix)) }
	q := url.Values{"list-type": {"2"}, "prefix": {prefix}, "delimiter": {"/"}}
	var out []FileInfo
	for {
		var l storage.Listing
		err := s.do(ctx, "list artifacts", request{method: http.MethodGet, query: q}, func(a *http.Response) (err error) {
			l, err = storage.ReadListing(a.Body)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, c := range l.Contents {
			if c.Key != prefix {
				out = append(out, FileInfo{Path: rel(c.Key), Size: Millis(c.Size)})
			}
		}
		for _, p := range l.CommonPrefixes {
			out = append(out, FileInfo{Path: rel(p.Prefix), Dir: true})
		}
		if l.NextContinuationToken == "" || len(out) > maxListed {
			return sortInfos(out), nil
		}
		q.Set("continuation-token", l.NextContinuationToken)
	}
}
