package pipeline

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/evaluate/report"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// worstShown is how many pictures a report shows.
const worstShown = 12

// worstPictures remembers the pictures with most mistakes at one score and IoU.
type worstPictures struct {
	conf, iou float64
	kept      []badPicture
}

type badPicture struct {
	id            string
	missed, wrong int
	truth, found  []wildtrain.Object
}

// picturePaths tells where the pictures of a stage lie, once it is set up.
func picturePaths(d *datamodule.Detection, stage wildtrain.Stage) map[string]string {
	out := map[string]string{}
	for _, r := range d.Records(stage) {
		out[r.ID] = r.Path
	}
	return out
}

// add keeps a picture if it is among the worst. Matching is greedy by score and
// by class, which is exact enough to choose pictures by.
func (w *worstPictures) add(p wildtrain.Prediction, s wildtrain.Sample) {
	b := badPicture{id: s.ID, truth: s.Truth}
	taken := make([]bool, len(s.Truth))
	for _, o := range p.Objects {
		if o.Score < w.conf {
			continue
		}
		b.found = append(b.found, o)
		best, at := w.iou, -1
		for i, t := range s.Truth {
			if v := o.Box.IoU(t.Box); !taken[i] && t.Class == o.Class && v >= best {
				best, at = v, i
			}
		}
		if at < 0 {
			b.wrong++
		} else {
			taken[at] = true
		}
	}
	for i, t := range s.Truth {
		if !taken[i] && !t.Crowd {
			b.missed++
		}
	}
	w.kept = append(w.kept, b)
	slices.SortStableFunc(w.kept, func(x, y badPicture) int { return cmp.Compare(y.missed+y.wrong, x.missed+x.wrong) })
	w.kept = w.kept[:min(len(w.kept), worstShown)]
}

// pictures decodes what was kept; paths tells where, by sample ID.
func (w *worstPictures) pictures(paths map[string]string) ([]report.Picture, error) {
	var out []report.Picture
	for _, b := range w.kept {
		im, err := imageio.DecodeFile(paths[b.id], imageio.Options{MaxPixels: imageio.DefaultMaxPixels})
		if err != nil {
			return nil, err
		}
		out = append(out, report.Picture{ID: b.id, Note: fmt.Sprintf("%d missed, %d false", b.missed, b.wrong), Image: im, Truth: b.truth, Found: b.found})
	}
	return out, nil
}
