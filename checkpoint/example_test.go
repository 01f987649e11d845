package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/wildtrain"
)

// A checkpoint as Ultralytics writes it: a whole pickled module, averaged
// weights in half precision beside the raw ones.
func ExampleOpen() {
	f, err := checkpoint.Open("testdata/nested_ema.pt")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	fmt.Println(f.Format(), "took", f.Chosen(), "of epoch", f.Metadata()["epoch"], "with classes", f.Classes())
	for _, name := range f.Names()[:3] {
		info, _ := f.Info(name)
		fmt.Println(name, info.DType, info.Shape)
	}
	// Output:
	// torch-zip took ema of epoch 3 with classes [lion zebra]
	// anchors float16 [2 3]
	// head.bias float16 [2]
	// head.weight float16 [2 4]
}

// A pickle can name any function of Python's. Here nothing is ever called, and
// what does not belong in a weights file is refused.
func ExampleOpen_refused() {
	_, err := checkpoint.Open("testdata/evil_system.pt")
	var g *checkpoint.GlobalError
	fmt.Println(errors.Is(err, checkpoint.ErrForbidden), errors.As(err, &g) && g.Name == "system")
	// Output: true true
}

// Weights from one format into the other.
func ExampleExport() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	f, err := checkpoint.Open("testdata/lightning.ckpt")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	out := filepath.Join(dir, "head.safetensors")
	if err := checkpoint.Export(out, checkpoint.Trim(f, "head."), nil); err != nil {
		log.Fatal(err)
	}
	head, err := checkpoint.Open(out)
	if err != nil {
		log.Fatal(err)
	}
	defer head.Close()
	fmt.Println(head.Format(), head.Names())
	// Output: safetensors [bias weight]
}

// A run saves and brings back; the live states are filled in place.
func ExampleRun() {
	root, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	run, err := checkpoint.CreateRun(root, "savanna", "first")
	if err != nil {
		log.Fatal(err)
	}
	weights := []byte{1, 2, 3}
	live, err := checkpoint.Tensors(checkpoint.Tensor{Name: "w", DType: wildtrain.Uint8, Shape: []int64{3}, Data: weights})
	if err != nil {
		log.Fatal(err)
	}
	s := &wildtrain.Snapshot{Which: "last", Model: live, Progress: wildtrain.Progress{Epoch: 4}}
	if _, err := run.Save(context.Background(), s); err != nil {
		log.Fatal(err)
	}
	copy(weights, []byte{9, 9, 9})
	back := &wildtrain.Snapshot{Model: live}
	if err := run.Load(context.Background(), "last", back); err != nil {
		log.Fatal(err)
	}
	fmt.Println(weights, back.Progress.Epoch)
	// Output: [1 2 3] 4
}
