package config

import (
	"strconv"
	"strings"
)

// Run is everything a training, evaluation or prediction is told: the schema of
// the shipped tree. Take DefaultRun and decode a configuration over it.
type Run struct {
	Experiment string `yaml:"experiment_name"` // sub-folder of Runs, and the experiment in tracking
	Name       string `yaml:"name"`            // folder of this run; "" takes the time
	Runs       string `yaml:"runs"`            // folder of all runs
	Seed       uint64 `yaml:"seed"`
	Task       string `yaml:"task"` // "detection" or "classification"; derived from the model where "", else checked against it

	Model       Model       `yaml:"model"`
	Data        Data        `yaml:"data"`
	Training    Training    `yaml:"training"`
	Pretraining Pretraining `yaml:"pretraining"`
	Evaluation  Evaluation  `yaml:"evaluation"`
	Predict     Predict     `yaml:"predict"`
	Tracking    Tracking    `yaml:"tracking"`
	Tune        Tune        `yaml:"tune"`
}

// Model says what to build. What only detectors or only classifiers have stands
// beside the rest; the other kind does not look at it.
type Model struct {
	Framework     string   `yaml:"framework"`      // family: "yolo", "mmdet" or "classification"
	Version       string   `yaml:"version"`        // of YOLO: "8", "11", "12" or "26"
	Size          string   `yaml:"size"`           // of YOLO: "n", "s", "m", "l" or "x"
	Architecture  string   `yaml:"architecture"`   // name or .yaml file; "" is made of the three above
	Classes       int      `yaml:"classes"`        // number of classes; 0 takes it from the data or the weights
	Names         []string `yaml:"names"`          // of the classes, where neither data nor weights tell
	Pretrained    string   `yaml:"pretrained"`     // true for the architecture's published weights, a tag of them, a file, an https address; false for random numbers
	AcceptLicense string   `yaml:"accept_license"` // SPDX identifier of a licence of published weights that you agree to: AGPL-3.0
	Weights       string   `yaml:"weights"`        // .safetensors or .pt file, or a run folder
	Partial       bool     `yaml:"partial"`        // the weights may lack tensors or have others
	Freeze        []string `yaml:"freeze"`         // name prefixes of parts that do not train

	Auxiliary Auxiliary `yaml:"auxiliary"` // of YOLO: what auxiliary losses are computed with, see training.count_loss_weight

	MinSize      int      `yaml:"min_size"`      // of mmdet: the shorter side to which pictures of their own size are brought; 0 takes training.imgsz
	MaxSize      int      `yaml:"max_size"`      // and what the longer side must not exceed; 0 takes 1333/800 of it
	Norm         string   `yaml:"norm"`          // of mmdet's backbone: "train", "frozen"; "auto" goes by the weights
	NormEps      *float64 `yaml:"norm_eps"`      // of mmdet's backbone; null takes the weights'
	FrozenStages *int     `yaml:"frozen_stages"` // stages of mmdet's backbone that do not train: 0 the stem, 1 the stem and the first; −1 none; null goes by the weights
	TrainCfg     TrainCfg `yaml:"train_cfg"`     // of mmdet, under MMDetection's names
	TestCfg      TestCfg  `yaml:"test_cfg"`

	Head            Head              `yaml:"head"`             // of classifiers
	Dropout         *float64          `yaml:"dropout"`          // before a classifier's own head; null takes the architecture's
	StochasticDepth *float64          `yaml:"stochastic_depth"` // of a classifier's last residual branch; null takes the architecture's
	MultiLabel      bool              `yaml:"multi_label"`      // a picture has any number of classes
	Parents         map[string]string `yaml:"parents"`          // the group above a class or group: species, genus, family
	Background      string            `yaml:"background"`       // the class of pictures that show nothing
	Mean            []float64         `yaml:"mean"`             // by which a classifier's input is normalised, RGB in 0..1; empty takes the weights' or the architecture's
	Std             []float64         `yaml:"std"`
}

// Auxiliary says what a YOLO's auxiliary losses are computed with, under the Python
// WildTrain's names. Layers are rows of the architecture, by number; null takes what
// the head reads at stride 8 (count, p3) or 16 (area, p4).
type Auxiliary struct {
	CountRegressorLayers *int      `yaml:"count_regressor_layers"` // whose map tells the number of objects
	AreaRegressorLayers  *int      `yaml:"area_regressor_layers"`  // whose map tells their share of the picture
	ROIClassifierLayers  ROILayers `yaml:"roi_classifier_layers"`  // whose maps tell true detections from false ones
	ImageEncoderBackbone string    `yaml:"image_encoder_backbone"` // a classifier that also sees the boxes and never trains; "" for none
	ImageEncoderWeights  string    `yaml:"image_encoder_weights"`  // its weights file; "" leaves it at random numbers
	BoxSize              int       `yaml:"box_size"`               // side in pixels to which boxes are brought for it
	MinArea              float64   `yaml:"min_area"`               // detections of fewer square pixels are not judged
}

// ROILayers are the rows that the classifier of boxes reads.
type ROILayers struct {
	P3 *int `yaml:"p3"` // the finer map
	P4 *int `yaml:"p4"`
}

// TrainCfg says what MMDetection's detectors learn from. null leaves a setting to
// the architecture.
type TrainCfg struct {
	RPN         Assign    `yaml:"rpn"` // also of RetinaNet's anchors
	RPNProposal Proposing `yaml:"rpn_proposal"`
	RCNN        Assign    `yaml:"rcnn"`
}

// TestCfg says what MMDetection's detectors find.
type TestCfg struct {
	RPN  Proposing `yaml:"rpn"`
	RCNN Detecting `yaml:"rcnn"`
}

// Detecting says which boxes become detections in evaluation.
type Detecting struct {
	ScoreThr  *float64   `yaml:"score_thr"`   // in the place of evaluation.conf
	NMS       Suppressed `yaml:"nms"`         // in the place of evaluation.iou
	MaxPerImg *int       `yaml:"max_per_img"` // in the place of evaluation.max_det
}

// Assign says which boxes are objects and how many of them teach.
type Assign struct {
	Assigner Assigner   `yaml:"assigner"`
	Sampler  BoxSampler `yaml:"sampler"`
}

// Assigner says which boxes are objects.
type Assigner struct {
	PosIoUThr       *float64 `yaml:"pos_iou_thr"`       // least overlap with an object
	NegIoUThr       *float64 `yaml:"neg_iou_thr"`       // below it a box is background
	MinPosIoU       *float64 `yaml:"min_pos_iou"`       // least overlap of an object's best boxes
	MatchLowQuality *bool    `yaml:"match_low_quality"` // every object gets its best boxes
}

// BoxSampler says how many boxes of a picture teach.
type BoxSampler struct {
	Num         *int     `yaml:"num"`
	PosFraction *float64 `yaml:"pos_fraction"` // at most such a share of them are objects
}

// Proposing says what the region proposal network passes on.
type Proposing struct {
	NMSPre    *int       `yaml:"nms_pre"`     // per level, before suppression
	MaxPerImg *int       `yaml:"max_per_img"` // after it
	NMS       Suppressed `yaml:"nms"`
}

// Suppressed is a threshold of suppression.
type Suppressed struct {
	IoUThreshold *float64 `yaml:"iou_threshold"` // overlap above which the weaker of two boxes goes
}

// AutoScale adapts the learning rate to the batch.
type AutoScale struct {
	Enable        bool `yaml:"enable"`          // do so
	BaseBatchSize int  `yaml:"base_batch_size"` // for which training.lr0 is meant
}

// Head is a multi-layer perceptron in the place of a classifier's last layer.
type Head struct {
	HiddenDim int     `yaml:"hidden_dim"` // outputs of its inner layers; 0 keeps the architecture's own head
	NumLayers int     `yaml:"num_layers"` // linear layers, the last one included
	Dropout   float64 `yaml:"dropout"`    // after each inner layer
}

// Data says where samples come from and how they are changed.
type Data struct {
	Root     string   `yaml:"root"`     // folder, or a YOLO data.yaml
	Roots    []string `yaml:"roots"`    // more of them, merged by class name
	Format   string   `yaml:"format"`   // "auto", "wildata", "wildata_yolo", "coco", "yolo", "voc", "label_studio", "csv"; for classifiers also "roi", "folder"
	Datasets []string `yaml:"datasets"` // names of WilData datasets to take; empty takes all

	TrainSplit string `yaml:"train_split"`
	ValSplit   string `yaml:"val_split"`
	TestSplit  string `yaml:"test_split"`

	Classes     []string          `yaml:"classes"`      // order of the class list; empty: as in the files
	FoldCase    bool              `yaml:"fold_case"`    // class names that differ in case only are the same
	Keep        []string          `yaml:"keep"`         // classes whose boxes stay; empty keeps all
	Discard     []string          `yaml:"discard"`      // classes whose boxes are left out
	Rename      map[string]string `yaml:"rename"`       // class names, before Keep and Discard
	SingleClass string            `yaml:"single_class"` // makes all that stay this one class; "" is off

	BatchSize *int   `yaml:"batch_size"` // pictures per batch; null takes training.batch
	EvalBatch int    `yaml:"eval_batch"` // pictures per evaluation batch; 0 takes the training's
	Rect      bool   `yaml:"rect"`       // evaluation batches as flat as their pictures
	DropLast  bool   `yaml:"drop_last"`  // leave out a last training batch that is not full
	Workers   *int   `yaml:"workers"`    // goroutines that make pictures; null takes training.workers
	Prefetch  int    `yaml:"prefetch"`   // batches made ahead
	Cache     string `yaml:"cache"`      // "none", "ram" or "disk": decoded pictures in memory or in a folder
	CacheGB   int    `yaml:"cache_gb"`   // room for that, in GiB
	CacheDir  string `yaml:"cache_dir"`  // folder of cache=disk; "" takes one below the user's cache folder
	Decode    string `yaml:"decode"`     // "exact", or "fast": JPEGs are scaled while they are decoded, where they are much larger than imgsz
	OnError   string `yaml:"on_error"`   // "fail" or "skip" at a picture that cannot be read

	AllowLinks bool   `yaml:"allow_links"` // follow links out of the root
	Masks      bool   `yaml:"masks"`       // read the outlines of objects
	Index      string `yaml:"index"`       // where sizes of pictures are kept between runs: "auto", "off" or a folder

	Augment        Augment     `yaml:"augment"`
	Transforms     []Transform `yaml:"transforms"`      // further changes of training pictures, by torchvision's names
	EvalTransforms []Transform `yaml:"eval_transforms"` // of a classifier's evaluation pictures
	MixUpAlpha     float64     `yaml:"mixup_alpha"`     // a classifier's mixup draws shares from Beta(alpha, alpha)
	CutMixAlpha    float64     `yaml:"cutmix_alpha"`    // and its cutmix
	Sampler        Sampler     `yaml:"sampler"`
	Curriculum     Curriculum  `yaml:"curriculum"`

	Crops         Crops     `yaml:"crops"`         // of pictures with boxes, for classifiers
	Resize        string    `yaml:"resize"`        // of a classifier's pictures: "crop", "stretch" or "fit"
	ResizeTo      int       `yaml:"resize_to"`     // shorter side before the middle is cut out; 0 takes imgsz·256/224
	Interpolation string    `yaml:"interpolation"` // Pillow's: "bilinear", "bicubic", "lanczos", …
	CropScale     []float64 `yaml:"crop_scale"`    // share of the area that a training crop takes, from and to
	CropRatio     []float64 `yaml:"crop_ratio"`    // and its width over height
}

// Crops says how a classifier's pictures are cut out of pictures with boxes.
type Crops struct {
	Window              string  `yaml:"window"`               // "fixed", "context" or "square"
	Size                int     `yaml:"size"`                 // of fixed windows, in pixels
	Context             float64 `yaml:"context"`              // of the other windows, as a multiple of the box
	MinSide             float64 `yaml:"min_side"`             // boxes with a shorter side, in pixels, are left out
	Crowd               bool    `yaml:"crowd"`                // also boxes around groups
	Difficult           bool    `yaml:"difficult"`            // also boxes marked as difficult
	Background          string  `yaml:"background"`           // the class of windows without a box; "" makes none
	BackgroundNegatives int     `yaml:"background_negatives"` // such windows in a picture without boxes
	BackgroundPositives int     `yaml:"background_positives"` // and in one with boxes
}

// Augment holds the random changes of training pictures, with the names and
// defaults that users of YOLO know.
type Augment struct {
	Mosaic      float64 `yaml:"mosaic"`       // probability of putting four pictures together
	Mosaic9     float64 `yaml:"mosaic9"`      // probability of putting nine together, where it isn't four
	CloseMosaic int     `yaml:"close_mosaic"` // the last so many epochs go without what joins several pictures
	Warp        float64 `yaml:"warp"`         // probability of the geometric change
	Degrees     float64 `yaml:"degrees"`      // rotation, ± degrees
	Translate   float64 `yaml:"translate"`    // shift, ± share of the side
	Scale       float64 `yaml:"scale"`        // zoom by 1 ± this
	Shear       float64 `yaml:"shear"`        // ± degrees
	Perspective float64 `yaml:"perspective"`  // ± coefficient per pixel, up to 0.001
	FlipLR      float64 `yaml:"fliplr"`       // probability of mirroring
	FlipUD      float64 `yaml:"flipud"`       // probability of turning upside down
	HSV         float64 `yaml:"hsv"`          // probability of the change of colour
	HSVH        float64 `yaml:"hsv_h"`        // hue, ± share of the full circle
	HSVS        float64 `yaml:"hsv_s"`        // saturation, times 1 ± this
	HSVV        float64 `yaml:"hsv_v"`        // brightness, times 1 ± this
	CopyPaste   float64 `yaml:"copy_paste"`   // share of a second picture's objects that are pasted in
	MixUp       float64 `yaml:"mixup"`        // probability of blending with a second sample
	CutMix      float64 `yaml:"cutmix"`       // probability of a part from a second sample
	Auto        string  `yaml:"auto_augment"` // "", "randaugment", "trivialaugment" or "autoaugment"
	Grey        float64 `yaml:"grey"`         // probability of losing all colour
	Blur        float64 `yaml:"blur"`         // probability of a mean over 3 to 7 pixels
	Noise       float64 `yaml:"noise"`        // probability of Gaussian noise
	JPEG        float64 `yaml:"jpeg"`         // probability of JPEG's losses
	CLAHE       float64 `yaml:"clahe"`        // probability of levelling contrast by parts
	Erasing     float64 `yaml:"erasing"`      // probability of covering a part with noise
	MultiScale  float64 `yaml:"multi_scale"`  // the side of each batch's pictures, times 1 ± this
	MinSide     float64 `yaml:"min_side"`     // boxes with a side of this many pixels or fewer afterwards are left out
	MinVisible  float64 `yaml:"min_visible"`  // boxes of which this share or less is left in the picture are left out
	MaxAspect   float64 `yaml:"max_aspect"`   // boxes this many times longer than wide are left out; 0 keeps all
}

// Transform is one change of a picture, by its name in torchvision's
// transforms.v2, with its parameters.
type Transform struct {
	Name   string         `yaml:"name"`
	Params map[string]any `yaml:"params"`
}

// Sampler says which pictures an epoch of training holds, and in which order.
type Sampler struct {
	Only            string             `yaml:"only"`             // file that lists the pictures to take; "" takes all
	NegativeRatio   float64            `yaml:"negative_ratio"`   // pictures without objects for each with; -1 takes all there are
	Rebalance       string             `yaml:"rebalance"`        // "none", "mean" or "min": leave out of classes what they have more than that
	ExcludeExtremes bool               `yaml:"exclude_extremes"` // the mean is that without the largest and the smallest class
	Repeat          int                `yaml:"repeat"`           // times that each picture comes in an epoch
	RepeatThreshold float64            `yaml:"repeat_threshold"` // classes in a smaller share of pictures than this come more often; 0 is off
	HardNegatives   string             `yaml:"hard_negatives"`   // file that lists pictures which come more often
	HardRepeat      int                `yaml:"hard_repeat"`      // times that those come in an epoch
	Order           string             `yaml:"order"`            // "shuffle", "sequential", "balanced" or "weighted"
	Samples         int                `yaml:"samples"`          // that balanced and weighted orders draw; 0 takes as many as there are
	Weights         map[string]float64 `yaml:"weights"`          // of the weighted order, by class name
}

// Phases lead from easy pictures to hard ones, and through phases of more or fewer
// pictures without objects.
type Phases struct {
	Enabled        bool      `yaml:"enabled"`
	Strategy       string    `yaml:"strategy"`         // "linear", "exponential" or "step"; "" leaves difficulty out of it
	Start          float64   `yaml:"start_difficulty"` // the highest at first
	End            float64   `yaml:"end_difficulty"`   // and at last
	Margin         float64   `yaml:"margin"`           // pictures so much harder are taken, too
	Warmup         int       `yaml:"warmup_epochs"`    // epochs at the start before it rises
	Over           int       `yaml:"over_epochs"`      // epochs that it rises over; 0 takes all
	Steps          int       `yaml:"steps"`            // of strategy "step"
	AreaWeight     float64   `yaml:"area_weight"`      // of small boxes in a picture's difficulty
	CountWeight    float64   `yaml:"count_weight"`     // of few boxes
	CoverageWeight float64   `yaml:"coverage_weight"`  // of little of the picture covered
	AreaSide       float64   `yaml:"area_side"`        // boxes as large as a square of so many pixels are easy
	Count          int       `yaml:"count"`            // so many boxes are easy
	Ratios         []float64 `yaml:"ratios"`           // negative_ratio, phase by phase
	Epochs         []int     `yaml:"epochs"`           // of each phase; the last one stays
}

// Curriculum is what training goes through: the pictures of each epoch, and what
// else changes from phase to phase.
type Curriculum struct {
	Phases
	Freeze []int     `yaml:"freeze"` // of a YOLO: first parts that do not train, phase by phase; empty: model.freeze
	LR0s   []float64 `yaml:"lr0s"`   // learning rates at the beginning of each phase; empty: lr0 and one schedule over all
}

// Pretraining is a training on other data that comes before the training itself.
type Pretraining struct {
	Root   string  `yaml:"root"`   // of the other data; "" for none
	Format string  `yaml:"format"` // as data.format
	Epochs int     `yaml:"epochs"`
	LR0    float64 `yaml:"lr0"`
	LRF    float64 `yaml:"lrf"`
	Freeze int     `yaml:"freeze"` // of a YOLO: first parts that do not train
}

// Training holds the hyperparameters and the means of computing.
type Training struct {
	Epochs int `yaml:"epochs"`
	ImgSz  int `yaml:"imgsz"` // side of pictures in pixels, a multiple of 32 for YOLO; 0 takes the model's own
	Batch  int `yaml:"batch"` // pictures per batch

	BatchMemory float64 `yaml:"batch_memory"` // batch=-1 takes as many pictures as fit into this share of the memory
	Time        float64 `yaml:"time"`         // hours after which training ends; 0: only by epochs

	Optimizer      string  `yaml:"optimizer"` // "auto", "SGD", "MuSGD", "Adam", "AdamW", "RMSprop"; case does not matter
	LR0            float64 `yaml:"lr0"`
	LRF            float64 `yaml:"lrf"` // last learning rate as a share of LR0
	Momentum       float64 `yaml:"momentum"`
	WeightDecay    float64 `yaml:"weight_decay"`
	WarmupEpochs   float64 `yaml:"warmup_epochs"`
	WarmupMomentum float64 `yaml:"warmup_momentum"`
	WarmupBiasLR   float64 `yaml:"warmup_bias_lr"`
	CosLR          bool    `yaml:"cos_lr"`   // cosine schedule; false is linear
	NBS            int     `yaml:"nbs"`      // pictures per optimiser step: batches add up to it
	Patience       int     `yaml:"patience"` // epochs without improvement before stopping; 0 is off
	Monitor        string  `yaml:"monitor"`  // value that tells the best epoch; "" takes the first metric
	Mode           string  `yaml:"mode"`     // "max" or "min"; "" goes by the monitored name

	Box float64 `yaml:"box"` // gains of the losses
	Cls float64 `yaml:"cls"`
	DFL float64 `yaml:"dfl"`

	ClsPW     float64 `yaml:"cls_pw"`     // of detectors: classes weigh by their number of boxes to the power of minus this; 0: all alike
	PosWeight float64 `yaml:"pos_weight"` // of YOLO: factor of the class loss's part of what is there, against that of what is not

	CountLossWeight float64 `yaml:"count_loss_weight"` // of YOLO's auxiliary losses: the number of objects; 0 is off
	AreaLossWeight  float64 `yaml:"area_loss_weight"`  // the share of the picture that they cover
	FPTPLossWeight  float64 `yaml:"fp_tp_loss_weight"` // true detections against false ones

	Loss           string  `yaml:"loss"`            // of classifiers: "cross_entropy", "bce", "focal"; "" goes by model.multi_label
	LabelSmoothing float64 `yaml:"label_smoothing"` // share of a target that goes to all classes alike
	ClassWeights   string  `yaml:"class_weights"`   // "none", "balanced" or "class_balanced", by the whole training set
	ClassBeta      float64 `yaml:"class_beta"`      // of class_balanced
	FocalGamma     float64 `yaml:"focal_gamma"`
	FocalAlpha     float64 `yaml:"focal_alpha"`    // weight of positives with sigmoids; below 0 for none
	LayerDecay     float64 `yaml:"layer_decay"`    // a classifier's learning rate is multiplied by this per block away from the head; 1 is off
	UnfreezeEvery  int     `yaml:"unfreeze_every"` // epochs after which the next block of a classifier begins to train; 0 trains all from the beginning
	Calibrate      bool    `yaml:"calibrate"`      // fit a classifier's temperature on the validation pictures in the end

	EMA  bool    `yaml:"ema"`  // average the weights
	Clip float64 `yaml:"clip"` // largest norm of the gradients; 0 is off

	Device        string `yaml:"device"`        // "auto", "cpu", "cuda", "cuda:1"
	Precision     string `yaml:"precision"`     // "fp32", "bf16", "fp16" or "auto"
	ChannelsLast  string `yaml:"channels_last"` // "true", "false" or "auto"
	Threads       int    `yaml:"threads"`       // of one operation; 0 leaves it to libtorch
	Deterministic bool   `yaml:"deterministic"`

	Schedule    string    `yaml:"schedule"`      // MMDetection's "1x" (12 epochs, the rate falls after 8 and 11) or "2x" (24; 16 and 22); "": epochs, lrf and cos_lr hold
	AutoScaleLR AutoScale `yaml:"auto_scale_lr"` // multiply lr0 by batch / base_batch_size

	Resume      string  `yaml:"resume"`       // run folder to go on with
	SavePeriod  int     `yaml:"save_period"`  // keep a checkpoint every so many epochs; 0 is off
	SaveSeconds float64 `yaml:"save_seconds"` // save within an epoch where so much time has gone by; 0 is off
	Val         bool    `yaml:"val"`          // validate after each epoch
	Workers     *int    `yaml:"workers"`      // goroutines that make pictures; null takes the cores that computing leaves free
}

// Finding says which of a detector's boxes become detections. Evaluation and
// prediction have one each.
type Finding struct {
	Conf          float64 `yaml:"conf"`           // lowest score of a detection
	IoU           float64 `yaml:"iou"`            // overlap above which the weaker of two boxes is suppressed
	OverlapMetric string  `yaml:"overlap_metric"` // how that is measured: "iou", or "ios" for intersection over the smaller
	NMS           string  `yaml:"nms"`            // suppression: "hard", or soft, where scores are lowered: "linear", "gaussian"; "none": the head of YOLO26 that needs none
	Sigma         float64 `yaml:"sigma"`          // of gaussian
	AgnosticNMS   bool    `yaml:"agnostic_nms"`   // boxes of different classes suppress each other
	MultiLabel    bool    `yaml:"multi_label"`    // a box may count for each class above conf, else for its best one
	MaxDet        int     `yaml:"max_det"`        // detections per picture, of tiles per tile
	Augment       bool    `yaml:"augment"`        // test-time augmentation: at scales 1, 0.83 mirrored and 0.67
	Half          bool    `yaml:"half"`           // compute in half precision: float16, bfloat16 on processors that have it

	Tile           int     `yaml:"tile"`            // look at pictures in parts of this side, in pixels; 0: as a whole
	Overlap        float64 `yaml:"overlap"`         // share of a tile's side that it has in common with the next one, at least
	Whole          bool    `yaml:"whole"`           // besides the tiles look at the whole picture, too
	Merge          string  `yaml:"merge"`           // detections of several tiles: "nmm" puts parts together, "nms" keeps the best part
	MergeMetric    string  `yaml:"merge_metric"`    // they are parts of one animal by "ios" or "iou"
	MergeThreshold float64 `yaml:"merge_threshold"` // above this
}

// Evaluation says what is measured.
type Evaluation struct {
	Finding
	Split       string  `yaml:"split"`       // "train", "val" or "test"
	IoUType     string  `yaml:"iou_type"`    // overlap is measured on boxes: "bbox", or on masks: "segm"
	AtIoU       float64 `yaml:"at_iou"`      // IoU at which precision, recall and F1 are told
	AtConf      float64 `yaml:"at_conf"`     // and the score from which on
	Coordinates string  `yaml:"coordinates"` // boxes are measured as in the "original" picture, or as the model sees it: "letterbox"
}

// Predict says how pictures are looked at.
type Predict struct {
	Source string `yaml:"source"` // file, folder or glob
	Finding
	Draw bool `yaml:"draw"` // write annotated pictures
}

// Tracking says where runs are logged and models registered.
type Tracking struct {
	Enabled   bool              `yaml:"enabled"`
	URI       string            `yaml:"uri"`      // MLflow server or sqlite file; "" takes MLFLOW_TRACKING_URI, else sqlite:///mlflow.db
	RunName   string            `yaml:"run_name"` // "" takes the run's name
	Tags      map[string]string `yaml:"tags"`
	Artifacts bool              `yaml:"artifacts"` // log checkpoints and reports, too
	Register  string            `yaml:"register"`  // registered model's name; "" does not register
	Alias     string            `yaml:"alias"`     // given to the registered version
}

// Tune says what to search.
type Tune struct {
	Trials    int               `yaml:"trials"`
	Sampler   string            `yaml:"sampler"`   // "tpe", "tpe4", "random", "grid", "bruteforce", "qmc", "cmaes", "nsga2", "gp"
	Pruner    string            `yaml:"pruner"`    // "none", "median", "percentile", "halving", "hyperband", "patient", "wilcoxon"
	Metric    string            `yaml:"metric"`    // or several, with commas between them
	Direction string            `yaml:"direction"` // "maximize" or "minimize", one for each metric
	Storage   string            `yaml:"storage"`   // sqlite:///FILE, postgresql://…, mysql://…, journal:///FILE or memory; "" is study.db in the tuning's folder
	Study     string            `yaml:"study"`
	Timeout   float64           `yaml:"timeout"` // seconds; 0 is none
	Jobs      int               `yaml:"jobs"`
	Space     map[string]any    `yaml:"space"`  // key → {low, high, log, step} or {choices}, see docs/tune.md
	Params    map[string]string `yaml:"params"` // key → values, in the grammar of sweeps
}

// DefaultRun returns the full set of defaults; the shipped tree repeats the ones
// that users change.
func DefaultRun() Run {
	return Run{
		Experiment: "wildlife_detection", Runs: "runs", Seed: 42,
		Model: Model{Framework: "yolo", Version: "11", Size: "n", Pretrained: "false", Auxiliary: Auxiliary{BoxSize: 224, MinArea: 2500}, Norm: "auto", Head: Head{NumLayers: 2}},
		Data: Data{
			Format: "auto", TrainSplit: "train", ValSplit: "val", TestSplit: "test",
			Rect: true, Prefetch: 2, Cache: "none", CacheGB: 2, Decode: "exact", OnError: "fail", Index: "auto",
			Augment: Augment{
				Mosaic: 1, CloseMosaic: 10, Warp: 1, Translate: 0.1, Scale: 0.5, FlipLR: 0.5, HSV: 1, HSVH: 0.015, HSVS: 0.7, HSVV: 0.4,
				MinSide: 2, MinVisible: 0.1, MaxAspect: 100,
			},
			MixUpAlpha: 0.2, CutMixAlpha: 1,
			Sampler: Sampler{NegativeRatio: -1, Rebalance: "none", ExcludeExtremes: true, Repeat: 1, HardRepeat: 3, Order: "shuffle"},
			Curriculum: Curriculum{Phases: Phases{
				Strategy: "linear", End: 1, Margin: 0.1, Steps: 4,
				AreaWeight: 0.4, CountWeight: 0.3, CoverageWeight: 0.3, AreaSide: 200, Count: 10,
			}},
			Crops:  Crops{Window: "square", Size: 224, Context: 1.5, MinSide: 4, Difficult: true, Background: "background", BackgroundNegatives: 3, BackgroundPositives: 1},
			Resize: "crop", Interpolation: "bilinear", CropScale: []float64{0.35, 1}, CropRatio: []float64{0.75, 4.0 / 3},
		},
		Training: Training{
			Epochs: 100, Batch: 16, BatchMemory: 0.6, Optimizer: "SGD", LR0: 0.01, LRF: 0.01, Momentum: 0.937, WeightDecay: 5e-4,
			WarmupEpochs: 3, WarmupMomentum: 0.8, WarmupBiasLR: 0.1, NBS: 64, Patience: 100,
			Box: 7.5, Cls: 0.5, DFL: 1.5, PosWeight: 1, ClassWeights: "none", ClassBeta: 0.999, FocalGamma: 2, FocalAlpha: 0.25, LayerDecay: 1, EMA: true, Clip: 10,
			Device: "auto", Precision: "fp32", ChannelsLast: "auto", Val: true, AutoScaleLR: AutoScale{BaseBatchSize: 16},
		},
		Pretraining: Pretraining{Format: "auto", Epochs: 10, LR0: 1e-4, LRF: 0.1},
		Evaluation:  Evaluation{Finding: defaultFinding(0.001, true), Split: "val", IoUType: "bbox", AtIoU: 0.5, AtConf: 0.25, Coordinates: "original"},
		Predict:     Predict{Finding: defaultFinding(0.25, false), Draw: true},
		Tracking:    Tracking{Artifacts: true},
		Tune:        Tune{Trials: 20, Sampler: "tpe", Pruner: "none", Metric: "mAP50-95", Direction: "maximize", Study: "wildtrain", Jobs: 1},
	}
}

func defaultFinding(conf float64, multiLabel bool) Finding {
	return Finding{
		Conf: conf, IoU: 0.7, OverlapMetric: "iou", NMS: "hard", Sigma: 0.5, MultiLabel: multiLabel, MaxDet: 300,
		Overlap: 0.2, Merge: "nmm", MergeMetric: "ios", MergeThreshold: 0.5,
	}
}

// BatchSize is the number of pictures per batch: data.batch_size where given,
// else training.batch.
func (r *Run) BatchSize() int {
	if r.Data.BatchSize != nil {
		return *r.Data.BatchSize
	}
	return r.Training.Batch
}

// Workers is the number of goroutines that make pictures: data.workers where
// given, else training.workers; nil leaves it to who knows the device.
func (r *Run) Workers() *int {
	if r.Data.Workers != nil {
		return r.Data.Workers
	}
	return r.Training.Workers
}

// ArchitectureName is model.architecture, or the name made of framework, version
// and size: yolo11n, yolov8s.
func (m *Model) ArchitectureName() string {
	if m.Architecture != "" {
		return m.Architecture
	}
	version := strings.TrimPrefix(m.Version, "v")
	if n, err := strconv.Atoi(version); err == nil && n < 10 && m.Framework == "yolo" {
		version = "v" + version
	}
	return m.Framework + version + m.Size
}

// PretrainedFrom says which published weights to begin from: "" for none, "true"
// for the architecture's default, else a tag, a path or an address.
func (m *Model) PretrainedFrom() string {
	switch p := strings.ToLower(m.Pretrained); p {
	case "", "false", "none", "null":
		return ""
	case "true":
		return p
	}
	return m.Pretrained
}
