package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/pipeline"
)

// storeKey names the store of the verbs on runs and models.
var storeKey = key{"uri", "URI", false, "MLflow server (http://…) or file (sqlite:///FILE); MLFLOW_TRACKING_URI, else sqlite:///mlflow.db unless given"}

// ruleKeys say when a version may take an alias or a stage.
var ruleKeys = []key{
	{"metric", "METRIC", false, "only if the version is better in this metric than the one that has the alias or stage, on the same data"},
	{"min_gain", "NUMBER", false, "by at least so much"},
	{"lower", "true", false, "lower is better"},
	{"at_least", "NUMBER", false, "and only from this value on"},
	{"any_data", "true", false, "compare metrics of different data, too"},
}

func (a *app) register() verb {
	return verb{
		name: "register", short: "Make weights a version of a registered model",
		keys: append([]key{
			{"weights", "RUN_OR_FILE", true, "run folder, folder of a model, .safetensors or .pt file"},
			{"name", "MODEL", true, "the registered model; made where it is absent"},
			{"alias", "ALIAS", false, "given to the version, such as champion"},
			{"stage", "STAGE", false, "Staging, Production or Archived"},
			{"experiment", "NAME", false, "of the run that is noted where the weights come from no recorded training"},
			storeKey}, ruleKeys...),
		example: "wildtrain register weights=runs/elephants/first name=elephants\n" +
			"wildtrain register weights=runs/elephants/first name=elephants alias=champion metric=AP\n" +
			"wildtrain register weights=model.safetensors name=elephants stage=Staging uri=http://localhost:5000 --json",
		after: "The files become a model folder of MLflow's: weights, card, label map, preprocessing, metrics and licence. `mlflow.pyfunc.load_model(\"models:/elephants@champion\")` loads it in Python where it holds a TorchScript or ONNX file.",
		json: []result{{"name version", "the version that was made"}, {"current_stage aliases", "what it has"}, {"source run_id model_id", "where it comes from"},
			{"tags", "metrics, classes, licence"}, {"promotions", "one for alias and stage: whether it was given, and why"}},
		run: func(ctx context.Context, own map[string]string, _ []string) error {
			rule, err := ruleOf(own)
			if err != nil {
				return err
			}
			v, err := a.env().Register(ctx, pipeline.Registration{Weights: own["weights"], Name: own["name"], URI: own["uri"], Experiment: own["experiment"],
				Alias: own["alias"], Stage: own["stage"], Rule: rule})
			if err != nil {
				return err
			}
			if a.json {
				return a.print(v)
			}
			fmt.Fprintf(a.out, "%s version %s\n", v.Name, v.Version)
			for _, d := range v.Promotions {
				a.tellDecision(d)
			}
			return nil
		},
	}
}

// mlflow are the verbs on tracking.
func (a *app) mlflow() *cobra.Command {
	c := group("mlflow", "Send what an MLflow server did not get")
	c.AddCommand(a.sync().command())
	return c
}

func (a *app) sync() verb {
	return verb{
		name: "sync", short: "Send what trainings recorded while the store did not answer",
		keys:    []key{{"spool", "FOLDER", false, "where it waits; WILDTRAIN_MLFLOW_SPOOL, else ~/.local/state/wildtrain/mlflow unless given"}},
		example: "wildtrain mlflow sync\nwildtrain mlflow sync spool=/scratch/spool --json",
		after:   "Runs of processes that died are ended as FAILED. What a store refuses is kept in the spool, in refused.jsonl, with the reason.",
		json:    []result{{"sessions", "one for each run that was sent: run_id, uri, bytes, unsent, refused, died, error"}, {"unsent", "bytes that still wait"}},
		run: func(ctx context.Context, own map[string]string, _ []string) error {
			sent, err := mlflow.Sync(ctx, own["spool"], a.env().Log)
			var unsent int64
			for _, s := range sent {
				unsent += s.Unsent
			}
			if a.json {
				if perr := a.print(map[string]any{"sessions": append([]mlflow.Sent{}, sent...), "unsent": unsent}); perr != nil {
					return perr
				}
				return err
			}
			for _, s := range sent {
				fmt.Fprintf(a.out, "run %s of %s: %d bytes sent, %d unsent, %d refused\n", s.RunID, s.URI, s.Bytes, s.Unsent, s.Refused)
			}
			if len(sent) == 0 && err == nil {
				fmt.Fprintln(a.out, "nothing waits")
			}
			return err
		},
	}
}
