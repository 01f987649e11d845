package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// checker collects the problems of a Run by key.
type checker struct{ errors Errors }

func (c *checker) failf(key, format string, args ...any) {
	c.errors = append(c.errors, &Error{Key: key, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) between(key string, v, low, high float64) {
	if !(v >= low && v <= high) {
		c.failf(key, "is %v, must be from %v to %v", v, low, high)
	}
}

func (c *checker) positive(key string, v float64) {
	if !(v > 0) || math.IsInf(v, 0) {
		c.failf(key, "is %v, must be above 0", v)
	}
}

func (c *checker) notNegative(key string, v float64) {
	if !(v >= 0) || math.IsInf(v, 0) {
		c.failf(key, "is %v, must be 0 or more", v)
	}
}

// choicesOf lists the values of the keys that take one of a few.
var choicesOf = map[string][]string{
	"task":            {"", "detection", "classification"},
	"model.framework": {"yolo", "mmdet", "classification"},
	"model.norm":      {"auto", "train", "frozen"}, "training.schedule": {"", "1x", "2x"}, "evaluation.iou_type": {"bbox", "segm"},
	"model.version":             {"8", "11", "12", "26"},
	"model.size":                {"n", "s", "m", "l", "x"},
	"data.format":               {"auto", "wildata", "wildata_yolo", "coco", "yolo", "voc", "label_studio", "csv", "roi", "folder"},
	"pretraining.format":        {"auto", "wildata", "wildata_yolo", "coco", "yolo", "voc", "label_studio", "csv"},
	"data.resize":               {"crop", "stretch", "fit"},
	"data.interpolation":        {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"},
	"data.crops.window":         {"fixed", "context", "square"},
	"data.cache":                {"none", "ram", "disk"},
	"data.decode":               {"exact", "fast"},
	"data.augment.auto_augment": {"", "randaugment", "trivialaugment", "autoaugment"},
	"data.sampler.order":        {"shuffle", "sequential", "balanced", "weighted"},
	"data.sampler.rebalance":    {"none", "mean", "min"},
	"data.curriculum.strategy":  {"", "linear", "exponential", "step"},
	"data.on_error":             {"fail", "skip"},
	"training.optimizer":        {"auto", "SGD", "MuSGD", "Adam", "AdamW", "RMSprop"},
	"training.loss":             {"", "cross_entropy", "bce", "focal"},
	"training.class_weights":    {"none", "balanced", "class_balanced"},
	"training.precision":        {"fp32", "bf16", "fp16", "auto"},
	"training.channels_last":    {"true", "false", "auto"},
	"training.mode":             {"", "max", "min"},
	"evaluation.split":          {"train", "val", "test"},
	"evaluation.coordinates":    {"original", "letterbox"},
	"evaluation.overlap_metric": {"iou", "ios"}, "predict.overlap_metric": {"iou", "ios"},
	"evaluation.nms": {"hard", "linear", "gaussian", "none"}, "predict.nms": {"hard", "linear", "gaussian", "none"},
	"evaluation.merge": {"nmm", "nms"}, "predict.merge": {"nmm", "nms"},
	"evaluation.merge_metric": {"ios", "iou"}, "predict.merge_metric": {"ios", "iou"},
	"tune.sampler":   {"tpe", "tpe4", "random", "grid", "bruteforce", "qmc", "cmaes", "nsga2", "gp"},
	"tune.pruner":    {"none", "median", "percentile", "halving", "hyperband", "patient", "wilcoxon"},
	"tune.direction": {"maximize", "minimize"},
}

// oneOf checks a key of choicesOf. Case does not matter.
func (c *checker) oneOf(key, v string) {
	options := choicesOf[key]
	if slices.ContainsFunc(options, func(o string) bool { return strings.EqualFold(o, v) }) {
		return
	}
	shown := make([]string, len(options))
	for i, o := range options {
		shown[i] = o
		if o == "" {
			shown[i] = `""`
		}
	}
	x := &Error{Key: key, Message: fmt.Sprintf("is %q, must be one of %s", v, strings.Join(shown, ", "))}
	x.Hint = didYouMean(v, options)
	c.errors = append(c.errors, x)
}

// Validate reports everything that cannot work, within keys and across them, as
// Errors.
func (r *Run) Validate() error {
	c := &checker{}
	if r.Experiment == "" || strings.ContainsAny(r.Experiment, `/\`) {
		c.failf("experiment_name", "is %q, must be a name without slashes", r.Experiment)
	}
	if r.Runs == "" {
		c.failf("runs", "must name a folder")
	}
	c.oneOf("task", r.Task)
	r.Model.check(c)
	r.Data.check(c)
	r.Training.check(c)
	r.Pretraining.check(c)
	r.checkScoring(c)
	r.checkTracking(c)
	r.checkAcross(c)
	return c.errors.orNil()
}

func (m *Model) check(c *checker) {
	if m.Architecture == "" {
		c.oneOf("model.framework", m.Framework)
		if m.Framework == "yolo" {
			c.oneOf("model.version", strings.TrimPrefix(m.Version, "v"))
			c.oneOf("model.size", m.Size)
		} else {
			c.failf("model.architecture", "must name the %s model: %s", m.Framework, map[string]string{"mmdet": "fasterrcnn_resnet50_fpn", "classification": "resnet18"}[m.Framework])
		}
	}
	m.Auxiliary.check(c)
	m.checkPyramid(c)
	m.checkClassifier(c)
	c.notNegative("model.classes", float64(m.Classes))
	if m.Classes > 0 && len(m.Names) > 0 && m.Classes != len(m.Names) {
		c.failf("model.classes", "is %d, but model.names has %d names", m.Classes, len(m.Names))
	}
	if d := duplicate(m.Names); d != "" {
		c.failf("model.names", "holds %q twice", d)
	}
}

func (a *Auxiliary) check(c *checker) {
	for _, row := range []struct {
		key   string
		value *int
	}{{"count_regressor_layers", a.CountRegressorLayers}, {"area_regressor_layers", a.AreaRegressorLayers},
		{"roi_classifier_layers.p3", a.ROIClassifierLayers.P3}, {"roi_classifier_layers.p4", a.ROIClassifierLayers.P4}} {
		if row.value != nil {
			c.notNegative("model.auxiliary."+row.key, float64(*row.value))
		}
	}
	c.positive("model.auxiliary.box_size", float64(a.BoxSize))
	c.notNegative("model.auxiliary.min_area", a.MinArea)
}

func (m *Model) checkPyramid(c *checker) {
	c.oneOf("model.norm", m.Norm)
	c.notNegative("model.min_size", float64(m.MinSize))
	c.notNegative("model.max_size", float64(m.MaxSize))
	if m.NormEps != nil {
		c.notNegative("model.norm_eps", *m.NormEps)
	}
	if m.FrozenStages != nil {
		c.between("model.frozen_stages", float64(*m.FrozenStages), -1, 4)
	}
}

func (m *Model) checkClassifier(c *checker) {
	c.notNegative("model.head.hidden_dim", float64(m.Head.HiddenDim))
	c.between("model.head.num_layers", float64(m.Head.NumLayers), 1, 16)
	c.between("model.head.dropout", m.Head.Dropout, 0, 0.99)
	for _, s := range []struct {
		key   string
		value *float64
	}{{"dropout", m.Dropout}, {"stochastic_depth", m.StochasticDepth}} {
		if s.value != nil {
			c.between("model."+s.key, *s.value, 0, 0.99)
		}
	}
	for _, s := range []struct {
		key    string
		values []float64
	}{{"mean", m.Mean}, {"std", m.Std}} {
		if n := len(s.values); n != 0 && n != 3 {
			c.failf("model."+s.key, "has %d numbers, must have 3 or none", n)
		}
	}
}

// duplicate returns a text that appears twice, "" if there is none.
func duplicate(list []string) string {
	seen := map[string]bool{}
	for _, s := range list {
		if seen[s] {
			return s
		}
		seen[s] = true
	}
	return ""
}

func (d *Data) check(c *checker) {
	c.oneOf("data.format", d.Format)
	c.oneOf("data.cache", d.Cache)
	c.oneOf("data.on_error", d.OnError)
	c.oneOf("data.resize", d.Resize)
	c.oneOf("data.interpolation", d.Interpolation)
	c.oneOf("data.crops.window", d.Crops.Window)
	for _, pair := range []struct {
		key    string
		values []float64
	}{{"crop_scale", d.CropScale}, {"crop_ratio", d.CropRatio}} {
		if len(pair.values) != 2 {
			c.failf("data."+pair.key, "has %d numbers, must have two: from and to", len(pair.values))
		}
	}
	for _, s := range []struct{ key, name string }{{"train_split", d.TrainSplit}, {"val_split", d.ValSplit}, {"test_split", d.TestSplit}} {
		if s.name == "" {
			c.failf("data."+s.key, "must name a split")
		}
	}
	if d.BatchSize != nil && *d.BatchSize < 1 {
		c.failf("data.batch_size", "is %d, must be 1 or more", *d.BatchSize)
	}
	if d.Workers != nil && *d.Workers < 0 {
		c.failf("data.workers", "is %d, must be 0 or more", *d.Workers)
	}
	c.oneOf("data.decode", d.Decode)
	d.Sampler.check(c)
	d.Curriculum.check(c)
	for i, t := range slices.Concat(d.Transforms, d.EvalTransforms) {
		if t.Name == "" {
			c.failf("data.transforms", "entry %d has no name", i+1)
		}
	}
	c.notNegative("data.eval_batch", float64(d.EvalBatch))
	c.notNegative("data.prefetch", float64(d.Prefetch))
	c.notNegative("data.cache_gb", float64(d.CacheGB))
	for _, k := range d.Keep {
		if slices.Contains(d.Discard, k) {
			c.failf("data.discard", "holds %q, which data.keep holds too", k)
		}
	}
	if x := duplicate(d.Classes); x != "" {
		c.failf("data.classes", "holds %q twice", x)
	}
	d.Augment.check(c)
}

func (a *Augment) check(c *checker) {
	for _, p := range []struct {
		key string
		v   float64
	}{{"mosaic", a.Mosaic}, {"mosaic9", a.Mosaic9}, {"copy_paste", a.CopyPaste}, {"mixup", a.MixUp}, {"cutmix", a.CutMix},
		{"warp", a.Warp}, {"flipud", a.FlipUD}, {"fliplr", a.FlipLR}, {"hsv", a.HSV}, {"grey", a.Grey}, {"blur", a.Blur},
		{"noise", a.Noise}, {"jpeg", a.JPEG}, {"clahe", a.CLAHE}, {"erasing", a.Erasing}, {"min_visible", a.MinVisible},
		{"hsv_h", a.HSVH}, {"hsv_s", a.HSVS}, {"hsv_v", a.HSVV}, {"translate", a.Translate}} {
		c.between("data.augment."+p.key, p.v, 0, 1)
	}
	c.between("data.augment.degrees", a.Degrees, 0, 180)
	c.between("data.augment.shear", a.Shear, 0, 90)
	c.between("data.augment.perspective", a.Perspective, 0, 0.001)
	c.between("data.augment.scale", a.Scale, 0, 1)
	c.between("data.augment.multi_scale", a.MultiScale, 0, 0.9)
	c.notNegative("data.augment.close_mosaic", float64(a.CloseMosaic))
	c.notNegative("data.augment.min_side", a.MinSide)
	c.notNegative("data.augment.max_aspect", a.MaxAspect)
	c.oneOf("data.augment.auto_augment", a.Auto)
}

func (s *Sampler) check(c *checker) {
	c.oneOf("data.sampler.order", s.Order)
	c.oneOf("data.sampler.rebalance", s.Rebalance)
	if s.NegativeRatio != -1 {
		c.notNegative("data.sampler.negative_ratio", s.NegativeRatio)
	}
	c.between("data.sampler.repeat_threshold", s.RepeatThreshold, 0, 1)
	c.between("data.sampler.repeat", float64(s.Repeat), 1, 1000)
	c.between("data.sampler.hard_repeat", float64(s.HardRepeat), 1, 1000)
	c.notNegative("data.sampler.samples", float64(s.Samples))
	if len(s.Weights) > 0 && s.Order != "weighted" {
		c.failf("data.sampler.weights", "are for data.sampler.order=weighted, which is %q", s.Order)
	}
}

func (u *Curriculum) check(c *checker) {
	c.oneOf("data.curriculum.strategy", u.Strategy)
	c.between("data.curriculum.start_difficulty", u.Start, 0, 1)
	c.between("data.curriculum.end_difficulty", u.End, 0, 1)
	if u.Start > u.End {
		c.failf("data.curriculum.start_difficulty", "is %v, above end_difficulty, which is %v", u.Start, u.End)
	}
	if len(u.Ratios) != len(u.Epochs) {
		c.failf("data.curriculum.ratios", "has %d phases, data.curriculum.epochs has %d: they must be as many", len(u.Ratios), len(u.Epochs))
	}
	for _, l := range []struct {
		key string
		n   int
	}{{"freeze", len(u.Freeze)}, {"lr0s", len(u.LR0s)}} {
		if l.n > 0 && l.n != len(u.Epochs) {
			c.failf("data.curriculum."+l.key, "has %d phases, data.curriculum.epochs has %d: they must be as many", l.n, len(u.Epochs))
		}
	}
	for _, n := range u.Freeze {
		c.notNegative("data.curriculum.freeze", float64(n))
	}
	for _, lr := range u.LR0s {
		c.positive("data.curriculum.lr0s", lr)
	}
}

func (t *Training) check(c *checker) {
	if t.Epochs < 1 {
		c.failf("training.epochs", "is %d, must be 1 or more", t.Epochs)
	}
	if t.ImgSz < 0 || t.ImgSz > 1<<14 {
		c.failf("training.imgsz", "is %d, must be from 1 to 16384, or 0 for the model's own", t.ImgSz)
	}
	if t.Batch < 1 && t.Batch != -1 {
		c.failf("training.batch", "is %d, must be 1 or more, or -1 for as many as fit", t.Batch)
	}
	c.between("training.batch_memory", t.BatchMemory, 0.05, 0.95)
	c.between("training.cls_pw", t.ClsPW, 0, 2)
	c.oneOf("training.optimizer", t.Optimizer)
	c.positive("training.pos_weight", t.PosWeight)
	c.positive("training.lr0", t.LR0)
	c.between("training.lrf", t.LRF, 0, 1)
	c.between("training.momentum", t.Momentum, 0, 1)
	c.between("training.warmup_momentum", t.WarmupMomentum, 0, 1)
	for _, p := range []struct {
		key string
		v   float64
	}{{"weight_decay", t.WeightDecay}, {"warmup_epochs", t.WarmupEpochs}, {"warmup_bias_lr", t.WarmupBiasLR}, {"nbs", float64(t.NBS)},
		{"patience", float64(t.Patience)}, {"box", t.Box}, {"cls", t.Cls}, {"dfl", t.DFL}, {"count_loss_weight", t.CountLossWeight}, {"area_loss_weight", t.AreaLossWeight}, {"fp_tp_loss_weight", t.FPTPLossWeight}, {"clip", t.Clip}, {"threads", float64(t.Threads)},
		{"save_period", float64(t.SavePeriod)}, {"save_seconds", t.SaveSeconds}, {"time", t.Time}} {
		c.notNegative("training."+p.key, p.v)
	}
	c.oneOf("training.loss", t.Loss)
	c.oneOf("training.class_weights", t.ClassWeights)
	c.between("training.label_smoothing", t.LabelSmoothing, 0, 0.99)
	c.between("training.class_beta", t.ClassBeta, 0, 0.999999)
	c.between("training.focal_alpha", t.FocalAlpha, -1, 1)
	c.positive("training.layer_decay", t.LayerDecay)
	c.notNegative("training.focal_gamma", t.FocalGamma)
	c.notNegative("training.unfreeze_every", float64(t.UnfreezeEvery))
	c.oneOf("training.precision", t.Precision)
	c.oneOf("training.channels_last", t.ChannelsLast)
	c.oneOf("training.mode", t.Mode)
	c.oneOf("training.schedule", t.Schedule)
	if t.AutoScaleLR.Enable && t.AutoScaleLR.BaseBatchSize < 1 {
		c.failf("training.auto_scale_lr.base_batch_size", "is %d, must be 1 or more", t.AutoScaleLR.BaseBatchSize)
	}
	device, number, numbered := strings.Cut(t.Device, ":")
	if device != "auto" && device != "cpu" && device != "cuda" || numbered && (device != "cuda" || strings.Trim(number, "0123456789") != "" || number == "") {
		c.failf("training.device", "is %q, must be auto, cpu, cuda or cuda:N", t.Device)
	}
}

func (p *Pretraining) check(c *checker) {
	c.oneOf("pretraining.format", p.Format)
	c.positive("pretraining.epochs", float64(p.Epochs))
	c.positive("pretraining.lr0", p.LR0)
	c.between("pretraining.lrf", p.LRF, 0, 1)
	c.notNegative("pretraining.freeze", float64(p.Freeze))
}

func (r *Run) checkScoring(c *checker) {
	r.Evaluation.Finding.check(c, "evaluation.")
	r.Predict.Finding.check(c, "predict.")
	c.between("evaluation.at_iou", r.Evaluation.AtIoU, 0, 1)
	c.between("evaluation.at_conf", r.Evaluation.AtConf, 0, 1)
	c.oneOf("evaluation.split", r.Evaluation.Split)
	c.oneOf("evaluation.iou_type", r.Evaluation.IoUType)
	c.oneOf("evaluation.coordinates", r.Evaluation.Coordinates)
	if r.Evaluation.Coordinates == "letterbox" && r.Evaluation.Tile > 0 {
		c.failf("evaluation.coordinates", "is letterbox, but with evaluation.tile pictures are not seen as a whole")
	}
}

func (f *Finding) check(c *checker, head string) {
	c.between(head+"iou", f.IoU, 0, 1)
	c.between(head+"conf", f.Conf, 0, 1)
	c.oneOf(head+"overlap_metric", f.OverlapMetric)
	c.oneOf(head+"nms", f.NMS)
	c.positive(head+"sigma", f.Sigma)
	if f.MaxDet < 1 {
		c.failf(head+"max_det", "is %d, must be 1 or more", f.MaxDet)
	}
	if f.Tile != 0 {
		c.between(head+"tile", float64(f.Tile), 16, 1<<15)
	}
	c.between(head+"overlap", f.Overlap, 0, 0.9)
	c.oneOf(head+"merge", f.Merge)
	c.oneOf(head+"merge_metric", f.MergeMetric)
	c.between(head+"merge_threshold", f.MergeThreshold, 0, 1)
}

func (r *Run) checkTracking(c *checker) {
	if r.Tracking.Alias != "" && r.Tracking.Register == "" {
		c.failf("tracking.alias", "needs tracking.register, the name of the registered model")
	}
	t := &r.Tune
	if t.Trials < 1 {
		c.failf("tune.trials", "is %d, must be 1 or more", t.Trials)
	}
	if t.Jobs < 1 {
		c.failf("tune.jobs", "is %d, must be 1 or more", t.Jobs)
	}
	c.oneOf("tune.sampler", t.Sampler)
	c.oneOf("tune.pruner", t.Pruner)
	for _, d := range strings.Split(t.Direction, ",") {
		c.oneOf("tune.direction", strings.TrimSpace(d))
	}
	c.notNegative("tune.timeout", t.Timeout)
	for key, text := range t.Params {
		o, err := ParseOverride(key + "=" + text)
		switch {
		case err != nil:
			c.failf("tune.params."+key, "%v", err)
		case o.Sweep() == nil:
			c.failf("tune.params."+key, "is the single value %s: give several, a range(…) or an interval(…)", text)
		}
	}
}

// checkAcross holds the rules that look at several keys.
func (r *Run) checkAcross(c *checker) {
	t := &r.Training
	if t.Precision == "fp16" && t.Device == "cpu" {
		c.failf("training.precision", "fp16 needs a GPU, but training.device is cpu: take bf16 or fp32")
	}
	if t.Patience > 0 && !t.Val && t.Monitor == "" && t.Patience < t.Epochs {
		c.failf("training.patience", "needs validation, but training.val is false: set it to 0 or training.monitor to a loss")
	}
	if n := len(r.Model.Names); n > 0 && len(r.Data.Classes) > 0 && !slices.Equal(r.Model.Names, r.Data.Classes) {
		c.failf("model.names", "differs from data.classes")
	}
	if r.Model.Framework != "classification" && t.ImgSz%32 != 0 {
		c.failf("training.imgsz", "is %d, must be a multiple of 32", t.ImgSz)
	}
}
