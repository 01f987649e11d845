package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/internal/yamlsafe"
	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/wildtrain"
)

// Tracking says where a training is recorded. The zero value records nothing.
type Tracking struct {
	Enabled   bool
	URI       string // as mlflow.Open takes it
	RunName   string // "": the run folder's name
	Parent    string // id of the run that this one is a part of
	Tags      map[string]string
	Artifacts bool   // store configuration, metrics, plots, best checkpoint and model
	Register  string // registered model that gets the best weights as a new version; "" registers nothing
	Alias     string // given to the version where it is better than the one that has it, on the same data
}

func trackingOf(t config.Tracking) Tracking {
	return Tracking{Enabled: t.Enabled, URI: t.URI, RunName: t.RunName, Tags: t.Tags, Artifacts: t.Artifacts, Register: t.Register, Alias: t.Alias}
}

// trackingFile remembers in a run's folder which run of the store it is.
const trackingFile = "mlflow.json"

type trackingRecord struct {
	URI   string `json:"uri"`
	RunID string `json:"run_id"`
}

// tracked is a training that is recorded; nil is one that is not.
type tracked struct {
	*mlflow.Recorder
	env  *Env
	s    Settings
	run  *checkpoint.Run
	hash string // of the validation data
}

// track begins recording. It returns the Env that records, too.
func (e *Env) track(ctx context.Context, s Settings, run *checkpoint.Run, data dataset) (*Env, *tracked, error) {
	if !s.Tracking.Enabled {
		return e, nil, nil
	}
	t := &tracked{env: e, s: s, run: run, hash: dataHash(data, wildtrain.Val)}
	cfg := mlflow.DefaultConfig()
	cfg.URI, cfg.Experiment, cfg.RunName, cfg.Parent = mlflow.TrackingURI(s.Tracking.URI), s.Experiment, s.Tracking.RunName, s.Tracking.Parent
	cfg.Tags, cfg.Params, cfg.Log = map[string]string{"wildtrain.run": run.Dir()}, params(s.Files), e.log()
	cfg.Register, cfg.Alias, cfg.Rule = "", "", mlflow.Rule{} // registered by end, when the final model is there
	for k, v := range s.Tracking.Tags {
		cfg.Tags[k] = v
	}
	if cfg.RunName == "" {
		cfg.RunName = filepath.Base(run.Dir())
	}
	for stage, context := range map[wildtrain.Stage]string{wildtrain.Train: "training", wildtrain.Val: "validation"} {
		if in, ok := input(s, data, stage, context); ok {
			cfg.Inputs = append(cfg.Inputs, in)
		}
	}
	if cfg.Parent != "" {
		cfg.RunID = "" // MLFLOW_RUN_ID names the whole, not its parts
	}
	if old, ok := trackedBefore(run); ok && old.URI == cfg.URI {
		cfg.RunID, cfg.Params = old.RunID, nil // params are written once; what changed since stands in the run folder
	}
	r, err := mlflow.Start(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	t.Recorder = r
	env := *e
	env.Loggers = append(slices.Clone(e.Loggers), r)
	env.Callbacks = append(slices.Clone(e.Callbacks), r)
	return &env, t, t.remember(cfg.URI)
}

// remember writes the run's id into its folder, for a training that goes on.
func (t *tracked) remember(uri string) error {
	if id := t.RunID(); id != "" {
		return t.run.WriteJSON(trackingFile, trackingRecord{uri, id})
	}
	return nil // the store has not answered yet
}

func trackedBefore(run *checkpoint.Run) (r trackingRecord, ok bool) {
	data, err := os.ReadFile(run.Path(trackingFile))
	return r, err == nil && json.Unmarshal(data, &r) == nil && r.RunID != ""
}

// end records how a training ended, its files and its model. What cannot be
// recorded is a warning: the training stands.
func (t *tracked) end(out *Trained, err error) {
	if t == nil {
		return
	}
	var errs []error
	if err == nil && (t.s.Tracking.Artifacts || t.s.Tracking.Register != "") {
		errs = append(errs, t.env.script(context.Background(), t.run.Path("model")))
	}
	if err == nil && t.s.Tracking.Artifacts {
		for _, name := range []string{"metrics.csv", "events.jsonl", "environment.json", ".hydra", "plots", "report.html", "checkpoints/best", "model"} {
			path := t.run.Path(filepath.FromSlash(name))
			st, serr := os.Stat(path)
			if serr != nil {
				continue // not every run has all of them
			}
			folder := ""
			if st.IsDir() {
				folder = strings.TrimPrefix(name, ".")
			}
			errs = append(errs, t.LogArtifact(path, folder))
		}
	}
	if err == nil && t.s.Tracking.Register != "" {
		errs = append(errs, t.register(out))
	}
	t.End(err)
	errs = append(errs, t.Close(), t.remember(mlflow.TrackingURI(t.s.Tracking.URI)))
	if err := errors.Join(errs...); err != nil {
		t.env.log().Warn("tracking: " + err.Error())
	}
}

// register makes the run's final model a version of the registered model.
func (t *tracked) register(out *Trained) error {
	card, err := checkpoint.ReadCard(t.run.Path("model"))
	if err != nil {
		return err
	}
	return t.RegisterBy(wildtrain.Registration{
		Name: t.s.Tracking.Register, Dir: t.run.Path("model"), Description: card.Model, Metrics: out.Metrics,
		Tags: map[string]string{mlflow.TagDataHash: t.hash, "monitor": out.Monitor},
	}, t.s.Tracking.Alias, "", mlflow.Rule{Metric: out.Monitor, Lower: strings.HasSuffix(out.Monitor, "loss")})
}

// params is the configuration of a run, one param a value: training.lr0 = 0.01.
func params(files map[string][]byte) map[string]string {
	const name = ".hydra/config.yaml"
	out := map[string]string{}
	n, err := yamlsafe.Parse(name, files[name], yamlsafe.DefaultLimits())
	if err != nil || n == nil {
		return out // settings that come from Go have no such file
	}
	flatten(out, "", n)
	return out
}

func flatten(out map[string]string, prefix string, n *yamlsafe.Node) {
	switch n.Kind {
	case yamlsafe.Mapping:
		for _, p := range n.Pairs {
			flatten(out, strings.TrimPrefix(prefix+"."+p.Key.Value, "."), p.Value)
		}
	case yamlsafe.Sequence:
		var parts []string
		for _, i := range n.Items {
			parts = append(parts, i.Value)
		}
		out[mlflow.CleanKey(prefix)] = strings.Join(parts, ", ")
	default:
		out[mlflow.CleanKey(prefix)] = n.Value
	}
}

// input tells of the data of one split.
func input(s Settings, data dataset, stage wildtrain.Stage, context string) (mlflow.DatasetInput, bool) {
	hash := dataHash(data, stage)
	if hash == "" {
		return mlflow.DatasetInput{}, false
	}
	root := s.Data.Root
	if root == "" && len(s.Data.Roots) > 0 {
		root = strings.Join(s.Data.Roots, ", ")
	}
	source, err := json.Marshal(map[string]string{"uri": root})
	if err != nil {
		return mlflow.DatasetInput{}, false
	}
	profile := fmt.Sprintf(`{"num_images": %d, "num_classes": %d}`, data.count(stage), len(data.Classes()))
	return mlflow.DatasetInput{
		Dataset: mlflow.Dataset{Name: filepath.Base(root) + "-" + context, Digest: hash, SourceType: "local", Source: string(source), Profile: profile},
		Tags:    []mlflow.Tag{{Key: "mlflow.data.context", Value: context}},
	}, true
}

// dataHash is a digest of a split: which pictures, of how many bytes, with which
// objects and classes. It is "" for a split that is not there.
func dataHash(data dataset, stage wildtrain.Stage) string {
	paths := data.paths(stage)
	if len(paths) == 0 {
		return ""
	}
	var lines []string
	for id, path := range paths {
		size := int64(-1)
		if st, err := os.Stat(path); err == nil {
			size = st.Size()
		}
		lines = append(lines, fmt.Sprintln(id, size))
	}
	switch d := data.(type) {
	case detections:
		for _, r := range d.Records(stage) {
			for _, o := range r.Objects {
				lines = append(lines, fmt.Sprintln(r.ID, o.Class, o.Box, o.Crowd))
			}
		}
	case examples:
		for _, x := range d.Examples(stage) {
			lines = append(lines, fmt.Sprintln(x.ID, x.Window, x.Targets))
		}
	}
	slices.Sort(lines)
	h := sha256.New()
	fmt.Fprintln(h, wildtrain.Names(data.Classes()))
	for _, l := range lines {
		h.Write([]byte(l))
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
