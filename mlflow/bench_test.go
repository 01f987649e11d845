package mlflow_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/wildtrain"
)

// BenchmarkLog times one call of Recorder.Log with ten values, as a training
// makes it, and tells its 99th percentile beside the mean.
func BenchmarkLog(b *testing.B) {
	cfg := mlflow.DefaultConfig()
	cfg.URI, cfg.Spool, cfg.Queue = "sqlite:///"+filepath.Join(b.TempDir(), "m.db"), b.TempDir(), 1<<30
	r, err := mlflow.Start(b.Context(), cfg)
	require.NoError(b, err)
	ten := make([]wildtrain.Value, 10)
	for k := range ten {
		ten[k].Name = "val/loss" + string(rune('0'+k))
	}
	took := make([]time.Duration, 0, b.N)
	for i := int64(0); b.Loop(); i++ {
		begin := time.Now()
		if err := r.Log(b.Context(), i, ten...); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns/op")
	r.End(nil)
	require.NoError(b, r.Close())
}

// BenchmarkStore writes batches of 1,000 metrics into a file with SQLite's own durability.
func BenchmarkStore(b *testing.B) {
	s, err := mlflow.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "m.db"), mlflow.SQLiteOptions{Artifacts: b.TempDir()})
	require.NoError(b, err)
	run, err := s.CreateRun(b.Context(), mlflow.NewRun{ExperimentID: "0"})
	require.NoError(b, err)
	metrics := make([]mlflow.Metric, 1000)
	for step := int64(0); b.Loop(); step++ {
		for i := range metrics {
			metrics[i] = mlflow.Metric{Key: "m" + string(rune('a'+i%20)), Value: float64(i), Timestamp: mlflow.Millis(i), Step: step}
		}
		require.NoError(b, s.LogBatch(b.Context(), run.Info.ID, mlflow.Batch{Metrics: metrics}))
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "metrics/s")
	require.NoError(b, s.Close())
}
