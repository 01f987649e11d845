package mlflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/internal/yamlsafe"
)

// MLmodel is the file of that name: what a model folder holds and how it is loaded.
type MLmodel struct {
	Flavors      map[string]map[string]any `json:"flavors"`
	ArtifactPath string                    `json:"artifact_path,omitempty"`
	RunID        string                    `json:"run_id,omitempty"`
	ModelID      string                    `json:"model_id,omitempty"`
	ModelUUID    string                    `json:"model_uuid,omitempty"`
	Created      string                    `json:"utc_time_created,omitempty"` // "2006-01-02 15:04:05.000000"
	Version      string                    `json:"mlflow_version,omitempty"`   // whose layout the folder has
	Size         int64                     `json:"model_size_bytes,omitempty"`
	Signature    *Signature                `json:"signature,omitempty"`
	Example      map[string]any            `json:"saved_input_example_info,omitempty"`
	Metadata     map[string]any            `json:"metadata,omitempty"`
}

// Signature tells shapes and types of what goes in and out, each as a text of
// JSON in MLflow's form.
type Signature struct {
	Inputs  string `json:"inputs,omitempty"`
	Outputs string `json:"outputs,omitempty"`
	Params  string `json:"params,omitempty"`
}

// tensorSpec is a signature's text for one tensor; −1 stands for any size.
func tensorSpec(dtype string, shape ...int) string {
	data, _ := json.Marshal([]fields{{"type": "tensor", "tensor-spec": fields{"dtype": dtype, "shape": shape}}}) // plain values
	return string(data)
}

// YAML writes the file. Every value is in YAML's JSON form, which all readers of YAML take.
func (m MLmodel) YAML() ([]byte, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("mlflow: write MLmodel: %w", err)
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, fmt.Errorf("mlflow: write MLmodel: %w", err)
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(top)) {
		b.WriteString(key + ": " + string(top[key]) + "\n")
	}
	return []byte(b.String()), nil
}

// ParseMLmodel reads the file, of ours or of MLflow's. name is for errors, which tell line and column.
func ParseMLmodel(name string, data []byte) (*MLmodel, error) {
	limits := yamlsafe.DefaultLimits()
	limits.Bytes, limits.Nodes = 4<<20, 1<<17
	root, err := yamlsafe.Parse(name, data, limits)
	if err != nil {
		return nil, err
	}
	if root == nil || root.Kind != yamlsafe.Mapping {
		return nil, root.Errorf(name, "an MLmodel file is a mapping")
	}
	m := &MLmodel{Flavors: map[string]map[string]any{}}
	for key, to := range map[string]*string{"artifact_path": &m.ArtifactPath, "run_id": &m.RunID, "model_id": &m.ModelID, "model_uuid": &m.ModelUUID, "utc_time_created": &m.Created, "mlflow_version": &m.Version} {
		if n := root.Get(key); !n.Null() {
			if n.Kind != yamlsafe.Scalar {
				return nil, n.Errorf(name, "%s must be a text", key)
			}
			*to = n.Value
		}
	}
	if n := root.Get("model_size_bytes"); !n.Null() {
		if m.Size, err = strconv.ParseInt(n.Value, 10, 64); err != nil {
			return nil, n.Errorf(name, "model_size_bytes %q is no number", n.Value)
		}
	}
	flavors := root.Get("flavors")
	if flavors == nil || flavors.Kind != yamlsafe.Mapping || len(flavors.Pairs) == 0 {
		return nil, root.Errorf(name, "flavors are missing: they say how the model is loaded")
	}
	for _, p := range flavors.Pairs {
		f, ok := plain(p.Value).(map[string]any)
		if !ok && !p.Value.Null() {
			return nil, p.Value.Errorf(name, "flavor %s must be a mapping", p.Key.Value)
		}
		m.Flavors[p.Key.Value] = f
	}
	if n := root.Get("signature"); !n.Null() {
		m.Signature = &Signature{}
		for key, to := range map[string]*string{"inputs": &m.Signature.Inputs, "outputs": &m.Signature.Outputs, "params": &m.Signature.Params} {
			if s := n.Get(key); !s.Null() {
				*to = s.Value
			}
		}
	}
	m.Example, _ = plain(root.Get("saved_input_example_info")).(map[string]any)
	m.Metadata, _ = plain(root.Get("metadata")).(map[string]any)
	return m, nil
}

// plain turns a node into Go values: nil, bool, float64, string, []any, map[string]any.
func plain(n *yamlsafe.Node) any {
	if n.Null() {
		return nil
	}
	switch n.Kind {
	case yamlsafe.Sequence:
		out := make([]any, 0, len(n.Items))
		for _, i := range n.Items {
			out = append(out, plain(i))
		}
		return out
	case yamlsafe.Mapping:
		out := map[string]any{}
		for _, p := range n.Pairs {
			out[p.Key.Value] = plain(p.Value)
		}
		return out
	}
	if n.Plain && n.Tag == "" {
		switch n.Value {
		case "true", "True", "TRUE":
			return true
		case "false", "False", "FALSE":
			return false
		}
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	}
	return n.Value
}
