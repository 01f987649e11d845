package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/pipeline"
)

func (a *app) list() verb {
	return verb{
		name: "list", short: "List the architectures that ship", example: "wildtrain model list",
		long: "An architecture file of your own is `model.architecture=FILE.yaml`.",
		run: func(context.Context, map[string]string, []string) error {
			names := pipeline.Architectures()
			if a.json {
				return a.print(names)
			}
			fmt.Fprintln(a.out, strings.Join(names, "\n"))
			return nil
		},
	}
}

func (a *app) info() verb {
	return verb{
		name: "info", short: "Describe a model", settings: true,
		keys:    []key{{"weights", "RUN_OR_FILE", false, "run folder, .safetensors or .pt file; without it the model is described as it would be made"}},
		example: "wildtrain model info weights=runs/elephants/first\nwildtrain model info model=yolo11s model.classes=7 --json",
		json: []result{
			{"task architecture classes", "what it is and what it tells apart"},
			{"input_size", "height, width"},
			{"stride strides", "pixels of the coarsest level, and of each"},
			{"parameters fused_parameters tensors", "how many numbers, how many once fused, in how many tensors"},
			{"license", "of the weights, where they tell"},
		},
		run: func(_ context.Context, own map[string]string, overrides []string) error {
			s, err := pipeline.ComposeFor(own["weights"], a.options(overrides))
			if err != nil {
				return err
			}
			i, err := a.env().Info(s)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(i)
			}
			fmt.Fprintf(a.out, "task          %s\narchitecture  %s\nparameters    %d\ntensors       %d\ninput         %d × %d\nclasses       %s\n",
				i.Task, i.Architecture, i.Parameters, i.Tensors, i.InputSize[0], i.InputSize[1], classList(i.Classes))
			if i.Fused > 0 {
				fmt.Fprintf(a.out, "when fused    %d parameters\nstrides       %v\n", i.Fused, i.Strides)
			}
			if i.License != "" {
				fmt.Fprintf(a.out, "licence       %s\n", i.License)
			}
			return nil
		},
	}
}

// classList is the number of classes and their names, where they have any.
func classList(names []string) string {
	if slices.Contains(names, "class0") {
		return strconv.Itoa(len(names))
	}
	return fmt.Sprintf("%d %q", len(names), names)
}

func (a *app) forward() verb {
	return verb{
		name: "forward", short: "Run the raw network on stored tensors, in float32", settings: true,
		long: "How anyone compares it with another implementation: evaluation mode, nothing before or\n" +
			"after the network.",
		keys: []key{
			{"weights", "RUN_OR_FILE", true, "run folder, .safetensors or .pt file"},
			{"in", "X.safetensors", true, "file with a float32 tensor `images` (N, 3, H, W), exactly what the first layer gets"},
			{"out", "Y.safetensors", true, "file to write"},
		},
		example: "wildtrain model forward weights=W.pt in=X.safetensors out=Y.safetensors model=yolo11s model.classes=7",
		after: "Outputs of YOLO: `level0`, `level1`, … (N, 4·reg_max+nc, h, w: box bins, then class logits) and\n" +
			"`decoded` (N, 4+nc, anchors: x, y, width, height in pixels, then class probabilities);\n" +
			"of classifiers: `logits` (N, classes) and `features` (N, width).\n" +
			"Weights that this SDK wrote tell their model; for others give `model=`. The number of\n" +
			"classes is seen from the head unless `model.classes` is given.",
		json: []result{{"out", "the file that was written"}},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			s, err := pipeline.ComposeFor(own["weights"], a.options(overrides))
			if err != nil {
				return err
			}
			if err := a.env().Forward(ctx, s, own["in"], own["out"]); err != nil || !a.json {
				return err
			}
			return a.print(map[string]any{"out": own["out"]})
		},
	}
}

func (a *app) convert() verb {
	return verb{
		name: "convert", short: "Rewrite weights as .safetensors or .pt",
		long: "Whole pickled modules and nested checkpoints are read too, and nothing in them is executed.",
		keys: []key{
			{"weights", "RUN_OR_FILE", true, "run folder, .safetensors, .pt or .pth file"},
			{"out", "FILE", true, "file to write: .safetensors, .pt or .pth"},
		},
		example: "wildtrain model convert weights=W.pt out=W.safetensors",
		json:    []result{{"tensors out", "how many were written, and the file"}},
		run: func(_ context.Context, own map[string]string, _ []string) error {
			n, err := a.env().Convert(own["weights"], own["out"])
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"tensors": n, "out": own["out"]})
			}
			fmt.Fprintf(a.out, "%d tensors in %s\n", n, own["out"])
			return nil
		},
	}
}
