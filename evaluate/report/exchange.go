package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/wildtrain/sdk/evaluate"
)

// Saved is the name of the file from which an evaluation is read back.
const Saved = "evaluation.gz"

// exchange makes the files for other programs and for comparing.
func (in *Input) exchange() ([]file, error) {
	switch {
	case in.detections != nil:
		return in.detectionFiles()
	case in.answers != nil:
		return fill(nil,
			content{Saved, in.answers.Save},
			content{filepath.Join("predictions", "predictions.csv"), in.answers.WritePredictions},
			content{filepath.Join("predictions", "fiftyone.json"), in.answers.WriteFiftyOne},
			content{filepath.Join("predictions", "label_studio.json"), func(w io.Writer) error {
				return in.answers.WriteLabelStudio(w, evaluate.DefaultLabelStudioChoices())
			}},
		)
	}
	return nil, nil
}

func (in *Input) detectionFiles() ([]file, error) {
	d := in.detections
	pictures := d.Pictures()
	out, err := fill(nil,
		content{Saved, d.Save},
		content{filepath.Join("predictions", "coco.json"), d.WriteDetections},
	)
	if err != nil {
		return nil, err
	}
	with, err := fill(out,
		content{filepath.Join("predictions", "fiftyone.json"), func(w io.Writer) error {
			return evaluate.WriteFiftyOne(w, pictures, in.Classes)
		}},
		content{filepath.Join("predictions", "label_studio.json"), func(w io.Writer) error {
			return evaluate.WriteLabelStudio(w, pictures, in.Classes, evaluate.DefaultLabelStudio())
		}},
	)
	if errors.Is(err, evaluate.ErrNoSize) {
		in.Detection.Warnings = append(in.Detection.Warnings, fmt.Sprintf("no files for FiftyOne and Label Studio: %v", err))
		return out, nil
	}
	return with, err
}

// content is a file that something writes.
type content struct {
	name  string
	write func(io.Writer) error
}

// fill appends files in memory, so that nothing is on disk before all is known
// to be good.
func fill(out []file, all ...content) ([]file, error) {
	for _, c := range all {
		var b bytes.Buffer
		if err := c.write(&b); err != nil {
			return nil, fmt.Errorf("write %s: %w", c.name, err)
		}
		out = append(out, file{c.name, b.Bytes()})
	}
	return out, nil
}
