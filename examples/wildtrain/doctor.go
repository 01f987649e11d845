package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/wildtrain/sdk/pipeline"
	"github.com/wildtrain/sdk/torch"
)

// The states of a check.
const (
	good   = "ok"
	advice = "note"   // works, but could be better
	broken = "broken" // something that is needed does not work
)

// check is one line of what doctor finds.
type check struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail"`
}

func (a *app) doctor() verb {
	return verb{
		name: "doctor", short: "Check what training needs: libtorch, GPU, disk, data", settings: true,
		long: "Ends with 1 where something that is needed is broken. Data is looked at where\n" +
			"`data.root` is given.",
		example: "wildtrain doctor\nwildtrain doctor data.root=DATA training.device=cuda --json",
		json: []result{
			{"ok", "whether nothing that is needed is broken"},
			{"checks", "name, state (ok, note or broken) and detail of each"},
		},
		run: func(ctx context.Context, _ map[string]string, overrides []string) error {
			s, err := pipeline.Compose(a.options(overrides))
			if err != nil {
				return err
			}
			checks := []check{checkLibtorch(ctx), checkProcessor(), checkGPU(ctx, s.Hardware.Device), checkDisk(s.Runs), a.checkData(ctx, s)}
			return a.diagnosis(checks)
		},
	}
}

// diagnosis prints what was found; it is an error where something is broken.
func (a *app) diagnosis(checks []check) error {
	var bad []string
	for _, c := range checks {
		if c.State == broken {
			bad = append(bad, c.Name)
		}
	}
	var err error
	if len(bad) > 0 {
		err = fmt.Errorf("broken: %s", strings.Join(bad, ", "))
	}
	if a.json {
		return errors.Join(err, a.print(map[string]any{"ok": err == nil, "checks": checks}))
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, c := range checks {
		fmt.Fprintf(w, "%s\t%s\t%s\n", a.ink(a.out).state(c.State), c.Name, c.Detail)
	}
	return errors.Join(w.Flush(), err)
}

// works runs a small product on a device.
func works(ctx context.Context, dev torch.Device) error {
	return torch.Run(ctx, dev, torch.Inference, func(s *torch.Scope) error {
		x := s.Ones(torch.Float, 64, 64)
		if got := x.MatMul(x).Sum().Item(); got != 64*64*64 {
			return errors.Join(s.Err(), fmt.Errorf("a product of ones gives %v instead of %v", got, 64*64*64))
		}
		return s.Err()
	})
}

func checkLibtorch(ctx context.Context) check {
	c := check{"libtorch", good, torch.Version() + ", computes"}
	if err := works(ctx, torch.CPU); err != nil {
		c.State, c.Detail = broken, torch.Version()+": "+err.Error()
	}
	return c
}

func checkProcessor() check {
	c := check{"processor", good, fmt.Sprintf("%d cores, %d threads for one operation", runtime.NumCPU(), torch.Threads())}
	if !torch.CPUHasBFloat16() {
		c.Detail += "; no bfloat16 arithmetic, training.precision=bf16 computes in float32"
	}
	return c
}

// checkGPU looks at the GPU that settings ask for; without one they must not ask.
func checkGPU(ctx context.Context, device string) check {
	c := check{"GPU", good, ""}
	n := torch.CUDADevices()
	dev, err := torch.ParseDevice(device)
	switch {
	case err != nil:
		c.State, c.Detail = broken, err.Error()
	case n == 0:
		c.State, c.Detail = advice, "none that this libtorch can use: training runs on the processor"
	default:
		c.Detail = fmt.Sprintf("%d found", n)
		if !dev.IsCUDA() {
			dev = torch.CUDA(0)
		}
		if err := works(ctx, dev); err != nil {
			c.State, c.Detail = broken, err.Error()
		}
	}
	return c
}

// The room that runs need: checkpoints hold the weights three times over.
const (
	littleRoom = 256 << 20
	amplyRoom  = 4 << 30
)

// checkDisk writes a file where runs go and looks at the room there.
func checkDisk(runs string) check {
	c := check{"disk", good, ""}
	dir, err := filepath.Abs(runs)
	for err == nil {
		if _, statErr := os.Stat(dir); statErr == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	if err == nil {
		err = writable(dir)
	}
	var st syscall.Statfs_t
	if err == nil {
		err = syscall.Statfs(dir, &st)
	}
	if err != nil {
		return check{"disk", broken, err.Error()}
	}
	free := uint64(st.Bavail) * uint64(st.Bsize)
	c.Detail = fmt.Sprintf("%.1f GiB free for %s", float64(free)/(1<<30), runs)
	switch {
	case free < littleRoom:
		c.State = broken
	case free < amplyRoom:
		c.State = advice
	}
	return c
}

func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".wildtrain-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (a *app) checkData(ctx context.Context, s pipeline.Settings) check {
	if s.Data.Root == "" && len(s.Data.Roots) == 0 {
		return check{"data", advice, "not looked at: give data.root=DATA"}
	}
	p, err := a.env().PlanTrain(ctx, s)
	if err != nil {
		return check{"data", broken, err.Error()}
	}
	return check{"data", good, fmt.Sprintf("%d pictures to train on, %d to validate, %d classes", p.Train, p.Val, len(p.Classes))}
}
