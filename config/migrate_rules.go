package config

import "strings"

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
	case s == "auto" || s == "cpu" || strings.HasPrefix(s, "cuda:"):
		return newNode(String, s, nil), ""
	case s != "" && strings.Trim(s, "0123456789") == "":
		return newNode(String, "cuda:"+s, nil), ""
	}
	return nil, "no such device here: auto, cpu, cuda or cuda:N"
}

// cacheName turns Ultralytics' cache switch into ours.
func cacheName(n *Node) (*Node, string) {
	switch n.Text() {
	case "True", "ram":
		return newNode(String, "ram", nil), ""
	case "False":
		return newNode(String, "none", nil), ""
	}
	return nil, "only a cache in memory exists here"
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
	noClassifier = "classifiers are not trained from a configuration file here: call the classification package"
	noPhases     = "a curriculum is a sequence of runs here: resume or begin from the weights of the one before"
	oneCommand   = "stages are commands here, not switches of a file"
	elsewhere    = "exported predictions are files here (COCO JSON); load them into the viewer of your choice"
	byData       = "the data's own layout tells"
)

var yoloTrain = join(
	keep("train.", "training.", "batch", "epochs", "optimizer", "lr0", "lrf", "momentum", "weight_decay", "warmup_epochs", "warmup_momentum", "warmup_bias_lr",
		"cos_lr", "patience", "imgsz", "box", "cls", "dfl", "workers", "deterministic", "save_period", "nbs", "val"),
	keep("train.", "data.augment.", "degrees", "mixup", "shear", "scale", "fliplr", "flipud", "hsv_h", "hsv_s", "hsv_v", "translate", "mosaic", "perspective", "close_mosaic"),
	[]migrationRule{
		{from: "train.device", to: "training.device", change: deviceName},
		{from: "train.cache", to: "data.cache", change: cacheName},
		{from: "train.seed", to: "seed"},
		{from: "train.iou", to: "evaluation.iou"},
		{from: "train.rect", to: "data.rect", note: "of evaluation batches"},
	},
	drop("not among the augmentations here", "train.cutmix", "train.copy_paste", "train.erasing", "train.multi_scale", "train.bgr", "train.auto_augment"),
	drop("parts to freeze are named here (model.freeze takes name prefixes), not counted", "train.freeze"),
	drop("set by training.precision", "train.amp", "train.half"),
	drop("follows from data.single_class", "train.single_cls"),
	drop("has no meaning here", "train.verbose", "train.plots", "train.save", "train.exist_ok", "train.time", "train.fraction"),
)

var mlflowRules = []migrationRule{
	{from: "mlflow.experiment_name", to: "experiment_name"}, {from: "mlflow.run_name", to: "tracking.run_name"},
	{from: "mlflow.alias", to: "tracking.alias", note: "given where tracking.register names the model"}, {from: "mlflow.name", to: "tracking.register"},
	{from: "mlflow.tracking_uri", to: "tracking.uri"}, {from: "mlflow.log_model", to: "tracking.artifacts"},
	{from: "mlflow.dwnd_location", note: "downloads go where the command says"},
}

// migrationRules cover every key of the reference's schemas, by kind of file.
var migrationRules = map[string][]migrationRule{
	"any": join(mlflowRules, []migrationRule{{from: "name", to: "name"}, {from: "project", to: "runs"}, {from: "seed", to: "seed"}},
		drop("debug runs are training=quick here", "debug"), drop("results go into the run's folder", "results_dir")),
	"detection": join(yoloTrain, []migrationRule{
		{from: "dataset.root_data_directory", to: "data.root"}, {from: "dataset.data_cfg", to: "data.root"},
		{from: "dataset.load_as_single_class", to: "data.single_class", change: singleClass},
		{from: "dataset.keep_classes", to: "data.keep"}, {from: "dataset.discard_classes", to: "data.discard"},
		{from: "dataset.force_merge", note: "roots are merged while loading, nothing is written"},
		{from: "model.pretrained", to: "model.pretrained"}, {from: "model.weights", to: "model.weights"}, {from: "model.architecture_file", to: "model.architecture"},
	}, drop(noPhases, "curriculum.*", "pretraining.*"), drop("own architectures are .yaml files here: model.architecture", "use_custom_yolo", "custom_yolo_kwargs.*", "custom_yolo_kwargs")),
	"detection evaluation": join([]migrationRule{
		{from: "weights.localizer", to: "model.weights"}, {from: "weights.classifier", note: "two-stage detection is composed in Go"},
		{from: "dataset.root_data_directory", to: "data.root"}, {from: "dataset.data_cfg", to: "data.root"},
		{from: "dataset.load_as_single_class", to: "data.single_class", change: singleClass},
		{from: "dataset.keep_classes", to: "data.keep"}, {from: "dataset.discard_classes", to: "data.discard"}, {from: "dataset.force_merge", note: "roots are merged while loading, nothing is written"},
		{from: "device", to: "training.device", change: deviceName},
		{from: "eval.imgsz", to: "training.imgsz"}, {from: "eval.split", to: "evaluation.split"}, {from: "eval.iou", to: "evaluation.iou"}, {from: "eval.conf", to: "evaluation.conf"},
		{from: "eval.max_det", to: "evaluation.max_det"}, {from: "eval.batch_size", to: "data.eval_batch"}, {from: "eval.num_workers", to: "data.workers"}, {from: "eval.rect", to: "data.rect"},
	}, drop("accepted and unused by the reference", "eval.single_cls", "eval.half", "eval.stride", "eval.classes", "eval.cache", "eval.multi_modal", "eval.verbose", "eval.augment", "eval.task"),
		drop("the report holds all averages", "metrics.*")),
	"classification": join([]migrationRule{
		{from: "dataset.root_data_directory", to: "data.root"}, {from: "dataset.batch_size", to: "training.batch"}, {from: "dataset.num_workers", to: "data.workers"},
		{from: "dataset.single_class.keep_classes", to: "data.keep"}, {from: "dataset.single_class.discard_classes", to: "data.discard"}, {from: "dataset.single_class.single_class_name", to: "data.single_class"},
		{from: "model.weights", to: "model.weights"}, {from: "model.pretrained", to: "model.pretrained"},
		{from: "train.epochs", to: "training.epochs"}, {from: "train.lr", to: "training.lr0"}, {from: "train.lrf", to: "training.lrf"}, {from: "train.weight_decay", to: "training.weight_decay"},
		{from: "train.precision", to: "training.precision", change: precisionName}, {from: "train.accelerator", to: "training.device", change: deviceName}, {from: "train.num_workers", to: "training.workers"},
		{from: "checkpoint.monitor", to: "training.monitor"}, {from: "checkpoint.mode", to: "training.mode"}, {from: "checkpoint.patience", to: "training.patience"},
	}, drop(byData, "dataset.dataset_type", "dataset.single_class.enable", "dataset.single_class.background_class_name"),
		drop("unused by the reference: dataset.batch_size counts", "train.batch_size"),
		drop("every epoch is validated", "train.val_check_interval"),
		drop(savesAnyway, "checkpoint.dirpath", "checkpoint.filename", "checkpoint.save_top_k", "checkpoint.save_last", "checkpoint.save_weights_only", "checkpoint.min_delta"),
		drop(noClassifier, "dataset.*", "model.*", "train.label_smoothing")),
	"classification evaluation": join([]migrationRule{
		{from: "classifier", to: "model.weights"}, {from: "split", to: "evaluation.split"}, {from: "device", to: "training.device", change: deviceName}, {from: "batch_size", to: "data.eval_batch"},
		{from: "dataset.root", to: "data.root"}, {from: "dataset.single_class.keep_classes", to: "data.keep"}, {from: "dataset.single_class.discard_classes", to: "data.discard"}, {from: "dataset.single_class.single_class_name", to: "data.single_class"},
	}, drop(byData, "dataset.single_class.enable", "dataset.single_class.background_class_name")),
	"pipeline":      drop(oneCommand, "disable_train", "disable_eval", "train.*", "eval.*"),
	"visualization": drop(elsewhere, "fiftyone.*", "label_studio.*", "localizer.*", "localizer", "classifier_weights", "dataset_name", "weights", "prediction_field", "batch_size", "device", "label_to_class_map.*", "label_to_class_map"),
	"registration": join([]migrationRule{
		{from: "processing.name", to: "tracking.register"}, {from: "processing.mlflow_tracking_uri", to: "tracking.uri"}, {from: "classifier.weights", to: "model.weights"}, {from: "localizer.yolo.weights", to: "model.weights"},
	}, drop("registered models keep their weights and a card; exports are a command of their own", "processing.*", "localizer.*", "classifier.*")),
	"inference": join([]migrationRule{{from: "mlflow_registry_name", to: "tracking.register"}, {from: "mlflow_alias", to: "tracking.alias"}, {from: "mlflow_tracking_uri", to: "tracking.uri"}},
		drop("there is no server here", "port", "workers_per_device", "mlflow_local_dir")),
	"sweep": join([]migrationRule{{from: "n_trials", to: "tune.trials"}, {from: "sweep.n_trials", to: "tune.trials"}, {from: "sweep.direction", to: "tune.direction"}, {from: "direction", to: "tune.direction"}, {from: "sweep.metric", to: "tune.metric"}, {from: "study_name", to: "tune.study"}, {from: "storage", to: "tune.storage"}},
		drop("search spaces are tune.params here: key: choice(…), range(…) or interval(…)", "sweep.*", "parameters.*", "base_config", "output_dir")),
}
