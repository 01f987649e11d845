package main

import (
	"context"
	"fmt"

	"github.com/wildtrain/sdk/pipeline"
)

func (a *app) export() verb {
	return verb{
		name: "export", short: "Write a model for programs that do not know WildTrain", settings: true,
		long: "The format is TorchScript: `torch.jit.load(FILE)` in Python, `torch::jit::load` in C++. What goes in\n" +
			"is float32 (N, 3, H, W), RGB in 0..1, of the size that the model was trained for or `training.imgsz`\n" +
			"says. A detector of YOLO's kind gives (N, 4+classes, anchors): centre and size of boxes in pixels,\n" +
			"then probabilities, before suppression. A classifier normalises and gives probabilities.",
		keys: []key{
			{"weights", "RUN_OR_FILE", true, "run folder, folder of a model, .safetensors or .pt file"},
			{"format", "FORMAT", false, "torchscript, which is the only one"},
			{"out", "FILE", false, "file to write; `RUN/model/model.torchscript.pt`, or beside the file, unless given"},
		},
		example: "wildtrain export weights=runs/elephants/first format=torchscript\n" +
			"wildtrain export weights=model.safetensors training.imgsz=1280 out=elephants.pt --json",
		json: []result{{"out format", "the file and what it is"}, {"input output", "shapes of the tensors; −1 stands for any number of pictures"}},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			s, err := pipeline.ComposeFor(own["weights"], a.options(overrides))
			if err != nil {
				return err
			}
			format := own["format"]
			if format == "" {
				format = pipeline.TorchScript
			}
			x, err := a.env().Export(ctx, s, format, own["out"])
			if err != nil {
				return err
			}
			if a.json {
				return a.print(x)
			}
			fmt.Fprintf(a.out, "%s: %v → %v\n", x.Path, x.Input, x.Output)
			return nil
		},
	}
}
