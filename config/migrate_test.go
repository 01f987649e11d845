package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/config"
)

const referenceDetection = `dataset:
  root_data_directory: /data/wildlife
  data_cfg: null
  load_as_single_class: true
  discard_classes: [vehicle]
name: run1
project: runs/det
model:
  pretrained: true
  weights: yolo12s.pt
mlflow:
  experiment_name: wildlife
  run_name: ${name}
  tracking_uri: http://localhost:5000
curriculum:
  ratios: [0, 1]
train:
  batch: 8
  epochs: 30
  optimizer: AdamW
  lr0: 1e-3
  imgsz: 800
  device: 0
  cutmix: .5
  degrees: 45
  freeze: 9
  seed: 41
  typo_key: 1
`

func TestMigrateDetection(t *testing.T) {
	m, err := config.Migrate("old.yaml", []byte(referenceDetection))
	require.NoError(t, err)
	assert.Equal(t, "detection", m.Kind)

	// The result composes on the shipped tree and decodes.
	dir := folder(t, map[string]string{"migrated.yaml": m.YAML})
	c, err := config.Compose(config.Options{Name: "migrated", Dirs: []string{dir}})
	require.NoError(t, err, m.YAML)
	run := config.DefaultRun()
	require.NoError(t, c.Decode(&run))
	assert.Equal(t, "/data/wildlife", run.Data.Root)
	assert.Equal(t, "wildlife", run.Data.SingleClass)
	assert.Equal(t, []string{"vehicle"}, run.Data.Discard)
	assert.Equal(t, 30, run.Training.Epochs)
	assert.Equal(t, 0.001, run.Training.LR0)
	assert.Equal(t, "cuda:0", run.Training.Device)
	assert.Equal(t, 45.0, run.Data.Augment.Degrees)
	assert.Equal(t, uint64(41), run.Seed)
	assert.Equal(t, "run1", run.Tracking.RunName)

	// Every key is accounted for.
	why := map[string]string{}
	for _, d := range m.Dropped {
		why[d.From] = d.Note
		assert.NotEmpty(t, d.Note, d.From)
	}
	assert.Len(t, why, 5, "%s", m)
	assert.Contains(t, why["train.typo_key"], "unknown")
	assert.Contains(t, why["train.cutmix"], "not among the augmentations")
	assert.Contains(t, why["train.freeze"], "model.freeze")
	assert.Contains(t, why["curriculum"], "sequence of runs")
}

func TestMigrateOtherKinds(t *testing.T) {
	tests := map[string]string{
		"classification":       "dataset: {root_data_directory: /d, dataset_type: roi, input_size: 224, batch_size: 8}\nmodel: {backbone: vit, dropout: 0.2}\ntrain: {epochs: 3, lr: 1e-4, precision: bf16-mixed, accelerator: gpu}\ncheckpoint: {monitor: val_f1score, mode: max, dirpath: x, filename: y}\n",
		"detection evaluation": "weights: {localizer: a.pt}\ndevice: cpu\neval: {imgsz: 640, conf: 0.1}\nmetrics: {average: macro}\nresults_dir: r\n",
		"pipeline":             "disable_train: false\ntrain: {config: a.yaml}\nresults_dir: r\n",
		"registration":         "processing: {name: detector, batch_size: 8}\nlocalizer: {yolo: {weights: w.pt}}\n",
		"inference":            "port: 4141\nmlflow_registry_name: detector\nmlflow_alias: demo\n",
	}
	for kind, text := range tests {
		m, err := config.Migrate("old.yaml", []byte(text))
		require.NoError(t, err, kind)
		assert.Equal(t, kind, m.Kind)
		for _, d := range m.Dropped {
			assert.NotContains(t, d.Note, "unknown", "%s: %s", kind, d.From)
		}
		dir := folder(t, map[string]string{"migrated.yaml": m.YAML})
		c, err := config.Compose(config.Options{Name: "migrated", Dirs: []string{dir}})
		require.NoError(t, err, m.YAML)
		run := config.DefaultRun()
		require.NoError(t, c.Decode(&run), "%s\n%s", kind, m.YAML)
		if kind == "classification" {
			assert.Equal(t, "/d", run.Data.Root)
			assert.Equal(t, "bf16", run.Training.Precision)
			assert.Equal(t, 8, run.Training.Batch)
			assert.Equal(t, "val_f1score", run.Training.Monitor)
		}
	}
	_, err := config.Migrate("x.yaml", []byte("a: 1\n"))
	assert.ErrorContains(t, err, "none of the reference's configurations")
}
