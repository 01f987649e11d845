package wildtrain_test

import (
	"context"
	"fmt"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// Training is a configuration, a model and a data module; everything else is an
// option. Here the model is a softmax regression and the data are made up, so
// that the example needs neither libtorch nor files.
func ExampleNewTrainer() {
	data := wildtraintest.NewBlobs(60, 10)
	model := wildtraintest.ForBlobs(data, 1)
	defer model.Close()

	cfg := wildtrain.DefaultConfig()
	cfg.Epochs, cfg.Batch, cfg.NominalBatch = 12, 10, 20
	cfg.EMATau = 10 // short runs want a quick average
	trainer, err := wildtrain.NewTrainer(cfg,
		wildtrain.WithMetrics(&wildtraintest.Accuracy{}),
		wildtrain.WithSaver(&wildtraintest.Memory{}),
		wildtrain.WithCallbacks(wildtrain.CallbackFunc(func(_ context.Context, e *wildtrain.Event) error {
			if e.Kind == wildtrain.EpochEnd && e.Progress.Epoch%4 == 0 {
				fmt.Println("epoch", e.Progress.Epoch, "of", e.Epochs)
			}
			return nil
		})))
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := trainer.Fit(context.Background(), model, data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s above 0.9: %v, saved as %s\n", result.Monitor, result.Best > 0.9, result.BestPath)
	// Output:
	// epoch 4 of 12
	// epoch 8 of 12
	// epoch 12 of 12
	// accuracy above 0.9: true, saved as memory:best
}

// A callback ends training in good order with ErrStop.
func ExampleCallbackFunc() {
	stop := wildtrain.CallbackFunc(func(_ context.Context, e *wildtrain.Event) error {
		if e.Kind == wildtrain.EpochEnd && e.Progress.Epoch == 2 {
			return fmt.Errorf("the tea is ready: %w", wildtrain.ErrStop)
		}
		return nil
	})
	data := wildtraintest.NewBlobs(60, 10)
	trainer, err := wildtrain.NewTrainer(wildtrain.DefaultConfig(), wildtrain.WithCallbacks(stop))
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := trainer.Fit(context.Background(), wildtraintest.ForBlobs(data, 1), data)
	fmt.Println(result.Stopped, "after epoch", result.Progress.Epoch, err)
	// Output:
	// the tea is ready: wildtrain: stop requested after epoch 2 <nil>
}
