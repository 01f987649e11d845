package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/wildtrain"
)

// herd is a made-up evaluation: a detector that misses some, moves all a little
// and sees some where nothing is.
func herd(t *testing.T, classes []string) (Input, *evaluate.Detection) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	d, err := evaluate.NewDetection(evaluate.DefaultDetectionConfig(classes))
	require.NoError(t, err)
	var pictures []Picture
	for i := range 30 {
		im := wildtrain.Image{Height: 600, Width: 1000, Channels: 3, U8: make([]uint8, 600*1000*3)}
		for k := range im.U8 {
			im.U8[k] = []uint8{150, 140, 90}[k%3] + uint8(k/3/1000/12)
		}
		var truth, found []wildtrain.Object
		for range r.IntN(9) {
			o := wildtrain.Object{Box: wildtrain.BoxXYWH(r.Float64()*900, r.Float64()*500, 30+r.Float64()*70, 30+r.Float64()*60), Class: r.IntN(len(classes))}
			truth = append(truth, o)
			if r.Float64() < 0.2 {
				continue
			}
			o.Box.X1, o.Box.Y2, o.Score = o.Box.X1+r.NormFloat64()*5, o.Box.Y2+r.NormFloat64()*5, 0.2+0.8*r.Float64()
			if r.Float64() < 0.15 {
				o.Class = r.IntN(len(classes))
			}
			found = append(found, o)
		}
		for range r.IntN(3) {
			found = append(found, wildtrain.Object{Box: wildtrain.BoxXYWH(r.Float64()*900, r.Float64()*500, 50, 50), Class: r.IntN(len(classes)), Score: r.Float64() * 0.7})
		}
		id := fmt.Sprintf("flight%02d_%04d.jpg", i/6, i)
		require.NoError(t, d.Update([]wildtrain.Prediction{{ID: id, Objects: found}}, []wildtrain.Sample{{ID: id, Width: 1000, Height: 600, Truth: truth}}))
		if i < 3 {
			pictures = append(pictures, Picture{ID: id, Note: "an example", Image: im, Truth: truth, Found: found})
		}
	}
	d.SetGroups(func(id, _ string) string { return id[:8] })
	in, err := Of(d)
	require.NoError(t, err)
	in.Title, in.Pictures = "Savanna & <herds>", pictures
	in.Facts = []Fact{{"model", "yolo11n"}, {"split", "val"}}
	return in, d
}

func TestReportHoldsEverything(t *testing.T) {
	dir := t.TempDir()
	if keep := os.Getenv("WILDTRAIN_KEEP_REPORT"); keep != "" {
		dir = keep
	}
	in, _ := herd(t, []string{"impala", "waterbuck", "zebra|x"})
	name, err := Write(dir, in)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "report.html"), name)

	html, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Contains(t, string(html), "of 5 groups only")
	require.Contains(t, string(html), "<title>Savanna &amp; &lt;herds&gt;</title>")
	require.Equal(t, 7+6, strings.Count(string(html), "<img "), "seven plots, three pairs of pictures")
	require.NotRegexp(t, `(?i)(src|href)="?(https?:|//|file:)|url\(|@import|<script`, string(html), "nothing from outside")
	for _, src := range regexp.MustCompile(`src="([^"]{0,30})`).FindAllStringSubmatch(string(html), -1) {
		require.True(t, strings.HasPrefix(src[1], "data:image/"), src[1])
	}

	plots, err := filepath.Glob(filepath.Join(dir, "plots", "*.png"))
	require.NoError(t, err)
	require.Len(t, plots, 7)
	for _, p := range plots {
		b, err := os.ReadFile(p)
		require.NoError(t, err)
		im, err := png.Decode(bytes.NewReader(b))
		require.NoError(t, err)
		require.Greater(t, im.Bounds().Dx(), 300)
	}

	var back struct {
		Detection evaluate.Summary
		Counting  []evaluate.Counting
	}
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, in.Detection.Values, back.Detection.Values)
	require.Equal(t, in.Counting, back.Counting)

	b, err = os.ReadFile(filepath.Join(dir, "classes.csv"))
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 4)
	require.Equal(t, exact(in.Detection.Classes[2].AP), rows[3][3])
	b, err = os.ReadFile(filepath.Join(dir, "counts.csv"))
	require.NoError(t, err)
	require.Equal(t, 31, bytes.Count(b, []byte("\n")))

	b, err = os.ReadFile(filepath.Join(dir, "report.md"))
	require.NoError(t, err)
	require.Contains(t, string(b), "zebra\\|x")
	left, err := filepath.Glob(filepath.Join(dir, ".tmp-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestReportOfAClassifier(t *testing.T) {
	dir := t.TempDir()
	if keep := os.Getenv("WILDTRAIN_KEEP_REPORT"); keep != "" {
		dir = filepath.Join(keep, "classifier")
	}
	names := []string{"impala", "kudu", "nyala", "zebra"}
	c, err := evaluate.NewClassification(evaluate.DefaultClassification(names))
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 200 {
		class := r.IntN(4)
		probs := make([]float32, 4)
		total := float32(0)
		for k := range probs {
			probs[k] = r.Float32()
			if k == class {
				probs[k] += 0.9
			}
			total += probs[k]
		}
		for k := range probs {
			probs[k] /= total
		}
		require.NoError(t, c.Update([]wildtrain.Prediction{{Probs: probs}}, []wildtrain.Sample{{ID: fmt.Sprint(i), Targets: []wildtrain.Target{{Class: class, Weight: 1}}}}))
	}
	in, err := OfClassification(c)
	require.NoError(t, err)
	name, err := Write(dir, in)
	require.NoError(t, err)
	html, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(string(html), "<img "), "confusion, ROC, reliability, coverage")
}

func TestReportOfNothing(t *testing.T) {
	d, err := evaluate.NewDetection(evaluate.DefaultDetectionConfig([]string{"a"}))
	require.NoError(t, err)
	in, err := Of(d)
	require.NoError(t, err)
	_, err = Write(t.TempDir(), in)
	require.NoError(t, err)
	_, err = Write(t.TempDir(), Input{})
	require.NoError(t, err)
	_, err = Write(t.TempDir(), Input{Pictures: []Picture{{ID: "x"}}})
	require.ErrorContains(t, err, "picture x: it has no pixels")
	blocked := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	_, err = Write(blocked, in)
	require.ErrorContains(t, err, blocked)
}
