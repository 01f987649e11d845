package datamodule

import (
	"errors"
	"fmt"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// Mixing blends the samples of a batch in pairs, each with the one before it;
// targets share their weight as the pictures share the pixels. At most one of
// both is done with a batch, mixup first.
type Mixing struct {
	MixUp       float64 `yaml:"mixup"`        // probability, per batch, of blending pictures (Zhang et al. 2018)
	MixUpAlpha  float64 `yaml:"mixup_alpha"`  // the share is drawn from Beta(alpha, alpha)
	CutMix      float64 `yaml:"cutmix"`       // probability, per batch, of a part from another picture (Yun et al. 2019)
	CutMixAlpha float64 `yaml:"cutmix_alpha"` // as above
}

// DefaultMixing is off, with the distributions of the papers.
func DefaultMixing() Mixing { return Mixing{MixUpAlpha: 0.2, CutMixAlpha: 1} }

// Validate reports every problem of the settings at once.
func (m Mixing) Validate() error {
	var errs []error
	bad := func(ok bool, key string, v float64, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("datamodule: %s is %v, must be %s", key, v, what))
		}
	}
	bad(m.MixUp >= 0 && m.MixUp <= 1, "mixup", m.MixUp, "between 0 and 1")
	bad(m.CutMix >= 0 && m.CutMix <= 1, "cutmix", m.CutMix, "between 0 and 1")
	bad(m.MixUp == 0 || m.MixUpAlpha > 0 && m.MixUpAlpha <= 1000, "mixup_alpha", m.MixUpAlpha, "positive")
	bad(m.CutMix == 0 || m.CutMixAlpha > 0 && m.CutMixAlpha <= 1000, "cutmix_alpha", m.CutMixAlpha, "positive")
	return errors.Join(errs...)
}

// apply mixes a batch in place.
func (m Mixing) apply(p wildtrain.Pixels, samples []wildtrain.Sample, r *xrand.Rand) {
	mixup := r.Bernoulli(m.MixUp)
	cutmix := r.Bernoulli(m.CutMix) && !mixup
	if !mixup && !cutmix || len(samples) < 2 {
		return
	}
	share := 1.0 // of each sample's own picture
	var join func(dst, other wildtrain.Image)
	if mixup {
		share = r.Beta(m.MixUpAlpha, m.MixUpAlpha)
		join = func(dst, other wildtrain.Image) { augment.Blend(dst.U8, other.U8, share) }
	} else {
		cut := augment.DrawCut(r, m.CutMixAlpha)
		share = 1 - cut.Share(p.Width, p.Height)
		join = cut.Paste
	}
	// From the last to the first, so that each still finds the one before as it
	// was; the first one's is the last, which is kept aside.
	size := p.Width * p.Height * p.Channels
	picture := func(i int) wildtrain.Image {
		return wildtrain.Image{Height: p.Height, Width: p.Width, Channels: p.Channels, U8: p.U8[i*size : (i+1)*size]}
	}
	last := picture(len(samples) - 1)
	last.U8 = append([]byte(nil), last.U8...)
	own := make([][]wildtrain.Target, len(samples))
	for i, s := range samples {
		own[i] = s.Targets
	}
	for i := len(samples) - 1; i > 0; i-- {
		join(picture(i), picture(i-1))
		samples[i].Targets = mixTargets(own[i], own[i-1], float32(share))
	}
	join(picture(0), last)
	samples[0].Targets = mixTargets(own[0], own[len(own)-1], float32(share))
}

// mixTargets weighs two lists of targets; a class of both is one target.
func mixTargets(a, b []wildtrain.Target, share float32) []wildtrain.Target {
	out := make([]wildtrain.Target, 0, len(a)+len(b))
	add := func(list []wildtrain.Target, weight float32) {
	next:
		for _, t := range list {
			t.Weight *= weight
			for i := range out {
				if out[i].Class == t.Class {
					out[i].Weight += t.Weight
					continue next
				}
			}
			out = append(out, t)
		}
	}
	add(a, share)
	add(b, 1-share)
	return out
}
