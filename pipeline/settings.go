package pipeline

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/classification"
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/optim"
	"github.com/wildtrain/sdk/wildtrain"
)

// Settings say everything about one run. Take DefaultSettings, or
// FromConfig of a composed configuration, and change it.
type Settings struct {
	Runs       string // folder of all runs
	Experiment string // sub-folder
	Name       string // of the run's own folder; "" for the time
	Dir        string // the run's own folder as a whole, instead of Runs/Experiment/Name
	Resume     string // run folder to go on with; "" begins a new run
	Seed       uint64

	Model     Model
	Data      datamodule.Config               // of pictures with boxes, for detectors
	Labels    datamodule.ClassificationConfig // of pictures with classes, for classifiers; without a root it takes Data's
	Loop      wildtrain.Config
	Optimizer wildtrain.OptimizerConfig
	Hardware  Hardware

	Phases      []Phase // of the training; empty: it is one
	Pretraining Pretraining

	Predict  Looking  // at pictures
	Sources  []string // of pictures, where PredictOptions name none
	Draw     bool     // write annotated pictures
	Evaluate Evaluation

	Tracking Tracking

	// Files are written into the run folder as they are, by relative name.
	Files map[string][]byte
}

// Model says what to train or use.
type Model struct {
	Architecture  string   // a name of detection.Architectures, of backbone.Names or a .yaml file; "" takes it from the weights
	Weights       string   // file or run folder; "" starts from random numbers
	Pretrained    string   // where there are no Weights: published ones to begin from, as weights.Request takes them; "" for none
	AcceptLicense string   // of published weights
	License       string   // of Weights, SPDX identifier; "" takes what the file says
	Partial       bool     // Weights may lack tensors or have others
	Classes       []string // where neither data nor weights tell
	Freeze        []string // name prefixes of parts that do not train
	ImageSize     int      // side of pictures in pixels; 0: what weights or architecture are meant for

	Gains      detection.LossGains // of YOLO
	ClassPower float64             // of YOLO: see detection.InverseFrequency
	Auxiliary  detection.Auxiliary // of YOLO in training; its EncoderWeights come from the file below
	Pyramid    Pyramid             // of detectors on a feature pyramid

	EncoderWeights string // file with the weights of Auxiliary.Encoder; "" leaves it at random numbers

	Classifier    Classifier
	Loss          classification.Loss // of classifiers; Counts come from the data
	UnfreezeEvery int                 // see classification.Config
	Calibrate     bool                // fit a classifier's temperature on the validation pictures in the end

	scratch bool // the model is trained from random numbers
}

// Classifier holds what a classifier can be told besides; zero values leave it to
// the weights or the architecture.
type Classifier struct {
	Head                     classification.Head
	Dropout, StochasticDepth *float64
	MultiLabel               bool
	Parents                  map[string]string // the group above a class or group
	Background               string            // the class of pictures that show nothing
	Mean, Std                []float64         // RGB in 0..1
}

// Hardware says where and how to compute.
type Hardware struct {
	Device        string // "cpu", "cuda", "cuda:N", "auto"
	Precision     string // "fp32", "bf16", "fp16", "auto"
	Threads       int    // of one operation; 0: libtorch's choice
	ChannelsLast  string // "true", "false", "auto": where it is faster
	Deterministic bool
	BatchMemory   float64 // share of the memory that Loop.Batch = AutoBatch may take
}

// Evaluation says what is measured and how.
type Evaluation struct {
	Split     string           // "val" or "test"
	Looking                    // at its pictures
	IoU       float64          // at which precision, recall and F1 are told
	Conf      float64          // and from which score on
	Letterbox bool             // in the coordinates of the model's input instead of the pictures'
	IoUType   evaluate.IoUType // overlap of boxes ("", evaluate.Boxes) or of masks
}

// DefaultSettings returns the full set of defaults.
func DefaultSettings() Settings {
	return Settings{
		Runs: "runs", Experiment: "default", Seed: 42,
		Model:     Model{Architecture: "yolo11n", Gains: detection.DefaultLossGains(), Auxiliary: detection.DefaultAuxiliary(), Loss: classification.DefaultLoss()},
		Data:      datamodule.DefaultConfig(),
		Labels:    datamodule.DefaultClassification(),
		Loop:      wildtrain.DefaultConfig(),
		Optimizer: wildtrain.DefaultOptimizer("SGD"),
		Hardware:  Hardware{Device: "auto", Precision: "fp32", ChannelsLast: "auto", BatchMemory: 0.6},
		Predict:   Looking{Postprocess: detection.PredictPostprocess(), Merging: detection.DefaultMerging()}, Draw: true,
		Evaluate: Evaluation{Split: "val", Looking: Looking{Postprocess: detection.EvaluatePostprocess(), Merging: detection.DefaultMerging()}, IoU: 0.5, Conf: 0.25},
	}
}

// Validate reports what is wrong across the parts; each part checks itself too.
func (s Settings) Validate() error {
	var errs []error
	if s.Model.Architecture == "" && s.Model.Weights == "" {
		errs = append(errs, errors.New("pipeline: neither model.architecture nor weights are given"))
	}
	if strings.ContainsAny(s.Name, `/\`) {
		errs = append(errs, fmt.Errorf("pipeline: name %q: must be a name without slashes", s.Name))
	}
	if s.Evaluate.Split != "val" && s.Evaluate.Split != "test" && s.Evaluate.Split != "train" {
		errs = append(errs, fmt.Errorf("pipeline: evaluation.split %q: want train, val or test", s.Evaluate.Split))
	}
	if _, err := precision(s.Hardware.Precision); err != nil {
		errs = append(errs, err)
	}
	if !strings.EqualFold(s.Optimizer.Name, "auto") && !slices.ContainsFunc(optim.Names(), func(n string) bool { return strings.EqualFold(n, s.Optimizer.Name) }) {
		errs = append(errs, fmt.Errorf("pipeline: optimizer %q: want one of %s", s.Optimizer.Name, strings.Join(optim.Names(), ", ")))
	}
	switch s.Hardware.ChannelsLast {
	case "true", "false", "auto":
	default:
		errs = append(errs, fmt.Errorf("pipeline: channels_last %q: want true, false or auto", s.Hardware.ChannelsLast))
	}
	return badSettings(errors.Join(errs...))
}

// precision reads a name; -1 stands for auto.
func precision(name string) (torch.DType, error) {
	switch strings.ToLower(name) {
	case "fp32", "float32", "32", "":
		return torch.Float, nil
	case "bf16", "bfloat16", "bf16-mixed":
		return torch.BFloat16, nil
	case "fp16", "float16", "16", "16-mixed":
		return torch.Half, nil
	case "auto":
		return -1, nil
	}
	return torch.Float, fmt.Errorf("pipeline: precision %q: want fp32, bf16, fp16 or auto", name)
}

// computing resolves device and precision and sets the process up. Mixed
// precision on a processor that has no instructions for it would be slower and
// less exact: it is refused with a word, not silently.
func (s Settings) computing(log *slog.Logger) (c computing, err error) {
	if c.device, err = torch.ParseDevice(s.Hardware.Device); err != nil {
		return c, err
	}
	if c.precision, err = precision(s.Hardware.Precision); err != nil {
		return c, err
	}
	auto := c.precision < 0
	if auto {
		if c.precision = torch.BFloat16; c.device.IsCUDA() {
			c.precision = torch.Half
		}
	}
	if !c.device.IsCUDA() && c.precision != torch.Float && !torch.CPUHasBFloat16() {
		if !auto {
			log.Warn("this processor has no bfloat16 arithmetic (avx512_bf16): computing in float32")
		}
		c.precision = torch.Float
	}
	c.channelsLast = s.channelsLast(c.device, c.precision)
	if s.Hardware.Threads > 0 {
		torch.SetThreads(s.Hardware.Threads)
	}
	if s.Hardware.Deterministic {
		if err := torch.Deterministic(true); err != nil {
			return c, err
		}
	}
	return c, torch.ManualSeed(s.Seed)
}

// channelsLast is the layout to compute in. In float32 on the CPU it saves little
// and libtorch's batch norm rounds more coarsely in it.
func (s Settings) channelsLast(dev torch.Device, precision torch.DType) bool {
	switch s.Hardware.ChannelsLast {
	case "true":
		return true
	case "false":
		return false
	}
	return dev.IsCUDA() || precision != torch.Float
}

// ErrSettings marks settings that cannot work, as opposed to work that failed.
var ErrSettings = errors.New("these settings cannot work")

// settingsError is an error that satisfies errors.Is(err, ErrSettings).
type settingsError struct{ error }

func (e settingsError) Unwrap() error        { return e.error }
func (e settingsError) Is(target error) bool { return target == ErrSettings }

// badSettings marks err, unless it is nil, with ErrSettings.
func badSettings(err error) error {
	if err == nil {
		return nil
	}
	return settingsError{err}
}
