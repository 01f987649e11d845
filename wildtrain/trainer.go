package wildtrain

import "context"

// Progress is every counter that an exact resume needs. A checkpoint stores it whole.
type Progress struct {
	Epoch       int       `json:"epoch"`       // finished epochs
	Batch       int       `json:"batch"`       // finished batches in the present epoch
	Step        int64     `json:"step"`        // optimiser steps
	Images      int64     `json:"images"`      // training images seen
	Accumulated int       `json:"accumulated"` // micro-batches since the last optimiser step
	Averages    int64     `json:"averages"`    // updates of the moving average
	Skipped     int64     `json:"skipped"`     // optimiser steps left out for non-finite gradients
	Monitor     string    `json:"monitor"`     // name of the monitored value, "" before the first
	Best        float64   `json:"best"`        // best value of the monitored metric
	BestEpoch   int       `json:"best_epoch"`  // epoch of Best, from 1; −1 before the first
	SinceBest   int       `json:"since_best"`  // epochs without improvement
	Seconds     float64   `json:"seconds"`     // training time so far
	Seed        uint64    `json:"seed"`        //
	LossNames   []string  `json:"loss_names"`  // of LossSum
	LossSum     []float64 `json:"loss_sum"`    // running sums of the present epoch, for its mean
	LossCount   int64     `json:"loss_count"`  //
}

// Snapshot is what a Saver writes. Which is "last", "best", or "epoch0012" for
// one that is kept (Config.SavePeriod).
type Snapshot struct {
	Which     string
	Progress  Progress
	Describe  Description
	Model     State
	Averaged  State // nil without moving average
	Optimizer State
	Groups    []Group
	Random    []byte // the model's generators
	Metrics   []Value
}

// Saver keeps checkpoints: the loop decides when, the Saver how. Save replaces
// the previous one of the same name as a whole or not at all, and returns where it is.
type Saver interface {
	Save(ctx context.Context, s *Snapshot) (path string, err error)
}

// Resumer is a Saver that can bring a run back. Load fills the states in s, which are
// the live ones of the model and the optimiser, and sets its other fields. States that are
// nil in s are left out, those that were not saved stay as they are. It returns
// ErrNoCheckpoint if there is none.
type Resumer interface {
	Load(ctx context.Context, which string, s *Snapshot) error
}

// Result is how a training ended.
type Result struct {
	Progress Progress
	Best     float64 // of the monitored metric
	Monitor  string  // its name
	Metrics  []Value // of the last validation
	History  []Epoch
	Stopped  string // why it ended early, "" where it ran to the end
	BestPath string
	LastPath string
}

// Epoch is one line of a training's history.
type Epoch struct {
	Number int // from 1
	Values []Value
}

// Trainer runs a model over data.
type Trainer interface {
	Fit(ctx context.Context, m Model, d DataModule) (*Result, error)
	Validate(ctx context.Context, m Model, d DataModule) ([]Value, error)
	Test(ctx context.Context, m Model, d DataModule) ([]Value, error)
}

// Registrar records a finished model in a registry and returns its version.
type Registrar interface {
	Register(ctx context.Context, r Registration) (version string, err error)
}

// Registration is what a registry stores of a model.
type Registration struct {
	Name        string
	Dir         string // folder of the packaged model
	Description Description
	Metrics     []Value
	Tags        map[string]string
}

// Suggester hands out parameter values inside one trial.
type Suggester interface {
	Float(name string, low, high float64, log bool) (float64, error)
	Int(name string, low, high int64, log bool) (int64, error)
	Categorical(name string, choices ...any) (any, error)
	Report(step int64, value float64) error // ErrPruned ends the trial
}

// Objective runs one trial and returns its values.
type Objective func(ctx context.Context, t Suggester) ([]float64, error)

// Trial is one finished trial of a Study.
type Trial struct {
	Number int
	Params map[string]any
	Values []float64
	State  string // "complete", "pruned", "failed"
}

// Study is the outcome of a tuning.
type Study struct {
	Name   string
	Trials []Trial
	Best   []Trial // one for a single objective, the Pareto front for several
}

// Tuner searches for good parameters.
type Tuner interface {
	Optimize(ctx context.Context, o Objective) (*Study, error)
}
