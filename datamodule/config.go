package datamodule

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/imageio"
)

// Source names the layout of the files under a root.
type Source string

// The known layouts.
const (
	Auto        Source = "auto"         // the first of the following that fits
	WilData     Source = "wildata"      // datasets/<name>/annotations/<split>.json: the master COCO files
	WilDataYOLO Source = "wildata_yolo" // framework_formats/yolo/<name>/data.yaml: the YOLO export
	COCO        Source = "coco"         // annotations/<split>.json and images/<split>/
	YOLO        Source = "yolo"         // a data.yaml, or a folder that holds one
	VOC         Source = "voc"          // Annotations/*.xml and JPEGImages/, or a folder of both per split
	LabelStudio Source = "label_studio" // <split>.json as Label Studio exports it (format JSON), or one such file
	CSV         Source = "csv"          // <split>.csv, or one such file
	ROI         Source = "roi"          // for classification: framework_formats/roi/<name>/: the ROI export
	Folder      Source = "folder"       // for classification: <split>/<class>/… or <class>/…
)

// Policies for what is wrong in a dataset.
const (
	Fail = "fail" // Setup returns one error that lists everything wrong
	Skip = "skip" // what is wrong is left out and reported; Setup decodes every picture once
)

// Caches for decoded pictures, scaled to the training size.
const (
	CacheNone = "none" // only what mosaics are about to draw from
	CacheRAM  = "ram"  // all, up to CacheBytes
	CacheDisk = "disk" // all, up to CacheBytes, in files that the next run finds
)

// Ways to decode pictures for detection.
const (
	DecodeExact = "exact" // at their whole size, then scaled as OpenCV does
	DecodeFast  = "fast"  // JPEGs of twice the training size and more at a half, a quarter or an eighth
)

// Common is what both data modules are told.
type Common struct {
	Root     string   `yaml:"root"`     // folder, or one file of a source, such as a data.yaml
	Roots    []string `yaml:"roots"`    // more of them, merged by class name
	Source   Source   `yaml:"source"`   // layout of every root
	Datasets []string `yaml:"datasets"` // names of WilData datasets to take; empty: all

	AllowLinks bool `yaml:"allow_links"` // follow links of pictures and folders out of the root

	TrainSplit string `yaml:"train_split"` // name of the split for each stage
	ValSplit   string `yaml:"val_split"`
	TestSplit  string `yaml:"test_split"`

	Classes     []string          `yaml:"classes"`      // order of the class list; empty: as in the files
	FoldCase    bool              `yaml:"fold_case"`    // class names that differ in case only are the same
	Rename      map[string]string `yaml:"rename"`       // class names, before Keep and Discard
	Keep        []string          `yaml:"keep"`         // classes whose boxes or examples stay, besides a classifier's background; empty: all
	Discard     []string          `yaml:"discard"`      // classes whose boxes or examples are left out
	SingleClass string            `yaml:"single_class"` // makes all that stay this one class; a classifier's background stays number 0 beside it. "": off

	ImageSize int  `yaml:"imgsz"`      // side of training pictures in pixels
	Batch     int  `yaml:"batch"`      // pictures per training batch
	EvalBatch int  `yaml:"eval_batch"` // pictures per evaluation batch; 0: Batch
	DropLast  bool `yaml:"drop_last"`  // leave out a last training batch that is not full

	Seed     uint64 `yaml:"seed"`     // of order, augmentation and background windows
	Epochs   int    `yaml:"epochs"`   // of the training, for Augment.CloseMosaic (0: never close) and Curriculum
	Workers  int    `yaml:"workers"`  // goroutines that make pictures; 0: the caller's own
	Prefetch int    `yaml:"prefetch"` // batches made ahead

	Cache      string `yaml:"cache"`       // CacheNone, CacheRAM or CacheDisk
	CacheBytes int64  `yaml:"cache_bytes"` // memory for decoded pictures
	CacheDir   string `yaml:"cache_dir"`   // folder of CacheDisk; "": one below the user's cache folder
	Index      string `yaml:"index"`       // where the sizes of pictures are kept between runs: IndexAuto, IndexOff or a folder
	MaxPixels  int64  `yaml:"max_pixels"`  // larger pictures are refused
	OnError    string `yaml:"on_error"`    // Fail or Skip

	Augment    augment.Config  `yaml:"augment"`    // of training pictures; of a classifier's only the changes that are transforms, after the crop
	Transforms []augment.Named `yaml:"transforms"` // further changes of training pictures, by name

	Sampler    SamplerConfig    `yaml:"sampler"`    // which pictures an epoch of training holds
	Curriculum CurriculumConfig `yaml:"curriculum"` // and how that changes over epochs

	Logger *slog.Logger `yaml:"-"` // nil: slog.Default
}

// Config sets up Detection. Zero means zero: take DefaultConfig and change it.
type Config struct {
	Common `yaml:",inline"`

	Stride  int     `yaml:"stride"`   // sides of training and evaluation pictures are multiples of it
	Rect    bool    `yaml:"rect"`     // evaluation batches as flat as their pictures, sorted by aspect ratio
	RectPad float64 `yaml:"rect_pad"` // strides to spare in flat batches

	Windows WindowConfig `yaml:"windows"` // evaluation and prediction window by window

	Decode   string `yaml:"decode"` // DecodeExact or DecodeFast
	ByWindow bool   `yaml:"-"`      // pictures that can be read in parts (TIFF) may have more than MaxPixels: for Tile
	Masks    bool   `yaml:"masks"`  // read the outlines of objects, where there are any

	labels     bool   // for classification: sources of whole pictures with a class are known, too
	background string // for classification: the class of pictures without an animal, which SingleClass and Keep leave alone
}

// common are the defaults of both.
func common() Common {
	return Common{
		Source: Auto, TrainSplit: "train", ValSplit: "val", TestSplit: "test",
		Workers: defaultWorkers(), Prefetch: 2,
		Cache: CacheNone, CacheBytes: 512 << 20, Index: IndexAuto, MaxPixels: imageio.DefaultMaxPixels, OnError: Fail,
		Sampler: DefaultSampler(), Curriculum: DefaultCurriculum(),
	}
}

// DefaultConfig returns the full set of defaults for a root.
func DefaultConfig() Config {
	c := Config{Common: common(), Stride: 32, Rect: true, RectPad: 0.5, Decode: DecodeExact}
	c.ImageSize, c.Batch, c.Augment = 640, 16, augment.Default()
	return c
}

// defaultWorkers leaves the cores to computing, which takes half of them or more
// (libtorch a thread for each that is no mere hyper-thread).
func defaultWorkers() int { return min(4, (runtime.GOMAXPROCS(0)-1)/2) }

// DefaultAugment returns the usual augmentation of YOLO trainings.
func DefaultAugment() augment.Config { return augment.Default() }

// Validate reports every problem of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("datamodule: "+format, args...)) }
	if c.Root == "" && len(c.Roots) == 0 {
		bad("root is empty: name the folder of the data")
	}
	oneOf := func(key, v string, known ...string) {
		if !slices.Contains(known, v) {
			bad("%s is %q, must be one of %q", key, v, known)
		}
	}
	oneOf("source", string(c.Source), c.knownSources()...)
	oneOf("cache", c.Cache, CacheNone, CacheRAM, CacheDisk)
	oneOf("decode", c.Decode, DecodeExact, DecodeFast)
	oneOf("on_error", c.OnError, Fail, Skip)
	if len(c.Keep) > 0 && len(c.Discard) > 0 {
		bad("keep and discard are both set: use one of them")
	}
	positive := func(key string, v int64) {
		if v <= 0 {
			bad("%s is %d, must be positive", key, v)
		}
	}
	positive("imgsz", int64(c.ImageSize))
	positive("stride", int64(c.Stride))
	positive("batch", int64(c.Batch))
	positive("max_pixels", c.MaxPixels)
	if c.Stride > 0 && c.ImageSize%c.Stride != 0 {
		bad("imgsz is %d, must be a multiple of stride, %d", c.ImageSize, c.Stride)
	}
	for _, n := range []struct {
		key string
		v   int64
	}{{"eval_batch", int64(c.EvalBatch)}, {"epochs", int64(c.Epochs)}, {"workers", int64(c.Workers)}, {"prefetch", int64(c.Prefetch)}, {"cache_bytes", c.CacheBytes}} {
		if n.v < 0 {
			bad("%s is %d, must not be negative", n.key, n.v)
		}
	}
	if !(c.RectPad >= 0 && c.RectPad <= 10) {
		bad("rect_pad is %v, must be between 0 and 10", c.RectPad)
	}
	if err := c.Augment.Validate(); err != nil {
		errs = append(errs, err)
	}
	if _, err := augment.Parse(c.Transforms); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.Sampler.Validate(), c.Curriculum.Validate(), c.Windows.Validate())
	return errors.Join(errs...)
}

// knownSources are the layouts that this kind of data module reads.
func (c Config) knownSources() []string {
	known := []string{string(Auto), string(WilData), string(WilDataYOLO), string(COCO), string(YOLO), string(VOC), string(LabelStudio), string(CSV)}
	if c.labels {
		known = append(known, string(ROI), string(Folder))
	}
	return known
}
