package dense

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch/vision"
)

// Config says what to build. Take Default and change it.
type Config struct {
	pyramid.Config
	Anchors    vision.Anchors
	Matcher    vision.Matcher // of RetinaNet
	Candidates int            // boxes per level that enter suppression
	Center     bool           // FCOS: one point per cell, distances to the sides, centre-ness
	Radius     float64        // FCOS: how far from an object's centre a point may lie, in cells
	Groups     bool           // group norm in the heads
	GIoU       bool           // RetinaNet: loss of boxes by their overlap, else L1 on their codes
	PerBatch   bool           // RetinaNet: losses over the objects of the batch (MMDetection), else of each picture
}

// Architectures lists the names that Default knows: torchvision's, and those of
// MMDetection's conventions.
func Architectures() []string {
	var out []string
	for _, form := range []string{"retinanet_resnet%s_fpn", "retinanet_resnet%s_fpn_v2", "fcos_resnet%s_fpn", "retinanet_r%s_fpn"} {
		for _, depth := range []string{"18", "34", "50", "101"} {
			out = append(out, fmt.Sprintf(form, depth))
		}
	}
	return out
}

// spelled is a name of MMDetection's with schedule and data set, as its files have them.
var spelled = regexp.MustCompile(`^(retinanet_r(?:18|34|50|101)_fpn)(?:_[12]x)?(?:_coco)?$`)

// Canonical is the name of Architectures that is meant: "retinanet_r50_fpn_1x_coco"
// is "retinanet_r50_fpn". ok is false where there is none.
func Canonical(name string) (canonical string, ok bool) {
	if m := spelled.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	return name, slices.Contains(Architectures(), name)
}

// Default returns the settings of an architecture.
func Default(architecture string, classes []string) (Config, error) {
	name, ok := Canonical(architecture)
	if !ok {
		return Config{}, fmt.Errorf("detection: unknown architecture %q: want one of %s", architecture, strings.Join(Architectures(), ", "))
	}
	depth := regexp.MustCompile(`_r(?:esnet)?(\d+)_`).FindStringSubmatch(name)[1]
	neck := pyramid.Neck{Body: "resnet" + depth, Levels: []int{1, 2, 3}, Extra: pyramid.P6P7}
	c := Config{
		Config: pyramid.Default(name, classes, neck), Candidates: 1000,
		Matcher: vision.Matcher{High: 0.5, Low: 0.4, LowQuality: true},
	}
	c.Detections = 300
	switch {
	case strings.HasPrefix(name, "fcos"):
		c.Center, c.Groups, c.Radius = true, true, 1.5
		c.Score, c.NMS, c.Detections = 0.2, 0.6, 100
		c.Anchors = vision.Anchors{Sizes: [][]float64{{8}, {16}, {32}, {64}, {128}}, Ratios: []float64{1}}
		return c, nil
	case strings.HasSuffix(name, "_v2"):
		c.Neck.Extra, c.Groups, c.GIoU, c.Norm = pyramid.P6P7ofC, true, true, pyramid.NormTrain
	case strings.Contains(name, "_r"+depth):
		c.Neck.Extra, c.Neck.Plain, c.PerBatch, c.Detections = pyramid.P6P7ofC, true, true, 100
		c.Anchors.Unrounded = true
	}
	c.Anchors.Ratios = []float64{0.5, 1, 2}
	for _, side := range []float64{32, 64, 128, 256, 512} {
		sizes := []float64{side, side * math.Cbrt(2), side * math.Cbrt(4)}
		if !c.Anchors.Unrounded {
			sizes[1], sizes[2] = math.Floor(sizes[1]), math.Floor(sizes[2])
		}
		c.Anchors.Sizes = append(c.Anchors.Sizes, sizes)
	}
	return c, nil
}

// Validate reports every problem of the settings at once.
func (c Config) Validate() error {
	errs := []error{c.Config.Validate()}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("detection: "+format, args...))
		}
	}
	check(c.Candidates > 0, "%d candidates per level, must be positive", c.Candidates)
	check(c.Center || c.Matcher.Low >= 0 && c.Matcher.Low <= c.Matcher.High && c.Matcher.High <= 1, "overlaps %g and %g: want 0 ≤ background ≤ object ≤ 1", c.Matcher.Low, c.Matcher.High)
	check(!c.Center || c.Radius > 0, "radius of centre sampling %g must be positive", c.Radius)
	return errors.Join(errs...)
}
