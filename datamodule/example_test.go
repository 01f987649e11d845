package datamodule_test

import (
	"context"
	"fmt"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

// A WilData tree, without what is no animal.
func ExampleNewDetection() {
	cfg := datamodule.DefaultConfig()
	cfg.Root = "../testdata/wildata"
	cfg.Datasets = []string{"savanna"}
	cfg.Discard = []string{"termite mound"}
	cfg.ImageSize, cfg.Batch = 320, 4

	data, err := datamodule.NewDetection(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer data.Close()
	ctx := context.Background()
	if err := data.Setup(ctx, wildtrain.Train); err != nil {
		fmt.Println(err)
		return
	}
	report := data.Report(wildtrain.Train)
	fmt.Println(report.Images, "pictures,", report.Negatives, "without boxes")
	for i, class := range data.Classes() {
		fmt.Println(class.Name, report.PerClass[i])
	}
	loader, err := data.Loader(wildtrain.Train, wildtrain.Position{Epoch: 0, World: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	for batch, err := range loader.Batches(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(loader.Len(), "batches of", batch.Len(), "at", batch.Pixels.Height, "by", batch.Pixels.Width)
		batch.Release()
		break
	}
	// Output:
	// 60 pictures, 10 without boxes
	// impala 134
	// zebra 85
	// giraffe 30
	// elephant 51
	// Waterbuck 72
	// 15 batches of 4 at 320 by 320
}
