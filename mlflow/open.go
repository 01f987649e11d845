package mlflow

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Open opens the store at an address: sqlite:///FILE (sqlite:////FILE where
// the path is absolute) or http(s)://HOST[/PATH]. "" takes MLFLOW_TRACKING_URI, and
// DefaultURI where that is empty, too. The connection and its credentials come from
// the environment, as DefaultConnection says.
func Open(ctx context.Context, uri string) (Store, error) {
	uri = TrackingURI(uri)
	if path, ok := sqlitePath(uri); ok {
		return OpenSQLite(ctx, path, SQLiteOptions{})
	}
	scheme, _, ok := strings.Cut(uri, "://")
	switch {
	case scheme == "http" || scheme == "https":
		c, err := DefaultConnection()
		if err != nil {
			return nil, err
		}
		return OpenREST(uri, c)
	case !ok || scheme == "file":
		return nil, fmt.Errorf("mlflow: open %q: folders of MLflow 2 (file stores) are not written; MLflow itself refuses them since 3.13: use %s or a server", uri, DefaultURI)
	}
	return nil, fmt.Errorf("mlflow: open %q: %s stores are not supported: use sqlite:///FILE or the http address of an MLflow server", uri, scheme)
}

// TrackingURI is uri, or what the environment says where it is empty.
func TrackingURI(uri string) string { return first(uri, os.Getenv("MLFLOW_TRACKING_URI"), DefaultURI) }

// RegistryURI is where models are registered: MLFLOW_REGISTRY_URI, else the tracking address.
func RegistryURI(tracking string) string {
	return first(os.Getenv("MLFLOW_REGISTRY_URI"), TrackingURI(tracking))
}

// sqlitePath is the file of a sqlite address.
func sqlitePath(uri string) (string, bool) {
	path, ok := strings.CutPrefix(uri, "sqlite:///")
	if !ok {
		return "", false
	}
	return filepath.FromSlash(path), path != ""
}

// localPath is the folder of an artifact address without scheme or with file:.
func localPath(uri string) (string, error) {
	if !strings.HasPrefix(uri, "file:") {
		return filepath.FromSlash(uri), nil
	}
	u, err := url.Parse(uri)
	if err != nil || u.Host != "" && u.Host != "localhost" {
		return "", fmt.Errorf("mlflow: %q is no address of a local folder", uri)
	}
	return filepath.FromSlash(first(u.Path, u.Opaque)), nil
}
