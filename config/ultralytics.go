package config

import (
	"path"
	"slices"
	"strings"
)

// setting is a key of this SDK with a value.
type setting struct {
	key   string
	value any
}

// below puts a prefix before the names of rules.
func below(prefix string, rules []migrationRule) []migrationRule {
	out := slices.Clone(rules)
	for i := range out {
		out[i].from = prefix + out[i].from
	}
	return out
}

// Reasons for names without counterpart.
const (
	byCommand    = "the command tells: train, evaluate, predict, export"
	ofClassify   = "acts on classifiers only there; here data.augment and model.dropout have keys of their own"
	ofOtherTasks = "of tasks that are not here: poses, rotated boxes, tracking, depth, distillation"
	ofExport     = "export has keys of its own"
	ofShowing    = "predict writes predictions.json and pictures; nothing is shown on a screen"
	ofMasks      = "masks are taken as they are annotated"
)

// ultralyticsArgs are the names of Ultralytics' arguments (8.3 and 8.4). The
// recipe has the same defaults here; what differs is told with the name.
var ultralyticsArgs = join(
	keep("", "training.", "epochs", "patience", "imgsz", "workers", "deterministic", "cos_lr", "val", "lr0", "lrf", "momentum", "weight_decay", "warmup_epochs",
		"warmup_momentum", "warmup_bias_lr", "box", "cls", "cls_pw", "dfl", "nbs", "optimizer", "label_smoothing", "time"),
	keep("", "data.augment.", "degrees", "translate", "scale", "shear", "perspective", "flipud", "fliplr", "hsv_h", "hsv_s", "hsv_v", "mosaic", "mixup", "cutmix", "copy_paste", "close_mosaic"),
	keep("", "evaluation.", "conf", "iou", "max_det", "half", "augment", "agnostic_nms", "split"),
	[]migrationRule{
		{from: "batch", spread: batchSize}, {from: "save_period", to: "training.save_period", change: notBelowZero},
		{from: "device", to: "training.device", change: deviceName}, {from: "cache", to: "data.cache", change: cacheName},
		{from: "freeze", to: "model.freeze", change: frozenParts}, {from: "multi_scale", to: "data.augment.multi_scale", change: multiScale},
		{from: "seed", to: "seed"}, {from: "rect", to: "data.rect", note: "of evaluation batches"},
		{from: "single_cls", to: "data.single_class", change: singleClass},
		{from: "amp", to: "training.precision", change: mixedPrecision},
		{from: "project", to: "runs"}, {from: "name", to: "name"},
	},
	drop(byCommand, "mode", "format"),
	drop("train resume=RUN goes on with a run", "resume"),
	drop("not among the augmentations here", "bgr", "copy_paste_mode"),
	drop(ofClassify, "auto_augment", "erasing", "dropout", "crop_fraction"),
	drop(ofMasks, "overlap_mask", "mask_ratio", "retina_masks"),
	drop("data.sampler.only lists the pictures to take", "fraction"),
	drop("data.keep names the classes to take", "classes"),
	drop("training.channels_last decides by itself", "channels_last"),
	drop("layers are matched by name and class heads by the classes' names", "cls_remap"),
	drop("evaluation always writes what the peer calls save_json", "save_json", "save_hybrid"),
	drop(ofOtherTasks, "pose", "kobj", "rle", "angle", "dlog", "dgrad", "dlam", "dis", "distill_model", "tracker", "vid_stride", "stream_buffer"),
	drop(ofExport, "keras", "optimize", "int8", "quantize", "dynamic", "simplify", "opset", "workspace", "dnn"),
	drop("says there whether an exported file suppresses; evaluation.nms=none answers without suppression, with YOLO26", "nms"),
	drop(ofShowing, "show", "save_frames", "save_txt", "save_conf", "save_crop", "show_labels", "show_conf", "show_boxes", "line_width", "visualize", "embed"),
	drop(meansNought, "save", "exist_ok", "verbose", "plots", "profile", "compile", "cfg", "save_dir"),
)

// ultralyticsFile are the names that only a whole file of arguments has.
var ultralyticsFile = []migrationRule{
	{from: "task", to: "task", change: taskName}, {from: "model", spread: modelOf}, {from: "data", to: "data.root"},
	{from: "source", to: "predict.source"}, {from: "pretrained", to: "model.weights", change: startingWeights},
}

// taskName turns a task's name into ours.
func taskName(n *Node) (*Node, string) {
	name := map[string]string{"detect": "detection", "segment": "detection", "classify": "classification"}[n.Text()]
	if name == "" {
		return nil, "no such task here: detection or classification"
	}
	return newNode(String, name, nil), ""
}

// modelOf reads what model= means: a file name of published weights or of an
// architecture, or a file of one's own.
func modelOf(n *Node) ([]setting, string) {
	text := strings.TrimSuffix(n.Text(), ".yaml")
	name, published := strings.CutSuffix(text, ".pt")
	if family := strings.TrimRight(name, "0123456789"); strings.ContainsAny(name, `/\`) || !strings.HasPrefix(family, "yolo") {
		if published || strings.HasSuffix(n.Text(), ".yaml") && strings.ContainsAny(name, `/\`) {
			key := map[bool]string{true: "model.weights", false: "model.architecture"}[published]
			return []setting{{key, n.Text()}}, ""
		}
	}
	if name = path.Base(name); !published {
		return []setting{{"model.architecture", name}}, "from random numbers"
	}
	return []setting{{"model.architecture", name}, {"model.pretrained", true}}, "published weights, by model.pretrained and with their licence; model.weights=FILE for a file"
}

// startingWeights takes pretrained where it names a file.
func startingWeights(n *Node) (*Node, string) {
	if n.kind == String && strings.HasSuffix(n.Text(), ".pt") {
		return n, "its tensors that fit, with model.partial=true"
	}
	return nil, "model tells: a .pt file or published weights, else random numbers"
}

// batchSize turns an automatic size, −1 or a share of the memory, into ours.
func batchSize(n *Node) ([]setting, string) {
	f, ok := asFloat(n.value)
	switch {
	case !ok:
		return nil, "must be a number"
	case f > 0 && f < 1:
		return []setting{{"training.batch", int64(-1)}, {"training.batch_memory", f}}, "as many as fit into this share of the memory"
	}
	return []setting{{"training.batch", n.value}}, ""
}

func notBelowZero(n *Node) (*Node, string) {
	if v, ok := n.value.(int64); ok && v < 0 {
		return newNode(Int, int64(0), nil), ""
	}
	return n, ""
}

// mixedPrecision turns the switch into the precision.
func mixedPrecision(n *Node) (*Node, string) {
	if b, ok := toBool(n.value); ok && b {
		return newNode(String, "auto", nil), "float16 on a GPU, bfloat16 on processors that have it"
	}
	return newNode(String, "fp32", nil), ""
}
