package mlflow_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/wildtrain"
)

// recording is a Config for tests.
func recording(t *testing.T, uri string) mlflow.Config {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
	c := mlflow.DefaultConfig()
	c.URI, c.Spool, c.Experiment = uri, t.TempDir(), "lions"
	c.FlushEvery, c.CloseTimeout, c.StartTimeout = time.Millisecond, 20*time.Second, 2*time.Second
	c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	return c
}

func values(v float64) []wildtrain.Value {
	return []wildtrain.Value{{Name: "train/loss", Value: v}, {Name: "AP(50)", Value: v}}
}

func onlyRun(t *testing.T, s mlflow.Store, experiment string) mlflow.Run {
	t.Helper()
	e, err := s.ExperimentByName(t.Context(), experiment)
	require.NoError(t, err)
	p, err := s.SearchRuns(t.Context(), mlflow.RunQuery{ExperimentIDs: []string{e.ID}})
	require.NoError(t, err)
	require.Len(t, p.Items, 1)
	return p.Items[0]
}

func TestRecorderRecords(t *testing.T) {
	srv := newServer(t)
	cfg := recording(t, srv.URL)
	cfg.Params, cfg.Tags, cfg.RunName = map[string]string{"lr": "0.1"}, map[string]string{"team": "north"}, "one"
	cfg.Inputs = []mlflow.DatasetInput{{Dataset: mlflow.Dataset{Name: "savanna", Digest: "ab"}}}
	r, err := mlflow.Start(t.Context(), cfg)
	require.NoError(t, err)
	require.NotEmpty(t, r.RunID())
	for i := range 50 {
		require.NoError(t, r.Log(t.Context(), int64(i), values(float64(i))...))
	}
	require.NoError(t, r.Log(t.Context(), 50, values(math.NaN())...))
	file := filepath.Join(t.TempDir(), "plots", "a b.txt")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte("picture"), 0o644))
	require.NoError(t, r.LogArtifact(filepath.Dir(file), "plots"))
	require.Error(t, r.LogArtifact(file, "../out"))
	r.End(nil)
	require.NoError(t, r.Close())

	run := onlyRun(t, srv.Store, "lions")
	require.Equal(t, mlflow.Finished, run.Info.Status)
	require.NotZero(t, run.Info.Ended)
	require.Equal(t, "one", run.Info.Name)
	require.Equal(t, "north", run.Data.Tag("team"))
	require.Equal(t, "LOCAL", run.Data.Tag("mlflow.source.type"))
	require.Equal(t, []mlflow.Param{{Key: "lr", Value: "0.1"}}, run.Data.Params)
	require.Equal(t, "savanna", run.Inputs.Datasets[0].Dataset.Name)
	h, err := srv.Store.MetricHistory(t.Context(), run.Info.ID, "AP_50_", 0, "")
	require.NoError(t, err)
	require.Len(t, h.Items, 51)
	client, err := mlflow.OpenREST(srv.URL, quick(t))
	require.NoError(t, err)
	a, err := mlflow.OpenArtifacts(client, run.Info.ArtifactURI)
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, a.Get(t.Context(), "plots/a b.txt", 0, &b))
	require.Equal(t, "picture", b.String())
	left, err := os.ReadDir(cfg.Spool)
	require.NoError(t, err)
	require.Empty(t, left, "a session that is sent leaves nothing behind")
}

func TestStatusOfTheEnd(t *testing.T) {
	for want, end := range map[mlflow.Status]error{mlflow.Finished: nil, mlflow.Failed: errors.New("out of memory"), mlflow.Killed: fmt.Errorf("stopped: %w", context.Canceled)} {
		cfg := recording(t, "sqlite:///"+filepath.Join(t.TempDir(), "m.db"))
		r, err := mlflow.Start(t.Context(), cfg)
		require.NoError(t, err)
		require.NoError(t, r.Handle(t.Context(), &wildtrain.Event{Kind: wildtrain.FitEnd, Err: end, Result: &wildtrain.Result{Stopped: "because"}}))
		id := r.RunID()
		require.NoError(t, r.Close())
		s, err := mlflow.Open(t.Context(), cfg.URI)
		require.NoError(t, err)
		run, err := s.Run(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, run.Info.Status)
		require.Equal(t, "because", run.Data.Tag("wildtrain.stopped"))
		require.NoError(t, s.Close())
	}
}

// Whatever a server does, values arrive in the end and Log does not wait.
func TestNothingIsLostWithABadServer(t *testing.T) {
	srv := newServer(t)
	var n, down atomic.Int64
	srv.Fail(func(r *http.Request) int {
		if down.Load() > 0 {
			return -1
		}
		return []int{0, 0, 0, 0, 0, 0, 429, 503, 0, 0, 0, 0, -1, 500}[n.Add(1)%14]
	})
	cfg := recording(t, srv.URL)
	cfg.CloseTimeout = 300 * time.Millisecond
	r, err := mlflow.Start(t.Context(), cfg)
	require.NoError(t, err, "a server that stumbles does not keep a training from beginning")
	const steps = 500
	took := make([]time.Duration, steps)
	for i := range steps {
		if i == 100 {
			down.Store(1)
		}
		begin := time.Now()
		require.NoError(t, r.Log(t.Context(), int64(i), values(1)...))
		took[i] = time.Since(begin)
		time.Sleep(100 * time.Microsecond)
	}
	slices.Sort(took)
	assert.Less(t, took[steps*90/100], 5*time.Millisecond, "nine of ten calls return at once even on a loaded machine")
	r.End(nil)
	require.ErrorContains(t, r.Close(), "wildtrain mlflow sync")

	_, err = mlflow.Sync(t.Context(), cfg.Spool, cfg.Log)
	require.Error(t, err, "the server is still down")
	down.Store(0)
	var sent []mlflow.Sent
	for range 200 { // each try ends at the next fault
		if sent, err = mlflow.Sync(t.Context(), cfg.Spool, cfg.Log); err == nil {
			break
		}
	}
	require.NoError(t, err)
	require.Len(t, sent, 1)
	require.False(t, sent[0].Died)
	srv.Fail(nil)
	run := onlyRun(t, srv.Store, "lions")
	require.Equal(t, mlflow.Finished, run.Info.Status)
	h, err := srv.Store.MetricHistory(t.Context(), run.Info.ID, "train/loss", 0, "")
	require.NoError(t, err)
	require.Len(t, h.Items, steps)
	sent, err = mlflow.Sync(t.Context(), cfg.Spool, cfg.Log)
	require.NoError(t, err)
	require.Empty(t, sent)
}

func TestWhatTheStoreRefusesIsKeptAndSaid(t *testing.T) {
	cfg := recording(t, "sqlite:///"+filepath.Join(t.TempDir(), "m.db"))
	r, err := mlflow.Start(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, r.LogParams(map[string]string{"lr": "1"}))
	require.NoError(t, r.LogParams(map[string]string{"lr": "2", "batch": "4"}))
	require.NoError(t, r.Log(t.Context(), 1, values(1)...))
	require.NoError(t, r.Log(t.Context(), 1, slices.Repeat([]wildtrain.Value{{Name: "many"}}, 2500)...))
	r.End(nil)
	err = r.Close()
	require.ErrorContains(t, err, "1 records were refused")
	s, err := mlflow.Open(t.Context(), cfg.URI)
	require.NoError(t, err)
	defer s.Close()
	run := onlyRun(t, s, "lions")
	require.Equal(t, []mlflow.Param{{Key: "batch", Value: "4"}, {Key: "lr", Value: "1"}}, run.Data.Params)
	require.Equal(t, mlflow.Finished, run.Info.Status)
	kept, err := filepath.Glob(filepath.Join(cfg.Spool, "*", "refused.jsonl"))
	require.NoError(t, err)
	require.Len(t, kept, 1)
}

func TestAFullQueueIsSaid(t *testing.T) {
	srv := newServer(t)
	cfg := recording(t, srv.URL)
	cfg.Queue = 1
	r, err := mlflow.Start(t.Context(), cfg)
	require.NoError(t, err)
	require.ErrorContains(t, r.Log(t.Context(), 1, values(1)...), "2 values are lost")
	r.End(nil)
	require.ErrorContains(t, r.Close(), "2 values are lost")
	require.Equal(t, "2", onlyRun(t, srv.Store, "lions").Data.Tag("wildtrain.lost"))
}

func TestARefusalAtTheStartIsAnError(t *testing.T) {
	srv := newServer(t)
	cfg := recording(t, srv.URL)
	cfg.RunID = "0123456789abcdef0123456789abcdef"
	_, err := mlflow.Start(t.Context(), cfg)
	require.Error(t, err)
	srv.Fail(func(*http.Request) int { return http.StatusUnauthorized })
	cfg.RunID = ""
	_, err = mlflow.Start(t.Context(), cfg)
	require.Error(t, err)
	cfg.Alias = "champion"
	_, err = mlflow.Start(t.Context(), cfg)
	require.ErrorContains(t, err, "Register")
}

func TestRunsGoOn(t *testing.T) {
	cfg := recording(t, "sqlite:///"+filepath.Join(t.TempDir(), "m.db"))
	for step := range 2 {
		r, err := mlflow.Start(t.Context(), cfg)
		require.NoError(t, err)
		require.NoError(t, r.Log(t.Context(), int64(step), values(1)...))
		r.End(nil)
		cfg.RunID = r.RunID()
		require.NoError(t, r.Close())
	}
	s, err := mlflow.Open(t.Context(), cfg.URI)
	require.NoError(t, err)
	defer s.Close()
	run := onlyRun(t, s, "lions")
	require.Equal(t, cfg.RunID, run.Info.ID)
	require.Equal(t, mlflow.Finished, run.Info.Status)
}

// TestMain lets a copy of the test program be the process that is killed.
func TestMain(m *testing.M) {
	if spool := os.Getenv("MLFLOW_TEST_VICTIM"); spool != "" {
		victim(spool)
	}
	os.Exit(m.Run())
}

// victim logs until it is killed, and tells each step that Log has taken.
func victim(spool string) {
	cfg := mlflow.DefaultConfig()
	cfg.URI, cfg.Spool, cfg.Experiment = os.Getenv("MLFLOW_TEST_URI"), spool, "lions"
	r, err := mlflow.Start(context.Background(), cfg)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := int64(0); ; i++ {
		if err := r.Log(context.Background(), i, wildtrain.Value{Name: "m", Value: 1}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(i)
		time.Sleep(time.Millisecond)
	}
}

func TestKilledProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	uri := "sqlite:///" + filepath.Join(t.TempDir(), "m.db")
	cfg := recording(t, uri)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "MLFLOW_TEST_VICTIM="+cfg.Spool, "MLFLOW_TEST_URI="+uri)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	lines, last := bufio.NewScanner(out), ""
	for lines.Scan() && last != "300" {
		last = lines.Text()
	}
	require.NoError(t, c.Process.Kill())
	for lines.Scan() {
		last = lines.Text()
	}
	_ = c.Wait() // it was killed

	var said strings.Builder
	cfg.Log, cfg.Experiment = slog.New(slog.NewTextHandler(&said, nil)), "others"
	r, err := mlflow.Start(t.Context(), cfg)
	require.NoError(t, err)
	require.Contains(t, said.String(), "ended without closing its run", "the next start says so")
	r.End(nil)
	require.NoError(t, r.Close())

	s, err := mlflow.Open(t.Context(), uri)
	require.NoError(t, err)
	defer s.Close()
	run := onlyRun(t, s, "lions")
	require.Equal(t, mlflow.Failed, run.Info.Status)
	require.NotEmpty(t, run.Data.Tag("wildtrain.died"))
	h, err := s.MetricHistory(t.Context(), run.Info.ID, "m", 0, "")
	require.NoError(t, err)
	var steps int64
	_, err = fmt.Sscan(last, &steps)
	require.NoError(t, err)
	t.Logf("killed after step %d, %d are stored", steps, len(h.Items))
	require.GreaterOrEqual(t, int64(len(h.Items)), steps-20, "at most the last batch of the queue is missing")
}

func TestSystemMetrics(t *testing.T) {
	cfg := recording(t, "sqlite:///"+filepath.Join(t.TempDir(), "m.db"))
	cfg.SystemMetrics, cfg.SystemEvery, cfg.SystemSamples = true, 20*time.Millisecond, 2
	r, err := mlflow.Start(t.Context(), cfg)
	require.NoError(t, err)
	time.Sleep(200 * time.Millisecond)
	r.End(nil)
	require.NoError(t, r.Close())
	s, err := mlflow.Open(t.Context(), cfg.URI)
	require.NoError(t, err)
	defer s.Close()
	run := onlyRun(t, s, "lions")
	share, ok := run.Data.Metric("system/system_memory_usage_percentage")
	if _, err := os.Stat("/proc/meminfo"); err == nil {
		require.True(t, ok)
		require.True(t, share > 0 && share < 100, share)
	}
}
