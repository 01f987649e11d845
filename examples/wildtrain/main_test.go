package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch/torchtest"
)

// asProgram makes the test binary be the program: for tests of signals.
const asProgram = "WILDTRAIN_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	code := torchtest.Main(m)
	if sharedDir != "" {
		os.RemoveAll(sharedDir)
	}
	os.Exit(code)
}

// command runs a command line in this process.
func command(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

// must runs a command line that has to end with 0, and returns its results.
func must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, err := command(args...)
	require.Equal(t, done, code, "%s: %s", strings.Join(args, " "), err)
	return out
}

// object runs a command line with --json and returns what it prints.
func object(t *testing.T, args ...string) map[string]any {
	t.Helper()
	var v map[string]any
	out := must(t, append(args, "--json")...)
	require.NoError(t, json.Unmarshal([]byte(out), &v), out)
	return v
}

const tiles = "../../testdata/wildata/framework_formats/yolo/savanna-tiles"

// dataset copies the first pictures of the shipped tiles, with their labels, into
// a YOLO dataset of its own, to be broken.
func dataset(t *testing.T, train, val int) string {
	t.Helper()
	dir := t.TempDir()
	for split, n := range map[string]int{"train": train, "val": val} {
		pictures, err := filepath.Glob(filepath.Join("../../testdata/wildata/datasets/savanna-tiles/images", split, "*.jpg"))
		require.NoError(t, err)
		slices.Sort(pictures)
		for _, p := range pictures[:n] {
			name := strings.TrimSuffix(filepath.Base(p), ".jpg")
			copyFile(t, p, filepath.Join(dir, "images", split, name+".jpg"))
			label := filepath.Join(tiles, "labels", split, name+".txt")
			if _, err := os.Stat(label); err == nil {
				copyFile(t, label, filepath.Join(dir, "labels", split, name+".txt"))
			}
		}
	}
	write(t, filepath.Join(dir, "data.yaml"), "train: images/train\nval: images/val\nnames: {1: impala, 2: zebra, 3: giraffe, 4: elephant, 5: Waterbuck, 6: termite mound}\n")
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	write(t, to, string(data))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// tiny are the settings of a run of seconds.
func tiny(data, runs string, more ...string) []string {
	return append([]string{
		"train", "model=yolov8n", "data.root=" + data, "runs=" + runs, "experiment_name=test", "name=run",
		"training.imgsz=64", "training.epochs=1", "training.batch=2", "training.nbs=2", "training.threads=1", "training.workers=1", "training.device=cpu",
	}, more...)
}

var (
	sharedOnce sync.Once
	sharedDir  string
)

// trained is the folder of a run that tests may use and must not change.
func trained(t *testing.T) string {
	t.Helper()
	sharedOnce.Do(func() {
		var err error
		sharedDir, err = os.MkdirTemp("", "wildtrain")
		require.NoError(t, err)
		data := dataset(t, 4, 2)
		require.NoError(t, os.CopyFS(filepath.Join(sharedDir, "data"), os.DirFS(data)))
		must(t, tiny(filepath.Join(sharedDir, "data"), filepath.Join(sharedDir, "runs"))...)
	})
	return filepath.Join(sharedDir, "runs", "test", "run")
}

func TestWrongUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	for line, want := range map[string]string{
		"":                                "wants a verb",
		"trian":                           `no verb "trian" (did you mean "train"?)`,
		"model":                           "wildtrain model wants a verb",
		"model bogus":                     `wildtrain model has no verb "bogus"`,
		"help bogus":                      `no verb "bogus"`,
		"train --epochs 3":                "unknown flag: --epochs; settings are written key=value",
		"train -x":                        "unknown shorthand flag: 'x'",
		"train model":                     `"model" is not of the form key=value`,
		"train":                           "data.root is missing",
		"train data.root=":                "data.root is missing",
		"train resume=":                   "resume= has no value",
		"train resume=a resume=b":         "resume= is given twice",
		"train training.epoch=3":          `training.epoch: unknown key (did you mean "training.epochs"?)`,
		"train traning.epochs=3":          `traning: unknown key (did you mean "training"?)`,
		"train training.epochs=abc":       "training.epochs: must be a whole number, not 'abc'",
		"train training.epochs=-1":        "training.epochs: is -1",
		"train training.imgsz=100":        "training.imgsz: is 100, must be a multiple of 32",
		"train training.precision=fp8":    "training.precision",
		"train model=yolo11q":             `"model/yolo11q" not found`,
		"train data.root=x name=a/b":      `name "a/b": must be a name without slashes`,
		"evaluate":                        "weights=RUN_OR_FILE is missing",
		"evaluate weights=a weights=b":    "weights= is given twice",
		"predict weights=x":               "source=FILE_FOLDER_OR_PATTERN is missing",
		"predict weights=x source=":       "source= has no value",
		"predict weights=x conf=2":        "predict.conf: is 2, must be from 0 to 1",
		"model forward weights=x in=y":    "out=Y.safetensors is missing",
		"model convert weights=x out=y a": `"a" is not of the form key=value`,
		"model convert weights=x y=z":     `convert has no key "y"`,
		"model list a=b":                  `list has no key "a"`,
		"model info model=yolo99":         `"model/yolo99" not found`,
	} {
		t.Run(line, func(t *testing.T) {
			code, out, err := command(strings.Fields(line)...)
			require.Equal(t, usage, code, err)
			require.Contains(t, err, want)
			require.Empty(t, out, "standard output is for results")
			entries, e := os.ReadDir(".")
			require.NoError(t, e)
			require.Empty(t, entries, "nothing is written")
		})
	}
}

func TestHelpShowsExamples(t *testing.T) {
	for _, v := range []string{"train", "evaluate", "predict", "model list", "model info", "model forward", "model convert"} {
		args := strings.Fields(v)
		out := must(t, append(args, "--help")...)
		require.Contains(t, out, "Examples:\n  wildtrain "+v, v)
		require.Contains(t, must(t, append([]string{"help"}, args...)...), "Examples:\n  wildtrain "+v)
	}
	require.Contains(t, must(t, "--version"), "libtorch 2.")
}
