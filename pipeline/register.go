package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/wildtrain"
)

// Registration says which weights become a version of which registered model.
type Registration struct {
	Weights    string // run folder, folder of a model, .safetensors or .pt file
	Name       string // of the registered model
	URI        string // of the registry, as mlflow.Open takes it
	Experiment string // of the run that is made where the weights come from none
	Alias      string // given to the version
	Stage      string // likewise
	Rule       mlflow.Rule
	Tags       map[string]string
}

// Registered is a version that Register made, and what it was given.
type Registered struct {
	*mlflow.ModelVersion
	Promotions []mlflow.Decision `json:"promotions"`
}

// Register makes weights the next version of a registered model.
func (e *Env) Register(ctx context.Context, r Registration) (out *Registered, err error) {
	store, err := mlflow.Open(ctx, mlflow.RegistryURI(r.URI))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	temp, err := os.MkdirTemp("", "wildtrain-register-*")
	if err != nil {
		return nil, fmt.Errorf("pipeline: register: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	dir, err := modelFolder(r.Weights, temp)
	if err != nil {
		return nil, err
	}
	if dir, err = e.scripted(ctx, dir, temp); err != nil {
		return nil, err
	}
	card, err := checkpoint.ReadCard(dir)
	if err != nil {
		return nil, err
	}
	registrar := mlflow.Registrar{Store: store, RunID: runOf(ctx, store, r.Weights), Experiment: r.Experiment, Alias: r.Alias, Stage: r.Stage, Rule: r.Rule}
	v, decisions, err := registrar.RegisterVersion(ctx, wildtrain.Registration{Name: r.Name, Dir: dir, Description: card.Model, Metrics: card.Metrics, Tags: r.Tags})
	if err != nil {
		return nil, err
	}
	return &Registered{v, decisions}, nil
}

// modelFolder is a folder with weights and card. For a file it is made in temp.
func modelFolder(weights, temp string) (string, error) {
	for _, dir := range []string{filepath.Join(weights, "model"), weights} {
		if st, err := os.Stat(filepath.Join(dir, "card.json")); err == nil && st.Mode().IsRegular() {
			return dir, nil
		}
	}
	f, err := checkpoint.Open(weights)
	if err != nil {
		return "", err
	}
	defer f.Close()
	d := describe(f)
	if d.Architecture == "" {
		return "", fmt.Errorf("pipeline: register: %s does not say of which architecture it is; write it anew with its model: wildtrain train or wildtrain model convert", weights)
	}
	run, err := checkpoint.CreateRun(temp, "register", "weights")
	if err != nil {
		return "", err
	}
	return run.SaveModel(f, checkpoint.Card{Name: filepath.Base(weights), Model: d, Classes: d.Classes, License: d.License, Source: filepath.Base(weights)})
}

// scripted is a folder of a model with TorchScript in it, where it can be: dir
// itself, or a copy in temp.
func (e *Env) scripted(ctx context.Context, dir, temp string) (string, error) {
	for _, name := range []string{mlflow.TorchScriptFile, mlflow.ONNXFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return dir, nil
		}
	}
	copied := filepath.Join(temp, "scripted")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		return "", fmt.Errorf("pipeline: register: %w", err)
	}
	return copied, e.script(ctx, copied)
}

// runOf is the store's run that trained the weights, "" where it knows none.
func runOf(ctx context.Context, store mlflow.Store, weights string) string {
	run, err := checkpoint.OpenRun(weights)
	if err != nil {
		return "" // a file
	}
	before, ok := trackedBefore(run)
	if !ok {
		return ""
	}
	if _, err := store.Run(ctx, before.RunID); err != nil {
		return "" // recorded elsewhere
	}
	return before.RunID
}
