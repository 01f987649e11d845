package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/wildtrain/sdk/wildtrain"
)

const cardFile = "card.json"

// Card describes a finished model beside its weights: what somebody needs to
// use it without the run that made it.
type Card struct {
	Name          string                `json:"name"`
	Description   string                `json:"description"`
	Model         wildtrain.Description `json:"model"`
	Classes       []string              `json:"classes"` // by index
	Preprocessing Preprocessing         `json:"preprocessing"`
	License       string                `json:"license"` // of the weights, SPDX
	Metrics       []wildtrain.Value     `json:"metrics"`
	Data          string                `json:"data,omitempty"` // what it was trained on
	Source        string                `json:"source,omitempty"`
	Created       time.Time             `json:"created"`
}

// Preprocessing is what happens to a picture before the first layer.
type Preprocessing struct {
	Height   int       `json:"height"`
	Width    int       `json:"width"`
	Resize   string    `json:"resize"`              // "letterbox", "stretch", "center_crop"
	ResizeTo int       `json:"resize_to,omitempty"` // of "center_crop": the shorter side before the middle is cut out; 0 for 256/224 of the size
	Fill     int       `json:"fill,omitempty"`      // grey value of a letterbox's border
	Colour   string    `json:"colour"`              // "RGB"
	Scale    float64   `json:"scale"`               // pixels are multiplied by this first
	Mean     []float64 `json:"mean,omitempty"`      // then this is subtracted
	Std      []float64 `json:"std,omitempty"`       // then divided by this
	Sampling string    `json:"sampling,omitempty"`  // "bilinear"
}

// SaveModel writes the run's final model/ folder: model.safetensors and
// card.json. It replaces an earlier one as a whole, and returns the folder.
func (r *Run) SaveModel(s wildtrain.State, c Card) (string, error) {
	dir := r.Path(modelDir)
	if err := r.saveModel(dir, s, c); err != nil {
		return "", fmt.Errorf("checkpoint: save model %s: %w", dir, err)
	}
	return dir, nil
}

func (r *Run) saveModel(dir string, s wildtrain.State, c Card) error {
	if c.Created.IsZero() {
		c.Created = time.Now()
	}
	meta, err := Describe(c.Model)
	if err != nil {
		return err
	}
	unlock, err := lockFolder(context.Background(), r.Path(lockFile), true)
	if err != nil {
		return err
	}
	defer unlock()
	if err := repairPlace(r.dir, modelDir); err != nil {
		return err
	}
	temp := r.Path(tempPrefix + modelDir)
	if err := os.Mkdir(temp, 0o755); err != nil {
		return err
	}
	err = writeSynced(r.create, filepath.Join(temp, modelFile), func(w io.Writer) error {
		return WriteSafetensors(w, Inference(s), withFormat(meta))
	})
	if err == nil {
		var data []byte
		if data, err = marshal(c); err == nil {
			err = writeSynced(r.create, filepath.Join(temp, cardFile), func(w io.Writer) error {
				_, err := w.Write(append(data, '\n'))
				return err
			})
		}
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return r.replace(temp, dir)
}

// ReadCard reads the card of a model folder.
func ReadCard(dir string) (Card, error) {
	var c Card
	data, err := os.ReadFile(filepath.Join(dir, cardFile))
	if err == nil {
		err = unmarshal(data, &c)
	}
	if err != nil {
		return c, fmt.Errorf("checkpoint: read model card in %s: %w", dir, err)
	}
	return c, nil
}
