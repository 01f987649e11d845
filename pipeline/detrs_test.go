package pipeline

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// RT-DETR goes the whole way as a YOLO does; only its name is another one.
func TestRTDETRGoesTheWholeWay(t *testing.T) {
	s := tiny(t)
	s.Model.Architecture = "rtdetr_r18vd"
	wholeWay(t, s)
}

// What a transformer answers, and its detections, come out of Forward by name.
func TestTransformersOutputs(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.safetensors")
	root := torch.NewRoot(torch.CPU)
	defer root.Close()
	require.NoError(t, checkpoint.Export(in, torch.State{"images": root.Full(0.5, torch.Float, 2, 3, 64, 96)}, nil))
	for name, classes := range map[string]int64{"detr_resnet18": 4, "facebook/detr-resnet-18": 4, "deformable_detr_resnet18": 3} {
		s := DefaultSettings()
		s.Model.Architecture, s.Model.Classes = name, []string{"a", "b", "c"}
		require.NoError(t, new(Env).Forward(context.Background(), s, in, out))
		f, err := checkpoint.Open(out)
		require.NoError(t, err)
		logits, _ := f.Info("logits")
		boxes, _ := f.Info("boxes")
		require.Equal(t, []int64{2, boxes.Shape[1], classes}, logits.Shape, name)
		require.Equal(t, int64(4), boxes.Shape[2])
		scores, ok := f.Info("1.scores")
		require.True(t, ok)
		found, _ := f.Info("1.boxes")
		require.Equal(t, []int64{scores.Shape[0], 4}, found.Shape)
		_, ok = f.Info("1.labels")
		require.True(t, ok)
		require.NoError(t, f.Close())
	}
}

func TestTransformersHaveRecipes(t *testing.T) {
	for name, backbone := range map[string]string{"detection/detr": "resnet50", "detection/deformable_detr": "resnet50", "detection/rtdetr": ""} {
		s, err := Compose(config.Options{Name: name, Overrides: []string{"data.root=x"}})
		require.NoError(t, err, name)
		require.InDelta(t, 0.1, s.Loop.ClipNorm, 0)
		require.Equal(t, backbone, backboneOf(s.Model.Architecture))
	}
}

// Where nobody chose an optimiser, that of YOLO's recipes would not do.
func TestTransformersOptimizer(t *testing.T) {
	for name, want := range map[string]float64{"rtdetr_r18vd": 1e-4, "yolov8n": 0.01, "fasterrcnn_resnet18_fpn": 0.01} {
		s := DefaultSettings()
		s.Model.Architecture, s.Optimizer = name, wildtrain.DefaultOptimizer("SGD")
		new(Env).adaptOptimizer(&s)
		require.InDelta(t, want, s.Optimizer.LR, 0, name)
	}
	s := DefaultSettings()
	s.Model.Architecture, s.Optimizer = "rtdetr_r18vd", wildtrain.DefaultOptimizer("SGD")
	s.Optimizer.LR = 0.02
	new(Env).adaptOptimizer(&s)
	require.Equal(t, "SGD", s.Optimizer.Name, "what is chosen stays")
}
