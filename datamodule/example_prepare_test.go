package datamodule_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wildtrain/sdk/datamodule"
)

// From one dataset to another: leaks are looked for, pictures divided anew by
// flight and by what they show, and written as a YOLO folder.
func ExampleMakeSplits() {
	cfg := datamodule.DefaultConfig()
	cfg.Root = "../testdata/wildata"
	cfg.Datasets = []string{"savanna"}
	data, err := datamodule.NewDetection(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer data.Close()
	ctx := context.Background()
	splits, err := data.Pictures(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	leaks, err := datamodule.FindLeaks(ctx, splits, datamodule.DefaultLeakOptions())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range leaks {
		fmt.Println(l.Kind, l.A.ID, l.B.ID)
	}

	flight, err := datamodule.ByName(`^flight\d+`)
	if err != nil {
		fmt.Println(err)
		return
	}
	var all []datamodule.Record
	for _, s := range splits {
		all = append(all, s.Records...)
	}
	looks, err := datamodule.ByLooks(ctx, all, datamodule.DefaultLeakOptions())
	if err != nil {
		fmt.Println(err)
		return
	}
	made, err := datamodule.MakeSplits(all, data.Classes(), datamodule.SplitConfig{
		Train: 0.8, Val: 0.2, Group: []datamodule.Grouping{flight, looks}, Seed: 1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	dir, err := os.MkdirTemp("", "splits")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	out, err := datamodule.Convert(ctx, filepath.Join(dir, "yolo"), datamodule.YOLO, data.Classes(), made, datamodule.ConvertOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(made[0].Records), "and", len(made[1].Records), "pictures;", out.Boxes, "boxes,", out.LostCrowd, "of them no longer marked as groups")
	// Output:
	// near duplicate savanna/images/train/flight06_0006.jpg savanna/images/test/flight09_0007.jpg
	// 70 and 20 pictures; 609 boxes, 2 of them no longer marked as groups
}
