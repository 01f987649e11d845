package mlflow

import "context"

// Store is a tracking and registry back end. Its methods may be called by
// several goroutines. Answers of the store are errors of type *Error.
type Store interface {
	Tracking
	Registry
	// URI is the address that Open was given, as MLflow writes it.
	URI() string
	Close() error
}

// Tracking keeps experiments and runs.
type Tracking interface {
	CreateExperiment(ctx context.Context, e NewExperiment) (id string, err error)
	Experiment(ctx context.Context, id string) (*Experiment, error)
	ExperimentByName(ctx context.Context, name string) (*Experiment, error)
	SearchExperiments(ctx context.Context, q Query) (Page[Experiment], error)
	RenameExperiment(ctx context.Context, id, name string) error
	DeleteExperiment(ctx context.Context, id string) error
	RestoreExperiment(ctx context.Context, id string) error
	SetExperimentTag(ctx context.Context, id string, t Tag) error
	DeleteExperimentTag(ctx context.Context, id, key string) error

	CreateRun(ctx context.Context, r NewRun) (*Run, error)
	Run(ctx context.Context, id string) (*Run, error)
	UpdateRun(ctx context.Context, id string, u RunUpdate) error
	DeleteRun(ctx context.Context, id string) error
	RestoreRun(ctx context.Context, id string) error
	SearchRuns(ctx context.Context, q RunQuery) (Page[Run], error)

	// LogBatch writes params, metrics and tags, at most 1,000 together. Metrics
	// that are there already are skipped.
	LogBatch(ctx context.Context, runID string, b Batch) error
	DeleteTag(ctx context.Context, runID, key string) error
	LogInputs(ctx context.Context, runID string, inputs []DatasetInput) error
	// MetricHistory is every value of a metric in the order it was logged. A max of 0 takes 25,000.
	MetricHistory(ctx context.Context, runID, key string, max int, token string) (Page[Metric], error)

	// Logged models are of MLflow 3: others answer that there is no such endpoint,
	// and HasLoggedModels says so beforehand.
	HasLoggedModels(ctx context.Context) (bool, error)
	CreateLoggedModel(ctx context.Context, m NewLoggedModel) (*LoggedModel, error)
	LoggedModel(ctx context.Context, id string) (*LoggedModel, error)
	FinishLoggedModel(ctx context.Context, id, status string) error
	SearchLoggedModels(ctx context.Context, experimentIDs []string, q Query) (Page[LoggedModel], error)
	SetLoggedModelTags(ctx context.Context, id string, tags []Tag) error
	DeleteLoggedModel(ctx context.Context, id string) error
	// LogOutputs links logged models to the run that made them.
	LogOutputs(ctx context.Context, runID string, models []ModelOutput) error
}

// Registry keeps registered models and their versions.
type Registry interface {
	CreateRegisteredModel(ctx context.Context, name, description string, tags []Tag) (*RegisteredModel, error)
	RegisteredModel(ctx context.Context, name string) (*RegisteredModel, error)
	RenameRegisteredModel(ctx context.Context, name, newName string) error
	DescribeRegisteredModel(ctx context.Context, name, description string) error
	DeleteRegisteredModel(ctx context.Context, name string) error
	SearchRegisteredModels(ctx context.Context, q Query) (Page[RegisteredModel], error)
	SetRegisteredModelTag(ctx context.Context, name string, t Tag) error
	DeleteRegisteredModelTag(ctx context.Context, name, key string) error
	SetAlias(ctx context.Context, name, alias, version string) error
	DeleteAlias(ctx context.Context, name, alias string) error

	CreateModelVersion(ctx context.Context, v NewModelVersion) (*ModelVersion, error)
	ModelVersion(ctx context.Context, name, version string) (*ModelVersion, error)
	ModelVersionByAlias(ctx context.Context, name, alias string) (*ModelVersion, error)
	// LatestVersions returns the newest version of each stage, or of the stages named.
	LatestVersions(ctx context.Context, name string, stages ...string) ([]ModelVersion, error)
	DescribeModelVersion(ctx context.Context, name, version, description string) error
	// TransitionStage moves a version to a stage; archive moves those that are there to Archived.
	TransitionStage(ctx context.Context, name, version, stage string, archive bool) (*ModelVersion, error)
	DeleteModelVersion(ctx context.Context, name, version string) error
	SearchModelVersions(ctx context.Context, q Query) (Page[ModelVersion], error)
	SetModelVersionTag(ctx context.Context, name, version string, t Tag) error
	DeleteModelVersionTag(ctx context.Context, name, version, key string) error
	// DownloadURI is where the artifacts of a version lie.
	DownloadURI(ctx context.Context, name, version string) (string, error)
}

// Query is a search in MLflow's filter language, such as
// "name LIKE 'det%' AND tags.team = 'north'".
type Query struct {
	Filter     string
	OrderBy    []string // "name ASC", "last_update_time DESC"
	View       View     // ActiveOnly where ""
	MaxResults int      // 0: the store's default
	Token      string   // of the page before
}

// RunQuery is a search for runs, such as
// "metrics.AP50 > 0.3 AND params.model = 'yolo11n' AND attributes.status = 'FINISHED'".
type RunQuery struct {
	ExperimentIDs []string
	Query
}

// NewExperiment is what CreateExperiment makes.
type NewExperiment struct {
	Name             string `json:"name"`
	ArtifactLocation string `json:"artifact_location,omitempty"` // "": the store's default
	Tags             []Tag  `json:"tags,omitempty"`
}

// NewRun is what CreateRun makes.
type NewRun struct {
	ExperimentID string `json:"experiment_id"`
	User         string `json:"user_id,omitempty"`
	Name         string `json:"run_name,omitempty"` // "": a random one
	Started      Millis `json:"start_time"`
	Tags         []Tag  `json:"tags,omitempty"`
}

// RunUpdate changes a run's head; zero fields stay as they are.
type RunUpdate struct {
	Status Status `json:"status,omitempty"`
	Ended  Millis `json:"end_time,omitempty"`
	Name   string `json:"run_name,omitempty"`
}

// NewLoggedModel is what CreateLoggedModel makes.
type NewLoggedModel struct {
	ExperimentID string  `json:"experiment_id"`
	Name         string  `json:"name,omitempty"`
	Type         string  `json:"model_type,omitempty"`
	SourceRunID  string  `json:"source_run_id,omitempty"`
	Params       []Param `json:"params,omitempty"`
	Tags         []Tag   `json:"tags,omitempty"`
}

// NewModelVersion is what CreateModelVersion makes.
type NewModelVersion struct {
	Name        string `json:"name"`
	Source      string `json:"source"` // models:/m-…, runs:/RUN/model or where the files lie
	RunID       string `json:"run_id,omitempty"`
	ModelID     string `json:"model_id,omitempty"`
	Description string `json:"description,omitempty"`
	RunLink     string `json:"run_link,omitempty"`
	Tags        []Tag  `json:"tags,omitempty"`
}
