package datamodule_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

// A picture that has not changed is not opened again; one that has is, and a
// broken index is none.
func TestIndexOfHeaders(t *testing.T) {
	tr := yolo(t).jpeg("images/train/a.jpg", 120, 90)
	c := tr.config()
	c.Index = filepath.Join(t.TempDir(), "index")
	sizes := func() string {
		d, err := setup(c, wildtrain.Train)
		require.NoError(t, err)
		var out []string
		for _, r := range d.Records(wildtrain.Train) {
			out = append(out, fmt.Sprintf("%d×%d", r.Width, r.Height))
		}
		return strings.Join(out, " ")
	}
	assert.Equal(t, "120×90 40×30", sizes())
	files, err := filepath.Glob(filepath.Join(c.Index, "*.headers"))
	require.NoError(t, err)
	require.Len(t, files, 1)

	// The same size and time with another content: only the index can say 120×90.
	a := tr.path("images/train/a.jpg")
	info, err := os.Stat(a)
	require.NoError(t, err)
	other := encode(t, "", 30, 40)
	require.Less(t, len(other), int(info.Size()))
	require.NoError(t, os.WriteFile(a, append(other, make([]byte, int(info.Size())-len(other))...), 0o644))
	require.NoError(t, os.Chtimes(a, time.Time{}, info.ModTime()))
	assert.Equal(t, "120×90 40×30", sizes())

	require.NoError(t, os.Chtimes(a, time.Time{}, info.ModTime().Add(time.Second)))
	assert.Equal(t, "30×40 40×30", sizes())
	assert.Equal(t, "30×40 40×30", sizes())

	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	for _, broken := range [][]byte{nil, data[:len(data)-1], append([]byte("x"), data...), data[:40]} {
		require.NoError(t, os.WriteFile(files[0], broken, 0o644))
		assert.Equal(t, "30×40 40×30", sizes())
	}
	data[30] ^= 1
	require.NoError(t, os.WriteFile(files[0], data, 0o644))
	assert.Equal(t, "30×40 40×30", sizes(), "its hash tells")
}

// A million pictures:
//
//	WILDTRAIN_SOAK=1 go test -v -timeout 20m -run MillionMemory ./datamodule
func TestMillionMemory(t *testing.T) {
	if os.Getenv("WILDTRAIN_SOAK") == "" {
		t.Skip("takes a minute; set WILDTRAIN_SOAK=1")
	}
	const n, files = 1_000_000, 1000
	tr := newTree(t)
	for i := range files {
		tr.jpeg(fmt.Sprintf("images/train/%04d.jpg", i), 160, 120)
	}
	f, err := os.Create(tr.write("annotations/train.json", "").path("annotations/train.json"))
	require.NoError(t, err)
	fmt.Fprint(f, `{"categories":[{"id":1,"name":"impala"}],"images":[`)
	strings := 0
	for i := range n {
		name := fmt.Sprintf("%04d.jpg", i%files)
		strings += len(filepath.Base(tr.root)+"/images/train/"+name) + len(tr.path("images/train/"+name)) + len(fmt.Sprint(i))
		fmt.Fprintf(f, "%s{\"id\":%d,\"file_name\":\"%s\",\"width\":160,\"height\":120}", []string{",", ""}[min(1, max(0, 1-i))], i, name)
	}
	fmt.Fprint(f, "\n],\"annotations\":[{\"id\":1,\"image_id\":0,\"category_id\":1,\"bbox\":[1,2,3,4]}]}")
	require.NoError(t, f.Close())
	c := tr.config()
	c.Index = filepath.Join(t.TempDir(), "index")
	for range 2 {
		before := heap()
		begin := time.Now()
		d, err := datamodule.NewDetection(c)
		require.NoError(t, err)
		opened := time.Since(begin)
		require.NoError(t, d.Setup(context.Background(), wildtrain.Train))
		took := time.Since(begin)
		per := float64(heap()-before-int64(strings)) / n
		t.Logf("read in %v, set up in %v; %.0f bytes a picture plus %.0f of strings; peak %d MB", opened, took, per, float64(strings)/n, peakRSS(t)>>20)
		assert.Less(t, per, 200.)
		require.Len(t, d.Records(wildtrain.Train), n)
		require.NoError(t, d.Close())
	}
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
