package pipeline

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/tune"
)

// tinyTuning searches a learning rate on the shipped data, in dir.
func tinyTuning(t *testing.T, dir string, more ...string) *Tuning {
	t.Helper()
	out, err := ComposeTuning(config.Options{Overrides: append([]string{
		"model=yolov8n", "data.root=" + fixture, "data.datasets=[savanna]", "data.workers=1", "data.cache=ram",
		"training.imgsz=64", "training.batch=16", "training.epochs=2", "training.threads=1", "training.device=cpu",
		"runs=" + dir, "experiment_name=test", "tune.study=first", "tune.sampler=random", "tune.trials=2",
		"tune.space={training.lr0:{low:1e-4,high:1e-2,log:true}}",
	}, more...)})
	require.NoError(t, err)
	out.Retry = 1
	return out
}

// The best configuration trains; the study and its trials are nested runs of
// MLflow, and the same command goes on with both.
func TestTune(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	uri := "sqlite:///" + filepath.Join(dir, "mlflow.db")
	var e Env
	more := []string{"tracking.enabled=true", "tracking.uri=" + uri, "tracking.artifacts=false", "tracking.tags={team: north}"}
	var told []int
	_, err := e.Tune(ctx, tinyTuning(t, dir, more...), func(tr *tune.Trial) { told = append(told, tr.Number) })
	require.NoError(t, err)
	last := tinyTuning(t, dir, append(more, "tune.trials=3")...)
	tuned, err := e.Tune(ctx, last, func(tr *tune.Trial) { told = append(told, tr.Number) })
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 2}, told, "what is finished is not run again")
	require.Len(t, tuned.Best, 1)

	file := filepath.Join(tuned.Dir, "best", "tuned", "best.yaml")
	require.NoError(t, last.WriteBest(file, tuned.Best[0]))
	s, err := Compose(config.Options{ConfigDir: filepath.Join(tuned.Dir, "best"), Overrides: []string{"+tuned=best"}})
	require.NoError(t, err)
	lr, _ := tuned.Best[0].Value("training.lr0")
	require.InDelta(t, lr, s.Optimizer.LR, 1e-15)
	require.Equal(t, 64, s.Model.ImageSize)

	store, err := mlflow.Open(ctx, uri)
	require.NoError(t, err)
	defer store.Close()
	experiment, err := store.ExperimentByName(ctx, "test")
	require.NoError(t, err)
	page, err := store.SearchRuns(ctx, mlflow.RunQuery{ExperimentIDs: []string{experiment.ID}})
	require.NoError(t, err)
	parents, names := map[string]int{}, map[string]mlflow.Run{}
	for _, run := range page.Items {
		require.Equal(t, mlflow.Finished, run.Info.Status)
		require.Equal(t, "north", tag(run, "team"))
		names[run.Info.Name] = run
		parents[tag(run, "mlflow.parentRunId")]++
	}
	study := names["first"]
	require.Equal(t, map[string]int{"": 1, study.Info.ID: 3}, parents)
	require.Equal(t, "2", tag(names["trial-0002"], trialTag))
	require.Equal(t, fmt.Sprint(tuned.Best[0].Number), tag(study, "best.trial"))
	history, err := store.MetricHistory(ctx, study.Info.ID, defaultScore, 0, "")
	require.NoError(t, err)
	require.Len(t, history.Items, 3)
}

func tag(r mlflow.Run, key string) string {
	for _, t := range r.Data.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// TestTuningProcess is a process of other tests here.
func TestTuningProcess(t *testing.T) {
	dir := os.Getenv("WILDTRAIN_TUNING")
	if dir == "" {
		t.Skip("a process of other tests")
	}
	var e Env
	_, err := e.Tune(context.Background(), tinyTuning(t, dir, strings.Fields(os.Getenv("WILDTRAIN_TUNING_KEYS"))...), nil)
	require.NoError(t, err)
}

var tuningProcess = []string{os.Args[0], "-test.run=^TestTuningProcess$"}

// A process that is killed in a trial's second epoch: another one goes on from
// the trial's checkpoint, and ends with the weights of a training in one piece.
func TestKilledTrialGoesOn(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	keys := []string{"training.epochs=3", "tune.trials=1"}
	child := exec.Command(tuningProcess[0], tuningProcess[1:]...)
	child.Env = append(os.Environ(), "WILDTRAIN_TUNING="+dir, "WILDTRAIN_TUNING_KEYS="+strings.Join(keys, " "))
	require.NoError(t, child.Start())
	metrics := filepath.Join(dir, "test", "first", "trial-0000", "metrics.csv")
	require.Eventually(t, func() bool { return len(epochs(metrics)) >= 1 }, 2*time.Minute, 5*time.Millisecond)
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	require.Less(t, len(epochs(metrics)), 3, "it was killed before its end")

	var e Env
	tuned, err := e.Tune(ctx, tinyTuning(t, dir, keys...), nil)
	require.NoError(t, err)
	require.Len(t, tuned.View.Trials, 2)
	dead, again := tuned.View.Trials[0], tuned.View.Trials[1]
	require.Equal(t, []tune.State{tune.Failed, tune.Complete}, []tune.State{dead.State, again.State})
	require.Equal(t, dead.Params, again.Params)
	require.Equal(t, TrialRun(dead), TrialRun(again), "the retry goes on in the dead trial's folder")
	require.Equal(t, []string{"1", "2", "3"}, epochs(metrics), "and runs no epoch again that was saved")

	whole := tinyTuning(t, dir, append(keys, "tune.study=whole")...)
	undisturbed, err := e.Tune(ctx, whole, nil)
	require.NoError(t, err)
	require.Equal(t, dead.Params, undisturbed.View.Trials[0].Params, "the seed gives the same values")
	sameState(t, weightsOf(t, TrialRun(undisturbed.View.Trials[0])), weightsOf(t, TrialRun(again)))
	require.Equal(t, undisturbed.Best[0].Values, again.Values)
}

// epochs lists the first column of a run's metrics.csv.
func epochs(file string) (out []string) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil // half a line is written
	}
	for _, row := range rows[1:] {
		out = append(out, row[0])
	}
	return out
}

func TestTrialsAsProcesses(t *testing.T) {
	dir := t.TempDir()
	keys := []string{"training.epochs=1", "tune.trials=4"}
	t.Setenv("WILDTRAIN_TUNING", dir)
	t.Setenv("WILDTRAIN_TUNING_KEYS", strings.Join(keys, " "))
	tuning := tinyTuning(t, dir, keys...)
	tuning.Jobs, tuning.Command = 2, tuningProcess
	var e Env
	tuned, err := e.Tune(context.Background(), tuning, nil)
	require.NoError(t, err)
	require.Len(t, tuned.View.In(tune.Complete), 4)
	workers, runs := map[string]bool{}, map[string]bool{}
	for _, tr := range tuned.View.In(tune.Complete) {
		workers[tr.UserAttrs[workerAttr]], runs[TrialRun(tr)] = true, true
	}
	require.Len(t, workers, 2)
	require.Len(t, runs, 4)
	require.NotContains(t, workers, fmt.Sprintf("%q", workerName()))
}

// Stop rules: trials, time and a plateau.
func TestTuningStops(t *testing.T) {
	var e Env
	for name, change := range map[string]func(*Tuning){
		"time":    func(t *Tuning) { t.Trials, t.Timeout = 50, 2*time.Second },
		"plateau": func(t *Tuning) { t.Trials, t.Plateau = 50, 1 },
	} {
		tuning := tinyTuning(t, t.TempDir(), "training.epochs=1", "tune.storage=memory")
		change(tuning)
		tuned, err := e.Tune(context.Background(), tuning, nil)
		require.NoError(t, err, name)
		require.Less(t, len(tuned.View.Trials), 50, name)
	}
}
