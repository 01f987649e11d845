package mlflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/wildtrain"
)

// The tags of versions that this package writes and reads.
const (
	// TagDataHash tells on which data the metrics were measured; versions are
	// only compared where it is the same.
	TagDataHash = "data.hash"
	// metricPrefix begins the tags with metrics.
	metricPrefix = "metrics."
)

// Registrar is a wildtrain.Registrar that makes versions in a store at once.
type Registrar struct {
	Store      Store
	RunID      string // the run that made the model; "" makes one
	Experiment string // of a run that is made; "" for Default
	Alias      string // given to the version, by Rule
	Stage      string // likewise
	Rule       Rule
}

var _ wildtrain.Registrar = (*Registrar)(nil)

// Register packages the folder g.Dir, as PackageModel says, uploads it and makes
// the next version of model g.Name with metrics, classes, licence and g.Tags as tags.
// It returns the version's number. A rule that holds Alias and Stage back is no error.
func (r *Registrar) Register(ctx context.Context, g wildtrain.Registration) (string, error) {
	v, _, err := r.RegisterVersion(ctx, g)
	if err != nil {
		return "", err
	}
	return v.Version, nil
}

// RegisterVersion is Register with all that is known of the version, and with
// what the rule decided on alias and stage.
func (r *Registrar) RegisterVersion(ctx context.Context, g wildtrain.Registration) (*ModelVersion, []Decision, error) {
	if err := checkModelName(g.Name); err != nil {
		return nil, nil, err
	}
	run := r.RunID
	if run == "" {
		e, err := experimentFor(ctx, r.Store, first(r.Experiment, "Default"))
		if err != nil {
			return nil, nil, err
		}
		made, err := r.Store.CreateRun(ctx, NewRun{ExperimentID: e.ID, User: userName(), Name: "register-" + g.Name, Tags: registerTags(ctx)})
		if err != nil {
			return nil, nil, err
		}
		run = made.Info.ID
	}
	rec := newRegisterRecord(g, r.Alias, r.Stage, r.Rule)
	v, decisions, err := rec.register(ctx, r.Store, run)
	if r.RunID == "" {
		err = errors.Join(err, r.Store.UpdateRun(ctx, run, RunUpdate{Status: StatusOf(err), Ended: Now()}))
	}
	return v, decisions, err
}

func registerTags(ctx context.Context) (out []Tag) {
	tags := sourceTags(ctx)
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, Tag{k, tags[k]})
	}
	return out
}

// registerRecord is a registration as a spool keeps it.
type registerRecord struct {
	Name  string            `json:"name"`
	Dir   string            `json:"dir"`
	Tags  map[string]string `json:"tags"`
	Alias string            `json:"alias,omitempty"`
	Stage string            `json:"stage,omitempty"`
	Rule  Rule              `json:"rule"`
}

func newRegisterRecord(g wildtrain.Registration, alias, stage string, rule Rule) *registerRecord {
	tags := map[string]string{}
	for k, v := range map[string]string{
		"task": g.Description.Task, "architecture": g.Description.Architecture, "license": g.Description.License,
		"classes": strings.Join(g.Description.Classes, ", "),
	} {
		if v != "" {
			tags[k] = v
		}
	}
	for _, v := range g.Metrics {
		tags[CleanKey(metricPrefix+v.Name)] = strconv.FormatFloat(v.Value, 'g', -1, 64)
	}
	for k, v := range g.Tags {
		tags[CleanKey(k)] = v
	}
	return &registerRecord{Name: g.Name, Dir: g.Dir, Tags: tags, Alias: alias, Stage: stage, Rule: rule}
}

// register makes the version, then gives it alias and stage by the rule.
func (r *registerRecord) register(ctx context.Context, store Store, runID string) (*ModelVersion, []Decision, error) {
	v, err := r.version(ctx, store, runID)
	if err != nil {
		return nil, nil, fmt.Errorf("mlflow: register %s: %w", r.Name, err)
	}
	var decisions []Decision
	for _, t := range []Promotion{{Alias: r.Alias}, {Stage: r.Stage}} {
		if t == (Promotion{}) {
			continue
		}
		t.Rule = r.Rule
		d, err := Promote(ctx, store, r.Name, v.Version, t)
		if err != nil {
			return v, decisions, err
		}
		decisions = append(decisions, *d)
	}
	v, err = store.ModelVersion(ctx, r.Name, v.Version)
	return v, decisions, err
}

// version uploads the folder and makes a version of it: through a logged model
// where the store has these (MLflow 3), else through the run's artifacts.
func (r *registerRecord) version(ctx context.Context, store Store, runID string) (*ModelVersion, error) {
	run, err := store.Run(ctx, runID)
	if err != nil {
		return nil, err
	}
	if _, err := store.CreateRegisteredModel(ctx, r.Name, "", nil); err != nil && !errors.Is(err, ErrExists) {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "wildtrain-model-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	n := NewModelVersion{Name: r.Name, RunID: runID, Tags: r.tags(run)}
	logged, err := store.HasLoggedModels(ctx)
	if err != nil {
		return nil, err
	}
	if logged {
		err = r.logModel(ctx, store, run, temp, &n)
	} else {
		err = r.logToRun(ctx, store, run, temp, &n)
	}
	if err != nil {
		return nil, err
	}
	v, err := store.CreateModelVersion(ctx, n)
	if err != nil || n.ModelID == "" {
		return v, err
	}
	data, err := json.Marshal([]fields{{"name": v.Name, "version": v.Version}})
	if err != nil {
		return nil, err
	}
	return v, store.SetLoggedModelTags(ctx, n.ModelID, []Tag{{tagVersions, string(data)}})
}

// tags of the version, with the commit and the validation data of the run.
func (r *registerRecord) tags(run *Run) (out []Tag) {
	all := maps.Clone(r.Tags)
	if all[TagDataHash] == "" {
		all[TagDataHash] = validationData(run.Inputs.Datasets)
	}
	if all[TagDataHash] == "" {
		delete(all, TagDataHash)
	}
	if c := run.Data.Tag(tagCommit); c != "" {
		all["git.commit"] = c
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, Tag{k, cut(all[k], 5000)}) // MLflow before 3.1 takes 5,000 characters
	}
	return out
}

// validationData is the digest of the data that metrics are measured on, "" where it is not known.
func validationData(inputs []DatasetInput) string {
	for _, in := range inputs {
		if tagValue(in.Tags, tagContext) == "validation" {
			return in.Dataset.Digest
		}
	}
	return ""
}

// logModel makes a logged model in the order of MLflow 3: pending, files, ready, link to the run.
func (r *registerRecord) logModel(ctx context.Context, store Store, run *Run, temp string, n *NewModelVersion) (err error) {
	m, err := store.CreateLoggedModel(ctx, NewLoggedModel{ExperimentID: run.Info.ExperimentID, Name: CleanKey(r.Name), Type: r.Tags["task"], SourceRunID: run.Info.ID})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.FinishLoggedModel(context.WithoutCancel(ctx), m.Info.ID, ModelFailed))
		}
	}()
	if _, err := PackageModel(temp, Package{Dir: r.Dir, RunID: run.Info.ID, ModelID: m.Info.ID, Metadata: r.metadata()}); err != nil {
		return err
	}
	a, err := OpenArtifacts(store, m.Info.ArtifactURI)
	if err != nil {
		return err
	}
	if err := PutFolder(ctx, a, "", temp); err != nil {
		return err
	}
	if err := store.FinishLoggedModel(ctx, m.Info.ID, ModelReady); err != nil {
		return err
	}
	n.Source, n.ModelID = "models:/"+m.Info.ID, m.Info.ID
	return store.LogOutputs(ctx, run.Info.ID, []ModelOutput{{ModelID: m.Info.ID}})
}

// logToRun stores the files with the run, as MLflow 2 does.
func (r *registerRecord) logToRun(ctx context.Context, store Store, run *Run, temp string, n *NewModelVersion) error {
	const folder = "model"
	m, err := PackageModel(temp, Package{Dir: r.Dir, RunID: run.Info.ID, Metadata: r.metadata()})
	if err != nil {
		return err
	}
	a, err := OpenArtifacts(store, run.Info.ArtifactURI)
	if err != nil {
		return err
	}
	if err := PutFolder(ctx, a, folder, temp); err != nil {
		return err
	}
	history, err := json.Marshal([]fields{{"run_id": run.Info.ID, "artifact_path": folder, "utc_time_created": m.Created, "model_uuid": m.ModelUUID, "flavors": m.Flavors}})
	if err != nil {
		return err
	}
	n.Source = joinURI(run.Info.ArtifactURI, folder)
	return store.LogBatch(ctx, run.Info.ID, Batch{Tags: []Tag{{tagHistory, string(history)}}})
}

func (r *registerRecord) metadata() map[string]any {
	out := map[string]any{"registered_name": r.Name}
	if h := r.Tags[TagDataHash]; h != "" {
		out["data_hash"] = h
	}
	return out
}

// registrationOf is the best checkpoint of a training as a registration. Its
// model folder is made in the run's folder where it is not there yet.
func registrationOf(name string, e *wildtrain.Event) (g wildtrain.Registration, err error) {
	path := first(e.Result.BestPath, e.Result.LastPath)
	if path == "" {
		return g, fmt.Errorf("mlflow: register %s: the training kept no checkpoint: it needs a Saver", name)
	}
	state, err := checkpoint.Open(path)
	if err != nil {
		return g, fmt.Errorf("mlflow: register %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	run, err := checkpoint.OpenRun(filepath.Dir(filepath.Dir(path)))
	if err != nil {
		return g, fmt.Errorf("mlflow: register %s: %w", name, err)
	}
	d := e.Model.Describe()
	g = wildtrain.Registration{Name: name, Description: d, Metrics: e.Result.Metrics}
	if !math.IsNaN(e.Result.Best) && e.Result.Monitor != "" {
		g.Metrics = append(slices.Clone(g.Metrics), wildtrain.Value{Name: "best/" + e.Result.Monitor, Value: e.Result.Best})
	}
	g.Dir, err = run.SaveModel(state, checkpoint.Card{Name: name, Model: d, Classes: d.Classes, License: d.License, Metrics: e.Result.Metrics,
		Description:   fmt.Sprintf("%s trained for %d epochs, best %s %.4f", d.Architecture, e.Result.Progress.Epoch, e.Result.Monitor, e.Result.Best),
		Preprocessing: checkpoint.Preprocessing{Height: d.InputSize[0], Width: d.InputSize[1], Colour: "RGB"}})
	return g, err
}
