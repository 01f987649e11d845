package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/evaluate/report"
)

// file puts text into a file of the test and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// The command prints what pycocotools prints, for boxes and masks.
func TestEvaluateDetectionsEqualsPycocotools(t *testing.T) {
	f, err := os.Open("../../evaluate/testdata/cocofiles.json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var doc struct {
		Problems []struct {
			GT, DT  json.RawMessage
			Kind    string
			Classes bool
			Limits  []int
			Values  map[string]float64
		}
	}
	require.NoError(t, json.NewDecoder(z).Decode(&doc))
	require.NotEmpty(t, doc.Problems)
	for i, p := range doc.Problems {
		limits := strings.Trim(strings.ReplaceAll(fmt.Sprint(p.Limits), " ", ","), "[]")
		got := object(t, "evaluate", "detections", "gt="+file(t, "gt.json", string(p.GT)), "dt="+file(t, "dt.json", string(p.DT)),
			"iou_type="+p.Kind, "max_dets="+limits, fmt.Sprintf("class_agnostic=%v", !p.Classes))
		for name, want := range p.Values {
			require.InDelta(t, want, got[name], 1e-9, "problem %d, %s", i, name)
		}
	}
}

const (
	herdTruth = `{"images":[{"id":1,"width":100,"height":80,"file_name":"f1/a.jpg","flight":"f1"},{"id":2,"width":100,"height":80,"file_name":"f2/b.jpg","flight":2}],
 "categories":[{"id":1,"name":"zebra"},{"id":2,"name":"kudu"}],
 "annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,2,30,20],"area":600},{"id":2,"image_id":2,"category_id":1,"bbox":[50,20,40,40],"area":1600}]}`
	herdFound  = `[{"image_id":1,"category_id":1,"bbox":[1,2,30,20],"score":0.9},{"image_id":2,"category_id":2,"bbox":[50,20,40,40],"score":0.5}]`
	herdBetter = `[{"image_id":1,"category_id":1,"bbox":[1,2,30,20],"score":0.9},{"image_id":2,"category_id":1,"bbox":[50,20,40,40],"score":0.5}]`
)

func TestEvaluateDetectionsTakesItsSettings(t *testing.T) {
	gt, dt := "gt="+file(t, "gt.json", herdTruth), "dt="+file(t, "dt.json", herdFound)
	got := func(args ...string) map[string]any {
		return object(t, append([]string{"evaluate", "detections", gt, dt}, args...)...)
	}
	require.InDelta(t, 0.5, got()["recall"], 0)
	require.InDelta(t, -1, got()["APl"], 0, "no large object")
	require.InDelta(t, 1, got("class_agnostic=true")["recall"], 0)
	require.InDelta(t, 1, got("single_class=animal")["AP/animal"], 1e-12)
	require.InDelta(t, 0, got("at_conf=0.95")["recall"], 0)
	require.InDelta(t, 0, got("class_conf=zebra:0.95")["recall"], 0)
	require.InDelta(t, 1, got("area_bins=tiny:700,big")["AP_tiny"], 1e-12)
	require.InDelta(t, 0, got("area_bins=tiny:700,big")["AP_big"], 0)
	require.Contains(t, got("max_dets=3,7"), "AR7")
	require.InDelta(t, -1, got("iou_thresholds=0.6:0.7:0.05")["AP50"], 0)
	require.Contains(t, got("lvis=true"), "AR300")
	require.Equal(t, []any{}, got()["warnings"])
	require.Len(t, got()["errors"].(map[string]any)["errors"], 6)
	all := got("resamples=20")["counting"].([]any)[0].(map[string]any)
	require.Equal(t, "all", all["class"])
	require.InDelta(t, 0, all["MAE"], 0)
	require.NotEqual(t, map[string]any{"low": -1.0, "high": -1.0}, all["MAE_interval"])
}

func TestEvaluateDetectionsWritesAReport(t *testing.T) {
	gt, dt := "gt="+file(t, "gt.json", herdTruth), "dt="+file(t, "dt.json", herdFound)
	out := filepath.Join(t.TempDir(), "numbers")
	text := must(t, "evaluate", "detections", gt, dt, "out="+out, "group=key:flight", "resamples=50")
	require.Contains(t, text, "2 images: AP 0.505")
	require.Regexp(t, `zebra +2 +0\.505`, text)
	require.Contains(t, text, "report: "+filepath.Join(out, "report.html"))
	for _, name := range []string{"report.html", "report.md", "report.json", "classes.csv", "counts.csv", "plots/counting.png", "predictions/coco.json", "predictions/fiftyone.json", "predictions/label_studio.json"} {
		require.FileExists(t, filepath.Join(out, name))
	}
	b, err := os.ReadFile(filepath.Join(out, "counts.csv"))
	require.NoError(t, err)
	require.Contains(t, string(b), "\n2,2,1,0,0,1\n", "picture 2 is of flight 2")
	got := object(t, "evaluate", "detections", gt, dt, "out="+out, "resamples=50")
	require.Len(t, got["counting"], 3)
	require.Equal(t, filepath.Join(out, "report.html"), got["report"])

	code, _, stderr := command("evaluate", "detections", gt, dt, "out="+out, "group=key:camera")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, `images[0]: it has no key "camera" to group by`)
	must(t, "evaluate", "detections", gt, dt, "out="+out, "group=name:^[a-z]", "resamples=50")
	b, err = os.ReadFile(filepath.Join(out, "counts.csv"))
	require.NoError(t, err)
	require.Contains(t, string(b), "\n2,b,1,0,0,1\n", "the name says it")
	code, _, stderr = command("evaluate", "detections", gt, dt, "group=flight")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "group=flight: 1: ")
	code, _, stderr = command("evaluate", "detections", gt, dt, "group=flock")
	require.Equal(t, usage, code)
	require.Contains(t, stderr, `"flock"; there are flight,`)
	code, _, stderr = command("evaluate", "detections", gt, dt, "out="+out, "images="+t.TempDir())
	require.Equal(t, failed, code)
	require.Contains(t, stderr, filepath.Join("f2", "b.jpg"))
}

func TestEvaluateClassification(t *testing.T) {
	truth := "truth=" + file(t, "t.csv", "id,label\n1,kudu\n2,zebra\n3,kudu\n")
	said := "predictions=" + file(t, "p.csv", "id,kudu,zebra\n1,.9,.1\n2,.4,.6\n3,.3,.7\n")
	got := object(t, "evaluate", "classification", truth, said)
	require.InDelta(t, 2.0/3, got["accuracy"], 1e-12)
	require.InDelta(t, 0.75, got["balanced_accuracy"], 1e-12)
	require.Contains(t, got, "ECE")
	out := t.TempDir()
	parents := "parents=" + file(t, "up.csv", "child,parent\nkudu,antelope\nantelope,ungulate\nzebra,ungulate\n")
	got = object(t, "evaluate", "classification", truth, said, "out="+out, parents, "thresholds=zebra:0.65", "top_k=2")
	require.InDelta(t, 1, got["level1_accuracy"].(float64)+1.0/3, 1e-12)
	require.InDelta(t, 2.0/3, got["coverage"], 1e-12)
	require.Contains(t, got, "top2_accuracy")
	require.FileExists(t, filepath.Join(out, "predictions", "predictions.csv"))
	require.Contains(t, must(t, "evaluate", "classification", truth, said), "accuracy 0.667")

	multi := object(t, "evaluate", "classification", "truth="+file(t, "t.csv", "id,label\n1,kudu|zebra\n2,\n"), "predictions="+file(t, "p.csv", "id,label\n1,kudu|zebra\n2,kudu\n"), "multi_label=true")
	require.InDelta(t, 0.5, multi["subset_accuracy"], 0)
}

func TestEvaluateCompare(t *testing.T) {
	gt := "gt=" + file(t, "gt.json", herdTruth)
	first, second := file(t, "a.json", herdFound), file(t, "b.json", herdBetter)
	dir := t.TempDir()
	t.Chdir(dir)
	must(t, "evaluate", "detections", gt, "dt="+first, "out=one/evaluation", "resamples=0")
	must(t, "evaluate", "detections", gt, "dt="+second, "out=two", "resamples=0")
	runs := object(t, "evaluate", "compare", "one", "two", "resamples=100")
	files := object(t, "evaluate", "compare", gt, "a="+first, "b="+second, "resamples=100")
	require.Equal(t, files["differences"], runs["differences"], "folders keep all that files have")
	ap := files["differences"].([]any)[0].(map[string]any)
	require.Equal(t, "AP", ap["name"])
	require.InDelta(t, 1, ap["b"], 1e-12)
	require.Contains(t, must(t, "evaluate", "compare", "one", "two"), "b − a")
	require.FileExists(t, filepath.Join("two", report.Saved))

	truth := "truth=" + file(t, "t.csv", "id,label,group\n1,x,f\n2,y,f\n3,x,g\n")
	a, b := file(t, "a.csv", "id,label\n1,x\n2,x\n3,x\n"), file(t, "b.csv", "id,label\n1,x\n2,y\n3,x\n")
	got := object(t, "evaluate", "compare", truth, "a="+a, "b="+b)
	accuracy := got["differences"].([]any)[0].(map[string]any)
	require.InDelta(t, 1.0/3, accuracy["difference"], 1e-12)

	for line, want := range map[string]string{
		"evaluate compare one":                            "b=FOLDER_OR_FILE is missing",
		"evaluate compare one two three":                  `"three" is not of the form key=value`,
		"evaluate compare one a=two b=two":                "a= is given twice",
		"evaluate compare one " + first:                   "is a file: name what it is measured against",
		"evaluate compare one two at_iou=0.4":             "at_iou= goes with gt= or truth=",
		"evaluate compare one two gt=a truth=b":           "give one of them",
		"evaluate detectons gt=a dt=b":                    `did you mean "detections"?`,
		"evaluate detections gt=a":                        "dt=FILE is missing",
		"evaluate detections gt=a dt=b iou_type=mask":     `IoUType "mask"`,
		"evaluate detections gt=a dt=b at_iou=x":          "at_iou=x: must be a number",
		"evaluate detections gt=a dt=b area_bins=a:9,b:3": "area_bins=a:9,b:3: must be NAME:MAX",
		"evaluate classification truth=a":                 "predictions=FILE is missing",
	} {
		code, _, stderr := command(strings.Fields(line)...)
		require.Equal(t, usage, code, stderr)
		require.Contains(t, stderr, want, line)
	}
	code, _, stderr := command("evaluate", "compare", dir, "two")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "holds no evaluation")
}

// What a model's evaluation leaves behind is compared without the model.
func TestEvaluateCompareOfModels(t *testing.T) {
	run, one, two := trained(t), t.TempDir(), t.TempDir()
	must(t, "evaluate", "weights="+run, "out="+one)
	must(t, "evaluate", "weights="+run, "out="+two, "evaluation.conf=0.2")
	for _, name := range []string{report.Saved, "report.md", "report.json", "classes.csv", "counts.csv", "plots/confusion.png", "predictions/fiftyone.json", "predictions/label_studio.json"} {
		require.FileExists(t, filepath.Join(one, name))
	}
	got := object(t, "evaluate", "compare", one, two, "resamples=20")
	first := got["differences"].([]any)[0].(map[string]any)
	numbers := object(t, "evaluate", "weights="+run, "out="+t.TempDir())
	require.Equal(t, "AP", first["name"])
	require.InDelta(t, numbers["AP"], first["a"], 1e-9)
}
