package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/wildtrain/sdk/pipeline"
	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/report"
)

func (a *app) tune() verb {
	var jobs int
	var plateau, retry int
	var worker bool
	return verb{
		name: "tune", short: "Search for good settings", settings: true,
		long: "Each trial is a training with other values of the keys in `tune.space`. Studies are kept in\n" +
			"stores that Optuna opens; one of the same name goes on, until `tune.trials` have finished.\n" +
			"`docs/tune.md` tells of spaces, samplers, pruners and stores.",
		example: "wildtrain tune model=yolo11n data.root=DATA tune.trials=30 -j 2 'tune.space={training.lr0:{low:1e-5,high:1e-2,log:true}}'\n" +
			"wildtrain tune data.root=DATA tune.pruner=hyperband 'tune.space={model:{choices:[yolo11n,yolo11s]}}'\n" +
			"wildtrain tune data.root=DATA tune.study=first tune.storage=journal:///shared/first.journal 'tune.params={training.momentum:\"interval(0.8,0.99)\"}'",
		after: "In `runs/EXPERIMENT/STUDY`: `study.db` (unless `tune.storage` names another store), a run\n" +
			"folder for each trial, `report.html`, `trials.csv`, `study.json` and `best/tuned/best.yaml`, with which\n" +
			"`wildtrain train --config-dir runs/EXPERIMENT/STUDY/best +tuned=best` trains.",
		json: []result{
			{"study out report config", "name, folder, report and best configuration"},
			{"trials complete pruned failed", "how many there are in all and of each state"},
			{"best", "number, values, params and run of the best trial, or of each on the Pareto front"},
		},
		flags: func(f *pflag.FlagSet) {
			f.IntVarP(&jobs, "jobs", "j", 0, "trials at the same time, each in a process of its own; tune.jobs unless given")
			f.IntVar(&plateau, "plateau", 0, "stop when so many trials in a row brought nothing better")
			f.IntVar(&retry, "retry", 1, "how often a trial whose worker died goes on from its checkpoint")
			f.BoolVar(&worker, "worker", false, "run trials for another process, until it ends")
			if flag := f.Lookup("worker"); flag != nil {
				flag.Hidden = true
			}
		},
		run: func(ctx context.Context, _ map[string]string, overrides []string) error {
			t, err := pipeline.ComposeTuning(a.options(overrides))
			if err != nil {
				return err
			}
			if jobs > 0 {
				t.Jobs = jobs
			}
			t.Plateau, t.Retry = plateau, retry
			if worker {
				var end context.CancelFunc
				ctx, end = whileParentLives(ctx)
				defer end()
				t.Jobs, t.Worker = 1, true
			}
			if t.Jobs > 1 {
				if t.Command, err = a.workerCommand(overrides, plateau, retry); err != nil {
					return err
				}
			}
			tuned, err := a.env().Tune(ctx, t, func(trial *tune.Trial) { a.tellTrial(t, trial) })
			if tuned == nil || worker {
				return err
			}
			return a.tellTuned(t, tuned, err)
		},
	}
}

// workerCommand is the command line of a process that runs trials of this tuning.
func (a *app) workerCommand(overrides []string, plateau, retry int) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	out := append([]string{self, "tune"}, overrides...)
	for flag, value := range map[string]string{"--config-dir": a.configDir, "--config-path": a.configPath, "--config-name": a.configName} {
		if value != "" {
			out = append(out, flag, value)
		}
	}
	return append(out, "--worker", fmt.Sprintf("--plateau=%d", plateau), fmt.Sprintf("--retry=%d", retry)), nil
}

// whileParentLives ends with standard input, which the process that started a
// worker holds open: a killed one leaves no workers behind.
func whileParentLives(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // any end will do
		cancel()
	}()
	return ctx, cancel
}

// tellTrial shows one finished trial on a line.
func (a *app) tellTrial(t *pipeline.Tuning, trial *tune.Trial) {
	if a.quiet {
		return
	}
	var parts []string
	for i, v := range trial.Values {
		if i < len(t.Metrics) {
			parts = append(parts, fmt.Sprintf("%s %.4f", t.Metrics[i], v))
		}
	}
	values := trial.External()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, fmt.Sprintf("%s=%v", name, values[name]))
	}
	fmt.Fprintf(a.err, "trial %d %s: %s\n", trial.Number, strings.ToLower(trial.State.String()), strings.Join(parts, "  "))
}

// tellTuned writes the study's files and says what came out.
func (a *app) tellTuned(t *pipeline.Tuning, tuned *pipeline.Tuned, cause error) error {
	html, config := "", ""
	if len(tuned.View.Trials) > 0 {
		html = filepath.Join(tuned.Dir, "report.html")
		if err := report.Write(tuned.Dir, tuned.View, t.Metrics); err != nil {
			return err
		}
	}
	if len(tuned.Best) > 0 {
		config = filepath.Join(tuned.Dir, "best", "tuned", "best.yaml")
		if err := t.WriteBest(config, tuned.Best[0]); err != nil {
			return err
		}
	}
	if cause != nil {
		fmt.Fprintf(a.err, "the same command goes on with study %s in %s\n", t.Study, tuned.Dir)
		return cause
	}
	if a.json {
		var best []map[string]any
		for _, trial := range tuned.Best {
			values := map[string]any{}
			for i, name := range t.Metrics {
				values[name] = number(trial.Values[i])
			}
			best = append(best, map[string]any{"number": trial.Number, "values": values, "params": trial.External(), "run": pipeline.TrialRun(trial)})
		}
		v := tuned.View
		return a.print(map[string]any{
			"study": t.Study, "out": tuned.Dir, "report": html, "config": config, "trials": len(v.Trials), "complete": len(v.In(tune.Complete)),
			"pruned": len(v.In(tune.Pruned)), "failed": len(v.In(tune.Failed)), "best": best,
		})
	}
	for _, trial := range tuned.Best {
		fmt.Fprintf(a.out, "best trial %d:", trial.Number)
		for i, name := range t.Metrics {
			fmt.Fprintf(a.out, " %s %.4f", name, trial.Values[i])
		}
		values := trial.External()
		for _, name := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(a.out, " %s=%v", name, values[name])
		}
		fmt.Fprintln(a.out)
	}
	fmt.Fprintf(a.out, "report: %s\ntrain it with: wildtrain train --config-dir %s +tuned=best\n", html, filepath.Join(tuned.Dir, "best"))
	return nil
}
