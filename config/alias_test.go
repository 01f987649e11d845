package config_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/config"
)

// composed composes files and overrides and returns the run and the warnings.
func composed(t *testing.T, name string, files map[string]string, overrides ...string) (config.Run, []string) {
	t.Helper()
	var said []string
	c, err := config.Compose(config.Options{Name: name, Dirs: []string{folder(t, files)}, Overrides: overrides, Warn: func(s string) { said = append(said, s) }})
	require.NoError(t, err)
	run := config.DefaultRun()
	require.NoError(t, c.Decode(&run))
	return run, said
}

// A file of all of Ultralytics' arguments is a configuration as it stands: each
// name is taken, or left out for a reason that is told.
func TestUltralyticsArgumentsRun(t *testing.T) {
	text, err := os.ReadFile("testdata/ultralytics-args.yaml")
	require.NoError(t, err)
	m, err := config.Migrate("args.yaml", text)
	require.NoError(t, err)
	require.Equal(t, "ultralytics", m.Kind)
	require.Greater(t, len(m.Mapped)+len(m.Dropped), 110)
	for _, d := range m.Dropped {
		require.NotEmpty(t, d.Note, d.From)
		require.NotContains(t, d.Note, "unknown", d.From)
	}
	run, said := composed(t, "args", map[string]string{"args.yaml": string(text)}, "training.epochs=3")
	require.Equal(t, "yolo11n", run.Model.ArchitectureName())
	require.Equal(t, "true", run.Model.PretrainedFrom())
	require.Equal(t, "animals.yaml", run.Data.Root)
	require.Equal(t, "auto", run.Training.Optimizer)
	require.Equal(t, 3, run.Training.Epochs)
	require.Equal(t, 64, run.Training.NBS)
	require.Equal(t, 0.7, run.Evaluation.IoU)
	require.Equal(t, uint64(0), run.Seed)
	require.Equal(t, "detection", run.Task)
	require.Empty(t, run.Data.Augment.Auto, "randaugment acts on classifiers only there")
	require.Zero(t, run.Data.Augment.Erasing)
	require.Len(t, said, 2)
	require.Contains(t, said[0], "mosaic is data.augment.mosaic")
	require.Contains(t, said[1], "overlap_mask")
}

func TestUltralyticsValuesAreTurned(t *testing.T) {
	run, _ := composed(t, "args", map[string]string{"args.yaml": "task: detect\nmode: predict\nmodel: runs/best.pt\nsource: pictures\nconf: 0.4\nhalf: true\nagnostic_nms: true\naugment: true\nmax_det: 50\ndevice: 0\nbatch: 0.7\nfreeze: 2\nmulti_scale: true\nsingle_cls: true\ncache: ram\nsave_period: -1\namp: false\n"})
	require.Equal(t, "runs/best.pt", run.Model.Weights)
	require.Equal(t, "pictures", run.Predict.Source)
	p := run.Predict
	require.Equal(t, []any{0.4, true, true, true, 50}, []any{p.Conf, p.Half, p.AgnosticNMS, p.Augment, p.MaxDet})
	require.Equal(t, config.DefaultRun().Evaluation, run.Evaluation, "mode is predict")
	require.Equal(t, "cuda:0", run.Training.Device)
	require.Equal(t, -1, run.Training.Batch)
	require.Equal(t, 0.7, run.Training.BatchMemory)
	require.Equal(t, []string{"model.0", "model.1"}, run.Model.Freeze)
	require.Equal(t, 0.5, run.Data.Augment.MultiScale)
	require.Equal(t, "wildlife", run.Data.SingleClass)
	require.Equal(t, "ram", run.Data.Cache)
	require.Equal(t, "fp32", run.Training.Precision)

	for model, want := range map[string][3]string{
		"yolov8s.yaml": {"yolov8s", "", "false"}, "yolo11m.pt": {"yolo11m", "", "true"}, "own/yolo11x.pt": {"yolo11n", "own/yolo11x.pt", "false"},
		"best.pt": {"yolo11n", "best.pt", "false"}, "own/net.yaml": {"own/net.yaml", "", "false"},
	} {
		run, _ := composed(t, "args", map[string]string{"args.yaml": "imgsz: 640\nmodel: " + model + "\n"})
		require.Equal(t, want, [3]string{run.Model.ArchitectureName(), run.Model.Weights, strings.ToLower(run.Model.Pretrained)}, model)
	}
}

// Other programs' names below model: and training: are taken, in files and on the
// command line; what comes later counts.
func TestForeignNamesInOurTree(t *testing.T) {
	mine := "defaults: [main, _self_]\nmodel: {freeze: 3, architecture_file: yolov8s}\ntraining: {mosaic: 0.5, amp: true, hsv_h: 0.1, verbose: true, batch: 8, iou: 0.6}\n"
	run, said := composed(t, "mine", map[string]string{"mine.yaml": mine})
	require.Equal(t, 0.5, run.Data.Augment.Mosaic)
	require.Equal(t, 0.1, run.Data.Augment.HSVH)
	require.Equal(t, "auto", run.Training.Precision)
	require.Equal(t, 0.6, run.Evaluation.IoU)
	require.Equal(t, 8, run.Training.Batch)
	require.Equal(t, "yolov8s", run.Model.ArchitectureName())
	require.Equal(t, []string{"model.0", "model.1", "model.2"}, run.Model.Freeze)
	require.Len(t, said, 6)
	require.True(t, slices.Contains(said, "training.mosaic is called data.augment.mosaic here"), "%q", said)

	run, said = composed(t, "mine", map[string]string{"mine.yaml": mine}, "data.augment.mosaic=0", "training.hsv_h=0.2", "training.single_cls=true", "model.freeze=[0,4]", "prediction.tile=640", "prediction.overlap=0.3")
	require.Zero(t, run.Data.Augment.Mosaic)
	require.Equal(t, 0.2, run.Data.Augment.HSVH)
	require.Equal(t, "wildlife", run.Data.SingleClass)
	require.Equal(t, []string{"model.0", "model.4"}, run.Model.Freeze)
	require.Equal(t, 640, run.Predict.Tile)
	require.Equal(t, 0.3, run.Predict.Overlap)
	require.Contains(t, said, "prediction.tile is called predict.tile here")

	run, _ = composed(t, "main", nil, "model.freeze=[model.0.conv,head]")
	require.Equal(t, []string{"model.0.conv", "head"}, run.Model.Freeze, "names stay as they are")
	_, err := config.Compose(config.Options{Overrides: []string{"training.mosaik=1"}})
	require.Error(t, err)
	_, err = config.Compose(config.Options{Overrides: []string{"prediction.tiel=1"}})
	require.NoError(t, err, "Decode tells")
}

// The reference's own file runs as it is.
func TestReferencesFilesRun(t *testing.T) {
	run, said := composed(t, "yolo", map[string]string{"yolo.yaml": referenceSchemas["detection"]}, "training.epochs=7")
	require.Equal(t, 7, run.Training.Epochs)
	require.Equal(t, "w.pt", run.Model.Weights)
	require.Equal(t, []int{9, 9}, run.Data.Curriculum.Freeze)
	require.Equal(t, []float64{1e-3, 1e-4}, run.Data.Curriculum.LR0s)
	require.Equal(t, config.Pretraining{Format: "auto", Epochs: 10, LR0: 1e-4, LRF: 0.1}, run.Pretraining)
	require.Contains(t, strings.Join(said, "\n"), "train.lr0 is training.lr0")
	run, _ = composed(t, "cls", map[string]string{"cls.yaml": referenceSchemas["classification"]})
	require.Equal(t, "vit_base_patch14_reg4_dinov2", run.Model.ArchitectureName())
}
