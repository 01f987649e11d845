// Command ours measures this SDK's training loader: images in a second and a
// core's second, and the garbage of an image. It prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

func main() {
	c := datamodule.DefaultConfig()
	c.Workers = 0
	flag.StringVar(&c.Root, "data", "", "data.yaml")
	flag.IntVar(&c.Workers, "workers", c.Workers, "goroutines that make pictures; 0 is the caller's")
	flag.StringVar(&c.Decode, "decode", c.Decode, "exact or fast")
	flag.StringVar(&c.Cache, "cache", c.Cache, "none, ram or disk")
	epochs := flag.Int("epochs", 1, "to measure, after the first batch of another one")
	profile := flag.String("profile", "", "file for a profile of the time")
	flag.Parse()
	if err := run(c, *epochs, *profile); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(c datamodule.Config, epochs int, profile string) error {
	ctx := context.Background()
	d, err := datamodule.NewDetection(c)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // the process ends
	if err := d.Setup(ctx, wildtrain.Train); err != nil {
		return err
	}
	if _, err := walk(ctx, d, 0, 1); err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin, used, images := time.Now(), cpu(), 0
	for epoch := range epochs {
		n, err := walk(ctx, d, epoch+1, math.MaxInt)
		if err != nil {
			return err
		}
		images += n
	}
	seconds, cores := time.Since(begin).Seconds(), cpu()-used
	runtime.ReadMemStats(&after)
	round := func(v float64) float64 { return math.Round(v*1000) / 1000 }
	n := float64(images)
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"side": "wildtrain " + c.Decode, "images": images, "seconds": round(seconds), "cpu_seconds": round(cores),
		"per_second": round(n / seconds), "per_core_second": round(n / cores),
		"garbage_kb": round(float64(after.TotalAlloc-before.TotalAlloc) / n / 1024),
	})
}

// walk goes through an epoch, or its first batches.
func walk(ctx context.Context, d *datamodule.Detection, epoch, batches int) (images int, err error) {
	l, err := d.Loader(wildtrain.Train, wildtrain.Position{Epoch: epoch})
	if err != nil {
		return 0, err
	}
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return images, err
		}
		images += b.Len()
		b.Release()
		if batches--; batches == 0 {
			break
		}
	}
	return images, nil
}

// cpu is what the process has used, in seconds.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
