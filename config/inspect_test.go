package config_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/config"
)

func TestExplain(t *testing.T) {
	dir := folder(t, map[string]string{
		"training/own.yaml": "defaults:\n  - default\n  - _self_\nlr0: 0.02\nlrf: ${.lr0}\n",
	})
	c, err := config.Compose(config.Options{Dirs: []string{dir}, Overrides: []string{"training=own", "training.lr0=0.5"}})
	require.NoError(t, err)
	x, err := c.Explain("training.lr0")
	require.NoError(t, err)
	require.Len(t, x.Steps, 3)
	assert.Equal(t, "0.5", x.Value)
	assert.Equal(t, config.Step{Value: "0.01", File: "shipped/training/default.yaml", Line: 6, Column: 1, Through: []string{"training/own", "main"}}, x.Steps[0])
	assert.Equal(t, filepath.Join(dir, "training/own.yaml"), x.Steps[1].File)
	assert.Equal(t, 4, x.Steps[1].Line)
	assert.Equal(t, []string{"main"}, x.Steps[1].Through)
	assert.Equal(t, "override training.lr0=0.5", x.Steps[2].File)

	x, err = c.Explain("training.lrf")
	require.NoError(t, err)
	assert.Equal(t, "0.5", x.Value)
	require.Len(t, x.Via, 1)
	assert.Equal(t, "training.lr0", x.Via[0].Key)

	_, err = c.Explain("training.lr1")
	assert.ErrorContains(t, err, `did you mean "training.lr0"`)
}

func TestSchemaCoversEveryKey(t *testing.T) {
	text, err := config.JSONSchema()
	require.NoError(t, err)
	var s map[string]any
	require.NoError(t, json.Unmarshal(text, &s))
	training := s["properties"].(map[string]any)["training"].(map[string]any)
	assert.Equal(t, false, training["additionalProperties"])
	batch := training["properties"].(map[string]any)["batch"].(map[string]any)
	assert.Equal(t, "pictures per batch", batch["description"])
	assert.EqualValues(t, 16, batch["default"])

	// Each key of the schema can be set; each of the shipped tree is in the schema.
	keys := map[string]bool{}
	for _, k := range config.Keys() {
		keys[k] = true
	}
	c := compose(t)
	for k := range keys {
		_, err := c.Explain(k)
		assert.NoError(t, err)
	}
	assert.Contains(t, keys, "data.augment.hsv_h")
	assert.Equal(t, []string{"fp32", "bf16", "fp16", "auto"}, config.Values("training.precision"))
	assert.Equal(t, []string{"true", "false"}, config.Values("training.ema"))
}

func TestComplete(t *testing.T) {
	c := compose(t)
	assert.Equal(t, []string{"model.head.dropout=", "model.head.hidden_dim=", "model.head.num_layers="}, sortedLike(c.Complete("model.h")))
	assert.Subset(t, c.Complete("model"), []string{"model=", "model.accept_license=", "model.train_cfg.rpn.sampler.num=", "model.weights=", "model/timm="})
	assert.Equal(t, []string{"model=yolo12l", "model=yolo12m", "model=yolo12n", "model=yolo12s", "model=yolo12x"}, c.Complete("model=yolo12"))
	assert.Equal(t, []string{"++training.precision=bf16"}, c.Complete("++training.precision=b"))
}

// sortedLike puts "model=" first, whatever the order of "=" and ".".
func sortedLike(in []string) []string {
	for i, s := range in {
		if s == "model=" {
			return append([]string{s}, append(in[:i:i], in[i+1:]...)...)
		}
	}
	return in
}

func TestFiles(t *testing.T) {
	c := compose(t, "training.epochs=3", "hydra.job.name=x")
	files, err := c.Files()
	require.NoError(t, err)
	assert.Equal(t, "- training.epochs=3\n", string(files[".hydra/overrides.yaml"]))
	assert.Contains(t, string(files[".hydra/config.yaml"]), "epochs: 3\n")
	assert.Contains(t, string(files[".hydra/hydra.yaml"]), "hydra:\n  run:\n    dir: outputs/${now:%Y-%m-%d}/${now:%H-%M-%S}\n")
	files, err = compose(t, "hydra.output_subdir=null").Files()
	require.NoError(t, err)
	assert.Empty(t, files)
}

func TestMultirun(t *testing.T) {
	c, err := config.Compose(config.Options{Multirun: true, Overrides: []string{"model=glob(yolo12*,exclude=*x)", "training.epochs=1,2", "seed=7", "hydra.job.name=x"}})
	require.NoError(t, err)
	jobs, err := c.Jobs(1)
	require.NoError(t, err)
	require.Len(t, jobs, 8)
	assert.Equal(t, []string{"model=yolo12l", "training.epochs=1", "seed=7"}, jobs[0])
	assert.Equal(t, []string{"model=yolo12l", "training.epochs=2", "seed=7"}, jobs[1])
	assert.Equal(t, []string{"hydra.job.name=x"}, c.HydraOverrides())

	_, err = config.Compose(config.Options{Overrides: []string{"training.epochs=1,2"}})
	assert.ErrorContains(t, err, "ambiguous")
}

func TestShow(t *testing.T) {
	dir := folder(t, map[string]string{"main.yaml": "a: ${b}\nb: ???\nt: ${now:%Y}\ns: {x: '${hydra:job.name}'}\n"})
	c, err := config.Compose(config.Options{Foreign: true, Dirs: []string{dir}, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), JobName: "job"})
	require.NoError(t, err)
	text, err := c.Show("job", "", false)
	require.NoError(t, err)
	assert.Equal(t, "a: ${b}\nb: ???\nt: ${now:%Y}\ns:\n  x: ${hydra:job.name}\n", text)
	text, err = c.Show("job", "", true)
	require.NoError(t, err)
	assert.Equal(t, "a: ???\nb: ???\nt: '2026'\ns:\n  x: job\n", text)
	text, err = c.Show("job", "s", true)
	require.NoError(t, err)
	assert.Equal(t, "# @package s\nx: job\n", text)
}

func TestExtend(t *testing.T) {
	run := config.DefaultRun()
	require.NoError(t, compose(t, "data.keep=[a]", "data.keep+=[b,c]", "data.keep+=d").Decode(&run))
	assert.Equal(t, []string{"a", "b", "c", "d"}, run.Data.Keep)
	_, err := config.Compose(config.Options{Strict: true, Overrides: []string{"data.keep+=[b]"}})
	assert.ErrorContains(t, err, "extension")
}

func TestSearchPath(t *testing.T) {
	more := folder(t, map[string]string{"db/far.yaml": "host: far\n", "db/both.yaml": "host: second\n"})
	dir := folder(t, map[string]string{"main.yaml": "defaults:\n  - db: both\n  - _self_\nhydra:\n  searchpath: ['" + more + "']\n", "db/both.yaml": "host: first\n"})
	for option, want := range map[string]string{"both": "first", "far": "far"} {
		c, err := config.Compose(config.Options{Foreign: true, Dirs: []string{dir}, Overrides: []string{"db=" + option}})
		require.NoError(t, err)
		v, err := c.Get("db.host")
		require.NoError(t, err)
		assert.Equal(t, want, v.Text())
	}
}

type pump struct{ Rate float64 }

func TestRegistry(t *testing.T) {
	var r config.Registry
	type settings struct {
		Rate float64 `yaml:"rate"`
	}
	config.Register(&r, "pump", func() settings { return settings{Rate: 2} }, func(s settings) (*pump, error) {
		if s.Rate < 0 {
			return nil, errors.New("negative")
		}
		return &pump{s.Rate}, nil
	})
	dir := folder(t, map[string]string{"main.yaml": "base: 3\na: {_target_: pump, rate: \"${base}\"}\nb: {_target_: pump}\nc: {_target_: pimp}\nd: {_target_: pump, rat: 1}\ne: {_target_: pump, rate: -1}\n"})
	c, err := config.Compose(config.Options{Foreign: true, Dirs: []string{dir}})
	require.NoError(t, err)
	root, err := c.Resolve()
	require.NoError(t, err)
	build := func(i int) (any, error) { return r.Instantiate(root.Items()[i]) }
	v, err := build(1)
	require.NoError(t, err)
	assert.Equal(t, &pump{3}, v)
	v, err = build(2)
	require.NoError(t, err)
	assert.Equal(t, &pump{2}, v)
	_, err = build(3)
	assert.ErrorContains(t, err, `did you mean "pump"?`)
	_, err = build(4)
	assert.ErrorContains(t, err, `did you mean "d.rate"?`)
	_, err = build(5)
	assert.ErrorContains(t, err, "negative")
}

// The table of conversions that OmegaConf's typed nodes make.
func TestConversions(t *testing.T) {
	type all struct {
		I int                `yaml:"i"`
		F float64            `yaml:"f"`
		B bool               `yaml:"b"`
		S string             `yaml:"s"`
		P *int               `yaml:"p"`
		L []int              `yaml:"l"`
		D time.Duration      `yaml:"d"`
		M map[string]float64 `yaml:"m"`
		U uint8              `yaml:"u"`
	}
	tests := map[string]bool{
		"i: 3": true, "i: '3'": true, "i: 3.0": false, "i: 3.5": false, "i: '3.0'": false, "i: true": false, "i: null": false, "i: 99999999999999999999": false,
		"f: 3": true, "f: '1e3'": true, "f: true": false, "f: x": false, "f: .inf": true,
		"b: yes": true, "b: 'y'": true, "b: 'n'": true, "b: '1'": true, "b: 0": true, "b: 7": true, "b: 1.0": false, "b: 't'": false,
		"s: 1": true, "s: true": true, "s: null": false, "s: [a]": false, "s: {a: 1}": false,
		"p: null": true, "p: 4": true, "l: [1, '2']": true, "l: [1, x]": false, "l: 1": false, "l: []": true,
		"d: 30s": true, "d: 1.5": true, "d: x": false, "m: {a: 1}": true, "m: {a: x}": false, "m: [1]": false, "u: 255": true, "u: 256": false, "u: -1": false, "z: 1": false,
	}
	for text, ok := range tests {
		dir := folder(t, map[string]string{"main.yaml": text + "\n"})
		c, err := config.Compose(config.Options{Foreign: true, Dirs: []string{dir}})
		require.NoError(t, err)
		var v all
		err = c.Decode(&v)
		assert.Equal(t, ok, err == nil, "%s: %v", text, err)
		if !ok {
			var e *config.Error
			require.True(t, errors.As(err, &e), text)
			assert.Equal(t, 1, e.Line, text)
		}
		if text == "s: true" {
			assert.Equal(t, "True", v.S)
		}
	}
}
