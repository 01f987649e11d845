package mlflow_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/wildtrain"
)

// weights is a State of one tensor.
type weights struct{}

func (weights) Names() []string { return []string{"w"} }
func (weights) Info(string) (wildtrain.Info, bool) {
	return wildtrain.Info{DType: wildtrain.Float32, Shape: []int64{2}}, true
}
func (weights) Read(_ string, dst []byte) error { copy(dst, "12345678"); return nil }
func (weights) Write(_ string, _ []byte) error  { return nil }

var about = wildtrain.Description{Task: "detection", Architecture: "yolo11n", Classes: []string{"kudu", "oryx: \"é\""}, InputSize: [2]int{8, 8}, License: "Apache-2.0"}

func modelDir(t *testing.T, extra ...string) string {
	run, err := checkpoint.CreateRun(t.TempDir(), "e", "r")
	require.NoError(t, err)
	dir, err := run.SaveModel(weights{}, checkpoint.Card{Name: "kudus", Model: about, Classes: about.Classes, License: "Apache-2.0",
		Metrics: []wildtrain.Value{{Name: "AP", Value: 0.5}, {Name: "AP/kudu", Value: math.NaN()}}})
	require.NoError(t, err)
	for _, name := range extra {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
	}
	return dir
}

func registration(t *testing.T, ap float64, hash string) wildtrain.Registration {
	return wildtrain.Registration{Name: "kudus", Dir: modelDir(t), Description: about, Metrics: []wildtrain.Value{{Name: "AP", Value: ap}, {Name: "loss", Value: math.Inf(1)}},
		Tags: map[string]string{mlflow.TagDataHash: hash}}
}

func TestRegisteredModelsComeBack(t *testing.T) {
	stores(t, func(t *testing.T, s mlflow.Store) {
		ctx := t.Context()
		r := &mlflow.Registrar{Store: s, Alias: "champion", Stage: "Staging", Rule: mlflow.Rule{Metric: "AP"}}
		number, err := r.Register(ctx, registration(t, 0.5, "h1"))
		require.NoError(t, err)
		require.Equal(t, "1", number)
		v, decisions, err := r.RegisterVersion(ctx, registration(t, 0.4, "h1"))
		require.NoError(t, err)
		require.Len(t, decisions, 2)
		require.False(t, decisions[0].Promoted, "0.4 is not better than 0.5")
		require.Equal(t, mlflow.StageNone, v.Stage)
		_, decisions, err = r.RegisterVersion(ctx, registration(t, 0.9, "h2"))
		require.NoError(t, err)
		require.Contains(t, decisions[0].Reason, "other data")
		v, decisions, err = r.RegisterVersion(ctx, registration(t, 0.6, "h1"))
		require.NoError(t, err)
		require.True(t, decisions[0].Promoted && decisions[1].Promoted)
		require.Equal(t, []string{"champion"}, v.Aliases)
		require.Equal(t, mlflow.StageStaging, v.Stage)
		require.Equal(t, "Apache-2.0", v.Tag("license"))

		for uri, want := range map[string]string{"models:/kudus@champion": "4", "models:/kudus/1": "1", "models:/kudus/latest": "4", "models:/kudus/staging": "4", "models:/kudus/None": "3"} {
			l, err := mlflow.Resolve(ctx, s, uri)
			require.NoError(t, err, uri)
			require.Equal(t, want, l.Version.Version, uri)
		}
		for _, uri := range []string{"models:/kudus", "models:/kudus/9", "models:/kudus@nobody", "models:/kudus/Moon", "models:/none/1", "kudus", "models:/", "runs:/" + v.RunID + "/../x"} {
			_, err := mlflow.Resolve(ctx, s, uri)
			require.Error(t, err, uri)
		}

		out := filepath.Join(t.TempDir(), "down", "load")
		_, m, err := mlflow.Download(ctx, s, "models:/kudus@champion", out)
		require.NoError(t, err)
		require.Equal(t, "detection", m.Metadata["task"])
		require.Equal(t, []any{"kudu", "oryx: \"é\""}, m.Metadata["classes"])
		require.Equal(t, v.RunID, m.RunID)
		require.Equal(t, v.ModelID, m.ModelID)
		f, err := checkpoint.Open(filepath.Join(out, "model.safetensors"))
		require.NoError(t, err)
		require.Equal(t, []string{"w"}, f.Names())
		require.NoError(t, f.Close())
		_, _, err = mlflow.Download(ctx, s, "models:/kudus/1", out)
		require.ErrorContains(t, err, "not empty")
		require.NoError(t, os.WriteFile(filepath.Join(out, "model.safetensors"), []byte("else"), 0o644))
		_, err = mlflow.VerifyModel(out)
		require.ErrorContains(t, err, "SHA-256")

		c, err := mlflow.Compare(ctx, s, "kudus", "1", "4")
		require.NoError(t, err)
		require.True(t, c.SameData)
		require.Equal(t, "AP", c.Metrics[0].Metric)
		require.Equal(t, 0.6, *c.Metrics[0].Values[1])
		all, err := mlflow.Compare(ctx, s, "kudus")
		require.NoError(t, err)
		require.Len(t, all.Versions, 4)
		require.False(t, all.SameData)
	})
}

func TestRegisteredByAFileOfMLflow2(t *testing.T) {
	s := openFile(t, mlflow.SQLiteOptions{Schema: mlflow.Schema222})
	r := &mlflow.Registrar{Store: s}
	v, _, err := r.RegisterVersion(t.Context(), registration(t, 0.5, "h"))
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(v.Source, "/artifacts/model"), v.Source)
	run, err := s.Run(t.Context(), v.RunID)
	require.NoError(t, err)
	require.Contains(t, run.Data.Tag("mlflow.log-model.history"), `"artifact_path":"model"`)
	_, _, err = mlflow.Download(t.Context(), s, "models:/kudus/1", filepath.Join(t.TempDir(), "m"))
	require.NoError(t, err)
	_, _, err = mlflow.Download(t.Context(), s, "runs:/"+v.RunID+"/model", filepath.Join(t.TempDir(), "m"))
	require.NoError(t, err)
}

func TestRules(t *testing.T) {
	s := openFile(t, mlflow.SQLiteOptions{})
	ctx := t.Context()
	r := &mlflow.Registrar{Store: s}
	for _, v := range []float64{0.5, 0.52} {
		_, err := r.Register(ctx, registration(t, v, "h"))
		require.NoError(t, err)
	}
	require.NoError(t, s.SetAlias(ctx, "kudus", "champion", "1"))
	for name, c := range map[string]struct {
		rule mlflow.Rule
		ok   bool
	}{
		"too small a gain": {mlflow.Rule{Metric: "AP", MinGain: 0.05}, false},
		"below the floor":  {mlflow.Rule{Metric: "AP", AtLeast: 0.9, HasAtLeast: true}, false},
		"lower is better":  {mlflow.Rule{Metric: "AP", Lower: true}, false},
		"no such metric":   {mlflow.Rule{Metric: "F1"}, false},
	} {
		d, err := mlflow.Promote(ctx, s, "kudus", "2", mlflow.Promotion{Alias: "champion", Rule: c.rule})
		require.NoError(t, err, name)
		require.Equal(t, c.ok, d.Promoted, name)
		require.NotEmpty(t, d.Reason)
	}
	d, err := mlflow.Promote(ctx, s, "kudus", "2", mlflow.Promotion{Alias: "champion", Rule: mlflow.Rule{Metric: "AP"}})
	require.NoError(t, err)
	require.True(t, d.Promoted)
	require.Equal(t, "1", d.Before)
	_, err = mlflow.Promote(ctx, s, "kudus", "2", mlflow.Promotion{Alias: "a", Stage: "Staging"})
	require.Error(t, err)
	_, err = mlflow.Promote(ctx, s, "kudus", "2", mlflow.Promotion{Alias: "a", Rule: mlflow.Rule{MinGain: 1}})
	require.Error(t, err)
}

func TestPackagedFlavours(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "packed")
	m, err := mlflow.PackageModel(dir, mlflow.Package{Dir: modelDir(t, mlflow.TorchScriptFile, mlflow.ONNXFile), RunID: "r", ModelID: "m-1"})
	require.NoError(t, err)
	require.Equal(t, "data", m.Flavors["pytorch"]["model_data"])
	require.FileExists(t, filepath.Join(dir, "data", "model.pth"))
	require.FileExists(t, filepath.Join(dir, "README.md"))
	read, err := mlflow.VerifyModel(dir)
	require.NoError(t, err)
	require.Equal(t, `[{"tensor-spec":{"dtype":"float32","shape":[-1,6,-1]},"type":"tensor"}]`, read.Signature.Outputs)
	require.Equal(t, "mlflow.pytorch", read.Flavors["python_function"]["loader_module"])
	_, err = mlflow.PackageModel(dir, mlflow.Package{Dir: t.TempDir()})
	require.Error(t, err)
}

// A file beside the traced network tells its shapes and who wrote it.
func TestPackageTraced(t *testing.T) {
	for content, want := range map[string]string{
		`{"torch": "2.9.1", "input": [1, 3, 64, 96], "output": [1, 6, 126]}`: "",
		`{"torch": "2.9.1", "input": [64, 96], "output": [1]}`:               "input (4 numbers)",
		`{"torch": `: "model.torchscript.json: unexpected end",
	} {
		g := registration(t, 0.5, "h")
		require.NoError(t, os.WriteFile(filepath.Join(g.Dir, mlflow.TorchScriptFile), []byte("zip"), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(g.Dir, mlflow.TracedFile), []byte(content), 0o644))
		m, err := mlflow.PackageModel(filepath.Join(t.TempDir(), "model"), mlflow.Package{Dir: g.Dir})
		if want != "" {
			require.ErrorContains(t, err, want)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "2.9.1", m.Flavors["pytorch"]["pytorch_version"])
		require.JSONEq(t, `[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [1, 3, 64, 96]}}]`, m.Signature.Inputs)
		require.JSONEq(t, `[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [1, 6, 126]}}]`, m.Signature.Outputs)
	}
}

func TestTrainingRegistersItself(t *testing.T) {
	t.Chdir(t.TempDir()) // artifacts go to ./mlruns
	cfg := recording(t, "sqlite:///"+filepath.Join(t.TempDir(), "m.db"))
	cfg.Register, cfg.Alias = "kudus", "champion"
	cfg.Inputs = []mlflow.DatasetInput{{Dataset: mlflow.Dataset{Name: "savanna", Digest: "ab", SourceType: "local", Source: "{}"}, Tags: []mlflow.Tag{{Key: "mlflow.data.context", Value: "validation"}}}}
	r, err := mlflow.Start(t.Context(), cfg)
	require.NoError(t, err)
	run, err := checkpoint.CreateRun(t.TempDir(), "e", "r")
	require.NoError(t, err)
	path, err := run.Save(t.Context(), &wildtrain.Snapshot{Which: "best", Describe: about, Model: weights{}})
	require.NoError(t, err)
	require.NoError(t, r.Handle(t.Context(), &wildtrain.Event{Kind: wildtrain.FitEnd, Model: described{}, Result: &wildtrain.Result{BestPath: path, Monitor: "AP", Best: 0.7, Metrics: []wildtrain.Value{{Name: "AP", Value: 0.6}}}}))
	require.NoError(t, r.Close())
	s, err := mlflow.Open(t.Context(), cfg.URI)
	require.NoError(t, err)
	defer s.Close()
	v, err := s.ModelVersionByAlias(t.Context(), "kudus", "champion")
	require.NoError(t, err)
	require.Equal(t, "ab", v.Tag(mlflow.TagDataHash))
	best, ok := v.Metric("best/AP")
	require.True(t, ok)
	require.Equal(t, 0.7, best)
	require.Equal(t, mlflow.Finished, onlyRun(t, s, "lions").Info.Status)
}

// described is a model that can only be described.
type described struct{ wildtrain.Model }

func (described) Describe() wildtrain.Description { return about }

func TestArtifactPathsStayInside(t *testing.T) {
	stores(t, func(t *testing.T, s mlflow.Store) {
		run := newRun(t, s, "0")
		a, err := mlflow.OpenArtifacts(s, run.Info.ArtifactURI)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(file, []byte("abcdef"), 0o644))
		for _, p := range []string{"../x", "/x", "a/../../x", "a//b", `a\b`, "C:/x", "%2e%2e/x", "a/./b", "x\x00y"} {
			require.Error(t, a.Put(t.Context(), p, file), p)
			require.Error(t, a.Get(t.Context(), p, 0, &strings.Builder{}), p)
			_, err := a.List(t.Context(), p)
			require.Error(t, err, p)
		}
		require.NoError(t, a.Put(t.Context(), "deep/er/50% #1.txt", file))
		list, err := a.List(t.Context(), "deep")
		require.NoError(t, err)
		require.Equal(t, []mlflow.FileInfo{{Path: "deep/er", Dir: true}}, list)
		dir := t.TempDir()
		part := filepath.Join(dir, "er", "50% #1.txt.part")
		require.NoError(t, os.MkdirAll(filepath.Dir(part), 0o755))
		require.NoError(t, os.WriteFile(part, []byte("abc"), 0o644))
		require.NoError(t, mlflow.GetFolder(t.Context(), a, "deep", dir))
		data, err := os.ReadFile(filepath.Join(dir, "er", "50% #1.txt"))
		require.NoError(t, err)
		require.Equal(t, "abcdef", string(data), "a broken download goes on")
		require.Error(t, a.Get(t.Context(), "absent", 0, &strings.Builder{}))
	})
	_, err := mlflow.OpenArtifacts(openFile(t, mlflow.SQLiteOptions{}), "gs://bucket/x")
	require.ErrorContains(t, err, "gs storage is not supported")
	_, err = mlflow.OpenArtifacts(openFile(t, mlflow.SQLiteOptions{}), "mlflow-artifacts:/0/x")
	require.ErrorContains(t, err, "behind a server")
}

// A store may lie about its files: they must not leave the folder of a download.
type liar struct{ mlflow.Artifacts }

func (liar) List(context.Context, string) ([]mlflow.FileInfo, error) {
	return []mlflow.FileInfo{{Path: "../../etc/passwd"}}, nil
}

func TestDownloadsTrustNoNames(t *testing.T) {
	require.Error(t, mlflow.GetFolder(t.Context(), liar{}, "", t.TempDir()))
}

func FuzzMLmodel(f *testing.F) {
	f.Add([]byte("flavors:\n  python_function:\n    loader_module: mlflow.pytorch\nmetadata: {a: [1, 2.5, x, null]}\nsignature:\n  inputs: '[]'\n"))
	f.Add([]byte("flavors: {a: }\nmodel_size_bytes: 12\n"))
	f.Add([]byte("flavors: &a {b: *a}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := mlflow.ParseMLmodel("MLmodel", data)
		if err != nil {
			return
		}
		text, err := m.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := mlflow.ParseMLmodel("MLmodel", text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		if len(again.Flavors) != len(m.Flavors) {
			t.Fatalf("%v became %v", m.Flavors, again.Flavors)
		}
	})
}

func FuzzFilter(f *testing.F) {
	s, err := mlflow.OpenSQLite(f.Context(), filepath.Join(f.TempDir(), "m.db"), mlflow.SQLiteOptions{Artifacts: f.TempDir()})
	require.NoError(f, err)
	f.Cleanup(func() { s.Close() })
	_, err = s.CreateRun(f.Context(), mlflow.NewRun{ExperimentID: "0", Name: "only"})
	require.NoError(f, err)
	for _, seed := range []string{"metrics.a > 1", "params.`x y` LIKE '%a' AND tags.b IS NULL", "run_id IN ('a', 'b')", "datasets.context = 'c'", "a = ''' --'", "metrics.a = 1e999"} {
		f.Add(seed, "metrics.a DESC")
	}
	f.Fuzz(func(t *testing.T, filter, order string) {
		p, err := s.SearchRuns(t.Context(), mlflow.RunQuery{ExperimentIDs: []string{"0"}, Query: mlflow.Query{Filter: filter, OrderBy: []string{order}}})
		if err != nil {
			var e *mlflow.Error
			require.ErrorAs(t, err, &e, "a filter may be refused, but it never reaches the database half-understood")
			return
		}
		require.LessOrEqual(t, len(p.Items), 1)
	})
}

func TestCleanKeys(t *testing.T) {
	s := openFile(t, mlflow.SQLiteOptions{})
	id := newRun(t, s, "0").Info.ID
	var b mlflow.Batch
	for i, k := range []string{"AP/kudu", "AP(50)", "../x", "/abs", "", ".", "a//b", "è 1:2", strings.Repeat("x/", 200), "a/../b", "AP/ "} {
		b.Metrics = append(b.Metrics, mlflow.Metric{Key: mlflow.CleanKey(k), Step: int64(i)})
	}
	require.NoError(t, s.LogBatch(t.Context(), id, b))
	require.True(t, slices.ContainsFunc(b.Metrics, func(m mlflow.Metric) bool { return m.Key == "AP_50_" }))
}
