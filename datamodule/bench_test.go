package datamodule_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

// BenchmarkLoader makes augmented training pictures of 640 px. WILDTRAIN_BENCH
// names another dataset than the fixture (a set of 1280×960 JPEGs, say).
func BenchmarkLoader(b *testing.B) {
	for _, workers := range []int{0, 2} {
		for _, cache := range []string{datamodule.CacheNone, datamodule.CacheRAM} {
			b.Run(fmt.Sprintf("workers=%d/cache=%s", workers, cache), func(b *testing.B) {
				c := datamodule.DefaultConfig()
				c.Root, c.Workers, c.Cache = fixture, workers, cache
				if root := os.Getenv("WILDTRAIN_BENCH"); root != "" {
					c.Root = root
				}
				d := open(b, c, wildtrain.Train)
				images, epoch := 0, 0
				cpu := cpuTime()
				for b.Loop() {
					l, err := d.Loader(wildtrain.Train, wildtrain.Position{Epoch: epoch, World: 1})
					if err != nil {
						b.Fatal(err)
					}
					for batch, err := range l.Batches(context.Background()) {
						if err != nil {
							b.Fatal(err)
						}
						images += batch.Len()
						batch.Release()
					}
					epoch++
				}
				b.ReportMetric(float64(images)/b.Elapsed().Seconds(), "images/s")
				b.ReportMetric(float64(images)/(cpuTime()-cpu).Seconds(), "images/cpu-s")
			})
		}
	}
}

// cpuTime is what the process has used, for figures on a busy machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
