// Command train is the program of the README: it trains a model on a folder of
// pictures with the SDK alone, no command line and no configuration files. Whether
// it detects or classifies is a matter of one line.
//
//	go run ./examples/train testdata/wildata 3
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/pipeline"
	"github.com/wildtrain/sdk/wildtrain"
)

// architecture is that line: "resnet18" classifies the animals instead.
const architecture = "yolo11n"

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: train FOLDER EPOCHS")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	epochs, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = train(ctx, os.Args[1], epochs)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func train(ctx context.Context, root string, epochs int) error {
	s := pipeline.DefaultSettings()
	s.Model.Architecture, s.Model.ImageSize = architecture, 320
	s.Data.Root, s.Loop.Epochs = root, epochs
	parts, err := new(pipeline.Env).Parts(ctx, s)
	if err != nil {
		return err
	}
	defer parts.Close()
	run, err := checkpoint.CreateRun("runs", "sdk", "")
	if err != nil {
		return err
	}
	trainer, err := wildtrain.NewTrainer(parts.Loop,
		wildtrain.WithMetrics(parts.Metric),
		wildtrain.WithCallbacks(append(parts.Callbacks, wildtrain.NewConsole(os.Stderr, false))...),
		wildtrain.WithSaver(run))
	if err != nil {
		return err
	}
	result, err := trainer.Fit(ctx, parts.Model, parts.Data)
	if err != nil {
		return err
	}
	fmt.Printf("best %s %.3f, weights in %s\n", result.Monitor, result.Best, result.BestPath)
	return nil
}
