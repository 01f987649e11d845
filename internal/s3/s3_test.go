package s3

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The example of Amazon's documentation ("Authenticating Requests: Using the
// Authorization Header", GET Object).
func TestSignatureOfTheDocumentation(t *testing.T) {
	q, err := http.NewRequest(http.MethodGet, "https://examplebucket.s3.amazonaws.com/test.txt", nil)
	require.NoError(t, err)
	q.Header.Set("Range", "bytes=0-9")
	c := Credentials{Region: "us-east-1", AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	c.Sign(q, Digest(nil), time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
	assert.Equal(t, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "+
		"Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", q.Header.Get("Authorization"))
}

func TestWithoutKeysNothingIsSigned(t *testing.T) {
	q, err := http.NewRequest(http.MethodGet, "https://a/b", nil)
	require.NoError(t, err)
	Credentials{Region: DefaultRegion}.Sign(q, Digest(nil), time.Now())
	assert.Empty(t, q.Header)
}

func TestAddressesAreThoseThatAreSigned(t *testing.T) {
	address := Address("http://host:9000/", "wild", "a b+c/ü~.txt", url.Values{"prefix": {"x y"}})
	assert.Equal(t, "http://host:9000/wild/a%20b%2Bc/%C3%BC~.txt?prefix=x%20y", address)
	u, err := url.Parse(address)
	require.NoError(t, err)
	assert.Equal(t, "/wild/a%20b%2Bc/%C3%BC~.txt", u.EscapedPath())
}

func TestWhatTheStorageSays(t *testing.T) {
	l, err := ReadListing(strings.NewReader(`<ListBucketResult><Contents><Key>a</Key><ETag>"e"</ETag><Size>7</Size></Contents><NextContinuationToken>n</NextContinuationToken></ListBucketResult>`))
	require.NoError(t, err)
	require.Len(t, l.Contents, 1)
	assert.Equal(t, int64(7), l.Contents[0].Size)
	assert.Equal(t, `"e"`, l.Contents[0].ETag)
	assert.Equal(t, "n", l.NextContinuationToken)
	_, err = ReadListing(strings.NewReader("<List"))
	assert.Error(t, err)
	code, message, ok := Fault([]byte(`<Error><Code>NoSuchKey</Code><Message>none</Message></Error>`))
	assert.True(t, ok)
	assert.Equal(t, "NoSuchKey none", code+" "+message)
	_, _, ok = Fault([]byte("<html>busy</html>"))
	assert.False(t, ok)
}
