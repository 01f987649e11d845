// Package s3 signs requests to storages with S3's interface and reads their lists.
package s3

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DefaultRegion is what storages take that know no regions.
const DefaultRegion = "us-east-1"

// Credentials name who asks. Without an access key requests are not signed: public buckets take those.
type Credentials struct {
	Region                             string
	AccessKey, SecretKey, SessionToken string
}

// Sign adds the headers of Signature Version 4 (AWS General Reference, "Signing
// requests") to a request, whose headers are all signed. The digest is the body's
// SHA-256 as Digest gives it.
func (c Credentials) Sign(q *http.Request, digest string, now time.Time) {
	if c.AccessKey == "" {
		return
	}
	now = now.UTC()
	q.Header.Set("x-amz-date", now.Format("20060102T150405Z"))
	q.Header.Set("x-amz-content-sha256", digest)
	if c.SessionToken != "" {
		q.Header.Set("x-amz-security-token", c.SessionToken)
	}
	signed := map[string]string{"host": q.URL.Host}
	for k := range q.Header {
		signed[strings.ToLower(k)] = strings.TrimSpace(q.Header.Get(k))
	}
	names := make([]string, 0, len(signed))
	for k := range signed {
		names = append(names, k)
	}
	slices.Sort(names)
	var lines strings.Builder
	for _, k := range names {
		lines.WriteString(k + ":" + signed[k] + "\n")
	}
	list := strings.Join(names, ";")
	canonical := strings.Join([]string{q.Method, q.URL.EscapedPath(), q.URL.RawQuery, lines.String(), list, digest}, "\n")
	day := now.Format("20060102")
	scope := day + "/" + c.Region + "/s3/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + signed["x-amz-date"] + "\n" + scope + "\n" + Digest([]byte(canonical))
	key := []byte("AWS4" + c.SecretKey)
	for _, part := range []string{day, c.Region, "s3", "aws4_request"} {
		key = mac(key, part)
	}
	q.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.AccessKey+"/"+scope+", SignedHeaders="+list+", Signature="+hex.EncodeToString(mac(key, text)))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Digest is the SHA-256 of a body in the form that signatures take.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Address is that of an object, or of the bucket where key is "", below an
// endpoint, in the form that is signed.
func Address(endpoint, bucket, key string, query url.Values) string {
	address := strings.TrimSuffix(endpoint, "/") + "/" + bucket
	if key != "" {
		address += "/" + escape(key)
	}
	if len(query) > 0 {
		address += "?" + strings.ReplaceAll(query.Encode(), "+", "%20")
	}
	return address
}

// escape escapes all but unreserved characters and slashes.
func escape(p string) string {
	var b strings.Builder
	for _, c := range []byte(p) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Endpoint is the address of Amazon's storage in a region.
func Endpoint(region string) string { return "https://s3." + region + ".amazonaws.com" }

// Listing is an answer of ListObjectsV2.
type Listing struct {
	Contents []struct {
		Key, ETag string
		Size      int64
	}
	CommonPrefixes        []struct{ Prefix string }
	NextContinuationToken string
}

// ReadListing reads one, up to 64 MB.
func ReadListing(r io.Reader) (l Listing, err error) {
	err = xml.NewDecoder(io.LimitReader(r, 64<<20)).Decode(&l)
	return l, err
}

// Fault is what the storage says of a request that it refuses; ok is false where that cannot be read.
func Fault(body []byte) (code, message string, ok bool) {
	var e struct{ Code, Message string }
	ok = xml.Unmarshal(body, &e) == nil && e.Code != ""
	return e.Code, e.Message, ok
}
