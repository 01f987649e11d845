package detr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/detection/base"
	"github.com/wildtrain/sdk/wildtrain"
)

// Family is one of the three designs.
type Family string

// The families.
const (
	DETR       Family = "detr"
	Deformable Family = "deformable_detr"
	RTDETR     Family = "rtdetr"
)

// Config says what to build. Take Default and change it.
//
// Weights may have the names of the authors' repositories (facebookresearch/detr,
// fundamentalvision/Deformable-DETR, lyuwenyu/RT-DETR) or those of the
// transformers library, as its models hold them in memory or as they are stored
// and published. Weights of a ResNet alone, of torchvision or timm, become the
// backbone's of DETR and Deformable DETR; they want Partial.
type Config struct {
	base.Config
	Family Family

	Backbone   string // "resnet50", …; for RT-DETR "r18vd", "r34vd", "r50vd" or "r101vd"
	FrozenNorm *bool  // batch norm of the backbone has fixed statistics and affine parameters; nil is as the Weights were made, whose counters of batches speak of norms that train, and true without any
	// FrozenStages is how much of the backbone does not train, as MMDetection
	// counts: −1 nothing, 0 the stem, n also the first n stages. The papers, which
	// begin at weights of ImageNet, have 1, and 0 for RT-DETR with ResNet-50.
	FrozenStages int
	BackboneRate float64 // factor of the learning rate in the backbone

	Hidden, Heads                          int64 // width of the transformer and its attention heads
	EncoderLayers, DecoderLayers           int
	EncoderHidden                          int64 // RT-DETR's width before the decoder
	EncoderFeedForward, DecoderFeedForward int64
	Dropout                                float64
	Queries                                int64
	Levels, Points                         int64   // of deformable attention: feature maps, and samples in each
	Refine                                 bool    // each decoder layer corrects the boxes of the one before (Deformable DETR)
	TwoStage                               bool    // queries begin at the encoder's proposals (Deformable DETR); wants Refine
	Expansion                              float64 // width of the inner blocks of RT-DETR's feature fusion
	Mean, Std                              [3]float64
	Loss                                   Loss
	Denoising                              Denoising
	Postprocess                            Postprocess
}

// Denoising sets RT-DETR's second group of queries in training: noised copies
// of the true boxes and classes, which the decoder is to repair.
type Denoising struct {
	Queries    int     // about how many per picture; 0 switches denoising off
	LabelNoise float64 // twice the share of classes that are replaced
	BoxNoise   float64 // most that a corner moves, in half sides; up to twice that in the negative copies
}

// imageNet are the channel statistics by which DETR's inputs are normalised.
var imageNet = [2][3]float64{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}}

// Architectures lists what Default knows.
func Architectures() []string {
	var out []string
	for _, a := range architectures {
		out = append(out, a.name)
	}
	return out
}

// architecture is a name with what it differs in from its family.
type architecture struct {
	name    string
	family  Family
	aliases []string // as transformers and MMDetection write it
	change  func(*Config)
}

var architectures = slices.Concat(
	plain("resnet18", "resnet34", "resnet50", "resnet101"),
	deformables("resnet18", "resnet34", "resnet50", "resnet101"),
	[]architecture{
		rtdetr("18", func(c *Config) { c.DecoderLayers, c.Expansion = 3, 0.5 }),
		rtdetr("34", func(c *Config) { c.DecoderLayers, c.Expansion = 4, 0.5 }),
		rtdetr("50", func(*Config) {}),
		rtdetr("101", func(c *Config) { c.EncoderHidden, c.EncoderFeedForward = 384, 2048 }),
	},
)

// short is "r50" for "resnet50".
func short(backbone string) string { return "r" + strings.TrimPrefix(backbone, "resnet") }

func plain(backbones ...string) []architecture {
	var out []architecture
	for _, b := range backbones {
		out = append(out, architecture{
			name: "detr_" + b, family: DETR,
			aliases: []string{"facebook/detr-resnet-" + strings.TrimPrefix(b, "resnet"), "detr_" + short(b), "detr_" + short(b) + "_8xb2-150e_coco"},
			change:  func(c *Config) { c.Backbone = b },
		})
	}
	return out
}

func deformables(backbones ...string) []architecture {
	var out []architecture
	for _, b := range backbones {
		for _, v := range []struct {
			suffix, hub, mm  string
			refine, twoStage bool
		}{{"", "", "", false, false}, {"_refine", "-with-box-refine", "-refine", true, false}, {"_two_stage", "-with-box-refine-two-stage", "-refine-twostage", true, true}} {
			a := architecture{
				name: "deformable_detr_" + b + v.suffix, family: Deformable,
				aliases: []string{"deformable-detr" + v.mm + "_" + short(b), "deformable-detr" + v.mm + "_" + short(b) + "_16xb2-50e_coco"},
				change:  func(c *Config) { c.Backbone, c.Refine, c.TwoStage = b, v.refine, v.twoStage },
			}
			if b == "resnet50" {
				a.aliases = append(a.aliases, "SenseTime/deformable-detr"+v.hub)
			}
			out = append(out, a)
		}
	}
	return out
}

func rtdetr(depth string, change func(*Config)) architecture {
	return architecture{
		name: "rtdetr_r" + depth + "vd", family: RTDETR,
		aliases: []string{"PekingU/rtdetr_r" + depth + "vd", "rtdetr_r" + depth, "rt_detr_r" + depth + "vd", "rtdetr_r" + depth + "vd_8xb2-72e_coco", "rtdetr_r" + depth + "vd_6x_coco"},
		change:  func(c *Config) { c.Backbone = "r" + depth + "vd"; change(c) },
	}
}

// Lookup returns the full name of an architecture, which may be spelled as
// transformers or MMDetection do ("facebook/detr-resnet-50", "detr_r50_8xb2-150e_coco").
func Lookup(name string) (string, error) {
	if a := find(name); a != nil {
		return a.name, nil
	}
	return "", fmt.Errorf("detr: look up %q: no such architecture; there are %s", name, strings.Join(Architectures(), ", "))
}

// find ignores case, and does not tell dashes from underscores or an owner's
// prefix from none.
func find(name string) *architecture {
	plain := func(s string) string {
		_, bare, owned := strings.Cut(s, "/")
		if !owned {
			bare = s
		}
		return strings.ReplaceAll(strings.ToLower(bare), "-", "_")
	}
	for i := range architectures {
		a := &architectures[i]
		if slices.ContainsFunc(append([]string{a.name}, a.aliases...), func(s string) bool { return plain(s) == plain(name) }) {
			return a
		}
	}
	return nil
}

// Default returns the settings of the papers for an architecture that Lookup
// knows, in float32 on the CPU.
func Default(name string, classes []string) (Config, error) {
	a := find(name)
	if a == nil {
		_, err := Lookup(name)
		return Config{}, err
	}
	c := Config{
		Config: base.DefaultConfig(a.name, classes, 800), Family: a.family,
		FrozenStages: -1, BackboneRate: 0.1, Hidden: 256, Heads: 8,
		EncoderLayers: 6, DecoderLayers: 6, EncoderFeedForward: 1024, DecoderFeedForward: 1024, Dropout: 0.1,
		Queries: 300, Levels: 4, Points: 4, Mean: imageNet[0], Std: imageNet[1], Loss: defaultLoss(a.family), Postprocess: Postprocess{MaxDet: 100},
	}
	switch a.family {
	case DETR:
		c.Queries, c.EncoderFeedForward, c.DecoderFeedForward = 100, 2048, 2048
	case RTDETR:
		c.InputSize, c.EncoderLayers, c.EncoderHidden, c.Levels, c.Dropout, c.Expansion = 640, 1, 256, 3, 0, 1
		c.Mean, c.Std = [3]float64{}, [3]float64{1, 1, 1}
		c.Denoising = Denoising{Queries: 100, LabelNoise: 0.5, BoxNoise: 1}
		c.Postprocess.MaxDet = 300
	}
	a.change(&c)
	return c, nil
}

// Validate reports every problem of the settings at once.
func (c Config) Validate() error {
	errs := []error{c.Config.Validate(), c.Loss.validate(), c.Postprocess.validate()}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("detr: "+format, args...))
		}
	}
	check(c.Family == DETR || c.Family == Deformable || c.Family == RTDETR, "no family %q", c.Family)
	check(c.Heads > 0 && c.Hidden > 0 && c.Hidden%max(c.Heads, 1) == 0, "%d heads do not divide a width of %d", c.Heads, c.Hidden)
	check(c.Hidden%4 == 0, "a width of %d is no multiple of 4, which the position's sines and cosines of x and y want", c.Hidden)
	check(c.Family != Deformable || c.Hidden%normGroups == 0, "a width of %d is no multiple of the %d groups of its norms", c.Hidden, normGroups)
	check(c.EncoderLayers >= 0 && c.DecoderLayers > 0, "%d encoder and %d decoder layers", c.EncoderLayers, c.DecoderLayers)
	check(c.Family != RTDETR || c.EncoderHidden > 0 && c.EncoderHidden%4 == 0 && c.EncoderHidden%max(c.Heads, 1) == 0, "%d heads and sines of x and y do not divide an encoder of width %d", c.Heads, c.EncoderHidden)
	check(c.Family != RTDETR || c.Expansion > 0, "expansion %g must be above 0", c.Expansion)
	check(c.EncoderFeedForward > 0 && c.DecoderFeedForward > 0, "feed-forward widths %d and %d must be above 0", c.EncoderFeedForward, c.DecoderFeedForward)
	check(c.Queries > 0, "%d queries", c.Queries)
	check(c.Family == DETR || c.Levels > 0 && c.Points > 0, "%d levels with %d points", c.Levels, c.Points)
	check(c.Dropout >= 0 && c.Dropout < 1, "dropout %g is not in 0..1", c.Dropout)
	check(!c.TwoStage || c.Refine, "two stages want box refinement")
	check(c.BackboneRate > 0, "the backbone's factor of the learning rate is %g: freeze it instead", c.BackboneRate)
	check(c.FrozenStages >= -1 && c.FrozenStages <= 4, "%d frozen stages: want −1 to 4", c.FrozenStages)
	check(c.Std[0] > 0 && c.Std[1] > 0 && c.Std[2] > 0, "standard deviations %v must be above 0", c.Std)
	d := c.Denoising
	check(d.Queries >= 0 && d.LabelNoise >= 0 && d.LabelNoise <= 2 && d.BoxNoise >= 0, "denoising with %d queries, label noise %g and box noise %g", d.Queries, d.LabelNoise, d.BoxNoise)
	return errors.Join(errs...)
}

// frozen are the names of the parts that FrozenStages is about.
func (c Config) frozen() []string {
	stem, stage := []string{"backbone.0.body.conv1", "backbone.0.body.bn1"}, "backbone.0.body.layer%d"
	first := 1
	if c.Family == RTDETR {
		stem, stage, first = []string{"backbone.conv1"}, "backbone.res_layers.%d", 0
	}
	if c.FrozenStages < 0 {
		return nil
	}
	for i := range c.FrozenStages {
		stem = append(stem, fmt.Sprintf(stage, first+i))
	}
	return stem
}

// hasCounters reports whether the backbone's norms in the weights counted batches.
func hasCounters(weights wildtrain.State) bool {
	return slices.ContainsFunc(weights.Names(), func(name string) bool {
		return strings.HasPrefix(name, "backbone.") && strings.HasSuffix(name, ".num_batches_tracked")
	})
}
