package wildtrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// EventLog is a Callback that appends one line of JSON per event to a file:
// all but StepEnd and ValidateStep, which are too many. Numbers that JSON lacks
// are the strings "NaN", "Infinity" and "-Infinity".
//
//	{"time":"2026-01-02T15:04:05Z","kind":"epoch_end","epoch":1,"batch":0,"step":12,"values":{"train/loss":3.25}}
type EventLog struct{ file *os.File }

// NewEventLog opens a file for appending and makes it where it is absent. A
// last line that a crash has cut short is ended, so that the next one is whole.
func NewEventLog(path string) (*EventLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("wildtrain: open event log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("wildtrain: open event log: %w", err)
	}
	if err := endLastLine(f); err != nil {
		return nil, errors.Join(fmt.Errorf("wildtrain: open event log: %w", err), f.Close())
	}
	return &EventLog{f}, nil
}

func endLastLine(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		_, err = f.WriteString("\n")
	}
	return err
}

// eventLine is the form of a line.
type eventLine struct {
	Time    time.Time         `json:"time"`
	Kind    Kind              `json:"kind"`
	Stage   Stage             `json:"stage,omitempty"`
	Epoch   int               `json:"epoch"` // finished epochs
	Batch   int               `json:"batch"`
	Step    int64             `json:"step"`
	Values  map[string]number `json:"values,omitempty"`
	Path    string            `json:"path,omitempty"`
	Text    string            `json:"text,omitempty"`
	Stopped string            `json:"stopped,omitempty"`
	Error   string            `json:"error,omitempty"`
}

// number is a float64 that any value of can be written.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	switch f := float64(n); {
	case math.IsNaN(f):
		return []byte(`"NaN"`), nil
	case math.IsInf(f, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(f, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return strconv.AppendFloat(nil, f, 'g', -1, 64), nil
	}
}

// Handle implements Callback.
func (l *EventLog) Handle(_ context.Context, e *Event) error {
	if e.Kind == StepEnd || e.Kind == ValidateStep {
		return nil
	}
	line := eventLine{
		Time: time.Now().UTC(), Kind: e.Kind, Stage: e.Stage, Epoch: e.Progress.Epoch, Batch: e.Progress.Batch,
		Step: e.Progress.Step, Path: e.Path, Text: e.Text,
	}
	if len(e.Values) > 0 {
		line.Values = map[string]number{}
	}
	for _, v := range e.Values {
		line.Values[v.Name] = number(v.Value)
	}
	if e.Err != nil {
		line.Error = e.Err.Error()
	}
	if e.Result != nil {
		line.Stopped = e.Result.Stopped
	}
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("wildtrain: write event log: %w", err)
	}
	if _, err := l.file.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("wildtrain: write event log: %w", err)
	}
	return nil
}

// Close closes the file.
func (l *EventLog) Close() error { return l.file.Close() }
