package evaluate

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Saved is an evaluation read back with everything it was made of, so that it
// can be compared with another. One of the two is there.
type Saved struct {
	Detection      *Detection
	Classification *Classification
}

// savedFile is the form on disk: gzip of one JSON object.
type savedFile struct {
	Task           string
	Detection      *DetectionConfig      `json:",omitempty"`
	Classification *ClassificationConfig `json:",omitempty"`
	State          json.RawMessage
}

// Save writes settings, objects and detections, for ReadSaved.
func (d *Detection) Save(w io.Writer) error {
	state, err := d.Marshal()
	if err != nil {
		return err
	}
	return save(w, savedFile{Task: d.Name(), Detection: &d.cfg, State: state})
}

// Save writes settings, truth and predictions, for ReadSaved.
func (c *Classification) Save(w io.Writer) error {
	state, err := c.Marshal()
	if err != nil {
		return err
	}
	return save(w, savedFile{Task: c.Name(), Classification: &c.cfg, State: state})
}

func save(w io.Writer, f savedFile) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := errors.Join(json.NewEncoder(z).Encode(f), z.Close()); err != nil {
		return fmt.Errorf("evaluate: save: %w", err)
	}
	return nil
}

// ReadSaved reads what Save wrote. lim.Bytes bounds what is unpacked.
func ReadSaved(r io.Reader, lim Limits) (Saved, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return Saved{}, fmt.Errorf("evaluate: read saved evaluation: %w", err)
	}
	var f savedFile
	if err := json.NewDecoder(&limited{z, lim.Bytes + 1}).Decode(&f); err != nil {
		return Saved{}, fmt.Errorf("evaluate: read saved evaluation: %w", err)
	}
	switch {
	case f.Detection != nil:
		f.Detection.Workers = 0 // of this machine, not of that one
		d, err := NewDetection(*f.Detection)
		if err != nil {
			return Saved{}, err
		}
		return Saved{Detection: d}, d.Merge(f.State)
	case f.Classification != nil:
		c, err := NewClassification(*f.Classification)
		if err != nil {
			return Saved{}, err
		}
		return Saved{Classification: c}, c.Merge(f.State)
	}
	return Saved{}, fmt.Errorf("evaluate: read saved evaluation: its task is %q, want detection or classification", f.Task)
}

// OpenSaved is ReadSaved on a file, errors naming it.
func OpenSaved(path string, lim Limits) (Saved, error) {
	f, err := os.Open(path)
	if err != nil {
		return Saved{}, fmt.Errorf("evaluate: open saved evaluation: %w", err)
	}
	defer f.Close()
	s, err := ReadSaved(f, lim)
	if err != nil {
		return Saved{}, fmt.Errorf("evaluate: open %s: %w", path, err)
	}
	return s, nil
}
