package mlflow_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/mlflow/mlflowtest"
)

// stores runs a test on both back ends: a file, and a server by REST.
func stores(t *testing.T, test func(t *testing.T, s mlflow.Store)) {
	t.Run("sqlite", func(t *testing.T) { test(t, openFile(t, mlflow.SQLiteOptions{})) })
	t.Run("rest", func(t *testing.T) { test(t, openServer(t)) })
}

func openFile(t *testing.T, o mlflow.SQLiteOptions) *mlflow.SQLite {
	dir := t.TempDir()
	if o.Artifacts == "" {
		o.Artifacts = filepath.Join(dir, "mlruns")
	}
	s, err := mlflow.OpenSQLite(t.Context(), filepath.Join(dir, "mlflow.db"), o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func newServer(t *testing.T) *mlflowtest.Server {
	srv, err := mlflowtest.New(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, srv.Close()) })
	return srv
}

// quick is a connection that does not wait between tries.
func quick(t *testing.T) mlflow.Connection {
	t.Setenv("HOME", t.TempDir())
	c, err := mlflow.DefaultConnection()
	require.NoError(t, err)
	c.Backoff, c.Jitter = 0, 0
	return c
}

func openServer(t *testing.T) *mlflow.REST {
	s, err := mlflow.OpenREST(newServer(t).URL, quick(t))
	require.NoError(t, err)
	return s
}

func newRun(t *testing.T, s mlflow.Store, experiment string, tags ...mlflow.Tag) *mlflow.Run {
	r, err := s.CreateRun(t.Context(), mlflow.NewRun{ExperimentID: experiment, User: "ada", Name: "first", Started: 1000, Tags: tags})
	require.NoError(t, err)
	return r
}

func code(t *testing.T, err error) string {
	var e *mlflow.Error
	require.ErrorAs(t, err, &e)
	return e.Code
}

func TestExperiments(t *testing.T) {
	stores(t, func(t *testing.T, s mlflow.Store) {
		ctx := t.Context()
		standard, err := s.Experiment(ctx, "0")
		require.NoError(t, err)
		require.Equal(t, "Default", standard.Name)

		id, err := s.CreateExperiment(ctx, mlflow.NewExperiment{Name: "elephants", Tags: []mlflow.Tag{{Key: "team", Value: "north"}}})
		require.NoError(t, err)
		e, err := s.ExperimentByName(ctx, "elephants")
		require.NoError(t, err)
		require.Equal(t, id, e.ID)
		require.True(t, strings.HasSuffix(e.ArtifactLocation, "/"+id), e.ArtifactLocation)
		require.Equal(t, []mlflow.Tag{{Key: "team", Value: "north"}}, e.Tags)

		_, err = s.CreateExperiment(ctx, mlflow.NewExperiment{Name: "elephants"})
		require.ErrorIs(t, err, mlflow.ErrExists)
		_, err = s.Experiment(ctx, "99")
		require.ErrorIs(t, err, mlflow.ErrNotFound)

		require.NoError(t, s.RenameExperiment(ctx, id, "giraffes"))
		require.NoError(t, s.SetExperimentTag(ctx, id, mlflow.Tag{Key: "team", Value: "south"}))
		found, err := s.SearchExperiments(ctx, mlflow.Query{Filter: "name LIKE 'gir%' AND tags.team = 'south'"})
		require.NoError(t, err)
		require.Len(t, found.Items, 1)

		run := newRun(t, s, id)
		require.NoError(t, s.DeleteExperiment(ctx, id))
		gone, err := s.Run(ctx, run.Info.ID)
		require.NoError(t, err)
		require.Equal(t, mlflow.Deleted, gone.Info.Lifecycle)
		_, err = s.CreateRun(ctx, mlflow.NewRun{ExperimentID: id})
		require.Error(t, err)
		deleted, err := s.SearchExperiments(ctx, mlflow.Query{View: mlflow.DeletedOnly})
		require.NoError(t, err)
		require.Len(t, deleted.Items, 1)
		require.NoError(t, s.RestoreExperiment(ctx, id))
		back, err := s.Run(ctx, run.Info.ID)
		require.NoError(t, err)
		require.Equal(t, mlflow.Active, back.Info.Lifecycle)
		require.NoError(t, s.DeleteExperimentTag(ctx, id, "team"))
		require.ErrorIs(t, s.DeleteExperimentTag(ctx, id, "team"), mlflow.ErrNotFound)
	})
}

func TestRunsKeepWhatIsLogged(t *testing.T) {
	stores(t, func(t *testing.T, s mlflow.Store) {
		ctx := t.Context()
		run := newRun(t, s, "0", mlflow.Tag{Key: "mlflow.parentRunId", Value: "abc"})
		id := run.Info.ID
		require.Len(t, id, 32)
		require.Equal(t, mlflow.Running, run.Info.Status)
		require.Equal(t, "first", run.Data.Tag("mlflow.runName"))
		require.True(t, strings.HasSuffix(run.Info.ArtifactURI, "/0/"+id+"/artifacts"), run.Info.ArtifactURI)

		require.NoError(t, s.LogBatch(ctx, id, mlflow.Batch{
			Params: []mlflow.Param{{Key: "lr", Value: "0.01"}},
			Tags:   []mlflow.Tag{{Key: "note", Value: "día"}},
			Metrics: []mlflow.Metric{
				{Key: "loss", Value: 3, Timestamp: 10, Step: 1}, {Key: "loss", Value: 2, Timestamp: 20, Step: 2},
				{Key: "loss", Value: 2, Timestamp: 20, Step: 2}, {Key: "late/ä b", Value: math.NaN(), Timestamp: 5, Step: -1},
				{Key: "inf", Value: math.Inf(-1), Timestamp: 5},
			}}))
		require.NoError(t, s.LogBatch(ctx, id, mlflow.Batch{Params: []mlflow.Param{{Key: "lr", Value: "0.01"}}}))
		require.NoError(t, s.LogBatch(ctx, id, mlflow.Batch{Metrics: []mlflow.Metric{{Key: "loss", Value: 9, Timestamp: 90, Step: 1}}}))
		got, err := s.Run(ctx, id)
		require.NoError(t, err)
		loss, ok := got.Data.Metric("loss")
		require.True(t, ok)
		require.Equal(t, 2.0, loss, "the latest is of the highest step")
		nan, _ := got.Data.Metric("late/ä b")
		require.True(t, math.IsNaN(nan))
		inf, _ := got.Data.Metric("inf")
		require.Equal(t, -math.MaxFloat64, inf)

		history, err := s.MetricHistory(ctx, id, "loss", 0, "")
		require.NoError(t, err)
		require.Equal(t, []mlflow.Metric{{Key: "loss", Value: 3, Timestamp: 10, Step: 1}, {Key: "loss", Value: 2, Timestamp: 20, Step: 2}, {Key: "loss", Value: 9, Timestamp: 90, Step: 1}}, history.Items)
		part, err := s.MetricHistory(ctx, id, "loss", 2, "")
		require.NoError(t, err)
		rest, err := s.MetricHistory(ctx, id, "loss", 2, part.Next)
		require.NoError(t, err)
		require.Equal(t, history.Items, append(part.Items, rest.Items...))

		require.NoError(t, s.UpdateRun(ctx, id, mlflow.RunUpdate{Status: mlflow.Killed, Ended: 2000, Name: "second"}))
		got, err = s.Run(ctx, id)
		require.NoError(t, err)
		require.Equal(t, [3]any{mlflow.Killed, mlflow.Millis(2000), "second"}, [3]any{got.Info.Status, got.Info.Ended, got.Info.Name})
		require.NoError(t, s.DeleteTag(ctx, id, "note"))
		require.ErrorIs(t, s.DeleteTag(ctx, id, "note"), mlflow.ErrNotFound)
		require.NoError(t, s.DeleteRun(ctx, id))
		require.Equal(t, "INVALID_PARAMETER_VALUE", code(t, s.LogBatch(ctx, id, mlflow.Batch{Tags: []mlflow.Tag{{Key: "a"}}})))
		require.NoError(t, s.RestoreRun(ctx, id))
	})
}

func TestLimitsHoldAtTheirEdge(t *testing.T) {
	metrics := func(n int) (out []mlflow.Metric) {
		for i := range n {
			out = append(out, mlflow.Metric{Key: "m", Step: int64(i)})
		}
		return out
	}
	params := func(n int) (out []mlflow.Param) {
		for i := range n {
			out = append(out, mlflow.Param{Key: fmt.Sprint("p", i), Value: "v"})
		}
		return out
	}
	tags := func(n int) (out []mlflow.Tag) {
		for i := range n {
			out = append(out, mlflow.Tag{Key: fmt.Sprint("t", i), Value: "v"})
		}
		return out
	}
	stores(t, func(t *testing.T, s mlflow.Store) {
		id := newRun(t, s, "0").Info.ID
		for name, c := range map[string]struct {
			batch mlflow.Batch
			ok    bool
		}{
			"1000 metrics":           {mlflow.Batch{Metrics: metrics(1000)}, true},
			"1001 metrics":           {mlflow.Batch{Metrics: metrics(1001)}, false},
			"100 params":             {mlflow.Batch{Params: params(100)}, true},
			"101 params":             {mlflow.Batch{Params: params(101)}, false},
			"100 tags":               {mlflow.Batch{Tags: tags(100)}, true},
			"101 tags":               {mlflow.Batch{Tags: tags(101)}, false},
			"1000 items":             {mlflow.Batch{Metrics: metrics(900), Tags: tags(100)}, true},
			"1001 items":             {mlflow.Batch{Metrics: metrics(901), Tags: tags(100)}, false},
			"a key of 250":           {mlflow.Batch{Tags: []mlflow.Tag{{Key: strings.Repeat("k", 250)}}}, true},
			"a key of 251":           {mlflow.Batch{Tags: []mlflow.Tag{{Key: strings.Repeat("k", 251)}}}, false},
			"a path that leads out":  {mlflow.Batch{Tags: []mlflow.Tag{{Key: "../k"}}}, false},
			"an absolute key":        {mlflow.Batch{Metrics: []mlflow.Metric{{Key: "/k"}}}, false},
			"a key with a bracket":   {mlflow.Batch{Metrics: []mlflow.Metric{{Key: "AP(50)"}}}, false},
			"a time before 1970":     {mlflow.Batch{Metrics: []mlflow.Metric{{Key: "k", Timestamp: -1}}}, false},
			"one param twice":        {mlflow.Batch{Params: []mlflow.Param{{Key: "x", Value: "1"}, {Key: "x", Value: "1"}}}, false},
			"a param's other value":  {mlflow.Batch{Params: []mlflow.Param{{Key: "p0", Value: "w"}}, Metrics: []mlflow.Metric{{Key: "unseen"}}}, false},
			"a value that is cut":    {mlflow.Batch{Params: []mlflow.Param{{Key: "long", Value: strings.Repeat("ä", 7000)}}}, true},
			"a step below 0":         {mlflow.Batch{Metrics: []mlflow.Metric{{Key: "k", Step: -5}}}, true},
			"a key with a colon: ok": {mlflow.Batch{Metrics: []mlflow.Metric{{Key: "a:b", Step: 1}}}, true},
		} {
			if strings.HasPrefix(name, "a param's") {
				require.NoError(t, s.LogBatch(t.Context(), id, mlflow.Batch{Params: []mlflow.Param{{Key: "p0", Value: "v"}}}))
			}
			err := s.LogBatch(t.Context(), id, c.batch)
			if c.ok {
				require.NoError(t, err, name)
			} else {
				require.Error(t, err, name)
				require.Equal(t, "INVALID_PARAMETER_VALUE", code(t, err), name)
			}
		}
		run, err := s.Run(t.Context(), id)
		require.NoError(t, err)
		_, ok := run.Data.Metric("unseen")
		require.False(t, ok, "a refused param leaves no metric")
		for _, p := range run.Data.Params {
			if p.Key == "long" {
				require.Equal(t, strings.Repeat("ä", 6000), p.Value)
			}
		}
	})
}

func TestSearchRuns(t *testing.T) {
	stores(t, func(t *testing.T, s mlflow.Store) {
		ctx := t.Context()
		ids := map[string]string{}
		for i, v := range []float64{0.1, 0.5, math.NaN(), 0.9} {
			r, err := s.CreateRun(ctx, mlflow.NewRun{ExperimentID: "0", Name: fmt.Sprint("run", i), Started: mlflow.Millis(1000 + i)})
			require.NoError(t, err)
			ids[r.Info.ID] = r.Info.Name
			b := mlflow.Batch{Metrics: []mlflow.Metric{{Key: "AP", Value: v}}, Params: []mlflow.Param{{Key: "model.name", Value: fmt.Sprint("yolo", i)}}}
			if i == 3 {
				b.Tags = []mlflow.Tag{{Key: "so it is", Value: "100%"}}
			}
			require.NoError(t, s.LogBatch(ctx, r.Info.ID, b))
			if i == 1 {
				require.NoError(t, s.LogInputs(ctx, r.Info.ID, []mlflow.DatasetInput{{
					Dataset: mlflow.Dataset{Name: "savanna", Digest: "0a1b", SourceType: "local", Source: `{"uri":"x"}`},
					Tags:    []mlflow.Tag{{Key: "mlflow.data.context", Value: "training"}}}}))
			}
		}
		for filter, want := range map[string]string{
			"":                  "run3 run2 run1 run0",
			"metrics.AP > 0.4":  "run3 run1",
			"metrics.AP != 0.5": "run3 run2 run0",
			"metrics.AP <= 0.5 and params.`model.name` LIKE 'yolo%'":     "run1 run0",
			"params.\"model.name\" ILIKE 'YOLO2'":                        "run2",
			"params.model.name LIKE 'YOLO2'":                             "",
			"attributes.run_name = 'run1'":                               "run1",
			"run_name != 'run1'":                                         "run3 run2 run0",
			"start_time >= 1002":                                         "run3 run2",
			"tags.`so it is` = '100%'":                                   "run3",
			"tags.`so it is` IS NULL":                                    "run2 run1 run0",
			"tags.`so it is` IS NOT NULL":                                "run3",
			"datasets.name = 'savanna' AND dataset.context = 'training'": "run1",
			"dataset.digest IN ('0a1b', 'x')":                            "run1",
			"status = 'RUNNING' AND metrics.AP < 0.2":                    "run0",
		} {
			p, err := s.SearchRuns(ctx, mlflow.RunQuery{ExperimentIDs: []string{"0"}, Query: mlflow.Query{Filter: filter}})
			require.NoError(t, err, filter)
			require.Equal(t, want, names(p.Items), filter)
		}
		for order, want := range map[string]string{
			"metrics.AP DESC":         "run3 run1 run0 run2",
			"metrics.AP":              "run0 run1 run3 run2",
			"attributes.start_time":   "run0 run1 run2 run3",
			"params.`model.name` ASC": "run0 run1 run2 run3",
			"tags.`so it is` DESC":    "run3 run2 run1 run0",
		} {
			p, err := s.SearchRuns(ctx, mlflow.RunQuery{ExperimentIDs: []string{"0"}, Query: mlflow.Query{OrderBy: []string{order}}})
			require.NoError(t, err, order)
			require.Equal(t, want, names(p.Items), order)
		}
		for _, filter := range []string{"metrics.AP = 'x'", "params.a > 1", "params.a = 1", "metrics.AP >", "what.a = 'b'", "metrics.AP > 1 OR metrics.AP < 2",
			"run_id IN (1)", "unknown = 'x'", "params.a = 'open", "metrics.AP > 1 AND", "; DROP TABLE runs", "params.a LIKE", "dataset.size = 'x'"} {
			_, err := s.SearchRuns(ctx, mlflow.RunQuery{ExperimentIDs: []string{"0"}, Query: mlflow.Query{Filter: filter}})
			require.Error(t, err, filter)
			require.Equal(t, "INVALID_PARAMETER_VALUE", code(t, err), filter)
		}
		first, err := s.SearchRuns(ctx, mlflow.RunQuery{ExperimentIDs: []string{"0"}, Query: mlflow.Query{MaxResults: 3}})
		require.NoError(t, err)
		second, err := s.SearchRuns(ctx, mlflow.RunQuery{ExperimentIDs: []string{"0"}, Query: mlflow.Query{MaxResults: 3, Token: first.Next}})
		require.NoError(t, err)
		require.Equal(t, "run3 run2 run1 run0", names(append(first.Items, second.Items...)))
		require.Empty(t, second.Next)
	})
}

func names(runs []mlflow.Run) string {
	var out []string
	for _, r := range runs {
		out = append(out, r.Info.Name)
	}
	return strings.Join(out, " ")
}

func TestRegistry(t *testing.T) {
	stores(t, func(t *testing.T, s mlflow.Store) {
		ctx := t.Context()
		_, err := s.CreateRegisteredModel(ctx, "det", "finds", []mlflow.Tag{{Key: "task", Value: "detection"}})
		require.NoError(t, err)
		_, err = s.CreateRegisteredModel(ctx, "det", "", nil)
		require.ErrorIs(t, err, mlflow.ErrExists)
		_, err = s.CreateRegisteredModel(ctx, "a/b", "", nil)
		require.Error(t, err)
		for range 3 {
			_, err := s.CreateModelVersion(ctx, mlflow.NewModelVersion{Name: "det", Source: "s3://bucket/model", RunID: "abc", Tags: []mlflow.Tag{{Key: "AP", Value: "0.5"}}})
			require.NoError(t, err)
		}
		_, err = s.CreateModelVersion(ctx, mlflow.NewModelVersion{Name: "none", Source: "s3://bucket/model"})
		require.ErrorIs(t, err, mlflow.ErrNotFound)

		v, err := s.TransitionStage(ctx, "det", "1", "production", false)
		require.NoError(t, err)
		require.Equal(t, mlflow.StageProduction, v.Stage)
		_, err = s.TransitionStage(ctx, "det", "2", "Production", true)
		require.NoError(t, err)
		v, err = s.ModelVersion(ctx, "det", "1")
		require.NoError(t, err)
		require.Equal(t, mlflow.StageArchived, v.Stage)
		_, err = s.TransitionStage(ctx, "det", "2", "Moon", false)
		require.Error(t, err)

		require.NoError(t, s.SetAlias(ctx, "det", "champion", "2"))
		require.NoError(t, s.SetAlias(ctx, "det", "champion", "3"))
		for _, alias := range []string{"latest", "v7", "a b", ""} {
			require.Error(t, s.SetAlias(ctx, "det", alias, "2"), alias)
		}
		require.ErrorIs(t, s.SetAlias(ctx, "det", "x", "9"), mlflow.ErrNotFound)
		v, err = s.ModelVersionByAlias(ctx, "det", "champion")
		require.NoError(t, err)
		require.Equal(t, "3", v.Version)
		require.Equal(t, []string{"champion"}, v.Aliases)
		require.Equal(t, "0.5", v.Tag("AP"))
		_, err = s.ModelVersionByAlias(ctx, "det", "nobody")
		require.Error(t, err)

		latest, err := s.LatestVersions(ctx, "det")
		require.NoError(t, err)
		require.Len(t, latest, 3)
		latest, err = s.LatestVersions(ctx, "det", "production")
		require.NoError(t, err)
		require.Equal(t, "2", latest[0].Version)

		require.NoError(t, s.DescribeModelVersion(ctx, "det", "3", "better"))
		require.NoError(t, s.SetModelVersionTag(ctx, "det", "3", mlflow.Tag{Key: "why", Value: "rain"}))
		found, err := s.SearchModelVersions(ctx, mlflow.Query{Filter: "name = 'det' AND tags.why = 'rain'"})
		require.NoError(t, err)
		require.Len(t, found.Items, 1)
		require.Equal(t, "better", found.Items[0].Description)
		require.NoError(t, s.DeleteModelVersionTag(ctx, "det", "3", "why"))

		require.NoError(t, s.DeleteModelVersion(ctx, "det", "3"))
		_, err = s.ModelVersion(ctx, "det", "3")
		require.ErrorIs(t, err, mlflow.ErrNotFound)
		m, err := s.RegisteredModel(ctx, "det")
		require.NoError(t, err)
		require.Empty(t, m.Aliases)
		v, err = s.CreateModelVersion(ctx, mlflow.NewModelVersion{Name: "det", Source: "s3://bucket/model"})
		require.NoError(t, err)
		require.Equal(t, "4", v.Version, "numbers are not used again")

		require.NoError(t, s.RenameRegisteredModel(ctx, "det", "detector"))
		uri, err := s.DownloadURI(ctx, "detector", "4")
		require.NoError(t, err)
		require.Equal(t, "s3://bucket/model", uri)
		require.NoError(t, s.SetRegisteredModelTag(ctx, "detector", mlflow.Tag{Key: "a", Value: "b"}))
		models, err := s.SearchRegisteredModels(ctx, mlflow.Query{Filter: "tags.a = 'b'"})
		require.NoError(t, err)
		require.Len(t, models.Items, 1)
		require.NoError(t, s.DeleteRegisteredModelTag(ctx, "detector", "a"))
		require.NoError(t, s.DescribeRegisteredModel(ctx, "detector", "new"))
		require.NoError(t, s.DeleteRegisteredModel(ctx, "detector"))
		_, err = s.RegisteredModel(ctx, "detector")
		require.ErrorIs(t, err, mlflow.ErrNotFound)
	})
}

func TestLoggedModels(t *testing.T) {
	stores(t, func(t *testing.T, s mlflow.Store) {
		ctx := t.Context()
		run := newRun(t, s, "0")
		m, err := s.CreateLoggedModel(ctx, mlflow.NewLoggedModel{ExperimentID: "0", Name: "best", SourceRunID: run.Info.ID, Params: []mlflow.Param{{Key: "a", Value: "b"}}})
		require.NoError(t, err)
		require.Equal(t, mlflow.ModelPending, m.Info.Status)
		require.NoError(t, s.FinishLoggedModel(ctx, m.Info.ID, mlflow.ModelReady))
		require.NoError(t, s.SetLoggedModelTags(ctx, m.Info.ID, []mlflow.Tag{{Key: "k", Value: "v"}}))
		require.NoError(t, s.LogOutputs(ctx, run.Info.ID, []mlflow.ModelOutput{{ModelID: m.Info.ID, Step: 3}}))
		m, err = s.LoggedModel(ctx, m.Info.ID)
		require.NoError(t, err)
		require.Equal(t, mlflow.ModelReady, m.Info.Status)
		run, err = s.Run(ctx, run.Info.ID)
		require.NoError(t, err)
		require.Equal(t, []mlflow.ModelOutput{{ModelID: m.Info.ID, Step: 3}}, run.Outputs.Models)
		found, err := s.SearchLoggedModels(ctx, []string{"0"}, mlflow.Query{Filter: "tags.k = 'v' AND params.a = 'b'"})
		require.NoError(t, err)
		require.Len(t, found.Items, 1)

		_, err = s.CreateRegisteredModel(ctx, "det", "", nil)
		require.NoError(t, err)
		v, err := s.CreateModelVersion(ctx, mlflow.NewModelVersion{Name: "det", Source: "models:/" + m.Info.ID, ModelID: m.Info.ID})
		require.NoError(t, err)
		require.Equal(t, run.Info.ID, v.RunID)
		uri, err := s.DownloadURI(ctx, "det", "1")
		require.NoError(t, err)
		require.Equal(t, m.Info.ArtifactURI, uri)
		require.NoError(t, s.DeleteLoggedModel(ctx, m.Info.ID))
		_, err = s.LoggedModel(ctx, m.Info.ID)
		require.ErrorIs(t, err, mlflow.ErrNotFound)
	})
}

func TestFileOfMLflow2(t *testing.T) {
	s := openFile(t, mlflow.SQLiteOptions{Schema: mlflow.Schema222})
	run := newRun(t, s, "0")
	require.NoError(t, s.LogBatch(t.Context(), run.Info.ID, mlflow.Batch{Metrics: []mlflow.Metric{{Key: "a", Value: 1}}}))
	_, err := s.Run(t.Context(), run.Info.ID)
	require.NoError(t, err)
	has, err := s.HasLoggedModels(t.Context())
	require.NoError(t, err)
	require.False(t, has)
	_, err = s.CreateLoggedModel(t.Context(), mlflow.NewLoggedModel{ExperimentID: "0"})
	require.Error(t, err)
}

func TestForeignFilesAreRefused(t *testing.T) {
	_, err := mlflow.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "absent.db"), mlflow.SQLiteOptions{ReadOnly: true})
	require.Error(t, err)
	for uri, want := range map[string]string{"./mlruns": "file stores", "file:///x/mlruns": "file stores", "postgresql://h/db": "postgresql", "sqlite://": "sqlite"} {
		_, err := mlflow.Open(t.Context(), uri)
		require.ErrorContains(t, err, want)
	}
}

func TestSeveralWritersOfOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mlflow.db")
	errs := make(chan error)
	const writers, each = 4, 10
	for w := range writers {
		go func() {
			errs <- func() error {
				s, err := mlflow.OpenSQLite(context.Background(), path, mlflow.SQLiteOptions{Artifacts: dir})
				if err != nil {
					return err
				}
				r, err := s.CreateRun(context.Background(), mlflow.NewRun{ExperimentID: "0", Name: fmt.Sprint("w", w)})
				for i := 0; i < each && err == nil; i++ {
					err = s.LogBatch(context.Background(), r.Info.ID, mlflow.Batch{Metrics: []mlflow.Metric{{Key: "m", Value: 1, Step: int64(i)}}})
				}
				return errors.Join(err, s.Close())
			}()
		}()
	}
	for range writers {
		require.NoError(t, <-errs)
	}
	s, err := mlflow.OpenSQLite(t.Context(), path, mlflow.SQLiteOptions{Artifacts: dir})
	require.NoError(t, err)
	defer s.Close()
	p, err := s.SearchRuns(t.Context(), mlflow.RunQuery{ExperimentIDs: []string{"0"}})
	require.NoError(t, err)
	require.Len(t, p.Items, writers)
	for _, r := range p.Items {
		h, err := s.MetricHistory(t.Context(), r.Info.ID, "m", 0, "")
		require.NoError(t, err)
		require.Len(t, h.Items, each)
	}
}
