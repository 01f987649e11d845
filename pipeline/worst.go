package pipeline

import (
	"fmt"

	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/evaluate/report"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// worstShown is how many pictures a report shows.
const worstShown = 12

// seenPictures remembers what was annotated and found in each picture, by its ID.
type seenPictures map[string]report.Picture

// add keeps what was found from the score conf on.
func (v seenPictures) add(p wildtrain.Prediction, s wildtrain.Sample, conf float64) {
	seen := report.Picture{ID: s.ID, Truth: s.Truth}
	for _, o := range p.Objects {
		if o.Score >= conf {
			seen.Found = append(seen.Found, o)
		}
	}
	v[s.ID] = seen
}

// worst decodes the pictures with most mistakes; paths tells where they lie, by ID.
func (v seenPictures) worst(outcomes []evaluate.PictureOutcome, paths map[string]string) ([]report.Picture, error) {
	var out []report.Picture
	for _, o := range outcomes[:min(len(outcomes), worstShown)] {
		p := v[o.ID]
		im, err := imageio.DecodeFile(paths[o.ID], imageio.Options{MaxPixels: imageio.DefaultMaxPixels})
		if err != nil {
			return nil, err
		}
		p.Image, p.Note = im, fmt.Sprintf("%d missed, %d false", o.FN, o.FP)
		out = append(out, p)
	}
	return out, nil
}
