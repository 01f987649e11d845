package mlflow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Location is where a model lies.
type Location struct {
	Version     *ModelVersion // nil for models that are not registered
	ArtifactURI string        // root of a set of artifacts
	Path        string        // folder below it
}

// Resolve finds the model that an address names: models:/NAME/VERSION,
// models:/NAME@ALIAS, models:/NAME/STAGE, models:/NAME/latest, models:/m-ID or
// runs:/RUN/PATH.
func Resolve(ctx context.Context, store Store, uri string) (*Location, error) {
	if rest, ok := strings.CutPrefix(uri, "runs:/"); ok {
		id, folder, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		run, err := store.Run(ctx, id)
		if err != nil {
			return nil, err
		}
		return &Location{ArtifactURI: run.Info.ArtifactURI, Path: folder}, checkArtifactPath(folder)
	}
	rest, ok := strings.CutPrefix(uri, "models:/")
	rest = strings.TrimPrefix(rest, "/")
	if !ok || rest == "" {
		return nil, fmt.Errorf("mlflow: %q is no address of a model: want models:/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/STAGE or runs:/RUN/PATH", uri)
	}
	name, what, named := strings.Cut(rest, "/")
	if !named && strings.HasPrefix(rest, "m-") && len(rest) == 34 {
		m, err := store.LoggedModel(ctx, rest)
		if err != nil {
			return nil, err
		}
		return &Location{ArtifactURI: m.Info.ArtifactURI}, nil
	}
	v, err := findVersion(ctx, store, name, what, named)
	if err != nil {
		return nil, err
	}
	at, err := store.DownloadURI(ctx, v.Name, v.Version)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(at, "runs:/") || strings.HasPrefix(at, "models:/m-") {
		l, err := Resolve(ctx, store, at)
		if err == nil {
			l.Version = v
		}
		return l, err
	}
	return &Location{Version: v, ArtifactURI: at}, nil
}

func findVersion(ctx context.Context, store Store, name, what string, named bool) (*ModelVersion, error) {
	if !named {
		name, alias, ok := cutLast(name, "@")
		if !ok || alias == "" {
			return nil, fmt.Errorf("mlflow: models:/%s does not say which version: add /VERSION, /STAGE, /latest or @ALIAS", name)
		}
		return store.ModelVersionByAlias(ctx, name, alias)
	}
	if _, err := versionNumber(what); err == nil {
		return store.ModelVersion(ctx, name, what)
	}
	var list []ModelVersion
	var err error
	if strings.EqualFold(what, "latest") {
		list, err = store.LatestVersions(ctx, name)
	} else if stage, serr := canonicalStage(what); serr != nil {
		return nil, fmt.Errorf("mlflow: models:/%s/%s: %q is no version, stage or \"latest\"", name, what, what)
	} else {
		list, err = store.LatestVersions(ctx, name, stage)
	}
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, missing("registered model %q has no version in %s", name, what)
	}
	newest := list[0]
	for _, v := range list[1:] {
		a, _ := versionNumber(v.Version)
		b, _ := versionNumber(newest.Version)
		if a > b {
			newest = v
		}
	}
	return &newest, nil
}

// cutLast cuts at the last separator.
func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// Download brings the model that an address names into a folder, which must be
// empty or absent, and verifies its checksums. A download that broke off goes on.
func Download(ctx context.Context, store Store, uri, dir string) (*Location, *MLmodel, error) {
	l, err := Resolve(ctx, store, uri)
	if err != nil {
		return nil, nil, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, nil, fmt.Errorf("mlflow: download %s: %s is not empty", uri, dir)
	}
	a, err := OpenArtifacts(store, l.ArtifactURI)
	if err != nil {
		return nil, nil, err
	}
	temp := filepath.Clean(dir) + ".download"
	if err := GetFolder(ctx, a, l.Path, temp); err != nil {
		return nil, nil, err
	}
	m, err := VerifyModel(temp)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("mlflow: download %s", uri), err, os.RemoveAll(temp))
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("mlflow: download %s: %w", uri, err)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return nil, nil, fmt.Errorf("mlflow: download %s: %w", uri, err)
	}
	return l, m, os.Rename(temp, dir)
}
