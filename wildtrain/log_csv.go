package wildtrain

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// CSVLog is a Logger that keeps a table: one row per step (the loop's step is
// the epoch), one column per name. A new name adds a column at the right; a
// step that is logged again, as after a resume, replaces its row and all later
// ones. Every call rewrites the file as a whole, so that a reader and a crash
// never see half a row. Missing numbers are empty, others as Go writes them
// shortest (NaN, +Inf and -Inf included).
type CSVLog struct {
	path   string
	header []string
	rows   [][]string
}

// NewCSVLog opens a table; an existing file is continued. The file is written
// with the first Log.
func NewCSVLog(path string) (*CSVLog, error) {
	l := &CSVLog{path: path, header: []string{"epoch"}}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0:
		return l, nil
	case err != nil:
		return nil, fmt.Errorf("wildtrain: open metrics table: %w", err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("wildtrain: open metrics table %s: %w", path, err)
	}
	if len(rows) == 0 {
		return l, nil // blank lines
	}
	if rows[0][0] != "epoch" {
		return nil, fmt.Errorf("wildtrain: open metrics table %s: the first column is %q, want \"epoch\"", path, rows[0][0])
	}
	l.header, l.rows = rows[0], rows[1:]
	for i, row := range l.rows {
		if _, err := strconv.ParseInt(row[0], 10, 64); err != nil {
			return nil, fmt.Errorf("wildtrain: open metrics table %s: row %d: %w", path, i+2, err)
		}
	}
	return l, nil
}

// Log implements Logger.
func (l *CSVLog) Log(_ context.Context, step int64, values ...Value) error {
	if i := slices.IndexFunc(l.rows, func(row []string) bool {
		n, _ := strconv.ParseInt(row[0], 10, 64)
		return n >= step
	}); i >= 0 {
		l.rows = l.rows[:i]
	}
	row := make([]string, len(l.header))
	row[0] = strconv.FormatInt(step, 10)
	for _, v := range values {
		i := slices.Index(l.header, v.Name)
		if i < 0 {
			i = len(l.header)
			l.header, row = append(l.header, v.Name), append(row, "")
		}
		row[i] = strconv.FormatFloat(v.Value, 'g', -1, 64)
	}
	l.rows = append(l.rows, row)
	return l.write()
}

func (l *CSVLog) write() error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	for _, row := range append([][]string{l.header}, l.rows...) {
		for len(row) < len(l.header) {
			row = append(row, "")
		}
		if err := w.Write(row); err != nil {
			return fmt.Errorf("wildtrain: write metrics table: %w", err)
		}
	}
	w.Flush()
	if err := replaceFile(l.path, b.Bytes()); err != nil {
		return fmt.Errorf("wildtrain: write metrics table: %w", err)
	}
	return nil
}

// replaceFile writes a file as a whole or not at all.
func replaceFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
