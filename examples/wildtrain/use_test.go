package main

import (
	"context"
	"encoding/json"
	"image"
	"image/color"
	_ "image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/torch"
)

func TestEvaluate(t *testing.T) {
	run, out := trained(t), filepath.Join(t.TempDir(), "out")
	got := object(t, "evaluate", "weights="+run, "out="+out)
	for _, k := range []string{"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl", "precision", "recall", "F1", "AP/impala"} {
		require.Contains(t, got, k)
		require.IsType(t, 0.0, got[k], k)
	}
	require.Equal(t, "val", got["split"])
	require.EqualValues(t, 2, got["images"])
	require.Equal(t, run, got["weights"])
	require.FileExists(t, got["report"].(string))
	require.FileExists(t, filepath.Join(out, "evaluation.json"))

	text := must(t, "evaluate", "weights="+run, "out="+out, "evaluation.split=train")
	require.Contains(t, text, "4 images of train: AP ")
	require.Contains(t, text, "termite mound")
	require.Regexp(t, `(?m)^ +impala +[1-9]\d*  0\.`, text, "objects are there to be found")

	code, _, stderr := command("evaluate", "weights="+run, "out="+out, "evaluation.split=test")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "no such split")
	none := filepath.Join(t.TempDir(), "none")
	require.Equal(t, failed, first(command("evaluate", "weights="+run, "out="+none, "evaluation.split=test")))
	require.NoDirExists(t, none)

	bare := filepath.Join(t.TempDir(), "bare.pt") // without names of architecture and classes
	must(t, "model", "convert", "weights="+run, "out="+bare)
	byNumber := object(t, "evaluate", "weights="+bare, "model=yolov8n", "training.imgsz=64", "data.root="+filepath.Join(sharedDir, "data"), "out="+out)
	require.Equal(t, got["AP/zebra"], byNumber["AP/zebra"])
	require.Equal(t, got["AP"], byNumber["AP"])
	code, _, stderr = command("evaluate", "weights="+filepath.Join(run, "model", "model.safetensors"), "out="+out)
	require.Equal(t, usage, code)
	require.Contains(t, stderr, "data.root is missing")
}

func TestPredictTakesAllKindsOfSources(t *testing.T) {
	run, dir := trained(t), t.TempDir()
	val := filepath.Join(dir, "val")
	require.NoError(t, os.CopyFS(val, os.DirFS(filepath.Join(dataset(t, 1, 3), "images", "val"))))
	one := filepath.Join(val, "flight07_0006_tile_0_0_0.jpg")
	odd := filepath.Join(dir, "a,b.jpg")
	copyFile(t, one, odd)
	savanna := "../../testdata/wildata/datasets/savanna/images/"
	turned, grey, pngFile := savanna+"train/flight01_0005.jpg", savanna+"train/flight03_0004.jpg", savanna+"train/flight02_0002.png"
	f, err := os.Open(turned)
	require.NoError(t, err)
	defer f.Close()
	stored, _, err := image.DecodeConfig(f)
	require.NoError(t, err)
	for source, want := range map[string]int{
		one:                            1,
		val:                            3,
		val + "/*_tile_[01]_*.jpg":     2,
		one + "," + one:                1,
		turned + "," + grey:            2,
		one + "," + pngFile:            2,
		odd:                            1,
		val + "," + turned + "," + one: 4,
	} {
		out := filepath.Join(t.TempDir(), "out")
		got := object(t, "predict", "weights="+run, "source="+source, "out="+out, "conf=0", "predict.max_det=5")
		require.EqualValues(t, want, got["images"], source)
		require.EqualValues(t, 5*want, got["objects"], source)
		pictures, err := os.ReadDir(got["pictures"].(string))
		require.NoError(t, err)
		require.Len(t, pictures, want)

		var images struct {
			Images []struct {
				ID            int
				FileName      string `json:"file_name"`
				Width, Height int
			}
			Categories []struct{ Name string }
		}
		readJSON(t, filepath.Join(out, "images.json"), &images)
		require.Len(t, images.Images, want)
		require.Len(t, images.Categories, 6)
		var found []struct {
			ImageID    int `json:"image_id"`
			CategoryID int `json:"category_id"`
			BBox       [4]float64
			Score      float64
		}
		readJSON(t, got["detections"].(string), &found)
		require.Len(t, found, 5*want)
		for _, f := range found {
			im := images.Images[f.ImageID-1]
			require.LessOrEqual(t, f.BBox[0]+f.BBox[2], float64(im.Width)+0.01, "in the picture as it is seen")
			require.LessOrEqual(t, f.BBox[1]+f.BBox[3], float64(im.Height)+0.01)
		}
		for _, im := range images.Images { // drawn on the picture as it is seen
			name := strings.TrimSuffix(filepath.Base(im.FileName), filepath.Ext(im.FileName))
			require.Equal(t, image.Pt(im.Width, im.Height), pictureSize(t, filepath.Join(out, "pictures", name+".png")), im.FileName)
			if im.FileName == turned {
				require.Equal(t, [2]int{stored.Height, stored.Width}, [2]int{im.Width, im.Height}, "turned by its EXIF orientation")
			}
		}
	}
}

func pictureSize(t *testing.T, path string) image.Point {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	im, err := png.Decode(f)
	require.NoError(t, err)
	return im.Bounds().Size()
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, v))
}

func TestPredictTellsBadSources(t *testing.T) {
	run, dir := trained(t), t.TempDir()
	write(t, filepath.Join(dir, "text", "a.jpg"), "hello\n")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	write(t, filepath.Join(dir, "words", "notes.txt"), "no picture\n")
	for source, want := range map[string]string{
		"empty": "no picture in", "words": "no picture in", "*.tif": "no picture in", "none.jpg": "is neither there nor a pattern",
		"text/a.jpg": "text/a.jpg: imageio: unknown picture format", "text": "a.jpg: imageio: unknown picture format",
	} {
		out := filepath.Join(t.TempDir(), "out")
		code, stdout, stderr := command("predict", "weights="+run, "source="+filepath.Join(dir, source), "out="+out)
		require.Equal(t, failed, code)
		require.Contains(t, stderr, want)
		require.Empty(t, stdout)
		require.NoDirExists(t, out, "nothing is written")
	}
}

func TestPredictFromTheConfiguration(t *testing.T) {
	run, out := trained(t), filepath.Join(t.TempDir(), "out")
	path := filepath.Join(t.TempDir(), "grey.png")
	f, err := os.Create(path)
	require.NoError(t, err)
	im := image.NewGray(image.Rect(0, 0, 60, 40))
	im.Set(3, 3, color.White)
	require.NoError(t, png.Encode(f, im))
	require.NoError(t, f.Close())
	text := must(t, "predict", "weights="+run, "predict.source="+path, "predict.draw=false", "out="+out)
	require.Contains(t, text, " objects in 1 images\ndetections: "+filepath.Join(out, "predictions.json"))
	require.NotContains(t, text, "pictures:")
	require.NoDirExists(t, filepath.Join(out, "pictures"))
}

// export writes a freshly made model's weights.
func export(t *testing.T, path, arch string, classes int) {
	t.Helper()
	names := make([]string, classes)
	for i := range names {
		names[i] = string(rune('a' + i))
	}
	m, err := detection.NewYOLO(detection.DefaultYOLO(arch, names))
	require.NoError(t, err)
	require.NoError(t, checkpoint.Export(path, m.State(), nil))
	require.NoError(t, m.Close())
}

// input writes a tensor of zeros.
func input(t *testing.T, path, name string, shape ...int64) {
	t.Helper()
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	require.NoError(t, torch.Run(context.Background(), torch.CPU, torch.Inference, func(sc *torch.Scope) error {
		return checkpoint.Export(path, torch.State{name: torch.Of(sc, make([]float32, n), shape...)}, nil)
	}))
}

func TestForward(t *testing.T) {
	t.Chdir(t.TempDir())
	export(t, "w.safetensors", "yolo11s", 7)
	input(t, "x.safetensors", "images", 2, 3, 64, 96)
	must(t, "model", "convert", "weights=w.safetensors", "out=w.pt")
	for _, w := range []string{"w.safetensors", "w.pt"} {
		require.Empty(t, must(t, "model", "forward", "weights="+w, "in=x.safetensors", "out="+w+".out.safetensors", "model=yolo11s", "model.classes=7"))
		f, err := checkpoint.Open(w + ".out.safetensors")
		require.NoError(t, err)
		shapes := map[string][]int64{}
		for _, n := range f.Names() {
			info, _ := f.Info(n)
			shapes[n] = info.Shape
		}
		require.NoError(t, f.Close())
		require.Equal(t, map[string][]int64{
			"level0": {2, 71, 8, 12}, "level1": {2, 71, 4, 6}, "level2": {2, 71, 2, 3}, "decoded": {2, 11, 126},
		}, shapes)
	}
	a, err := os.ReadFile("w.safetensors.out.safetensors")
	require.NoError(t, err)
	b, err := os.ReadFile("w.pt.out.safetensors")
	require.NoError(t, err)
	require.True(t, slices.Equal(a, b), "the format of the weights makes no difference")
}

func TestForwardTellsWhatDoesNotFit(t *testing.T) {
	t.Chdir(t.TempDir())
	export(t, "w.safetensors", "yolov8n", 7)
	input(t, "x.safetensors", "images", 1, 3, 64, 64)
	input(t, "image.safetensors", "image", 1, 3, 64, 64)
	input(t, "four.safetensors", "images", 1, 4, 64, 64)
	input(t, "odd.safetensors", "images", 1, 3, 65, 64)
	input(t, "three.safetensors", "images", 3, 64, 64)
	write(t, "text.safetensors", "hello")
	for line, want := range map[string]string{
		"in=x.safetensors model=yolov8n model.classes=80": "model.22.cv3.0.2.weight: model [80 64 1 1], source [7 64 1 1]",
		"in=x.safetensors model=yolo11n model.classes=7":  "missing: model.10",
		"in=x.safetensors":                                        "give model=NAME",
		"in=image.safetensors model=yolov8n":                      `image.safetensors: no float32 tensor "images"`,
		"in=four.safetensors model=yolov8n":                       "[1 4 64 64]: want (N, 3, H, W)",
		"in=odd.safetensors model=yolov8n":                        "[1 3 65 64]: want (N, 3, H, W) with sides that are multiples of 32",
		"in=three.safetensors model=yolov8n":                      `no float32 tensor "images" of shape (N, 3, H, W)`,
		"in=none.safetensors model=yolov8n":                       "none.safetensors: no such file",
		"in=text.safetensors model=yolov8n":                       "read text.safetensors",
		"in=x.safetensors model=yolov8n weights=none.pt":          "weights= is given twice",
		"in=x.safetensors model=yolov8n model.names=[a,b]":        "[2 64 1 1]",
		"in=x.safetensors model=yolov8n training.precision=bf161": "training.precision",
	} {
		code, out, stderr := command(append([]string{"model", "forward", "weights=w.safetensors", "out=y.safetensors"}, strings.Fields(line)...)...)
		require.Contains(t, []int{failed, usage}, code, line)
		require.Contains(t, stderr, want, line)
		require.Empty(t, out)
		require.NoFileExists(t, "y.safetensors")
	}
}

func TestModelVerbs(t *testing.T) {
	var names []string
	require.NoError(t, json.Unmarshal([]byte(must(t, "model", "list", "--json")), &names))
	require.Equal(t, strings.Join(names, "\n")+"\n", must(t, "model", "list"))
	require.Contains(t, names, "yolo11n")

	info := object(t, "model", "info", "model=yolo11s", "model.classes=7")
	require.Equal(t, "yolo11s", info["architecture"])
	require.Equal(t, []any{640.0, 640.0}, info["input_size"])
	require.Len(t, info["classes"], 7)
	for _, k := range []string{"task", "stride", "parameters", "license", "fused_parameters", "tensors", "strides"} {
		require.Contains(t, info, k)
	}
	require.Contains(t, must(t, "model", "info", "weights="+trained(t)), `6 ["impala" "zebra"`)

	out := filepath.Join(t.TempDir(), "w.pt")
	got := object(t, "model", "convert", "weights="+trained(t), "out="+out)
	require.EqualValues(t, 355, got["tensors"])
	code, _, stderr := command("model", "convert", "weights="+out, "out="+out+".onnx")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, `extension ".onnx" is none of .safetensors, .pt, .pth`)
}
