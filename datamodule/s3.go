package datamodule

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wildtrain/sdk/internal/s3"
)

// S3 is a Storage with S3's interface: Amazon's, MinIO, Ceph, and others.
type S3 struct {
	Bucket   string
	Prefix   string // the dataset's place in the bucket; "": all of it
	Endpoint string // "" for Amazon's, by region
	s3.Credentials
	Client *http.Client // nil: http.DefaultClient
}

// NewS3 makes one of an address s3://BUCKET/PREFIX and of the environment's usual
// variables: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
// AWS_REGION or AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL.
// Without keys nothing is signed, as public buckets have it.
func NewS3(address string, getenv func(string) string) (*S3, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return nil, fmt.Errorf("datamodule: open storage %q: want s3://BUCKET/PREFIX", address)
	}
	s := &S3{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Endpoint: cmp.Or(getenv("AWS_ENDPOINT_URL_S3"), getenv("AWS_ENDPOINT_URL"))}
	s.Credentials = s3.Credentials{
		Region:    cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"), s3.DefaultRegion),
		AccessKey: getenv("AWS_ACCESS_KEY_ID"), SecretKey: getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: getenv("AWS_SESSION_TOKEN"),
	}
	return s, nil
}

// get asks for an object, or for a list where the key is "".
func (s *S3) get(ctx context.Context, key string, query url.Values, header map[string]string) (*http.Response, error) {
	endpoint := cmp.Or(s.Endpoint, s3.Endpoint(s.Region))
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, s3.Address(endpoint, s.Bucket, key, query), nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		q.Header.Set(k, v)
	}
	s.Sign(q, s3.Digest(nil), time.Now())
	a, err := cmp.Or(s.Client, http.DefaultClient).Do(q)
	if err != nil {
		return nil, err
	}
	if a.StatusCode/100 == 2 {
		return a, nil
	}
	defer a.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(a.Body, 1<<16))
	if code, message, ok := s3.Fault(text); ok {
		return nil, fmt.Errorf("s3://%s/%s: %s: %s", s.Bucket, key, code, message)
	}
	return nil, fmt.Errorf("s3://%s/%s: %s", s.Bucket, key, a.Status)
}

// List implements Storage.
func (s *S3) List(ctx context.Context) iter.Seq2[StoredObject, error] {
	return func(yield func(StoredObject, error) bool) {
		prefix := s.Prefix
		if prefix != "" {
			prefix += "/"
		}
		q := url.Values{"list-type": {"2"}, "prefix": {prefix}}
		for {
			l, err := s.page(ctx, q)
			if err != nil {
				yield(StoredObject{}, err)
				return
			}
			for _, c := range l.Contents {
				name := strings.TrimPrefix(c.Key, prefix)
				if name == "" || strings.HasSuffix(name, "/") {
					continue // what consoles write for a folder
				}
				if !yield(StoredObject{Name: name, Size: c.Size, Tag: c.ETag}, nil) {
					return
				}
			}
			if l.NextContinuationToken == "" {
				return
			}
			q.Set("continuation-token", l.NextContinuationToken)
		}
	}
}

func (s *S3) page(ctx context.Context, q url.Values) (l s3.Listing, err error) {
	a, err := s.get(ctx, "", q, nil)
	if err != nil {
		return l, err
	}
	defer a.Body.Close()
	return s3.ReadListing(a.Body)
}

// Open implements Storage. An object that has changed since it was listed is an error.
func (s *S3) Open(ctx context.Context, o StoredObject, offset int64) (io.ReadCloser, error) {
	key := o.Name
	if s.Prefix != "" {
		key = s.Prefix + "/" + o.Name
	}
	header := map[string]string{"if-match": o.Tag}
	if offset > 0 {
		header["range"] = fmt.Sprintf("bytes=%d-", offset)
	}
	a, err := s.get(ctx, key, nil, header)
	if err != nil {
		return nil, err
	}
	if offset > 0 && a.StatusCode != http.StatusPartialContent {
		a.Body.Close()
		return nil, fmt.Errorf("s3://%s/%s: the storage does not give parts", s.Bucket, key)
	}
	return a.Body, nil
}
