package pipeline

import (
	"context"
	"math"
	"strings"

	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/wildtrain"
)

// Looking says how a detector looks at pictures.
type Looking struct {
	detection.Postprocess
	Half    bool                    // compute in half precision
	Windows datamodule.WindowConfig // the parts of a picture that are looked at; of size 0: the whole
	Merging detection.Merging       // how detections of several parts become one
}

// lookingOf reads what a configuration says of evaluation or prediction.
func lookingOf(f config.Finding) Looking {
	overlap := func(name string) detection.Overlap { return detection.Overlap(strings.ToLower(name)) }
	l := Looking{
		Postprocess: detection.PredictPostprocess(), Half: f.Half,
		Windows: datamodule.WindowConfig{Size: f.Tile, Overlap: f.Overlap, Whole: f.Whole},
		Merging: detection.Merging{
			Method: detection.MergeMethod(strings.ToLower(f.Merge)), Overlap: overlap(f.MergeMetric), Threshold: f.MergeThreshold, Agnostic: f.AgnosticNMS,
		},
	}
	p := &l.Postprocess
	p.Conf, p.IoU, p.Overlap, p.MaxDet, p.MultiLabel, p.Agnostic, p.Augment = f.Conf, f.IoU, overlap(f.OverlapMetric), f.MaxDet, f.MultiLabel, f.AgnosticNMS, f.Augment
	p.Suppression, p.Sigma = detection.Suppression(strings.ToLower(f.NMS)), f.Sigma
	return l
}

// look prepares the settings for opening a model and pictures to look at.
func (s *Settings) look(l Looking) {
	if s.Data.Windows = l.Windows; l.Half {
		s.Hardware.Precision = "auto"
	}
}

// eachPicture is eachPrediction for whole pictures, also where the model looks
// at them part by part.
func (e *Env) eachPicture(ctx context.Context, m wildtrain.Model, data wildtrain.DataModule, stage, name wildtrain.Stage, l Looking, each func(wildtrain.Prediction, wildtrain.Sample) error) error {
	if l.Windows.Size == 0 {
		return e.eachPrediction(ctx, m, data, stage, name, each)
	}
	j := joiner{merging: l.Merging, size: l.Windows.Size, scale: float64(m.Describe().InputSize[0]) / float64(l.Windows.Size), each: each}
	if err := e.eachPrediction(ctx, m, data, stage, name, j.add); err != nil {
		return err
	}
	return j.flush()
}

// joiner puts the parts of a picture, which come one after the other, together
// and hands each picture on when its last part has come.
type joiner struct {
	merging detection.Merging
	size    int     // of a window, in pixels
	scale   float64 // of a window in the model's input; the whole picture is smaller there
	each    func(wildtrain.Prediction, wildtrain.Sample) error
	parts   []detection.Part
	found   wildtrain.Prediction // of the last part
	sample  wildtrain.Sample
	any     bool
}

func (j *joiner) add(p wildtrain.Prediction, s wildtrain.Sample) error {
	if j.any && p.ID != j.found.ID {
		if err := j.flush(); err != nil {
			return err
		}
	}
	inside := j.inside(s)
	for _, o := range p.Objects {
		j.parts = append(j.parts, detection.Part{Object: o, Cut: o.Box != inside.Intersect(o.Box)})
	}
	j.found, j.sample, j.any = p, s, true
	return nil
}

// inside is the part of a window where nothing is cut: all of it but for a rim at
// borders that are none of the picture.
func (j *joiner) inside(s wildtrain.Sample) wildtrain.Box {
	const rim = 2
	all := wildtrain.Box{X1: math.Inf(-1), Y1: math.Inf(-1), X2: math.Inf(1), Y2: math.Inf(1)}
	if s.Place.A < j.scale*0.999 {
		return all // the whole picture
	}
	x, y, side := -s.Place.C/s.Place.A, -s.Place.F/s.Place.E, float64(j.size)
	if x > 0.5 {
		all.X1 = x + rim
	}
	if y > 0.5 {
		all.Y1 = y + rim
	}
	if x+side < float64(s.Width)-0.5 {
		all.X2 = x + side - rim
	}
	if y+side < float64(s.Height)-0.5 {
		all.Y2 = y + side - rim
	}
	return all
}

func (j *joiner) flush() (err error) {
	if !j.any {
		return nil
	}
	p := j.found
	if p.Objects, err = j.merging.Merge(j.parts); err != nil {
		return err
	}
	j.parts, j.any = j.parts[:0], false
	return j.each(p, j.sample)
}

// letterboxed measures a metric's values in the coordinates of the batch, as the
// model sees pictures, instead of the original ones.
type letterboxed struct{ wildtrain.Metric }

// Update implements wildtrain.Metric.
func (m letterboxed) Update(predictions []wildtrain.Prediction, samples []wildtrain.Sample) error {
	seenBy := make([]wildtrain.Prediction, len(predictions))
	seen := make([]wildtrain.Sample, len(samples))
	for i := range samples {
		seenBy[i], seen[i] = asSeen(predictions[i], samples[i])
	}
	return m.Metric.Update(seenBy, seen)
}

// asSeen maps what was found in a picture and what is annotated to the batch's
// coordinates; the picture gets the size that it has there, borders included.
func asSeen(p wildtrain.Prediction, s wildtrain.Sample) (wildtrain.Prediction, wildtrain.Sample) {
	move := func(objects []wildtrain.Object) []wildtrain.Object {
		out := make([]wildtrain.Object, len(objects))
		for i, o := range objects {
			o.Box, o.Mask = s.Place.Box(o.Box), nil
			o.Area *= s.Place.A * s.Place.E
			out[i] = o
		}
		return out
	}
	p.Objects, s.Truth = move(p.Objects), move(s.Truth)
	x, y := s.Place.Apply(float64(s.Width), float64(s.Height))
	s.Width, s.Height = int(math.Round(x+s.Place.C)), int(math.Round(y+s.Place.F)) // the borders are alike on both sides
	return p, s
}
