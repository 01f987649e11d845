// Package mlflowtest is an MLflow server for tests: REST and artifact proxy over
// a store in a temporary folder. It speaks as MLflow 3 does, far enough for
// MLflow's own Python client to work with it.
//
//	srv, err := mlflowtest.New(t.TempDir())
//	defer srv.Close()
//	store, err := mlflow.Open(ctx, srv.URL)
package mlflowtest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/wildtrain/sdk/mlflow"
)

// Version is what the server says of itself.
const Version = "3.17.2"

// Server is a server under way. Store is what it keeps, to look at directly.
type Server struct {
	*httptest.Server
	Store *mlflow.SQLite

	mu     sync.Mutex
	fault  func(*http.Request) int
	folder string
}

// New starts a server that keeps everything below a folder.
func New(folder string) (*Server, error) {
	store, err := mlflow.OpenSQLite(context.Background(), filepath.Join(folder, "mlflow.db"), mlflow.SQLiteOptions{Artifacts: "mlflow-artifacts:/"})
	if err != nil {
		return nil, err
	}
	s := &Server{Store: store, folder: filepath.Join(folder, "artifacts")}
	s.Server = httptest.NewServer(s.handler())
	return s, nil
}

// Close ends the server and closes its store.
func (s *Server) Close() error {
	s.Server.Close()
	return s.Store.Close()
}

// Fail sets a function that decides for every request whether it fails: with
// the HTTP status that it returns, by a broken connection for −1, and not at all for 0.
// nil lets all pass.
func (s *Server) Fail(decide func(*http.Request) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = decide
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", text("OK"))
	mux.HandleFunc("GET /version", text(Version))
	for pattern, h := range s.routes() {
		method, rest, _ := strings.Cut(pattern, " ")
		for _, base := range []string{"/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"} {
			mux.HandleFunc(method+" "+base+rest, h)
		}
	}
	mux.HandleFunc("/api/2.0/mlflow-artifacts/artifacts/{path...}", s.file)
	mux.HandleFunc("GET /api/2.0/mlflow-artifacts/artifacts", s.listFiles)
	mux.HandleFunc("POST /api/2.0/mlflow-artifacts/mpu/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, nil, &mlflow.Error{Code: "NOT_IMPLEMENTED", Message: "multipart upload is not supported for the current artifact repository", Status: http.StatusNotImplemented})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		decide := s.fault
		s.mu.Unlock()
		status := 0
		if decide != nil {
			status = decide(r)
		}
		switch {
		case status < 0:
			panic(http.ErrAbortHandler)
		case status > 0:
			http.Error(w, http.StatusText(status), status)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

func text(t string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, t) } // a client that is gone needs no answer
}

// answer writes a result, or an error as MLflow does.
func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		e := &mlflow.Error{Code: "INTERNAL_ERROR", Message: err.Error(), Status: http.StatusInternalServerError}
		errors.As(err, &e)
		w.WriteHeader(e.Status)
		v = map[string]string{"error_code": e.Code, "message": e.Message}
	}
	if v == nil {
		v = struct{}{}
	}
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

// local is the place of an artifact, "" where the path leads out of the folder.
func (s *Server) local(p string) string {
	p = strings.TrimPrefix(p, "/")
	if p == "" {
		return s.folder
	}
	if !filepath.IsLocal(filepath.FromSlash(p)) || path.Clean(p) != p {
		return ""
	}
	return filepath.Join(s.folder, filepath.FromSlash(p))
}

func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	place := s.local(r.PathValue("path"))
	switch {
	case place == "":
		answer(w, nil, &mlflow.Error{Code: "INVALID_PARAMETER_VALUE", Message: "Invalid path", Status: http.StatusBadRequest})
	case r.Method == http.MethodGet:
		http.ServeFile(w, r, place)
	case r.Method == http.MethodPut:
		answer(w, nil, store(place, r.Body))
	case r.Method == http.MethodDelete:
		answer(w, nil, os.RemoveAll(place))
	default:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

func store(place string, body io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	f, err := os.Create(place)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

func (s *Server) listFiles(w http.ResponseWriter, r *http.Request) {
	place := s.local(r.URL.Query().Get("path"))
	entries, err := os.ReadDir(place)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		answer(w, nil, err)
		return
	}
	files := []mlflow.FileInfo{}
	for _, e := range entries {
		f := mlflow.FileInfo{Path: e.Name(), Dir: e.IsDir()}
		if st, err := e.Info(); err == nil && !f.Dir {
			f.Size = mlflow.Millis(st.Size())
		}
		files = append(files, f)
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	answer(w, map[string]any{"files": files}, nil)
}
