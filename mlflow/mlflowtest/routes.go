package mlflowtest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/mlflow"
)

// maxBody bounds a request.
const maxBody = 64 << 20

// body is every field that a request can have.
type body struct {
	Name           string                `json:"name"`
	NewName        string                `json:"new_name"`
	ExperimentID   string                `json:"experiment_id"`
	ExperimentIDs  []string              `json:"experiment_ids"`
	ExperimentName string                `json:"experiment_name"`
	RunID          string                `json:"run_id"`
	Key            string                `json:"key"`
	Value          json.RawMessage       `json:"value"`
	Description    string                `json:"description"`
	Tags           []mlflow.Tag          `json:"tags"`
	Filter         string                `json:"filter"`
	OrderBy        json.RawMessage       `json:"order_by"`
	View           mlflow.View           `json:"view_type"`
	RunView        mlflow.View           `json:"run_view_type"`
	MaxResults     mlflow.Millis         `json:"max_results"`
	Token          string                `json:"page_token"`
	MetricKey      string                `json:"metric_key"`
	Alias          string                `json:"alias"`
	Version        string                `json:"version"`
	Stage          string                `json:"stage"`
	Stages         []string              `json:"stages"`
	Archive        bool                  `json:"archive_existing_versions"`
	Status         json.RawMessage       `json:"status"`
	Datasets       []mlflow.DatasetInput `json:"datasets"`
	Models         []mlflow.ModelOutput  `json:"models"`
	mlflow.Batch
	Timestamp mlflow.Millis `json:"timestamp"`
	Step      mlflow.Millis `json:"step"`
	raw       []byte
}

// text is the value of a tag or param.
func (b body) text() string {
	var s string
	if json.Unmarshal(b.Value, &s) != nil {
		return string(b.Value)
	}
	return s
}

func (b body) query() mlflow.Query {
	q := mlflow.Query{Filter: b.Filter, View: b.View, MaxResults: int(b.MaxResults), Token: b.Token}
	_ = json.Unmarshal(b.OrderBy, &q.OrderBy) // logged models have objects here: these are left out
	return q
}

// reading makes a handler of a call.
func reading(call func(context.Context, body) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := read(r)
		if err != nil {
			answer(w, nil, &mlflow.Error{Code: "INVALID_PARAMETER_VALUE", Message: err.Error(), Status: http.StatusBadRequest})
			return
		}
		v, err := call(r.Context(), b)
		answer(w, v, err)
	}
}

// read takes the fields from the body, or from the address.
func read(r *http.Request) (b body, err error) {
	if b.raw, err = io.ReadAll(io.LimitReader(r.Body, maxBody)); err != nil {
		return b, err
	}
	if len(b.raw) > 0 {
		err = json.Unmarshal(b.raw, &b)
	}
	v := r.URL.Query()
	for name, to := range map[string]*string{
		"name": &b.Name, "experiment_id": &b.ExperimentID, "experiment_name": &b.ExperimentName, "run_id": &b.RunID, "metric_key": &b.MetricKey,
		"alias": &b.Alias, "version": &b.Version, "filter": &b.Filter, "page_token": &b.Token, "key": &b.Key,
	} {
		if v.Has(name) {
			*to = v.Get(name)
		}
	}
	if n, nerr := strconv.Atoi(v.Get("max_results")); nerr == nil {
		b.MaxResults = mlflow.Millis(n)
	}
	if v.Has("order_by") {
		b.OrderBy, _ = json.Marshal(v["order_by"]) // a list of texts
	}
	return b, err
}

// routes are the calls by method and path.
func (s *Server) routes() map[string]http.HandlerFunc {
	out := map[string]http.HandlerFunc{}
	for _, group := range []map[string]func(context.Context, body) (any, error){s.experiments(), s.runs(), s.registered(), s.versions()} {
		for pattern, call := range group {
			out[pattern] = reading(call)
		}
	}
	for pattern, h := range s.logged() {
		out[pattern] = h
	}
	return out
}

type calls = map[string]func(context.Context, body) (any, error)

// one and many name results as MLflow does.
func one[T any](name string, v *T, err error) (any, error) { return map[string]any{name: v}, err }

func many[T any](name string, p mlflow.Page[T], err error) (any, error) {
	out := map[string]any{name: append([]T{}, p.Items...)}
	if p.Next != "" {
		out["next_page_token"] = p.Next
	}
	return out, err
}

func (s *Server) experiments() calls {
	st := s.Store
	search := func(ctx context.Context, b body) (any, error) {
		p, err := st.SearchExperiments(ctx, b.query())
		return many("experiments", p, err)
	}
	return calls{
		"POST experiments/create": func(ctx context.Context, b body) (any, error) {
			var e mlflow.NewExperiment
			if err := json.Unmarshal(b.raw, &e); err != nil {
				return nil, err
			}
			id, err := st.CreateExperiment(ctx, e)
			return map[string]string{"experiment_id": id}, err
		},
		"GET experiments/get": func(ctx context.Context, b body) (any, error) {
			e, err := st.Experiment(ctx, b.ExperimentID)
			return one("experiment", e, err)
		},
		"GET experiments/get-by-name": func(ctx context.Context, b body) (any, error) {
			e, err := st.ExperimentByName(ctx, b.ExperimentName)
			return one("experiment", e, err)
		},
		"POST experiments/search": search, "GET experiments/search": search,
		"POST experiments/update": func(ctx context.Context, b body) (any, error) {
			return nil, st.RenameExperiment(ctx, b.ExperimentID, b.NewName)
		},
		"POST experiments/delete":  func(ctx context.Context, b body) (any, error) { return nil, st.DeleteExperiment(ctx, b.ExperimentID) },
		"POST experiments/restore": func(ctx context.Context, b body) (any, error) { return nil, st.RestoreExperiment(ctx, b.ExperimentID) },
		"POST experiments/set-experiment-tag": func(ctx context.Context, b body) (any, error) {
			return nil, st.SetExperimentTag(ctx, b.ExperimentID, mlflow.Tag{Key: b.Key, Value: b.text()})
		},
		"POST experiments/delete-experiment-tag": func(ctx context.Context, b body) (any, error) {
			return nil, st.DeleteExperimentTag(ctx, b.ExperimentID, b.Key)
		},
	}
}

func (s *Server) runs() calls {
	st := s.Store
	batch := func(ctx context.Context, id string, b mlflow.Batch) (any, error) { return nil, st.LogBatch(ctx, id, b) }
	return calls{
		"POST runs/create": func(ctx context.Context, b body) (any, error) {
			var r mlflow.NewRun
			if err := json.Unmarshal(b.raw, &r); err != nil {
				return nil, err
			}
			run, err := st.CreateRun(ctx, r)
			return one("run", run, err)
		},
		"GET runs/get": func(ctx context.Context, b body) (any, error) {
			run, err := st.Run(ctx, b.RunID)
			return one("run", run, err)
		},
		"POST runs/update": func(ctx context.Context, b body) (any, error) {
			var u mlflow.RunUpdate
			if err := json.Unmarshal(b.raw, &u); err != nil {
				return nil, err
			}
			if err := st.UpdateRun(ctx, b.RunID, u); err != nil {
				return nil, err
			}
			run, err := st.Run(ctx, b.RunID)
			if err != nil {
				return nil, err
			}
			return map[string]any{"run_info": run.Info}, nil
		},
		"POST runs/delete":  func(ctx context.Context, b body) (any, error) { return nil, st.DeleteRun(ctx, b.RunID) },
		"POST runs/restore": func(ctx context.Context, b body) (any, error) { return nil, st.RestoreRun(ctx, b.RunID) },
		"POST runs/search": func(ctx context.Context, b body) (any, error) {
			q := mlflow.RunQuery{ExperimentIDs: b.ExperimentIDs, Query: b.query()}
			q.View = b.RunView
			p, err := st.SearchRuns(ctx, q)
			return many("runs", p, err)
		},
		"POST runs/log-batch": func(ctx context.Context, b body) (any, error) {
			b.Batch.Tags = b.Tags
			return batch(ctx, b.RunID, b.Batch)
		},
		"POST runs/log-metric": func(ctx context.Context, b body) (any, error) {
			var m mlflow.Metric
			if err := json.Unmarshal(b.raw, &m); err != nil {
				return nil, err
			}
			return batch(ctx, b.RunID, mlflow.Batch{Metrics: []mlflow.Metric{m}})
		},
		"POST runs/log-parameter": func(ctx context.Context, b body) (any, error) {
			return batch(ctx, b.RunID, mlflow.Batch{Params: []mlflow.Param{{Key: b.Key, Value: b.text()}}})
		},
		"POST runs/set-tag": func(ctx context.Context, b body) (any, error) {
			return batch(ctx, b.RunID, mlflow.Batch{Tags: []mlflow.Tag{{Key: b.Key, Value: b.text()}}})
		},
		"POST runs/delete-tag": func(ctx context.Context, b body) (any, error) { return nil, st.DeleteTag(ctx, b.RunID, b.Key) },
		"POST runs/log-inputs": func(ctx context.Context, b body) (any, error) { return nil, st.LogInputs(ctx, b.RunID, b.Datasets) },
		"POST runs/outputs":    func(ctx context.Context, b body) (any, error) { return nil, st.LogOutputs(ctx, b.RunID, b.Models) },
		"GET metrics/get-history": func(ctx context.Context, b body) (any, error) {
			p, err := st.MetricHistory(ctx, b.RunID, b.MetricKey, int(b.MaxResults), b.Token)
			return many("metrics", p, err)
		},
	}
}

func (s *Server) registered() calls {
	st := s.Store
	latest := func(ctx context.Context, b body) (any, error) {
		v, err := st.LatestVersions(ctx, b.Name, b.Stages...)
		return map[string]any{"model_versions": v}, err
	}
	return calls{
		"POST registered-models/create": func(ctx context.Context, b body) (any, error) {
			m, err := st.CreateRegisteredModel(ctx, b.Name, b.Description, b.Tags)
			return one("registered_model", m, err)
		},
		"GET registered-models/get": func(ctx context.Context, b body) (any, error) {
			m, err := st.RegisteredModel(ctx, b.Name)
			return one("registered_model", m, err)
		},
		"POST registered-models/rename": func(ctx context.Context, b body) (any, error) {
			return nil, st.RenameRegisteredModel(ctx, b.Name, b.NewName)
		},
		"PATCH registered-models/update": func(ctx context.Context, b body) (any, error) {
			return nil, st.DescribeRegisteredModel(ctx, b.Name, b.Description)
		},
		"DELETE registered-models/delete": func(ctx context.Context, b body) (any, error) { return nil, st.DeleteRegisteredModel(ctx, b.Name) },
		"GET registered-models/search": func(ctx context.Context, b body) (any, error) {
			p, err := st.SearchRegisteredModels(ctx, b.query())
			return many("registered_models", p, err)
		},
		"POST registered-models/get-latest-versions": latest, "GET registered-models/get-latest-versions": latest,
		"POST registered-models/set-tag": func(ctx context.Context, b body) (any, error) {
			return nil, st.SetRegisteredModelTag(ctx, b.Name, mlflow.Tag{Key: b.Key, Value: b.text()})
		},
		"DELETE registered-models/delete-tag": func(ctx context.Context, b body) (any, error) {
			return nil, st.DeleteRegisteredModelTag(ctx, b.Name, b.Key)
		},
		"POST registered-models/alias": func(ctx context.Context, b body) (any, error) {
			return nil, st.SetAlias(ctx, b.Name, b.Alias, b.Version)
		},
		"DELETE registered-models/alias": func(ctx context.Context, b body) (any, error) { return nil, st.DeleteAlias(ctx, b.Name, b.Alias) },
		"GET registered-models/alias": func(ctx context.Context, b body) (any, error) {
			v, err := st.ModelVersionByAlias(ctx, b.Name, b.Alias)
			return one("model_version", v, err)
		},
	}
}

func (s *Server) versions() calls {
	st := s.Store
	return calls{
		"POST model-versions/create": func(ctx context.Context, b body) (any, error) {
			var n mlflow.NewModelVersion
			if err := json.Unmarshal(b.raw, &n); err != nil {
				return nil, err
			}
			if err := sourceAllowed(n); err != nil {
				return nil, err
			}
			v, err := st.CreateModelVersion(ctx, n)
			return one("model_version", v, err)
		},
		"GET model-versions/get": func(ctx context.Context, b body) (any, error) {
			v, err := st.ModelVersion(ctx, b.Name, b.Version)
			return one("model_version", v, err)
		},
		"PATCH model-versions/update": func(ctx context.Context, b body) (any, error) {
			return nil, st.DescribeModelVersion(ctx, b.Name, b.Version, b.Description)
		},
		"POST model-versions/transition-stage": func(ctx context.Context, b body) (any, error) {
			v, err := st.TransitionStage(ctx, b.Name, b.Version, b.Stage, b.Archive)
			return one("model_version", v, err)
		},
		"DELETE model-versions/delete": func(ctx context.Context, b body) (any, error) {
			return nil, st.DeleteModelVersion(ctx, b.Name, b.Version)
		},
		"GET model-versions/search": func(ctx context.Context, b body) (any, error) {
			p, err := st.SearchModelVersions(ctx, b.query())
			return many("model_versions", p, err)
		},
		"POST model-versions/set-tag": func(ctx context.Context, b body) (any, error) {
			return nil, st.SetModelVersionTag(ctx, b.Name, b.Version, mlflow.Tag{Key: b.Key, Value: b.text()})
		},
		"DELETE model-versions/delete-tag": func(ctx context.Context, b body) (any, error) {
			return nil, st.DeleteModelVersionTag(ctx, b.Name, b.Version, b.Key)
		},
		"GET model-versions/get-download-uri": func(ctx context.Context, b body) (any, error) {
			uri, err := st.DownloadURI(ctx, b.Name, b.Version)
			return map[string]string{"artifact_uri": uri}, err
		},
	}
}

// sourceAllowed keeps sources out that a server refuses: local paths, and proxied artifacts without their run.
func sourceAllowed(n mlflow.NewModelVersion) error {
	local := !strings.Contains(n.Source, ":/") || strings.HasPrefix(n.Source, "file:")
	if local || strings.HasPrefix(n.Source, "mlflow-artifacts:") && n.RunID == "" && n.ModelID == "" {
		return &mlflow.Error{Code: "INVALID_PARAMETER_VALUE", Status: http.StatusBadRequest,
			Message: "Invalid model version source: '" + n.Source + "'. To use a local path or proxied artifacts as a model version source, the run_id or model_id request parameter has to be specified"}
	}
	return nil
}

// logged are the calls whose path names a model.
func (s *Server) logged() map[string]http.HandlerFunc {
	st := s.Store
	withID := func(call func(ctx context.Context, id string, b body) (any, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			reading(func(ctx context.Context, b body) (any, error) { return call(ctx, r.PathValue("id"), b) })(w, r)
		}
	}
	return map[string]http.HandlerFunc{
		"POST logged-models": reading(func(ctx context.Context, b body) (any, error) {
			var n mlflow.NewLoggedModel
			if err := json.Unmarshal(b.raw, &n); err != nil {
				return nil, err
			}
			m, err := st.CreateLoggedModel(ctx, n)
			return one("model", m, err)
		}),
		"POST logged-models/search": reading(func(ctx context.Context, b body) (any, error) {
			p, err := st.SearchLoggedModels(ctx, b.ExperimentIDs, b.query())
			return many("models", p, err)
		}),
		"GET logged-models/{id}": withID(func(ctx context.Context, id string, _ body) (any, error) {
			m, err := st.LoggedModel(ctx, id)
			return one("model", m, err)
		}),
		"PATCH logged-models/{id}": withID(func(ctx context.Context, id string, b body) (any, error) {
			var status string
			if json.Unmarshal(b.Status, &status) != nil {
				status = map[string]string{"2": mlflow.ModelReady, "3": mlflow.ModelFailed}[string(b.Status)]
			}
			if err := st.FinishLoggedModel(ctx, id, status); err != nil {
				return nil, err
			}
			m, err := st.LoggedModel(ctx, id)
			return one("model", m, err)
		}),
		"PATCH logged-models/{id}/tags": withID(func(ctx context.Context, id string, b body) (any, error) {
			return nil, st.SetLoggedModelTags(ctx, id, b.Tags)
		}),
		"DELETE logged-models/{id}": withID(func(ctx context.Context, id string, _ body) (any, error) {
			return nil, st.DeleteLoggedModel(ctx, id)
		}),
	}
}
