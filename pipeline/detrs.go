package pipeline

import (
	"strings"

	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/detection/detr"
	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/wildtrain"
)

// transformer is a detection transformer, which suppresses nothing: of the
// settings of post-processing it knows the threshold and the limit.
type transformer struct{ *detr.Model }

// Postprocess implements locator.
func (t transformer) Postprocess(p detection.Postprocess) { t.Model.Postprocess(setPostprocess(p)) }

func setPostprocess(p detection.Postprocess) detr.Postprocess {
	return detr.Postprocess{Conf: p.Conf, MaxDet: p.MaxDet}
}

// detrs are DETR, Deformable DETR and RT-DETR.
var detrs = family{
	architectures: detr.Architectures,
	canonical: func(name string) (string, error) {
		full, err := detr.Lookup(name)
		if err != nil {
			return "", errOther
		}
		return full, nil
	},
	imageSize: func(name string) int {
		c, err := detr.Default(name, nil)
		if err != nil {
			return 0
		}
		return c.InputSize
	},
	build: func(s Settings, classes []string, weights wildtrain.State, license string, c computing) (locator, error) {
		cfg, err := detr.Default(s.Model.Architecture, classes)
		if err != nil {
			return nil, err
		}
		name := cfg.Architecture
		cfg.Config = s.detector(classes, weights, license, c)
		cfg.Architecture, cfg.Postprocess = name, setPostprocess(s.Evaluate.Postprocess)
		put(&cfg.FrozenStages, s.Model.Pyramid.FrozenStages)
		if norm := s.Model.Pyramid.Norm; norm != pyramid.NormAuto || s.Model.scratch {
			frozen := norm == pyramid.NormFrozen // from random numbers norms have to learn
			cfg.FrozenNorm = &frozen
		}
		m, err := detr.New(cfg)
		if err != nil {
			return nil, err // not a nil *Model in an interface
		}
		return transformer{m}, nil
	},
	auto: func(s *Settings) {
		s.Optimizer = wildtrain.DefaultOptimizer("AdamW")
		s.Optimizer.LR, s.Optimizer.Momentum, s.Optimizer.WeightDecay, s.Loop.WarmupBiasLR = 1e-4, 0.9, 1e-4, 0
		if s.Loop.ClipNorm == wildtrain.DefaultConfig().ClipNorm {
			s.Loop.ClipNorm = 0.1
		}
	},
	classes: func(w wildtrain.State) int {
		for _, head := range transformerHeads {
			for _, name := range w.Names() {
				if info, ok := w.Info(name); ok && strings.HasSuffix(name, head.name) && len(info.Shape) == 1 {
					return int(info.Shape[0]) - head.extra
				}
			}
		}
		return 0
	},
}

// transformerHeads are the output biases of the class heads, under the names of
// the authors and of the transformers library, and how many outputs stand for no class.
var transformerHeads = []struct {
	name  string
	extra int
}{
	{"decoder.dec_score_head.0.bias", 0}, {"model.decoder.class_embed.0.bias", 0}, {"class_labels_classifier.bias", 1},
	{"class_embed.0.bias", 0}, {"class_embed.bias", 1},
}
