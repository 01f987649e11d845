// Command ours times our side of the comparison in bench/speed: end-to-end
// training images per second with the loader and the default augmentation,
// validation excluded, and peak memory. Its last line of output is JSON, as
// that of peer_train.py.
//
//	go run ./bench/speed/ours -data testdata/wildata -steps 16 -threads 2 [-precision bf16]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/wildtrain/sdk/pipeline"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

func main() {
	root := flag.String("data", "testdata/wildata", "WilData folder")
	model := flag.String("model", "yolo11n", "architecture")
	precision := flag.String("precision", "fp32", "fp32 or bf16")
	steps := flag.Int("steps", 16, "timed steps")
	skip := flag.Int("skip", 3, "steps before")
	batch := flag.Int("batch", 8, "pictures per step")
	size := flag.Int("imgsz", 640, "side of pictures")
	threads := flag.Int("threads", 2, "of one operation")
	workers := flag.Int("workers", 2, "goroutines that make pictures")
	cache := flag.String("cache", "none", "none or ram")
	layout := flag.String("channels_last", "auto", "true, false or auto")
	flag.Parse()

	s := pipeline.DefaultSettings()
	s.Data.Root, s.Data.Datasets, s.Data.Workers, s.Data.Cache = *root, []string{"savanna"}, *workers, *cache
	s.Model.Architecture, s.Model.ImageSize = *model, *size
	s.Loop.Epochs, s.Loop.Batch, s.Loop.ValidateEvery = 1000, *batch, 0
	s.Hardware.Device, s.Hardware.Precision, s.Hardware.Threads, s.Hardware.ChannelsLast = "cpu", *precision, *threads, *layout
	dir, err := os.MkdirTemp("", "speed")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.Runs = dir
	seconds, images, err := timed(s, *skip, *steps)
	os.RemoveAll(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // zero where it fails
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"images_per_second": float64(images) / seconds, "seconds_per_step": seconds / float64(*steps),
		"steps": *steps, "skipped": *skip, "peak_rss_mib": usage.Maxrss / 1024, "threads": torch.Threads(),
		"workers": *workers, "precision": *precision, "libtorch": torch.Version(),
	})
}

// timed trains for skip+steps steps and times the last ones.
func timed(s pipeline.Settings, skip, steps int) (seconds float64, images int64, err error) {
	var from, to time.Time
	var before, after int64
	n := 0
	var e pipeline.Env
	e.Callbacks = []wildtrain.Callback{wildtrain.CallbackFunc(func(_ context.Context, ev *wildtrain.Event) error {
		if ev.Kind != wildtrain.StepEnd {
			return nil
		}
		switch n++; n {
		case skip:
			from, before = time.Now(), ev.Progress.Images
		case skip + steps:
			to, after = time.Now(), ev.Progress.Images
			return wildtrain.ErrStop
		}
		return nil
	})}
	_, err = e.Train(context.Background(), s)
	if err == nil && to.IsZero() {
		err = errors.New("the training ended before the last timed step")
	}
	return to.Sub(from).Seconds(), after - before, err
}
