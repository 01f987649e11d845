package wildtrain

import "context"

// Value is one number with its name, as metrics, losses and loggers use it.
type Value struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Metric gathers over batches and computes at the end. Update takes predictions
// and samples of the same pictures in the same order.
type Metric interface {
	Name() string
	Reset()
	Update(predictions []Prediction, samples []Sample) error
	Compute() ([]Value, error)
}

// Merger is a Metric whose partial states of several ranks can be joined exactly.
type Merger interface {
	Marshal() ([]byte, error)
	Merge([]byte) error
}

// Callback is told what happens. An error ends training; ErrStop ends it in good order.
type Callback interface {
	Handle(ctx context.Context, e *Event) error
}

// CallbackFunc makes a Callback of a function.
type CallbackFunc func(ctx context.Context, e *Event) error

// Handle implements Callback.
func (f CallbackFunc) Handle(ctx context.Context, e *Event) error { return f(ctx, e) }

// Logger stores values over steps: a file, a tracking server.
type Logger interface {
	Log(ctx context.Context, step int64, values ...Value) error
}

// Kind says where in the run an event happened.
type Kind string

// The kinds of events, in the order in which they come.
const (
	FitStart      Kind = "fit_start"
	EpochStart    Kind = "epoch_start"
	StepEnd       Kind = "step_end" // after every batch; Losses is set
	ValidateStart Kind = "validate_start"
	ValidateStep  Kind = "validate_step" // after every validation batch
	ValidateEnd   Kind = "validate_end"  // Values holds the metrics
	Saved         Kind = "saved"         // Path names the checkpoint
	EpochEnd      Kind = "epoch_end"     // Values holds losses, metrics and learning rates
	Warning       Kind = "warning"       // Text says what
	FitEnd        Kind = "fit_end"       // Result and Err are set
)

// Event is what callbacks see. Its fields belong to the loop: read, don't keep.
type Event struct {
	Kind        Kind
	Stage       Stage // ValidateStart, ValidateStep, ValidateEnd: Val or Test
	Progress    Progress
	Epochs      int // the run's total
	Batch       int // within the epoch, of Batches
	Batches     int
	Images      int     // in this batch
	Losses      Losses  // StepEnd, ValidateStep
	Report      *Report // StepEnd where the optimiser stepped
	Values      []Value
	Predictions []Prediction // ValidateStep
	Samples     []Sample     // StepEnd, ValidateStep
	Path        string       // Saved
	Text        string       // Warning
	Model       Model
	Result      *Result // FitEnd
	Err         error   // FitEnd
}
