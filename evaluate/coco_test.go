package evaluate

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// cocoProblem is one random problem with pycocotools' answer.
type cocoProblem struct {
	Classes, Images int
	Truths, Dets    [][]float64
	Values          map[string]float64
	PerClass        []float64 `json:"per_class"`
}

// readGolden reads what a script of testdata wrote.
func readGolden(t *testing.T, name string, problems any) {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	doc := struct{ Problems any }{problems}
	require.NoError(t, json.NewDecoder(z).Decode(&doc))
	require.NotEmpty(t, problems)
}

func cocoProblems(t *testing.T) (problems []cocoProblem) {
	t.Helper()
	readGolden(t, "testdata/coco.json.gz", &problems)
	return problems
}

func xywh(v []float64) wildtrain.Box { return wildtrain.BoxXYWH(v[0], v[1], v[2], v[3]) }

// samples makes what a model and a data module would hand over.
func (p cocoProblem) samples() ([]wildtrain.Prediction, []wildtrain.Sample) {
	preds, samples := make([]wildtrain.Prediction, p.Images), make([]wildtrain.Sample, p.Images)
	for i := range samples {
		samples[i].ID = fmt.Sprintf("%06d", i+1)
		preds[i].ID = samples[i].ID
	}
	for _, v := range p.Truths {
		s := &samples[int(v[0])-1]
		s.Truth = append(s.Truth, wildtrain.Object{Class: int(v[1]) - 1, Box: xywh(v[2:]), Area: v[6], Crowd: v[7] == 1})
	}
	for _, v := range p.Dets {
		d := &preds[int(v[0])-1]
		d.Objects = append(d.Objects, wildtrain.Object{Class: int(v[1]) - 1, Box: xywh(v[2:]), Score: v[6]})
	}
	return preds, samples
}

func classNames(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("c", i)
	}
	return out
}

func TestCOCOEqualsPycocotools(t *testing.T) {
	for i, p := range cocoProblems(t) {
		d, err := NewDetection(DefaultDetectionConfig(classNames(p.Classes)))
		require.NoError(t, err)
		preds, samples := p.samples()
		for _, k := range rand.New(rand.NewPCG(uint64(i), 1)).Perm(len(samples)) { // in any order
			require.NoError(t, d.Update(preds[k:k+1], samples[k:k+1]))
		}
		values, err := d.Compute()
		require.NoError(t, err)
		got := map[string]float64{}
		for _, v := range values {
			got[v.Name] = v.Value
		}
		for name, want := range p.Values {
			require.InDelta(t, want, got[name], 1e-9, "problem %d, %s", i, name)
		}
		for c, want := range p.PerClass {
			require.InDelta(t, want, got[fmt.Sprint("AP/c", c)], 1e-9, "problem %d, class %d", i, c)
		}
	}
}

func TestDetectionKeepsTheContract(t *testing.T) {
	p := cocoProblems(t)[0]
	wildtraintest.TestMetric(t, func() wildtrain.Metric {
		d, err := NewDetection(DefaultDetectionConfig(classNames(p.Classes)))
		require.NoError(t, err)
		return d
	}, p.samples)
}

func TestOperatingPoint(t *testing.T) {
	cfg := DefaultDetectionConfig(classNames(1))
	d, err := NewDetection(cfg)
	require.NoError(t, err)
	b := wildtrain.BoxXYWH(10, 10, 20, 20)
	half := wildtrain.BoxXYWH(10, 10, 20, 11) // IoU 0.55
	far := wildtrain.BoxXYWH(100, 100, 20, 20)
	truth := []wildtrain.Object{{Box: b}, {Box: far, Crowd: true}}
	require.NoError(t, d.Update(
		[]wildtrain.Prediction{
			{Objects: []wildtrain.Object{{Box: half, Score: 0.9}, {Box: far, Score: 0.8}, {Box: b, Score: 0.2}}},
			{Objects: []wildtrain.Object{{Box: b, Score: 0.9}}}, // on an empty picture
		},
		[]wildtrain.Sample{{ID: "a", Truth: truth}, {ID: "b"}}))
	s, err := d.Summary()
	require.NoError(t, err)
	require.Equal(t, 1, s.Classes[0].Truths)
	require.InDelta(t, 0.5, s.Classes[0].Precision, 1e-12, "one of two: the empty picture counts, the crowd does not")
	require.InDelta(t, 1, s.Classes[0].Recall, 1e-12)
	require.InDelta(t, 2.0/3, s.Classes[0].F1, 1e-12)

	cfg.IoU = 0.6
	d, err = NewDetection(cfg)
	require.NoError(t, err)
	require.NoError(t, d.Update([]wildtrain.Prediction{{Objects: []wildtrain.Object{{Box: half, Score: 0.9}}}}, []wildtrain.Sample{{ID: "a", Truth: truth}}))
	s, err = d.Summary()
	require.NoError(t, err)
	require.Zero(t, s.Classes[0].Recall, "the named IoU is the one that is used")
}

func TestBadConfigAndInput(t *testing.T) {
	_, err := NewDetection(DetectionConfig{IoU: 2})
	require.ErrorContains(t, err, "no classes")
	require.ErrorContains(t, err, "2 is not in 0..1")
	d, err := NewDetection(DefaultDetectionConfig(classNames(1)))
	require.NoError(t, err)
	require.ErrorContains(t, d.Update(nil, make([]wildtrain.Sample, 1)), "0 predictions for 1")
	require.ErrorContains(t, d.Update(make([]wildtrain.Prediction, 1), []wildtrain.Sample{{ID: "x", Truth: []wildtrain.Object{{Class: 4}}}}), "class 4")
}
