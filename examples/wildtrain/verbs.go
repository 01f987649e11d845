package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/wildtrain/sdk/pipeline"
)

func (a *app) train() verb {
	var many sweep
	var dry bool
	return verb{
		name: "train", short: "Train a model and leave a run folder", settings: true,
		long: "The run folder is `runs/EXPERIMENT/NAME`, by default `runs/wildlife_detection/TIME`.",
		keys: []key{{"resume", "RUN", false, "run folder to go on with; further settings change those it was begun with"}},
		example: "wildtrain train model=yolo11n data.root=DATA training.epochs=100 training.imgsz=640\n" +
			"wildtrain train data.root=DATA model=yolov8s experiment_name=elephants name=first training.batch=8\n" +
			"wildtrain train resume=runs/elephants/first training.epochs=200\n" +
			"wildtrain train --config-name detection/yolo data.root=DATA --dry-run\n" +
			"wildtrain train --multirun -j 2 data.root=DATA model=yolo11n,yolo11s training.lr0=0.01,0.02",
		after: "In the run folder: `metrics.csv` (a line an epoch), `events.jsonl`, `checkpoints/last`\n" +
			"and `checkpoints/best`, `model/` (the best averaged weights with a card), `.hydra/` (the\n" +
			"configuration), `environment.json`. A run that was interrupted or killed goes on with\n" +
			"`resume=`; on the same machine its weights are equal to the bit to those of a run that\n" +
			"was never interrupted. The architecture and the classes of a run cannot change.\n\n" +
			"With `--dry-run` the object of `--json` holds what was found out: `architecture`, `weights`,\n" +
			"`pretrained`, `classes`, `image_size`, `train`, `val`, `epochs`, `batch`, `optimizer`, `device`,\n" +
			"`run`. With `--multirun` it holds the `sweep`'s folder and `jobs`: `num`, `overrides`, `state`\n" +
			"(done, failed, interrupted, skipped or empty), `run` and `error` of each.",
		json: []result{
			{"run weights", "folders of the run and of its final model"},
			{"monitor best best_epoch", "which value chose the best checkpoint, the value, its epoch"},
			{"epochs", "done in all"},
			{"stopped", "why it ended early, else empty"},
			{"metrics", "of the last validation, by name"},
		},
		flags: func(f *pflag.FlagSet) {
			dryRun(f, &dry)
			many.flags(f)
		},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			if many.on || many.resume != "" {
				if own["resume"] != "" || dry {
					return usagef("--multirun goes with neither resume= nor --dry-run")
				}
				return a.trainAll(ctx, many, overrides)
			}
			s, err := a.trainSettings(own["resume"], overrides)
			if err != nil {
				return err
			}
			if dry {
				return a.plan(a.env().PlanTrain(ctx, s))
			}
			trained, err := a.env().Train(ctx, s)
			if err != nil {
				a.tellRun(trained, err)
				return err
			}
			if len(trained.History) == 0 {
				fmt.Fprintf(a.err, "nothing to do: %d epochs are done already; training.epochs=N trains to N\n", trained.Progress.Epoch)
			}
			weights := filepath.Join(trained.Dir, "model")
			if a.json {
				return a.print(map[string]any{
					"run": trained.Dir, "weights": weights, "monitor": trained.Monitor, "best": number(trained.Best),
					"best_epoch": trained.Progress.BestEpoch, "epochs": trained.Progress.Epoch, "stopped": trained.Stopped, "metrics": numbers(trained.Metrics),
				})
			}
			fmt.Fprintf(a.out, "best %s %.4f in epoch %d, weights in %s\n", trained.Monitor, trained.Best, trained.Progress.BestEpoch, weights)
			return nil
		},
	}
}

func (a *app) trainSettings(resume string, overrides []string) (pipeline.Settings, error) {
	if resume == "" {
		s, err := pipeline.Compose(a.options(overrides))
		if err != nil || s.Resume == "" { // training.resume says the same as resume
			return s, err
		}
		resume = s.Resume
	}
	return pipeline.Recompose(resume, a.options(overrides))
}

func dryRun(f *pflag.FlagSet, on *bool) {
	f.BoolVar(on, "dry-run", false, "check configuration, data and weights, say what would be done, and do not do it")
}

// plan prints what would be done.
func (a *app) plan(p *pipeline.Plan, err error) error {
	if err != nil {
		return err
	}
	if a.json {
		return a.print(p)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row := func(name string, value any) {
		if value != "" && value != 0 {
			fmt.Fprintf(w, "%s\t%v\n", name, value)
		}
	}
	row("architecture", p.Architecture)
	row("weights", p.Weights)
	row("pretrained", p.Pretrained)
	row("classes", classList(p.Classes))
	row("picture size", p.ImageSize)
	row("training pictures", p.Train)
	row("pictures to look at", p.Val)
	row("batch", p.Batch)
	row("epochs", p.Epochs)
	row("optimizer", p.Optimizer)
	row("device", p.Device)
	row("run folder", p.Run)
	fmt.Fprintln(w, "nothing was done (--dry-run)")
	return w.Flush()
}

// tellRun says what there is of a training that did not come to its end.
func (a *app) tellRun(t *pipeline.Trained, err error) {
	switch {
	case t == nil:
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(a.err, "saved; go on with: wildtrain train resume=%s\n", t.Dir)
	default:
		fmt.Fprintln(a.err, "run:", t.Dir)
	}
}

// using are the keys of verbs that use weights.
func using(folder string, more ...key) []key {
	return append([]key{
		{"weights", "RUN_OR_FILE", true, "run folder, .safetensors or .pt file"},
		{"out", "FOLDER", false, "where to write; `RUN/" + folder + "` or `./" + folder + "` unless given"},
	}, more...)
}

// outFolder tells where a verb that uses weights writes.
func outFolder(own map[string]string, folder string) string {
	if own["out"] != "" {
		return own["out"]
	}
	if st, err := os.Stat(own["weights"]); err == nil && st.IsDir() {
		return filepath.Join(own["weights"], folder)
	}
	return folder
}

func (a *app) evaluate() verb {
	const folder = "evaluation"
	var dry bool
	return verb{
		name: "evaluate", short: "Measure a model on a split", settings: true, keys: using(folder),
		flags: func(f *pflag.FlagSet) { dryRun(f, &dry) },
		long: "Boxes are measured in the coordinates of the original pictures. For a run folder the data\n" +
			"is that of the training unless `data.root` says otherwise.",
		example: "wildtrain evaluate weights=runs/elephants/first\n" +
			"wildtrain evaluate weights=runs/elephants/first evaluation.split=test --json\n" +
			"wildtrain evaluate weights=model.safetensors data.root=DATA evaluation.at_conf=0.5 out=numbers",
		after: "Writes `report.html`, `evaluation.json`, and `predictions.json` with `images.json` in\n" +
			"COCO's form. −1 (a dash in the table) stands for a number that is not defined, such as\n" +
			"the precision where nothing was found.",
		json: []result{
			{"AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl", "as pycocotools computes them"},
			{"precision recall F1", "at `evaluation.at_iou` and `evaluation.at_conf`"},
			{averageKeys, "over classes at the same point, as scikit-learn has them"},
			{"best_precision best_recall best_F1", "at `best_confidence`"},
			{"best_confidence", "where F1 is highest"},
			{"AP/CLASS", "for each class"},
			{"split images", "what was measured and how many pictures"},
			{"weights out report", "what was used, the folder and the page that were written"},
		},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			s, err := pipeline.ComposeFor(own["weights"], a.options(overrides))
			if err != nil {
				return err
			}
			out := outFolder(own, folder)
			if dry {
				return a.plan(a.env().PlanEvaluate(ctx, s))
			}
			result, err := a.env().Evaluate(ctx, s, out)
			if err != nil {
				return err
			}
			if a.json {
				all := numbers(result.Values())
				all["split"], all["images"], all["weights"], all["out"], all["report"] = result.Split, result.Pictures(), result.Weights, out, result.Report
				return a.print(all)
			}
			a.table(result)
			fmt.Fprintln(a.out, "report:", result.Report)
			return nil
		},
	}
}

// table prints an evaluation in short.
func (a *app) table(r *pipeline.Evaluated) {
	if c := r.Classification; c != nil {
		a.classificationTable(c, " of "+r.Split)
		return
	}
	a.detectionTable(r.Detection, " of "+r.Split)
}

func (a *app) predict() verb {
	const folder = "predictions"
	var dry bool
	return verb{
		name: "predict", short: "Find objects in pictures", settings: true,
		flags: func(f *pflag.FlagSet) { dryRun(f, &dry) },
		long: "Pictures are JPEG, PNG and the other formats that data may have, turned as their EXIF\n" +
			"orientation says.",
		keys: using(folder,
			key{"source", "FILE_FOLDER_OR_PATTERN", false, "pictures: a file, a folder with all below it, a pattern; several with commas; `predict.source` unless given"},
			key{"conf", "SCORE", false, "lowest score shown, 0 to 1; `predict.conf` unless given"}),
		example: "wildtrain predict weights=runs/elephants/first source=camera/0001.jpg\n" +
			"wildtrain predict weights=runs/elephants/first source='camera/*.jpg,more' conf=0.4 out=found\n" +
			"wildtrain predict weights=model.safetensors source=camera predict.draw=false --json",
		after: "Writes `predictions.json` (COCO detections), `images.json` (COCO images and categories,\n" +
			"which explain the ids: pycocotools loads the two together) and, unless\n" +
			"`predict.draw=false`, `pictures/` with the boxes drawn. One picture that cannot be read\n" +
			"ends it; `data.on_error=skip` leaves such pictures out.",
		json: []result{
			{"images objects", "how many were looked at and found"},
			{"out detections pictures", "folder, file of detections and folder of drawn pictures; empty where none are drawn"},
		},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			if c := own["conf"]; c != "" {
				overrides = append(overrides, "predict.conf="+c)
			}
			s, err := pipeline.ComposeFor(own["weights"], a.options(overrides))
			if err != nil {
				return err
			}
			o := pipeline.PredictOptions{Sources: s.Sources, Out: outFolder(own, folder), Pictures: s.Draw}
			if own["source"] != "" {
				o.Sources = sources(own["source"])
			}
			if len(o.Sources) == 0 {
				return usagef("source=FILE_FOLDER_OR_PATTERN is missing: name the pictures to look at")
			}
			if dry {
				return a.plan(a.env().PlanPredict(ctx, s, o.Sources))
			}
			found, err := a.env().Predict(ctx, s, o)
			if err != nil {
				return err
			}
			objects := 0
			for _, p := range found {
				objects += len(p.Objects)
			}
			return a.printFound(len(found), objects, o)
		},
	}
}

// sources splits a list at its commas, unless it is the name of one file.
func sources(list string) []string {
	if _, err := os.Stat(list); err == nil {
		return []string{list}
	}
	return strings.Split(list, ",")
}

func (a *app) printFound(images, objects int, o pipeline.PredictOptions) error {
	detections, pictures := filepath.Join(o.Out, "predictions.json"), filepath.Join(o.Out, "pictures")
	if !o.Pictures {
		pictures = ""
	}
	if a.json {
		return a.print(map[string]any{"images": images, "objects": objects, "out": o.Out, "detections": detections, "pictures": pictures})
	}
	fmt.Fprintf(a.out, "%d objects in %d images\ndetections: %s\n", objects, images, detections)
	if pictures != "" {
		fmt.Fprintln(a.out, "pictures:", pictures)
	}
	return nil
}
