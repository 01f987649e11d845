//go:build parity && unix

package mlflow_test

import (
	"log/slog"
	"math"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/wildtrain"
)

// logMany records n metrics, ten a call as Python's peer does, and tells how many a second arrive.
func logMany(t *testing.T, uri string, n int) float64 {
	cfg := recording(t, uri)
	cfg.Experiment = "speed"
	r, err := mlflow.Start(t.Context(), cfg)
	require.NoError(t, err)
	ten := make([]wildtrain.Value, 10)
	for k := range ten {
		ten[k].Name = "m" + string(rune('0'+k))
	}
	begin := time.Now()
	for i := range n / 10 {
		for k := range ten {
			ten[k].Value = float64(i)
		}
		require.NoError(t, r.Log(t.Context(), int64(i), ten...))
	}
	require.NoError(t, r.Flush(t.Context()))
	seconds := time.Since(begin).Seconds()
	r.End(nil)
	require.NoError(t, r.Close())
	return float64(n) / seconds
}

// Metrics arrive ten times as fast as from Python, in a file with SQLite's own
// durability and on a server.
func TestParitySpeed(t *testing.T) {
	var file, rest struct {
		PerSecond float64 `json:"per_second"`
	}
	uri := "sqlite:///" + filepath.Join(t.TempDir(), "m.db")
	s, err := mlflow.Open(t.Context(), uri)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	ours := logMany(t, uri, 50000)
	peer(t, "3.17", &file, nil, "write", uri, "speed", "1000")
	t.Logf("file: ours %.0f/s, Python %.0f/s, ratio %.0f", ours, file.PerSecond, ours/file.PerSecond)
	assert.Greater(t, ours/file.PerSecond, 10.0)
	address := server(t, "3.17", t.TempDir())
	peer(t, "3.17", &rest, nil, "write", address, "speed", "1000")
	ours = logMany(t, address, 20000)
	t.Logf("server: ours %.0f/s, Python %.0f/s, ratio %.0f", ours, rest.PerSecond, ours/rest.PerSecond)
	assert.Greater(t, ours/rest.PerSecond, 10.0)
}

// compute keeps a core as busy as a training step does: on one that sleeps between
// two calls, a virtual machine's needs 0.1 ms to run at all.
func compute(d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
	}
}

// Between us and a real server stands a proxy that answers 429 and 503, breaks
// connections and stalls for 30 s; the server itself is stopped for a minute.
func TestParityFaults(t *testing.T) {
	address := server(t, "3.17", t.TempDir())
	target, err := url.Parse(address)
	require.NoError(t, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	var n, clean, stopped atomic.Int64
	proxy := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clean.Load() == 0 {
			switch n.Add(1) % 9 {
			case 3:
				w.WriteHeader(http.StatusTooManyRequests)
				return
			case 5:
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			case 7:
				panic(http.ErrAbortHandler)
			case 8:
				time.Sleep(30 * time.Second)
			}
		}
		if stopped.Load() == 1 {
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	})}
	l := listen(t)
	go proxy.Serve(l)
	t.Cleanup(func() { proxy.Close() })

	cfg := recording(t, "http://"+l.Addr().String())
	cfg.CloseTimeout, cfg.Log = 2*time.Second, slog.New(slog.DiscardHandler)
	r, err := mlflow.Start(t.Context(), cfg)
	require.NoError(t, err)
	const steps = 6000
	took := make([]time.Duration, steps)
	begin := time.Now()
	for i := range steps {
		switch since := time.Since(begin); { // a minute in which the server is dead
		case since > 20*time.Second && since < 80*time.Second:
			stopped.Store(1)
		default:
			stopped.Store(0)
		}
		before := time.Now()
		err := r.Log(t.Context(), int64(i), wildtrain.Value{Name: "loss", Value: 1}, wildtrain.Value{Name: "AP", Value: 2})
		took[i] = time.Since(before)
		require.NoError(t, err)
		compute(18 * time.Millisecond)
	}
	slices.Sort(took)
	t.Logf("Log: median %v, p99 %v, most %v over %d calls in %v", took[steps/2], took[steps*99/100], took[steps-1], steps, time.Since(begin).Round(time.Second))
	assert.LessOrEqual(t, took[steps*99/100], 50*time.Microsecond)
	r.End(nil)
	t.Logf("close: %v", r.Close())
	clean.Store(1)
	stopped.Store(0)
	sent, err := mlflow.Sync(t.Context(), cfg.Spool, cfg.Log)
	require.NoError(t, err)
	t.Logf("sync: %+v", sent)
	s, err := mlflow.OpenREST(address, quick(t))
	require.NoError(t, err)
	run := onlyRun(t, s, "lions")
	require.Equal(t, mlflow.Finished, run.Info.Status)
	h, err := s.MetricHistory(t.Context(), run.Info.ID, "loss", 0, "")
	require.NoError(t, err)
	require.Len(t, h.Items, steps, "nothing is lost")
}

// Models that we package load in Python by alias, stage, version and id.
func TestParityModels(t *testing.T) {
	for _, kind := range []string{mlflow.TorchScriptFile, mlflow.ONNXFile} {
		made := t.TempDir()
		var want []float64
		peer(t, "3.17", &want, nil, "make", made)
		open := map[string]func(*testing.T) mlflow.Store{
			"file": func(t *testing.T) mlflow.Store { return openFile(t, mlflow.SQLiteOptions{}) },
			"server": func(t *testing.T) mlflow.Store {
				s, err := mlflow.OpenREST(server(t, "3.17", t.TempDir()), quick(t))
				require.NoError(t, err)
				return s
			},
		}
		for name, store := range open {
			t.Run(name+"/"+kind, func(t *testing.T) {
				s := store(t)
				g := registration(t, 0.5, "h")
				data, err := os.ReadFile(filepath.Join(made, kind))
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(g.Dir, kind), data, 0o644))
				v, _, err := (&mlflow.Registrar{Store: s, Alias: "champion", Stage: "Production"}).RegisterVersion(t.Context(), g)
				require.NoError(t, err)
				var got map[string][]float64
				peer(t, "3.17", &got, nil, "load", s.URI(), "models:/kudus@champion", "models:/kudus/Production", "models:/kudus/1", "models:/kudus/latest", "models:/"+v.ModelID)
				require.Len(t, got, 5)
				for uri, y := range got {
					require.Len(t, y, len(want), uri)
					for i := range y {
						require.LessOrEqual(t, math.Abs(y[i]-want[i]), 1e-4, uri)
					}
				}
			})
		}
	}
}

// The interface of MLflow shows what we write, while we write it.
func TestParityUI(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s, err := mlflow.Open(t.Context(), mlflow.DefaultURI)
	require.NoError(t, err)
	defer s.Close()
	playScript(t, s, "go", "gomodel")
	address := server(t, "3.17", dir, "ui")
	r := newRun(t, s, "1")
	require.NoError(t, s.LogBatch(t.Context(), r.Info.ID, mlflow.Batch{Metrics: []mlflow.Metric{{Key: "live", Value: 7}}}))
	seen, err := mlflow.OpenREST(address, quick(t))
	require.NoError(t, err)
	p, err := seen.SearchRuns(t.Context(), mlflow.RunQuery{ExperimentIDs: []string{"1"}, Query: mlflow.Query{Filter: "metrics.live = 7"}})
	require.NoError(t, err)
	require.Len(t, p.Items, 1)
	require.Equal(t, "ok", integrity(t, "mlflow.db"))
	if hold := os.Getenv("WILDTRAIN_HOLD"); hold != "" { // time to look with a browser
		d, err := time.ParseDuration(hold)
		require.NoError(t, err)
		t.Log(address)
		require.NoError(t, os.WriteFile(filepath.Join(os.TempDir(), "wildtrain-ui-address"), []byte(address), 0o644))
		time.Sleep(d)
	}
}
