// Command find loads trained weights and tells what is in one picture.
//
//	go run ./examples/find runs/wildlife_detection/RUN picture.jpg
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/wildtrain"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: find WEIGHTS PICTURE")
		os.Exit(2)
	}
	if err := find(context.Background(), os.Stdout, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// find prints the objects in a picture, in its own coordinates.
func find(ctx context.Context, w io.Writer, weights, picture string) error {
	model, err := load(weights)
	if err != nil {
		return err
	}
	defer model.Close()
	about := model.Describe()
	cfg := datamodule.DefaultConfig()
	cfg.ImageSize, cfg.Stride = about.InputSize[0], about.Stride
	data, err := datamodule.Images(cfg, picture)
	if err != nil {
		return err
	}
	defer data.Close()
	if err := data.Setup(ctx, wildtrain.Test); err != nil {
		return err
	}
	loader, err := data.Loader(wildtrain.Test, wildtrain.Position{World: 1})
	if err != nil {
		return err
	}
	for batch, err := range loader.Batches(ctx) {
		if err != nil {
			return err
		}
		found, err := model.Predict(ctx, batch) // one for each picture of the batch
		if err != nil {
			return err
		}
		for _, o := range found[0].Objects {
			fmt.Fprintf(w, "%-15s %.2f  at (%.0f, %.0f), %.0f × %.0f px\n", about.Classes[o.Class], o.Score, o.Box.X1, o.Box.Y1, o.Box.Width(), o.Box.Height())
		}
	}
	return nil
}

// load makes the model that a run folder or a file of this SDK describes.
func load(path string) (*detection.YOLO, error) {
	weights, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer weights.Close()
	about, ok := weights.Description()
	if !ok {
		return nil, errors.New(path + " does not say what model it is")
	}
	cfg := detection.DefaultYOLO(about.Architecture, about.Classes)
	cfg.InputSize, cfg.Weights, cfg.Postprocess = about.InputSize[0], weights, detection.PredictPostprocess()
	model, err := detection.NewYOLO(cfg)
	if err != nil {
		return nil, err
	}
	return model, model.Fuse()
}
