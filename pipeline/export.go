package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/torch/jit"
)

// TorchScript is the format that Export writes.
const TorchScript = "torchscript"

// Exported tells of a file that Export has written.
type Exported struct {
	Path   string  `json:"out"`
	Format string  `json:"format"`
	Input  []int64 `json:"input"`  // shape of the float32 pictures, 0..1, that go in; −1 stands for any number
	Output []int64 `json:"output"` // of what comes out
}

// Export writes the model of s for programs that do not know this SDK. The format
// is TorchScript, in float32: a detector of YOLO's kind gives (N, 4+classes,
// anchors), boxes as centre and size in pixels, then probabilities, before
// suppression; a classifier normalises and gives probabilities (N, classes). For
// pictures of another size give Model.ImageSize. Without out the file lies in the
// folder of the model, where registering finds it, or beside the weights.
func (e *Env) Export(ctx context.Context, s Settings, format, out string) (*Exported, error) {
	if format != TorchScript {
		return nil, badSettings(fmt.Errorf("pipeline: export: unknown format %q: want %s", format, TorchScript))
	}
	if out == "" {
		out = scriptPath(s.Model.Weights)
	}
	x, _, err := e.export(ctx, s, out)
	return x, err
}

// export also gives the version of libtorch that wrote.
func (e *Env) export(ctx context.Context, s Settings, out string) (x *Exported, version string, err error) {
	s.Hardware.Device, s.Hardware.Precision, s.Hardware.ChannelsLast = "cpu", "fp32", "false"
	m, _, err := e.open(&s)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	about := m.Describe()
	scripter, ok := m.(jit.Scripter)
	if !ok {
		return nil, "", fmt.Errorf("pipeline: export %s: %w", about.Architecture, jit.ErrNone)
	}
	script, err := scripter.Script()
	if err != nil {
		return nil, "", err
	}
	w, err := script.Save(ctx, out, int64(about.InputSize[0]), int64(about.InputSize[1]))
	return &Exported{Path: out, Format: TorchScript, Input: w.Input, Output: w.Output}, w.Torch, err
}

// scriptPath is where the TorchScript of weights lies.
func scriptPath(weights string) string {
	for _, dir := range []string{filepath.Join(weights, "model"), weights} {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			return filepath.Join(dir, mlflow.TorchScriptFile)
		}
	}
	return strings.TrimSuffix(weights, filepath.Ext(weights)) + ".torchscript.pt"
}

// script puts the TorchScript of a model's folder into it, for those who load the
// model in Python. A model that has none is told of and stays as it is.
func (e *Env) script(ctx context.Context, dir string) error {
	s := DefaultSettings()
	s.Model.Weights, s.Model.Architecture, s.Model.ImageSize = dir, "", 0 // the folder tells
	x, version, err := e.export(ctx, s, filepath.Join(dir, mlflow.TorchScriptFile))
	if errors.Is(err, jit.ErrNone) {
		e.log().Info(err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	return checkpoint.WriteFile(filepath.Join(dir, mlflow.TracedFile), func(w io.Writer) error {
		return json.NewEncoder(w).Encode(map[string]any{"torch": version, "input": x.Input, "output": x.Output})
	})
}
