// Command callbacks trains with a metric and a callback of its own: how far the
// counts of animals are off, and an end to training as soon as that is small.
//
//	go run ./examples/callbacks testdata/wildata
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"math"
	"os"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/wildtrain"
)

// countError is a Metric: the mean absolute error of the number of objects.
type countError struct {
	conf     float64 // from which score on a detection counts
	sum      float64
	pictures int
}

// Name implements wildtrain.Metric.
func (c *countError) Name() string { return "count_error" }

// Reset implements wildtrain.Metric.
func (c *countError) Reset() { c.sum, c.pictures = 0, 0 }

// Update implements wildtrain.Metric.
func (c *countError) Update(predictions []wildtrain.Prediction, samples []wildtrain.Sample) error {
	for i, p := range predictions {
		found := 0
		for _, o := range p.Objects {
			if o.Score >= c.conf {
				found++
			}
		}
		c.sum += math.Abs(float64(found - len(samples[i].Truth)))
		c.pictures++
	}
	return nil
}

// Compute implements wildtrain.Metric.
func (c *countError) Compute() ([]wildtrain.Value, error) {
	return []wildtrain.Value{{Name: "count_error", Value: c.sum / float64(max(c.pictures, 1))}}, nil
}

// stopBelow is a Callback that ends training in good order.
func stopBelow(limit float64, w io.Writer) wildtrain.Callback {
	return wildtrain.CallbackFunc(func(_ context.Context, e *wildtrain.Event) error {
		for _, v := range e.Values {
			if e.Kind == wildtrain.EpochEnd && v.Name == "count_error" {
				fmt.Fprintf(w, "epoch %d: counts are off by %.2f\n", e.Progress.Epoch, v.Value)
				if v.Value < limit {
					return wildtrain.ErrStop
				}
			}
		}
		return nil
	})
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: callbacks FOLDER")
	}
	if err := train(context.Background(), os.Stdout, os.Args[1], 20, 320); err != nil {
		log.Fatal(err)
	}
}

func train(ctx context.Context, w io.Writer, root string, epochs, size int) error {
	cfg := datamodule.DefaultConfig()
	cfg.Root, cfg.ImageSize, cfg.Epochs = root, size, epochs
	data, err := datamodule.NewDetection(cfg)
	if err != nil {
		return err
	}
	defer data.Close()
	model, err := detection.NewYOLO(detection.DefaultYOLO("yolov8n", wildtrain.Names(data.Classes())))
	if err != nil {
		return err
	}
	defer model.Close()
	loop := wildtrain.DefaultConfig()
	loop.Epochs, loop.Batch, loop.Monitor, loop.Mode = epochs, cfg.Batch, "count_error", "min"
	trainer, err := wildtrain.NewTrainer(loop, wildtrain.WithMetrics(&countError{conf: 0.25}), wildtrain.WithCallbacks(stopBelow(0.5, w)))
	if err != nil {
		return err
	}
	_, err = trainer.Fit(ctx, model, data)
	return err
}
