package rcnn

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/detection/pyramid"
)

// Architectures lists the names that Default knows: torchvision's, and those of
// MMDetection's conventions.
func Architectures() []string {
	var out []string
	for _, kind := range []string{"fasterrcnn", "maskrcnn"} {
		for _, form := range []string{"", "_v2"} {
			for _, depth := range []string{"18", "34", "50", "101"} {
				out = append(out, kind+"_resnet"+depth+"_fpn"+form)
			}
		}
	}
	out = append(out, "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn")
	for _, kind := range []string{"cascade-rcnn", "faster-rcnn", "mask-rcnn"} {
		for _, depth := range []string{"18", "34", "50", "101"} {
			out = append(out, kind+"_r"+depth+"_fpn")
		}
	}
	return out
}

// spelled is a name of MMDetection's with schedule and data set, as its files have them.
var spelled = regexp.MustCompile(`^(faster|mask|cascade)[-_]rcnn_r(18|34|50|101)_fpn(?:_[12]x)?(?:_coco)?$`)

// Canonical is the name of Architectures that is meant: "faster_rcnn_r50_fpn_1x_coco"
// is "faster-rcnn_r50_fpn". ok is false where there is none.
func Canonical(name string) (canonical string, ok bool) {
	if m := spelled.FindStringSubmatch(name); m != nil {
		name = m[1] + "-rcnn_r" + m[2] + "_fpn"
	}
	return name, slices.Contains(Architectures(), name)
}

// Default returns the settings of an architecture.
func Default(architecture string, classes []string) (Config, error) {
	name, ok := Canonical(architecture)
	if !ok {
		return Config{}, fmt.Errorf("detection: unknown architecture %q: want one of %s", architecture, strings.Join(Architectures(), ", "))
	}
	body := "mobilenet_v3_large"
	neck := pyramid.Neck{Body: body, Levels: []int{4, 5}}
	if d := regexp.MustCompile(`(?:resnet|_r)(\d+)_`).FindStringSubmatch(name); d != nil {
		neck = pyramid.Neck{Body: "resnet" + d[1], Levels: []int{0, 1, 2, 3}}
	}
	c := Config{Config: pyramid.Default(name, classes, neck), RPN: defaultRPN(), Stages: []Stage{defaultStage()}}
	c.Pool.Size, c.Pool.Sampling = 7, 2
	c.Mask = strings.HasPrefix(name, "mask")
	switch {
	case neck.Body == body:
		c.mobile(strings.Contains(name, "_320_"))
	case strings.HasSuffix(name, "_v2"):
		c.Deep, c.Neck.Norm, c.RPN.Convs, c.Norm = true, true, 2, pyramid.NormTrain
	case strings.Contains(name, "-rcnn_r"):
		c.mmdetection(strings.HasPrefix(name, "cascade"))
	}
	return c, nil
}

// mobile are torchvision's settings with MobileNetV3: every level has all sizes.
func (c *Config) mobile(small bool) {
	sizes := []float64{32, 64, 128, 256, 512}
	c.RPN.Anchors.Sizes = [][]float64{sizes, sizes, sizes}
	if c.RPN.Score = 0.05; small {
		c.Transform.MinSize, c.Transform.MaxSize, c.InputSize = 320, 640, 320
		c.RPN.Test.Before, c.RPN.Test.After = 150, 150
	}
}

// mmdetection are the conventions by which MMDetection differs from torchvision.
func (c *Config) mmdetection(cascaded bool) {
	c.RPN.Anchors.Unrounded = true
	c.RPN.Matcher.Least, c.RPN.Beta = 0.3, 0
	c.RPN.Train.After = 1000
	c.Pool.Sampling, c.Pool.Aligned = 0, true
	c.Stages[0].Beta = 0
	if cascaded {
		c.RPN.Beta = smoothness
		c.RPN.Train.After = 2000
		c.Stages = cascade()
	}
}
