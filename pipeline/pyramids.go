package pipeline

import (
	"math"
	"strings"

	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/detection/dense"
	"github.com/wildtrain/sdk/detection/detr"
	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/detection/rcnn"
	"github.com/wildtrain/sdk/torch/vision"
	"github.com/wildtrain/sdk/wildtrain"
)

// Pyramid is what detectors on a feature pyramid (Faster, Mask and Cascade R-CNN,
// RetinaNet, FCOS) can be told besides; zero values and nil leave it to the
// architecture.
type Pyramid struct {
	MinSize, MaxSize int // to which pictures of their own size are brought; 0 takes ImageSize and 1333/800 of it
	Norm             pyramid.Norm
	NormEps          *float64
	FrozenStages     *int

	RPN      Assignment // which anchors are objects: of RPN and RetinaNet
	RCNN     Assignment // which proposals are objects; of a cascade its first stage's sampling
	Train    Proposals
	Test     Proposals
	Sampling *int64 // of RoIAlign: samples along a bin's side, 0 for as many as cells
}

// Assignment says what a box learns, in MMDetection's terms.
type Assignment struct {
	Positive, Negative, Least *float64 // pos_iou_thr, neg_iou_thr, min_pos_iou
	LowQuality                *bool    // match_low_quality
	Count                     *int     // num
	Share                     *float64 // pos_fraction
}

// Proposals say what the RPN passes on, in MMDetection's terms.
type Proposals struct {
	Before, After *int     // nms_pre, max_per_img
	NMS           *float64 // nms.iou_threshold
}

// pyramidOf reads what a configuration says under MMDetection's names.
func pyramidOf(m config.Model) Pyramid {
	assign := func(a config.Assign) Assignment {
		return Assignment{
			Positive: a.Assigner.PosIoUThr, Negative: a.Assigner.NegIoUThr, Least: a.Assigner.MinPosIoU, LowQuality: a.Assigner.MatchLowQuality,
			Count: a.Sampler.Num, Share: a.Sampler.PosFraction,
		}
	}
	propose := func(p config.Proposing) Proposals { return Proposals{p.NMSPre, p.MaxPerImg, p.NMS.IoUThreshold} }
	norms := map[string]pyramid.Norm{"train": pyramid.NormTrain, "frozen": pyramid.NormFrozen}
	return Pyramid{
		MinSize: m.MinSize, MaxSize: m.MaxSize, Norm: norms[strings.ToLower(m.Norm)], NormEps: m.NormEps, FrozenStages: m.FrozenStages,
		RPN: assign(m.TrainCfg.RPN), RCNN: assign(m.TrainCfg.RCNN), Train: propose(m.TrainCfg.RPNProposal), Test: propose(m.TestCfg.RPN),
	}
}

// put sets *at where there is a value.
func put[T any](at *T, v *T) {
	if v != nil {
		*at = *v
	}
}

func (a Assignment) apply(m *vision.Matcher, s *vision.Sampler) {
	put(&m.High, a.Positive)
	put(&m.Low, a.Negative)
	put(&m.Least, a.Least)
	put(&m.LowQuality, a.LowQuality)
	put(&s.Count, a.Count)
	put(&s.Positive, a.Share)
}

func (p Proposals) apply(to *rcnn.Proposals) {
	put(&to.Before, p.Before)
	put(&to.After, p.After)
	put(&to.NMS, p.NMS)
}

// pyramids are the detectors of packages rcnn and dense.
var pyramids = family{
	architectures: func() []string { return append(rcnn.Architectures(), dense.Architectures()...) },
	canonical: func(name string) (string, error) {
		if full, ok := rcnn.Canonical(name); ok {
			return full, nil
		}
		if full, ok := dense.Canonical(name); ok {
			return full, nil
		}
		return "", errOther
	},
	imageSize: func(name string) int {
		if c, err := rcnn.Default(name, nil); err == nil {
			return c.InputSize
		}
		return pyramid.DefaultTransform().MinSize
	},
	build: func(s Settings, classes []string, weights wildtrain.State, license string, c computing) (locator, error) {
		m, err := s.pyramid(classes, weights, license, c)
		if err != nil {
			return nil, err // not a nil *Detector in an interface
		}
		return m, nil
	},
	classes: func(w wildtrain.State) int {
		for name, count := range map[string]func(int) int{
			"roi_heads.box_predictor.cls_score.bias":   func(n int) int { return n - 1 },
			"roi_heads.box_predictor.0.cls_score.bias": func(n int) int { return n - 1 },
			"head.classification_head.cls_logits.bias": func(n int) int { return n / anchorsOf(w) },
		} {
			if n := pyramid.Count(w, name); n > 0 {
				return count(n)
			}
		}
		return 0
	},
}

// anchorsOf is the number of anchors per cell that a one-stage head's boxes tell.
func anchorsOf(w wildtrain.State) int {
	const corners = 4
	return max(pyramid.Count(w, "head.regression_head.bbox_reg.bias")/corners, 1)
}

// learnsMasks tells an architecture that cannot do without outlines.
func learnsMasks(architecture string) bool {
	if c, err := rcnn.Default(architecture, nil); err == nil {
		return c.Mask
	}
	a, err := detection.LookupArchitecture(architecture)
	return err == nil && a.Masks()
}

// backboneOf is the classifier whose weights a detector can begin from; "" for other architectures.
func backboneOf(architecture string) string {
	if c, err := rcnn.Default(architecture, nil); err == nil {
		return c.Neck.Body
	}
	if c, err := dense.Default(architecture, nil); err == nil {
		return c.Neck.Body
	}
	if c, err := detr.Default(architecture, nil); err == nil && c.Family != detr.RTDETR {
		return c.Backbone
	}
	return ""
}

func (s Settings) pyramid(classes []string, weights wildtrain.State, license string, c computing) (*pyramid.Detector, error) {
	if _, ok := dense.Canonical(s.Model.Architecture); ok {
		cfg, err := dense.Default(s.Model.Architecture, classes)
		if err != nil {
			return nil, err
		}
		s.tell(&cfg.Config, classes, weights, license, c)
		var none vision.Sampler // one-stage detectors learn from all anchors
		s.Model.Pyramid.RPN.apply(&cfg.Matcher, &none)
		return dense.New(cfg)
	}
	cfg, err := rcnn.Default(s.Model.Architecture, classes)
	if err != nil {
		return nil, err
	}
	s.tell(&cfg.Config, classes, weights, license, c)
	p := s.Model.Pyramid
	p.RPN.apply(&cfg.RPN.Matcher, &cfg.RPN.Sampler)
	p.Train.apply(&cfg.RPN.Train)
	p.Test.apply(&cfg.RPN.Test)
	p.RCNN.apply(&cfg.Stages[0].Matcher, &cfg.Stages[0].Sampler)
	for i := range cfg.Stages[1:] { // later stages keep their overlaps
		p.RCNN.apply(new(vision.Matcher), &cfg.Stages[i+1].Sampler)
	}
	return rcnn.New(cfg)
}

// tell gives the settings that all detectors on pyramids share. Thresholds stay
// the architecture's own until the detector is used.
func (s Settings) tell(cfg *pyramid.Config, classes []string, weights wildtrain.State, license string, c computing) {
	name, size := cfg.Architecture, cfg.InputSize
	cfg.Config = s.detector(classes, weights, license, c)
	cfg.Architecture, cfg.Seed = name, s.Seed
	p := s.Model.Pyramid
	if cfg.InputSize != size {
		ratio := float64(cfg.Transform.MaxSize) / float64(cfg.Transform.MinSize)
		cfg.Transform.MinSize, cfg.Transform.MaxSize = cfg.InputSize, int(math.Round(float64(cfg.InputSize)*ratio))
	}
	if p.MinSize > 0 {
		cfg.Transform.MinSize, cfg.Transform.MaxSize = p.MinSize, max(cfg.Transform.MaxSize, p.MinSize)
	}
	if p.MaxSize > 0 {
		cfg.Transform.MaxSize = p.MaxSize
	}
	if p.Norm != pyramid.NormAuto {
		cfg.Norm = p.Norm
	}
	put(&cfg.NormEps, p.NormEps)
	put(&cfg.FrozenStages, p.FrozenStages)
}
