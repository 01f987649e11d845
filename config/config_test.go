package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/config"
)

func compose(t *testing.T, overrides ...string) *config.Config {
	t.Helper()
	c, err := config.Compose(config.Options{Overrides: overrides})
	require.NoError(t, err)
	return c
}

// folder writes files into a new folder and returns it.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(text), 0o644))
	}
	return dir
}

func TestTrainCommand(t *testing.T) {
	c := compose(t, "model=yolo11n", "data.root=/data", "training.epochs=3", "training.warmup_epochs=1")
	run := config.DefaultRun()
	require.NoError(t, c.Decode(&run))
	assert.Equal(t, "yolo11n", run.Model.ArchitectureName())
	assert.Equal(t, "/data", run.Data.Root)
	assert.Equal(t, 3, run.Training.Epochs)
	assert.Equal(t, "yolo11n", c.Choices()["model"])
}

// The shipped tree and DefaultRun say the same.
func TestShippedTreeIsTheDefault(t *testing.T) {
	run := config.Run{}
	require.NoError(t, compose(t).Decode(&run))
	want := config.DefaultRun()
	for _, list := range []*[]string{&run.Model.Names, &run.Model.Freeze, &run.Data.Roots, &run.Data.Datasets, &run.Data.Classes, &run.Data.Keep, &run.Data.Discard} {
		assert.Empty(t, *list)
		*list = nil
	}
	assert.Empty(t, append(run.Model.Mean, run.Model.Std...))
	run.Model.Mean, run.Model.Std = nil, nil
	assert.Empty(t, run.Model.PretrainedFrom())
	run.Model.Pretrained = want.Model.Pretrained // a bool in the files
	assert.Empty(t, slices.Concat(run.Data.Transforms, run.Data.EvalTransforms))
	run.Data.Transforms, run.Data.EvalTransforms = nil, nil
	assert.Empty(t, run.Data.Curriculum.Ratios)
	assert.Empty(t, run.Data.Curriculum.Epochs)
	run.Data.Curriculum.Ratios, run.Data.Curriculum.Epochs = nil, nil
	assert.Empty(t, run.Data.Curriculum.Freeze)
	assert.Empty(t, run.Data.Curriculum.LR0s)
	run.Data.Curriculum.Freeze, run.Data.Curriculum.LR0s = nil, nil
	assert.Empty(t, run.Data.Sampler.Weights)
	run.Data.Sampler.Weights = nil
	for _, m := range []*map[string]string{&run.Model.Parents, &run.Data.Rename, &run.Tracking.Tags, &run.Tune.Params} {
		assert.Empty(t, *m)
		*m = nil
	}
	assert.Empty(t, run.Tune.Space)
	run.Tune.Space = nil
	assert.Equal(t, want, run)
}

func TestEveryShippedOptionValidates(t *testing.T) {
	c := compose(t)
	tried := 0
	for _, group := range c.Groups("") {
		if group == "detection" {
			continue // a file of its own: TestArchitectureDocument
		}
		options := c.Options(group)
		for _, inner := range c.Groups(group) {
			for _, o := range c.Options(group + "/" + inner) {
				options = append(options, inner+"/"+o)
			}
		}
		for _, option := range options {
			if option == "base" {
				continue
			}
			run := config.DefaultRun()
			require.NoError(t, compose(t, group+"="+option).Decode(&run), "%s=%s", group, option)
			tried++
		}
	}
	assert.Greater(t, tried, 100)
}

func TestArchitectureDocument(t *testing.T) {
	c, err := config.Compose(config.Options{Name: "detection/yolo"})
	require.NoError(t, err)
	run := config.DefaultRun()
	require.NoError(t, c.Decode(&run))
	assert.Equal(t, "AdamW", run.Training.Optimizer)
	assert.Equal(t, "true", run.Model.PretrainedFrom())
	assert.Equal(t, "yolo11n", run.Model.ArchitectureName())

	dir := folder(t, map[string]string{"model/custom.yaml": "framework: yolo\nversion: 8\nsize: s\n"})
	c, err = config.Compose(config.Options{Dirs: []string{dir}, Overrides: []string{"model=custom", "data.batch_size=64"}})
	require.NoError(t, err)
	run = config.DefaultRun()
	require.NoError(t, c.Decode(&run))
	assert.Equal(t, "yolov8s", run.Model.ArchitectureName())
	assert.Equal(t, 64, run.BatchSize())
}

func TestTypos(t *testing.T) {
	tests := []struct{ override, want string }{
		{"training.epoch=3", `did you mean "training.epochs"?`},
		{"trainin.epochs=3", `did you mean "training"?`},
		{"model=yolo11q", `did you mean "yolo11`},
		{"modle=yolo11n", `did you mean "model"?`},
		{"data.augment.mosiac=0", `did you mean "data.augment.mosaic"`},
	}
	for _, tt := range tests {
		_, err := config.Compose(config.Options{Overrides: []string{tt.override}})
		assert.ErrorContains(t, err, tt.want, tt.override)
		var e *config.Error
		require.True(t, errors.As(err, &e))
		assert.Contains(t, e.File, tt.override)
	}
}

func TestProblemsAreReportedTogetherWithTheirPlace(t *testing.T) {
	dir := folder(t, map[string]string{"training/own.yaml": "epochs: many\nbatch: 3.5\nlr: 1\nimgsz: 640\n"})
	c, err := config.Compose(config.Options{Dirs: []string{dir}, Overrides: []string{"training=own"}})
	require.NoError(t, err)
	run := config.DefaultRun()
	err = c.Decode(&run)
	var all config.Errors
	require.True(t, errors.As(err, &all), "%v", err)
	require.Len(t, all, 3)
	assert.Equal(t, "training.epochs", all[0].Key)
	assert.Equal(t, 1, all[0].Line)
	assert.Equal(t, filepath.Join(dir, "training/own.yaml"), all[0].File)
	assert.Contains(t, all[0].Error(), "must be a whole number, not 'many'")
	assert.Equal(t, 2, all[1].Line)
	assert.Equal(t, `did you mean "training.lr0" or "training.lrf"?`, all[2].Hint)
}

// A value of the wrong type does not hide what is wrong with others.
func TestTypesAndValuesAreReportedTogether(t *testing.T) {
	run := config.DefaultRun()
	err := compose(t, "training.epochs=x", "data.cache=disc", "training.patience=-1").Decode(&run)
	var all config.Errors
	require.ErrorAs(t, err, &all)
	var keys []string
	for _, x := range all {
		keys = append(keys, x.Key)
		assert.Contains(t, x.File, "override ")
	}
	assert.ElementsMatch(t, []string{"training.epochs", "data.cache", "training.patience"}, keys)

	_, err = config.Compose(config.Options{Dirs: []string{"no/such/folder"}})
	assert.ErrorContains(t, err, `config folder "no/such/folder" not found`)
}

func TestRulesAcrossKeysFire(t *testing.T) {
	c := compose(t, "training.precision=fp16", "training.device=cpu", "training.imgsz=100", "evaluation.split=vall")
	run := config.DefaultRun()
	err := c.Decode(&run)
	var all config.Errors
	require.True(t, errors.As(err, &all), "%v", err)
	text := err.Error()
	assert.Contains(t, text, "fp16 needs a GPU")
	assert.Contains(t, text, "multiple of 32")
	assert.Contains(t, text, `did you mean "val"?`)
	assert.Contains(t, text, "training.imgsz=100: training.imgsz")
}

func TestZeroIsZero(t *testing.T) {
	run := config.DefaultRun()
	require.NoError(t, compose(t, "data.augment.mosaic=0", "training.warmup_epochs=0", "training.ema=false").Decode(&run))
	assert.Zero(t, run.Data.Augment.Mosaic)
	assert.Zero(t, run.Training.WarmupEpochs)
	assert.False(t, run.Training.EMA)
}

func TestYAMLDump(t *testing.T) {
	c := compose(t, "experiment_name=x")
	text := c.Root.YAML()
	assert.True(t, strings.HasPrefix(text, "model:\n  framework: yolo\n  version: '11'\n  size: 'n'\n"), text)
	assert.Contains(t, text, "experiment_name: x\n")
	assert.NotContains(t, text, "hydra:")
}
