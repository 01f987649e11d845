package mlflow

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

const (
	get    = http.MethodGet
	post   = http.MethodPost
	patch  = http.MethodPatch
	remove = http.MethodDelete
)

// fields is a JSON object.
type fields map[string]any

// searchBody is the body of a search.
type searchBody struct {
	ExperimentIDs []string `json:"experiment_ids,omitempty"`
	Filter        string   `json:"filter,omitempty"`
	RunView       View     `json:"run_view_type,omitempty"`
	View          View     `json:"view_type,omitempty"`
	MaxResults    int      `json:"max_results,omitempty"`
	OrderBy       []string `json:"order_by,omitempty"`
	Token         string   `json:"page_token,omitempty"`
}

// values is a search as the parameters of a GET.
func (q Query) values() url.Values {
	v := url.Values{}
	if q.Filter != "" {
		v.Set("filter", q.Filter)
	}
	if q.MaxResults > 0 {
		v.Set("max_results", strconv.Itoa(q.MaxResults))
	}
	for _, o := range q.OrderBy {
		v.Add("order_by", o)
	}
	if q.Token != "" {
		v.Set("page_token", q.Token)
	}
	return v
}

// CreateExperiment implements Tracking.
func (r *REST) CreateExperiment(ctx context.Context, e NewExperiment) (string, error) {
	var out struct {
		ID string `json:"experiment_id"`
	}
	err := r.call(ctx, post, "experiments/create", e, &out)
	return out.ID, err
}

type experimentAnswer struct {
	Experiment Experiment `json:"experiment"`
}

// Experiment implements Tracking.
func (r *REST) Experiment(ctx context.Context, id string) (*Experiment, error) {
	var out experimentAnswer
	err := r.call(ctx, get, "experiments/get", url.Values{"experiment_id": {id}}, &out)
	return found(&out.Experiment, err)
}

// ExperimentByName implements Tracking.
func (r *REST) ExperimentByName(ctx context.Context, name string) (*Experiment, error) {
	var out experimentAnswer
	err := r.call(ctx, get, "experiments/get-by-name", url.Values{"experiment_name": {name}}, &out)
	return found(&out.Experiment, err)
}

// found returns v unless there is an error.
func found[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// SearchExperiments implements Tracking.
func (r *REST) SearchExperiments(ctx context.Context, q Query) (Page[Experiment], error) {
	var out struct {
		Items []Experiment `json:"experiments"`
		Next  string       `json:"next_page_token"`
	}
	if q.MaxResults == 0 {
		q.MaxResults = defaultSearch
	}
	err := r.call(ctx, post, "experiments/search", searchBody{Filter: q.Filter, View: q.View, MaxResults: q.MaxResults, OrderBy: q.OrderBy, Token: q.Token}, &out)
	return Page[Experiment]{out.Items, out.Next}, err
}

// RenameExperiment implements Tracking.
func (r *REST) RenameExperiment(ctx context.Context, id, name string) error {
	return r.call(ctx, post, "experiments/update", fields{"experiment_id": id, "new_name": name}, nil)
}

// DeleteExperiment implements Tracking.
func (r *REST) DeleteExperiment(ctx context.Context, id string) error {
	return r.call(ctx, post, "experiments/delete", fields{"experiment_id": id}, nil)
}

// RestoreExperiment implements Tracking.
func (r *REST) RestoreExperiment(ctx context.Context, id string) error {
	return r.call(ctx, post, "experiments/restore", fields{"experiment_id": id}, nil)
}

// SetExperimentTag implements Tracking.
func (r *REST) SetExperimentTag(ctx context.Context, id string, t Tag) error {
	return r.call(ctx, post, "experiments/set-experiment-tag", fields{"experiment_id": id, "key": t.Key, "value": t.Value}, nil)
}

// DeleteExperimentTag implements Tracking. Servers of MLflow 2 lack it.
func (r *REST) DeleteExperimentTag(ctx context.Context, id, key string) error {
	return r.call(ctx, post, "experiments/delete-experiment-tag", fields{"experiment_id": id, "key": key}, nil)
}

type runAnswer struct {
	Run Run `json:"run"`
}

// CreateRun implements Tracking.
func (r *REST) CreateRun(ctx context.Context, n NewRun) (*Run, error) {
	if n.Started == 0 {
		n.Started = Now()
	}
	var out runAnswer
	err := r.call(ctx, post, "runs/create", n, &out)
	return found(&out.Run, err)
}

// Run implements Tracking.
func (r *REST) Run(ctx context.Context, id string) (*Run, error) {
	var out runAnswer
	err := r.call(ctx, get, "runs/get", url.Values{"run_id": {id}}, &out)
	return found(&out.Run, err)
}

// UpdateRun implements Tracking.
func (r *REST) UpdateRun(ctx context.Context, id string, u RunUpdate) error {
	return r.call(ctx, post, "runs/update", struct {
		ID string `json:"run_id"`
		RunUpdate
	}{id, u}, nil)
}

// DeleteRun implements Tracking.
func (r *REST) DeleteRun(ctx context.Context, id string) error {
	return r.call(ctx, post, "runs/delete", fields{"run_id": id}, nil)
}

// RestoreRun implements Tracking.
func (r *REST) RestoreRun(ctx context.Context, id string) error {
	return r.call(ctx, post, "runs/restore", fields{"run_id": id}, nil)
}

// SearchRuns implements Tracking.
func (r *REST) SearchRuns(ctx context.Context, q RunQuery) (Page[Run], error) {
	var out struct {
		Items []Run  `json:"runs"`
		Next  string `json:"next_page_token"`
	}
	err := r.call(ctx, post, "runs/search", searchBody{ExperimentIDs: q.ExperimentIDs, Filter: q.Filter, RunView: q.View, MaxResults: q.MaxResults, OrderBy: q.OrderBy, Token: q.Token}, &out)
	return Page[Run]{out.Items, out.Next}, err
}

// LogBatch implements Tracking.
func (r *REST) LogBatch(ctx context.Context, runID string, b Batch) error {
	return r.call(ctx, post, "runs/log-batch", struct {
		ID string `json:"run_id"`
		Batch
	}{runID, b}, nil)
}

// DeleteTag implements Tracking.
func (r *REST) DeleteTag(ctx context.Context, runID, key string) error {
	return r.call(ctx, post, "runs/delete-tag", fields{"run_id": runID, "key": key}, nil)
}

// LogInputs implements Tracking.
func (r *REST) LogInputs(ctx context.Context, runID string, inputs []DatasetInput) error {
	return r.call(ctx, post, "runs/log-inputs", fields{"run_id": runID, "datasets": inputs}, nil)
}

// MetricHistory implements Tracking.
func (r *REST) MetricHistory(ctx context.Context, runID, key string, most int, token string) (Page[Metric], error) {
	var out struct {
		Items []Metric `json:"metrics"`
		Next  string   `json:"next_page_token"`
	}
	if most == 0 {
		most = historyPage
	}
	v := Query{MaxResults: most, Token: token}.values()
	v.Set("run_id", runID)
	v.Set("metric_key", key)
	err := r.call(ctx, get, "metrics/get-history", v, &out)
	return Page[Metric]{out.Items, out.Next}, err
}

type loggedAnswer struct {
	Model LoggedModel `json:"model"`
}

// CreateLoggedModel implements Tracking.
func (r *REST) CreateLoggedModel(ctx context.Context, m NewLoggedModel) (*LoggedModel, error) {
	var out loggedAnswer
	err := r.call(ctx, post, "logged-models", m, &out)
	return found(&out.Model, err)
}

// LoggedModel implements Tracking.
func (r *REST) LoggedModel(ctx context.Context, id string) (*LoggedModel, error) {
	var out loggedAnswer
	err := r.call(ctx, get, "logged-models/"+url.PathEscape(id), nil, &out)
	return found(&out.Model, err)
}

// FinishLoggedModel implements Tracking.
func (r *REST) FinishLoggedModel(ctx context.Context, id, status string) error {
	return r.call(ctx, patch, "logged-models/"+url.PathEscape(id), fields{"model_id": id, "status": status}, nil)
}

// SearchLoggedModels implements Tracking.
func (r *REST) SearchLoggedModels(ctx context.Context, experimentIDs []string, q Query) (Page[LoggedModel], error) {
	var out struct {
		Items []LoggedModel `json:"models"`
		Next  string        `json:"next_page_token"`
	}
	orders, err := loggedLanguage.parseOrder(q.OrderBy)
	if err != nil {
		return Page[LoggedModel]{}, err
	}
	var terms []fields
	for _, o := range orders {
		terms = append(terms, fields{"field_name": o.key, "ascending": !o.descending})
	}
	body := fields{"experiment_ids": experimentIDs, "filter": q.Filter, "order_by": terms, "page_token": q.Token}
	if q.MaxResults > 0 {
		body["max_results"] = q.MaxResults
	}
	err = r.call(ctx, post, "logged-models/search", body, &out)
	return Page[LoggedModel]{out.Items, out.Next}, err
}

// SetLoggedModelTags implements Tracking.
func (r *REST) SetLoggedModelTags(ctx context.Context, id string, tags []Tag) error {
	return r.call(ctx, patch, "logged-models/"+url.PathEscape(id)+"/tags", fields{"model_id": id, "tags": tags}, nil)
}

// DeleteLoggedModel implements Tracking.
func (r *REST) DeleteLoggedModel(ctx context.Context, id string) error {
	return r.call(ctx, remove, "logged-models/"+url.PathEscape(id), nil, nil)
}

// LogOutputs implements Tracking.
func (r *REST) LogOutputs(ctx context.Context, runID string, models []ModelOutput) error {
	return r.call(ctx, post, "runs/outputs", fields{"run_id": runID, "models": models}, nil)
}
