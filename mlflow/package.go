package mlflow

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wildtrain/sdk/checkpoint"
)

// layoutVersion is the MLflow whose folder layout PackageModel follows.
const layoutVersion = "3.1.4"

// The files that PackageModel looks for in a model folder.
const (
	// TorchScriptFile is a traced network: it makes the flavours pytorch and python_function.
	TorchScriptFile = "model.torchscript.pt"
	// TracedFile tells of it, as Traced in JSON; it may be absent.
	TracedFile = "model.torchscript.json"
	// ONNXFile makes the flavours onnx and python_function.
	ONNXFile    = "model.onnx"
	mlmodelFile = "MLmodel"
	weightsFile = "model.safetensors"
	exampleFile = "input_example.json"
)

// Package says what becomes a model folder.
type Package struct {
	Dir      string // folder with card.json and model.safetensors, as checkpoint.Run.SaveModel writes it, and perhaps TorchScriptFile or ONNXFile
	RunID    string
	ModelID  string
	Metadata map[string]any // beside what the card tells
}

// Traced is what TracedFile says of a traced network.
type Traced struct {
	Torch  string `json:"torch"`  // version of the libtorch that wrote it
	Input  []int  `json:"input"`  // shape (N, 3, H, W) of the tensor that goes in; −1 stands for any size
	Output []int  `json:"output"` // of the tensor that comes out
}

// readTraced reads TracedFile of a model folder, which may lack it.
func readTraced(dir string) (t Traced, err error) {
	data, err := os.ReadFile(filepath.Join(dir, TracedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Traced{Torch: "2.7.1"}, nil
	}
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(data, &t); err != nil {
		return t, fmt.Errorf("%s: %w", TracedFile, err)
	}
	if t.Torch == "" || len(t.Input) != 4 || len(t.Output) == 0 {
		return t, fmt.Errorf("%s: torch, input (4 numbers) or output is missing", TracedFile)
	}
	return t, nil
}

// PackageModel fills a new folder with a model that MLflow's tools read: the
// files of p.Dir, an MLmodel file and Python requirements. A TorchScript file is
// loaded in Python by mlflow.pytorch and mlflow.pyfunc, an ONNX file by mlflow.onnx and
// mlflow.pyfunc; weights alone make the flavour wildtrain, which this SDK reads.
//
// The tensor that goes in is float32 (N, 3, H, W). A detector of YOLO's kind gives
// (N, 4+classes, anchors): boxes as centre, width and height in pixels, then probabilities,
// before suppression; a classifier gives (N, classes).
func PackageModel(dir string, p Package) (*MLmodel, error) {
	m, err := packageModel(dir, p)
	if err != nil {
		return nil, fmt.Errorf("mlflow: package model %s: %w", p.Dir, err)
	}
	return m, nil
}

func packageModel(dir string, p Package) (*MLmodel, error) {
	card, err := checkpoint.ReadCard(p.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	about, err := readTraced(p.Dir)
	if err != nil {
		return nil, err
	}
	traced, exported := exists(filepath.Join(p.Dir, TorchScriptFile)), exists(filepath.Join(p.Dir, ONNXFile))
	m := &MLmodel{
		Flavors: map[string]map[string]any{"wildtrain": {"weights": weightsFile, "card": "card.json", "task": card.Model.Task, "architecture": card.Model.Architecture}},
		RunID:   p.RunID, ModelID: p.ModelID, ModelUUID: newID(), Version: layoutVersion,
		Created: time.Now().UTC().Format("2006-01-02 15:04:05.000000"), Metadata: metadata(card, p.Metadata),
	}
	requirements := []string{"numpy"}
	if err := copyModel(dir, p.Dir); err != nil {
		return nil, err
	}
	if exported {
		requirements = append(requirements, "onnx", "onnxruntime")
		m.Flavors["onnx"] = fields{"data": ONNXFile, "onnx_version": "1.17.0", "providers": []string{"CUDAExecutionProvider", "CPUExecutionProvider"}, "code": nil}
		m.Flavors["python_function"] = pythonFunction("mlflow.onnx", ONNXFile)
	}
	if traced {
		requirements = append(requirements, "torch>="+about.Torch)
		m.Flavors["pytorch"] = fields{"model_data": "data", "pytorch_version": about.Torch, "code": nil}
		m.Flavors["python_function"] = pythonFunction("mlflow.pytorch", "data")
		if err := placeTraced(dir); err != nil {
			return nil, err
		}
	}
	if traced || exported {
		if err := m.describeTensors(dir, card, about); err != nil {
			return nil, err
		}
	}
	if err := writePython(dir, requirements); err != nil {
		return nil, err
	}
	return m, m.finish(dir, card)
}

func exists(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

func pythonFunction(loader, data string) map[string]any {
	return fields{"loader_module": loader, "data": data, "python_version": "3.11.7", "env": fields{"conda": "conda.yaml", "virtualenv": "python_env.yaml"}}
}

// copyModel copies the files of a model folder.
func copyModel(dir, from string) error {
	found := false
	err := eachFile(from, func(name, file string) error {
		found = found || name == weightsFile || name == TorchScriptFile || name == ONNXFile
		return copyFile(filepath.Join(dir, filepath.FromSlash(name)), file)
	})
	if err == nil && !found {
		err = fmt.Errorf("it holds none of %s, %s, %s", weightsFile, TorchScriptFile, ONNXFile)
	}
	return err
}

// placeTraced puts the TorchScript archive where mlflow.pytorch looks for it.
func placeTraced(dir string) error {
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	return errors.Join(os.Rename(filepath.Join(dir, TorchScriptFile), filepath.Join(data, "model.pth")),
		os.WriteFile(filepath.Join(data, "pickle_module_info.txt"), []byte("mlflow.pytorch.pickle_module"), 0o644))
}

// describeTensors writes signature and input example.
func (m *MLmodel) describeTensors(dir string, card checkpoint.Card, t Traced) error {
	h, w := card.Model.InputSize[0], card.Model.InputSize[1]
	if h == 0 || w == 0 {
		h, w = card.Preprocessing.Height, card.Preprocessing.Width
	}
	classes := len(card.Model.Classes)
	m.Signature = &Signature{Inputs: tensorSpec("float32", -1, 3, orAny(h), orAny(w)), Outputs: tensorSpec("float32", -1, classes)}
	if card.Model.Task == "detection" {
		m.Signature.Outputs = tensorSpec("float32", -1, 4+classes, -1)
	}
	if len(t.Input) > 0 {
		m.Signature = &Signature{Inputs: tensorSpec("float32", t.Input...), Outputs: tensorSpec("float32", t.Output...)}
		h, w = t.Input[2], t.Input[3]
	}
	if h == 0 || w == 0 || h*w > 1<<20 {
		return nil // no size to show, or one that would make a text of many megabytes
	}
	m.Example = fields{"artifact_path": exampleFile, "type": "ndarray", "format": "tf-serving"}
	return writeWhole(filepath.Join(dir, exampleFile), func(out io.Writer) error {
		b := bufio.NewWriter(out)
		row := "[" + strings.TrimSuffix(strings.Repeat("0.0,", w), ",") + "]"
		plane := "[" + strings.TrimSuffix(strings.Repeat(row+",", h), ",") + "]"
		fmt.Fprintf(b, `{"inputs": [[%s,%s,%s]]}`, plane, plane, plane)
		return b.Flush()
	})
}

func orAny(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// metadata is the free part of MLmodel: what a program needs that uses the model.
func metadata(card checkpoint.Card, more map[string]any) map[string]any {
	values := map[string]any{}
	for _, v := range card.Metrics {
		if !math.IsNaN(v.Value) && !math.IsInf(v.Value, 0) {
			values[v.Name] = v.Value
		}
	}
	labels := map[string]any{}
	for i, c := range card.Model.Classes {
		labels[fmt.Sprint(i)] = c
	}
	out := fields{
		"task": card.Model.Task, "model_type": card.Model.Architecture, "classes": card.Model.Classes, "num_classes": len(card.Model.Classes), "label_to_class_map": labels,
		"imgsz": max(card.Model.InputSize[0], card.Model.InputSize[1]), "input_size": card.Model.InputSize, "batch": 1,
		"preprocessing": card.Preprocessing, "metrics": values, "license": card.License, "data": card.Data, "description": card.Description,
	}
	maps.Copy(out, more)
	return out
}

// writePython writes what rebuilds a Python environment.
func writePython(dir string, requirements []string) error {
	list := "mlflow\n" + strings.Join(requirements, "\n") + "\n"
	env := "python: 3.11.7\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n"
	var conda strings.Builder
	conda.WriteString("channels:\n- conda-forge\ndependencies:\n- python=3.11.7\n- pip\n- pip:\n  - mlflow\n")
	for _, r := range requirements {
		conda.WriteString("  - " + r + "\n")
	}
	conda.WriteString("name: mlflow-env\n")
	return errors.Join(os.WriteFile(filepath.Join(dir, "requirements.txt"), []byte(list), 0o644),
		os.WriteFile(filepath.Join(dir, "python_env.yaml"), []byte(env), 0o644),
		os.WriteFile(filepath.Join(dir, "conda.yaml"), []byte(conda.String()), 0o644))
}

// finish writes the model card, the checksums and MLmodel itself.
func (m *MLmodel) finish(dir string, card checkpoint.Card) error {
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte(modelCard(card)), 0o644); err != nil {
		return err
	}
	sums := map[string]any{}
	err := eachFile(dir, func(name, file string) error {
		sum, _, err := checkpoint.Digest(file)
		if err != nil {
			return err
		}
		st, err := os.Stat(file)
		if err == nil {
			sums[name], m.Size = sum, m.Size+st.Size()
		}
		return err
	})
	if err != nil {
		return err
	}
	m.Metadata["sha256"] = sums
	text, err := m.YAML()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, mlmodelFile), text, 0o644)
}

// modelCard is the card for people.
func modelCard(c checkpoint.Card) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", first(c.Name, c.Model.Architecture), c.Description)
	fmt.Fprintf(&b, "| | |\n|---|---|\n| task | %s |\n| architecture | %s |\n| parameters | %d |\n| input | %d × %d, %s |\n| classes | %s |\n",
		c.Model.Task, c.Model.Architecture, c.Model.Parameters, c.Preprocessing.Height, c.Preprocessing.Width, c.Preprocessing.Resize, strings.Join(c.Model.Classes, ", "))
	fmt.Fprintf(&b, "| licence of the weights | %s |\n| data | %s |\n| made | %s |\n", first(c.License, "not stated"), first(c.Data, "not stated"), c.Created.Format(time.DateOnly))
	if len(c.Metrics) > 0 {
		b.WriteString("\n| metric | value |\n|---|---|\n")
		for _, v := range c.Metrics {
			fmt.Fprintf(&b, "| %s | %.4f |\n", v.Name, v.Value)
		}
	}
	return b.String()
}

// VerifyModel holds the files of a model folder against the checksums in its MLmodel file.
// A folder that MLflow wrote has none: then only the file itself is read.
func VerifyModel(dir string) (*MLmodel, error) {
	path := filepath.Join(dir, mlmodelFile)
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("mlflow: %s is no model folder: it has no file MLmodel", dir)
		}
		return nil, fmt.Errorf("mlflow: read model: %w", err)
	}
	m, err := ParseMLmodel(path, data)
	if err != nil {
		return nil, err
	}
	sums, _ := m.Metadata["sha256"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, fmt.Errorf("mlflow: %s: the file %q in its list leads out of the folder", path, name)
		}
		sum, _, err := checkpoint.Digest(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, fmt.Errorf("mlflow: model %s: %w", dir, err)
		}
		if sum != sums[name] {
			return nil, fmt.Errorf("mlflow: model %s: %s is not the file that was stored: its SHA-256 differs", dir, name)
		}
	}
	return m, nil
}
