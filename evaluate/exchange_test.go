package evaluate

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

func TestAnnotationTools(t *testing.T) {
	pictures := []Picture{{File: "a/b.jpg", Width: 200, Height: 100, Found: []wildtrain.Object{{Box: wildtrain.BoxXYWH(50, -10, 100, 60), Class: 1, Score: 0.5}}}, {ID: "c.png", Width: 1, Height: 1}}
	classes := []string{"impala", "zebra"}
	var b bytes.Buffer
	require.NoError(t, WriteFiftyOne(&b, pictures, classes))
	require.JSONEq(t, `{"classes":["impala","zebra"],"labels":{"b":[{"label":1,"bounding_box":[0.25,0,0.5,0.5],"confidence":0.5}],"c":[]}}`, b.String())
	b.Reset()
	require.NoError(t, WriteLabelStudio(&b, pictures, classes, DefaultLabelStudio()))
	require.JSONEq(t, `[{"data":{"image":"a/b.jpg"},"predictions":[{"model_version":"wildtrain","score":0.5,"result":[
		{"id":"p0_0","type":"rectanglelabels","from_name":"label","to_name":"image","original_width":200,"original_height":100,"image_rotation":0,"score":0.5,
		 "value":{"x":25,"y":0,"width":50,"height":50,"rotation":0,"rectanglelabels":["zebra"]}}]}]},
		{"data":{"image":"c.png"},"predictions":[{"model_version":"wildtrain","score":0,"result":[]}]}]`, b.String())
	require.ErrorContains(t, WriteFiftyOne(&b, pictures, classes[:1]), "a/b.jpg: object 0: class 1")
	pictures[0].Width = 0
	require.ErrorIs(t, WriteLabelStudio(&b, pictures, classes, DefaultLabelStudio()), ErrNoSize)
	require.ErrorContains(t, WriteFiftyOne(&b, []Picture{pictures[1], pictures[1]}, classes), "two pictures")
	b.Reset()
	require.NoError(t, WriteFiftyOne(&b, []Picture{{File: "x/1.jpg"}, {File: "y/1.jpg"}}, classes))
	require.JSONEq(t, `{"classes":["impala","zebra"],"labels":{"x/1":[],"y/1":[]}}`, b.String(), "folders tell apart what is called the same")
}

func TestFrequencyGroups(t *testing.T) {
	gt := `{"images":[{"id":1}],"categories":[{"id":1,"name":"a","frequency":"f"},{"id":2,"name":"b","frequency":"r"},{"id":3,"name":"c","frequency":"r"}],
	 "annotations":[{"image_id":1,"category_id":1,"bbox":[0,0,9,9]},{"image_id":1,"category_id":2,"bbox":[20,0,9,9]},{"image_id":1,"category_id":3,"bbox":[40,0,9,9]}]}`
	dt := `[{"image_id":1,"category_id":1,"bbox":[0,0,9,9],"score":1},{"image_id":1,"category_id":3,"bbox":[40,0,9,9],"score":1}]`
	s, err := COCO(strings.NewReader(gt), strings.NewReader(dt), DefaultDetectionConfig(nil), DefaultLimits())
	require.NoError(t, err)
	for name, want := range map[string]float64{"APr": 0.5, "APf": 1, "AP": 2.0 / 3} {
		got, ok := s.Values.Get(name)
		require.True(t, ok, name)
		require.InDelta(t, want, got, 1e-9, name)
	}
	_, ok := s.Values.Get("APc")
	require.False(t, ok, "no class is common")
}

func TestWeightedNumbersEqualTheSummary(t *testing.T) {
	for i, p := range cocoProblems(t) {
		d, err := NewDetection(DefaultDetectionConfig(classNames(p.Classes)))
		require.NoError(t, err)
		preds, samples := p.samples()
		require.NoError(t, d.Update(preds, samples))
		s, err := d.Summary()
		require.NoError(t, err)
		got, err := d.Intervals(Bootstrap{})
		require.NoError(t, err)
		for _, e := range got {
			if want, ok := s.Values.Get(e.Name); ok {
				require.InDelta(t, want, e.Value, 1e-9, "problem %d, %s", i, e.Name)
			}
		}
	}
}

func TestIntervalsHoldTheNumbers(t *testing.T) {
	a, _ := twins(t, 0.3)
	boot := DefaultBootstrap()
	boot.Resamples = 200
	got, err := a.Intervals(boot)
	require.NoError(t, err)
	s, err := a.Summary()
	require.NoError(t, err)
	for _, e := range got {
		if want, ok := s.Values.Get(e.Name); ok {
			require.InDelta(t, want, e.Value, 1e-9, e.Name)
		}
		require.LessOrEqual(t, e.Interval.Low, e.Value, e.Name)
		require.GreaterOrEqual(t, e.Interval.High, e.Value, e.Name)
		require.Less(t, e.Interval.High-e.Interval.Low, 0.5, e.Name)
		require.Equal(t, e.Name == "precision", e.Interval.High == e.Interval.Low, "%s: all that is found is right, nothing else is certain", e.Name)
	}
}

func TestClassesForAnnotationTools(t *testing.T) {
	make1 := func(multi bool, said string) *Classification {
		cfg := DefaultClassification([]string{"kudu", "zebra"})
		cfg.MultiLabel = multi
		c, err := readClassification(strings.NewReader("id,label\na/1.jpg,kudu\n"), strings.NewReader(said), cfg, DefaultLimits())
		require.NoError(t, err)
		return c
	}
	for _, p := range []struct {
		multi                bool
		said, fifty, choices string
	}{
		{false, "id,kudu,zebra\na/1.jpg,.2,.8\n", `{"label":1,"confidence":0.8}`, `"score":0.8,"result":[{"id":"c","type":"choices","from_name":"choice","to_name":"image","value":{"choices":["zebra"]}}]`},
		{false, "id,label\na/1.jpg,kudu\n", `{"label":0}`, `"score":1,"result":[{"id":"c","type":"choices","from_name":"choice","to_name":"image","value":{"choices":["kudu"]}}]`},
		{true, "id,kudu,zebra\na/1.jpg,.2,.3\n", `[]`, `"score":1,"result":[]`},
		{true, "id,kudu,zebra\na/1.jpg,.6,.7\n", `[{"label":0,"confidence":0.6},{"label":1,"confidence":0.7}]`, `"score":0.6,"result":[{"id":"c","type":"choices","from_name":"choice","to_name":"image","value":{"choices":["kudu","zebra"]}}]`},
	} {
		c := make1(p.multi, p.said)
		var b bytes.Buffer
		require.NoError(t, c.WriteFiftyOne(&b))
		require.JSONEq(t, `{"classes":["kudu","zebra"],"labels":{"1":`+p.fifty+`}}`, b.String())
		b.Reset()
		require.NoError(t, c.WriteLabelStudio(&b, DefaultLabelStudioChoices()))
		require.JSONEq(t, `[{"data":{"image":"a/1.jpg"},"predictions":[{"model_version":"wildtrain",`+p.choices+`}]}]`, b.String())
	}
}

func TestFiftyOneNamesCrops(t *testing.T) {
	keys, err := fiftyOneKeys([]string{"a/x.jpg#0", "a/x.jpg#1", "b/x.jpg"})
	require.NoError(t, err)
	require.Equal(t, []string{"x#0", "x#1", "x"}, keys)
	_, err = fiftyOneKeys([]string{"a/x.jpg", "a/x.png"})
	require.ErrorContains(t, err, `two pictures are called "a/x"`)
}
