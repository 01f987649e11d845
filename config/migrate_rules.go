package config

import (
	"fmt"
	"strings"
)

// same-named keys below a prefix.
func keep(from, to string, names ...string) []migrationRule {
	var out []migrationRule
	for _, n := range names {
		out = append(out, migrationRule{from: from + n, to: to + n})
	}
	return out
}

// drop lists keys without counterpart and the common reason.
func drop(reason string, keys ...string) []migrationRule {
	var out []migrationRule
	for _, k := range keys {
		out = append(out, migrationRule{from: k, note: reason})
	}
	return out
}

func join(lists ...[]migrationRule) []migrationRule {
	var out []migrationRule
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// precisionName turns Lightning's names into ours.
func precisionName(n *Node) (*Node, string) {
	name := map[string]string{"32": "fp32", "32-true": "fp32", "16": "fp16", "16-mixed": "fp16", "bf16": "bf16", "bf16-mixed": "bf16"}[n.Text()]
	if name == "" {
		return nil, "no such precision here: fp32, bf16, fp16 or auto"
	}
	return newNode(String, name, nil), ""
}

// deviceName turns Lightning's and Ultralytics' names into ours.
func deviceName(n *Node) (*Node, string) {
	s := n.Text()
	switch {
	case s == "gpu" || s == "cuda":
		return newNode(String, "cuda", nil), ""
	case s == "":
		return newNode(String, "auto", nil), ""
	case s == "auto" || s == "cpu" || strings.HasPrefix(s, "cuda:"):
		return newNode(String, s, nil), ""
	case s != "" && strings.Trim(s, "0123456789") == "":
		return newNode(String, "cuda:"+s, nil), ""
	}
	return nil, "no such device here: auto, cpu, cuda or cuda:N"
}

// cacheName turns Ultralytics' cache switch into ours.
func cacheName(n *Node) (*Node, string) {
	switch text := n.Text(); text {
	case "True", "ram":
		return newNode(String, "ram", nil), ""
	case "disk":
		return newNode(String, "disk", nil), ""
	case "False":
		return newNode(String, "none", nil), ""
	}
	return nil, "no such cache here: none, ram or disk"
}

// multiScale turns Ultralytics' switch (a share in 8.4) into the change of the side.
func multiScale(n *Node) (*Node, string) {
	if n.kind == Float || n.kind == Int {
		return n, ""
	}
	if b, ok := toBool(n.value); ok && b {
		return newNode(Float, 0.5, nil), "times 1 ± 0.5"
	}
	return newNode(Float, 0.0, nil), ""
}

// frozenParts turns a number of YOLO's first parts, or a list of their numbers, into names.
func frozenParts(n *Node) (*Node, string) {
	out := newList(n.place)
	if n.kind == List {
		for _, item := range n.items {
			if item.kind == Int {
				item = newNode(String, "model."+item.Text(), item.place)
			}
			out.push(item)
		}
		return out, ""
	}
	parts, ok := n.value.(int64)
	if !ok || parts > 100 {
		return nil, "parts to freeze are named here: model.freeze=[model.0,model.1]"
	}
	for i := range parts {
		out.push(newNode(String, fmt.Sprintf("model.%d", i), nil))
	}
	return out, ""
}

// onlyHead is how a frozen backbone is told: no further block begins to train.
func onlyHead(n *Node) (*Node, string) {
	if b, ok := toBool(n.value); ok && b {
		return newNode(Int, int64(1_000_000), nil), "only the head trains"
	}
	return newNode(Int, int64(0), nil), ""
}

// backboneName turns timm's full name into an architecture's.
func backboneName(n *Node) (*Node, string) {
	name, tag, _ := strings.Cut(n.Text()[strings.LastIndexByte(n.Text(), '/')+1:], ".")
	note := ""
	if tag != "" {
		note = "model.pretrained=" + tag + " names the weights"
	}
	return newNode(String, name, nil), note
}

// monitorName turns the names of the reference's validation values into ours.
func monitorName(n *Node) (*Node, string) {
	name := map[string]string{
		"val_loss": "val/loss", "val_accuracy": "accuracy", "val_precision": "precision_macro", "val_recall": "recall_macro", "val_f1score": "F1_macro",
	}[n.Text()]
	if name == "" {
		return nil, "no value of that name: training.monitor takes accuracy, F1_macro, val/loss and others"
	}
	return newNode(String, name, nil), ""
}

// datasetFormat tells where crops come from.
func datasetFormat(n *Node) (*Node, string) {
	switch n.Text() {
	case "roi":
		return newNode(String, "roi", nil), ""
	case "crop":
		return newNode(String, "wildata", nil), "crops are cut while loading"
	}
	return nil, "was roi or crop"
}

// rebalanced turns the switch into the method that it stood for.
func rebalanced(n *Node) (*Node, string) {
	if b, ok := toBool(n.value); ok && b {
		return newNode(String, "mean", nil), ""
	}
	return newNode(String, "none", nil), ""
}

// searched turns a list of values into a choice of a search space.
func searched(n *Node) (*Node, string) {
	if n.kind != List || len(n.items) == 0 {
		return nil, "was no list of values"
	}
	var values []string
	for _, item := range n.items {
		values = append(values, overrideText(item.value))
	}
	return newNode(String, "choice("+strings.Join(values, ",")+")", nil), ""
}

// searchedBackbones is searched with architectures' names.
func searchedBackbones(n *Node) (*Node, string) {
	for i, item := range n.items {
		name, _ := backboneName(item)
		n.put(i, name)
	}
	return searched(n)
}

// singleClass turns the switch into the class's name.
func singleClass(n *Node) (*Node, string) {
	if b, ok := toBool(n.value); ok && b {
		return newNode(String, "wildlife", nil), "the one class needs a name: change it"
	}
	return nil, "false: all classes stay, which is the default"
}

const savesAnyway = "last and best are always saved, whole and resumable"

const (
	oneCommand  = "stages are commands here, not switches of a file"
	elsewhere   = "exported predictions are files here (COCO JSON); load them into the viewer of your choice"
	byData      = "the data's own layout tells"
	unused      = "accepted and unused by the reference"
	meansNought = "has no meaning here"
	mergedBy    = "roots are merged by class name while loading, nothing is written"
)

var mlflowRules = []migrationRule{
	{from: "mlflow.experiment_name", to: "experiment_name"}, {from: "mlflow.run_name", to: "tracking.run_name"},
	{from: "mlflow.alias", to: "tracking.alias", note: "given where tracking.register names the model"}, {from: "mlflow.name", to: "tracking.register"},
	{from: "mlflow.tracking_uri", to: "tracking.uri", note: "runs are logged there with tracking=mlflow"}, {from: "mlflow.log_model", to: "tracking.artifacts"},
	{from: "mlflow.dwnd_location", note: "downloads go where the command says"},
}

// detectionData are the keys of a dataset for detectors.
var detectionData = []migrationRule{
	{from: "dataset.root_data_directory", to: "data.root"}, {from: "dataset.data_cfg", to: "data.root"},
	{from: "dataset.load_as_single_class", to: "data.single_class", change: singleClass},
	{from: "dataset.keep_classes", to: "data.keep"}, {from: "dataset.discard_classes", to: "data.discard"},
	{from: "dataset.force_merge", note: mergedBy},
}

// customYOLO are the keys of auxiliary losses; they act with use_custom_yolo.
var customYOLO = func() []migrationRule {
	model, training := "model.auxiliary.", "training."
	rules := below("custom_yolo_kwargs.", join(
		keep("", model, "count_regressor_layers", "area_regressor_layers", "roi_classifier_layers.p3", "roi_classifier_layers.p4", "box_size"),
		keep("", training, "count_loss_weight", "area_loss_weight", "fp_tp_loss_weight", "pos_weight"),
		[]migrationRule{{from: "image_encoder_backbone", to: model + "image_encoder_backbone", change: encoderName}},
		drop("the name of the architecture tells", "image_encoder_backbone_source"),
	))
	for i := range rules {
		rules[i].when = "use_custom_yolo"
	}
	return append(rules, migrationRule{from: "use_custom_yolo", spread: customDefaults})
}()

// encoderName is a backbone's name, whose weights the reference fetched.
func encoderName(n *Node) (*Node, string) {
	name, _ := backboneName(n)
	return name, "of random numbers, unless model.auxiliary.image_encoder_weights names a file"
}

// customDefaults are the reference's, where use_custom_yolo is on.
func customDefaults(n *Node) ([]setting, string) {
	if b, ok := toBool(n.value); !ok || !b {
		return nil, "false: no auxiliary losses"
	}
	return []setting{
		{"training.count_loss_weight", 0.5}, {"training.area_loss_weight", 0.25}, {"training.fp_tp_loss_weight", 0.5},
		{"model.auxiliary.count_regressor_layers", int64(13)}, {"model.auxiliary.area_regressor_layers", int64(10)},
		{"model.auxiliary.roi_classifier_layers.p3", int64(13)}, {"model.auxiliary.roi_classifier_layers.p4", int64(10)},
	}, "the reference's defaults, where custom_yolo_kwargs does not say otherwise; its image encoder is not fetched"
}

// oneClass are the keys of a dataset for classifiers that have one class.
var oneClass = []migrationRule{
	{from: "dataset.single_class.enable", note: "data.single_class is on where it names a class"},
	{from: "dataset.single_class.keep_classes", to: "data.keep", when: "dataset.single_class.enable"},
	{from: "dataset.single_class.discard_classes", to: "data.discard", when: "dataset.single_class.enable"},
	{from: "dataset.single_class.single_class_name", to: "data.single_class", when: "dataset.single_class.enable"},
	{from: "dataset.single_class.background_class_name", to: "data.crops.background", when: "dataset.single_class.enable"},
}

var classifierRules = join([]migrationRule{
	{from: "dataset.root_data_directory", to: "data.root"}, {from: "dataset.dataset_type", to: "data.format", change: datasetFormat},
	{from: "dataset.batch_size", to: "training.batch"}, {from: "dataset.num_workers", to: "data.workers"},
	{from: "dataset.input_size", to: "training.imgsz"}, {from: "model.input_size", to: "training.imgsz"},
	{from: "dataset.crop_size", to: "data.crops.size"}, {from: "dataset.max_tn_crops", to: "data.crops.background_negatives"},
	{from: "dataset.transforms.train", to: "data.transforms"}, {from: "dataset.transforms.val", to: "data.eval_transforms"},
	{from: "dataset.rebalance", to: "data.sampler.rebalance", change: rebalanced},
	{from: "dataset.curriculum_config.enabled", to: "data.curriculum.enabled"}, {from: "dataset.curriculum_config.difficulty_strategy", to: "data.curriculum.strategy"},
	{from: "dataset.curriculum_config.start_difficulty", to: "data.curriculum.start_difficulty"}, {from: "dataset.curriculum_config.end_difficulty", to: "data.curriculum.end_difficulty"},
	{from: "dataset.curriculum_config.warmup_epochs", to: "data.curriculum.warmup_epochs"},
	{from: "model.backbone", to: "model.architecture", change: backboneName}, {from: "model.pretrained", to: "model.pretrained"}, {from: "model.weights", to: "model.weights"},
	{from: "model.dropout", to: "model.head.dropout"}, {from: "model.hidden_dim", to: "model.head.hidden_dim"}, {from: "model.num_layers", to: "model.head.num_layers"},
	{from: "model.freeze_backbone", to: "training.unfreeze_every", change: onlyHead},
	{from: "model.mean", to: "model.mean", note: "applied once; the reference normalised twice"}, {from: "model.std", to: "model.std", note: "applied once"},
	{from: "train.epochs", to: "training.epochs"}, {from: "train.lr", to: "training.lr0"}, {from: "train.lrf", to: "training.lrf"}, {from: "train.weight_decay", to: "training.weight_decay"},
	{from: "train.label_smoothing", to: "training.label_smoothing"},
	{from: "train.precision", to: "training.precision", change: precisionName}, {from: "train.accelerator", to: "training.device", change: deviceName}, {from: "train.num_workers", to: "training.workers"},
	{from: "checkpoint.monitor", to: "training.monitor", change: monitorName}, {from: "checkpoint.mode", to: "training.mode"}, {from: "checkpoint.patience", to: "training.patience"},
}, oneClass,
	drop("model.mean and model.std count", "dataset.stats.mean", "dataset.stats.std"),
	drop("the name of the architecture tells", "model.backbone_source"),
	drop("there is one kind of difficulty", "dataset.curriculum_config.type"),
	drop("every epoch is logged", "dataset.curriculum_config.log_frequency"),
	drop("difficulties are computed where a curriculum needs them", "dataset.compute_difficulties"),
	drop(unused, "dataset.p_draw_annotations", "dataset.preserve_aspect_ratio", "train.batch_size"),
	drop("every epoch is validated", "train.val_check_interval"),
	drop(savesAnyway, "checkpoint.dirpath", "checkpoint.filename", "checkpoint.save_top_k", "checkpoint.save_last", "checkpoint.save_weights_only"),
	drop("any better value counts", "checkpoint.min_delta"),
)

// migrationConstants are settings that the reference's trainers have fixed.
var migrationConstants = map[string][]setting{
	"classification": {{"model.framework", "classification"}, {"training.optimizer", "Adam"}, {"training.cos_lr", true}, {"training.warmup_epochs", 0.0}},
}

// migrationRules cover every key of the reference's schemas, by kind of file.
var migrationRules = map[string][]migrationRule{
	"any": join(mlflowRules, []migrationRule{{from: "name", to: "name"}, {from: "project", to: "runs"}, {from: "seed", to: "seed"}},
		drop("debug runs are training=quick here", "debug"), drop("results go into the run's folder", "results_dir")),
	"ultralytics": join(ultralyticsFile, ultralyticsArgs),
	"detection": join(below("train.", ultralyticsArgs), detectionData, []migrationRule{
		{from: "model.pretrained", to: "model.pretrained"}, {from: "model.weights", to: "model.weights"}, {from: "model.architecture_file", to: "model.architecture"},
		{from: "curriculum.enable", to: "data.curriculum.enabled"},
		{from: "curriculum.ratios", to: "data.curriculum.ratios", note: "with data.curriculum.enabled=true"}, {from: "curriculum.epochs", to: "data.curriculum.epochs"},
		{from: "curriculum.freeze", to: "data.curriculum.freeze"}, {from: "curriculum.lr0s", to: "data.curriculum.lr0s"},
		{from: "pretraining.data_cfg", to: "pretraining.root"}, {from: "pretraining.epochs", to: "pretraining.epochs"}, {from: "pretraining.lr0", to: "pretraining.lr0"},
		{from: "pretraining.lrf", to: "pretraining.lrf"}, {from: "pretraining.freeze", to: "pretraining.freeze"}, {from: "pretraining.save_dir", note: "a run folder beside the main one's"},
	}, customYOLO, drop("pictures are chosen while loading, nothing is written", "curriculum.save_dir"), drop("data.root counts", "curriculum.data_cfg")),
	"detection evaluation": join(detectionData, []migrationRule{
		{from: "weights.localizer", to: "model.weights"}, {from: "weights.classifier", note: "two-stage detection is composed in Go"},
		{from: "device", to: "training.device", change: deviceName},
		{from: "eval.imgsz", to: "training.imgsz"}, {from: "eval.split", to: "evaluation.split"}, {from: "eval.iou", to: "evaluation.iou"}, {from: "eval.conf", to: "evaluation.conf"},
		{from: "eval.max_det", to: "evaluation.max_det"}, {from: "eval.batch_size", to: "data.eval_batch"}, {from: "eval.num_workers", to: "data.workers"}, {from: "eval.rect", to: "data.rect"},
		{from: "eval.half", to: "evaluation.half", note: "unused by the reference"}, {from: "eval.augment", to: "evaluation.augment", note: "unused by the reference"},
		{from: "metrics.class_agnostic", to: "evaluation.agnostic_nms", note: "there it concerned the metric only"},
	}, drop(unused, "eval.single_cls", "eval.stride", "eval.classes", "eval.cache", "eval.multi_modal", "eval.verbose", "eval.task"),
		drop("the report holds all averages", "metrics.average")),
	"classification": classifierRules,
	"classification evaluation": join([]migrationRule{
		{from: "classifier", to: "model.weights"}, {from: "split", to: "evaluation.split"}, {from: "device", to: "training.device", change: deviceName}, {from: "batch_size", to: "data.eval_batch"},
		{from: "dataset.root", to: "data.root"},
		// keys of the reference's sample that its schema dropped
		{from: "dataset.root_data_directory", to: "data.root"}, {from: "dataset.transforms.val", to: "data.eval_transforms"}, {from: "input_size", to: "training.imgsz"},
	}, oneClass),
	"pipeline":      drop(oneCommand, "disable_train", "disable_eval", "train.config", "train.debug", "eval.config", "eval.debug"),
	"visualization": drop(elsewhere, "fiftyone.*", "label_studio.*", "localizer.*", "localizer", "classifier_weights", "dataset_name", "weights", "prediction_field", "batch_size", "device", "label_to_class_map.*", "label_to_class_map"),
	"registration": join([]migrationRule{
		{from: "processing.name", to: "tracking.register"}, {from: "processing.mlflow_tracking_uri", to: "tracking.uri"}, {from: "classifier.weights", to: "model.weights"}, {from: "localizer.yolo.weights", to: "model.weights"},
		{from: "classifier.weights_path", to: "model.weights"}, {from: "weights", to: "model.weights"}, // as the reference's samples have it
	}, drop("registered models keep their weights and a card; exports are a command of their own", "processing.*", "localizer.*", "localizer", "classifier.*", "classifier")),
	"inference": join([]migrationRule{{from: "mlflow_registry_name", to: "tracking.register"}, {from: "mlflow_alias", to: "tracking.alias"}, {from: "mlflow_tracking_uri", to: "tracking.uri"}},
		drop("there is no server here", "port", "workers_per_device", "mlflow_local_dir")),
	"sweep": join([]migrationRule{
		{from: "n_trials", to: "tune.trials"}, {from: "sweep_name", to: "tune.study"},
		{from: "parameters.model.backbone", param: "model.architecture", change: searchedBackbones}, {from: "parameters.model.dropout", param: "model.head.dropout", change: searched},
		{from: "parameters.train.lr", param: "training.lr0", change: searched}, {from: "parameters.train.lrf", param: "training.lrf", change: searched},
		{from: "parameters.train.label_smoothing", param: "training.label_smoothing", change: searched}, {from: "parameters.train.weight_decay", param: "training.weight_decay", change: searched},
		{from: "parameters.train.batch_size", param: "training.batch", change: searched, note: "had no effect in the reference"},
	}, drop("migrate it as well and list it in defaults", "base_config"), drop("the trials' own: training.epochs", "epochs")),
}
