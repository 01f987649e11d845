package pyramid

import (
	"regexp"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// adapt lets weights of other programs fit and settles what the weights tell: how
// the backbone normalises, and by which eps.
func (c *Config) adapt() {
	frozen := false
	if c.Weights != nil {
		v, bare := rename(c.Weights)
		tracked := slices.ContainsFunc(c.Weights.Names(), func(n string) bool {
			return strings.HasSuffix(n, "bn1.num_batches_tracked") || n == "backbone.body.0.1.num_batches_tracked"
		})
		frozen = bare || v.mmdet || !tracked
		if c.Norm == NormTrain {
			frozen = false
		} else if c.Norm == NormFrozen || frozen {
			v.untracked()
		}
		if c.NormEps < 0 && !bare && !v.mmdet && frozen && len(c.Classes)+1 >= firstCOCO && strings.Contains(c.Neck.Body, "resnet50") {
			c.NormEps = 0
		}
		c.Weights = v
	}
	if c.Norm == NormAuto {
		if c.Norm = NormTrain; frozen {
			c.Norm = NormFrozen
		}
	}
	if c.NormEps < 0 {
		c.NormEps = 1e-5
	}
	if c.FrozenStages == FrozenAuto {
		switch {
		case !frozen:
			c.FrozenStages = -1
		case strings.HasPrefix(c.Neck.Body, "resnet"):
			c.FrozenStages = 1
		default:
			c.FrozenStages = 2
		}
	}
}

// firstCOCO are the labels of torchvision's weights for COCO, whose first ones
// want batch norm with eps 0 in the ResNet-50.
const firstCOCO = 91

// view is a State under other names.
type view struct {
	wildtrain.State
	from  map[string]source
	names []string
	mmdet bool
}

// source is a tensor of the State behind a view.
type source struct {
	name  string
	first int64 // what comes before the rows: so many rows of zeros
	last  bool  // the last row goes first
}

func (v *view) Names() []string { return v.names }

func (v *view) Info(name string) (wildtrain.Info, bool) {
	f, ok := v.from[name]
	if !ok {
		return wildtrain.Info{}, false
	}
	info, ok := v.State.Info(f.name)
	if ok && f.first > 0 && len(info.Shape) > 0 {
		info.Shape = slices.Clone(info.Shape)
		info.Shape[0] += f.first
	}
	return info, ok
}

func (v *view) Read(name string, dst []byte) error {
	f := v.from[name]
	info, ok := v.State.Info(f.name)
	if !ok || len(info.Shape) == 0 || info.Shape[0] == 0 || !f.last && f.first == 0 {
		return v.State.Read(f.name, dst)
	}
	row := int(info.Bytes() / info.Shape[0])
	if f.last {
		if err := v.State.Read(f.name, dst); err != nil {
			return err
		}
		end := slices.Clone(dst[len(dst)-row:])
		copy(dst[row:], dst[:len(dst)-row])
		copy(dst, end)
		return nil
	}
	clear(dst[:row*int(f.first)])
	return v.State.Read(f.name, dst[row*int(f.first):])
}

// untracked leaves away the counters that FrozenBatchNorm2d does not have.
func (v *view) untracked() {
	v.names = slices.DeleteFunc(v.names, func(n string) bool {
		return strings.HasPrefix(n, "backbone.body.") && strings.HasSuffix(n, ".num_batches_tracked")
	})
}

// rule rewrites a name that its pattern matches.
type rule struct {
	pattern *regexp.Regexp
	to      string
	first   int64
	last    bool
}

func rules(pairs ...string) []rule {
	var out []rule
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, rule{pattern: regexp.MustCompile("^" + pairs[i] + "$"), to: pairs[i+1]})
	}
	return out
}

// older are the keys of torchvision before version 0.14.
var older = rules(
	`(rpn\.head\.conv)\.(weight|bias)`, "$1.0.0.$2",
	`(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)`, "$1.0.$2",
	`(roi_heads\.mask_head)\.mask_fcn1\.(weight|bias)`, "$1.0.0.$2",
	`(roi_heads\.mask_head)\.mask_fcn2\.(weight|bias)`, "$1.1.0.$2",
	`(roi_heads\.mask_head)\.mask_fcn3\.(weight|bias)`, "$1.2.0.$2",
	`(roi_heads\.mask_head)\.mask_fcn4\.(weight|bias)`, "$1.3.0.$2",
)

// olderRetina are RetinaNet's, whose convolutions had the even numbers of a list
// with rectifiers; FCOS' still look so.
var olderRetina = rules(
	`(head\.(?:classification|regression)_head\.conv)\.0\.(weight|bias)`, "$1.0.0.$2",
	`(head\.(?:classification|regression)_head\.conv)\.2\.(weight|bias)`, "$1.1.0.$2",
	`(head\.(?:classification|regression)_head\.conv)\.4\.(weight|bias)`, "$1.2.0.$2",
	`(head\.(?:classification|regression)_head\.conv)\.6\.(weight|bias)`, "$1.3.0.$2",
)

// ofClassifier are a classifier's, which has the backbone alone.
var ofClassifier = rules(
	`((?:conv1|bn1|layer\d)\..*)`, "backbone.body.$1",
	`features\.(.*)`, "backbone.body.$1",
)

// ofMMDetection are those of MMDetection's checkpoints, where the background is
// the last class and has neither boxes nor masks.
var ofMMDetection = slices.Concat(
	rules(
		`backbone\.((?:conv1|bn1|layer\d)\..*)`, "backbone.body.$1",
		`neck\.lateral_convs\.(\d+)\.conv\.(.*)`, "backbone.fpn.inner_blocks.$1.0.$2",
		`neck\.fpn_convs\.([0-3])\.conv\.(.*)`, "backbone.fpn.layer_blocks.$1.0.$2",
		`rpn_head\.rpn_conv\.(.*)`, "rpn.head.conv.0.0.$1",
		`rpn_head\.rpn_cls\.(.*)`, "rpn.head.cls_logits.$1",
		`rpn_head\.rpn_reg\.(.*)`, "rpn.head.bbox_pred.$1",
		`roi_head\.bbox_head\.shared_fcs\.0\.(.*)`, "roi_heads.box_head.fc6.$1",
		`roi_head\.bbox_head\.shared_fcs\.1\.(.*)`, "roi_heads.box_head.fc7.$1",
		`roi_head\.bbox_head\.(\d)\.shared_fcs\.0\.(.*)`, "roi_heads.box_head.$1.fc6.$2",
		`roi_head\.bbox_head\.(\d)\.shared_fcs\.1\.(.*)`, "roi_heads.box_head.$1.fc7.$2",
		`roi_head\.bbox_head\.(\d)\.fc_reg\.(.*)`, "roi_heads.box_predictor.$1.bbox_pred.$2",
		`roi_head\.mask_head\.convs\.(\d)\.conv\.(.*)`, "roi_heads.mask_head.$1.0.$2",
		`roi_head\.mask_head\.upsample\.(.*)`, "roi_heads.mask_predictor.conv5_mask.$1",
		`bbox_head\.cls_convs\.(\d)\.conv\.(.*)`, "head.classification_head.conv.$1.0.$2",
		`bbox_head\.reg_convs\.(\d)\.conv\.(.*)`, "head.regression_head.conv.$1.0.$2",
		`bbox_head\.retina_cls\.(.*)`, "head.classification_head.cls_logits.$1",
		`bbox_head\.retina_reg\.(.*)`, "head.regression_head.bbox_reg.$1",
	),
	[]rule{
		{regexp.MustCompile(`^roi_head\.bbox_head\.fc_cls\.(.*)$`), "roi_heads.box_predictor.cls_score.$1", 0, true},
		{regexp.MustCompile(`^roi_head\.bbox_head\.(\d)\.fc_cls\.(.*)$`), "roi_heads.box_predictor.$1.cls_score.$2", 0, true},
		{regexp.MustCompile(`^roi_head\.bbox_head\.fc_reg\.(.*)$`), "roi_heads.box_predictor.bbox_pred.$1", 4, false},
		{regexp.MustCompile(`^roi_head\.mask_head\.conv_logits\.(.*)$`), "roi_heads.mask_predictor.mask_fcn_logits.$1", 1, false},
	},
)

// extraLevels are the pyramid's convolutions beyond three lateral ones, which
// MMDetection numbers on.
var extraLevels = rules(
	`neck\.fpn_convs\.3\.conv\.(.*)`, "backbone.fpn.extra_blocks.p6.$1",
	`neck\.fpn_convs\.4\.conv\.(.*)`, "backbone.fpn.extra_blocks.p7.$1",
)

// rename sees weights under torchvision's present names; bare tells that they are
// a classifier's.
func rename(w wildtrain.State) (v *view, bare bool) {
	v = &view{State: w, from: map[string]source{}}
	names := w.Names()
	has := func(parts ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			return slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(n, p) })
		})
	}
	use := older
	if _, fcos := w.Info("head.regression_head.bbox_ctrness.weight"); !fcos {
		use = append(olderRetina[:len(olderRetina):len(olderRetina)], older...)
	}
	switch {
	case has("neck."):
		v.mmdet, use = true, ofMMDetection
		if !has("neck.lateral_convs.3.") {
			use = append(extraLevels[:len(extraLevels):len(extraLevels)], use...)
		}
	case !has("backbone."):
		bare, use = true, ofClassifier
	}
	for _, name := range names {
		to := source{name: name}
		now := name
		for _, r := range use {
			if r.pattern.MatchString(name) {
				now = r.pattern.ReplaceAllString(name, r.to)
				to.first, to.last = r.first, r.last
				break
			}
		}
		if bare && now == name {
			continue // the classifier's head
		}
		v.from[now] = to
		v.names = append(v.names, now)
	}
	slices.Sort(v.names)
	return v, bare
}

// Count is the number of rows that the named tensor has once weights are seen
// under torchvision's names; 0 where there is none.
func Count(w wildtrain.State, name string) int {
	v, _ := rename(w)
	info, ok := v.Info(name)
	if !ok || len(info.Shape) == 0 {
		return 0
	}
	return int(info.Shape[0])
}
