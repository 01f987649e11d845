// Command train is the program of the README: it trains a YOLO detector on a
// WilData folder with the SDK alone, no command line and no configuration files.
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
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/wildtrain"
)

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
	cfg := datamodule.DefaultConfig()
	cfg.Root, cfg.ImageSize, cfg.Epochs = root, 320, epochs
	data, err := datamodule.NewDetection(cfg)
	if err != nil {
		return err
	}
	defer data.Close()
	model, err := detection.NewYOLO(detection.DefaultYOLO("yolo11n", wildtrain.Names(data.Classes())))
	if err != nil {
		return err
	}
	defer model.Close()
	run, err := checkpoint.CreateRun("runs", "sdk", "")
	if err != nil {
		return err
	}
	metric, err := evaluate.NewDetection(evaluate.DefaultDetectionConfig(wildtrain.Names(data.Classes())))
	if err != nil {
		return err
	}
	loop := wildtrain.DefaultConfig()
	loop.Epochs, loop.Batch = epochs, cfg.Batch
	trainer, err := wildtrain.NewTrainer(loop,
		wildtrain.WithMetrics(metric),
		wildtrain.WithCallbacks(wildtrain.NewConsole(os.Stderr, false)),
		wildtrain.WithSaver(run))
	if err != nil {
		return err
	}
	result, err := trainer.Fit(ctx, model, data)
	if err != nil {
		return err
	}
	fmt.Printf("best %s %.3f, weights in %s\n", result.Monitor, result.Best, result.BestPath)
	return nil
}
