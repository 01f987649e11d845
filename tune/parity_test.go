//go:build parity

package tune_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/journal"
	"github.com/wildtrain/sdk/tune/rdb"
)

// python runs peer.py and returns what it prints.
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
	python string // the address for peer.py
	goes   string // the address for openShared
}

// stores are fresh ones: SQLite, a journal, and the servers that the environment
// names (parity/optuna-servers.sh).
func stores(t *testing.T) []shared {
	t.Helper()
	dir := t.TempDir()
	out := []shared{
		{"sqlite", "sqlite:///" + filepath.Join(dir, "s.db"), "sqlite:///" + filepath.Join(dir, "s.db")},
		{"journal", "journal:" + filepath.Join(dir, "s.journal"), "journal:" + filepath.Join(dir, "s.journal")},
	}
	for _, server := range []struct{ name, variable, driver string }{
		{"postgres", "WILDTRAIN_POSTGRES", "postgresql+psycopg2"}, {"mysql", "WILDTRAIN_MYSQL", "mysql+pymysql"},
	} {
		if address := os.Getenv(server.variable); address != "" {
			_, rest, _ := strings.Cut(address, "://")
			out = append(out, shared{server.name, server.driver + "://" + rest, address})
		}
	}
	return out
}

func openShared(t *testing.T, address string) tune.Storage {
	t.Helper()
	if file, ok := strings.CutPrefix(address, "journal:"); ok {
		s, err := journal.Open(file)
		require.NoError(t, err)
		return s
	}
	s, err := rdb.OpenURL(context.Background(), address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
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

// open opens a study of a store, or makes it.
func (s shared) open(t *testing.T, study string, o tune.Options) *tune.Study {
	t.Helper()
	o.Existing = true
	out, err := tune.Create(context.Background(), openShared(t, s.goes), study, o)
	require.NoError(t, err)
	return out
}

// named is a study's name that no earlier run has left on a server.
func named(t *testing.T) string {
	return fmt.Sprintf("%s %d", strings.ReplaceAll(t.Name(), "/", " "), time.Now().UnixNano())
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

func TestParityStores(t *testing.T) {
	for _, program := range tune.Pythons(t) {
		for _, s := range stores(t) {
			t.Run(filepath.Base(filepath.Dir(filepath.Dir(program)))+" "+s.name, func(t *testing.T) {
				ctx, name := context.Background(), named(t)
				study := s.open(t, name, tune.Options{Sampler: tune.NewTPE(1)})
				require.NoError(t, study.Enqueue(ctx, map[string]any{"x": 1, "c": nil}, map[string]string{"note": `"ü"`}))
				require.NoError(t, study.Optimize(ctx, tune.Plan{Trials: 15}, objective))
				v, err := study.View(ctx)
				require.NoError(t, err)
				sameStudy(t, v, python(t, program, "dump", s.python, name))
				python(t, program, "more", s.python, name, "5")
				require.NoError(t, study.Optimize(ctx, tune.Plan{Trials: 25}, objective))
				v, err = s.open(t, name, tune.Options{}).View(ctx)
				require.NoError(t, err)
				require.Len(t, v.Trials, 25)
				require.Equal(t, `"python"`, v.Trials[17].UserAttrs["from"])
				sameStudy(t, v, python(t, program, "dump", s.python, name, "1"))
			})
		}
	}
}

// TestParityStoresOfOptuna has Python make the tables and the study.
func TestParityStoresOfOptuna(t *testing.T) {
	for _, program := range tune.Pythons(t) {
		for _, s := range stores(t) {
			t.Run(filepath.Base(filepath.Dir(filepath.Dir(program)))+" "+s.name, func(t *testing.T) {
				ctx, name := context.Background(), named(t)
				python(t, program, "make", s.python, name, "8")
				study := s.open(t, name, tune.Options{})
				v, err := study.View(ctx)
				require.NoError(t, err)
				require.Len(t, v.In(tune.Complete), 8)
				sameStudy(t, v, python(t, program, "dump", s.python, name))
				require.NoError(t, study.Optimize(ctx, tune.Plan{Trials: 12}, objective))
				v, err = study.View(ctx)
				require.NoError(t, err)
				sameStudy(t, v, python(t, program, "dump", s.python, name))
			})
		}
	}
}

// TestWorkerProcess is a process of other tests here: WILDTRAIN_TUNE_WORKER holds
// what it does, the store, the study and how many trials.
func TestWorkerProcess(t *testing.T) {
	args := strings.Split(os.Getenv("WILDTRAIN_TUNE_WORKER"), "\n")
	if len(args) != 4 {
		t.Skip("a process of other tests")
	}
	ctx := context.Background()
	n, err := strconv.Atoi(args[3])
	require.NoError(t, err)
	study := shared{goes: args[1]}.open(t, args[2], tune.Options{Sampler: tune.NewTPE(uint64(os.Getpid())), Beat: 500 * time.Millisecond})
	for range n {
		l, err := study.Ask(ctx)
		require.NoError(t, err)
		values, err := objective(ctx, l)
		require.NoError(t, err)
		if args[0] == "hang" {
			require.NoError(t, l.SetUserAttr(ctx, "checkpoint", "step-3"))
			fmt.Println("begun")
			time.Sleep(time.Minute)
		}
		require.NoError(t, study.Tell(ctx, l, tune.Complete, values...))
	}
}

// worker is a process that works on a study.
func worker(do, address, study string, n int) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestWorkerProcess$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("WILDTRAIN_TUNE_WORKER=%s\n%s\n%s\n%d", do, address, study, n))
	return cmd
}

func TestParityWorkers(t *testing.T) {
	program := tune.Pythons(t)[0]
	for _, s := range stores(t) {
		t.Run(s.name, func(t *testing.T) {
			name := named(t)
			study := s.open(t, name, tune.Options{})
			const workers, each = 4, 6
			var wait sync.WaitGroup
			errs := make(chan error, 2*workers)
			for range workers {
				for _, cmd := range []*exec.Cmd{
					worker("work", s.goes, name, each),
					exec.Command(program, "testdata/peer.py", "work", s.python, name, fmt.Sprint(each)),
				} {
					wait.Go(func() {
						out, err := cmd.CombinedOutput()
						if err != nil {
							err = fmt.Errorf("%w: %s", err, out)
						}
						errs <- err
					})
				}
			}
			wait.Wait()
			close(errs)
			for err := range errs {
				require.NoError(t, err)
			}
			v, err := study.View(context.Background())
			require.NoError(t, err)
			require.Len(t, v.Trials, 2*workers*each, "none is lost")
			from := map[string]int{}
			for i, tr := range v.Trials {
				require.Equal(t, i, tr.Number, "none is there twice")
				require.Equal(t, tune.Complete, tr.State)
				from[tr.UserAttrs["from"]]++
			}
			require.Equal(t, map[string]int{`"go"`: workers * each, `"python"`: workers * each}, from)
			sameStudy(t, v, python(t, program, "dump", s.python, name))
		})
	}
}

// kill kills a process (SIGKILL) as soon as it has printed something.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = out.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
}

// retried waits until the killed trial 0 counts as dead, has rescue run one more
// trial, and checks that it is the dead one's.
func retried(t *testing.T, study *tune.Study, rescue func()) *tune.Trial {
	t.Helper()
	time.Sleep(5 * time.Second)
	rescue()
	v, err := study.View(context.Background())
	require.NoError(t, err)
	require.Len(t, v.Trials, 2)
	require.Equal(t, tune.Failed, v.Trials[0].State)
	require.Equal(t, tune.Complete, v.Trials[1].State)
	require.Equal(t, v.Trials[0].Params["x"].Value, v.Trials[1].Params["x"].Value, "the retry has the same values")
	require.Equal(t, "[0]", v.Trials[1].SystemAttrs["retry_history"])
	return v.Trials[1]
}

func TestParityKilledWorker(t *testing.T) {
	program, ctx := tune.Pythons(t)[0], context.Background()
	patient := tune.Options{Grace: 3 * time.Second, Retry: 1}
	for _, s := range stores(t) {
		t.Run("ours by us "+s.name, func(t *testing.T) {
			name := named(t)
			study := s.open(t, name, patient)
			kill(t, worker("hang", s.goes, name, 1))
			again := retried(t, study, func() { require.NoError(t, study.Optimize(ctx, tune.Plan{Trials: 1}, objective)) })
			require.Equal(t, `"step-3"`, again.UserAttrs["checkpoint"])
		})
		if s.name == "journal" {
			continue // Optuna's journal has no heartbeat
		}
		t.Run("python's by us "+s.name, func(t *testing.T) {
			name := named(t)
			study := s.open(t, name, patient)
			kill(t, exec.Command(program, "testdata/peer.py", "die", s.python, name))
			retried(t, study, func() { require.NoError(t, study.Optimize(ctx, tune.Plan{Trials: 1}, objective)) })
		})
		t.Run("ours by python "+s.name, func(t *testing.T) {
			name := named(t)
			study := s.open(t, name, tune.Options{})
			kill(t, worker("hang", s.goes, name, 1))
			again := retried(t, study, func() { python(t, program, "rescue", s.python, name, "1") })
			require.Equal(t, `"step-3"`, again.UserAttrs["checkpoint"])
		})
	}
}

// TestParityDashboard has optuna-dashboard show what we wrote, by its HTTP API.
func TestParityDashboard(t *testing.T) {
	program, ctx := tune.Pythons(t)[0], context.Background()
	for _, s := range stores(t) {
		t.Run(s.name, func(t *testing.T) {
			name := named(t)
			study := s.open(t, name, tune.Options{MetricNames: []string{"loss"}})
			require.NoError(t, study.Optimize(ctx, tune.Plan{Trials: 12}, objective))
			v, err := study.View(ctx)
			require.NoError(t, err)
			page := dashboard(t, filepath.Join(filepath.Dir(program), "optuna-dashboard"), strings.TrimPrefix(s.python, "journal:"))

			var list struct {
				Studies []struct {
					ID   int    `json:"study_id"`
					Name string `json:"study_name"`
				} `json:"study_summaries"`
			}
			get(t, page+"/api/studies", &list)
			id := -1
			for _, found := range list.Studies {
				if found.Name == name {
					id = found.ID
				}
			}
			require.NotEqual(t, -1, id)
			var shown struct {
				Trials []struct {
					Number int
					State  string
					Values []float64
					Params []struct {
						Name  string
						Value float64 `json:"param_internal_value"`
					}
					Reports []struct {
						Step  int64
						Value float64
					} `json:"intermediate_values"`
				}
				Metrics []string `json:"objective_names"`
			}
			get(t, fmt.Sprintf("%s/api/studies/%d", page, id), &shown)
			require.Equal(t, []string{"loss"}, shown.Metrics)
			require.Len(t, shown.Trials, len(v.Trials))
			for i, tr := range shown.Trials {
				require.Equal(t, "Complete", tr.State)
				require.Equal(t, v.Trials[i].Values, tr.Values)
				require.Len(t, tr.Params, len(v.Trials[i].Params))
				for _, p := range tr.Params {
					require.Equal(t, v.Trials[i].Params[p.Name].Value, p.Value)
				}
				require.Len(t, tr.Reports, len(v.Trials[i].Reports))
				for _, r := range tr.Reports {
					require.Equal(t, v.Trials[i].Reports[r.Step], r.Value)
				}
			}
		})
	}
}

// dashboard starts one on a free port and returns its address.
func dashboard(t *testing.T, program, store string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, errors.Join(err, l.Close()))
	cmd := exec.Command(program, store, "--port", port)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "it was killed")
	})
	page := "http://127.0.0.1:" + port
	require.Eventually(t, func() bool {
		r, err := http.Get(page + "/api/meta")
		return err == nil && r.Body.Close() == nil
	}, 2*time.Minute, 200*time.Millisecond)
	return page
}

func get(t *testing.T, address string, into any) {
	t.Helper()
	r, err := http.Get(address)
	require.NoError(t, err)
	defer r.Body.Close()
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.NoError(t, json.NewDecoder(r.Body).Decode(into))
}
