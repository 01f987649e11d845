package pipeline

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/wildtrain"
)

// locator is a network that finds objects.
type locator interface {
	network
	Postprocess(p detection.Postprocess) // which raw outputs become detections
}

// fuser is a locator that evaluates faster once told that it is not trained.
type fuser interface{ Fuse() error }

// summer is a model whose loss is a sum over the batch; that of others is a mean,
// so that the gradients of several batches have to be averaged.
type summer interface{ SumsLoss() bool }

// sumsLoss reports whether the gradients of several batches just add up.
func sumsLoss(m wildtrain.Model) bool {
	s, ok := m.(summer)
	return ok && s.SumsLoss()
}

// family is a kind of detector.
type family struct {
	architectures func() []string
	// canonical is the full name of an architecture; the error is errOther where
	// the name is none of this family's.
	canonical func(name string) (string, error)
	imageSize func(name string) int // side in px that the architecture is meant for
	build     func(s Settings, classes []string, weights wildtrain.State, license string, c computing) (locator, error)
	auto      func(s *Settings) // the optimiser "auto"; nil for what YOLO recipes have
	// classes is the number of classes that the shapes of stored weights tell; 0 where they are another family's.
	classes func(w wildtrain.State) int
}

// families are tried in this order; the first reads architecture files too.
var families = []family{yolos, pyramids, detrs}

var errOther = errors.New("pipeline: an architecture of another family")

// familyOf finds the family of an architecture.
func familyOf(architecture string) (family, error) {
	for _, f := range families {
		if _, err := f.canonical(architecture); !errors.Is(err, errOther) {
			return f, badSettings(err)
		}
	}
	return family{}, badSettings(fmt.Errorf("pipeline: unknown architecture %q: want one of %s, or a .yaml file", architecture, strings.Join(detectors(), ", ")))
}

// detectors are the names of all detectors.
func detectors() []string {
	var out []string
	for _, f := range families {
		out = append(out, f.architectures()...)
	}
	return out
}

// Architectures lists the names of all models: detectors, then classifiers.
func Architectures() []string { return append(detectors(), backbone.Names()...) }

// yolos are the detectors of package detection.
var yolos = family{
	architectures: detection.Architectures,
	canonical: func(name string) (string, error) {
		file := strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
		if !file && !slices.Contains(detection.Architectures(), name) {
			return "", errOther
		}
		a, err := detection.LookupArchitecture(name)
		if err != nil {
			return "", err
		}
		return a.Name, nil
	},
	imageSize: func(string) int { return 640 },
	build: func(s Settings, classes []string, weights wildtrain.State, license string, c computing) (locator, error) {
		cfg := detection.DefaultYOLO(s.Model.Architecture, classes)
		cfg.Config = s.detector(classes, weights, license, c)
		cfg.Gains, cfg.Postprocess, cfg.Auxiliary = s.Model.Gains, s.Evaluate.Postprocess, s.Model.Auxiliary
		if file := s.Model.EncoderWeights; file != "" {
			encoder, err := checkpoint.Open(file)
			if err != nil {
				return nil, err
			}
			defer encoder.Close()
			cfg.Auxiliary.EncoderWeights = encoder
		}
		m, err := detection.NewYOLO(cfg)
		if err != nil {
			return nil, err // not a nil *YOLO in an interface
		}
		return m, nil
	},
	classes: func(w wildtrain.State) int {
		for _, name := range w.Names() {
			if headBias.MatchString(name) {
				info, _ := w.Info(name)
				return int(info.Elements())
			}
		}
		return 0
	},
}

// headBias is the output bias of the class branch of a YOLO head.
var headBias = regexp.MustCompile(`^model\.\d+\.cv3\.0\.2\.bias$`)
