package evaluate

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is saved is read back with every bit, settings and groups too.
func TestSavedReadsBack(t *testing.T) {
	var problems []fileProblem
	readGolden(t, "testdata/cocofiles.json.gz", &problems)
	for i, p := range problems {
		cfg := p.config()
		cfg.Conf, cfg.GroupBy = 0.4, "file_name"
		d, err := readPair(bytes.NewReader(p.GT), bytes.NewReader(p.DT), cfg, DefaultLimits())
		require.NoError(t, err)
		want, err := d.Summary()
		require.NoError(t, err)
		var b bytes.Buffer
		require.NoError(t, d.Save(&b))
		s, err := ReadSaved(&b, DefaultLimits())
		require.NoError(t, err)
		require.Nil(t, s.Classification)
		got, err := s.Detection.Summary()
		require.NoError(t, err)
		require.Equal(t, want.Values, got.Values, "problem %d", i)
		require.Equal(t, d.PictureCounts(), s.Detection.PictureCounts())
	}

	c := newClasses(t)
	require.NoError(t, c.Update(classData()))
	c.SetGroups(func(id string) string { return id[:1] })
	var b bytes.Buffer
	require.NoError(t, c.Save(&b))
	s, err := ReadSaved(&b, DefaultLimits())
	require.NoError(t, err)
	require.Equal(t, c.answers, s.Classification.answers)
}

func pack(t testing.TB, text string) *bytes.Buffer {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return &b
}

func TestBadSaved(t *testing.T) {
	for text, want := range map[string]string{
		``:                                "EOF",
		`{"Task":"x"}`:                    `its task is "x"`,
		`{"Detection":`:                   "unexpected EOF",
		`{"Detection":{"Classes":["a"]}}`: "no size classes",
	} {
		_, err := ReadSaved(pack(t, text), DefaultLimits())
		require.ErrorContains(t, err, want, text)
	}
	_, err := ReadSaved(strings.NewReader("this is no gzip at all"), DefaultLimits())
	require.ErrorContains(t, err, "gzip")
	_, err = ReadSaved(pack(t, strings.Repeat(" ", 1000)), Limits{100, 10})
	require.ErrorIs(t, err, errLimit)
	_, err = OpenSaved(filepath.Join(t.TempDir(), "no.gz"), DefaultLimits())
	require.ErrorContains(t, err, "no.gz")
}

const tinySaved = `{"Task":"detection","Detection":{"Classes":["a"],"IoUType":"segm","Thresholds":[0.5],"Areas":[{"Name":"all","Min":0,"Max":1e10}],"MaxDets":[100],"IoU":0.5,"Conf":0.2},
 "State":{"Classes":["a"],"Pictures":[{"ID":"1","Truth":[{"V":[0,0,4,4,4,4,16,0],"Class":0,"Mask":{"Height":4,"Width":4,"Runs":[0,16]}}],"Found":[{"V":[0,0,4,4,4,4,16,1],"Class":0,"Mask":{"Height":4,"Width":4,"Runs":[4,12]}}]}]}}`

// A file that nobody vouches for gives an error or numbers, never a crash.
func FuzzSaved(f *testing.F) {
	f.Add(tinySaved)
	f.Add(`{"Task":"classification","Classification":{"Classes":["a","b"],"Bins":5,"TopK":[1]},"State":{"Classes":["a","b"],"Answers":[{"ID":"1","Truth":[1],"Probs":[0.2,0.8]}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadSaved(pack(t, text), Limits{1 << 16, 100})
		if err != nil {
			return
		}
		switch {
		case s.Detection != nil:
			if len(s.Detection.cfg.Thresholds)*len(s.Detection.cfg.Areas) > 1000 {
				t.Skip()
			}
			_, err = s.Detection.Summary()
		case s.Classification != nil:
			_, err = s.Classification.Summary()
		}
		require.NoError(t, err, fmt.Sprintf("%.200s", text))
	})
}
