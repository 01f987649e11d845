package mlflow

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"
)

// Config says how a training is recorded. Take DefaultConfig and change it.
type Config struct {
	URI        string // as Open takes it
	Experiment string // by name; made where it is absent
	RunName    string // "": a random one
	RunID      string // a run to go on with; "" begins a new one
	Parent     string // run id of which this is a part: a trial of a tuning, say
	Params     map[string]string
	Tags       map[string]string
	Inputs     []DatasetInput

	// Register names the registered model that gets the best checkpoint as a new
	// version when training ends; "" registers nothing. Rule says when it gets
	// Alias and Stage.
	Register string
	Alias    string
	Stage    string
	Rule     Rule

	SystemMetrics bool          // record load, memory, disk and network
	SystemEvery   time.Duration // between two samples
	SystemSamples int           // samples of which the mean is recorded
	SystemNode    string        // named in the keys where several machines record one run

	Spool string // folder; "" for SpoolDir()
	Queue int    // values that may wait in memory; more are lost, and counted

	// StartTimeout is how long Start waits for the store to make the run. After it
	// the run is made later, when the store answers.
	StartTimeout time.Duration
	// FlushEvery is how long values may wait for others to be sent with.
	FlushEvery time.Duration
	// CloseTimeout is how long the end of a training waits for what is unsent.
	CloseTimeout time.Duration

	Log *slog.Logger // warnings; nil for slog.Default
}

// DefaultConfig returns the defaults, with what MLFLOW_EXPERIMENT_NAME, _ID,
// MLFLOW_RUN_ID, MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING and MLFLOW_SYSTEM_METRICS_* say.
// Logging is always asynchronous, so MLFLOW_ENABLE_ASYNC_LOGGING changes nothing.
func DefaultConfig() Config {
	c := Config{
		Experiment: first(os.Getenv("MLFLOW_EXPERIMENT_NAME"), "Default"), RunID: os.Getenv("MLFLOW_RUN_ID"),
		SystemEvery: 10 * time.Second, SystemSamples: 1, SystemNode: os.Getenv("MLFLOW_SYSTEM_METRICS_NODE_ID"),
		Queue: 100000, StartTimeout: 15 * time.Second, FlushEvery: 500 * time.Millisecond, CloseTimeout: time.Minute,
	}
	if id := os.Getenv("MLFLOW_EXPERIMENT_ID"); id != "" && os.Getenv("MLFLOW_EXPERIMENT_NAME") == "" {
		c.Experiment = experimentIDPrefix + id
	}
	c.SystemMetrics, _ = strconv.ParseBool(os.Getenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"))
	if n, err := strconv.Atoi(os.Getenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL")); err == nil && n > 0 {
		c.SystemEvery = time.Duration(n) * time.Second
	}
	if n, err := strconv.Atoi(os.Getenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING")); err == nil && n > 0 {
		c.SystemSamples = n
	}
	return c
}

// Registering returns the settings with Register set: the best checkpoint of the
// training becomes a new version of that model.
func (c Config) Registering(model string) Config {
	c.Register = model
	return c
}

// experimentIDPrefix marks an experiment that is named by its id.
const experimentIDPrefix = "id:"

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("mlflow: config: "+format, args...))
		}
	}
	bad(c.Experiment != "" || c.RunID != "", "an experiment is missing")
	bad(c.RunID == "" || checkRunID(c.RunID) == nil, "RunID %q is no run id", c.RunID)
	bad(c.Parent == "" || checkRunID(c.Parent) == nil, "Parent %q is no run id", c.Parent)
	bad(c.Queue > 0, "Queue is %d, must be positive", c.Queue)
	bad(!c.SystemMetrics || c.SystemEvery > 0 && c.SystemSamples > 0, "SystemEvery and SystemSamples must be positive")
	bad(c.Register == "" || checkModelName(c.Register) == nil, "Register %q cannot name a model", c.Register)
	bad(c.Register != "" || c.Alias == "" && c.Stage == "", "Alias and Stage need Register, the name of the registered model")
	bad(c.Alias == "" || checkAlias(c.Alias) == nil, "Alias %q is none or reserved", c.Alias)
	if _, err := canonicalStage(first(c.Stage, StageNone)); err != nil {
		errs = append(errs, err)
	}
	for k := range c.Params {
		if err := checkKey("param", k); err != nil {
			errs = append(errs, err)
		}
	}
	for k := range c.Tags {
		if err := checkKey("tag", k); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, c.Rule.check())...)
}
