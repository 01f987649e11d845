package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wildtrain/sdk/pipeline"
	"github.com/wildtrain/sdk/wildtrain"
)

func (a *app) print(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (a *app) train() *cobra.Command {
	return &cobra.Command{
		Use: "train [key=value …]", Short: "Train a detector",
		Example: "  wildtrain train model=yolo11n data.root=DATA training.epochs=100 training.imgsz=640\n  wildtrain train resume=runs/default/RUN",
		RunE: func(cmd *cobra.Command, args []string) error {
			mine, overrides, err := words(args, "resume")
			if err != nil {
				return err
			}
			var s pipeline.Settings
			if dir := mine["resume"]; dir != "" {
				s, err = pipeline.Recompose(dir, a.options(overrides))
			} else {
				s, err = pipeline.Compose(a.options(overrides))
			}
			if err != nil {
				return err
			}
			trained, err := a.env().Train(cmd.Context(), s)
			if trained != nil && trained.Dir != "" {
				fmt.Fprintln(a.err, "run:", trained.Dir)
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"run": trained.Dir, "monitor": trained.Monitor, "best": trained.Best, "epochs": trained.Progress.Epoch, "stopped": trained.Stopped})
			}
			fmt.Fprintf(a.out, "best %s %.4f in epoch %d, weights in %s\n", trained.Monitor, trained.Best, trained.Progress.BestEpoch, filepath.Join(trained.Dir, "model"))
			return nil
		},
	}
}

func (a *app) evaluate() *cobra.Command {
	return &cobra.Command{
		Use: "evaluate weights=RUN_OR_FILE [key=value …]", Short: "Measure a detector on a split",
		Example: "  wildtrain evaluate weights=runs/default/RUN data.root=DATA evaluation.split=test",
		RunE: func(cmd *cobra.Command, args []string) error {
			mine, overrides, err := words(args, "weights", "out")
			if err != nil {
				return err
			}
			s, out, err := a.using(mine, overrides, "evaluation")
			if err != nil {
				return err
			}
			result, err := a.env().Evaluate(cmd.Context(), s, out)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(values(result.Values))
			}
			a.table(result)
			fmt.Fprintln(a.out, "report:", result.Report)
			return nil
		},
	}
}

// using composes the settings of a verb that uses weights, and tells where it writes.
func (a *app) using(mine map[string]string, overrides []string, folder string) (s pipeline.Settings, out string, err error) {
	if mine["weights"] == "" {
		return s, "", usagef("weights=… is missing: name a run folder or a weights file")
	}
	if s, err = pipeline.ComposeFor(mine["weights"], a.options(overrides)); err != nil {
		return s, "", err
	}
	if out = mine["out"]; out == "" {
		out = folder
		if st, err := os.Stat(mine["weights"]); err == nil && st.IsDir() {
			out = filepath.Join(mine["weights"], folder)
		}
	}
	return s, out, nil
}

func values(list []wildtrain.Value) map[string]float64 {
	out := map[string]float64{}
	for _, v := range list {
		out[v.Name] = v.Value
	}
	return out
}

func (a *app) table(r *pipeline.Evaluated) {
	v := values(r.Values)
	fmt.Fprintf(a.out, "%d images of %s: AP %.4f  AP50 %.4f  AP75 %.4f  precision %.3f  recall %.3f  F1 %.3f\n",
		r.Pictures, r.Split, v["AP"], v["AP50"], v["AP75"], v["precision"], v["recall"], v["F1"])
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "class\tobjects\tAP\tAP50\tprecision\trecall\tF1\t")
	for _, c := range r.Classes {
		fmt.Fprintf(w, "%s\t%d\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t\n", c.Name, c.Truths, c.AP, c.AP50, c.Precision, c.Recall, c.F1)
	}
	w.Flush()
}

func (a *app) predict() *cobra.Command {
	return &cobra.Command{
		Use: "predict weights=RUN_OR_FILE source=FILE_FOLDER_OR_PATTERN [key=value …]", Short: "Find objects in pictures",
		Example: "  wildtrain predict weights=runs/default/RUN source='camera/*.jpg' conf=0.25 out=found",
		RunE: func(cmd *cobra.Command, args []string) error {
			mine, overrides, err := words(args, "weights", "out", "source", "conf")
			if err != nil {
				return err
			}
			if mine["source"] == "" {
				return usagef("source=… is missing: name a file, a folder or a pattern")
			}
			if c := mine["conf"]; c != "" {
				overrides = append(overrides, "predict.conf="+c)
			}
			s, out, err := a.using(mine, overrides, "predictions")
			if err != nil {
				return err
			}
			found, err := a.env().Predict(cmd.Context(), s, pipeline.PredictOptions{Sources: strings.Split(mine["source"], ","), Out: out, Pictures: true})
			if err != nil {
				return err
			}
			objects := 0
			for _, p := range found {
				objects += len(p.Objects)
			}
			if a.json {
				return a.print(map[string]any{"images": len(found), "objects": objects, "out": out})
			}
			fmt.Fprintf(a.out, "%d objects in %d images\npictures: %s\ndetections: %s\n", objects, len(found), filepath.Join(out, "pictures"), filepath.Join(out, "predictions.json"))
			return nil
		},
	}
}
