package evaluate

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lvisProblem is a pair of files with the answer of LVIS's own tool.
type lvisProblem struct {
	GT, DT   json.RawMessage
	Limit    int
	Values   map[string]float64
	PerClass []float64 `json:"per_class"`
}

func (p lvisProblem) check(t *testing.T, i int) {
	t.Helper()
	cfg := DefaultDetectionConfig(nil)
	cfg.LVIS, cfg.MaxDets = true, []int{p.Limit}
	s, err := COCO(bytes.NewReader(p.GT), bytes.NewReader(p.DT), cfg, DefaultLimits())
	require.NoError(t, err)
	for name, want := range p.Values {
		got, ok := s.Values.Get(name)
		require.Equal(t, ok || want == -1, true, name) // groups without classes are left out
		require.InDelta(t, want, got, 1e-9, "problem %d, %s", i, name)
	}
	for c, want := range p.PerClass {
		require.InDelta(t, want, s.Classes[c].AP, 1e-9, "problem %d, class %d", i, c)
	}
}

func TestLVISEqualsItsTool(t *testing.T) {
	var problems []lvisProblem
	readGolden(t, "testdata/lvis.json.gz", &problems)
	for i, p := range problems {
		p.check(t, i)
	}
}

const tinyLVIS = `{"images":[{"id":1,"neg_category_ids":[2],"not_exhaustive_category_ids":[1]}],"categories":[{"id":1,"name":"a"},{"id":2,"name":"b"},{"id":3,"name":"c"}],
 "annotations":[{"image_id":1,"category_id":1,"bbox":[0,0,9,9]}]}`

// What is not punished in AP is not punished elsewhere either.
func TestLVISInEveryNumber(t *testing.T) {
	dt := `[{"image_id":1,"category_id":1,"bbox":[0,0,9,9],"score":1},{"image_id":1,"category_id":1,"bbox":[50,0,9,9],"score":1},
	 {"image_id":1,"category_id":2,"bbox":[70,0,9,9],"score":1},{"image_id":1,"category_id":3,"bbox":[90,0,9,9],"score":1}]`
	cfg := DefaultDetectionConfig(nil)
	read := func() *Detection {
		d, err := readPair(strings.NewReader(tinyLVIS), strings.NewReader(dt), cfg, DefaultLimits())
		require.NoError(t, err)
		return d
	}
	plain := read()
	require.Len(t, plain.warnings, 1, "the lists are not heeded unasked")
	require.Equal(t, [][]int{{1, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 0}}, plain.Confusion().Counts)
	cfg.LVIS = true
	d := read()
	require.Empty(t, d.warnings)
	require.Equal(t, [][]int{{1, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 1, 0, 0}}, d.Confusion().Counts, "of three false ones only the absent class counts")
	require.Equal(t, []int{1, 1, 0}, d.PictureCounts()[0].Found)
	r, err := d.Errors(DefaultErrors())
	require.NoError(t, err)
	for _, e := range r.Errors {
		require.Equal(t, e.Type == Background, e.Count == 1, e.Type)
	}
}
