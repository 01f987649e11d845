// Command cocoeval measures detections against annotations, both COCO JSON
// files, with the numbers of pycocotools. It needs neither cgo nor libtorch.
//
//	CGO_ENABLED=0 go run ./examples/cocoeval annotations.json detections.json
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/wildtrain/sdk/evaluate"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: cocoeval ANNOTATIONS DETECTIONS")
		os.Exit(2)
	}
	if err := measure(os.Stdout, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// measure prints the twelve COCO numbers and a line for each class.
func measure(w io.Writer, annotations, detections string) error {
	summary, err := evaluate.DetectionFiles(annotations, detections, evaluate.DefaultDetectionConfig(nil))
	if err != nil {
		return err
	}
	for _, name := range []string{"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"} {
		v, _ := summary.Values.Get(name)
		fmt.Fprintf(w, "%-6s %6.3f\n", name, v)
	}
	for _, c := range summary.Classes {
		fmt.Fprintf(w, "%-20s AP %.3f of %d objects; best F1 %.3f at score %.2f\n", c.Name, c.AP, c.Truths, c.BestF1, c.BestConf)
	}
	return nil
}
