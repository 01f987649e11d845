package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/wildtrain/sdk/classification"
	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/internal/yamlsafe"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// overridesFile is where config.Config.Files puts what a run was told.
const overridesFile = ".hydra/overrides.yaml"

// Compose turns overrides over the configuration tree (see Tree) into settings.
// Errors of the configuration are *config.Error or config.Errors.
func Compose(o config.Options) (Settings, error) {
	c, err := Tree(o)
	if err != nil {
		return Settings{}, err
	}
	run := config.DefaultRun()
	if err := c.Decode(&run); err != nil {
		return Settings{}, err
	}
	s, err := FromConfig(run)
	if err != nil {
		return s, err
	}
	if s.Files, err = c.Files(); err != nil {
		return s, err
	}
	if s.Dir, err = runDir(c); err != nil {
		return s, err
	}
	return s, s.Validate()
}

// Recompose is Compose with the overrides of a run that exists, and new ones
// after them; training goes on in that run.
func Recompose(dir string, o config.Options) (Settings, error) {
	if _, err := os.Stat(filepath.Join(dir, "checkpoints", "last")); err != nil {
		return Settings{}, fmt.Errorf("pipeline: resume: %s is no run folder: it holds no checkpoints/last", dir)
	}
	before, err := storedOverrides(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, fmt.Errorf("pipeline: resume: %s lacks %s, which tells how it was trained", dir, overridesFile)
	}
	if err != nil {
		return Settings{}, err
	}
	o.Overrides = append(before, o.Overrides...)
	s, err := Compose(o)
	s.Resume = dir
	return s, err
}

// ComposeFor is Compose for using weights: what the overrides do not say of the
// model, and the size of its pictures, the weights say. For the folder of a run
// its own overrides come first, so that data and thresholds are those of the training.
func ComposeFor(weights string, o config.Options) (Settings, error) {
	given := o.Overrides
	if before, err := storedOverrides(weights); err == nil {
		o.Overrides = append(before, o.Overrides...)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Settings{}, err
	}
	s, err := Compose(o)
	if err != nil {
		return s, err
	}
	s.Files = nil
	if weights == "" {
		return s, nil
	}
	s.Model.Weights = weights
	if !mentions(given, "model.partial") {
		s.Model.Partial = false // a run that began with part of other weights has whole ones now
	}
	if !mentions(given, "model", "model.framework", "model.version", "model.size", "model.architecture") {
		s.Model.Architecture = ""
	}
	if !mentions(given, "training.imgsz", "training") {
		s.Model.ImageSize = 0
	}
	return s, nil
}

// mentions reports whether one of the overrides sets one of the keys.
func mentions(overrides []string, keys ...string) bool {
	for _, o := range overrides {
		key, _, _ := strings.Cut(strings.TrimLeft(o, "+~"), "=")
		for _, k := range keys {
			if key == k {
				return true
			}
		}
	}
	return false
}

// storedOverrides reads the overrides that a run was begun with.
func storedOverrides(dir string) ([]string, error) {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, fs.ErrNotExist
	}
	path := filepath.Join(dir, filepath.FromSlash(overridesFile))
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	n, err := yamlsafe.Parse(path, data, yamlsafe.DefaultLimits())
	if err != nil {
		return nil, err
	}
	var out []string
	if n != nil {
		for _, item := range n.Items {
			out = append(out, item.Value)
		}
	}
	return out, nil
}

// FromConfig turns a decoded configuration into settings.
func FromConfig(r config.Run) (Settings, error) {
	s := DefaultSettings()
	s.Runs, s.Experiment, s.Name, s.Seed, s.Resume = r.Runs, r.Experiment, r.Name, r.Seed, r.Training.Resume
	s.Model = Model{
		Architecture: r.Model.ArchitectureName(), Weights: r.Model.Weights, Partial: r.Model.Partial,
		Classes: r.Model.Names, Freeze: r.Model.Freeze, ImageSize: r.Training.ImgSz,
		Pretrained: r.Model.PretrainedFrom(), AcceptLicense: r.Model.AcceptLicense,
		Gains:      detection.LossGains{Box: r.Training.Box, Cls: r.Training.Cls, DFL: r.Training.DFL, Positive: r.Training.PosWeight, Smoothing: r.Training.LabelSmoothing},
		ClassPower: r.Training.ClsPW,
		Auxiliary:  auxiliaryOf(r), EncoderWeights: r.Model.Auxiliary.ImageEncoderWeights,
		Classifier: Classifier{
			Head:    classification.Head{Hidden: r.Model.Head.HiddenDim, Layers: r.Model.Head.NumLayers, Dropout: r.Model.Head.Dropout},
			Dropout: r.Model.Dropout, StochasticDepth: r.Model.StochasticDepth, MultiLabel: r.Model.MultiLabel,
			Parents: r.Model.Parents, Background: r.Model.Background, Mean: r.Model.Mean, Std: r.Model.Std,
		},
		Loss: classification.Loss{
			Kind: r.Training.Loss, Smoothing: r.Training.LabelSmoothing, Gamma: r.Training.FocalGamma, Alpha: r.Training.FocalAlpha,
			Weights: r.Training.ClassWeights, Beta: r.Training.ClassBeta,
		},
		UnfreezeEvery: r.Training.UnfreezeEvery, Calibrate: r.Training.Calibrate,
		Pyramid: pyramidOf(r.Model),
	}
	if err := checkTask(r.Task, s.Model.Architecture); err != nil {
		return s, err
	}
	if len(s.Model.Classes) == 0 {
		s.Model.Classes = numbered(r.Model.Classes)
	}
	s.Tracking = trackingOf(r.Tracking)
	s.Data, s.Labels = dataConfig(r), labelConfig(r)
	s.Loop = loopConfig(r)
	s.Optimizer = wildtrain.DefaultOptimizer(r.Training.Optimizer)
	s.Optimizer.LR, s.Optimizer.Momentum, s.Optimizer.WeightDecay, s.Optimizer.LayerLRDecay = r.Training.LR0, r.Training.Momentum, r.Training.WeightDecay, r.Training.LayerDecay
	if a := r.Training.AutoScaleLR; a.Enable {
		s.Optimizer.LR *= float64(max(s.Loop.Batch, s.Loop.NominalBatch)) / float64(a.BaseBatchSize)
	}
	s.Hardware = Hardware{
		Device: r.Training.Device, Precision: r.Training.Precision, Threads: r.Training.Threads,
		ChannelsLast: r.Training.ChannelsLast, Deterministic: r.Training.Deterministic, BatchMemory: r.Training.BatchMemory,
	}
	s.Phases = phasesOf(r.Data.Curriculum)
	p := r.Pretraining
	s.Pretraining = Pretraining{Root: p.Root, Format: datamodule.Source(p.Format), Epochs: p.Epochs, LR: p.LR0, FinalLR: p.LRF, Freeze: firstParts(p.Freeze)}
	s.Predict = lookingOf(r.Predict.Finding)
	if s.Draw = r.Predict.Draw; r.Predict.Source != "" {
		s.Sources = strings.Split(r.Predict.Source, ",")
	}
	s.Evaluate = Evaluation{Split: r.Evaluation.Split, Looking: lookingOf(r.Evaluation.Finding), IoU: r.Evaluation.AtIoU, Conf: r.Evaluation.AtConf}
	s.Evaluate.IoUType = evaluate.IoUType(strings.ToLower(r.Evaluation.IoUType))
	put(&s.Evaluate.Postprocess.Conf, r.Model.TestCfg.RCNN.ScoreThr)
	put(&s.Evaluate.Postprocess.IoU, r.Model.TestCfg.RCNN.NMS.IoUThreshold)
	put(&s.Evaluate.Postprocess.MaxDet, r.Model.TestCfg.RCNN.MaxPerImg)
	s.Evaluate.Letterbox = strings.EqualFold(r.Evaluation.Coordinates, "letterbox")
	s.Evaluate.Unclipped = s.Evaluate.Letterbox // the model may look beyond a picture's borders
	return s, nil
}

// auxiliaryOf says what a YOLO learns besides detecting.
func auxiliaryOf(r config.Run) detection.Auxiliary {
	a, c := detection.DefaultAuxiliary(), r.Model.Auxiliary
	a.Count, a.Area, a.TruePositive = r.Training.CountLossWeight, r.Training.AreaLossWeight, r.Training.FPTPLossWeight
	put(&a.CountRow, c.CountRegressorLayers)
	put(&a.AreaRow, c.AreaRegressorLayers)
	put(&a.P3Row, c.ROIClassifierLayers.P3)
	put(&a.P4Row, c.ROIClassifierLayers.P4)
	a.Encoder, a.EncoderSize, a.MinArea, a.Seed = c.ImageEncoderBackbone, c.BoxSize, c.MinArea, r.Seed
	return a
}

// dataConfig says where a detector's pictures come from.
func dataConfig(r config.Run) datamodule.Config {
	c := datamodule.DefaultConfig()
	setCommon(&c.Common, r)
	c.ImageSize, c.Rect, c.Decode, c.Masks = r.Training.ImgSz, r.Data.Rect, r.Data.Decode, r.Data.Masks
	return c
}

// labelConfig says where a classifier's pictures come from.
func labelConfig(r config.Run) datamodule.ClassificationConfig {
	c := datamodule.DefaultClassification()
	d := r.Data
	setCommon(&c.Common, r)
	c.Crops = datamodule.CropConfig{
		Window: d.Crops.Window, Size: d.Crops.Size, Context: d.Crops.Context, MinSide: d.Crops.MinSide, Crowd: d.Crops.Crowd, Difficult: d.Crops.Difficult,
		Background: d.Crops.Background, Negatives: d.Crops.BackgroundNegatives, Positives: d.Crops.BackgroundPositives,
	}
	c.Resize, c.ResizeTo, c.Interpolation = d.Resize, d.ResizeTo, d.Interpolation
	copy(c.CropScale[:], d.CropScale)
	copy(c.CropRatio[:], d.CropRatio)
	c.FlipLR, c.FlipUD, c.EvalTransforms = d.Augment.FlipLR, d.Augment.FlipUD, named(d.EvalTransforms)
	c.Mixing = datamodule.Mixing{MixUp: d.Augment.MixUp, MixUpAlpha: d.MixUpAlpha, CutMix: d.Augment.CutMix, CutMixAlpha: d.CutMixAlpha}
	return c
}

// setCommon sets what both kinds of data are told, but for the size of pictures.
func setCommon(c *datamodule.Common, r config.Run) {
	d := r.Data
	c.Root, c.Roots, c.Source, c.Datasets, c.AllowLinks = d.Root, d.Roots, datamodule.Source(d.Format), d.Datasets, d.AllowLinks
	c.TrainSplit, c.ValSplit, c.TestSplit = d.TrainSplit, d.ValSplit, d.TestSplit
	c.Classes, c.FoldCase, c.Keep, c.Discard, c.Rename, c.SingleClass = d.Classes, d.FoldCase, d.Keep, d.Discard, d.Rename, d.SingleClass
	c.Batch, c.EvalBatch, c.DropLast = r.BatchSize(), d.EvalBatch, d.DropLast
	c.Seed, c.Epochs, c.Workers, c.Prefetch = r.Seed, r.Training.Epochs, loaderWorkers(r), d.Prefetch
	c.Cache, c.CacheBytes, c.CacheDir, c.Index, c.OnError = d.Cache, int64(d.CacheGB)<<30, d.CacheDir, d.Index, d.OnError
	c.Augment, c.Transforms = augment.Config(d.Augment), named(d.Transforms)
	c.Sampler, c.Curriculum = datamodule.SamplerConfig(d.Sampler), datamodule.CurriculumConfig(d.Curriculum.Phases)
}

// checkTask holds the task that a configuration names against its model's.
func checkTask(given, architecture string) error {
	_, classifies := taskOf(architecture).(classifier)
	if given == "" || (given == "classification") == classifies {
		return nil
	}
	return badSettings(fmt.Errorf("pipeline: task is %s, but model %s is for %s", given, architecture, map[bool]string{true: "classification", false: "detection"}[classifies]))
}

// named turns transforms as configured into the data module's.
func named(list []config.Transform) []augment.Named {
	out := make([]augment.Named, len(list))
	for i, t := range list {
		out[i] = augment.Named(t)
	}
	return out
}

// loaderWorkers is how many goroutines make pictures: those that were asked for,
// or the cores that computing leaves free. On a core that computes a worker costs
// more than it gives: the threads of an operation wait for each other spinning.
func loaderWorkers(r config.Run) int {
	if n := r.Workers(); n != nil {
		return *n
	}
	const enough = 8
	cores, threads := runtime.GOMAXPROCS(0), r.Training.Threads
	if dev, err := torch.ParseDevice(r.Training.Device); err == nil && dev.IsCUDA() {
		threads = 1 // that hands out the work
	} else if threads == 0 {
		threads = torch.Threads()
	}
	return min(max(cores-threads, 0), enough)
}

func loopConfig(r config.Run) wildtrain.Config {
	c := wildtrain.DefaultConfig()
	t := r.Training
	c.Epochs, c.Batch, c.NominalBatch, c.Seed = t.Epochs, r.BatchSize(), t.NBS, r.Seed
	c.FinalLR, c.WarmupEpochs, c.WarmupMomentum, c.WarmupBiasLR = t.LRF, t.WarmupEpochs, t.WarmupMomentum, t.WarmupBiasLR
	if c.Schedule = wildtrain.Linear; t.CosLR {
		c.Schedule = wildtrain.Cosine
	}
	c.ClipNorm, c.Patience, c.Monitor, c.Mode, c.SavePeriod, c.SaveSeconds = t.Clip, t.Patience, t.Monitor, t.Mode, t.SavePeriod, t.SaveSeconds
	c.MaxSeconds = t.Time * 3600
	if !t.EMA {
		c.EMADecay = 0
	}
	switch t.Schedule { // MMDetection's
	case "1x":
		c.Epochs, c.Schedule, c.Milestones = 12, wildtrain.Steps, []int{8, 11}
	case "2x":
		c.Epochs, c.Schedule, c.Milestones = 24, wildtrain.Steps, []int{16, 22}
	}
	if !t.Val {
		c.ValidateEvery = 0
	}
	return c
}

// chooseOptimizer resolves the optimiser "auto" as YOLO recipes do: AdamW with a
// rate by the number of classes, or SGD for long trainings; biases are not
// warmed up from a high rate then.
func (s *Settings) chooseOptimizer(images, classes int) {
	if !strings.EqualFold(s.Optimizer.Name, "auto") {
		return
	}
	per := max(s.Loop.Batch, s.Loop.NominalBatch, 1)
	decay := s.Optimizer.WeightDecay
	if (images+per-1)/per*s.Loop.Epochs > 10000 {
		s.Optimizer = wildtrain.DefaultOptimizer("SGD")
		s.Optimizer.LR, s.Optimizer.Momentum = 0.01, 0.9
	} else {
		s.Optimizer = wildtrain.DefaultOptimizer("AdamW")
		s.Optimizer.LR, s.Optimizer.Momentum = round(0.002*5/float64(4+classes), 6), 0.9
	}
	s.Optimizer.WeightDecay, s.Loop.WarmupBiasLR = decay, 0
}
