package pyramid

import (
	"errors"
	"fmt"

	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/detection/base"
)

// Config is what every detector on a pyramid is told.
type Config struct {
	base.Config
	Transform Transform
	Neck      Neck

	Norm         Norm    // of the backbone
	NormEps      float64 // of the backbone's batch norm; negative for 1e-5, but 0 with torchvision's first weights for COCO (see docs/detectors.md)
	FrozenStages int     // stages of the backbone that do not train: 0 the stem, 1 the stem and layer1, …; −1 none; FrozenAuto for torchvision's rule

	Score      float64 // least score of a detection
	NMS        float64 // overlap above which the weaker of two boxes of a class goes
	Detections int     // most per picture

	Seed uint64 // of the choice of boxes to learn from
}

// Neck is the backbone and the pyramid upon it.
type Neck struct {
	Body   string // name of a backbone: "resnet50", "mobilenet_v3_large"
	Levels []int  // which of the backbone's maps enter the pyramid
	Norm   bool   // batch norm in the pyramid's convolutions
	Extra  Extra
	Plain  bool // the last extra level's input is not rectified (MMDetection)
}

// Norm says how the backbone normalises.
type Norm int

// The ways to normalise.
const (
	NormAuto   Norm = iota // as the weights were made, frozen with weights of a bare backbone, trained without weights
	NormTrain              // BatchNorm2d
	NormFrozen             // FrozenBatchNorm2d: statistics and affine parameters never change
)

// FrozenAuto freezes what torchvision freezes: with frozen normalisation the
// backbone's first stages (of ResNet the stem and layer1), else nothing.
const FrozenAuto = -2

// Extra says how coarser levels follow the pyramid's last one.
type Extra int

// The ways to make coarser levels.
const (
	Pool    Extra = iota // one, every other cell of the last
	P6P7                 // two convolutions, of the last level (torchvision's first form)
	P6P7ofC              // two convolutions, of the backbone's last map
)

// Default returns the settings that torchvision's detectors have in common.
func Default(architecture string, classes []string, neck Neck) Config {
	return Config{
		Config: base.DefaultConfig(architecture, classes, 800), Transform: DefaultTransform(), Neck: neck,
		NormEps: -1, FrozenStages: FrozenAuto, Score: 0.05, NMS: 0.5, Detections: 100,
	}
}

// Validate reports every problem of the settings at once.
func (c Config) Validate() error {
	errs := []error{c.Config.Validate(), c.Transform.validate()}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("detection: "+format, args...))
		}
	}
	check(c.Norm >= NormAuto && c.Norm <= NormFrozen, "norm %d is none", c.Norm)
	check(c.FrozenStages >= FrozenAuto && c.FrozenStages <= 4, "%d frozen stages: want −1 to 4", c.FrozenStages)
	check(c.Score >= 0 && c.Score <= 1, "least score %g is not in 0..1", c.Score)
	check(c.NMS >= 0 && c.NMS <= 1, "IoU threshold %g is not in 0..1", c.NMS)
	check(c.Detections > 0, "%d detections per picture, must be positive", c.Detections)
	return errors.Join(errs...)
}

// set takes thresholds as all detectors are told them.
func (c *Config) set(p detection.Postprocess) {
	c.Score, c.NMS = p.Conf, p.IoU
	if p.MaxDet > 0 {
		c.Detections = p.MaxDet
	}
}
