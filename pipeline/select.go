package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

// Selection is a varied part of the training data.
type Selection struct {
	Pictures    int             `json:"pictures"`    // that were looked at
	Clusters    int             `json:"clusters"`    // that they were grouped into
	Silhouettes map[int]float64 `json:"silhouettes"` // by number of clusters
	Kept        []string        `json:"kept"`        // ids or paths, as data.sampler.only takes them
}

// Select groups the training pictures by what the model of s.Model.Weights sees
// in them and keeps a varied part. The model must be one that embeds
// (wildtrain.Embedder). With examples its own data is looked at, ROIs and crops
// included; else whole pictures, annotated for detection.
func (e *Env) Select(ctx context.Context, s Settings, c datamodule.ClusterConfig, examples bool) (out *Selection, err error) {
	m, t, err := e.open(&s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	embedder, ok := m.(wildtrain.Embedder)
	if !ok {
		return nil, fmt.Errorf("pipeline: select: %s gives no embeddings: take the weights of a classifier", m.Describe().Architecture)
	}
	var data dataset
	stage := wildtrain.Test
	if examples {
		stage, s.Model.ImageSize = s.unaugmented(wildtrain.Train), m.Describe().InputSize[0]
		data, err = t.data(s, e.log())
	} else {
		var paths []string
		if paths, err = trainingPictures(ctx, s); err == nil {
			data, err = t.pictures(s, m.Describe(), paths)
		}
	}
	if err != nil {
		return nil, err
	}
	defer data.Close()
	if err := data.Setup(ctx, stage); err != nil {
		return nil, err
	}
	l, err := data.Loader(stage, wildtrain.Position{World: 1})
	if err != nil {
		return nil, err
	}
	ids, embeddings, err := datamodule.Embeddings(ctx, l, embedder)
	if err != nil {
		return nil, err
	}
	found, err := datamodule.Cluster(embeddings, c)
	if err != nil {
		return nil, err
	}
	out = &Selection{Pictures: len(ids), Clusters: len(found.Centres), Silhouettes: found.Silhouettes}
	for _, i := range found.Kept {
		out.Kept = append(out.Kept, ids[i])
	}
	slices.Sort(out.Kept)
	return out, nil
}

// trainingPictures are the files of the training split of detection data.
func trainingPictures(ctx context.Context, s Settings) ([]string, error) {
	if s.Data.Source == datamodule.ROI || s.Data.Source == datamodule.Folder {
		s.Data.Source = datamodule.Auto // the layout is that of the classifier's own training
	}
	d, err := datamodule.NewDetection(s.Data)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if err := d.Setup(ctx, wildtrain.Train); err != nil {
		return nil, err
	}
	var paths []string
	for _, r := range d.Records(wildtrain.Train) {
		paths = append(paths, r.Path)
	}
	return paths, nil
}
