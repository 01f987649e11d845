package tune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

var (
	// ErrNotFound tells that a study or trial does not exist.
	ErrNotFound = errors.New("tune: not found")
	// ErrExists tells that a study of that name exists.
	ErrExists = errors.New("tune: study exists")
	// ErrFinished tells that a trial has ended and cannot change any more.
	ErrFinished = errors.New("tune: trial is finished")
)

// ChangeKind says what a Change sets.
type ChangeKind int

// The kinds, with the fields of Change that they use.
const (
	SetParam      ChangeKind = iota // Key, Value, Dist
	SetReport                       // Step, Value
	SetUserAttr                     // Key, JSON
	SetSystemAttr                   // Key, JSON
	SetState                        // State, Values, Time
)

// Change is one change of a running trial.
type Change struct {
	Kind   ChangeKind
	Key    string
	Value  float64
	Dist   Distribution
	Step   int64
	JSON   string
	State  State
	Values []float64
	Time   time.Time
}

// StudyRecord is what a storage keeps of a study, its trials aside.
type StudyRecord struct {
	ID                     int64
	Name                   string
	Directions             []Direction
	UserAttrs, SystemAttrs map[string]string // JSON text by key
}

// Storage keeps studies. Implementations are safe for concurrent use and, but for
// Memory, for use by several processes. Optuna's rules hold: numbers of trials
// count from 0 without gaps, a finished trial does not change, the first value
// reported for a step counts.
type Storage interface {
	// CreateStudy makes a study; ErrExists where the name is taken.
	CreateStudy(ctx context.Context, name string, directions []Direction) (StudyRecord, error)
	// DeleteStudy removes a study and its trials.
	DeleteStudy(ctx context.Context, study int64) error
	// Study finds a study by name; ErrNotFound where there is none.
	Study(ctx context.Context, name string) (StudyRecord, error)
	// Studies lists all studies in the order of their making.
	Studies(ctx context.Context) ([]StudyRecord, error)
	// SetStudyAttr sets a user attribute, or a system attribute, to JSON text.
	SetStudyAttr(ctx context.Context, study int64, system bool, key, json string) error
	// CreateTrial adds a trial like t and returns it with ID and Number.
	CreateTrial(ctx context.Context, study int64, t *Trial) (*Trial, error)
	// Claim turns a waiting trial into a running one; false where another worker was first.
	Claim(ctx context.Context, trial int64) (bool, error)
	// Update makes changes together; ErrFinished where the trial has ended.
	Update(ctx context.Context, trial int64, changes ...Change) error
	// Trials lists a study's trials by number. They are shared: read only.
	Trials(ctx context.Context, study int64) ([]*Trial, error)
	io.Closer
}

// Heartbeater is a Storage that can tell which running trials have lost their
// worker. Its CreateTrial of a running trial and its Claim are the first beat.
type Heartbeater interface {
	// Beat says that a running trial's worker lives.
	Beat(ctx context.Context, trial int64) error
	// Stale lists running trials whose last beat is older than grace. Trials
	// that never had one are not listed, unless the storage knows that their
	// worker is gone.
	Stale(ctx context.Context, study int64, grace time.Duration) ([]int64, error)
}

// Memory is a Storage inside the process.
type Memory struct {
	mu      sync.Mutex
	studies []*memoryStudy // by ID; nil where deleted
	trials  []memoryTrial  // by ID
	beats   map[int64]time.Time
}

type memoryStudy struct {
	record StudyRecord
	trials []*Trial
}

type memoryTrial struct {
	trial *Trial
	study *memoryStudy
}

// NewMemory returns an empty storage.
func NewMemory() *Memory { return &Memory{beats: map[int64]time.Time{}} }

// Close does nothing.
func (m *Memory) Close() error { return nil }

// CreateStudy implements Storage.
func (m *Memory) CreateStudy(_ context.Context, name string, directions []Direction) (StudyRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.studies {
		if s != nil && s.record.Name == name {
			return StudyRecord{}, fmt.Errorf("%w: %s", ErrExists, name)
		}
	}
	s := &memoryStudy{record: StudyRecord{ID: int64(len(m.studies)), Name: name, Directions: directions}}
	m.studies = append(m.studies, s)
	return s.record, nil
}

// DeleteStudy implements Storage.
func (m *Memory) DeleteStudy(_ context.Context, study int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.study(study)
	if err != nil {
		return err
	}
	for _, t := range s.trials {
		m.trials[t.ID] = memoryTrial{}
	}
	m.studies[study] = nil
	return nil
}

func (m *Memory) study(id int64) (*memoryStudy, error) {
	if id < 0 || id >= int64(len(m.studies)) || m.studies[id] == nil {
		return nil, fmt.Errorf("%w: study %d", ErrNotFound, id)
	}
	return m.studies[id], nil
}

func (m *Memory) trial(id int64) (*Trial, error) {
	if id < 0 || id >= int64(len(m.trials)) || m.trials[id].trial == nil {
		return nil, fmt.Errorf("%w: trial %d", ErrNotFound, id)
	}
	return m.trials[id].trial, nil
}

// Study implements Storage.
func (m *Memory) Study(ctx context.Context, name string) (StudyRecord, error) {
	all, err := m.Studies(ctx)
	for _, r := range all {
		if r.Name == name {
			return r, err
		}
	}
	return StudyRecord{}, fmt.Errorf("%w: study %s", ErrNotFound, name)
}

// Studies implements Storage.
func (m *Memory) Studies(context.Context) ([]StudyRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []StudyRecord
	for _, s := range m.studies {
		if s != nil {
			out = append(out, s.record.Clone())
		}
	}
	return out, nil
}

// SetStudyAttr implements Storage.
func (m *Memory) SetStudyAttr(_ context.Context, study int64, system bool, key, json string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.study(study)
	if err != nil {
		return err
	}
	s.record.SetAttr(system, key, json)
	return nil
}

// CreateTrial implements Storage.
func (m *Memory) CreateTrial(_ context.Context, study int64, t *Trial) (*Trial, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.study(study)
	if err != nil {
		return nil, err
	}
	c := t.Clone()
	c.ID, c.Number = int64(len(m.trials)), len(s.trials)
	s.trials = append(s.trials, c)
	m.trials = append(m.trials, memoryTrial{c, s})
	if c.State == Running {
		m.beats[c.ID] = time.Now()
	}
	return c.Clone(), nil
}

// Claim implements Storage.
func (m *Memory) Claim(_ context.Context, trial int64) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := m.trial(trial)
	if err != nil || t.State != Waiting {
		return false, err
	}
	t.Apply(Change{Kind: SetState, State: Running, Time: time.Now()})
	m.beats[trial] = time.Now()
	return true, nil
}

// Update implements Storage.
func (m *Memory) Update(_ context.Context, trial int64, changes ...Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := m.trial(trial)
	if err != nil {
		return err
	}
	if t.State.Finished() {
		return fmt.Errorf("%w: trial %d", ErrFinished, t.Number)
	}
	t.Apply(changes...)
	return nil
}

// Trials implements Storage.
func (m *Memory) Trials(_ context.Context, study int64) ([]*Trial, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.study(study)
	if err != nil {
		return nil, err
	}
	out := make([]*Trial, len(s.trials))
	for i, t := range s.trials {
		if !t.State.Finished() { // the rest does not change any more
			t = t.Clone()
		}
		out[i] = t
	}
	return out, nil
}

// Beat implements Heartbeater.
func (m *Memory) Beat(_ context.Context, trial int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beats[trial] = time.Now()
	return nil
}

// Stale implements Heartbeater.
func (m *Memory) Stale(_ context.Context, study int64, grace time.Duration) ([]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.study(study)
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, t := range s.trials {
		if beat, ok := m.beats[t.ID]; ok && t.State == Running && time.Since(beat) > grace {
			out = append(out, t.ID)
		}
	}
	return out, nil
}
