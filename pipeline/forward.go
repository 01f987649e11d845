package pipeline

import (
	"context"
	"fmt"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Forward runs the raw network in float32 evaluation mode on the stored tensor
// "images" (N, 3, H, W) of a safetensors file and writes its outputs to another:
// for YOLO "level0", "level1", … (N, 4·reg_max+nc, h, w) and "decoded" (N, 4+nc,
// anchors), for classifiers "logits" (N, classes) and "features" (N, width). It is
// how anyone checks parity with another implementation.
func (e *Env) Forward(ctx context.Context, s Settings, in, out string) error {
	s.Hardware.Precision = "fp32"
	m, _, err := e.open(&s)
	if err != nil {
		return err
	}
	defer m.Close()
	file, err := checkpoint.Open(in)
	if err != nil {
		return err
	}
	defer file.Close()
	info, ok := file.Info("images")
	if !ok || info.DType != wildtrain.Float32 || len(info.Shape) != 4 {
		return fmt.Errorf("pipeline: forward: %s: no float32 tensor \"images\" of shape (N, 3, H, W)", in)
	}
	values, err := file.Float32("images")
	if err != nil {
		return err
	}
	return torch.Run(ctx, m.Store().Device(), torch.Inference, func(sc *torch.Scope) error {
		outputs, err := m.Forward(sc, torch.Of(sc, values, info.Shape...))
		if err != nil {
			return err
		}
		return checkpoint.Export(out, torch.State(outputs), nil)
	})
}
