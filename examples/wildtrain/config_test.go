package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// config compose prints what Hydra 1.3.8 prints, byte for byte: testdata/hydra/cases.py
// made the answers. Flags may stand anywhere among the overrides here.
func TestComposePrintsWhatHydraPrints(t *testing.T) {
	t.Chdir("testdata/hydra")
	data, err := os.ReadFile("cases.json")
	require.NoError(t, err)
	var cases []struct {
		Args   []string `json:"args"`
		Status int      `json:"status"`
		Out    string   `json:"out"`
	}
	require.NoError(t, json.Unmarshal(data, &cases))
	require.Greater(t, len(cases), 25)
	where := []string{"--config-path", "conf", "--config-name", "config"}
	for _, c := range cases {
		for _, args := range [][]string{append(slices.Clone(where), c.Args...), append(slices.Clone(c.Args), where...)} {
			code, out, stderr := command(append([]string{"config", "compose"}, args...)...)
			if c.Status != 0 {
				require.Equal(t, usage, code, "%q: %s%s", args, out, stderr)
				require.NotEmpty(t, stderr)
				continue
			}
			require.Equal(t, done, code, "%q: %s", args, stderr)
			require.Equal(t, c.Out, out, "%q", args)
		}
	}
}

func TestConfigShowAndExplain(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "configs/model/custom.yaml", "defaults:\n  - yolo\n  - _self_\nsize: s\n")
	require.Equal(t, "# @package model.head\nhidden_dim: 0\nnum_layers: 2\ndropout: 0.0\n", must(t, "config", "show", "--package", "model.head", "model=custom"))
	require.Equal(t, "s\n", must(t, "config", "show", "model=custom", "-p", "model.size"))
	require.EqualValues(t, 64, object(t, "config", "show", "model=custom", "data.batch_size=64", "--package=data")["batch_size"])
	require.Equal(t, "seed = 7\n  from     7  at override seed=7\n  replaced 42  at shipped/main.yaml:15:1\n", must(t, "config", "show", "--explain", "seed", "seed=7"))

	_, _, stderr := command("config", "validate", "--verbose", "model=custom", "seed=7")
	require.Equal(t, "configuration: model/base model/yolo model/custom data/detection training/default evaluation/default tracking/none tune/default main model=custom seed=7\n", stderr)

	// Hydra's flags look instead of working, on every verb that takes settings.
	require.Equal(t, "3\n", must(t, "train", "training.epochs=3", "--cfg", "job", "-p", "training.epochs"))
	require.Contains(t, must(t, "evaluate", "weights=none.pt", "--info", "defaults-tree", "training=finetune"), "main\n  model/yolo\n    model/base\n  data/detection\n  training/finetune\n    training/default\n")
	require.Contains(t, must(t, "train", "--info", "searchpath"), "main      configs\nshipped   shipped\n")
	code, _, stderr := command("train", "--info", "plugins")
	require.Equal(t, usage, code)
	require.Contains(t, stderr, "defaults-tree")
}

func TestConfigValidate(t *testing.T) {
	t.Chdir(t.TempDir())
	require.Equal(t, "valid\n", must(t, "config", "validate", "--config-name", "detection/yolo", "model.pretrained=false"))
	write(t, "configs/mine.yaml", "defaults:\n  - main\n  - _self_\ntraining:\n  epochs: 0\n  btach: 3\n")
	code, out, stderr := command("config", "validate", "-cn", "mine", "--json")
	require.Equal(t, usage, code)
	require.Contains(t, stderr, "configs/mine.yaml:6:3: training.btach: unknown key (did you mean \"training.batch\"?)")
	var v struct {
		Valid    bool
		Problems []map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.False(t, v.Valid)
	require.Len(t, v.Problems, 2) // the other one: epochs must be 1 or more
	require.Equal(t, "training.btach", v.Problems[0]["key"])
	require.EqualValues(t, 6, v.Problems[0]["line"])

	code, _, stderr = command("config", "validate", "training.precision=fp16", "training.device=cpu", "data.keep=[a]", "data.discard=[a]")
	require.Equal(t, usage, code)
	require.Contains(t, stderr, "training.precision: fp16 needs a GPU")
	require.Contains(t, stderr, "data.discard: holds \"a\", which data.keep holds too")
}

func TestConfigSchemaAndMigrate(t *testing.T) {
	t.Chdir(t.TempDir())
	require.True(t, json.Valid([]byte(must(t, "config", "schema"))))
	must(t, "config", "schema", "out=s.json")
	require.FileExists(t, "s.json")

	write(t, "old.yaml", "dataset:\n  data_cfg: /data/x.yaml\nmodel:\n  pretrained: false\ntrain:\n  epochs: 7\n  lr0: 0.02\n  imgsz: 320\n  bgr: 0.1\nname: mine\n")
	code, out, report := command("config", "migrate", "old.yaml")
	require.Equal(t, done, code, report)
	require.Contains(t, report, "train.lr0")
	require.Contains(t, report, "train.bgr")
	write(t, "configs/new.yaml", out)
	must(t, "config", "validate", "--config-name", "new")
	require.EqualValues(t, 7, object(t, "config", "show", "--config-name", "new", "--package", "training")["epochs"])

	m := object(t, "config", "migrate", "old.yaml", "out=configs/other.yaml")
	require.Equal(t, "detection", m["kind"])
	require.Equal(t, out, m["yaml"])
	require.FileExists(t, "configs/other.yaml")
	code, _, stderr := command("config", "migrate", "gone.yaml")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "gone.yaml")
}

// A user's file as the architecture document prints it, and the shipped one.
func TestDetectionYolo(t *testing.T) {
	data := dataset(t, 2, 1)
	t.Chdir(t.TempDir())
	plan := func() map[string]any {
		return object(t, "train", "--config-name", "detection/yolo", "data.root="+data, "model.pretrained=false", "--dry-run")
	}
	shipped := plan()
	require.Equal(t, "yolo11n", shipped["architecture"])
	require.Equal(t, "AdamW", shipped["optimizer"])
	write(t, "configs/detection/yolo.yaml", "model:\n  framework: \"yolo\"\n  size: \"n\" # n, s, m, l, x\n  pretrained: true\n\ntraining:\n  epochs: 100\n  imgsz: 640\n  batch: 16\n  optimizer: \"AdamW\"\n  lr0: 0.001\n")
	require.Equal(t, shipped, plan())
}

func TestDryRunWritesNothing(t *testing.T) {
	data, run := dataset(t, 3, 2), trained(t)
	t.Chdir(t.TempDir())
	p := object(t, "train", "data.root="+data, "name=first", "--dry-run")
	require.EqualValues(t, 3, p["train"])
	require.EqualValues(t, 2, p["val"])
	require.Equal(t, filepath.Join("runs", "wildlife_detection", "first"), p["run"])
	p = object(t, "evaluate", "weights="+run, "data.root="+data, "out=here", "--dry-run")
	require.EqualValues(t, 2, p["val"])
	p = object(t, "predict", "weights="+run, "source="+filepath.Join(data, "images", "train"), "out=here", "--dry-run")
	require.EqualValues(t, 3, p["val"])
	require.Contains(t, must(t, "train", "data.root="+data, "--dry-run"), "nothing was done")

	code, _, stderr := command("train", "data.root=/nowhere", "--dry-run")
	require.Equal(t, failed, code, stderr)
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestFreeMappingsTakePlainOverrides(t *testing.T) {
	data := dataset(t, 2, 1)
	p := object(t, "train", "data.root="+data, "data.rename={impala: antelope}", "data.rename.zebra=horse", "--dry-run")
	require.Subset(t, p["classes"], []any{"antelope", "horse"})
}

func TestDoctor(t *testing.T) {
	data := dataset(t, 2, 1)
	t.Chdir(t.TempDir())
	require.Equal(t, true, object(t, "doctor", "data.root="+data)["ok"])
	out := must(t, "doctor")
	for _, name := range []string{"libtorch", "GPU", "disk", "data"} {
		require.Contains(t, out, name)
	}
	require.NotContains(t, out, "\x1b", "no colour but on a terminal")
	code, out, stderr := command("doctor", "data.root=/nowhere", "--json")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "broken: data")
	require.Contains(t, out, `"ok": false`)
}

func TestCompletion(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "configs/model/custom.yaml", "size: s\n")
	complete := func(words ...string) []string {
		out := must(t, append([]string{"__complete"}, words...)...)
		return strings.Split(out, "\n")
	}
	require.Contains(t, complete("train", "model=c"), "model=custom")
	require.Contains(t, complete("train", "model=yolo11"), "model=yolo11s")
	require.Contains(t, complete("train", "training.opti"), "training.optimizer=")
	require.Contains(t, complete("train", "training.optimizer="), "training.optimizer=AdamW")
	require.Contains(t, complete("evaluate", "we"), "weights=")
	require.Contains(t, complete("predict", "source=con"), "source=configs/")
	require.Contains(t, complete("config", "mi"), "migrate\tTurn a file of the Python WildTrain into one of these")
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		require.Contains(t, must(t, "completion", shell), "wildtrain")
	}
	code, _, _ := command("completion", "tcsh")
	require.Equal(t, usage, code)
}

// Sweeps: all combinations, a job that fails beside others, and going on.
func TestSweep(t *testing.T) {
	t.Setenv(asProgram, "yes")
	data := dataset(t, 4, 2)
	t.Chdir(t.TempDir())
	common := tiny(data, "runs", "--multirun", "hydra.sweep.dir=sweep", "--json")
	code, out, stderr := command(append(common, "-j", "2", "training.lr0=0.01,0.02", "data.on_error=fail")...)
	require.Equal(t, done, code, stderr)
	var v struct {
		Sweep string
		Jobs  []sweepJob
	}
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, "sweep", v.Sweep)
	require.Len(t, v.Jobs, 2)
	for i, lr := range []string{"0.01", "0.02"} {
		require.Equal(t, "done", v.Jobs[i].State)
		require.Contains(t, v.Jobs[i].Overrides, "training.lr0="+lr)
		require.DirExists(t, filepath.Join(v.Jobs[i].Run, "model"))
		overrides, err := os.ReadFile(filepath.Join(v.Jobs[i].Run, ".hydra", "overrides.yaml"))
		require.NoError(t, err)
		require.Contains(t, string(overrides), "- training.lr0="+lr+"\n")
		require.NotContains(t, string(overrides), "hydra.")
	}
	require.FileExists(t, filepath.Join("sweep", "multirun.yaml"))

	out = must(t, "train", "--resume", "sweep", "--json")
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, []string{"skipped", "skipped"}, []string{v.Jobs[0].State, v.Jobs[1].State})

	// A wrong job is found before the first one begins.
	code, _, stderr = command(append(common, "hydra.sweep.dir=other", "training.epochs=1,0")...)
	require.Equal(t, usage, code)
	require.Contains(t, stderr, "training.epochs")
	require.NoDirExists(t, "other")

	// One that fails is told at once; with --fail-fast none begins after it.
	code, out, _ = command(append(common, "hydra.sweep.dir=fails", "--fail-fast", "data.root=/nowhere,"+data)...)
	require.Equal(t, failed, code)
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, []string{"failed", ""}, []string{v.Jobs[0].State, v.Jobs[1].State})
}
