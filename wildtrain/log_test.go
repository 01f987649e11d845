package wildtrain_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

func TestCSVLogGrowsAndResumes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "metrics.csv")
	log := func(l *wildtrain.CSVLog, step int64, values ...wildtrain.Value) {
		t.Helper()
		require.NoError(t, l.Log(t.Context(), step, values...))
	}
	l, err := wildtrain.NewCSVLog(path)
	require.NoError(t, err)
	log(l, 1, wildtrain.Value{Name: "loss", Value: 0.1})
	log(l, 2, wildtrain.Value{Name: "loss", Value: math.NaN()}, wildtrain.Value{Name: "AP, \"zebra\"", Value: 1.0 / 3})
	log(l, 3, wildtrain.Value{Name: "loss", Value: 7})

	// Resumed after epoch 2: row 3 is written again, with another new column.
	l, err = wildtrain.NewCSVLog(path)
	require.NoError(t, err)
	log(l, 3, wildtrain.Value{Name: "loss", Value: math.Inf(1)}, wildtrain.Value{Name: "val", Value: 2})
	rows, err := csv.NewReader(strings.NewReader(read(t, path))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, [][]string{
		{"epoch", "loss", "AP, \"zebra\"", "val"},
		{"1", "0.1", "", ""},
		{"2", "NaN", "0.3333333333333333", ""},
		{"3", "+Inf", "", "2"},
	}, rows)
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")

	require.NoError(t, os.WriteFile(path, []byte("time,loss\n1,2\n"), 0o644))
	_, err = wildtrain.NewCSVLog(path)
	require.ErrorContains(t, err, `the first column is "time"`)
	require.NoError(t, os.WriteFile(path, []byte("epoch,loss\none,2\n"), 0o644))
	_, err = wildtrain.NewCSVLog(path)
	require.ErrorContains(t, err, "row 2")
}

// Whatever a file holds, opening it gives an error or a table that can be
// written on and read again.
func FuzzCSVLog(f *testing.F) {
	f.Add("epoch,loss\n1,0.5\n", int64(2))
	f.Add("\n\n", int64(1))
	f.Add("epoch\n\"1\n", int64(1))
	f.Add("epoch,a,a\n9223372036854775807,,\n", int64(-1))
	f.Fuzz(func(t *testing.T, content string, step int64) {
		path := filepath.Join(t.TempDir(), "metrics.csv")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		l, err := wildtrain.NewCSVLog(path)
		if err != nil {
			return
		}
		require.NoError(t, l.Log(t.Context(), step, wildtrain.Value{Name: "x, \"y\"\n", Value: 1}))
		again, err := wildtrain.NewCSVLog(path)
		require.NoError(t, err)
		require.NoError(t, again.Log(t.Context(), step, wildtrain.Value{Name: "x, \"y\"\n", Value: 1}))
	})
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestEventLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "events.jsonl")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(`{"kind":"cut sho`), 0o644))
	l, err := wildtrain.NewEventLog(path)
	require.NoError(t, err)
	data := wildtraintest.NewBlobs(24, 8)
	_, err = trainer(t, small(2), wildtrain.WithCallbacks(l), wildtrain.WithSaver(&wildtraintest.Memory{})).
		Fit(t.Context(), wildtraintest.ForBlobs(data, 1), data)
	require.NoError(t, err)
	require.NoError(t, l.Handle(t.Context(), &wildtrain.Event{Kind: wildtrain.EpochEnd, Values: []wildtrain.Value{{Name: "a", Value: math.NaN()}, {Name: "b", Value: math.Inf(-1)}}}))
	require.NoError(t, l.Close())

	lines := strings.Split(strings.TrimSuffix(read(t, path), "\n"), "\n")
	require.Equal(t, `{"kind":"cut sho`, lines[0], "what was there stays")
	var kinds []string
	var last map[string]any
	for _, line := range lines[1:] {
		last = nil
		require.NoError(t, json.Unmarshal([]byte(line), &last), line)
		kinds = append(kinds, last["kind"].(string))
	}
	require.Equal(t, []string{
		"fit_start",
		"epoch_start", "validate_start", "validate_end", "saved", "saved", "epoch_end",
		"epoch_start", "validate_start", "validate_end",
	}, kinds[:10])
	require.Equal(t, map[string]any{"a": "NaN", "b": "-Infinity"}, last["values"])
}

func TestConsolePlain(t *testing.T) {
	require.Equal(t, strings.TrimLeft(`
training linear: 51 parameters, 3 classes, epoch 1 of 2
epoch 1/2  2/3  0.8 images/s  left 40s  loss L  wrong L
epoch 1/2  train/loss L  train/wrong L  accuracy L  val/loss L  lr L
epoch 2/2  2/3  0.8 images/s  left 10s  loss L  wrong L
epoch 2/2  train/loss L  train/wrong L  accuracy L  val/loss L  lr L
done: best accuracy L in epoch L
`, "\n"), withoutNumbers(watch(t, false)))
}

func TestConsoleTerminal(t *testing.T) {
	out := watch(t, true)
	require.Contains(t, out, "\repoch 1/2  1/3 [======              ]  0.8 images/s  left 50s  loss ")
	require.Contains(t, out, "\repoch 1/2  3/3 [====================]  0.8 images/s  left 30s  loss ")
	for _, line := range strings.Split(out, "\n") {
		if i := strings.LastIndex(line, "\x1b[K"); i >= 0 {
			require.NotContains(t, line[i+3:], "\r", "an open line is erased before a whole one")
		}
	}
	for _, part := range strings.Split(out, "\r") {
		require.LessOrEqual(t, len(strings.SplitN(part, "\x1b", 2)[0]), 99, "a longer line would wrap and could not be written over")
	}
}

// watch trains for two epochs of three batches that take ten seconds each.
func watch(t *testing.T, terminal bool) string {
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		data := wildtraintest.NewBlobs(24, 8)
		model := wildtraintest.ForBlobs(data, 1)
		wait := 10 * time.Second
		if !terminal {
			wait = 10*time.Second - 1 // so that not every batch is shown
		}
		model.Hook = func(int, *wildtrain.Batch) error {
			time.Sleep(wait)
			return nil
		}
		_, err := trainer(t, small(2), wildtrain.WithCallbacks(wildtrain.NewConsole(&out, terminal))).Fit(t.Context(), model, data)
		require.NoError(t, err)
	})
	return out.String()
}

// withoutNumbers replaces what the model's arithmetic decides.
func withoutNumbers(s string) string {
	words := strings.Split(s, " ")
	for i, w := range words {
		if i == 0 {
			continue
		}
		head, tail, _ := strings.Cut(w, "\n")
		switch prev := words[i-1]; {
		case strings.Contains(prev, "loss"), strings.HasSuffix(prev, "wrong"), prev == "accuracy", prev == "lr",
			prev == "epoch" && !strings.Contains(head, "/") && i > len(words)-3:
			words[i] = "L"
			if tail != "" || strings.HasSuffix(w, "\n") {
				words[i] += "\n" + tail
			}
		}
	}
	return strings.Join(words, " ")
}
