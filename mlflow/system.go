package mlflow

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wildtrain/sdk/wildtrain"
)

// counters are what the system has counted since it began.
type counters struct {
	busy, total float64 // processor time, in ticks
	in, out     float64 // network, bytes
}

// sampleSystem records what MLflow's system metrics record, from /proc. Where
// that is absent it records the disk only.
func (r *Recorder) sampleSystem(ctx context.Context) {
	ticker := time.NewTicker(r.cfg.SystemEvery)
	defer ticker.Stop()
	began := readCounters()
	before := began
	sums, n, step := map[string]float64{}, 0, int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := readCounters()
		for name, v := range systemValues(began, before, now) {
			sums[name] += v
		}
		before = now
		if n++; n < r.cfg.SystemSamples {
			continue
		}
		prefix := "system/"
		if r.cfg.SystemNode != "" {
			prefix += CleanKey(r.cfg.SystemNode) + "/"
		}
		var values []wildtrain.Value
		for name, sum := range sums {
			values = append(values, wildtrain.Value{Name: prefix + name, Value: sum / float64(n)})
		}
		r.warn(r.Log(ctx, step, values...))
		sums, n, step = map[string]float64{}, 0, step+1
	}
}

// systemValues are MLflow's names: shares in percent, sizes in millions of bytes, network since the beginning.
func systemValues(began, before, now counters) map[string]float64 {
	const mega = 1e6
	out := map[string]float64{}
	if ticks := now.total - before.total; ticks > 0 {
		out["cpu_utilization_percentage"] = 100 * (now.busy - before.busy) / ticks
	}
	if total, available := memory(); total > 0 {
		out["system_memory_usage_megabytes"] = (total - available) / mega
		out["system_memory_usage_percentage"] = 100 * (total - available) / total
	}
	if total, free := disk("."); total > 0 {
		out["disk_usage_megabytes"] = (total - free) / mega
		out["disk_available_megabytes"] = free / mega
		out["disk_usage_percentage"] = 100 * (total - free) / total
	}
	if now.in > 0 || now.out > 0 {
		out["network_receive_megabytes"] = (now.in - began.in) / mega
		out["network_transmit_megabytes"] = (now.out - began.out) / mega
	}
	return out
}

func readCounters() (c counters) {
	if data, err := os.ReadFile("/proc/stat"); err == nil {
		line, _, _ := strings.Cut(string(data), "\n")
		for i, f := range strings.Fields(line) {
			v, err := strconv.ParseFloat(f, 64)
			if err != nil || i > 8 { // "cpu" itself; guest time is within user time
				continue
			}
			c.total += v
			if i != 4 && i != 5 { // idle, iowait
				c.busy += v
			}
		}
	}
	if data, err := os.ReadFile("/proc/net/dev"); err == nil {
		for _, line := range strings.Split(string(data), "\n") {
			if _, rest, ok := strings.Cut(line, ":"); ok {
				if f := strings.Fields(rest); len(f) > 8 {
					in, _ := strconv.ParseFloat(f[0], 64) // the kernel's own numbers
					out, _ := strconv.ParseFloat(f[8], 64)
					c.in, c.out = c.in+in, c.out+out
				}
			}
		}
	}
	return c
}

// memory is in bytes; total is 0 where it is not known.
func memory() (total, available float64) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	for _, line := range strings.Split(string(data), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		v, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "MemTotal:":
			total = v * 1024
		case "MemAvailable:":
			available = v * 1024
		}
	}
	return total, available
}
