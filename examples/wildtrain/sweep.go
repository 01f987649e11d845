package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/pipeline"
)

// sweep holds the flags of --multirun.
type sweep struct {
	on, failFast bool
	parallel     int
	resume       string
}

func (s *sweep) flags(f *pflag.FlagSet) {
	f.BoolVarP(&s.on, "multirun", "m", false, "train once for each combination of values: training.lr0=0.01,0.02 model=yolo11n,yolo11s")
	f.IntVarP(&s.parallel, "jobs", "j", 1, "with --multirun: trainings at a time, each a process of its own")
	f.BoolVar(&s.failFast, "fail-fast", false, "with --multirun: begin no further training after one that failed")
	f.StringVar(&s.resume, "resume", "", "go on with the sweep in `folder`: what is done is left out, what was interrupted goes on")
}

// sweepFile keeps, in a sweep's folder, the hydra node of the sweep, and with it
// what the sweep was told.
const sweepFile = "multirun.yaml"

// sweepJob is what is reported of one training.
type sweepJob struct {
	Num       int      `json:"num"`
	Overrides []string `json:"overrides"`
	State     string   `json:"state"` // "done", "failed", "interrupted", "skipped" (done before) or "" (never begun)
	Run       string   `json:"run"`
	Error     string   `json:"error,omitempty"`
}

// trainAll trains once for each job of a sweep.
func (a *app) trainAll(ctx context.Context, s sweep, overrides []string) error {
	if s.resume != "" && len(overrides) == 0 {
		var err error
		if overrides, err = sweepOverrides(s.resume); err != nil {
			return err
		}
	}
	o := a.options(overrides)
	o.Multirun = true
	tree, err := pipeline.Tree(o)
	if err != nil {
		return err
	}
	dir := s.resume
	if dir == "" {
		n, err := tree.Get("hydra.sweep.dir")
		if err != nil {
			return err
		}
		dir = n.Text()
	}
	jobs, names, err := a.sweepJobs(tree)
	if err != nil {
		return err
	}
	if err := writeSweep(tree, dir); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "%d trainings in %s\n", len(jobs), dir)
	return a.runSweep(ctx, s, dir, names, tree.HydraOverrides(), jobs)
}

// sweepOverrides are those that the sweep in a folder was begun with.
func sweepOverrides(dir string) (lines []string, err error) {
	c, err := config.Compose(config.Options{Name: strings.TrimSuffix(sweepFile, ".yaml"), Dirs: []string{dir}, Foreign: true})
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"hydra.overrides.task", "hydra.overrides.hydra"} {
		list, err := c.Get(key)
		if err != nil {
			return nil, err
		}
		for _, item := range list.Items() {
			lines = append(lines, item.Text())
		}
	}
	return lines, nil
}

// sweepJobs are the overrides of each job and the names of their folders. All are
// composed before the first begins, so that a wrong one is not found after hours.
func (a *app) sweepJobs(tree *config.Config) (jobs [][]string, names []string, err error) {
	if jobs, err = tree.Jobs(0); err != nil {
		return nil, nil, err
	}
	for i, job := range jobs {
		all := append(append(job[:len(job):len(job)], tree.HydraOverrides()...), fmt.Sprintf("hydra.job.num=%d", i))
		if _, err := pipeline.Compose(a.options(all)); err != nil {
			return nil, nil, fmt.Errorf("job %d %v: %w", i, job, err)
		}
		c, err := pipeline.Tree(a.options(all))
		if err != nil {
			return nil, nil, err
		}
		n, err := c.Get("hydra.sweep.subdir")
		if err != nil {
			return nil, nil, err
		}
		names = append(names, n.Text())
	}
	return jobs, names, nil
}

func writeSweep(tree *config.Config, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := tree.Show("hydra", "", false)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, sweepFile), []byte(text), 0o644)
}

func (a *app) runSweep(ctx context.Context, s sweep, dir string, names, hydra []string, jobs [][]string) error {
	report := make([]sweepJob, len(jobs))
	m := config.Multirun{Dir: dir, Names: names, Parallel: s.parallel, FailFast: s.failFast, Resume: s.resume != ""}
	m.Notify = func(j config.Job, state string, err error) {
		report[j.Num].State = state
		line := fmt.Sprintf("[%d] %s: %s", j.Num, strings.Join(j.Overrides, " "), state)
		if err != nil {
			report[j.Num].Error = err.Error()
			line += ": " + err.Error()
		}
		if !a.quiet || err != nil {
			fmt.Fprintln(a.err, line)
		}
	}
	for i, job := range jobs {
		report[i] = sweepJob{Num: i, Overrides: job, Run: filepath.Join(dir, names[i])}
	}
	err := m.Run(ctx, jobs, func(ctx context.Context, j config.Job) error {
		return a.trainApart(ctx, j, s.parallel > 1, append(hydra[:len(hydra):len(hydra)], fmt.Sprintf("hydra.job.num=%d", j.Num)))
	})
	if a.json {
		return errors.Join(err, a.print(map[string]any{"sweep": dir, "jobs": report}))
	}
	for _, j := range report {
		fmt.Fprintf(a.out, "%d\t%s\t%s\t%s\n", j.Num, j.State, j.Run, strings.Join(j.Overrides, " "))
	}
	return err
}

// trainApart runs one job as a process of its own: libtorch's random numbers and
// threads belong to the process, and one that dies takes no other with it. Its
// output goes to NAME.log beside its folder where several run at a time.
func (a *app) trainApart(ctx context.Context, j config.Job, log bool, hydra []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"train"}, a.flagsForJob()...)
	if _, err := os.Stat(filepath.Join(j.Dir, "checkpoints", "last")); err == nil {
		args = append(args, "resume="+j.Dir)
	} else {
		args = append(append(append(args, j.Overrides...), hydra...), "hydra.run.dir="+config.Quote(j.Dir))
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stdout, cmd.Stderr = a.err, a.err
	tail := &lastLine{}
	if log {
		if err := os.MkdirAll(filepath.Dir(j.Dir), 0o755); err != nil {
			return err
		}
		f, err := os.Create(j.Dir + ".log")
		if err != nil {
			return err
		}
		defer f.Close() // what could be lost is lines of progress
		cmd.Stdout, cmd.Stderr = f, io.MultiWriter(f, tail)
	}
	// An interrupt reaches this process, which passes it on: twice would end the job at once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	err = cmd.Run()
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && tail.text != "" {
		return fmt.Errorf("%s (%w)", strings.TrimPrefix(tail.text, "wildtrain: "), err)
	}
	return err
}

// lastLine keeps the last line that is written to it: what a process ended with.
type lastLine struct{ text string }

func (l *lastLine) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	if text = text[strings.LastIndexByte(text, '\n')+1:]; text != "" {
		l.text = text
	}
	return len(p), nil
}

// flagsForJob are the flags that this process was given and its jobs need too.
func (a *app) flagsForJob() (flags []string) {
	for _, f := range []struct{ name, value string }{{"config-dir", a.configDir}, {"config-path", a.configPath}, {"config-name", a.configName}} {
		if f.value != "" {
			flags = append(flags, "--"+f.name+"="+f.value)
		}
	}
	if a.quiet {
		flags = append(flags, "--quiet")
	}
	return flags
}
