package config_test

import (
	"fmt"
	"testing/fstest"

	"github.com/wildtrain/sdk/config"
)

func ExampleCompose() {
	c, err := config.Compose(config.Options{Overrides: []string{"model=yolov8s", "training.epochs=3", "data.augment.mosaic=0"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	run := config.DefaultRun()
	if err := c.Decode(&run); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Model.ArchitectureName(), run.Training.Epochs, run.Data.Augment.Mosaic)
	// Output: yolov8s 3 0
}

// A typo is found where it was made.
func ExampleConfig_Decode() {
	tree := fstest.MapFS{"main.yaml": {Data: []byte("training:\n  epochs: 3\n  btach: 8\n")}}
	c, err := config.Compose(config.Options{Foreign: true, Sources: []*config.Source{config.TreeSource("mine", "mine", tree)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	run := config.DefaultRun()
	fmt.Println(c.Decode(&run))
	// Output: mine/main.yaml:3:3: training.btach: unknown key (did you mean "training.batch"?)
}

func ExampleConfig_Explain() {
	c, err := config.Compose(config.Options{Overrides: []string{"training=finetune", "training.lr0=0.1"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := c.Explain("training.lr0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(x)
	// Output:
	// training.lr0 = 0.1
	//   from     0.1  at override training.lr0=0.1
	//   replaced 0.001  at shipped/training/finetune.yaml:8:1  (listed by main)
	//   replaced 0.01  at shipped/training/default.yaml:6:1  (listed by training/finetune, by main)
}
