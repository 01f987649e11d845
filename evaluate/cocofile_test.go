package evaluate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fileProblem is a pair of COCO files with pycocotools' answer.
type fileProblem struct {
	GT, DT   json.RawMessage
	Kind     IoUType
	Classes  bool
	Limits   []int
	Values   map[string]float64
	PerClass []float64 `json:"per_class"`
}

func (p fileProblem) config() DetectionConfig {
	cfg := DefaultDetectionConfig(nil)
	cfg.IoUType, cfg.Agnostic, cfg.MaxDets = p.Kind, !p.Classes, p.Limits
	return cfg
}

func (p fileProblem) check(t *testing.T, i int) {
	t.Helper()
	s, err := COCO(bytes.NewReader(p.GT), bytes.NewReader(p.DT), p.config(), DefaultLimits())
	require.NoError(t, err, "problem %d", i)
	for name, want := range p.Values {
		got, ok := s.Values.Get(name)
		require.True(t, ok, name)
		require.InDelta(t, want, got, 1e-9, "problem %d (%s), %s", i, p.Kind, name)
	}
	require.Len(t, s.Classes, len(p.PerClass))
	for c, want := range p.PerClass {
		require.InDelta(t, want, s.Classes[c].AP, 1e-9, "problem %d, class %d", i, c)
	}
}

func TestFilesEqualPycocotools(t *testing.T) {
	var problems []fileProblem
	readGolden(t, "testdata/cocofiles.json.gz", &problems)
	for i, p := range problems {
		p.check(t, i)
	}
}

const (
	tinyTruth = `{"info":{},"images":[{"id":3,"width":50,"height":40,"file_name":"a.jpg"},{"id":"b"}],
 "categories":[{"id":2,"name":"zebra"}],
 "annotations":[{"id":1,"image_id":3,"category_id":2,"bbox":[1,2,10,10],"iscrowd":0}]}`
	tinyFound = `[{"image_id":3,"category_id":2,"bbox":[1,2,10,10],"score":0.5},{"image_id":"b","category_id":9,"bbox":[0,0,1,1],"score":0.1}]`
)

func TestDetectionFiles(t *testing.T) {
	dir := t.TempDir()
	gt, dt := filepath.Join(dir, "gt.json"), filepath.Join(dir, "dt.json")
	require.NoError(t, os.WriteFile(gt, []byte(tinyTruth), 0o600))
	require.NoError(t, os.WriteFile(dt, []byte(tinyFound), 0o600))
	s, err := DetectionFiles(gt, dt, DefaultDetectionConfig(nil))
	require.NoError(t, err)
	require.Equal(t, 2, s.Pictures)
	require.Len(t, s.Warnings, 1)
	b, err := json.Marshal(s.Values)
	require.NoError(t, err)
	require.Regexp(t, `^{"AP":0.99999999999999\d+,"AP50":0.9{14}\d+,"AP75":0.9{14}\d+,"APs":0.9{14}\d+,"APm":-1,"APl":-1,"AR1":1,"AR10":1,"AR100":1,"ARs":1,"ARm":-1,"ARl":-1,`, string(b))
	var back Values
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, s.Values, back)
	require.NoError(t, os.WriteFile(dt, []byte(`[{"image_id":3}]`), 0o600))
	_, err = DetectionFiles(gt, dt, DefaultDetectionConfig(nil))
	require.ErrorContains(t, err, dt)
	require.ErrorContains(t, err, "detections[0]")
	zero, err := COCO(strings.NewReader(strings.Replace(tinyTruth, `"id":1,"image`, `"id":0,"image`, 1)), strings.NewReader(tinyFound), DefaultDetectionConfig(nil), DefaultLimits())
	require.NoError(t, err)
	require.Len(t, zero.Warnings, 2)
	require.Equal(t, s.Values, zero.Values, "an id of 0 is an id")
	_, err = DetectionFiles(gt, filepath.Join(dir, "no.json"), DefaultDetectionConfig(nil))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestBadCOCOFiles(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"bbox":[1,2,10,10],"isc`, `"bbox":[1,2,10],"isc`, "annotations[0]: bbox has 3 numbers"},
		{`"image_id":3`, `"image_id":4`, "annotations[0]: image_id 4 is not among"},
		{`"category_id":2`, `"category_id":5`, "annotations[0]: category_id 5 is not among"},
		{`"id":"b"`, `"id":3`, "images[1]: id 3 comes twice"},
		{`"id":"b"`, `"id":1.5`, "images[1]: id 1.5 is neither"},
		{`"iscrowd":0`, `"iscrowd":2`, "annotations[0]: iscrowd or ignore is 2"},
		{`"categories"`, `"category"`, `key "categories" is missing`},
		{`"info"`, `"images"`, `found {`},
		{`}]}`, `}]`, "ends where"},
		{`}]}`, `}]} 7`, "found 7 after"},
	} {
		require.Contains(t, tinyTruth, c.old)
		_, err := COCO(strings.NewReader(strings.Replace(tinyTruth, c.old, c.new, 1)), strings.NewReader(tinyFound), DefaultDetectionConfig(nil), DefaultLimits())
		require.ErrorContains(t, err, c.want, c.new)
	}
	for text, want := range map[string]string{
		`{}`:             `found {, want "["`,
		`[{"image_id":3`: "detections[0]",
		`[{"image_id":7,"category_id":2,"bbox":[1,2,3,4],"score":1}]`:    "image_id 7",
		`[{"image_id":3,"category_id":2,"bbox":[1,2,3,4]}]`:              "score is missing",
		`[{"image_id":3,"category_id":2,"bbox":[1,2,3,"x"],"score":1}]`:  "detections[0]",
		`[{"image_id":3,"category_id":2,"bbox":[1,2,3,1e999],"score":1}`: "detections[0]",
	} {
		_, err := COCO(strings.NewReader(tinyTruth), strings.NewReader(text), DefaultDetectionConfig(nil), DefaultLimits())
		require.ErrorContains(t, err, want, text)
	}
	_, err := COCO(strings.NewReader(tinyTruth), strings.NewReader(tinyFound), DefaultDetectionConfig(nil), Limits{100, 10})
	require.ErrorIs(t, err, errLimit)
	_, err = COCO(strings.NewReader(tinyTruth), strings.NewReader(tinyFound), DefaultDetectionConfig(nil), Limits{10000, 1})
	require.ErrorContains(t, err, "more than 1 entries")
	masks := DefaultDetectionConfig(nil)
	masks.IoUType = Masks
	_, err = COCO(strings.NewReader(tinyTruth), strings.NewReader(tinyFound), masks, DefaultLimits())
	require.ErrorContains(t, err, "annotations[0]: it has no segmentation")
}

func FuzzCOCO(f *testing.F) {
	f.Add([]byte(tinyTruth), []byte(tinyFound), false)
	f.Add([]byte(strings.Replace(tinyTruth, `"iscrowd":0`, `"segmentation":[[1,1,9,1,9,9]]`, 1)), []byte(`[{"image_id":3,"category_id":2,"segmentation":{"size":[40,50],"counts":"PSl0"},"score":1}]`), true)
	f.Fuzz(func(t *testing.T, gt, dt []byte, masks bool) {
		cfg := DefaultDetectionConfig(nil)
		if masks {
			cfg.IoUType = Masks
		}
		s, err := COCO(bytes.NewReader(gt), bytes.NewReader(dt), cfg, Limits{1 << 16, 100})
		if err != nil {
			return
		}
		for _, v := range s.Values {
			if !strings.HasPrefix(v.Name, "best_conf") && !(v.Value == -1 || v.Value >= 0 && v.Value <= 1+1e-12) {
				t.Fatal(fmt.Sprint(v))
			}
		}
	})
}

// The annotations that WilData wrote, with made-up detections.
func TestFixtureEqualsPycocotools(t *testing.T) {
	var problems []struct {
		File   string
		DT     json.RawMessage
		Values map[string]float64
	}
	readGolden(t, "testdata/fixture.json.gz", &problems)
	for _, p := range problems {
		gt, err := os.Open(filepath.Join("../testdata/wildata/datasets", filepath.FromSlash(p.File)))
		require.NoError(t, err)
		defer gt.Close()
		s, err := COCO(gt, bytes.NewReader(p.DT), DefaultDetectionConfig(nil), DefaultLimits())
		require.NoError(t, err, p.File)
		for name, want := range p.Values {
			got, _ := s.Values.Get(name)
			require.InDelta(t, want, got, 1e-9, "%s, %s", p.File, name)
		}
	}
}
