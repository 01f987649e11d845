package checkpoint

import (
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

func newTestRun(t *testing.T) *Run {
	t.Helper()
	r, err := CreateRun(t.TempDir(), "birds", "one")
	require.NoError(t, err)
	return r
}

// state makes a state of every type with random bytes.
func state(seed uint64, names ...string) wildtrain.State {
	r := rand.New(rand.NewPCG(seed, 1))
	var list []Tensor
	for i, name := range append(names, "w", "n", "half") {
		d := wildtrain.DType(i % 10)
		data := make([]byte, 6*d.Size())
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		list = append(list, Tensor{name, d, []int64{2, 3}, data})
	}
	s, err := Tensors(list...)
	if err != nil {
		panic(err)
	}
	return s
}

func snapshot(seed uint64) *wildtrain.Snapshot {
	return &wildtrain.Snapshot{
		Which: "last", Progress: wildtrain.Progress{Epoch: int(seed), Best: math.Inf(-1), BestEpoch: -1, Seed: math.MaxUint64, LossSum: []float64{0.1, math.NaN()}},
		Describe: wildtrain.Description{Task: "detection", Architecture: "yolo11n", Classes: []string{"lion"}},
		Model:    state(seed, "a"), Averaged: state(seed+1, "a"), Optimizer: state(seed+2, "momentum"),
		Groups: []wildtrain.Group{{Name: "weights", LR: 0.01, Parameters: 3}}, Random: []byte{0, 255, 7}, Metrics: []wildtrain.Value{{Name: "mAP50", Value: math.NaN()}},
	}
}

var sameStates = cmp.Options{cmpopts.EquateNaNs(), cmp.Comparer(func(a, b wildtrain.State) bool {
	diff, err := wildtraintest.Diff(a, b)
	return err == nil && diff == ""
})}

func TestRunKeepsTheSaverContract(t *testing.T) {
	reopen := func(s wildtrain.Saver) (wildtrain.Saver, error) { return OpenRun(s.(*Run).Dir()) }
	wildtraintest.TestSaver(t, func() (wildtrain.Saver, error) { return CreateRun(t.TempDir(), "birds", "") }, reopen)
}

// The same where the system cannot exchange two folders in one step.
func TestRunKeepsTheSaverContractWithoutExchange(t *testing.T) {
	reopen := func(s wildtrain.Saver) (wildtrain.Saver, error) { return OpenRun(s.(*Run).Dir()) }
	wildtraintest.TestSaver(t, func() (wildtrain.Saver, error) {
		r, err := CreateRun(t.TempDir(), "birds", "")
		r.swap = func(a, b string) error { return syscall.ENOSYS }
		return r, err
	}, reopen)
}

func TestLoadBringsEverythingBack(t *testing.T) {
	r := newTestRun(t)
	want := snapshot(1)
	path, err := r.Save(t.Context(), want)
	require.NoError(t, err)
	assert.Equal(t, r.Path("checkpoints", "last"), path)
	got := snapshot(9)
	require.NoError(t, r.Load(t.Context(), "last", got))
	if d := cmp.Diff(want, got, sameStates); d != "" {
		t.Error(d)
	}
	assert.Equal(t, []string{"checkpoints", "run.json"}, visible(t, r.Dir()))
	assert.Equal(t, []string{"ema.safetensors", "manifest.json", "model.safetensors", "optimizer.safetensors", "progress.json"}, visible(t, path))
}

// visible lists a folder without the lock.
func visible(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range entries {
		if e.Name() != lockFile {
			out = append(out, e.Name())
		}
	}
	return out
}

// Every field of Progress survives, those of later versions too.
func TestEveryCounterSurvives(t *testing.T) {
	var want, got wildtrain.Progress
	v := reflect.ValueOf(&want).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Int, reflect.Int64:
			f.SetInt(math.MaxInt64 - int64(i))
		case reflect.Uint64:
			f.SetUint(math.MaxUint64 - uint64(i))
		case reflect.Float64:
			f.SetFloat(math.Pi / float64(i+1))
		case reflect.String:
			f.SetString("NaN")
		case reflect.Slice:
			if f.Type().Elem().Kind() == reflect.Float64 {
				f.Set(reflect.ValueOf([]float64{math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 5e-324}))
			} else {
				f.Set(reflect.ValueOf([]string{"NaN", "ü"}))
			}
		default:
			t.Fatalf("field %s of kind %s needs a case", v.Type().Field(i).Name, f.Kind())
		}
	}
	data, err := marshal(want)
	require.NoError(t, err)
	require.True(t, json.Valid(data))
	require.NoError(t, unmarshal(data, &got))
	assert.Equal(t, want, got)
	assert.True(t, math.Signbit(got.LossSum[2]))
}

func TestMismatchListsEverythingAndTouchesNothing(t *testing.T) {
	r := newTestRun(t)
	_, err := r.Save(t.Context(), snapshot(1))
	require.NoError(t, err)
	live := snapshot(5)
	live.Model, err = Tensors(
		Tensor{"w", wildtrain.Float64, []int64{3, 2}, make([]byte, 48)}, Tensor{"n", wildtrain.Float16, []int64{2, 3}, make([]byte, 12)},
		Tensor{"half", wildtrain.Int16, []int64{2, 3}, make([]byte, 12)}, Tensor{"new", wildtrain.Bool, nil, make([]byte, 1)})
	require.NoError(t, err)
	before := state(7, "momentum")
	live.Optimizer = before
	err = r.Load(t.Context(), "last", live)
	require.ErrorIs(t, err, ErrMismatch)
	var m *MismatchError
	require.ErrorAs(t, err, &m)
	assert.Equal(t, []string{"new"}, m.Missing)
	assert.Equal(t, []string{"a"}, m.Unexpected)
	require.Len(t, m.Shapes, 2)
	assert.Equal(t, []string{"half", "w"}, []string{m.Shapes[0].Name, m.Shapes[1].Name})
	assert.ErrorContains(t, err, "model.safetensors does not fit: 1 missing (new); 1 unexpected (a); 2 of another shape or type")
	diff, err := wildtraintest.Diff(before, state(7, "momentum"))
	require.NoError(t, err)
	assert.Empty(t, diff, "the optimiser was not touched")
}

func TestDamagedCheckpointIsRefused(t *testing.T) {
	for _, name := range []string{"model.safetensors", "ema.safetensors", "optimizer.safetensors", "progress.json"} {
		r := newTestRun(t)
		path, err := r.Save(t.Context(), snapshot(1))
		require.NoError(t, err)
		file := filepath.Join(path, name)
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for what, damaged := range map[string][]byte{"cut": data[:len(data)-1], "flipped": append(append([]byte{}, data[:len(data)-2]...), data[len(data)-2]^1, data[len(data)-1])} {
			require.NoError(t, os.WriteFile(file, damaged, 0o644))
			err = r.Load(t.Context(), "last", snapshot(1))
			assert.ErrorIs(t, err, ErrDamaged, what)
			assert.ErrorContains(t, err, name)
		}
		require.NoError(t, os.Remove(file))
		assert.ErrorIs(t, r.Load(t.Context(), "last", snapshot(1)), ErrDamaged)
	}
}

// fullDisk lets a number of bytes through and fails then as a full disk does.
type fullDisk struct {
	file
	left *int
}

func (f fullDisk) Write(p []byte) (int, error) {
	if *f.left -= len(p); *f.left < 0 {
		return 0, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return f.file.Write(p)
}

func TestFullDiskKeepsTheOldCheckpoint(t *testing.T) {
	r := newTestRun(t)
	want := snapshot(1)
	path, err := r.Save(t.Context(), want)
	require.NoError(t, err)
	size := 0
	for _, name := range visible(t, path) {
		st, err := os.Stat(filepath.Join(path, name))
		require.NoError(t, err)
		size += int(st.Size())
	}
	for left := 0; left < size; left += size / 23 {
		rest := left
		r.create = func(path string) (file, error) {
			f, err := createFile(path)
			return fullDisk{f, &rest}, err
		}
		_, err = r.Save(t.Context(), snapshot(2))
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorContains(t, err, "the disk is full; the checkpoint of before is untouched")
		require.Equal(t, []string{"last"}, visible(t, r.Path("checkpoints")), "nothing half-written is left")
	}
	r.create = createFile
	got := snapshot(3)
	require.NoError(t, r.Load(t.Context(), "last", got))
	assert.Empty(t, cmp.Diff(want, got, sameStates))
}

// Every point between the steps of a replacement without exchange.
func TestRepairFinishesOrUndoes(t *testing.T) {
	for _, c := range []struct {
		there []string
		want  uint64 // which save is in place afterwards
	}{
		{[]string{"last=1", ".tmp-last=2"}, 1},
		{[]string{"last=1", ".new-last=2"}, 1},
		{[]string{".old-last=1", ".new-last=2"}, 2},
		{[]string{".old-last=1", "last=2"}, 2},
		{[]string{".old-last=1"}, 1},
		{[]string{".old-last=1", ".tmp-last=2"}, 1},
	} {
		r, other := newTestRun(t), newTestRun(t) // saving repairs, so it happens elsewhere
		require.NoError(t, os.Mkdir(r.Path("checkpoints"), 0o755))
		for _, entry := range c.there {
			name, n, _ := strings.Cut(entry, "=")
			s := snapshot(uint64(n[0] - '0'))
			path, err := other.Save(t.Context(), s)
			require.NoError(t, err)
			require.NoError(t, os.Rename(path, r.Path("checkpoints", name)))
		}
		r, err := OpenRun(r.Dir())
		require.NoError(t, err)
		assert.Equal(t, []string{"last"}, visible(t, r.Path("checkpoints")), c.there)
		got := snapshot(9)
		require.NoError(t, r.Load(t.Context(), "last", got))
		assert.Equal(t, int(c.want), got.Progress.Epoch, c.there)
	}
}

// A reader never sees the model of one save with the optimiser of another.
func TestReadersSeeWholeSaves(t *testing.T) {
	r := newTestRun(t)
	_, err := r.Save(t.Context(), snapshot(1))
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range uint64(25) {
			_, err := r.Save(t.Context(), snapshot(n+2))
			assert.NoError(t, err)
		}
	})
	for at := 0; at < 26; {
		other, err := OpenRun(r.Dir())
		require.NoError(t, err)
		got := snapshot(999)
		require.NoError(t, other.Load(t.Context(), "last", got))
		require.GreaterOrEqual(t, got.Progress.Epoch, at)
		at = got.Progress.Epoch
		require.Empty(t, cmp.Diff(snapshot(uint64(at)), got, sameStates))
	}
	wg.Wait()
}

func TestRunFoldersAreNeverShared(t *testing.T) {
	root := t.TempDir()
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 20 {
		wg.Go(func() {
			r, err := CreateRun(root, "birds", "same")
			if assert.NoError(t, err) {
				mu.Lock()
				defer mu.Unlock()
				assert.False(t, seen[r.Dir()], r.Dir())
				seen[r.Dir()] = true
			}
		})
	}
	wg.Wait()
	assert.True(t, seen[filepath.Join(root, "birds", "same")])
	assert.True(t, seen[filepath.Join(root, "birds", "same-20")])
	for _, bad := range []string{"../x", "a/b", ".hidden", "a:b", " a", "a\n"} {
		_, err := CreateRun(root, "birds", bad)
		assert.Error(t, err, bad)
		_, err = CreateRun(root, bad, "x")
		assert.Error(t, err, bad)
	}
}

func TestLatestIsTheOneCreatedLast(t *testing.T) {
	root := t.TempDir()
	_, err := Latest(root, "birds")
	require.ErrorIs(t, err, wildtrain.ErrNoCheckpoint)
	for _, name := range []string{"z", "a", ""} {
		r, err := CreateRun(root, "birds", name)
		require.NoError(t, err)
		got, err := Latest(root, "birds")
		require.NoError(t, err)
		assert.Equal(t, r.Dir(), got)
	}
	r, err := CreateRun(root, "fish", "x")
	require.NoError(t, err)
	got, err := Latest(root, "")
	require.NoError(t, err)
	assert.Equal(t, r.Dir(), got)
}

func TestFolderStandsForItsWeights(t *testing.T) {
	r := newTestRun(t)
	s := snapshot(1)
	last, err := r.Save(t.Context(), s)
	require.NoError(t, err)
	chosen := func(path string, o Options) string {
		f, err := OpenWith(path, o)
		require.NoError(t, err)
		defer f.Close()
		assert.Contains(t, f.Metadata()["wildtrain"], "yolo11n")
		rel, err := filepath.Rel(r.Dir(), f.Path())
		require.NoError(t, err)
		return f.Chosen() + " " + filepath.ToSlash(rel)
	}
	assert.Equal(t, "ema checkpoints/last/ema.safetensors", chosen(last, Options{}))
	assert.Equal(t, "model checkpoints/last/model.safetensors", chosen(last, Options{Key: "model"}))
	s.Which, s.Averaged = "best", nil
	_, err = r.Save(t.Context(), s)
	require.NoError(t, err)
	assert.Equal(t, "model checkpoints/best/model.safetensors", chosen(r.Dir(), Options{}))
	names, err := r.Checkpoints()
	require.NoError(t, err)
	assert.Equal(t, []string{"best", "last"}, names)
	require.NoError(t, r.Remove(t.Context(), "best"))
	assert.Equal(t, "ema checkpoints/last/ema.safetensors", chosen(r.Dir(), Options{}))
}

func TestModelFolder(t *testing.T) {
	r := newTestRun(t)
	for n := range 2 { // the second replaces the first
		card := Card{Name: "herd", Classes: []string{"lion"}, License: "MIT", Model: wildtrain.Description{Architecture: "yolo11n"},
			Preprocessing: Preprocessing{Height: 640, Width: 640, Resize: "letterbox", Scale: 1.0 / 255}, Metrics: []wildtrain.Value{{Name: "mAP", Value: math.NaN()}}}
		card.Description = strings.Repeat("x", n)
		dir, err := r.SaveModel(state(uint64(n)), card)
		require.NoError(t, err)
		got, err := ReadCard(dir)
		require.NoError(t, err)
		assert.False(t, got.Created.IsZero())
		got.Created = card.Created
		assert.Empty(t, cmp.Diff(card, got, cmpopts.EquateNaNs()))
		f, err := Open(dir)
		require.NoError(t, err)
		diff, err := wildtraintest.Diff(f, state(uint64(n)))
		require.NoError(t, err)
		assert.Empty(t, diff)
		require.NoError(t, f.Close())
		assert.Equal(t, []string{"model", "run.json"}, visible(t, r.Dir()))
	}
}

func TestEnvironmentHidesSecrets(t *testing.T) {
	assert.Equal(t, "tracking.password=***", maskSecret("tracking.password=hunter2"))
	assert.Equal(t, "uri=https://me:***@example.org/x", maskSecret("uri=https://me:hunter2@example.org/x"))
	assert.Equal(t, "training.epochs=3", maskSecret("training.epochs=3"))
	r := newTestRun(t)
	require.NoError(t, r.WriteEnvironment(map[string]string{"libtorch": "2.7.1"}))
	data, err := os.ReadFile(r.Path("environment.json"))
	require.NoError(t, err)
	var e Environment
	require.NoError(t, json.Unmarshal(data, &e))
	assert.Equal(t, "2.7.1", e.Extra["libtorch"])
	assert.Positive(t, e.CPUs)
	assert.False(t, e.Started.IsZero())
}

func TestWriteFileIsWholeOrNot(t *testing.T) {
	r := newTestRun(t)
	require.NoError(t, r.WriteFile("plots/a.txt", []byte("one")))
	err := WriteFile(r.Path("plots/a.txt"), func(w io.Writer) error {
		w.Write([]byte("two"))
		return iotest.ErrTimeout
	})
	require.ErrorIs(t, err, iotest.ErrTimeout)
	data, err := os.ReadFile(r.Path("plots/a.txt"))
	require.NoError(t, err)
	assert.Equal(t, "one", string(data))
	assert.Equal(t, []string{"a.txt"}, visible(t, r.Path("plots")))
	assert.Error(t, r.WriteFile("../x", nil))
}
