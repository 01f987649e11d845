package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// AutoBatch as a number of pictures stands for as many as fit into the memory.
const AutoBatch = -1

// Bounds of an automatic batch. On a processor more pictures than the recipes'
// own batch make nothing faster.
const (
	mostOnGPU = 256
	mostOnCPU = 16
)

// fitBatch chooses the number of pictures per batch, where the settings leave it open.
func (e *Env) fitBatch(ctx context.Context, s *Settings) error {
	if s.Loop.Batch != AutoBatch {
		return nil
	}
	device, err := torch.ParseDevice(s.Hardware.Device)
	if err != nil {
		return err
	}
	n := 0
	if device.IsCUDA() {
		n, err = e.largestBatch(ctx, *s)
		n = int(s.Hardware.BatchMemory * float64(n))
	} else {
		n, err = e.batchByRule(ctx, *s)
	}
	if err != nil {
		return fmt.Errorf("pipeline: find the batch that fits: %w", err)
	}
	s.Loop.Batch = max(n, 1)
	s.remember("training.batch=" + strconv.Itoa(s.Loop.Batch))
	e.log().Info("batch by memory", "pictures", s.Loop.Batch, "share", s.Hardware.BatchMemory)
	return nil
}

// remember adds an override to those that the run folder keeps, so that a resumed
// run goes on with what was found out.
func (s *Settings) remember(override string) {
	text, ok := s.Files[overridesFile]
	if !ok {
		return
	}
	s.Files = maps.Clone(s.Files)
	before := strings.TrimSuffix(strings.TrimSpace(string(text)), "[]")
	s.Files[overridesFile] = []byte(strings.TrimLeft(before+"\n- "+override+"\n", "\n"))
}

// largestBatch trains on batches twice as large again and again, until the
// device's memory is used up, and returns the last that fitted.
func (e *Env) largestBatch(ctx context.Context, s Settings) (int, error) {
	fits := 0
	for n := 1; n <= mostOnGPU; n *= 2 {
		s.Loop.Batch = n
		err := e.tryBatch(ctx, s)
		if err != nil && strings.Contains(err.Error(), "out of memory") && fits > 0 {
			break
		}
		if err != nil {
			return 0, err
		}
		fits = n
	}
	return fits, nil
}

// tryBatch makes one step of training that is thrown away.
func (e *Env) tryBatch(ctx context.Context, s Settings) (err error) {
	_, data, m, err := e.parts(ctx, &s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close(), data.Close()) }()
	l, err := data.Loader(wildtrain.Train, wildtrain.Position{World: 1})
	if err != nil {
		return err
	}
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return err
		}
		_, err = m.TrainStep(ctx, b, wildtrain.Step{Scale: 1})
		return err
	}
	return wildtrain.ErrEmpty
}

// batchByRule is the batch that a processor's memory holds, by a rule: a picture
// of 640 px takes a YOLO11n 318 MiB in training in float32, besides 196 MiB once
// (measured, see bench/RESULTS.md), which grows with the area and nearly with the
// parameters, and is half as much in half precision.
func (e *Env) batchByRule(ctx context.Context, s Settings) (_ int, err error) {
	s.Loop.Batch = 1
	_, data, m, err := e.parts(ctx, &s)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close(), data.Close()) }()
	free, err := freeMemory()
	if err != nil {
		return 0, err
	}
	c, err := s.computing(e.log())
	if err != nil {
		return 0, err
	}
	return byRule(s.Hardware.BatchMemory*free, float64(s.Model.ImageSize), float64(m.Describe().Parameters), c.precision != torch.Float), nil
}

// byRule is the number of pictures of a side that bytes of memory hold.
func byRule(bytes, side, parameters float64, half bool) int {
	const once = 200 << 20
	each := float64(320<<20) * (side / 640) * (side / 640) * math.Pow(parameters/2.6e6, 0.85)
	if half {
		each /= 2
	}
	return min(max(int((bytes-once)/each), 1), mostOnCPU)
}

// freeMemory is what this process may take, in bytes: what the machine has
// available, or what a container's limit leaves.
func freeMemory() (float64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, errors.New("this system does not tell its free memory: name training.batch")
	}
	defer f.Close()
	free := 0.0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "MemAvailable:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				return 0, fmt.Errorf("read /proc/meminfo: %w", err)
			}
			free = kib * 1024
		}
	}
	limit, ok := cgroup("memory.max")
	if used, known := cgroup("memory.current"); ok && known {
		free = min(free, limit-used)
	}
	return max(free, 0), nil
}

// cgroup reads a number of the process's control group; "max" is none.
func cgroup(name string) (float64, bool) {
	text, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", name))
	if err != nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	return v, err == nil
}
