package tune_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/journal"
	"github.com/wildtrain/sdk/tune/rdb"
)

// Live tests against Optuna. WILDTRAIN_OPTUNA lists the Python programs of
// parity/setup_optuna.sh, separated by colons: the first is 5.0, others follow.
func pythons(t *testing.T) []string {
	t.Helper()
	list := os.Getenv("WILDTRAIN_OPTUNA")
	if list == "" {
		t.Skip("WILDTRAIN_OPTUNA names no Python with Optuna (parity/setup_optuna.sh)")
	}
	return strings.Split(list, ":")
}

func python(t *testing.T, program string, args ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command(program, append([]string{"testdata/peer.py"}, args...)...)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return string(out)
}

// shared is a store that both sides open.
type shared struct {
	name   string
	python string // the name for peer.py
	open   func(t *testing.T) tune.Storage
}

func stores(t *testing.T) []shared {
	dir := t.TempDir()
	db, log := filepath.Join(dir, "s.db"), filepath.Join(dir, "s.journal")
	return []shared{
		{"sqlite", "sqlite:///" + db, func(t *testing.T) tune.Storage {
			s, err := rdb.OpenSQLite(context.Background(), db)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			return s
		}},
		{"journal", "journal:" + log, func(t *testing.T) tune.Storage {
			s, err := journal.Open(log)
			require.NoError(t, err)
			return s
		}},
	}
}

// objective is that of peer.py.
func objective(_ context.Context, l *tune.Live) ([]float64, error) {
	x, err := l.Float("x", -5, 5, false)
	if err != nil {
		return nil, err
	}
	k, err := l.Int("k", 1, 64, true)
	if err != nil {
		return nil, err
	}
	c, err := l.Categorical("c", "a", nil, true, 2, 2.5)
	if err != nil {
		return nil, err
	}
	s, err := l.Step("s", 0, 1, 0.25)
	if err != nil {
		return nil, err
	}
	for step := range 3 {
		if err := l.Report(int64(step), x*x+float64(step)); err != nil {
			return nil, err
		}
	}
	if err := l.SetUserAttr(context.Background(), "from", "go"); err != nil {
		return nil, err
	}
	v := x*x + float64(k)/64 + s
	if c == "a" {
		v++
	}
	return []float64{v}, nil
}

func create(t *testing.T, s tune.Storage, o tune.Options) *tune.Study {
	t.Helper()
	o.Existing = true
	study, err := tune.Create(context.Background(), s, "study", o)
	require.NoError(t, err)
	return study
}

// dump is our side of peer.py's dump.
func dump(t *testing.T, v *tune.View) string {
	t.Helper()
	repr := func(f float64) string {
		out := strings.TrimSuffix(fmt.Sprint(f), "")
		if out == "+Inf" {
			return "inf"
		}
		return out
	}
	var trials []any
	for _, tr := range v.Trials {
		values := []any{}
		for _, x := range tr.Values {
			values = append(values, repr(x))
		}
		dists, reports, user := map[string]any{}, map[string]any{}, map[string]any{}
		for name, p := range tr.Params {
			text, err := tune.MarshalDistribution(p.Dist)
			require.NoError(t, err)
			var d any
			require.NoError(t, json.Unmarshal([]byte(text), &d))
			dists[name] = d
		}
		for step, x := range tr.Reports {
			reports[fmt.Sprint(step)] = repr(x)
		}
		for key, text := range tr.UserAttrs {
			var x any
			require.NoError(t, json.Unmarshal([]byte(text), &x))
			user[key] = x
		}
		trials = append(trials, map[string]any{"number": tr.Number, "state": tr.State.String(), "values": values, "dists": dists, "reports": reports, "user": user})
	}
	out, err := json.Marshal(map[string]any{"trials": trials, "best": v.Best().Number})
	require.NoError(t, err)
	return string(out)
}

// sameStudy compares what Python sees with what we see; floats are compared as numbers.
func sameStudy(t *testing.T, v *tune.View, theirs string) {
	t.Helper()
	type study struct {
		Best   int
		Trials []struct {
			Number       int
			State        string
			Values       []json.Number
			Dists        map[string]any
			Reports      map[string]json.Number
			User, Params map[string]any
		}
	}
	parse := func(text string) (s study) {
		text = strings.NewReplacer(`"inf"`, "1e308", `"nan"`, "0").Replace(text)
		require.NoError(t, json.Unmarshal([]byte(text), &s))
		for i := range s.Trials {
			for j, n := range s.Trials[i].Values {
				f, err := n.Float64()
				require.NoError(t, err)
				s.Trials[i].Values[j] = json.Number(fmt.Sprint(f))
			}
			for k, n := range s.Trials[i].Reports {
				f, err := n.Float64()
				require.NoError(t, err)
				s.Trials[i].Reports[k] = json.Number(fmt.Sprint(f))
			}
			for k, p := range s.Trials[i].Params { // Python's parameters against ours
				ours, ok := v.Trials[i].Value(k)
				require.True(t, ok)
				if f, ok := ours.(float64); ok {
					ours = fmt.Sprint(f)
					if q, ok := p.(string); ok {
						var g float64
						_, err := fmt.Sscan(q, &g)
						require.NoError(t, err)
						p = fmt.Sprint(g)
					}
				}
				require.Equal(t, fmt.Sprint(ours), fmt.Sprint(p), "trial %d %s", i, k)
			}
			s.Trials[i].Params = nil
		}
		return s
	}
	require.Equal(t, parse(theirs), parse(dump(t, v)))
}

func TestOptunaSharesStores(t *testing.T) {
	for _, program := range pythons(t) {
		for _, s := range stores(t) {
			t.Run(filepath.Base(filepath.Dir(filepath.Dir(program)))+" "+s.name, func(t *testing.T) {
				ctx := context.Background()
				study := create(t, s.open(t), tune.Options{Sampler: tune.NewTPE(1)})
				require.NoError(t, study.Enqueue(ctx, map[string]any{"x": 1, "c": nil}, map[string]string{"note": `"ü"`}))
				require.NoError(t, study.Optimize(ctx, tune.Plan{Trials: 15}, objective))
				v, err := study.View(ctx)
				require.NoError(t, err)
				sameStudy(t, v, python(t, program, "dump", s.python, "study"))
				python(t, program, "more", s.python, "study", "5")
				require.NoError(t, study.Optimize(ctx, tune.Plan{Trials: 25}, objective))
				v, err = create(t, s.open(t), tune.Options{}).View(ctx)
				require.NoError(t, err)
				require.Len(t, v.Trials, 25)
				require.Equal(t, `"python"`, v.Trials[17].UserAttrs["from"])
				sameStudy(t, v, python(t, program, "dump", s.python, "study", "1"))
			})
		}
	}
}

func TestWorkersOfBothSides(t *testing.T) {
	program := pythons(t)[0]
	for _, s := range stores(t) {
		t.Run(s.name, func(t *testing.T) {
			ctx := context.Background()
			create(t, s.open(t), tune.Options{})
			const workers, each = 4, 6
			var wait sync.WaitGroup
			errs := make(chan error, 2*workers)
			for w := range workers {
				study := create(t, s.open(t), tune.Options{Sampler: tune.NewTPE(uint64(w))})
				wait.Go(func() {
					for range each {
						l, err := study.Ask(ctx)
						if err == nil {
							var v []float64
							if v, err = objective(ctx, l); err == nil {
								err = study.Tell(ctx, l, tune.Complete, v...)
							}
						}
						errs <- err
					}
				})
				wait.Go(func() {
					out, err := exec.Command(program, "testdata/peer.py", "work", s.python, "study", fmt.Sprint(each)).CombinedOutput()
					if err != nil {
						err = fmt.Errorf("%w: %s", err, out)
					}
					errs <- err
				})
			}
			go func() { wait.Wait(); close(errs) }()
			for err := range errs {
				require.NoError(t, err)
			}
			v, err := create(t, s.open(t), tune.Options{}).View(ctx)
			require.NoError(t, err)
			require.Len(t, v.Trials, 2*workers*each)
			from := map[string]int{}
			for i, tr := range v.Trials {
				require.Equal(t, i, tr.Number)
				require.Equal(t, tune.Complete, tr.State)
				from[tr.UserAttrs["from"]]++
			}
			require.Equal(t, map[string]int{`"go"`: workers * each, `"python"`: workers * each}, from)
			sameStudy(t, v, python(t, program, "dump", s.python, "study"))
		})
	}
}

func TestKilledPythonTrialIsRetried(t *testing.T) {
	program, s := pythons(t)[0], stores(t)[0] // Optuna's journal has no heartbeat
	ctx := context.Background()
	study := create(t, s.open(t), tune.Options{Grace: 3 * time.Second, Retry: 1})
	cmd := exec.Command(program, "testdata/peer.py", "die", s.python, "study")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = out.Read(make([]byte, 1)) // it has begun
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	time.Sleep(5 * time.Second)
	require.NoError(t, study.Optimize(ctx, tune.Plan{Trials: 1}, objective))
	v, err := study.View(ctx)
	require.NoError(t, err)
	require.Len(t, v.Trials, 2)
	require.Equal(t, tune.Failed, v.Trials[0].State)
	require.Equal(t, v.Trials[0].Params["x"].Value, v.Trials[1].Params["x"].Value, "the retry has the same values")
	require.Equal(t, "[0]", v.Trials[1].SystemAttrs["retry_history"])
}
