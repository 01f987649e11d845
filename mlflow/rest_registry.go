package mlflow

import (
	"context"
	"net/url"
)

type registeredAnswer struct {
	Model RegisteredModel `json:"registered_model"`
}

type versionAnswer struct {
	Version ModelVersion `json:"model_version"`
}

// CreateRegisteredModel implements Registry.
func (r *REST) CreateRegisteredModel(ctx context.Context, name, description string, tags []Tag) (*RegisteredModel, error) {
	var out registeredAnswer
	err := r.call(ctx, post, "registered-models/create", fields{"name": name, "description": description, "tags": tags}, &out)
	return found(&out.Model, err)
}

// RegisteredModel implements Registry.
func (r *REST) RegisteredModel(ctx context.Context, name string) (*RegisteredModel, error) {
	var out registeredAnswer
	err := r.call(ctx, get, "registered-models/get", url.Values{"name": {name}}, &out)
	return found(&out.Model, err)
}

// RenameRegisteredModel implements Registry.
func (r *REST) RenameRegisteredModel(ctx context.Context, name, newName string) error {
	return r.call(ctx, post, "registered-models/rename", fields{"name": name, "new_name": newName}, nil)
}

// DescribeRegisteredModel implements Registry.
func (r *REST) DescribeRegisteredModel(ctx context.Context, name, description string) error {
	return r.call(ctx, patch, "registered-models/update", fields{"name": name, "description": description}, nil)
}

// DeleteRegisteredModel implements Registry.
func (r *REST) DeleteRegisteredModel(ctx context.Context, name string) error {
	return r.call(ctx, remove, "registered-models/delete", fields{"name": name}, nil)
}

// SearchRegisteredModels implements Registry.
func (r *REST) SearchRegisteredModels(ctx context.Context, q Query) (Page[RegisteredModel], error) {
	var out struct {
		Items []RegisteredModel `json:"registered_models"`
		Next  string            `json:"next_page_token"`
	}
	err := r.call(ctx, get, "registered-models/search", q.values(), &out)
	return Page[RegisteredModel]{out.Items, out.Next}, err
}

// SetRegisteredModelTag implements Registry.
func (r *REST) SetRegisteredModelTag(ctx context.Context, name string, t Tag) error {
	return r.call(ctx, post, "registered-models/set-tag", fields{"name": name, "key": t.Key, "value": t.Value}, nil)
}

// DeleteRegisteredModelTag implements Registry.
func (r *REST) DeleteRegisteredModelTag(ctx context.Context, name, key string) error {
	return r.call(ctx, remove, "registered-models/delete-tag", fields{"name": name, "key": key}, nil)
}

// SetAlias implements Registry.
func (r *REST) SetAlias(ctx context.Context, name, alias, version string) error {
	if err := checkAlias(alias); err != nil {
		return err
	}
	return r.call(ctx, post, "registered-models/alias", fields{"name": name, "alias": alias, "version": version}, nil)
}

// DeleteAlias implements Registry.
func (r *REST) DeleteAlias(ctx context.Context, name, alias string) error {
	return r.call(ctx, remove, "registered-models/alias", fields{"name": name, "alias": alias}, nil)
}

// CreateModelVersion implements Registry.
func (r *REST) CreateModelVersion(ctx context.Context, v NewModelVersion) (*ModelVersion, error) {
	var out versionAnswer
	err := r.call(ctx, post, "model-versions/create", v, &out)
	return found(&out.Version, err)
}

func versionOf(name, version string) url.Values {
	return url.Values{"name": {name}, "version": {version}}
}

// ModelVersion implements Registry.
func (r *REST) ModelVersion(ctx context.Context, name, version string) (*ModelVersion, error) {
	var out versionAnswer
	err := r.call(ctx, get, "model-versions/get", versionOf(name, version), &out)
	return found(&out.Version, err)
}

// ModelVersionByAlias implements Registry.
func (r *REST) ModelVersionByAlias(ctx context.Context, name, alias string) (*ModelVersion, error) {
	var out versionAnswer
	err := r.call(ctx, get, "registered-models/alias", url.Values{"name": {name}, "alias": {alias}}, &out)
	return found(&out.Version, err)
}

// LatestVersions implements Registry.
func (r *REST) LatestVersions(ctx context.Context, name string, stages ...string) ([]ModelVersion, error) {
	var out struct {
		Items []ModelVersion `json:"model_versions"`
	}
	in := fields{"name": name}
	if len(stages) > 0 {
		in["stages"] = stages
	}
	err := r.call(ctx, post, "registered-models/get-latest-versions", in, &out)
	return out.Items, err
}

// DescribeModelVersion implements Registry.
func (r *REST) DescribeModelVersion(ctx context.Context, name, version, description string) error {
	return r.call(ctx, patch, "model-versions/update", fields{"name": name, "version": version, "description": description}, nil)
}

// TransitionStage implements Registry.
func (r *REST) TransitionStage(ctx context.Context, name, version, stage string, archive bool) (*ModelVersion, error) {
	var out versionAnswer
	err := r.call(ctx, post, "model-versions/transition-stage", fields{"name": name, "version": version, "stage": stage, "archive_existing_versions": archive}, &out)
	return found(&out.Version, err)
}

// DeleteModelVersion implements Registry.
func (r *REST) DeleteModelVersion(ctx context.Context, name, version string) error {
	return r.call(ctx, remove, "model-versions/delete", fields{"name": name, "version": version}, nil)
}

// SearchModelVersions implements Registry.
func (r *REST) SearchModelVersions(ctx context.Context, q Query) (Page[ModelVersion], error) {
	var out struct {
		Items []ModelVersion `json:"model_versions"`
		Next  string         `json:"next_page_token"`
	}
	err := r.call(ctx, get, "model-versions/search", q.values(), &out)
	return Page[ModelVersion]{out.Items, out.Next}, err
}

// SetModelVersionTag implements Registry.
func (r *REST) SetModelVersionTag(ctx context.Context, name, version string, t Tag) error {
	return r.call(ctx, post, "model-versions/set-tag", fields{"name": name, "version": version, "key": t.Key, "value": t.Value}, nil)
}

// DeleteModelVersionTag implements Registry.
func (r *REST) DeleteModelVersionTag(ctx context.Context, name, version, key string) error {
	return r.call(ctx, remove, "model-versions/delete-tag", fields{"name": name, "version": version, "key": key}, nil)
}

// DownloadURI implements Registry.
func (r *REST) DownloadURI(ctx context.Context, name, version string) (string, error) {
	var out struct {
		URI string `json:"artifact_uri"`
	}
	err := r.call(ctx, get, "model-versions/get-download-uri", versionOf(name, version), &out)
	return out.URI, err
}
