package journal

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/internal/storagetest"
)

func TestJournal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "study.journal")
	storagetest.Run(t, func(t *testing.T) tune.Storage {
		s, err := Open(file)
		require.NoError(t, err)
		return s
	})
	_, err := os.Lstat(file + ".lock")
	require.ErrorIs(t, err, os.ErrNotExist)
}

const begun = `{"op_code":0,"worker_id":"w","study_name":"s","directions":[1]}
{"op_code":4,"worker_id":"w","study_id":0,"datetime_start":"2026-01-02T03:04:05.000006+00:00"}
`

func TestBrokenLastLineIsReplaced(t *testing.T) {
	ctx, file := context.Background(), filepath.Join(t.TempDir(), "j")
	require.NoError(t, os.WriteFile(file, []byte(begun+`{"op_code":6,"tri`), 0o644))
	s, err := Open(file)
	require.NoError(t, err)
	require.NoError(t, s.Update(ctx, 0, tune.Change{Kind: tune.SetReport, Step: 1, Value: math.NaN()}))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "}\n"+`{"intermediate_value":NaN,"op_code":7,`)
	_, err = Open(file)
	require.NoError(t, err)
}

func TestBrokenLineIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "j")
	for bad, want := range map[string]string{
		"{\"op_code\":6\n":                 "j:3: pyjson",
		"[]\n":                             "j:3: the record is no object",
		"{\"op_code\":77}\n":               "op_code 77 is unknown",
		"{\"op_code\":5,\"trial_id\":0}\n": `field "param_name" is missing or wrong`,
		"{\"op_code\":7,\"trial_id\":0,\"s\":1}\n": `field "step" is missing or wrong`,
	} {
		require.NoError(t, os.WriteFile(file, []byte(begun+bad), 0o644))
		_, err := Open(file)
		require.ErrorContains(t, err, want)
	}
}

func TestLaterClaimHasNoEffect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "j")
	text := `{"op_code":0,"worker_id":"w","study_name":"s","directions":[1]}
{"op_code":4,"worker_id":"w","study_id":0,"datetime_start":null,"state":4}
{"op_code":6,"worker_id":"a","trial_id":0,"state":0,"values":null,"datetime_start":"2026-01-01T00:00:01+00:00"}
{"op_code":6,"worker_id":"b","trial_id":0,"state":0,"values":null,"datetime_start":"2026-01-01T00:00:09+00:00"}
`
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	s, err := Open(file)
	require.NoError(t, err)
	trials, err := s.Trials(context.Background(), 0)
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC), trials[0].Start)
}

func TestLockOfADeadProcess(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	file := filepath.Join(t.TempDir(), "j")
	s, err := Open(file)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(file, file+".lock"))
	_, err = s.CreateStudy(ctx, "s", []tune.Direction{tune.Minimize})
	require.ErrorIs(t, err, context.DeadlineExceeded, "a fresh lock is respected")
}

func FuzzReplay(f *testing.F) {
	f.Add([]byte(begun))
	f.Add([]byte(begun + `{"op_code":4,"worker_id":"w","study_id":0,"datetime_start":null,"state":1,"value":null,"values":[1,Infinity],"datetime_complete":"2026-01-02T03:04:05","params":{"x":0.5},"distributions":{"x":"{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, \"low\": 0.0, \"high\": 1.0, \"log\": false}}"},"intermediate_values":{"0":NaN},"user_attrs":{},"system_attrs":{"a":[1]}}` + "\n"))
	f.Add([]byte(begun + `{"op_code":5,"worker_id":"w","trial_id":0,"param_name":"c","param_value_internal":1,"distribution":"{\"type\": \"categorical\", \"choices\": [1, null]}"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "j")
		require.NoError(t, os.WriteFile(file, data, 0o644))
		s, err := Open(file)
		if err != nil {
			return
		}
		all, err := s.Studies(context.Background())
		require.NoError(t, err)
		for _, record := range all {
			trials, err := s.Trials(context.Background(), record.ID)
			require.NoError(t, err)
			for i, trial := range trials {
				require.Equal(t, i, trial.Number)
				trial.External()
			}
		}
	})
}
