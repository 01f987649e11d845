package mlflow

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Millis is a time in milliseconds since 1970, or another 64-bit number that
// servers write as a JSON number or as a string.
type Millis int64

// Now is the present time.
func Now() Millis { return Millis(time.Now().UnixMilli()) }

// Time converts to Go's time.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)) }

// UnmarshalJSON implements json.Unmarshaler.
func (m *Millis) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" || text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(text, 64) // 1.7e12 is a number, too
		if ferr != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
			return fmt.Errorf("mlflow: read number: %q is no 64-bit integer", text)
		}
		n = int64(f)
	}
	*m = Millis(n)
	return nil
}

// Status says where a run stands.
type Status string

// The states of runs.
const (
	Running   Status = "RUNNING"
	Scheduled Status = "SCHEDULED"
	Finished  Status = "FINISHED"
	Failed    Status = "FAILED"
	Killed    Status = "KILLED"
)

// Lifecycle tells what is deleted: "active" or "deleted".
type Lifecycle string

// The lifecycle stages.
const (
	Active  Lifecycle = "active"
	Deleted Lifecycle = "deleted"
)

// View says which lifecycle stages a search sees.
type View string

// The views.
const (
	ActiveOnly  View = "ACTIVE_ONLY"
	DeletedOnly View = "DELETED_ONLY"
	All         View = "ALL"
)

// Tag is a name with a text; experiments, runs, models and versions have them.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Param is one setting of a run. It is written once: another value is refused.
type Param struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Metric is one measured number. NaN and infinities are allowed.
type Metric struct {
	Key       string
	Value     float64
	Timestamp Millis
	Step      int64
}

// wireMetric is a Metric as JSON. A bare NaN would be taken by servers and
// stored as 0, so what is not finite is written as a string.
type wireMetric struct {
	Key       string          `json:"key"`
	Value     json.RawMessage `json:"value"`
	Timestamp Millis          `json:"timestamp"`
	Step      Millis          `json:"step"`
}

// MarshalJSON implements json.Marshaler.
func (m Metric) MarshalJSON() ([]byte, error) {
	var v []byte
	switch {
	case math.IsNaN(m.Value):
		v = []byte(`"NaN"`)
	case math.IsInf(m.Value, 1):
		v = []byte(`"Infinity"`)
	case math.IsInf(m.Value, -1):
		v = []byte(`"-Infinity"`)
	default:
		v = strconv.AppendFloat(nil, m.Value, 'g', -1, 64)
	}
	return json.Marshal(wireMetric{m.Key, v, m.Timestamp, Millis(m.Step)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Metric) UnmarshalJSON(b []byte) error {
	var w wireMetric
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*m = Metric{Key: w.Key, Timestamp: w.Timestamp, Step: int64(w.Step)}
	text := strings.Trim(string(w.Value), `"`)
	if text == "" || text == "null" {
		return nil // proto JSON leaves zeros out
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return fmt.Errorf("mlflow: read metric %q: %q is no number", w.Key, text)
	}
	m.Value = f
	return nil
}

// Experiment is a group of runs.
type Experiment struct {
	ID               string    `json:"experiment_id"`
	Name             string    `json:"name"`
	ArtifactLocation string    `json:"artifact_location"`
	Lifecycle        Lifecycle `json:"lifecycle_stage"`
	Created          Millis    `json:"creation_time"`
	Updated          Millis    `json:"last_update_time"`
	Tags             []Tag     `json:"tags,omitempty"`
}

// Run is one training or evaluation with what was recorded of it.
type Run struct {
	Info    RunInfo    `json:"info"`
	Data    RunData    `json:"data"`
	Inputs  RunInputs  `json:"inputs"`
	Outputs RunOutputs `json:"outputs"`
}

// RunInfo is a run's head.
type RunInfo struct {
	ID           string    `json:"run_id"`
	Name         string    `json:"run_name"`
	ExperimentID string    `json:"experiment_id"`
	User         string    `json:"user_id"`
	Status       Status    `json:"status"`
	Started      Millis    `json:"start_time"`
	Ended        Millis    `json:"end_time,omitempty"` // 0 while it runs
	ArtifactURI  string    `json:"artifact_uri"`
	Lifecycle    Lifecycle `json:"lifecycle_stage"`
}

// RunData is what was logged. Metrics are the latest of each key.
type RunData struct {
	Metrics []Metric `json:"metrics,omitempty"`
	Params  []Param  `json:"params,omitempty"`
	Tags    []Tag    `json:"tags,omitempty"`
}

// Tag returns the value of a tag, "" where it is absent.
func (d RunData) Tag(key string) string { return tagValue(d.Tags, key) }

// Metric returns the latest value of a metric.
func (d RunData) Metric(key string) (float64, bool) {
	for _, m := range d.Metrics {
		if m.Key == key {
			return m.Value, true
		}
	}
	return 0, false
}

func tagValue(tags []Tag, key string) string {
	for _, t := range tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// RunInputs are the data sets and models that a run used.
type RunInputs struct {
	Datasets []DatasetInput `json:"dataset_inputs,omitempty"`
	Models   []ModelInput   `json:"model_inputs,omitempty"`
}

// RunOutputs are the logged models that a run made.
type RunOutputs struct {
	Models []ModelOutput `json:"model_outputs,omitempty"`
}

// ModelInput names a logged model that a run used.
type ModelInput struct {
	ModelID string `json:"model_id"`
}

// ModelOutput names a logged model that a run made.
type ModelOutput struct {
	ModelID string `json:"model_id"`
	Step    Millis `json:"step"`
}

// Dataset is a data set by name and digest.
type Dataset struct {
	Name       string `json:"name"`
	Digest     string `json:"digest"`      // at most 36 characters
	SourceType string `json:"source_type"` // "local", "http", "s3", "code"
	Source     string `json:"source"`      // JSON, such as {"uri": "/data/savanna"}
	Schema     string `json:"schema,omitempty"`
	Profile    string `json:"profile,omitempty"`
}

// DatasetInput is a data set that a run used, with tags such as
// mlflow.data.context = training.
type DatasetInput struct {
	Dataset Dataset `json:"dataset"`
	Tags    []Tag   `json:"tags,omitempty"`
}

// Batch is what one call of LogBatch writes: at most 1,000 metrics, 100 params,
// 100 tags, and 1,000 together.
type Batch struct {
	Metrics []Metric `json:"metrics,omitempty"`
	Params  []Param  `json:"params,omitempty"`
	Tags    []Tag    `json:"tags,omitempty"`
}

func (b Batch) size() int { return len(b.Metrics) + len(b.Params) + len(b.Tags) }

// Alias is a name for a version, such as "champion".
type Alias struct {
	Alias   string `json:"alias"`
	Version string `json:"version"`
}

// RegisteredModel is a name under which versions are kept.
type RegisteredModel struct {
	Name        string         `json:"name"`
	Created     Millis         `json:"creation_timestamp"`
	Updated     Millis         `json:"last_updated_timestamp"`
	Description string         `json:"description,omitempty"`
	Latest      []ModelVersion `json:"latest_versions,omitempty"` // one per stage
	Tags        []Tag          `json:"tags,omitempty"`
	Aliases     []Alias        `json:"aliases,omitempty"`
}

// Stages of versions. MLflow takes any case and writes these.
const (
	StageNone       = "None"
	StageStaging    = "Staging"
	StageProduction = "Production"
	StageArchived   = "Archived"
)

// ModelVersion is one version of a registered model.
type ModelVersion struct {
	Name          string   `json:"name"`
	Version       string   `json:"version"` // "1", "2", …
	Created       Millis   `json:"creation_timestamp"`
	Updated       Millis   `json:"last_updated_timestamp"`
	User          string   `json:"user_id,omitempty"`
	Stage         string   `json:"current_stage"`
	Description   string   `json:"description,omitempty"`
	Source        string   `json:"source"`
	RunID         string   `json:"run_id,omitempty"`
	ModelID       string   `json:"model_id,omitempty"`
	Status        string   `json:"status"` // "READY"
	StatusMessage string   `json:"status_message,omitempty"`
	RunLink       string   `json:"run_link,omitempty"`
	Tags          []Tag    `json:"tags,omitempty"`
	Aliases       []string `json:"aliases,omitempty"`
}

// Tag returns the value of a tag, "" where it is absent.
func (v ModelVersion) Tag(key string) string { return tagValue(v.Tags, key) }

// LoggedModel is a model as MLflow 3 keeps it, apart from runs.
type LoggedModel struct {
	Info LoggedModelInfo `json:"info"`
	Data LoggedModelData `json:"data"`
}

// LoggedModelInfo is a logged model's head.
type LoggedModelInfo struct {
	ID           string `json:"model_id"`
	ExperimentID string `json:"experiment_id"`
	Name         string `json:"name"`
	Created      Millis `json:"creation_timestamp_ms"`
	Updated      Millis `json:"last_updated_timestamp_ms"`
	ArtifactURI  string `json:"artifact_uri"`
	Status       string `json:"status"` // ModelPending, ModelReady or ModelFailed
	Type         string `json:"model_type,omitempty"`
	SourceRunID  string `json:"source_run_id,omitempty"`
	Tags         []Tag  `json:"tags,omitempty"`
}

// LoggedModelData holds a logged model's params.
type LoggedModelData struct {
	Params []Param `json:"params,omitempty"`
}

// The states of logged models.
const (
	ModelPending = "LOGGED_MODEL_PENDING"
	ModelReady   = "LOGGED_MODEL_READY"
	ModelFailed  = "LOGGED_MODEL_UPLOAD_FAILED"
)

// Page is one part of a list. Next is "" at its end.
type Page[T any] struct {
	Items []T
	Next  string
}
