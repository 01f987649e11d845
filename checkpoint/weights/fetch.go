package weights

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/wildtrain/sdk/checkpoint"
)

// attempts is how often a transfer that breaks in the middle is taken up again.
const attempts = 4

// maxBytes bounds a file of weights.
const maxBytes = 16 << 30

// maxSilence is how long a server may send nothing before the transfer counts as
// broken.
const maxSilence = time.Minute

// transfer is one file on its way, kept in path+".part" until it is whole.
type transfer struct {
	Request
	source Source
	part   string
	etag   string        // of the server's file, so that pieces of two files do not mix
	quiet  time.Duration // maxSilence
}

// fetch gets a file to path and returns its SHA-256.
func (r Request) fetch(ctx context.Context, s Source, path string) (string, error) {
	t := &transfer{Request: r, source: s, part: path + ".part", quiet: maxSilence}
	if s.SHA256 == "" { // what is left of an earlier transfer could be of another file
		if err := os.Remove(t.part); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	var err error
	for try := range attempts {
		var again bool
		if again, err = t.attempt(ctx); err == nil || !again || ctx.Err() != nil {
			break
		}
		r.Log.Warn("the transfer broke: going on", "address", s.Address, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try) * time.Second):
		}
	}
	if err != nil {
		return "", err
	}
	sum, _, err := checkpoint.Digest(t.part)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(sum, t.source.SHA256) {
		os.Remove(t.part)
		return "", fmt.Errorf("the SHA-256 is %s, want %s…: the file is damaged or another one", sum, t.source.SHA256)
	}
	if t.source.SHA256 == "" {
		r.Log.Warn("the publisher states no checksum", "address", s.Address, "sha256", sum)
	}
	return sum, os.Rename(t.part, path)
}

// attempt goes on where the part ends; again tells that a further attempt may help.
func (t *transfer) attempt(parent context.Context) (again bool, err error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	alarm := time.AfterFunc(t.quiet, cancel)
	defer func() {
		if !alarm.Stop() && err != nil && parent.Err() == nil {
			again, err = true, fmt.Errorf("nothing came for %v", t.quiet)
		}
	}()
	f, err := os.OpenFile(t.part, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return false, err
	}
	defer f.Close()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	reply, err := t.ask(ctx, have)
	if err != nil {
		return have > 0, err
	}
	defer reply.Body.Close()
	switch reply.StatusCode {
	case http.StatusPartialContent:
		if !strings.HasPrefix(reply.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)) {
			return false, fmt.Errorf("the server sends another piece: %s", reply.Header.Get("Content-Range"))
		}
	case http.StatusOK: // from the beginning
		have = 0
	case http.StatusRequestedRangeNotSatisfiable: // all of it is there, or too much: the checksum tells
		return false, nil
	default:
		return reply.StatusCode >= 500, fmt.Errorf("the server says %s", reply.Status)
	}
	if err := f.Truncate(have); err != nil {
		return false, err
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return false, err
	}
	return t.copy(f, reply, have, func() { alarm.Reset(t.quiet) })
}

// ask sends the request for what comes after the first have bytes.
func (t *transfer) ask(ctx context.Context, have int64) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, t.source.Address, nil)
	if err != nil {
		return nil, err
	}
	if have > 0 {
		q.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if t.etag != "" {
			q.Header.Set("If-Range", t.etag)
		}
	}
	client := *t.Client
	client.CheckRedirect = func(q *http.Request, via []*http.Request) error {
		t.learn(q.Response.Header)
		if len(via) >= 10 {
			return errors.New("more than 10 redirections")
		}
		return nil
	}
	reply, err := client.Do(q)
	if err == nil {
		t.learn(reply.Header)
		if tag := reply.Header.Get("ETag"); !strings.HasPrefix(tag, "W/") {
			t.etag = tag
		}
	}
	return reply, err
}

var wholeDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// learn takes down the checksum that a server states: that of a file in large
// file storage is its SHA-256.
func (t *transfer) learn(h http.Header) {
	sum := strings.Trim(h.Get("X-Linked-Etag"), `"`)
	if t.source.SHA256 == "" && wholeDigest.MatchString(sum) {
		t.source.SHA256 = sum
	}
}

func (t *transfer) copy(f *os.File, reply *http.Response, have int64, alive func()) (again bool, err error) {
	total := int64(-1)
	if reply.ContentLength >= 0 {
		total = have + reply.ContentLength
	}
	if total > maxBytes {
		return false, fmt.Errorf("%d bytes are more than %d", total, int64(maxBytes))
	}
	w := &counter{w: f, done: have, total: total, show: t.Progress, alive: alive}
	n, err := io.Copy(w, io.LimitReader(reply.Body, maxBytes-have))
	if w.err != nil { // of our disk
		return false, w.err
	}
	if err == nil && reply.ContentLength >= 0 && n < reply.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return true, err
	}
	return false, f.Sync()
}

// counter writes and shows how much.
type counter struct {
	w           io.Writer
	done, total int64
	show        func(done, total int64)
	alive       func() // called with every piece
	err         error
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.done, c.err = c.done+int64(n), err
	c.alive()
	if c.show != nil {
		c.show(c.done, c.total)
	}
	return n, err
}
