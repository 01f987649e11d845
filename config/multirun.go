package config

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// Job is one run of a sweep.
type Job struct {
	Num       int      // from 0, in the order of Jobs
	Overrides []string // all that the job is composed with
	Dir       string   // its own folder, for it to make
}

// Multirun runs the jobs of a sweep. It keeps a journal, multirun.jsonl in Dir,
// so that a sweep that was stopped can go on.
type Multirun struct {
	Dir      string   // folder of the sweep
	Names    []string // of the jobs' folders in it; their numbers where there are none
	Parallel int      // jobs at a time; below 2 is one
	FailFast bool     // start no further job after a failure
	Resume   bool     // leave out jobs that the journal calls done
	// Notify takes every change of state as it happens: "running", "done",
	// "failed" or "interrupted" (with the error) or "skipped". It is called from one goroutine at a time.
	Notify func(job Job, state string, err error)
}

// record is one line of the journal.
type record struct {
	Num       int      `json:"num"`
	Overrides []string `json:"overrides"`
	State     string   `json:"state"`
	Error     string   `json:"error,omitempty"`
}

// Run does all jobs and returns their errors together, each with the job's number
// and overrides. A failing job does not stop the others unless FailFast is set.
// When ctx ends no further job starts, and its error is returned as well.
func (m Multirun) Run(ctx context.Context, jobs [][]string, do func(context.Context, Job) error) error {
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return fmt.Errorf("config: make sweep folder: %w", err)
	}
	name := filepath.Join(m.Dir, "multirun.jsonl")
	done, err := m.finished(name)
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("config: open sweep journal: %w", err)
	}
	r := &sweepRun{m: m, journal: journal, do: do, done: done}
	r.all(ctx, jobs)
	return errors.Join(append(r.errs, ctx.Err(), journal.Close())...)
}

// finished reads which overrides are done. A broken last line is what a crash
// leaves and is passed over.
func (m Multirun) finished(name string) ([][]string, error) {
	if !m.Resume {
		return nil, nil
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("config: read sweep journal: %w", err)
	}
	defer f.Close()
	var done [][]string
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var rec record
		if json.Unmarshal(in.Bytes(), &rec) == nil && rec.State == "done" {
			done = append(done, rec.Overrides)
		}
	}
	return done, in.Err()
}

// sweepRun is a Run under way.
type sweepRun struct {
	m       Multirun
	do      func(context.Context, Job) error
	done    [][]string
	mu      sync.Mutex // guards the fields below and the order of notifications
	journal *os.File
	errs    []error
}

func (r *sweepRun) all(ctx context.Context, jobs [][]string) {
	slots := make(chan struct{}, max(r.m.Parallel, 1))
	var wait sync.WaitGroup
	for i, overrides := range jobs {
		job := Job{Num: i, Overrides: overrides, Dir: filepath.Join(r.m.Dir, r.m.name(i))}
		if slices.ContainsFunc(r.done, func(d []string) bool { return slices.Equal(d, overrides) }) {
			r.note(job, "skipped", nil)
			continue
		}
		slots <- struct{}{}
		if ctx.Err() != nil || r.stopped() {
			<-slots
			break
		}
		wait.Go(func() {
			defer func() { <-slots }()
			r.one(ctx, job)
		})
	}
	wait.Wait()
}

func (m Multirun) name(job int) string {
	if job < len(m.Names) {
		return m.Names[job]
	}
	return strconv.Itoa(job)
}

func (r *sweepRun) stopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.m.FailFast && len(r.errs) > 0
}

func (r *sweepRun) one(ctx context.Context, job Job) {
	r.note(job, "running", nil)
	err := r.do(ctx, job)
	switch {
	case err == nil:
		r.note(job, "done", nil)
	case ctx.Err() != nil:
		r.note(job, "interrupted", err)
	default:
		r.note(job, "failed", err)
	}
}

func (r *sweepRun) note(job Job, state string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := record{Num: job.Num, Overrides: job.Overrides, State: state}
	if err != nil {
		rec.Error = err.Error()
		r.errs = append(r.errs, fmt.Errorf("config: job %d %v: %w", job.Num, job.Overrides, err))
	}
	line, jsonErr := json.Marshal(rec)
	if jsonErr == nil {
		_, jsonErr = r.journal.Write(append(line, '\n'))
	}
	if jsonErr != nil {
		r.errs = append(r.errs, fmt.Errorf("config: write sweep journal: %w", jsonErr))
	}
	if r.m.Notify != nil {
		r.m.Notify(job, state, err)
	}
}
