// Command tensors lists what a weights file holds: a PyTorch .pt (state dict,
// nested checkpoint or whole module, read without executing anything) or a
// safetensors file. It needs neither cgo nor libtorch.
//
//	CGO_ENABLED=0 go run ./examples/tensors yolo11n.pt
package main

import (
	"fmt"
	"io"
	"math"
	"os"

	"github.com/wildtrain/sdk/checkpoint"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: tensors FILE")
		os.Exit(2)
	}
	if err := list(os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// list prints name, type, shape and root mean square of every tensor.
func list(w io.Writer, path string) error {
	file, err := checkpoint.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	total := int64(0)
	for _, name := range file.Names() {
		info, _ := file.Info(name)
		values, err := file.Float32(name) // converted, whatever the stored type
		if err != nil {
			return err
		}
		sum := 0.0
		for _, v := range values {
			sum += float64(v) * float64(v)
		}
		fmt.Fprintf(w, "%-50s %-8s %-18s rms %.4g\n", name, info.DType, fmt.Sprint(info.Shape), math.Sqrt(sum/float64(max(len(values), 1))))
		total += info.Elements()
	}
	fmt.Fprintf(w, "%d tensors, %d numbers, %s", len(file.Names()), total, file.Format())
	if classes := file.Classes(); classes != nil {
		fmt.Fprintf(w, ", classes %q", classes)
	}
	fmt.Fprintln(w)
	return nil
}
