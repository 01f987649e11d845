package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever is wrong with data is told with file and line before a run folder is
// made.
func TestBadDataIsNamed(t *testing.T) {
	const picture, label = "images/train/flight01_0003_tile_0_0_0.jpg", "labels/train/flight01_0003_tile_0_0_0.txt"
	for name, c := range map[string]struct {
		breakIt func(t *testing.T, dir string)
		more    []string
		want    []string
	}{
		"a corrupt JPEG": {func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, picture))
			require.NoError(t, err)
			write(t, filepath.Join(dir, picture), string(data[:len(data)/2]))
		}, nil, []string{picture, "cut off"}},
		"a text file as JPEG": {func(t *testing.T, dir string) { write(t, filepath.Join(dir, picture), "hello\n") },
			nil, []string{picture, "unknown picture format"}},
		"a label line with 4 numbers": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, label), "1 0.5 0.5 0.1 0.1\n2 0.5 0.5 0.1\n")
		}, nil, []string{label + ":2: label has 4 numbers, must have 5"}},
		"a box wholly outside": {func(t *testing.T, dir string) { write(t, filepath.Join(dir, label), "1 1.4 0.5 0.1 0.1\n") },
			nil, []string{label + ":1: label: box lies wholly outside the picture of 400×400"}},
		"a class id beyond the list": {func(t *testing.T, dir string) { write(t, filepath.Join(dir, label), "7 0.5 0.5 0.1 0.1\n") },
			nil, []string{label + `:1: class id "7" is not in the names`}},
		"several at once": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, picture), "hello\n")
			write(t, filepath.Join(dir, "labels/train/flight01_0003_tile_1_320_0.txt"), "1 2 3\n")
		}, nil, []string{"2 problems", picture, "flight01_0003_tile_1_320_0.txt:1: label has 3 numbers"}},
		"in the validation split": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "labels/val/flight07_0006_tile_0_0_0.txt"), "1\n")
		}, nil, []string{"labels/val/flight07_0006_tile_0_0_0.txt:1: label has 1 numbers"}},
		"a missing training split": {func(*testing.T, string) {}, []string{"data.train_split=dry"},
			[]string{`no split "dry"`, `["train" "val"]`}},
		"a missing validation split": {func(*testing.T, string) {}, []string{"data.val_split=dry"},
			[]string{`no split "dry"`, "training.val=false"}},
		"an empty split": {func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "images/train")))
			require.NoError(t, os.Mkdir(filepath.Join(dir, "images/train"), 0o755))
		}, nil, []string{"empty dataset", `split "train" of`}},
		"pictures without a box": {func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "labels/train"))) },
			nil, []string{"empty dataset", "no box"}},
		"no data at all": {func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "data.yaml"))) },
			nil, []string{"no known layout"}},
		"a broken data.yaml": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "data.yaml"), "train: images/train\nnames: [a\n")
		}, nil, []string{"data.yaml:"}},
		"an unknown class to keep": {func(*testing.T, string) {}, []string{"data.keep=[unicorn]"}, []string{`"unicorn"`, "impala"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := dataset(t, 2, 1)
			c.breakIt(t, dir)
			runs := filepath.Join(t.TempDir(), "runs")
			code, out, err := command(tiny(dir, runs, c.more...)...)
			require.Equal(t, failed, code, err)
			for _, w := range c.want {
				require.Contains(t, err, w)
			}
			require.Empty(t, out)
			require.NoDirExists(t, runs, "nothing is written")
		})
	}
}

// Settings that do not fit the data are the user's to change: exit code 2.
func TestSettingsThatDoNotFitTheData(t *testing.T) {
	dir := dataset(t, 2, 1)
	for setting, want := range map[string]string{
		"model.classes=7":            `model.names say 7 classes`,
		"model.names=[a,b,c,d,e,f]":  `the data has 6 ["impala"`,
		"data.cache=tape":            "data.cache",
		"training.optimizer=Sgdd":    "SGD, Adam",
		"evaluation.split=elsewhere": "evaluation.split",
	} {
		runs := filepath.Join(t.TempDir(), "runs")
		code, _, err := command(tiny(dir, runs, setting)...)
		require.Equal(t, usage, code, "%s: %s", setting, err)
		require.Contains(t, err, want)
		require.NoDirExists(t, runs)
	}
}

// A training that cannot begin leaves no run folder, one that is to go on none either.
func TestTrainingThatCannotBegin(t *testing.T) {
	dir, runs := dataset(t, 2, 1), filepath.Join(t.TempDir(), "runs")
	code, _, err := command(tiny(dir, runs, "training.monitor=beauty")...)
	require.Equal(t, usage, code)
	require.Contains(t, err, `training.monitor is "beauty", which no metric gives; there are AP, AP50`)
	code, _, err = command(tiny(dir, runs, "training.monitor=AP", "training.val=false", "training.patience=0")...)
	require.Equal(t, usage, code)
	require.Contains(t, err, `training.monitor is "AP", but there is no validation`)
	require.NoDirExists(t, filepath.Join(runs, "test", "run"))

	weights := filepath.Join(t.TempDir(), "cut.safetensors")
	data, e := os.ReadFile(filepath.Join(trained(t), "model", "model.safetensors"))
	require.NoError(t, e)
	write(t, weights, string(data[:len(data)/2]))
	code, _, err = command(tiny(dir, runs, "model.weights="+weights)...)
	require.Equal(t, failed, code)
	require.Contains(t, err, "cut.safetensors: the file is cut short")
	for _, line := range [][]string{{"evaluate"}, {"predict", "source=" + dir}, {"model", "info"}} {
		out := filepath.Join(t.TempDir(), "out")
		if line[0] != "model" {
			line = append(line, "out="+out)
		}
		code, _, err = command(append(line, "weights="+weights, "data.root="+dir)...)
		require.Equal(t, failed, code)
		require.Contains(t, err, "cut.safetensors: the file is cut short")
		require.NoDirExists(t, out)
	}
}

// A picture with a sound header whose pixels are damaged is found when it is
// decoded, and named.
func TestDamagedPixelsAreNamed(t *testing.T) {
	dir := dataset(t, 2, 1)
	path := filepath.Join(dir, "images/train/flight01_0003_tile_0_0_0.jpg")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := len(data) / 2; i < len(data)/2+60; i += 2 {
		data[i], data[i+1] = 0xff, 0x00 // a run of ones is no Huffman code
	}
	require.NoError(t, os.WriteFile(path, data, 0o644))
	runs := filepath.Join(t.TempDir(), "runs")
	code, _, stderr := command(tiny(dir, runs)...)
	require.Equal(t, failed, code, stderr)
	require.Contains(t, stderr, "flight01_0003_tile_0_0_0.jpg")
	require.Contains(t, stderr, "damaged")
	require.NoDirExists(t, filepath.Join(runs, "test", "run", "model"))
	require.Equal(t, done, first(command(tiny(dir, runs, "data.on_error=skip")...)))
}

func first(code int, _, _ string) int { return code }
