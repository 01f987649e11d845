//go:build parity

package mlflow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/mlflow"
)

// The peers are virtual environments of MLflow's releases, made by
// parity/mlflow-setup.sh DIR; WILDTRAIN_MLFLOW_PEERS names DIR.

func peerPython(t *testing.T, release string) string {
	dir := os.Getenv("WILDTRAIN_MLFLOW_PEERS")
	if dir == "" {
		t.Skip("WILDTRAIN_MLFLOW_PEERS is not set: see parity/mlflow-setup.sh")
	}
	return filepath.Join(dir, release, "bin", "python")
}

// peer runs parity/mlflow_peer.py and decodes what it prints.
func peer(t *testing.T, release string, out any, stdin any, args ...string) {
	t.Helper()
	script, err := filepath.Abs("../parity/mlflow_peer.py")
	require.NoError(t, err)
	c := exec.Command(peerPython(t, release), append([]string{script}, args...)...)
	c.Dir = t.TempDir()
	c.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "GIT_PYTHON_REFRESH=quiet", "MLFLOW_DISABLE_TELEMETRY=true")
	if stdin != nil {
		data, err := json.Marshal(stdin)
		require.NoError(t, err)
		c.Stdin = bytes.NewReader(data)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	text, err := c.Output()
	require.NoError(t, err, "%s", tail(stderr.String()))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if out != nil {
		require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), out), "%s", text)
	}
}

func tail(text string) string {
	if len(text) > 3000 {
		text = text[len(text)-3000:]
	}
	return text
}

// server starts MLflow's own server and waits until it answers.
func server(t *testing.T, release, dir string, args ...string) string {
	python := peerPython(t, release)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	require.NoError(t, l.Close())
	if len(args) == 0 {
		args = []string{"server", "--backend-store-uri", "sqlite:///" + filepath.Join(dir, "server.db"), "--artifacts-destination", filepath.Join(dir, "artifacts"), "--serve-artifacts"}
	}
	c := exec.Command(python, append(append([]string{"-m", "mlflow"}, args...), "--host", "127.0.0.1", "--port", port, "--workers", "1")...)
	c.Dir = dir
	c.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "MLFLOW_DISABLE_TELEMETRY=true", "PATH="+filepath.Dir(python)+":"+os.Getenv("PATH"))
	log, err := os.Create(filepath.Join(dir, "server.log"))
	require.NoError(t, err)
	c.Stdout, c.Stderr = log, log
	inOwnGroup(c)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		endGroup(c)
		_ = c.Wait() // it was ended
		log.Close()
	})
	url := "http://127.0.0.1:" + port
	for range 1200 { // on a loaded machine it takes minutes
		if a, err := http.Get(url + "/health"); err == nil {
			a.Body.Close()
			if a.StatusCode == http.StatusOK {
				return url
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	t.Fatalf("the server did not start: %s", tail(string(text)))
	return ""
}

// playScript makes the calls of mlflow_peer.py's script.
func playScript(t *testing.T, s mlflow.Store, experiment, model string) {
	ctx := t.Context()
	e, err := s.CreateExperiment(ctx, mlflow.NewExperiment{Name: experiment, Tags: []mlflow.Tag{{Key: "team", Value: "north"}}})
	require.NoError(t, err)
	for i := range 4 {
		r, err := s.CreateRun(ctx, mlflow.NewRun{ExperimentID: e, Name: fmt.Sprint("run", i), Started: mlflow.Millis(1000 + i), Tags: []mlflow.Tag{{Key: "mlflow.user", Value: "ada"}}})
		require.NoError(t, err)
		id, inf := r.Info.ID, math.Inf(-1)
		if i%2 == 1 {
			inf = math.Inf(1)
		}
		b := mlflow.Batch{
			Metrics: []mlflow.Metric{{Key: "AP", Value: []float64{0.1, 0.5, math.NaN(), 0.9}[i], Timestamp: mlflow.Millis(100 + i)}},
			Params:  []mlflow.Param{{Key: "lr", Value: []string{"0.1", "0.2", "0.30000000000000004", "0.4"}[i]}, {Key: "model.name", Value: fmt.Sprint("yolo", i)}},
			Tags:    []mlflow.Tag{{Key: "note", Value: fmt.Sprint("día ", i)}},
		}
		for step := range 5 {
			b.Metrics = append(b.Metrics, mlflow.Metric{Key: "loss", Value: 3.0 / float64(step+1), Timestamp: mlflow.Millis(200 + step), Step: int64(step)})
		}
		b.Metrics = append(b.Metrics, mlflow.Metric{Key: "inf", Value: inf, Timestamp: 5, Step: -1}, mlflow.Metric{Key: "loss", Value: 9, Timestamp: 900, Step: 2})
		require.NoError(t, s.LogBatch(ctx, id, b))
		if i == 1 {
			require.NoError(t, s.LogInputs(ctx, id, []mlflow.DatasetInput{{Dataset: mlflow.Dataset{Name: "savanna", Digest: "0a1b", SourceType: "local", Source: `{"uri": "x"}`, Schema: "{}", Profile: "{}"},
				Tags: []mlflow.Tag{{Key: "mlflow.data.context", Value: "training"}}}}))
		}
		status := []mlflow.Status{mlflow.Finished, mlflow.Failed, mlflow.Killed, mlflow.Finished}[i]
		require.NoError(t, s.UpdateRun(ctx, id, mlflow.RunUpdate{Status: status, Ended: mlflow.Millis(5000 + i)}))
		if i == 3 {
			require.NoError(t, s.DeleteRun(ctx, id))
		}
	}
	_, err = s.CreateRegisteredModel(ctx, model, "finds", []mlflow.Tag{{Key: "task", Value: "detection"}})
	require.NoError(t, err)
	for i := range 3 {
		_, err := s.CreateModelVersion(ctx, mlflow.NewModelVersion{Name: model, Source: "s3://bucket/model", Description: fmt.Sprint("version ", i), Tags: []mlflow.Tag{{Key: "AP", Value: fmt.Sprint(i)}}})
		require.NoError(t, err)
	}
	_, err = s.TransitionStage(ctx, model, "1", "Production", false)
	require.NoError(t, err)
	_, err = s.TransitionStage(ctx, model, "2", "Production", true)
	require.NoError(t, err)
	require.NoError(t, s.SetAlias(ctx, model, "champion", "3"))
	require.NoError(t, s.SetModelVersionTag(ctx, model, "3", mlflow.Tag{Key: "why", Value: "rain"}))
	require.NoError(t, s.DeleteModelVersion(ctx, model, "1"))
}

// wrongCalls are requests that a server refuses; $RUN and $EXP stand for what it has.
var wrongCalls = map[string]struct {
	Method string         `json:"method"`
	Path   string         `json:"path"`
	Body   map[string]any `json:"body"`
}{
	"no such run":           {"POST", "runs/update", map[string]any{"run_id": "0123456789abcdef0123456789abcdef", "status": "FINISHED"}},
	"no such experiment":    {"POST", "runs/create", map[string]any{"experiment_id": "999"}},
	"experiment exists":     {"POST", "experiments/create", map[string]any{"name": "errors"}},
	"experiment no name":    {"POST", "experiments/create", map[string]any{"name": ""}},
	"param changes":         {"POST", "runs/log-parameter", map[string]any{"run_id": "$RUN", "key": "a", "value": "2"}},
	"param again":           {"POST", "runs/log-parameter", map[string]any{"run_id": "$RUN", "key": "a", "value": "1"}},
	"bad key":               {"POST", "runs/set-tag", map[string]any{"run_id": "$RUN", "key": "../a", "value": "2"}},
	"no such tag":           {"POST", "runs/delete-tag", map[string]any{"run_id": "$RUN", "key": "none"}},
	"1001 metrics":          {"POST", "runs/log-batch", map[string]any{"run_id": "$RUN", "metrics": manyMetrics(1001)}},
	"1000 metrics":          {"POST", "runs/log-batch", map[string]any{"run_id": "$RUN", "metrics": manyMetrics(1000)}},
	"101 params":            {"POST", "runs/log-batch", map[string]any{"run_id": "$RUN", "params": manyPairs(101)}},
	"100 params":            {"POST", "runs/log-batch", map[string]any{"run_id": "$RUN", "params": manyPairs(100)}},
	"101 tags":              {"POST", "runs/log-batch", map[string]any{"run_id": "$RUN", "tags": manyPairs(101)}},
	"100 tags":              {"POST", "runs/log-batch", map[string]any{"run_id": "$RUN", "tags": manyPairs(100)}},
	"duplicate params":      {"POST", "runs/log-batch", map[string]any{"run_id": "$RUN", "params": []any{map[string]string{"key": "x", "value": "1"}, map[string]string{"key": "x", "value": "1"}}}},
	"negative time":         {"POST", "runs/log-batch", map[string]any{"run_id": "$RUN", "metrics": []any{map[string]any{"key": "t", "value": 1, "timestamp": -1, "step": 0}}}},
	"bad filter":            {"POST", "runs/search", map[string]any{"experiment_ids": []string{"$EXP"}, "filter": "metrics.a = 'x'"}},
	"too many results":      {"POST", "runs/search", map[string]any{"experiment_ids": []string{"$EXP"}, "max_results": 50001}},
	"model name":            {"POST", "registered-models/create", map[string]any{"name": "a/b"}},
	"no such model":         {"POST", "registered-models/set-tag", map[string]any{"name": "none", "key": "a", "value": "b"}},
	"version of no model":   {"POST", "model-versions/create", map[string]any{"name": "none", "source": "s3://b/m"}},
	"local source":          {"POST", "model-versions/create", map[string]any{"name": "none", "source": "/etc"}},
	"restore an active run": {"POST", "runs/restore", map[string]any{"run_id": "$RUN"}},
}

func manyMetrics(n int) (out []any) {
	for i := range n {
		out = append(out, map[string]any{"key": "m", "value": 1, "timestamp": 1, "step": i})
	}
	return out
}

func manyPairs(n int) (out []any) {
	for i := range n {
		out = append(out, map[string]string{"key": fmt.Sprint("k", i), "value": "v"})
	}
	return out
}

// The same calls by our client and by Python's leave the same on a real server,
// whoever reads them.
func TestParityREST(t *testing.T) {
	for _, release := range []string{"3.17", "2.22"} {
		t.Run(release, func(t *testing.T) {
			dir := t.TempDir()
			url := server(t, release, dir)
			s, err := mlflow.OpenREST(url, quick(t))
			require.NoError(t, err)
			playScript(t, s, "go", "gomodel")
			peer(t, release, nil, nil, "script", url, "python", "pymodel")
			var ours, theirs map[string]any
			peer(t, release, &ours, nil, "dump", url, "go", "gomodel")
			peer(t, release, &theirs, nil, "dump", url, "python", "pymodel")
			require.Equal(t, theirs, ours)
			require.Equal(t, readBack(t, s, "python"), readBack(t, s, "go"), "what our client reads")

			file := filepath.Join(dir, "blob.bin")
			require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("wild\x00\xff"), 100000), 0o644))
			run, err := s.CreateRun(t.Context(), mlflow.NewRun{ExperimentID: "0"})
			require.NoError(t, err)
			a, err := mlflow.OpenArtifacts(s, run.Info.ArtifactURI)
			require.NoError(t, err)
			require.NoError(t, a.Put(t.Context(), "a folder/ü.bin", file))
			var up struct {
				RunID string `json:"run_id"`
			}
			peer(t, release, &up, nil, "upload", url, "python", file)
			for id, path := range map[string]string{run.Info.ID: "a folder", up.RunID: "from python"} {
				r, err := s.Run(t.Context(), id)
				require.NoError(t, err)
				a, err := mlflow.OpenArtifacts(s, r.Info.ArtifactURI)
				require.NoError(t, err)
				list, err := a.List(t.Context(), path)
				require.NoError(t, err)
				require.Len(t, list, 1)
				var b bytes.Buffer
				require.NoError(t, a.Get(t.Context(), list[0].Path, 0, &b))
				want, err := os.ReadFile(file)
				require.NoError(t, err)
				require.True(t, bytes.Equal(want, b.Bytes()), "byte for byte")
			}

			var codes, fake map[string][]any
			peer(t, release, &codes, wrongCalls, "errors", url)
			peer(t, release, &fake, wrongCalls, "errors", newServer(t).URL)
			for name, want := range codes {
				t.Logf("%-22s %v", name, want)
				if release == "2.22" && name == "model name" {
					continue // it takes names with a slash, which its own models:/ addresses cannot hold; later ones do not
				}
				assert.Equal(t, want, fake[name], "status and code of %q as mlflowtest answers", name)
			}
		})
	}
}

// readBack is what SearchRuns gives, without ids.
func readBack(t *testing.T, s mlflow.Store, experiment string) string {
	e, err := s.ExperimentByName(t.Context(), experiment)
	require.NoError(t, err)
	p, err := s.SearchRuns(t.Context(), mlflow.RunQuery{ExperimentIDs: []string{e.ID}, Query: mlflow.Query{Filter: "attributes.start_time > 0 AND attributes.start_time < 2000", OrderBy: []string{"attributes.start_time"}}})
	require.NoError(t, err)
	var lines []string
	for _, r := range p.Items {
		require.NotZero(t, len(r.Data.Metrics))
		lines = append(lines, fmt.Sprint(r.Info.Name, r.Info.Status, r.Info.Started, r.Info.Ended, r.Data.Params, r.Data.Tag("note"), r.Inputs.Datasets))
		for _, m := range []string{"AP", "loss", "inf"} {
			h, err := s.MetricHistory(t.Context(), r.Info.ID, m, 0, "")
			require.NoError(t, err)
			lines = append(lines, fmt.Sprint(h.Items))
		}
	}
	return strings.Join(lines, "\n")
}

// A file that we wrote is read, and written to, by MLflow's own releases.
func TestParitySQLite(t *testing.T) {
	for _, release := range []string{"3.1", "3.4", "3.10", "3.17", "2.22"} {
		t.Run(release, func(t *testing.T) {
			o := mlflow.SQLiteOptions{Artifacts: filepath.Join(t.TempDir(), "mlruns")}
			if release == "2.22" {
				o.Schema = mlflow.Schema222
			}
			s, err := mlflow.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "m.db"), o)
			require.NoError(t, err)
			defer s.Close()
			playScript(t, s, "go", "gomodel")
			var ours, theirs map[string]any
			peer(t, release, &ours, nil, "dump", s.URI(), "go", "gomodel")
			peer(t, release, nil, nil, "script", s.URI(), "python", "pymodel")
			peer(t, release, &theirs, nil, "dump", s.URI(), "python", "pymodel")
			require.Equal(t, theirs, ours)

			again, err := mlflow.OpenSQLite(t.Context(), strings.TrimPrefix(s.URI(), "sqlite:///"), o)
			require.NoError(t, err, "after MLflow %s has upgraded it", release)
			defer again.Close()
			require.Equal(t, readBack(t, again, "python"), readBack(t, again, "go"))
			playScript(t, again, "go2", "gomodel2")
			peer(t, release, &ours, nil, "dump", s.URI(), "go2", "gomodel2")
			require.Equal(t, theirs, ours, "written into the upgraded file")

			done := make(chan error)
			go func() { done <- writeBatches(again, 400) }()
			var py struct {
				RunID string `json:"run_id"`
			}
			peer(t, release, &py, nil, "write", s.URI(), "both", "200")
			require.NoError(t, <-done, "both write at once")
			h, err := again.MetricHistory(t.Context(), py.RunID, "m3", 0, "")
			require.NoError(t, err)
			require.Len(t, h.Items, 20)
			require.Equal(t, "ok", integrity(t, strings.TrimPrefix(s.URI(), "sqlite:///")))
		})
	}
}

func writeBatches(s mlflow.Store, n int) error {
	r, err := s.CreateRun(context.Background(), mlflow.NewRun{ExperimentID: "0"})
	for i := 0; i < n && err == nil; i++ {
		err = s.LogBatch(context.Background(), r.Info.ID, mlflow.Batch{Metrics: []mlflow.Metric{{Key: "m", Value: 1, Step: int64(i)}}})
		time.Sleep(10 * time.Millisecond)
	}
	return err
}
