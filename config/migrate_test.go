package config_test

import (
	"strings"
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
  epochs: [2, 3]
train:
  batch: 8
  epochs: 30
  optimizer: AdamW
  lr0: 1e-3
  imgsz: 800
  device: 0
  cutmix: .5
  degrees: 45
  freeze: 3
  bgr: 0.1
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
	assert.Len(t, why, 3, "%s", m)
	assert.Contains(t, why["train.typo_key"], "unknown")
	assert.Contains(t, why["train.bgr"], "not among the augmentations")
	assert.Equal(t, 0.5, run.Data.Augment.CutMix)
	assert.Equal(t, []string{"model.0", "model.1", "model.2"}, run.Model.Freeze)
	assert.Equal(t, []float64{0, 1}, run.Data.Curriculum.Ratios)
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
			assert.Equal(t, "F1_macro", run.Training.Monitor)
		}
	}
	_, err := config.Migrate("x.yaml", []byte("a: 1\n"))
	assert.ErrorContains(t, err, "none of the reference's or Ultralytics' configurations")
}

// referenceSchemas hold every key of the reference's schemas, as its documents and
// its pydantic models have them.
var referenceSchemas = map[string]string{
	"classification": `
dataset: {root_data_directory: /d, dataset_type: crop, input_size: 224, batch_size: 8, num_workers: 0, stats: {mean: [.5, .5, .5], std: [.2, .2, .2]},
  transforms: {train: [{name: RandomHorizontalFlip, params: {p: 0.5}}], val: [{name: Resize, params: {size: 224}}]},
  curriculum_config: {enabled: true, type: difficulty, difficulty_strategy: linear, start_difficulty: 0, end_difficulty: 1, warmup_epochs: 1, log_frequency: 1},
  single_class: {enable: true, background_class_name: background, single_class_name: wildlife, keep_classes: [a], discard_classes: null},
  rebalance: true, crop_size: 224, max_tn_crops: 2, p_draw_annotations: 0, compute_difficulties: true, preserve_aspect_ratio: true}
model: {backbone: timm/vit_base_patch14_reg4_dinov2.lvd142m, pretrained: true, backbone_source: timm, dropout: .2, freeze_backbone: true, input_size: 224,
  mean: [.554, .469, .348], std: [.203, .173, .144], weights: null, hidden_dim: 128, num_layers: 2}
train: {batch_size: 8, epochs: 3, lr: 1e-4, label_smoothing: .1, weight_decay: 1e-4, lrf: .1, precision: "32", accelerator: auto, num_workers: 0, val_check_interval: 1}
checkpoint: {monitor: val_f1score, mode: max, dirpath: x, filename: y, save_top_k: 1, save_last: true, patience: 10, save_weights_only: true, min_delta: .001}
mlflow: {experiment_name: e, run_name: r, alias: a, name: n, tracking_uri: "http://localhost:5000", dwnd_location: null, log_model: false}
debug: false
`,
	"classification evaluation": `
{classifier: c.ckpt, split: val, device: cuda:0, batch_size: 4, dataset: {root: /d, single_class: {enable: false, background_class_name: b, single_class_name: w, keep_classes: [a], discard_classes: null}}}
`,
	"detection": `
dataset: {data_cfg: /d/data.yaml, load_as_single_class: true, root_data_directory: null, force_merge: false, keep_classes: null, discard_classes: [a]}
curriculum: {enable: false, data_cfg: x, ratios: [0, 1], epochs: [1, 2], freeze: [9, 9], lr0s: [1e-3, 1e-4], save_dir: s}
pretraining: {data_cfg: null, epochs: 10, lr0: 1e-4, lrf: .1, freeze: 0, save_dir: s}
model: {pretrained: true, weights: w.pt, architecture_file: null}
name: n
project: p
mlflow: {experiment_name: e, run_name: r, alias: a, name: n, tracking_uri: u}
use_custom_yolo: false
custom_yolo_kwargs: {image_encoder_backbone: b, image_encoder_backbone_source: timm, count_regressor_layers: 13, area_regressor_layers: 10, roi_classifier_layers: {p3: 13},
  fp_tp_loss_weight: .5, count_loss_weight: .5, area_loss_weight: .25, box_size: 224, pos_weight: null}
train: {batch: 8, epochs: 3, optimizer: AdamW, lr0: 1e-3, lrf: .1, momentum: .937, weight_decay: 5e-4, warmup_epochs: 1, cos_lr: true, patience: 2, iou: .65, imgsz: 640, box: 3.5, cls: 1,
  dfl: 1.5, device: cpu, workers: 0, degrees: 45, mixup: 0, cutmix: .5, shear: 10, copy_paste: 0, erasing: 0, scale: .2, fliplr: .5, flipud: .5, hsv_h: 0, hsv_s: .1, hsv_v: .1, translate: .2,
  mosaic: 0, multi_scale: false, perspective: 0, deterministic: false, seed: 41, freeze: 9, cache: false}
`,
	"detection evaluation": `
weights: {localizer: l.pt, classifier: null}
dataset: {data_cfg: /d/data.yaml, load_as_single_class: true, root_data_directory: null, force_merge: false, keep_classes: null, discard_classes: null}
device: cpu
metrics: {average: macro, class_agnostic: false}
eval: {imgsz: 640, split: val, iou: .6, conf: .1, max_det: 300, batch_size: 8, num_workers: 0, task: detect, single_cls: true, half: false, rect: false, stride: 32, classes: null, cache: false,
  multi_modal: false, verbose: true, augment: false}
results_dir: r
`,
	"pipeline":      "{disable_train: false, train: {config: a.yaml, debug: false}, disable_eval: false, eval: {config: b.yaml, debug: true}, results_dir: r}\n",
	"visualization": "{fiftyone: {dataset_name: d, prediction_field: p}, localizer: {weights: w.pt, imgsz: 640}, classifier_weights: c, batch_size: 8, debug: false, mlflow: {name: n, alias: a}, label_studio: {url: u, api_key: k, project_id: 1, model_tag: t}}\n",
	"registration":  "{processing: {name: n, batch_size: 8, mlflow_tracking_uri: u, export_format: onnx, dynamic: false}, classifier: {weights: c.ckpt}, localizer: {mmdet: null}}\n",
	"inference":     "{port: 4141, workers_per_device: 1, mlflow_registry_name: detector, mlflow_alias: demo, mlflow_local_dir: m, mlflow_tracking_uri: u}\n",
	"sweep": `
base_config: c.yaml
parameters:
  model: {backbone: [timm/resnet18.a1_in1k, timm/resnet50.a1_in1k], dropout: [0.1, 0.2]}
  train: {lr: [1e-3, 1e-4], lrf: [0.1], label_smoothing: [0.0, 0.1], weight_decay: [1e-4], batch_size: [8]}
epochs: 3
sweep_name: s
n_trials: 7
seed: 41
`,
}

// Every key of the reference's schemas is mapped, or dropped for a reason that is
// not "unknown", and what comes out can be used.
func TestMigrateCoversTheReferencesSchemas(t *testing.T) {
	for kind, text := range referenceSchemas {
		m, err := config.Migrate("old.yaml", []byte(text))
		require.NoError(t, err, kind)
		require.Equal(t, kind, m.Kind)
		for _, d := range m.Dropped {
			assert.NotEmpty(t, d.Note, "%s: %s", kind, d.From)
			assert.NotContains(t, d.Note, "unknown", "%s: %s", kind, d.From)
		}
		run := migrated(t, text)
		switch kind {
		case "classification":
			assert.Equal(t, "vit_base_patch14_reg4_dinov2", run.Model.ArchitectureName())
			assert.Equal(t, "Adam", run.Training.Optimizer)
			assert.Equal(t, "mean", run.Data.Sampler.Rebalance)
			assert.Equal(t, "wildlife", run.Data.SingleClass)
			assert.Equal(t, config.Head{HiddenDim: 128, NumLayers: 2, Dropout: .2}, run.Model.Head)
			assert.Equal(t, "RandomHorizontalFlip", run.Data.Transforms[0].Name)
			assert.Equal(t, 224, run.Training.ImgSz)
		case "classification evaluation":
			assert.Empty(t, run.Data.SingleClass, "it was switched off")
			assert.Empty(t, run.Data.Keep)
		case "sweep":
			assert.Equal(t, "choice(resnet18,resnet50)", run.Tune.Params["model.architecture"])
			assert.Equal(t, 7, run.Tune.Trials)
		}
	}
}

// use_custom_yolo stands for the reference's defaults; what a file says itself counts.
func TestMigrateCustomYOLO(t *testing.T) {
	text := referenceSchemas["detection"]
	for _, order := range []string{"", "late"} {
		on := strings.Replace(text, "use_custom_yolo: false\n", "", 1)
		if order == "late" {
			on += "use_custom_yolo: true\n"
		} else {
			on = "use_custom_yolo: true\n" + on
		}
		on = strings.Replace(on, "area_loss_weight: .25", "area_loss_weight: .75", 1)
		on = strings.Replace(on, "count_regressor_layers: 13", "count_regressor_layers: 16", 1)
		run := migrated(t, on)
		assert.Equal(t, [4]float64{0.5, 0.75, 0.5, 1}, [4]float64{run.Training.CountLossWeight, run.Training.AreaLossWeight, run.Training.FPTPLossWeight, run.Training.PosWeight})
		a := run.Model.Auxiliary
		assert.Equal(t, [4]int{16, 10, 13, 10}, [4]int{*a.CountRegressorLayers, *a.AreaRegressorLayers, *a.ROIClassifierLayers.P3, *a.ROIClassifierLayers.P4})
		assert.Equal(t, "b", a.ImageEncoderBackbone)
	}
	run := migrated(t, text)
	assert.Zero(t, run.Training.CountLossWeight)
	assert.Nil(t, run.Model.Auxiliary.CountRegressorLayers)
	_, err := config.Compose(config.Options{Overrides: []string{"training.count_los_weight=1"}})
	assert.ErrorContains(t, err, "count_loss_weight")
	bad, err := config.Compose(config.Options{Overrides: []string{"model.auxiliary.count_regressor_layers=-3", "model.auxiliary.box_size=0", "training.fp_tp_loss_weight=-1"}})
	require.NoError(t, err)
	decoded := config.DefaultRun()
	err = bad.Decode(&decoded)
	for _, key := range []string{"model.auxiliary.count_regressor_layers", "model.auxiliary.box_size", "training.fp_tp_loss_weight"} {
		assert.ErrorContains(t, err, key)
	}
}

// migrated is the configuration that another program's file means.
func migrated(t *testing.T, text string) config.Run {
	t.Helper()
	m, err := config.Migrate("old.yaml", []byte(text))
	require.NoError(t, err)
	c, err := config.Compose(config.Options{Name: "migrated", Dirs: []string{folder(t, map[string]string{"migrated.yaml": m.YAML})}})
	require.NoError(t, err, m.YAML)
	run := config.DefaultRun()
	require.NoError(t, c.Decode(&run), m.YAML)
	return run
}
