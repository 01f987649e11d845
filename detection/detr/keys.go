package detr

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// rename rewrites a part of a name.
type rename struct {
	from *regexp.Regexp
	to   string
}

// renames compiles pairs of a pattern and its replacement, applied in order.
func renames(pairs ...string) []rename {
	var out []rename
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, rename{regexp.MustCompile(pairs[i]), pairs[i+1]})
	}
	return out
}

// shared are the renames from the transformers library's names that all families
// begin with. That library itself knows two spellings: of models in memory
// (since its version 5) and of stored and published weights.
var shared = renames(
	`\.o_proj\.`, ".out_proj.",
	`\.(?:mlp\.)?fc([12])\.`, ".linear$1.",
	`^(model\.backbone\.)conv_encoder\.`, "$1",
)

// resnet are those of its own ResNets; with timm's, names are torchvision's.
var resnet = renames(
	`^model\.backbone\.model\.`, "backbone.0.body.",
	`\.embedder\.embedder\.convolution\.`, ".conv1.",
	`\.embedder\.embedder\.normalization\.`, ".bn1.",
	`\.shortcut\.convolution\.`, ".downsample.0.",
	`\.shortcut\.normalization\.`, ".downsample.1.",
)

var fromTransformers = map[Family][]rename{
	DETR: slices.Concat(shared, resnet, renames(
		`^model\.query_position_embeddings\.`, "query_embed.",
		`^model\.input_projection\.`, "input_proj.",
		`^model\.(encoder|decoder)\.`, "transformer.$1.",
		`\.self_attn_layer_norm\.`, ".norm1.",
		`\.encoder_attn_layer_norm\.`, ".norm2.",
		`(\.encoder\.layers\.\d+)\.final_layer_norm\.`, "$1.norm2.",
		`\.final_layer_norm\.`, ".norm3.",
		`\.decoder\.layernorm\.`, ".decoder.norm.",
		`\.encoder_attn\.`, ".multihead_attn.",
		`^class_labels_classifier\.`, "class_embed.",
		`^bbox_predictor\.`, "bbox_embed.",
	)),
	Deformable: slices.Concat(shared, resnet, renames(
		`^model\.query_position_embeddings\.`, "query_embed.",
		`^model\.input_proj\.`, "input_proj.",
		`^model\.`, "transformer.",
		`(\.encoder\.layers\.\d+)\.self_attn_layer_norm\.`, "$1.norm1.",
		`(\.encoder\.layers\.\d+)\.final_layer_norm\.`, "$1.norm2.",
		`\.encoder_attn_layer_norm\.`, ".norm1.",
		`\.self_attn_layer_norm\.`, ".norm2.",
		`\.final_layer_norm\.`, ".norm3.",
		`\.encoder_attn\.`, ".cross_attn.",
	)),
	RTDETR: slices.Concat(shared, renames(
		`^model\.backbone\.model\.encoder\.stages\.(\d+)\.layers\.`, "backbone.res_layers.$1.blocks.",
		`\.shortcut\.1\.`, ".short.conv.",
		`\.shortcut\.`, ".short.",
		`\.convolution\.`, ".conv.",
		`\.normalization\.`, ".norm.",
		`^model\.encoder_input_proj\.`, "encoder.input_proj.",
		`^model\.encoder\.aifi\.`, "encoder.encoder.",
		`^model\.encoder\.`, "encoder.",
		`^model\.decoder_input_proj\.(\d+)\.0\.`, "decoder.input_proj.$1.conv.",
		`^model\.decoder_input_proj\.(\d+)\.1\.`, "decoder.input_proj.$1.norm.",
		`^model\.decoder\.layers\.`, "decoder.decoder.layers.",
		`^model\.decoder\.class_embed\.`, "decoder.dec_score_head.",
		`^model\.decoder\.bbox_embed\.`, "decoder.dec_bbox_head.",
		`^model\.(decoder\.query_pos_head\.)`, "$1",
		`^model\.(denoising_class_embed|enc_output|enc_score_head|enc_bbox_head)\.`, "decoder.$1.",
		`\.self_attn_layer_norm\.`, ".norm1.",
		`\.encoder_attn_layer_norm\.`, ".norm2.",
		`^(encoder\..*)\.final_layer_norm\.`, "$1.norm2.",
		`\.final_layer_norm\.`, ".norm3.",
		`\.encoder_attn\.`, ".cross_attn.",
	)),
}

// Names whose last numbers count from one in one library and from none in the other.
var (
	vdStem   = regexp.MustCompile(`^model\.backbone\.model\.embedder\.embedder\.(\d+)\.`)
	vdBranch = regexp.MustCompile(`^(backbone\.res_layers\.\d+\.blocks\.\d+)\.layer\.(\d)\.`)
	stage    = regexp.MustCompile(`^(backbone\.0\.body)\.encoder\.stages\.(\d)\.layers\.(\d+)\.`)
	stageOf  = regexp.MustCompile(`^(backbone\.0\.body\.layer\d\.\d+)\.layer\.(\d)\.(convolution|normalization)\.`)
	third    = regexp.MustCompile(`\.([qkv])_proj\.(weight|bias)$`)
)

// renamed is the authors' name of a tensor of the transformers library.
func renamed(f Family, name string) string {
	name = vdStem.ReplaceAllStringFunc(name, func(s string) string {
		i, _ := strconv.Atoi(vdStem.FindStringSubmatch(s)[1])
		return fmt.Sprintf("backbone.conv1.conv1_%d.", i+1)
	})
	for _, r := range fromTransformers[f] {
		name = r.from.ReplaceAllString(name, r.to)
	}
	name = vdBranch.ReplaceAllStringFunc(name, func(s string) string {
		g := vdBranch.FindStringSubmatch(s)
		return fmt.Sprintf("%s.branch2%c.", g[1], 'a'+g[2][0]-'0')
	})
	name = stage.ReplaceAllStringFunc(name, func(s string) string {
		g := stage.FindStringSubmatch(s)
		return fmt.Sprintf("%s.layer%d.%s.", g[1], g[2][0]-'0'+1, g[3])
	})
	return stageOf.ReplaceAllStringFunc(name, func(s string) string {
		g := stageOf.FindStringSubmatch(s)
		kind := map[string]string{"convolution": "conv", "normalization": "bn"}[g[3]]
		return fmt.Sprintf("%s.%s%d.", g[1], kind, g[2][0]-'0'+1)
	})
}

// translate shows weights of the transformers library under the names of the
// family's authors: queries', keys' and values' projections joined in one.
// Weights of a ResNet alone, as torchvision and timm have them, become those of
// the backbone, whose norms then do not train. Weights that have the authors'
// names already stay as they are.
//
//	DETR           model.encoder.layers.0.self_attn.q_proj.weight, model.backbone.conv_encoder.model.layer1.…
//	               → transformer.encoder.layers.0.self_attn.in_proj_weight, backbone.0.body.layer1.…
//	Deformable     model.decoder.layers.0.encoder_attn.value_proj.weight
//	               → transformer.decoder.layers.0.cross_attn.value_proj.weight
//	RT-DETR        model.backbone.model.encoder.stages.1.layers.0.shortcut.1.convolution.weight
//	               → backbone.res_layers.1.blocks.0.short.conv.conv.weight
func translate(w wildtrain.State, f Family) wildtrain.State {
	if _, ok := w.Info("layer1.0.conv1.weight"); ok && f != RTDETR {
		return asBackbone(w)
	}
	if !slices.ContainsFunc(w.Names(), func(name string) bool { return strings.HasPrefix(name, "model.") }) {
		return w
	}
	t := &joinedState{from: w, parts: map[string][]string{}}
	for _, name := range w.Names() {
		to := renamed(f, name)
		place := 0
		if g := third.FindStringSubmatch(to); g != nil {
			place = strings.Index("qkv", g[1])
			to = third.ReplaceAllString(to, ".in_proj_$2")
		}
		t.add(to, place, name)
	}
	return t
}

// asBackbone shows a ResNet's weights, but for its head and counters.
func asBackbone(w wildtrain.State) wildtrain.State {
	t := &joinedState{from: w, parts: map[string][]string{}}
	for _, name := range w.Names() {
		if !strings.HasPrefix(name, "fc.") && !strings.HasSuffix(name, ".num_batches_tracked") {
			t.add("backbone.0.body."+name, 0, name)
		}
	}
	return t
}

// joinedState is a State whose tensors are one or several of another's, joined
// along the first dimension.
type joinedState struct {
	from  wildtrain.State
	parts map[string][]string // names in from; none for a counter that begins at zero
}

// add notes that a tensor's part at a place is from's tensor of a name.
func (t *joinedState) add(to string, place int, name string) {
	for len(t.parts[to]) <= place {
		t.parts[to] = append(t.parts[to], "")
	}
	t.parts[to][place] = name
}

// Names implements wildtrain.State.
func (t *joinedState) Names() []string {
	out := make([]string, 0, len(t.parts))
	for name := range t.parts {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Info implements wildtrain.State; a tensor that lacks a part is none.
func (t *joinedState) Info(name string) (wildtrain.Info, bool) {
	parts, ok := t.parts[name]
	if !ok {
		return wildtrain.Info{}, false
	}
	var out wildtrain.Info
	for i, p := range parts {
		info, ok := t.from.Info(p)
		switch {
		case !ok:
			return wildtrain.Info{}, false
		case i == 0:
			out = wildtrain.Info{DType: info.DType, Shape: slices.Clone(info.Shape)}
		case len(info.Shape) == 0 || info.DType != out.DType || !slices.Equal(info.Shape[1:], out.Shape[1:]):
			return wildtrain.Info{}, false
		default:
			out.Shape[0] += info.Shape[0]
		}
	}
	if len(parts) == 0 {
		out.DType = wildtrain.Int64
	}
	return out, true
}

// Read implements wildtrain.State.
func (t *joinedState) Read(name string, dst []byte) error {
	if info, ok := t.Info(name); !ok || info.Bytes() != int64(len(dst)) {
		return fmt.Errorf("detr: read %s: %d bytes", name, len(dst))
	}
	clear(dst)
	for _, p := range t.parts[name] {
		info, _ := t.from.Info(p)
		if err := t.from.Read(p, dst[:info.Bytes()]); err != nil {
			return err
		}
		dst = dst[info.Bytes():]
	}
	return nil
}

// Write implements wildtrain.State: what is joined cannot be written.
func (t *joinedState) Write(name string, _ []byte) error {
	return fmt.Errorf("detr: write %s: translated weights are read only", name)
}

// Heads that weights hold several times.
var (
	head     = regexp.MustCompile(`^(?:transformer\.decoder\.)?((?:class|bbox)_embed)\.(\d+)\.`)
	computed = regexp.MustCompile(`^decoder\.(anchors|valid_mask)$|^encoder\.pos_embed\d$`)
)

// tied makes the weights' view of what a model holds once or not at all the
// model's: Deformable DETR's heads, which files list per layer also where all
// layers share one, and again below the decoder; batch counters, which frozen
// norms have not and which others may lack; and what RT-DETR computes.
func tied(w wildtrain.State, c Config) wildtrain.State {
	t := &joinedState{from: w, parts: map[string][]string{}}
	for _, name := range w.Names() {
		counter := strings.HasPrefix(name, "backbone.") && strings.HasSuffix(name, ".num_batches_tracked")
		if computed.MatchString(name) || counter && *c.FrozenNorm {
			continue
		}
		to := name
		if g := head.FindStringSubmatchIndex(name); c.Family == Deformable && g != nil {
			to = name[g[2]:]
			if !c.Refine && name[g[4]:g[5]] != "0" {
				continue
			}
		}
		if _, ok := t.parts[to]; !ok || to == name {
			t.parts[to] = []string{name}
		}
		if norm, ok := strings.CutSuffix(to, ".running_mean"); ok && !(*c.FrozenNorm && strings.HasPrefix(to, "backbone.")) {
			if _, ok := w.Info(strings.TrimSuffix(name, "running_mean") + "num_batches_tracked"); !ok {
				t.parts[norm+".num_batches_tracked"] = []string{}
			}
		}
	}
	t.share(c)
	return t
}

// share gives layers without a head of their own the first one's, which stored
// weights of tied heads hold alone.
func (t *joinedState) share(c Config) {
	if c.Family != Deformable || !c.Refine {
		return
	}
	for _, name := range t.Names() {
		g := head.FindStringSubmatchIndex(name)
		if g == nil || name[g[4]:g[5]] != "0" {
			continue
		}
		for i := 1; i < c.DecoderLayers; i++ {
			other := name[:g[4]] + strconv.Itoa(i) + name[g[5]:]
			if _, ok := t.parts[other]; !ok {
				t.parts[other] = t.parts[name]
			}
		}
	}
}
