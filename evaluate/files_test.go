package evaluate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

func TestClassificationFiles(t *testing.T) {
	measure := func(truth, said string) (*ClassificationSummary, error) {
		dir := t.TempDir()
		a, b := filepath.Join(dir, "truth.csv"), filepath.Join(dir, "said.csv")
		require.NoError(t, os.WriteFile(a, []byte(truth), 0o600))
		require.NoError(t, os.WriteFile(b, []byte(said), 0o600))
		return ClassificationFiles(a, b, DefaultClassification(nil))
	}
	truth := "id,label\n1,impala\n2,zebra\n3,zebra\n4,kudu\n"
	accuracy := func(said string, want float64, probs bool) {
		t.Helper()
		s, err := measure(truth, said)
		require.NoError(t, err)
		got, _ := s.Values.Get("accuracy")
		require.InDelta(t, want, got, 1e-12)
		_, ok := s.Values.Get("ECE")
		require.Equal(t, probs, ok)
		require.Equal(t, []string{"impala", "kudu", "zebra"}, s.Confusion.Classes)
	}
	accuracy("\uFEFFid,label\n4,kudu\n3,zebra\n2,impala\n1,impala\n", 0.75, false)
	accuracy("zebra,id,impala,kudu\n.1,1,.8,.1\n.5,2,.3,.2\n.2,3,.3,.5\n.1,4,.2,.7\n", 0.75, true)
	accuracy("id,label,impala,kudu,zebra\n1,zebra,.8,.1,.1\n2,zebra,.3,.2,.5\n3,kudu,.3,.5,.2\n4,kudu,.2,.7,.1\n", 0.5, true)
	for said, want := range map[string]string{
		"":                                    "empty",
		"name,label\n":                        "no column id",
		"id,label\n1,impala\n1,zebra\n":       `line 3: id "1" comes twice`,
		"id,label\n1,impala\n":                `no row for id "2" (truth line 3)`,
		"id,label\n1,a\n2,a\n3,a\n4,a\n5,a\n": `line 6: id "5"`,
		"id\n1\n2\n3\n4\n":                    "neither a column label nor probabilities",
		"id,impala\n1,x\n":                    `line 2: "x" is not a probability`,
		"id,impala\n1,NaN\n":                  "not a probability",
		"id,label\n1\n":                       "wrong number of fields",
	} {
		_, err := measure(truth, said)
		require.ErrorContains(t, err, want, said)
		require.ErrorContains(t, err, "said.csv", said)
	}
	_, err := measure("id,label,x\n", "id,label\n")
	require.ErrorContains(t, err, `columns ["x"]`)
}

func TestMultiLabelCSV(t *testing.T) {
	cfg := DefaultClassification(nil)
	cfg.MultiLabel = true
	s, err := ClassificationCSV(strings.NewReader("id,label\n1,a|b\n2,\n3,b\n"), strings.NewReader("id,label\n1,b|a\n2,\n3,a\n"), cfg, DefaultLimits())
	require.NoError(t, err)
	v, _ := s.Values.Get("subset_accuracy")
	require.InDelta(t, 2.0/3, v, 1e-12)
}

func FuzzClassificationCSV(f *testing.F) {
	f.Add("id,label\n1,a\n2,b\n", "id,a,b\n1,.5,.5\n2,.1,.9\n", false)
	f.Add("id,label\n1,a|b\n", "id,label\n1,b\n", true)
	f.Fuzz(func(t *testing.T, truth, said string, multi bool) {
		cfg := DefaultClassification(nil)
		cfg.MultiLabel = multi
		s, err := ClassificationCSV(strings.NewReader(truth), strings.NewReader(said), cfg, Limits{1 << 16, 100})
		if err == nil {
			v, _ := s.Values.Get("accuracy")
			require.True(t, v == -1 || v >= 0 && v <= 1)
		}
	})
}

func TestWrittenDetectionsReadBack(t *testing.T) {
	p := cocoProblems(t)[1]
	preds, samples := p.samples()
	d, err := NewDetection(DefaultDetectionConfig(classNames(p.Classes)))
	require.NoError(t, err)
	require.NoError(t, d.Update(preds, samples))
	want, err := d.Compute()
	require.NoError(t, err)

	gt := strings.Builder{}
	gt.WriteString(`{"images":[`)
	for i, s := range samples {
		fmt.Fprintf(&gt, `%s{"id":%d,"file_name":%q}`, comma(i), i+10, s.ID)
	}
	gt.WriteString(`],"categories":[`)
	ids := make([]int, p.Classes)
	for i, name := range classNames(p.Classes) {
		ids[i] = 3*i + 2
		fmt.Fprintf(&gt, `%s{"id":%d,"name":%q}`, comma(i), ids[i], name)
	}
	gt.WriteString(`],"annotations":[`)
	for i, v := range p.Truths {
		fmt.Fprintf(&gt, `%s{"id":%d,"image_id":%d,"category_id":%d,"bbox":[%v,%v,%v,%v],"area":%v,"iscrowd":%v}`, comma(i), i+1, int(v[0])+9, ids[int(v[1])-1], v[2], v[3], v[4], v[5], v[6], v[7])
	}
	gt.WriteString("]}")

	var out bytes.Buffer
	numbers := map[string]int{}
	for i, s := range samples {
		numbers[s.ID] = i + 10
	}
	w := NewDetectionWriter(&out, func(id string) (any, error) { return numbers[id], nil }, ids)
	for _, q := range preds {
		require.NoError(t, w.Write(q))
	}
	require.NoError(t, w.Close())
	s, err := COCO(strings.NewReader(gt.String()), bytes.NewReader(out.Bytes()), DefaultDetectionConfig(nil), DefaultLimits())
	require.NoError(t, err)
	require.Equal(t, Values(want), s.Values)

	out.Reset()
	w = NewDetectionWriter(&out, nil, []int{1})
	require.ErrorContains(t, w.Write(wildtrain.Prediction{ID: "x", Objects: []wildtrain.Object{{Class: 2}}}), "detection 0 of x: class 2")
	require.NoError(t, w.Close())
	require.Equal(t, "[]\n", out.String())
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// twins are two detectors on the same pictures; the second finds more.
func twins(t *testing.T, better float64) (a, b *Detection) {
	r := rand.New(rand.NewPCG(5, 6))
	var both [2]*Detection
	for i := range both {
		var err error
		both[i], err = NewDetection(DefaultDetectionConfig([]string{"zebra"}))
		require.NoError(t, err)
	}
	for i := range 80 {
		s := wildtrain.Sample{ID: fmt.Sprint(i)}
		var p [2]wildtrain.Prediction
		for k := range r.IntN(5) {
			o := wildtrain.Object{Box: wildtrain.BoxXYWH(float64(k*100), 0, 50, 50), Score: 0.3 + 0.7*r.Float64()}
			s.Truth = append(s.Truth, o)
			for m, rate := range [2]float64{0.5, 0.5 + better} {
				if r.Float64() < rate {
					p[m].Objects = append(p[m].Objects, o)
				}
			}
		}
		for m := range both {
			require.NoError(t, both[m].Update(p[m:m+1], []wildtrain.Sample{s}))
		}
	}
	return both[0], both[1]
}

func TestCompareDetections(t *testing.T) {
	a, b := twins(t, 0.3)
	boot := DefaultBootstrap()
	boot.Resamples = 300
	got, err := CompareDetections(a, b, boot)
	require.NoError(t, err)
	sa, _ := a.Summary()
	sb, _ := b.Summary()
	for _, d := range got {
		require.LessOrEqual(t, d.Interval.Low, d.Difference, d.Name)
		require.GreaterOrEqual(t, d.Interval.High, d.Difference, d.Name)
		if d.Name == "MAE" {
			require.Less(t, d.Interval.High, 0.0, "fewer counting errors")
			continue
		}
		wa, ok := sa.Values.Get(d.Name)
		if !ok {
			require.Equal(t, "bias", d.Name)
			continue
		}
		wb, _ := sb.Values.Get(d.Name)
		require.InDelta(t, wa, d.A, 1e-9, d.Name)
		require.InDelta(t, wb, d.B, 1e-9, d.Name)
	}
	require.Less(t, got[0].P, 0.01)
	require.Greater(t, got[0].Interval.Low, 0.0)

	same, err := CompareDetections(a, a, boot)
	require.NoError(t, err)
	require.InDelta(t, 0, same[0].Difference, 0)
	require.InDelta(t, 1, same[0].P, 0)

	_, err = CompareDetections(a, scene(t), boot)
	require.ErrorContains(t, err, "differ")
	moved := *b
	moved.pictures = slices.Clone(b.pictures)
	for i, p := range moved.pictures {
		if len(p.truth) > 0 {
			moved.pictures[i].truth = slices.Clone(p.truth)
			moved.pictures[i].truth[0].x++
			break
		}
	}
	_, err = CompareDetections(a, &moved, boot)
	require.ErrorContains(t, err, "is not the same on both sides")
	b.pictures = b.pictures[1:]
	_, err = CompareDetections(a, b, boot)
	require.ErrorContains(t, err, "80 and 79 pictures")
}

func TestCompareClassification(t *testing.T) {
	make1 := func(said ...int) *Classification {
		c := newClasses(t)
		for i, k := range said {
			require.NoError(t, c.add([]answer{{ID: fmt.Sprint(i), Truth: []int{i % 3}, Said: k}}))
		}
		return c
	}
	got, err := CompareClassification(make1(0, 1, 0, 0, 2, 2), make1(0, 1, 2, 0, 1, 0), DefaultBootstrap())
	require.NoError(t, err)
	require.InDelta(t, 4.0/6, got[0].A, 1e-12)
	require.InDelta(t, 5.0/6, got[0].B, 1e-12)
	require.Greater(t, got[0].P, 0.05)
	_, err = CompareClassification(make1(0, 1), make1(0), DefaultBootstrap())
	require.ErrorContains(t, err, "2 and 1 pictures")
}
