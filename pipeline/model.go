package pipeline

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/wildtrain"
)

// build makes the model that s describes for the given classes, from random
// numbers or from weights, which must fit unless Partial is set.
func (e *Env) build(t task, s Settings, classes []string) (network, error) {
	if s.Model.Weights == "" {
		return e.make(t, s, classes, nil)
	}
	w, err := checkpoint.Open(s.Model.Weights)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	m, err := e.make(t, s, classes, w)
	if errors.As(err, &misfit{}) && !s.Model.Partial && s.Resume == "" {
		err = fmt.Errorf("%w (model.partial=true takes the tensors that fit)", err)
	}
	return m, err
}

// misfit is the error of a model that could not be made of weights.
type misfit struct{ error }

func (m misfit) Unwrap() error { return m.error }

// open makes the model that stored weights hold, for use and not for training:
// architecture and classes come from the file where s does not give them, and how it
// wants its pictures is put into s.
func (e *Env) open(s *Settings) (network, task, error) {
	want := *s
	want.Model.Auxiliary, want.Model.EncoderWeights = detection.DefaultAuxiliary(), ""
	if s.Model.Weights == "" {
		t := taskOf(s.Model.Architecture)
		m, err := e.make(t, want, s.Model.Classes, nil)
		return m, t, err
	}
	w, err := checkpoint.Open(s.Model.Weights)
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	d := describe(w)
	if want.Model.ImageSize == 0 {
		want.Model.ImageSize = d.InputSize[0]
	}
	if want.Model.Architecture == "" {
		want.Model.Architecture = d.Architecture
	}
	if want.Model.Architecture == "" {
		return nil, nil, badSettings(fmt.Errorf("pipeline: open %s: the file does not say what model it is: give model=NAME", s.Model.Weights))
	}
	if len(want.Model.Classes) == 0 {
		want.Model.Classes = d.Classes
	}
	t := taskOf(want.Model.Architecture)
	m, err := e.make(t, want, want.Model.Classes, w)
	if err == nil {
		t.adopt(m, s)
	}
	return m, t, err
}

func (e *Env) make(t task, s Settings, classes []string, weights *checkpoint.File) (network, error) {
	c, err := s.computing(e.log())
	if err != nil {
		return nil, err
	}
	if s.Model.ImageSize == 0 {
		s.Model.ImageSize = t.imageSize(s.Model.Architecture)
	}
	m, err := t.build(s, classes, weights, c)
	if err != nil {
		if weights != nil {
			return nil, misfit{fmt.Errorf("pipeline: %s as %s with %d classes: %w", weights.Path(), s.Model.Architecture, len(classes), err)}
		}
		return nil, err
	}
	if r := m.Loaded(); weights != nil && !r.Complete() {
		e.log().Warn("the weights do not cover the model", "file", weights.Path(), "loaded", r.Loaded, "missing", len(r.Missing), "unexpected", len(r.Unexpected), "misshaped", len(r.Misshaped))
	}
	if c, ok := m.(interface{ CarriedClasses() ([]string, bool) }); ok && weights != nil {
		if carried, ok := c.CarriedClasses(); ok {
			e.log().Info("the weights know other classes: rows of equal names are taken over", "classes", len(classes), "taken", carried)
		}
	}
	return m, nil
}

// describe reads what a weights file says of its model. A file of another program
// may name the classes; else their number is seen from the shape of a head.
func describe(w *checkpoint.File) wildtrain.Description {
	d, ours := w.Description()
	if !ours {
		d.Architecture, d.License = w.Origin()
	}
	if len(d.Classes) == 0 {
		d.Classes = w.Classes()
	}
	for _, f := range families {
		if len(d.Classes) == 0 {
			d.Classes = numbered(f.classes(w))
		}
	}
	return d
}

// numbered names classes that have no names.
func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "class" + strconv.Itoa(i)
	}
	return out
}

// ModelInfo is what Info tells of a model.
type ModelInfo struct {
	wildtrain.Description
	Tensors int     `json:"tensors"`
	Fused   int64   `json:"fused_parameters,omitempty"` // where batch norm folds into convolutions
	Strides []int64 `json:"strides,omitempty"`          // of a detector's levels
}

// Info builds the model of s and describes it.
func (e *Env) Info(s Settings) (ModelInfo, error) {
	if s.Model.Weights == "" && len(s.Model.Classes) == 0 {
		s.Model.Classes = numbered(80)
	}
	m, _, err := e.open(&s)
	if err != nil {
		return ModelInfo{}, err
	}
	defer m.Close()
	info := ModelInfo{Description: m.Describe(), Tensors: len(m.State().Names())}
	if f, ok := m.(interface{ FusedParameters() int64 }); ok {
		info.Fused = f.FusedParameters()
	}
	if l, ok := m.(interface{ Strides() []int64 }); ok {
		info.Strides = l.Strides()
	}
	return info, nil
}

// Convert rewrites weights in another format, by the extensions of the files:
// .pt and .pth (read also as whole modules and nested checkpoints) and
// .safetensors. It returns the number of tensors.
func (e *Env) Convert(in, out string) (int, error) {
	w, err := checkpoint.Open(in)
	if err != nil {
		return 0, err
	}
	defer w.Close()
	n := len(checkpoint.Inference(w).Names())
	if n == 0 {
		return 0, fmt.Errorf("pipeline: convert %s: no tensors in it", in)
	}
	return n, checkpoint.Export(out, w, w.Metadata())
}
