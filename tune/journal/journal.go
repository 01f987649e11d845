// Package journal keeps studies in Optuna's journal file: one JSON object a line,
// appended under a lock and synced. Python workers with a JournalFileBackend and
// workers of this package can share one file, also on a network file system.
//
// What Optuna's journal lacks is added beside the file: the folder FILE.alive
// holds a file for each running trial, whose age is the trial's heartbeat.
package journal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/internal/pyjson"
)

// maxLine bounds one record: journals are untrusted files.
const maxLine = 64 << 20

// Storage is a tune.Storage and tune.Heartbeater over a journal file.
type Storage struct {
	file   string
	worker string

	mu    sync.Mutex
	state replay
	next  int64 // offset of the first line that is not replayed
	lines int
}

var (
	_ tune.Storage     = (*Storage)(nil)
	_ tune.Heartbeater = (*Storage)(nil)
)

// Open opens or makes a journal.
func Open(file string) (*Storage, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal: open: %w", err)
	}
	random := make([]byte, 16)
	_, err = rand.Read(random)
	s := &Storage{file: file, worker: hex.EncodeToString(random) + "-0"}
	return s, errors.Join(err, f.Close(), s.sync())
}

// Close does nothing: the file is opened for each use.
func (s *Storage) Close() error { return nil }

// sync replays what was appended since. Only a last line without an end, which
// its writer is still writing or has died over, is passed over.
func (s *Storage) sync() error {
	f, err := os.Open(s.file)
	if err != nil {
		return fmt.Errorf("journal: read: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() == s.next {
		return err
	}
	if _, err := f.Seek(s.next, io.SeekStart); err != nil {
		return fmt.Errorf("journal: read: %w", err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("journal: read: %w", err)
	}
	for {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			if len(data) > maxLine {
				return fmt.Errorf("journal: %s:%d: line is longer than %d bytes", s.file, s.lines+1, maxLine)
			}
			return nil
		}
		if err := s.state.apply(data[:end]); err != nil {
			return fmt.Errorf("journal: %s:%d: %w", s.file, s.lines+1, err)
		}
		data, s.next, s.lines = data[end+1:], s.next+int64(end)+1, s.lines+1
	}
}

// locked runs f under the file's lock on the newest state and appends the records
// that it returns, in one write and one sync.
func (s *Storage) locked(ctx context.Context, f func() ([]map[string]any, error)) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	release, err := lock(ctx, s.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := s.sync(); err != nil {
		return err
	}
	records, err := f()
	if err != nil || len(records) == 0 {
		return err
	}
	var text bytes.Buffer
	for _, r := range records {
		r["worker_id"] = s.worker
		line, err := pyjson.Marshal(r, true)
		if err != nil {
			return fmt.Errorf("journal: write: %w", err)
		}
		text.WriteString(line + "\n")
	}
	if err := s.append(text.Bytes()); err != nil {
		return fmt.Errorf("journal: write: %w", err)
	}
	return s.sync()
}

func (s *Storage) append(text []byte) error {
	f, err := os.OpenFile(s.file, os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	// half a line that a dead writer left would spoil ours: under the lock nobody
	// is writing it
	if err := f.Truncate(s.next); err != nil {
		return err
	}
	if _, err := f.WriteAt(text, s.next); err != nil {
		return err
	}
	return f.Sync()
}

// CreateStudy implements tune.Storage.
func (s *Storage) CreateStudy(ctx context.Context, name string, directions []tune.Direction) (tune.StudyRecord, error) {
	var list []any
	for _, d := range directions {
		list = append(list, int64(d))
	}
	err := s.locked(ctx, func() ([]map[string]any, error) {
		if s.state.byName(name) != nil {
			return nil, fmt.Errorf("%w: %s", tune.ErrExists, name)
		}
		return []map[string]any{{"op_code": opCreateStudy, "study_name": name, "directions": list}}, nil
	})
	if err != nil {
		return tune.StudyRecord{}, err
	}
	return s.Study(ctx, name)
}

// DeleteStudy implements tune.Storage.
func (s *Storage) DeleteStudy(ctx context.Context, study int64) error {
	return s.locked(ctx, func() ([]map[string]any, error) {
		if _, err := s.state.study(study); err != nil {
			return nil, err
		}
		return []map[string]any{{"op_code": opDeleteStudy, "study_id": study}}, nil
	})
}

// Study implements tune.Storage.
func (s *Storage) Study(_ context.Context, name string) (tune.StudyRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.sync(); err != nil {
		return tune.StudyRecord{}, err
	}
	st := s.state.byName(name)
	if st == nil {
		return tune.StudyRecord{}, fmt.Errorf("%w: study %s", tune.ErrNotFound, name)
	}
	return st.record.Clone(), nil
}

// Studies implements tune.Storage.
func (s *Storage) Studies(context.Context) ([]tune.StudyRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.sync(); err != nil {
		return nil, err
	}
	var out []tune.StudyRecord
	for _, st := range s.state.studies {
		if st != nil {
			out = append(out, st.record.Clone())
		}
	}
	return out, nil
}

// SetStudyAttr implements tune.Storage.
func (s *Storage) SetStudyAttr(ctx context.Context, study int64, system bool, key, json string) error {
	return s.locked(ctx, func() ([]map[string]any, error) {
		if _, err := s.state.study(study); err != nil {
			return nil, err
		}
		value, err := pyjson.Parse(json)
		op, field := opStudyUserAttr, "user_attr"
		if system {
			op, field = opStudySystemAttr, "system_attr"
		}
		return []map[string]any{{"op_code": op, "study_id": study, field: map[string]any{key: value}}}, err
	})
}

// CreateTrial implements tune.Storage.
func (s *Storage) CreateTrial(ctx context.Context, study int64, t *tune.Trial) (*tune.Trial, error) {
	out := *t
	err := s.locked(ctx, func() ([]map[string]any, error) {
		st, err := s.state.study(study)
		if err != nil {
			return nil, err
		}
		out.ID, out.Number = int64(len(s.state.trials)), len(st.trials)
		r, err := template(study, t)
		if err == nil && t.State == tune.Running {
			err = s.Beat(ctx, out.ID)
		}
		return []map[string]any{r}, err
	})
	return &out, err
}

// Claim implements tune.Storage.
func (s *Storage) Claim(ctx context.Context, trial int64) (mine bool, err error) {
	err = s.locked(ctx, func() ([]map[string]any, error) {
		t, err := s.state.trial(trial)
		if mine = err == nil && t.State == tune.Waiting; !mine {
			return nil, err
		}
		r, err := changeRecord(trial, tune.Change{Kind: tune.SetState, State: tune.Running, Time: time.Now()})
		return []map[string]any{r}, errors.Join(err, s.Beat(ctx, trial))
	})
	return mine && err == nil, err
}

// Update implements tune.Storage.
func (s *Storage) Update(ctx context.Context, trial int64, changes ...tune.Change) error {
	return s.locked(ctx, func() ([]map[string]any, error) {
		t, err := s.state.trial(trial)
		if err != nil {
			return nil, err
		}
		if t.State.Finished() {
			return nil, fmt.Errorf("%w: trial %d", tune.ErrFinished, t.Number)
		}
		var out []map[string]any
		for _, c := range changes {
			if _, known := t.Reports[c.Step]; known && c.Kind == tune.SetReport {
				continue // Python's replay would take the later one
			}
			r, err := changeRecord(trial, c)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
			if c.Kind == tune.SetState && c.State.Finished() {
				if err := os.Remove(s.beatFile(trial)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return nil, fmt.Errorf("journal: end heartbeat: %w", err)
				}
			}
		}
		return out, nil
	})
}

// Trials implements tune.Storage.
func (s *Storage) Trials(_ context.Context, study int64) ([]*tune.Trial, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.sync(); err != nil {
		return nil, err
	}
	st, err := s.state.study(study)
	if err != nil {
		return nil, err
	}
	out := make([]*tune.Trial, len(st.trials))
	for i, t := range st.trials {
		if !t.State.Finished() { // the rest does not change any more
			t = t.Clone()
		}
		out[i] = t
	}
	return out, nil
}

func (s *Storage) beatFile(trial int64) string {
	return filepath.Join(s.file+".alive", strconv.FormatInt(trial, 10))
}

// Beat implements tune.Heartbeater.
func (s *Storage) Beat(_ context.Context, trial int64) error {
	file := s.beatFile(trial)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("journal: heartbeat: %w", err)
	}
	if err := os.WriteFile(file, []byte{'.'}, 0o644); err != nil {
		return fmt.Errorf("journal: heartbeat: %w", err)
	}
	return nil
}

// Stale implements tune.Heartbeater. Ages are told by the file system's clock, so
// that machines need not agree on the time.
func (s *Storage) Stale(_ context.Context, study int64, grace time.Duration) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.sync(); err != nil {
		return nil, err
	}
	st, err := s.state.study(study)
	if err != nil {
		return nil, err
	}
	var now time.Time
	var out []int64
	for _, t := range st.trials {
		if t.State != tune.Running {
			continue
		}
		info, err := os.Stat(s.beatFile(t.ID))
		if err != nil {
			continue // Python's trial, or one that ends just now
		}
		if now.IsZero() {
			if now, err = s.clock(); err != nil {
				return nil, err
			}
		}
		if now.Sub(info.ModTime()) > grace {
			out = append(out, t.ID)
		}
	}
	return out, nil
}

func (s *Storage) clock() (time.Time, error) {
	f, err := os.CreateTemp(s.file+".alive", "now")
	if err != nil {
		return time.Time{}, fmt.Errorf("journal: heartbeat: %w", err)
	}
	info, err := f.Stat()
	err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	if err != nil {
		return time.Time{}, fmt.Errorf("journal: heartbeat: %w", err)
	}
	return info.ModTime(), nil
}
