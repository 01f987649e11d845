package datamodule_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
)

// shelf is a Storage in memory that breaks off after some bytes of each answer.
type shelf struct {
	objects map[string]string
	breaks  int // bytes an answer has at most; 0: all
	mu      sync.Mutex
	asked   map[string]int // bytes given of each
	stop    string         // object of which nothing is given
}

func (s *shelf) List(context.Context) iter.Seq2[datamodule.StoredObject, error] {
	return func(yield func(datamodule.StoredObject, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(s.objects)) {
			text := s.objects[name]
			if !yield(datamodule.StoredObject{Name: name, Size: int64(len(text)), Tag: fmt.Sprintf("%x", text)}, nil) {
				return
			}
		}
	}
}

func (s *shelf) Open(_ context.Context, o datamodule.StoredObject, offset int64) (io.ReadCloser, error) {
	if o.Name == s.stop {
		return nil, errors.New("the line is cut")
	}
	rest := s.objects[o.Name][offset:]
	if s.breaks > 0 && len(rest) > s.breaks {
		rest = rest[:s.breaks]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[o.Name] += len(rest)
	return io.NopCloser(bytes.NewReader([]byte(rest))), nil
}

// files are those in a folder, but the mirror's list.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path)[0] == '.' {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(folder, path)
		out[filepath.ToSlash(rel)] = string(data)
		return err
	}))
	return out
}

func TestMirrorFollowsTheStorage(t *testing.T) {
	ctx, folder := context.Background(), t.TempDir()
	s := &shelf{objects: map[string]string{"a.txt": "one", "b/c.txt": "two and more", "d.txt": ""}, asked: map[string]int{}}
	done, err := datamodule.Mirror(ctx, s, folder)
	require.NoError(t, err)
	assert.Equal(t, datamodule.Mirrored{Fetched: 3, Bytes: 15}, done)
	assert.Equal(t, s.objects, files(t, folder))

	s.objects["a.txt"], s.objects["e.txt"] = "ONE", "new"
	delete(s.objects, "d.txt")
	done, err = datamodule.Mirror(ctx, s, folder)
	require.NoError(t, err)
	assert.Equal(t, datamodule.Mirrored{Fetched: 2, Same: 1, Removed: 1, Bytes: 6}, done)
	assert.Equal(t, s.objects, files(t, folder))

	// A file of the user's is not overwritten, one that was shortened is fetched again.
	require.NoError(t, os.WriteFile(filepath.Join(folder, "mine.txt"), []byte("mine"), 0o644))
	require.NoError(t, os.Truncate(filepath.Join(folder, "e.txt"), 1))
	done, err = datamodule.Mirror(ctx, s, folder)
	require.NoError(t, err)
	assert.Equal(t, 1, done.Fetched)
	s.objects["mine.txt"] = "theirs"
	_, err = datamodule.Mirror(ctx, s, folder)
	assert.ErrorContains(t, err, "is there already and not from this storage")
	assert.Equal(t, "mine", files(t, folder)["mine.txt"])
}

func TestMirrorGoesOn(t *testing.T) {
	ctx, folder := context.Background(), t.TempDir()
	s := &shelf{objects: map[string]string{"a.txt": "0123456789", "b.txt": "b"}, breaks: 4, asked: map[string]int{}}
	_, err := datamodule.Mirror(ctx, s, folder)
	require.NoError(t, err, "three answers hold ten bytes")
	assert.Equal(t, 10, s.asked["a.txt"], "nothing is asked for twice")

	s.objects["c.txt"], s.objects["d.txt"], s.stop = "c", "0123456789abcdefghijkl", "c.txt"
	_, err = datamodule.Mirror(ctx, s, folder)
	require.ErrorContains(t, err, "the line is cut")
	// As a killed run leaves it: a line of the list that does not end.
	list, err := os.OpenFile(filepath.Join(folder, ".wildtrain-mirror.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = list.WriteString(`{"Name":"c.t`)
	require.NoError(t, err)
	require.NoError(t, list.Close())
	s.stop = ""
	_, err = datamodule.Mirror(ctx, s, folder)
	require.NoError(t, err)
	assert.Equal(t, s.objects, files(t, folder))
	assert.Equal(t, 22, s.asked["d.txt"])
}

func TestMirrorRefusesNames(t *testing.T) {
	for _, name := range []string{"../a", "/etc/passwd", `a\b`, "a\x00", "", ".wildtrain-mirror.jsonl"} {
		s := &shelf{objects: map[string]string{name: "x"}, asked: map[string]int{}}
		folder := t.TempDir()
		_, err := datamodule.Mirror(context.Background(), s, folder)
		assert.ErrorContains(t, err, "cannot be a file", "%q", name)
		assert.Empty(t, files(t, folder))
	}
}
